//! The small report: what a person reads in the terminal.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::units::{count, counted, duration, rate};
use super::{ModelName, NetworkReport, PlanReport, Report, ResultReport, RunReport, StartupReport, Summary, Total};
use crate::metrics::{Outcome, TimeSplit};
use crate::plan::Arrivals;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const BAD: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red)));

/// A result is cut to this many characters in the table; the JSON report has it whole.
const WIDEST_NAME: usize = 40;

/// Results beyond these are summed up in a line; the JSON report has them all.
const MOST_RESULTS: usize = 30;

/// Ages of operations that were cut; the JSON report has them all.
const MOST_AGES: usize = 10;

/// Writes `report`; for a suite its total first. Styles are written as escape sequences, which `to` removes where they
/// have no place.
pub fn write(report: &Report, mut to: impl Write) -> io::Result<()> {
    if report.runs.len() > 1 {
        total(&report.total, report.runs.len(), &mut to)?;
    }
    for report_of_run in &report.runs {
        run(report_of_run, report.environment.clock_ns, &mut to)?;
    }
    for verdict in report.verdicts.iter().filter(|verdict| verdict.held) {
        let of_run = if report.runs.len() > 1 { format!(" in run {}", verdict.run + 1) } else { String::new() };
        writeln!(to, "{BAD}failed: {}{of_run}{BAD:#}", verdict.expression)?;
    }
    for verdict in report.verdicts.iter().filter(|verdict| verdict.value.is_none()) {
        writeln!(to, "unknown: {}: the run has no such figure, or too few operations for it", verdict.expression)?;
    }
    if report.partial {
        writeln!(to, "{BAD}partial: the run was stopped before its end{BAD:#}")?;
    }
    Ok(())
}

fn total(total: &Total, runs: usize, to: &mut impl Write) -> io::Result<()> {
    writeln!(to, "{BOLD}total of {runs} runs{BOLD:#}")?;
    writeln!(to, "total time  {}\n", duration(total.elapsed_ns))?;
    table(total.throughput, &total.latency_ns, &total.results, to)?;
    writeln!(to)
}

fn run(run: &RunReport, clock_ns: f64, to: &mut impl Write) -> io::Result<()> {
    let plan = &run.plan;
    let model = model(plan);
    let shape = match plan.concurrency {
        1 => format!("{} x {} (processes x threads), {model}", plan.processes, plan.threads),
        c => format!("{} x {} x {c} (processes x threads x in flight), {model}", plan.processes, plan.threads),
    };
    let name = run.name.as_ref().map(|name| format!("{}: ", shown(name))).unwrap_or_default();
    writeln!(to, "{BOLD}{name}{}{BOLD:#}  {shape}", run.task.path)?;
    writeln!(to, "start-up    {}", startup(&run.startup_ns))?;
    if let Some(warmup) = run.warmup {
        let operations = counted(warmup.operations, "operation");
        writeln!(to, "warm-up     {operations} in {}, not counted", duration(warmup.elapsed_ns))?;
    }
    let drain = run.drain_ns.filter(|&ns| ns > 0).map(|ns| format!(", of which {} draining", duration(ns)));
    writeln!(to, "total time  {}{}\n", duration(run.elapsed_ns), drain.unwrap_or_default())?;
    table(run.throughput, &run.latency_ns, &run.results, to)?;
    let reasons = run.results.iter().flat_map(|result| result.reasons.iter().map(move |reason| (result, reason)));
    for (result, (reason, times)) in reasons.take(MOST_RESULTS) {
        writeln!(to, "{DIM}{} x {}: {}{DIM:#}", count(*times), shown(&result.result), shown(reason))?;
    }
    for (result, command) in
        run.results.iter().filter_map(|result| Some((result, result.reproduce.as_ref()?))).take(MOST_RESULTS)
    {
        writeln!(to, "{DIM}{} again: {command}{DIM:#}", shown(&result.result))?;
    }
    if let Some(TimeSplit { running_ns, waiting_ns, queued_ns }) = run.time {
        let all = (running_ns + waiting_ns + queued_ns).max(1) as f64;
        let share = |ns: u64| format!("{:.1} %", ns as f64 * 100.0 / all);
        let (running, waiting, queued) = (share(running_ns), share(waiting_ns), share(queued_ns));
        writeln!(
            to,
            "time        {running} running, {waiting} waiting, at least {queued} queued (ready, its thread busy)"
        )?;
    }
    run.network.iter().try_for_each(|network| network_lines(network, to))?;
    schedule(run, to)?;
    for note in notes(run, clock_ns) {
        writeln!(to, "{note}")?;
    }
    for fault in &run.faults {
        let numbers = numbers(&fault.numbers);
        let times = if fault.times > 1 { format!(", {} times", count(fault.times)) } else { String::new() };
        writeln!(to, "{BAD}fault: {}{times}{numbers}{BAD:#}", fault.message)?;
    }
    writeln!(to)
}

/// What decides when operations start.
pub(super) fn model(plan: &PlanReport) -> String {
    let rest = |name: &str, time: String| format!(", {name} {time}");
    match plan.load_model {
        ModelName::Closed => {
            let pause = plan.pause_ns.map(|(least, most)| match least == most {
                true => rest("pause", duration(least)),
                false => rest("pause", format!("{} to {}", duration(least), duration(most))),
            });
            let ramp = (plan.ramp_ns > 0).then(|| rest("ramp", duration(plan.ramp_ns)));
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

/// How an open run kept to its schedule, and what else is to be known of the machine that made the load.
fn schedule(run: &RunReport, to: &mut impl Write) -> io::Result<()> {
    let time = |ns: Option<u64>| ns.map_or_else(|| "-".to_owned(), duration);
    if let Some(lag) = &run.schedule_lag_ns {
        let Summary { p50, p99, max, .. } = &run.service_ns;
        writeln!(
            to,
            "service     p50 {}, p99 {}, max {}, from start to end; the table counts from when operations were due",
            time(*p50),
            time(*p99),
            time(*max)
        )?;
        writeln!(
            to,
            "lag         p50 {}, p99 {}, max {}, from due to start",
            time(lag.p50),
            time(lag.p99),
            time(lag.max)
        )?;
        if run.operations.dropped > 0 {
            let dropped = count(run.operations.dropped);
            let offered = count(run.operations.offered);
            writeln!(to, "{BAD}dropped     {dropped} of {offered} were due and never started{BAD:#}")?;
        }
    }
    if run.generator.limited {
        writeln!(to, "{BAD}generator-limited: the machine that made the load was the limit, not the target{BAD:#}")?;
    }
    run.generator.reasons.iter().try_for_each(|reason| writeln!(to, "generator   {reason}"))
}

fn network_lines(network: &NetworkReport, to: &mut impl Write) -> io::Result<()> {
    let NetworkReport { requests, opened, reused, bytes_in, bytes_out, connect_ns, first_byte_ns, .. } = network;
    let bytes = |bytes: &u64| bytesize::ByteSize(*bytes).display().si().to_string();
    if *requests + *opened > 0 {
        let per = network.requests_per_operation.map(|per| format!(" ({per:.2} per operation)")).unwrap_or_default();
        let median = |summary: &Summary| summary.p50.map_or_else(|| "-".to_owned(), duration);
        writeln!(
            to,
            "http        {}{per} over {}, {} reused; {} in, {} out; connect p50 {}, first byte p50 {}",
            counted(*requests, "request"),
            counted(*opened, "new connection"),
            count(*reused),
            bytes(bytes_in),
            bytes(bytes_out),
            median(connect_ns),
            median(first_byte_ns),
        )?;
    }
    for refusal in &network.refused {
        let times = counted(refusal.count, "time");
        match &refusal.flag {
            Some(flag) => writeln!(to, "{BAD}refused     {times}: {flag} would grant it{BAD:#}")?,
            None => writeln!(to, "{BAD}refused     {times}: other destinations{BAD:#}")?,
        }
    }
    Ok(())
}

fn startup(startup: &StartupReport) -> String {
    let mut steps = vec![
        format!("{} {}", if startup.cached { "compiled before" } else { "compile" }, duration(startup.compile)),
        format!("spawn {}", duration(startup.spawn)),
        format!("load {}", duration(startup.load)),
        format!("instantiate {}", duration(startup.instantiate)),
    ];
    steps.extend(startup.setup.map(|ns| format!("setup {}", duration(ns))));
    steps.join(", ")
}

/// What a reader of the table must know.
fn notes(run: &RunReport, clock_ns: f64) -> Vec<String> {
    let mut notes = Vec::new();
    let operations = &run.operations;
    if operations.lost > 0 {
        notes.push(format!(
            "{BAD}{} of {} operations are lost: handed out and never confirmed{BAD:#}",
            count(operations.lost),
            count(operations.offered)
        ));
    }
    if !run.cut.is_empty() {
        let ages: Vec<_> = run.cut.iter().take(MOST_AGES).map(|cut| duration(cut.age_ns)).collect();
        let more = if run.cut.len() > MOST_AGES { ", …" } else { "" };
        notes.push(format!(
            "{BAD}{} cut at the end, at the age of {}{more}{BAD:#}",
            counted(run.cut.len() as u64, "operation"),
            ages.join(", ")
        ));
    }
    if run.folded > 0 {
        notes.push(format!(
            "{} operations returned more distinct results than are told apart: they are counted as (other), and figures \
             per result are lower bounds",
            count(run.folded)
        ));
    }
    if run.latency_ns.overflow > 0 {
        notes.push(format!(
            "{} operations took longer than the hour that percentiles reach to",
            run.latency_ns.overflow
        ));
    }
    if run.latency_ns.p50.is_some_and(|ns| (ns as f64) < clock_ns * 10.0) {
        notes.push(format!(
            "{DIM}durations are near the cost of reading the clock ({clock_ns} ns), which they contain{DIM:#}"
        ));
    }
    notes
}

/// The line of all results, a line per result, and beneath it one per span.
fn table(throughput: Option<f64>, all: &Summary, results: &[ResultReport], to: &mut impl Write) -> io::Result<()> {
    let mut rows = vec![Row::new("all".into(), throughput, all, Style::new())];
    for result in results.iter().take(MOST_RESULTS) {
        let mark = match result.outcome {
            Outcome::Ok => "",
            Outcome::Failed => "  failed",
            Outcome::Trapped => "  trapped",
            Outcome::TimedOut => "  timed out",
        };
        let style = if result.outcome == Outcome::Ok { Style::new() } else { BAD };
        let name = format!("{}{mark}", shown(&result.result));
        rows.push(Row::new(name, result.throughput, &result.latency_ns, style));
        for span in &result.spans {
            rows.push(Row::new(format!("  {}", shown(&span.name)), None, &span.latency_ns, DIM));
        }
    }
    let head = ["", "operations", "ops/sec", "avg", "min", "p50", "p95", "p99", "max"].map(str::to_owned);
    let mut widths = head.clone().map(|cell| cell.chars().count());
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(&row.cells) {
            *width = (*width).max(cell.chars().count());
        }
    }
    line(&head, &widths, DIM, to)?;
    rows.iter().try_for_each(|row| line(&row.cells, &widths, row.style, to))?;
    if results.len() > MOST_RESULTS {
        let rest: u64 = results.iter().skip(MOST_RESULTS).map(|result| result.operations).sum();
        writeln!(to, "{DIM}{} more results with {} operations{DIM:#}", results.len() - MOST_RESULTS, count(rest))?;
    }
    Ok(())
}

struct Row {
    cells: [String; 9],
    style: Style,
}

impl Row {
    fn new(name: String, throughput: Option<f64>, summary: &Summary, style: Style) -> Self {
        let time = |ns: Option<u64>| ns.map_or_else(String::new, duration);
        let cells = [
            name,
            count(summary.count),
            throughput.map_or_else(String::new, rate),
            time(summary.mean),
            time(summary.min),
            time(summary.p50),
            time(summary.p95),
            time(summary.p99),
            time(summary.max),
        ];
        Self { cells, style }
    }
}

fn line(cells: &[String; 9], widths: &[usize; 9], style: Style, to: &mut impl Write) -> io::Result<()> {
    let [name, figures @ ..] = cells;
    let [name_width, figure_widths @ ..] = widths;
    let mut text = format!("{name:<name_width$}");
    for (cell, width) in figures.iter().zip(figure_widths) {
        text.push_str(&format!("  {cell:>width$}"));
    }
    writeln!(to, "{style}{}{style:#}", text.trim_end())
}

/// Inclusive ranges, as many as fit a line.
fn numbers(ranges: &[(u64, u64)]) -> String {
    const MOST_RANGES: usize = 10;
    if ranges.is_empty() {
        return String::new();
    }
    let shown: Vec<_> = ranges
        .iter()
        .take(MOST_RANGES)
        .map(|&(from, to)| if from == to { from.to_string() } else { format!("{from}-{to}") })
        .collect();
    let more = if ranges.len() > MOST_RANGES { ", …" } else { "" };
    format!(" (numbers {}{more})", shown.join(", "))
}

/// A guest's text, made safe for a terminal and short enough for a line.
fn shown(text: &str) -> String {
    if text.is_empty() {
        return "(empty)".into();
    }
    let mut safe: String =
        text.chars().take(WIDEST_NAME).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(WIDEST_NAME).is_some() {
        safe.push('…');
    }
    safe
}

#[cfg(test)]
mod tests {
    use crate::report::tests::{environment, open_record, record};
    use crate::report::{Report, text};

    fn plain(report: &Report) -> String {
        let mut styled = Vec::new();
        text::write(report, anstream::StripStream::new(&mut styled)).unwrap();
        String::from_utf8(styled).unwrap()
    }

    #[test]
    fn a_run_of_every_outcome() {
        insta::assert_snapshot!(plain(&Report::new(environment(), &[record(4)])));
    }

    #[test]
    fn a_suite_has_its_total_first() {
        let mut report = Report::new(environment(), &[record(1), record(2)]);
        let expression: crate::report::verdict::Expression = "p99>1ms".parse().unwrap();
        report.verdicts = vec![expression.judge(1, &report.runs[1])];
        report.partial = true;
        insta::assert_snapshot!(plain(&report));
    }

    #[test]
    fn an_open_run_that_could_not_keep_to_its_schedule() {
        insta::assert_snapshot!(plain(&Report::new(environment(), &[open_record()])));
    }

    #[test]
    fn a_run_of_nothing() {
        let mut nothing = record(1);
        nothing.metrics = Default::default();
        insta::assert_snapshot!(plain(&Report::new(environment(), &[nothing])));
    }
}
