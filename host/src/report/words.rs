//! The sentences of a report. The terminal, the HTML page and other formats show them.
//!
//! A sentence begins in lower case and has no full stop; a renderer that shows prose adds both.

mod generator;
mod judged;

use super::suite::SuiteRow;
use super::units::{count, counted, duration, or_dash, percent, rate};
use super::{BoxReport, Counts, Limit, ModelName, Moment, PlanReport, Report, ResultReport, RunReport, Total, curves};
use crate::fault::Fault;
use crate::metrics::{Measure, OTHER, Outcome};
use crate::plan::Arrivals;
use crate::record::Environment;

pub(super) use generator::{Cause, Instances, Reason};
pub(crate) use generator::{stalls, time};
pub(crate) use judged::{alarms, of_report, requirement, verdict, verdicts};

/// The most ages of cut operations, or ranges of numbers, that a sentence lists; the JSON report has all of them.
const MOST_LISTED: usize = 10;

/// If a duration is shorter than this many clock readings, reading the clock is more than a tenth of it.
const CLOCKS: f64 = 10.0;

/// How much a sentence should worry its reader, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tone {
    Bad,
    Warning,
    Good,
    Plain,
}

/// A sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    pub tone: Tone,
    pub parts: Vec<Part>,
}

/// A part of a sentence, by its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Gorgon's own words.
    Plain(String),
    /// What can be typed: an expression, a flag.
    Code(String),
    /// Text of a guest or from the network.
    Foreign(String),
}

impl Word {
    pub(crate) fn new(tone: Tone, text: impl Into<String>) -> Self {
        Self { tone, parts: vec![Part::Plain(text.into())] }
    }

    fn plain(self, text: impl Into<String>) -> Self {
        self.with(Part::Plain(text.into()))
    }

    fn code(self, text: &str) -> Self {
        self.with(Part::Code(text.to_owned()))
    }

    pub(crate) fn foreign(self, text: &str) -> Self {
        self.with(Part::Foreign(text.to_owned()))
    }

    fn with(mut self, part: Part) -> Self {
        self.parts.push(part);
        self
    }

    /// The sentence as text; `safe` escapes its foreign parts.
    pub(crate) fn text(&self, safe: impl Fn(&str) -> String) -> String {
        let part = |part: &Part| match part {
            Part::Plain(text) => text.clone(),
            Part::Code(text) | Part::Foreign(text) => safe(text),
        };
        self.parts.iter().map(part).collect()
    }
}

/// A run in a sentence.
pub(crate) fn headline(run: &RunReport) -> String {
    // A schedule can be over long before its last operation has ended, and a very short run begins long before its
    // first one. Then the sentence has two times, and says which is the rate's.
    let near = if run.plan.load_model == ModelName::Open { 100 } else { 10 };
    let is_apart = |window_ns: &u64| window_ns.abs_diff(run.elapsed_ns) > run.elapsed_ns / near;
    let window = run.throughput_window_ns.filter(is_apart);
    in_short(&run.operations, run.elapsed_ns, run.throughput, window)
}

/// All runs in a sentence.
pub(crate) fn headline_of_total(total: &Total) -> String {
    in_short(&total.operations, total.elapsed_ns, total.throughput, None)
}

/// All runs of a suite in a sentence. Runs of different tasks have no rate together.
pub(crate) fn headline_of_suite(report: &Report) -> String {
    if is_of_one_task(report) {
        return headline_of_total(&report.total);
    }
    in_short(&report.total.operations, report.total.elapsed_ns, None, None)
}

/// How many runs there are, and how many were planned if that is more.
pub(crate) fn runs(report: &Report) -> String {
    let begun = report.runs.len() as u64;
    match report.runs_never_begun() {
        0 => counted(begun, "run"),
        never => format!("{} of {}", count(begun), counted(begun + never, "run")),
    }
}

/// Whether all runs ran the same task. Figures over several tasks say nothing about any of them.
pub(crate) fn is_of_one_task(report: &Report) -> bool {
    let mut tasks = report.runs.iter().map(|run| (subject(run), &run.task.sha256));
    let first = tasks.next();
    tasks.all(|task| Some(task) == first)
}

/// `window_ns` is the time over which the rate is, if that has to be said.
fn in_short(operations: &Counts, elapsed_ns: u64, throughput: Option<f64>, window_ns: Option<u64>) -> String {
    let lost = if operations.lost > 0 { format!(", {} lost", count(operations.lost)) } else { String::new() };
    if operations.completed == 0 {
        return format!("no operation ended{lost}");
    }
    let not_ok = match operations.share_not_ok() {
        None => String::new(),
        Some(0.0) => ", all of them ok".into(),
        Some(share) => format!(", {} of them ({}) not ok", count(operations.not_ok()), percent(share)),
    };
    let over = window_ns.map(|ns| format!(" over {}", duration(ns))).unwrap_or_default();
    let rate = throughput.map(|per_second| format!(", {} per second{over}", rate(per_second))).unwrap_or_default();
    format!("{} in {}{rate}{not_ok}{lost}", counted(operations.completed, "operation"), duration(elapsed_ns))
}

/// How the report ended, in a word, if it has ended.
pub(crate) fn state(report: &Report, moment: Moment) -> (Tone, &'static str) {
    match report {
        _ if moment == Moment::Running => (Tone::Plain, "running"),
        report if report.partial => (Tone::Warning, "partial"),
        report if report.is_incomplete() => (Tone::Bad, "incomplete"),
        report if report.verdicts.iter().any(|verdict| verdict.failed) => (Tone::Bad, "failed"),
        report if !report.verdicts.is_empty() => (Tone::Good, "passed"),
        _ => (Tone::Plain, "done"),
    }
}

/// Failures first; otherwise in the order of the report, most frequent first.
pub(crate) fn by_failure(results: &[ResultReport]) -> impl Iterator<Item = &ResultReport> {
    let of = |is_ok: bool| results.iter().filter(move |result| (result.outcome == Outcome::Ok) == is_ok);
    of(false).chain(of(true))
}

/// How an operation ended.
pub(crate) fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Ok => "ok",
        Outcome::Failed => "failed",
        Outcome::Trapped => "trapped",
        Outcome::TimedOut => "timed out",
    }
}

/// The name of a measure, and the span of time that it covers.
pub(crate) fn measure(measure: Measure) -> (&'static str, &'static str) {
    match measure {
        Measure::Latency => ("response", "from due to end"),
        Measure::Service => ("service", "from start to end"),
        Measure::Lag => ("lag", "from due to start"),
    }
}

/// What decides when operations start.
pub(crate) fn model(plan: &PlanReport) -> String {
    match plan.load_model {
        ModelName::Closed => {
            let pause = plan.pause_ns.map(|(least, most)| {
                if least == most {
                    format!(", pause {}", duration(least))
                } else {
                    format!(", pause {} to {}", duration(least), duration(most))
                }
            });
            let ramp = (plan.ramp_ns > 0).then(|| format!(", ramp {}", duration(plan.ramp_ns)));
            format!("closed model{}{}", pause.unwrap_or_default(), ramp.unwrap_or_default())
        }
        ModelName::Open => {
            let rates = plan.rate.into_iter().chain(plan.stages.iter().map(|stage| stage.rate));
            let rates: Vec<String> = rates.map(|of| format!("{}/s", rate(of))).collect();
            let arrivals = match plan.arrivals {
                Some(Arrivals::Poisson) => "Poisson",
                _ => "constant",
            };
            format!("open model, {} {arrivals} arrivals", rates.join(" to "))
        }
    }
}

/// The shape of a run, with the meaning of its numbers.
pub(crate) fn shape(run: &RunReport) -> String {
    let boxes = run.plan.boxes.map_or("", |_| "boxes x ");
    let in_flight = if run.plan.concurrency == 1 { "" } else { " x in flight" };
    format!("{} ({boxes}processes x threads{in_flight})", curves::shape(run))
}

/// What the table of boxes has.
pub(crate) const BOX_HEAD: [&str; 7] = ["box", "workers", "operations", "cpu time", "rtt", "clock", "began late"];

/// The name of a box, and whether it was lost.
pub(crate) fn box_name(of: &BoxReport) -> String {
    format!("{}{}", of.name, if of.lost { " (lost)" } else { "" })
}

/// The row of a box under [`BOX_HEAD`].
pub(crate) fn box_cells(of: &BoxReport) -> [String; 7] {
    let sign = if of.clock_offset_ns < 0 { "-" } else { "+" };
    [
        box_name(of),
        count(of.workers),
        count(of.operations),
        or_dash(of.cpu_ns, duration),
        duration(of.rtt_ns),
        format!("{sign}{}", duration(of.clock_offset_ns.unsigned_abs())),
        or_dash(of.start_skew_ns, duration),
    ]
}

/// What the table of the runs of a suite has behind their names.
pub(crate) const SUITE_HEAD: [&str; 8] = ["shape", "operations", "ops/s", "scaling", "p50", "p99", "not ok", "lost"];

/// The row of a run, or of its repetitions, under [`SUITE_HEAD`].
pub(crate) fn suite_cells(of: &SuiteRow) -> [String; 8] {
    let (mean, spread) = suite_rate(of);
    [
        of.shape.clone(),
        count(of.operations),
        format!("{mean}{spread}"),
        of.scaling.map(|times| format!("x {times:.2}")).unwrap_or_default(),
        or_dash(of.p50, duration),
        or_dash(of.p99, duration),
        or_dash(of.not_ok, percent),
        if of.lost > 0 { count(of.lost) } else { String::new() },
    ]
}

/// The mean rate of a row, and how much its runs differ, which is empty for a single one.
pub(crate) fn suite_rate(of: &SuiteRow) -> (String, String) {
    let spread = of.throughput.and_then(|(mean, deviation)| Some(format!(" ± {}", percent(deviation? / mean))));
    (or_dash(of.throughput, |(mean, _)| rate(mean)), spread.unwrap_or_default())
}

/// How many runs a row stands for, if it is not one.
pub(crate) fn suite_times(of: &SuiteRow) -> String {
    if of.numbers.len() > 1 { format!(" ({}x)", of.numbers.len()) } else { String::new() }
}

/// What a lost box left behind.
fn of_boxes(run: &RunReport) -> Vec<Word> {
    let mut words = Vec::new();
    let twice: u64 = run.possibly_executed_twice.iter().map(|(from, to)| (to - from).saturating_add(1)).sum();
    if twice > 0 {
        let ranges = run.possibly_executed_twice.iter().take(MOST_LISTED).map(|(from, to)| format!("{from} to {to}"));
        let (ranges, more) = (ranges.collect::<Vec<_>>().join(", "), more(run.possibly_executed_twice.len()));
        let twice = counted(twice, "operation");
        words.push(Word::new(
            Tone::Warning,
            format!("{twice} may have been executed twice, as a lost box held them: the numbers {ranges}{more}"),
        ));
    }
    let refused: u64 = run.boxes.iter().map(|of| of.refused_frames).sum();
    if refused > 0 {
        let refused = counted(refused, "frame");
        words.push(Word::new(
            Tone::Plain,
            format!("{refused} came from boxes that had been given up, and do not count"),
        ));
    }
    words
}

/// What a reader of a run's figures must know.
pub(crate) fn of_run(run: &RunReport, clock_ns: f64) -> Vec<Word> {
    let operations = &run.operations;
    let of_all = |n: u64| format!("{} of {}", count(n), counted(operations.offered, "operation"));
    let mut words: Vec<Word> = run.faults.iter().map(fault).collect();
    if operations.lost > 0 {
        let lost = format!("lost: {} were handed out and never confirmed", of_all(operations.lost));
        words.push(Word::new(Tone::Bad, lost));
    }
    words.extend(of_boxes(run));
    if operations.dropped > 0 {
        let left = operations.dropped_at_end.map(|left| left.min(operations.dropped));
        let why = match left {
            // Older reports do not tell the two apart.
            None => String::new(),
            Some(0) => ", because too many were in flight".to_owned(),
            Some(left) if left == operations.dropped => ", because the run ended first".to_owned(),
            Some(left) => format!(
                ", {} because too many were in flight, {} because the run ended first",
                count(operations.dropped - left),
                count(left)
            ),
        };
        words.push(Word::new(
            Tone::Bad,
            format!("dropped: {} were due and never started{why}", of_all(operations.dropped)),
        ));
    }
    words.extend(stalls(run));
    if run.generator.limited {
        let limited = if run.generator.limits == [Limit::Streams] {
            "generator-limited: the run had too few connections for its requests; the target was not the limit"
        } else {
            "generator-limited: the machine that generated the load was the limit, not the target"
        };
        words.push(Word::new(Tone::Bad, limited));
    }
    words.extend(run.generator.reasons.iter().map(|reason| Word::new(Tone::Warning, "generator: ").foreign(reason)));
    words.extend(refused(run));
    if !run.cut.is_empty() {
        let ages: Vec<_> = run.cut.iter().take(MOST_LISTED).map(|cut| duration(cut.age_ns)).collect();
        let (cut, more) = (counted(run.cut.len() as u64, "operation"), more(run.cut.len()));
        words.push(Word::new(Tone::Warning, format!("{cut} cut at the end, at the age of {}{more}", ages.join(", "))));
    }
    if run.folded > 0 {
        let folded = format!(
            "{} returned results beyond the limit on distinct ones: they are counted as (other), and figures per \
             result are lower bounds",
            counted(run.folded, "operation")
        );
        words.push(Word::new(Tone::Warning, folded));
    }
    if run.latency_ns.overflow > 0 {
        let overflow = counted(run.latency_ns.overflow, "operation");
        words.push(Word::new(
            Tone::Warning,
            format!("{overflow} took longer than an hour, the upper limit for percentiles"),
        ));
    }
    if run.latency_ns.p50.is_some_and(|ns| (ns as f64) < clock_ns * CLOCKS) {
        let near = format!("durations are close to the cost of reading the clock ({clock_ns} ns), which they include");
        words.push(Word::new(Tone::Plain, near));
    }
    words
}

fn refused(run: &RunReport) -> impl Iterator<Item = Word> {
    run.network.iter().flat_map(|network| &network.refused).map(|refusal| {
        let refused = Word::new(Tone::Bad, format!("refused {}: ", counted(refusal.count, "time")));
        match &refusal.flag {
            Some(flag) => {
                let both = if run.boxes.is_empty() { "" } else { ", for the run and for the agents" };
                let granted = format!(" would grant it{both}");
                refused.foreign(refusal.destination.raw()).plain("; ").code(flag).plain(granted)
            }
            None if refusal.destination == OTHER => refused.plain("other destinations"),
            // The entry has no flag, because nothing could grant this destination.
            None => refused.foreign(refusal.destination.raw()),
        }
    })
}

fn fault(fault: &Fault) -> Word {
    let tone = if fault.is_incomplete() { Tone::Bad } else { Tone::Warning };
    let times = if fault.times > 1 { format!(", {} times", count(fault.times)) } else { String::new() };
    Word::new(tone, "fault: ").foreign(&fault.message).plain(times + &numbers(&fault.numbers))
}

/// Inclusive ranges, as many as fit on a line.
fn numbers(ranges: &[(u64, u64)]) -> String {
    let range = |&(from, to): &(u64, u64)| if from == to { from.to_string() } else { format!("{from}-{to}") };
    let listed: Vec<_> = ranges.iter().take(MOST_LISTED).map(range).collect();
    if listed.is_empty() { String::new() } else { format!(" (numbers {}{})", listed.join(", "), more(ranges.len())) }
}

fn more(all: usize) -> &'static str {
    if all > MOST_LISTED { ", …" } else { "" }
}

/// How much of a run that goes on is done, from 0 to 1, and how far it is, in words. `None` if its plan has no end.
pub(crate) fn progress(run: &RunReport) -> Option<(f64, String)> {
    let (done, elapsed_ns) = (run.operations.completed, run.elapsed_ns);
    let of_time = run.plan.duration_ns.map(|all| (curves::share(elapsed_ns, all).unwrap_or_default(), all));
    let of_operations = run.plan.operations.map(|all| (curves::share(done, all).unwrap_or_default(), all));
    let in_flight = curves::in_flight(run).0.last().copied().filter(|&number| number > 0);
    let in_flight = in_flight.map(|number| format!(", {} in flight", count(number))).unwrap_or_default();
    let time = of_time.map(|(share, all)| {
        let left = duration(all.saturating_sub(elapsed_ns));
        (share, format!("{} of {}, {left} left", duration(elapsed_ns), duration(all)))
    });
    let operations = of_operations.map(|(share, all)| {
        // It goes on at the rate that it had.
        let left = (share > 0.0).then(|| duration((elapsed_ns as f64 * (1.0 / share - 1.0).max(0.0)) as u64));
        let left = left.map(|left| format!(", about {left} left")).unwrap_or_default();
        (share, format!("{} of {}{left}", count(done), counted(all, "operation")))
    });
    let further = [time, operations].into_iter().flatten().max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    Some((further.0.min(1.0), further.1 + &in_flight))
}

/// The machine, in a line.
pub(crate) fn machine(report: &Report) -> String {
    let Environment { os, kernel, cpus, processor, cpu_limit, wasmtime, clock_ns: _ } = &report.environment;
    let model = processor.as_ref().map(|model| format!(" ({model})")).unwrap_or_default();
    let limit = cpu_limit.map(|limit| format!(", limited to {limit}")).unwrap_or_default();
    let kernel = kernel.as_ref().map(|kernel| format!(" {kernel}")).unwrap_or_default();
    let processors = counted(*cpus as u64, "processor");
    format!("{processors}{model}{limit}, {os}{kernel}, gorgon {}, wasmtime {wasmtime}", report.gorgon)
}

/// A run in a few words, for a table of runs.
pub(crate) fn short(run: &RunReport) -> String {
    format!("{}, {}", run_name(run), curves::shape(run))
}

/// The name of a run, or what was run.
pub(crate) fn run_name(run: &RunReport) -> &str {
    run.name.as_deref().unwrap_or(file_name(subject(run)))
}

/// What was run: a task, or calls, whose task is the same for all.
pub(crate) fn subject(run: &RunReport) -> &str {
    let calls = run.plan.calls.and(run.plan.data.as_deref());
    calls.unwrap_or(&run.task.path)
}

/// The file name in a path; a URL is its own name.
pub(crate) fn file_name(path: &str) -> &str {
    if path.contains("://") { path } else { path.rsplit('/').next().unwrap_or(path) }
}

/// When a run began, for people; text that is not a time is shown unchanged.
pub(crate) fn moment(rfc3339: &str) -> String {
    match rfc3339.split_once('T').zip(rfc3339.get(11..19)) {
        Some(((day, _), time)) => format!("{day} {time} UTC"),
        None => rfc3339.to_owned(),
    }
}
