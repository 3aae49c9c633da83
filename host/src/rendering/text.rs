//! The text report in the terminal.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use crate::guest_text;
use crate::metrics::{Measure, Outcome, TimeSplit};
use crate::report::units::{bytes, count, counted, duration, or_dash, percent, rate};
use crate::report::words::{self, Tone, Word};
use crate::report::{ModelName, Moment, NetworkReport, Report, ResultReport, RunReport, StartupReport, Summary, Total};

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const BAD: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red)));

/// The most characters of a result in the table; the JSON report has the whole text.
const WIDEST_NAME: usize = 40;

/// The most results in the table. A line sums up the rest; the JSON report has them all.
const MOST_RESULTS: usize = 30;

/// Writes `report`; a suite begins with its total. Styles are escape sequences, which `to` removes if its reader cannot
/// show them.
pub fn write(report: &Report, mut to: impl Write) -> io::Result<()> {
    if report.runs.len() > 1 {
        total(&report.total, report.runs.len(), &mut to)?;
    }
    for report_of_run in &report.runs {
        run(report_of_run, report.environment.clock_ns, &mut to)?;
    }
    sentences(words::of_report(report, Moment::Ended), &mut to)
}

/// The sentences, without the good ones.
fn sentences(words: Vec<Word>, to: &mut impl Write) -> io::Result<()> {
    for word in words.iter().filter(|word| word.tone != Tone::Good) {
        let style = match word.tone {
            Tone::Bad => BAD,
            Tone::Plain => DIM,
            Tone::Warning | Tone::Good => Style::new(),
        };
        writeln!(to, "{style}{}{style:#}", word.text(guest_text::line))?;
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
    let name = run.name.as_ref().map(|name| format!("{}: ", shown(name))).unwrap_or_default();
    let (task, shape, model) = (guest_text::line(&run.task.path), words::shape(run), words::model(&run.plan));
    writeln!(to, "{BOLD}{name}{task}{BOLD:#}  {shape}, {model}")?;
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
        writeln!(to, "{DIM}{} x {}: {}{DIM:#}", count(*times), shown(result.result.raw()), shown(reason.raw()))?;
    }
    for (result, command) in
        run.results.iter().filter_map(|result| Some((result, result.reproduce.as_ref()?))).take(MOST_RESULTS)
    {
        writeln!(to, "{DIM}{} again: {}{DIM:#}", shown(result.result.raw()), guest_text::line(command))?;
    }
    if let Some(TimeSplit { running_ns, waiting_ns, queued_ns }) = run.time {
        let all = (running_ns + waiting_ns + queued_ns).max(1) as f64;
        let share = |ns: u64| percent(ns as f64 / all);
        let (running, waiting, queued) = (share(running_ns), share(waiting_ns), share(queued_ns));
        writeln!(
            to,
            "time        {running} running, {waiting} waiting, at least {queued} queued (ready, its thread busy)"
        )?;
    }
    run.network.iter().try_for_each(|of| network(of, to))?;
    schedule(run, to)?;
    sentences(words::of_run(run, clock_ns), to)?;
    writeln!(to)
}

/// How well an open run kept to its schedule.
fn schedule(run: &RunReport, to: &mut impl Write) -> io::Result<()> {
    if run.plan.load_model == ModelName::Closed {
        return Ok(());
    }
    let time = |ns: Option<u64>| or_dash(ns, duration);
    // The table shows the latencies.
    for measure in Measure::ALL.into_iter().filter(|&measure| measure != Measure::Latency) {
        let Some(of) = run.measured(measure) else { continue };
        let (name, span) = words::measure(measure);
        let note = if measure == Measure::Service { "; the table counts from when operations were due" } else { "" };
        writeln!(to, "{name:<10}  p50 {}, p99 {}, max {}, {span}{note}", time(of.p50), time(of.p99), time(of.max))?;
    }
    Ok(())
}

fn network(network: &NetworkReport, to: &mut impl Write) -> io::Result<()> {
    let NetworkReport { requests, opened, reused, bytes_in, bytes_out, connect_ns, first_byte_ns, .. } = network;
    if *requests + *opened == 0 {
        return Ok(());
    }
    let per = network.requests_per_operation.map(|per| format!(" ({per:.2} per operation)")).unwrap_or_default();
    let median = |summary: &Summary| or_dash(summary.p50, duration);
    writeln!(
        to,
        "http        {}{per} over {}, {} reused; {} in, {} out; connect p50 {}, first byte p50 {}",
        counted(*requests, "request"),
        counted(*opened, "new connection"),
        count(*reused),
        bytes(*bytes_in),
        bytes(*bytes_out),
        median(connect_ns),
        median(first_byte_ns),
    )
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

/// The line of all results, then a line per result, each followed by a line per span.
fn table(throughput: Option<f64>, all: &Summary, results: &[ResultReport], to: &mut impl Write) -> io::Result<()> {
    let mut rows = vec![TextRow::new("all".into(), throughput, all, Style::new())];
    for result in results.iter().take(MOST_RESULTS) {
        let mark = match result.outcome {
            Outcome::Ok => String::new(),
            outcome => format!("  {}", words::outcome(outcome)),
        };
        let style = if result.outcome == Outcome::Ok { Style::new() } else { BAD };
        let name = format!("{}{mark}", shown(result.result.raw()));
        rows.push(TextRow::new(name, result.throughput, &result.latency_ns, style));
        for span in &result.spans {
            rows.push(TextRow::new(format!("  {}", shown(span.name.raw())), None, &span.latency_ns, DIM));
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

struct TextRow {
    cells: [String; 9],
    style: Style,
}

impl TextRow {
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

/// A guest's text, escaped and shortened to fit on a line.
fn shown(text: &str) -> String {
    if text.is_empty() {
        return "(empty)".into();
    }
    let mut shown: String = guest_text::line(text).chars().take(WIDEST_NAME).collect();
    if text.chars().nth(WIDEST_NAME).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use crate::rendering::text;
    use crate::report::Report;
    use crate::report::tests::{environment, open_record, record};

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
        let expression: crate::judging::verdict::Expression = "p99>1ms".parse().unwrap();
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
