//! The text report in the terminal: a sentence, the verdicts, and tables that fit its columns.

mod boxes;
mod table;

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use self::table::{Column, Counted, TextRow, columns, table};
use super::lines::{self, Sheet, cut, prose, width};
use crate::guest_text;
use crate::metrics::{Measure, Outcome};
use crate::report::suite::{self, SuiteRow};
use crate::report::units::{bytes, count, counted, duration, or_dash, percent};
use crate::report::words::{self, Tone, Word};
use crate::report::{
    Counts, GroupReport, ModelName, Moment, NetworkReport, Report, ResultReport, RunReport, SpanReport, StartupReport,
    Summary, WorkerReport, curves,
};

/// Where the text of a note begins, behind its label.
const NOTES: usize = 12;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const BAD: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red)));
const GOOD: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Green)));

/// The most results, or spans, in a table. A line sums up the rest; the JSON report has them all.
const MOST_ROWS: usize = 30;

/// The most lines of a result that failed without a reason.
const MOST_LINES: usize = 3;

/// Where the spans are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanRows {
    /// In a table over all results.
    Together,
    /// Beneath each result.
    ByResult,
}

/// What a text report shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Detail {
    /// Where the spans are shown.
    pub spans: SpanRows,
    /// Whether the distribution of durations is drawn.
    pub histogram: bool,
    /// How many columns a line may have. At 80, the tables have their most important columns only.
    pub columns: usize,
}

/// Writes `report`; a suite begins with a table of its runs. Styles are escape sequences, which `to` removes if its
/// reader cannot show them.
pub fn write(report: &Report, detail: Detail, to: impl Write) -> io::Result<()> {
    let mut to = Sheet::new(to, detail.columns);
    signed(&words::alarms(report), &mut to)?;
    let verdicts = words::verdicts(report, Moment::Ended);
    runs(report, &verdicts, detail, &mut to)?;
    if report.runs.is_empty() {
        return Ok(());
    }
    // Whoever finds the report later knows what made it.
    writeln!(to)?;
    if let Some(command) = &report.command {
        lines::command("reproduce: ", command, DIM, &mut to)?;
    }
    prose("", 2, &guest_text::line(&words::machine(report)), DIM, &mut to)
}

fn runs(report: &Report, verdicts: &[Word], detail: Detail, to: &mut Sheet<impl Write>) -> io::Result<()> {
    match report.runs.as_slice() {
        [one] if !report.has_several_runs() => run(None, one, report, verdicts, detail, to),
        runs => {
            at_a_glance(report, verdicts, to)?;
            runs.iter().enumerate().try_for_each(|(i, one)| {
                writeln!(to)?;
                run(Some(i + 1), one, report, &[], detail, to)
            })
        }
    }
}

/// A part of the report on a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The table of results.
    Results,
    /// The tables of spans and requests.
    Spans,
    /// How the durations are distributed.
    Durations,
    /// The workers and boxes.
    Workers,
}

/// A part of the report on `run`, in lines of so many columns, without styles.
pub fn part(run: &RunReport, part: Part, columns: usize) -> String {
    let mut text = Vec::new();
    let mut to = Sheet::new(anstream::StripStream::new(&mut text), columns);
    let written = match part {
        Part::Results => results(run, SpanRows::Together, &mut to),
        Part::Spans => spans(run, &mut to).and_then(|()| requests(run, &mut to)),
        Part::Durations => histogram(&run.latency_ns, &mut to),
        Part::Workers => workers(run, &mut to).and_then(|()| boxes::write(run, &mut to)),
    };
    // A vector takes everything.
    debug_assert!(written.is_ok(), "{written:?}");
    String::from_utf8_lossy(&text).trim_start_matches('\n').to_owned()
}

/// The worker processes.
fn workers(run: &RunReport, to: &mut Sheet<impl Write>) -> io::Result<()> {
    let row = |of: &WorkerReport| {
        let busiest = of.timeline.last().and_then(|health| health.busiest_thread);
        let of_box = of.of_box.as_ref().map(|name| format!(" on {}", guest_text::line(name))).unwrap_or_default();
        let cells = vec![
            count(of.threads.into()),
            count(of.operations),
            or_dash(of.cpu_ns, duration),
            or_dash(of.peak_rss_bytes, bytes),
            or_dash(busiest, percent),
        ];
        TextRow { name: format!("process {}{of_box}", of.process), cells, style: Style::new() }
    };
    let heads = ["threads", "operations", "cpu time", "memory", "busiest thread"].map(Column::always);
    columns("worker", &heads, &run.workers.iter().map(row).collect::<Vec<_>>(), to)
}

/// Sentences with a sign in front, each with its colour.
fn signed(words: &[Word], to: &mut Sheet<impl Write>) -> io::Result<()> {
    for word in words {
        let (sign, style) = match word.tone {
            Tone::Bad => ("✗", BAD),
            Tone::Warning => ("!", Style::new()),
            Tone::Good => ("✓", GOOD),
            Tone::Plain => ("-", DIM),
        };
        prose(&format!("{sign} "), 2, &word.text(guest_text::line), style, to)?;
    }
    Ok(())
}

/// Sentences on a run, without the good ones.
fn sentences(words: Vec<Word>, to: &mut Sheet<impl Write>) -> io::Result<()> {
    for word in words.iter().filter(|word| word.tone != Tone::Good) {
        let style = match word.tone {
            Tone::Bad => BAD,
            Tone::Plain => DIM,
            Tone::Warning | Tone::Good => Style::new(),
        };
        prose("", 2, &word.text(guest_text::line), style, to)?;
    }
    Ok(())
}

/// A note: its label, and its text beside it.
fn note(label: &str, text: &str, to: &mut Sheet<impl Write>) -> io::Result<()> {
    prose(&format!("{label:<NOTES$}"), NOTES, text, Style::new(), to)
}

/// All runs at a glance.
fn at_a_glance(report: &Report, verdicts: &[Word], to: &mut Sheet<impl Write>) -> io::Result<()> {
    let name = report.suite.as_ref().and_then(|suite| suite.name.as_deref()).map(|name| format!("{name}: "));
    let (runs, all) = (words::runs(report), words::headline_of_suite(report));
    let sentence = format!("{}{runs}, {all}", name.unwrap_or_default());
    prose("", 2, &guest_text::line(&sentence), BOLD, to)?;
    signed(verdicts, to)?;
    if report.runs.is_empty() {
        return prose("", 2, "no run has begun", Style::new(), to);
    }
    writeln!(to)?;
    let row = |of: &SuiteRow| {
        let name = format!("{} {}{}", of.numbers[0], guest_text::line(&of.name), words::suite_times(of));
        let is_bad = of.not_ok.is_some_and(|share| share > 0.0) || of.lost > 0;
        TextRow { name, cells: words::suite_cells(of).to_vec(), style: if is_bad { BAD } else { Style::new() } }
    };
    let rows: Vec<_> = suite::rows(report).iter().map(row).collect();
    // What is left out first if there is no room.
    let column = |head| if head == "operations" { Column::ranked(head, 1) } else { Column::always(head) };
    columns("run", &words::SUITE_HEAD.map(column), &rows, to)
}

fn tone(not_ok: u64) -> Style {
    if not_ok > 0 { BAD } else { Style::new() }
}

fn run(
    number: Option<usize>,
    run: &RunReport,
    report: &Report,
    verdicts: &[Word],
    detail: Detail,
    to: &mut Sheet<impl Write>,
) -> io::Result<()> {
    let known_by: Vec<String> =
        number.map(|number| format!("run {number}")).into_iter().chain(run.name.clone()).collect();
    let known_by = if known_by.is_empty() { String::new() } else { known_by.join(", ") + ": " };
    let sentence = format!("{known_by}{}: {}", words::subject(run), words::headline(run));
    prose("", 2, &guest_text::line(&sentence), BOLD, to)?;
    prose("", 2, &format!("{}, {}", words::model(&run.plan), words::shape(run)), Style::new(), to)?;
    signed(verdicts, to)?;
    writeln!(to)?;
    results(run, detail.spans, to)?;
    if detail.spans == SpanRows::Together {
        spans(run, to)?;
    }
    requests(run, to)?;
    if detail.histogram {
        histogram(&run.latency_ns, to)?;
    }
    writeln!(to)?;
    for result in words::by_failure(&run.results).take(MOST_ROWS) {
        let whole = named(result.result.raw());
        if result.outcome != Outcome::Ok && result.reasons.is_empty() && whole != short_name(result, to.columns) {
            // Nothing else says why these failed.
            let whole = format!("{} x {}", count(result.operations), cut(&whole, MOST_LINES * to.columns));
            prose("", 2, &whole, DIM, to)?;
        }
        for (reason, times) in &result.reasons {
            let (result, reason) = (short_name(result, to.columns), guest_text::line(reason.raw()));
            writeln!(to, "{DIM}{}{DIM:#}", cut(&format!("{} x {result}: {reason}", count(*times)), to.columns))?;
        }
        if let Some(command) = &result.reproduce {
            lines::command(&format!("{} again: ", short_name(result, to.columns)), command, DIM, to)?;
        }
    }
    notes(run, to)?;
    boxes::write(run, to)?;
    sentences(words::of_run(run, report.environment.clock_ns), to)
}

/// The distribution of durations: a line for each part of it.
fn histogram(summary: &Summary, to: &mut Sheet<impl Write>) -> io::Result<()> {
    let bins = curves::bins(summary, BINS);
    let most = bins.iter().map(|bin| bin.count).max().unwrap_or_default().max(1);
    let cells: Vec<_> = bins.iter().map(|bin| (format!("up to {}", duration(bin.to_ns)), count(bin.count))).collect();
    let names = cells.iter().map(|(name, _)| width(name)).max().unwrap_or_default();
    let counts = cells.iter().map(|(_, count)| width(count)).max().unwrap_or_default();
    let room = to.columns.saturating_sub(names + counts + 4);
    if !bins.is_empty() {
        writeln!(to)?;
    }
    for ((name, number), bin) in cells.iter().zip(&bins) {
        // What is there at all is seen.
        let eighths = (bin.count as f64 / most as f64 * (room * 8) as f64).ceil() as usize;
        let bar = "█".repeat(eighths / 8) + EIGHTHS[eighths % 8];
        let pad = " ".repeat(names - width(name));
        let line = format!("{pad}{name}  {}{number}  {bar}", " ".repeat(counts - width(number)));
        writeln!(to, "{}", line.trim_end())?;
    }
    Ok(())
}

/// How many lines the distribution of durations has.
const BINS: u32 = 10;

/// The end of a bar, in eighths of a column.
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/// Where the time went, before and in the run.
fn notes(run: &RunReport, to: &mut Sheet<impl Write>) -> io::Result<()> {
    if let Some(split) = &run.time {
        let parts = words::time(split).map(|(part, share, _)| format!("{share} {part}"));
        note("time", &parts.join(", "), to)?;
    }
    run.network.iter().try_for_each(|of| network(of, to))?;
    schedule(run, to)?;
    note("start-up", &startup(&run.startup_ns), to)?;
    if let Some(warmup) = run.warmup {
        let operations = counted(warmup.operations, "operation");
        note("warm-up", &format!("{operations} in {}, not counted", duration(warmup.elapsed_ns)), to)?;
    }
    if let Some(drain_ns) = run.drain_ns.filter(|&ns| ns > 0) {
        note("draining", &format!("{} of the {}", duration(drain_ns), duration(run.elapsed_ns)), to)?;
    }
    Ok(())
}

/// How well an open run kept to its schedule.
fn schedule(run: &RunReport, to: &mut Sheet<impl Write>) -> io::Result<()> {
    if run.plan.load_model == ModelName::Closed {
        return Ok(());
    }
    let time = |ns: Option<u64>| or_dash(ns, duration);
    // The table shows the latencies.
    for measure in Measure::ALL.into_iter().filter(|&measure| measure != Measure::Latency) {
        let Some(of) = run.measured(measure) else { continue };
        let (name, span) = words::measure(measure);
        let more = if measure == Measure::Service { "; the table counts from when operations were due" } else { "" };
        note(name, &format!("p50 {}, p99 {}, max {}, {span}{more}", time(of.p50), time(of.p99), time(of.max)), to)?;
    }
    Ok(())
}

fn network(network: &NetworkReport, to: &mut Sheet<impl Write>) -> io::Result<()> {
    let NetworkReport { opened, reused, bytes_in, bytes_out, connect_ns, first_byte_ns, .. } = network;
    // Older reports do not know how many were sent.
    let sent = network.sent.unwrap_or(network.requests);
    if network.requests + *opened == 0 {
        return Ok(());
    }
    let repeated = network.repeated.unwrap_or_default();
    let unsent = network.requests.saturating_sub(sent.saturating_sub(repeated));
    let again = (repeated > 0).then(|| format!("{} sent again", count(repeated)));
    let unsent = (unsent > 0).then(|| format!("{} more were not sent", count(unsent)));
    let per = network.requests_per_operation.map(|per| format!("{per:.2} per operation"));
    let more: Vec<_> = again.into_iter().chain(unsent).chain(per).collect();
    let more = if more.is_empty() { String::new() } else { format!(" ({})", more.join(", ")) };
    let median = |summary: &Summary| or_dash(summary.p50, duration);
    let text = format!(
        "{}{more} over {}, {} reused; {} in, {} out; connect p50 {}, first byte p50 {}",
        counted(sent, "request"),
        counted(*opened, "new connection"),
        count(*reused),
        bytes(*bytes_in),
        bytes(*bytes_out),
        median(connect_ns),
        median(first_byte_ns),
    );
    note("http", &text, to)
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

/// The rows of all operations.
struct AllRows<'a> {
    throughput: Option<f64>,
    latency_ns: &'a Summary,
    ok: Option<&'a GroupReport>,
    counts: &'a Counts,
}

impl<'a> AllRows<'a> {
    fn of_run(run: &'a RunReport) -> Self {
        Self { throughput: run.throughput, latency_ns: &run.latency_ns, ok: run.ok.as_ref(), counts: &run.operations }
    }

    /// The row of all operations, and beside it one of those that were ok, if some were not.
    fn rows(&self) -> Vec<TextRow> {
        let mut rows = vec![TextRow::rated("all".into(), self.throughput, self.latency_ns, Style::new())];
        if let Some((ok, share)) = self.ok.zip(self.counts.share_not_ok().filter(|&share| share > 0.0)) {
            let name = format!("ok ({} not)", percent(share));
            rows.push(TextRow::rated(name, ok.throughput, &ok.latency_ns, Style::new()));
        }
        rows
    }
}

/// The table of results, with their spans beneath them if that is wanted.
fn results(run: &RunReport, spans: SpanRows, to: &mut Sheet<impl Write>) -> io::Result<()> {
    let mut rows = AllRows::of_run(run).rows();
    for result in words::by_failure(&run.results).take(MOST_ROWS) {
        let (sign, style) = if result.outcome == Outcome::Ok { (" ", Style::new()) } else { ("✗", BAD) };
        let name = format!("{sign} {}", named(result.result.raw()));
        rows.push(TextRow::rated(name, result.throughput, &result.latency_ns, style));
        if spans == SpanRows::ByResult {
            rows.extend(result.spans.iter().map(beneath));
        }
    }
    table("", Counted::Operations, &rows, to)?;
    let rest: Vec<u64> = words::by_failure(&run.results).skip(MOST_ROWS).map(|result| result.operations).collect();
    if !rest.is_empty() {
        let operations = count(rest.iter().sum());
        writeln!(to, "{DIM}{} more results with {operations} operations{DIM:#}", count(rest.len() as u64))?;
    }
    Ok(())
}

/// The table of spans over all results.
fn spans(run: &RunReport, to: &mut Sheet<impl Write>) -> io::Result<()> {
    if run.spans.is_empty() {
        return Ok(());
    }
    writeln!(to)?;
    table("span", Counted::Spans, &run.spans.iter().take(MOST_ROWS).map(span_row).collect::<Vec<_>>(), to)?;
    if let Some(rest) = run.spans.get(MOST_ROWS..).filter(|rest| !rest.is_empty()) {
        writeln!(to, "{DIM}{} that took less time{DIM:#}", counted(rest.len() as u64, "more span"))?;
    }
    Ok(())
}

/// The table of HTTP requests, of those that were sent.
fn requests(run: &RunReport, to: &mut Sheet<impl Write>) -> io::Result<()> {
    let Some((network, took)) = run.network.as_ref().and_then(|of| Some((of, of.duration_ns.as_ref()?))) else {
        return Ok(());
    };
    if network.requests == 0 {
        return Ok(());
    }
    let failed = network.share_failed().filter(|&share| share > 0.0);
    let name = failed.map_or_else(|| "all".to_owned(), |share| format!("all ({} failed)", percent(share)));
    let row = TextRow::rated(name, network.throughput, took, tone(network.failed.unwrap_or_default()));
    writeln!(to)?;
    table("http", Counted::Requests, &[row.counting(network.requests)], to)
}

fn span_row(span: &SpanReport) -> TextRow {
    let failed = span.failed.filter(|&failed| failed > 0);
    let style = tone(failed.unwrap_or_default());
    let row = TextRow::rated(named(span.name.raw()), span.throughput, &span.latency_ns, style);
    failed.into_iter().fold(row, TextRow::failing)
}

/// The row of a span beneath its result, which says whether the operations failed.
fn beneath(span: &SpanReport) -> TextRow {
    let name = format!("    {}", named(span.name.raw()));
    TextRow::rated(name, span.throughput, &span.latency_ns, Style::new())
}

/// The name of a result within a line of so many columns.
fn short_name(result: &ResultReport, columns: usize) -> String {
    cut(&named(result.result.raw()), columns / 3)
}

/// A guest's text on a line.
fn named(text: &str) -> String {
    if text.is_empty() { "(empty)".into() } else { guest_text::line(text) }
}

#[cfg(test)]
mod tests;
