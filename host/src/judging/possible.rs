//! Whether the figures of a report can be true: a report may come from somebody else, and everything that is drawn,
//! compared or judged relies on it. Names the first field that cannot be.

mod boxes;
mod conclusions;
mod durations;
mod flaw;
mod parts;
mod timeline;

use durations::summary;
pub(super) use flaw::Impossible;
use flaw::{Checked, TOLERANCE, all, at_most, flaw, number, per_second, time};
use parts::{rates, whole_plan};

use crate::metrics::TimeSplit;
use crate::report::{
    BucketReport, Counts, Generator, ModelName, NetworkReport, PlanReport, Report, ResultReport, RunReport, SpanReport,
    WorkerReport,
};

/// More operations than this do not fit into a histogram.
const MOST_OPERATIONS: u64 = 1 << 48;

/// The most operations, requests, bytes.
const MOST_COUNTED: u64 = 1 << 60;

/// The most runs. Each is compared with each.
const MOST_RUNS: usize = 2_000;

/// Checks a report that was read.
pub(super) fn check(report: &Report) -> Checked {
    let environment = &report.environment;
    if environment.cpus == 0 {
        return flaw("environment.cpus", "is 0");
    }
    number(environment.clock_ns, 1e9, "clock_ns").map_err(|flaw| flaw.of("environment"))?;
    if let Some(limit) = environment.cpu_limit {
        number(limit, 1e6, "cpu_limit").map_err(|flaw| flaw.of("environment"))?;
    }
    at_most(report.runs.len(), MOST_RUNS, "runs")?;
    let total = &report.total;
    let check_total = || {
        counts(&total.operations)?;
        per_second(total.throughput, "throughput")?;
        summary(&total.latency_ns, Some(total.operations.completed)).map_err(|flaw| flaw.of("latency_ns"))?;
        if let Some(ok) = &total.ok {
            summary(&ok.latency_ns, Some(ok.operations)).map_err(|flaw| flaw.of("latency_ns").of("ok"))?;
            per_second(ok.throughput, "throughput").map_err(|flaw| flaw.of("ok"))?;
            if ok.operations != total.operations.ok {
                return flaw("ok.operations", format!("is {}, and not {}", ok.operations, total.operations.ok));
            }
        }
        all(&total.results, "results", result)
    };
    check_total().map_err(|flaw| flaw.of("total"))?;
    all(&report.runs, "runs", run)?;
    sums(report).map_err(|flaw| flaw.of("total"))?;
    all(&report.verdicts, "verdicts", |of| conclusions::verdict(of, &report.runs))
}

/// The total is the sum of the runs.
fn sums(report: &Report) -> Checked {
    type Figure = (&'static str, fn(&Counts) -> u64);
    const FIGURES: [Figure; 8] = [
        ("offered", |counts| counts.offered),
        ("completed", |counts| counts.completed),
        ("ok", |counts| counts.ok),
        ("failed", |counts| counts.failed),
        ("trapped", |counts| counts.trapped),
        ("timed_out", |counts| counts.timed_out),
        ("dropped", |counts| counts.dropped),
        ("lost", |counts| counts.lost),
    ];
    let (total, runs) = (&report.total, &report.runs);
    for (name, figure) in FIGURES {
        let sum = runs.iter().map(|run| figure(&run.operations)).try_fold(0_u64, u64::checked_add);
        if sum != Some(figure(&total.operations)) {
            let is = figure(&total.operations);
            return flaw(&format!("operations.{name}"), format!("is {is}, and not that of the {} runs", runs.len()));
        }
    }
    let elapsed = runs.iter().map(|run| run.elapsed_ns).try_fold(0_u64, u64::checked_add);
    if elapsed != Some(total.elapsed_ns) {
        return flaw("elapsed_ns", format!("is {}, and not that of the {} runs", total.elapsed_ns, runs.len()));
    }
    let of_results = total.results.iter().try_fold(0_u64, |sum, result| sum.checked_add(result.operations));
    if of_results != Some(total.operations.completed) {
        return flaw("results", "do not add up to the completed operations");
    }
    let windows = runs.iter().map(|run| run.throughput_window_ns).try_fold(0_u64, |sum, ns| sum.checked_add(ns?));
    if let Some((given, window_ns)) = total.throughput.zip(windows.filter(|&window_ns| window_ns > 0)) {
        let is = total.operations.completed as f64 * 1e9 / window_ns as f64;
        if (given - is).abs() > TOLERANCE * is {
            return flaw("throughput", format!("is {given}, and not that of the {} runs", runs.len()));
        }
    }
    rates(total.ok.as_ref(), &total.results, windows)
}

fn run(run: &RunReport) -> Checked {
    plan(&run.plan).map_err(|flaw| flaw.of("plan"))?;
    if humantime::parse_rfc3339(&run.started_at).is_err() {
        return flaw("started_at", "is no time as RFC 3339 has it");
    }
    time(run.elapsed_ns, "elapsed_ns")?;
    let startup = run.startup_ns;
    let parts = [startup.compile, startup.spawn, startup.load, startup.instantiate, startup.setup.unwrap_or_default()];
    parts.into_iter().try_for_each(|ns| time(ns, "startup_ns"))?;
    counts(&run.operations)?;
    let completed = Some(run.operations.completed);
    for (measured, name) in [
        (Some(&run.latency_ns), "latency_ns"),
        (Some(&run.service_ns), "service_ns"),
        (run.schedule_lag_ns.as_ref(), "schedule_lag_ns"),
    ] {
        measured.map_or(Ok(()), |of| summary(of, completed)).map_err(|flaw| flaw.of(name))?;
    }
    if run.operations.completed > MOST_OPERATIONS {
        return flaw("operations.completed", "is more than a histogram counts");
    }
    if let Some(longest) = run.service_ns.max.filter(|&longest| longest > run.elapsed_ns) {
        return flaw("elapsed_ns", format!("is {}, less than an operation, {longest}", run.elapsed_ns));
    }
    throughput(run)?;
    rates(run.ok.as_ref(), &run.results, run.throughput_window_ns)?;
    whole_plan(run)?;
    if let Some(ok) = &run.ok {
        summary(&ok.latency_ns, Some(ok.operations)).map_err(|flaw| flaw.of("latency_ns").of("ok"))?;
        per_second(ok.throughput, "throughput").map_err(|flaw| flaw.of("ok"))?;
    }
    run.time.map_or(Ok(()), |split| parts_of_time(&split))?;
    all(&run.results, "results", result)?;
    let of_results = run.results.iter().try_fold(0_u64, |sum, result| sum.checked_add(result.operations));
    if of_results != completed {
        return flaw("results", "do not add up to the completed operations");
    }
    all(&run.spans, "spans", span)?;
    run.network.as_ref().map_or(Ok(()), |of| network(of, run)).map_err(|flaw| flaw.of("network"))?;
    timeline::check(run).map_err(|flaw| flaw.of("timeline"))?;
    all(&run.workers, "workers", worker)?;
    boxes::check(run)?;
    generator(&run.generator).map_err(|flaw| flaw.of("generator"))?;
    parts::cut(&run.cut)?;
    all(&run.faults, "faults", |fault| match fault.numbers.iter().find(|(from, to)| from > to) {
        Some((from, to)) => flaw("numbers", format!("has a range from {from} to {to}")),
        None => at_most(fault.numbers.len(), flaw::MOST_ENTRIES, "numbers"),
    })
}

fn plan(plan: &PlanReport) -> Checked {
    let instances = [
        ("boxes", plan.boxes.unwrap_or(1)),
        ("processes", plan.processes),
        ("threads", plan.threads),
        ("concurrency", plan.concurrency),
    ];
    if let Some((name, _)) = instances.iter().find(|(_, number)| *number == 0) {
        return flaw(name, "is 0");
    }
    if self::instances(plan) > u128::from(u32::MAX) {
        return flaw("concurrency", "makes more instances than can be");
    }
    if (plan.load_model == ModelName::Open) != plan.rate.is_some() {
        return flaw("load_model", "and rate do not fit: a run with a rate is open");
    }
    per_second(plan.rate, "rate")?;
    all(&plan.stages, "stages", |stage| {
        time(stage.duration_ns, "duration_ns")?;
        per_second(Some(stage.rate), "rate")
    })?;
    match plan.pause_ns {
        Some((least, most)) if least > most => flaw("pause_ns", format!("is from {least} to {most}")),
        _ => Ok(()),
    }
}

/// How many operations can be in flight.
fn instances(plan: &PlanReport) -> u128 {
    let boxes = u128::from(plan.boxes.unwrap_or(1));
    boxes * u128::from(plan.processes) * u128::from(plan.threads) * u128::from(plan.concurrency)
}

fn counts(counts: &Counts) -> Checked {
    let sum = |parts: &[u64]| parts.iter().try_fold(0_u64, |sum, part| sum.checked_add(*part));
    let Counts { offered, completed, ok, failed, trapped, timed_out, dropped, lost, in_flight, .. } = *counts;
    if sum(&[ok, failed, trapped, timed_out]) != Some(completed) {
        return flaw("operations.completed", format!("is {completed}, and not ok + failed + trapped + timed_out"));
    }
    if sum(&[completed, dropped, lost, in_flight]) != Some(offered) {
        return flaw("operations.offered", format!("is {offered}, and not completed + dropped + lost + in_flight"));
    }
    if offered > MOST_COUNTED {
        return flaw("operations.offered", format!("is {offered}, more than can be"));
    }
    if counts.dropped_at_end.is_some_and(|at_end| at_end > dropped) {
        return flaw("operations.dropped_at_end", format!("is more than dropped, {dropped}"));
    }
    Ok(())
}

/// The throughput of a run is that of its operations and its time.
fn throughput(run: &RunReport) -> Checked {
    per_second(run.throughput, "throughput")?;
    let completed = run.operations.completed as f64;
    match (run.throughput, run.throughput_window_ns) {
        (Some(given), Some(window_ns)) => {
            let is = completed * 1e9 / window_ns as f64;
            if window_ns == 0 || (given - is).abs() > TOLERANCE * is {
                return flaw("throughput", format!("is {given}, and not {completed} operations in {window_ns} ns"));
            }
        }
        (None, Some(window_ns)) if window_ns > 0 && completed > 0.0 => {
            return flaw("throughput", format!("is null, and there are {completed} operations in {window_ns} ns"));
        }
        // Older reports have no window. An instance has one operation at a time.
        (Some(given), None) => {
            let (mean, instances) = (run.service_ns.mean.unwrap_or_default() as f64, instances(&run.plan) as f64);
            if given * mean > instances * 1e9 * (1.0 + TOLERANCE) {
                return flaw("throughput", format!("is {given}, more than operations of {mean} ns can be"));
            }
        }
        (None, _) => {}
    }
    run.throughput_window_ns.map_or(Ok(()), |window_ns| window(run, window_ns))
}

/// The time over which rates are taken has room for the operations.
fn window(run: &RunReport, window_ns: u64) -> Checked {
    time(window_ns, "throughput_window_ns")?;
    let timeline = &run.timeline;
    let began = |bucket: &&BucketReport| bucket.started > 0;
    let (first, last) = (timeline.buckets.iter().find(began), timeline.buckets.iter().rfind(began));
    // From the end of the interval with the first start to the beginning of the one with the last.
    let (first, last) = (first.map_or(0, |first| first.start_ns), last.map_or(0, |last| last.start_ns));
    let least = last.saturating_sub(first.saturating_add(timeline.interval_ns));
    if window_ns < least {
        return flaw("throughput_window_ns", format!("is {window_ns}, and operations began over {least} ns"));
    }
    // In a closed run it reaches from the first start to the last end.
    let busy = run.service_ns.sum();
    let room = (u128::from(window_ns) + u128::from(window_ns) / 100) * instances(&run.plan);
    if run.plan.load_model == ModelName::Closed && busy > room {
        return flaw("throughput_window_ns", format!("is {window_ns}, and the operations took {busy} ns"));
    }
    Ok(())
}

fn result(result: &ResultReport) -> Checked {
    per_second(result.throughput, "throughput")?;
    result.time.map_or(Ok(()), |split| parts_of_time(&split))?;
    parts::reasons(result)?;
    all(&result.spans, "spans", span)?;
    summary(&result.latency_ns, Some(result.operations)).map_err(|flaw| flaw.of("latency_ns"))
}

fn span(span: &SpanReport) -> Checked {
    per_second(span.throughput, "throughput")?;
    if let Some(failed) = span.failed.filter(|&failed| failed > span.count) {
        return flaw("failed", format!("is {failed}, more than count, {}", span.count));
    }
    summary(&span.latency_ns, Some(span.count)).map_err(|flaw| flaw.of("latency_ns"))
}

fn network(network: &NetworkReport, run: &RunReport) -> Checked {
    parts::requests(network, run)?;
    per_second(network.throughput, "throughput")?;
    if let Some(per) = network.requests_per_operation {
        number(per, MOST_COUNTED as f64, "requests_per_operation")?;
    }
    let counted = [network.requests, network.opened, network.reused, network.bytes_in, network.bytes_out];
    let refused =
        network.refused.iter().map(|refused| refused.count).chain(network.lacked.iter().map(|lack| lack.count));
    let more = [network.sent, network.repeated].into_iter().flatten();
    if let Some(most) = counted.into_iter().chain(more).chain(refused).find(|&number| number > MOST_COUNTED) {
        return flaw("requests", format!("or another number is {most}, more than can be"));
    }
    if network.failed.is_some_and(|failed| failed > network.requests) {
        return flaw("failed", format!("is more than requests, {}", network.requests));
    }
    let summaries = [
        (network.duration_ns.as_ref(), "duration_ns"),
        (Some(&network.connect_ns), "connect_ns"),
        (Some(&network.first_byte_ns), "first_byte_ns"),
        (network.stream_wait_ns.as_ref(), "stream_wait_ns"),
    ];
    for (of, name) in summaries {
        of.map_or(Ok(()), |of| summary(of, None)).map_err(|flaw| flaw.of(name))?;
    }
    Ok(())
}

fn worker(worker: &WorkerReport) -> Checked {
    all(&worker.timeline, "timeline", |health| {
        time(health.at_ns, "at_ns")?;
        time(health.lag_ns, "lag_ns")?;
        health.cpu.map_or(Ok(()), |cpu| number(cpu, 1e6, "cpu"))?;
        health.busiest_thread.map_or(Ok(()), |share| number(share, 1.0, "busiest_thread"))
    })
}

fn generator(generator: &Generator) -> Checked {
    let Generator { saturated, delayed, queued, throttled, stolen, .. } = generator;
    let shares = [(saturated, "saturated"), (delayed, "delayed"), (queued, "queued"), (stolen, "stolen")];
    shares.into_iter().try_for_each(|(share, name)| share.map_or(Ok(()), |share| number(share, 1.0, name)))?;
    // Several workers of one control group are throttled at once.
    throttled.map_or(Ok(()), |share| number(share, 1e6, "throttled"))?;
    conclusions::generator(generator)?;
    all(&generator.stalls, "stalls", |stall| {
        time(stall.at_ns, "at_ns")?;
        time(stall.length_ns, "length_ns")
    })
}

/// The parts of a time, whose sum can be computed.
fn parts_of_time(split: &TimeSplit) -> Checked {
    let TimeSplit { running_ns, waiting_ns, queued_ns, uncertain_ns } = *split;
    if running_ns.checked_add(waiting_ns).and_then(|sum| sum.checked_add(queued_ns)).is_none() {
        return flaw("time", "has parts whose sum is no time");
    }
    if uncertain_ns > waiting_ns {
        return flaw("time.uncertain_ns", format!("is more than waiting_ns, {waiting_ns}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::judging::read;
    use crate::report::tests::{environment, open_record, record};

    /// A report with these edits, each a path and a value.
    fn edited(edits: &[(&str, Value)]) -> Result<Report, String> {
        let mut report = serde_json::to_value(Report::new(environment(), &[record(4), open_record()])).unwrap();
        for (path, value) in edits {
            *report.pointer_mut(path).unwrap_or_else(|| panic!("there is no {path}")) = value.clone();
        }
        read::report(report.to_string().as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn true_reports_pass() {
        edited(&[]).unwrap();
        let empty = Report::new(environment(), &[]);
        check(&empty).unwrap();
    }

    #[test]
    fn the_first_field_that_cannot_be_is_named() {
        let claim = json!("HISTFAAAACF4nJNpmSz8HwgYIIAZSjMCmW4GOxYw2H+ACDABAN/4CEk=");
        for (edit, problem) in [
            (
                ("/runs/0/latency_ns/min", json!(1_u64 << 63)),
                "`runs[0].latency_ns.min` is 9223372036854775808, more than",
            ),
            (("/runs/0/latency_ns/p99", json!(1)), "`runs[0].latency_ns.p95` is "),
            (("/runs/0/latency_ns/hdr", claim.clone()), "`runs[0].latency_ns.hdr` is no histogram that gorgon writes"),
            (("/runs/0/results/0/latency_ns/hdr", claim), "`runs[0].results[0].latency_ns.hdr` is no histogram"),
            (("/runs/0/latency_ns/max", Value::Null), "`runs[0].latency_ns.max` or min is null"),
            (("/runs/0/latency_ns/mean", json!(0)), "`runs[0].latency_ns.mean` is 0, and not between"),
            (("/runs/0/latency_ns/stdev", json!(u64::MAX)), "`runs[0].latency_ns.stdev` is more than the range"),
            (("/runs/0/plan/processes", json!(0)), "`runs[0].plan.processes` is 0"),
            (("/runs/1/plan/rate", json!(-5.0)), "`runs[1].plan.rate` is -5, and not between 0"),
            (("/runs/0/operations/dropped", json!(7)), "`runs[0].operations.offered` is"),
            (("/runs/0/throughput", Value::Null), "`runs[0].throughput` is null"),
            (("/runs/0/timeline/buckets/1/start_ns", json!(1)), "`runs[0].timeline.buckets[1].start_ns` is 1"),
            (("/runs/0/timeline/buckets/0/results", json!({})), "`runs[0].timeline.buckets[0].results` do not add up"),
            (("/runs/0/started_at", json!("yesterday")), "`runs[0].started_at` is no time"),
            (("/environment/clock_ns", json!(1e300)), "`environment.clock_ns` is"),
            (("/total/ok/throughput", json!(1e300)), "`total.ok.throughput` is"),
            (("/runs/0/timeline/interval_ns", json!(7)), "`runs[0].timeline.buckets[0].length_ns` is longer"),
            (("/runs/0/ok/throughput", json!(7_777)), "`runs[0].ok.throughput` is 7777, and not"),
            (("/runs/0/results/0/throughput", json!(1)), "`runs[0].results[0].throughput` is 1, and not"),
            (("/total/results/0/throughput", json!(1)), "`total.results[0].throughput` is 1, and not"),
            (("/runs/0/operations/planned", json!(0)), "`runs[0].operations.planned` is not that of the plan"),
            (("/runs/0/workers", json!([])), "`runs[0].workers` do not add up to the completed operations"),
            (("/runs/0/workers/0/threads", json!(77)), "`runs[0].workers` have 77 threads"),
            (("/runs/0/plan/boxes", json!(77)), "`runs[0].boxes` are not as many as those of the plan"),
            (("/runs/0/possibly_executed_twice", json!([[5, 9]])), "`runs[0].possibly_executed_twice` has numbers"),
            (("/runs/0/latency_ns/mean", json!(90_000)), "`runs[0].latency_ns.mean` is"),
            (("/runs/0/generator/reasons", json!(vec![""; 101])), "`runs[0].generator.reasons` has 101 entries"),
            (
                ("/runs/0/generator", json!({ "limited": true, "reasons": [] })),
                "`runs[0].generator.limited` is true, and there are neither",
            ),
            (("/runs/0/cut", json!(vec![json!({"number": 1, "age_ns": 1}); 1_000_001])), "`runs[0].cut` has 1000001"),
            (("/total/elapsed_ns", json!(1)), "`total.elapsed_ns` is 1, and not that of the 2 runs"),
            (("/total/results", json!([])), "`total.results` do not add up"),
            (
                ("/runs/0/elapsed_ns", json!(u64::MAX)),
                "`runs[0].elapsed_ns` is 18446744073709551615, more than ten years",
            ),
        ] {
            let error = edited(std::slice::from_ref(&edit)).unwrap_err();
            assert!(error.contains(problem) && error.ends_with("was it edited?"), "{}: {error}", edit.0);
        }
    }

    #[test]
    fn a_field_of_another_type_is_named() {
        let error = edited(&[("/runs/0/plan/threads", json!("two"))]).unwrap_err();
        assert!(error.starts_with("the report cannot be read: `runs[0].plan.threads`: invalid type"), "{error}");
    }
}
