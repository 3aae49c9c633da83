//! Reports, searches and comparisons as Markdown, for the summaries of jobs and for comments: GitHub's dialect, which
//! GitLab reads too.
//!
//! What guests, files and the network say stands in code: nobody is mentioned, and nothing becomes a link or a tag.

use std::io::{self, Write};

use crate::guest_text::line;
use crate::judging::compare::{Comparison, Difference, Finding, Pair, Row};
use crate::metrics::Outcome;
use crate::report::find::{FindReport, Probe, came_to, changes, failure, implied, sentence, together};
use crate::report::units::{count, duration, or_dash, percent, rate};
use crate::report::words::{self, Part, Tone, Word};
use crate::report::{Moment, Report, ResultReport, RunReport, Summary, suite};

/// The most rows of a table. A line sums up the rest.
const MOST_ROWS: usize = 50;

/// Writes `report`: a heading that says how it ended, its verdicts, and tables.
pub fn report(report: &Report, mut to: impl Write) -> io::Result<()> {
    let (tone, state) = words::state(report, Moment::Ended);
    let name = report.suite.as_ref().and_then(|suite| suite.name.as_deref());
    match report.runs.as_slice() {
        [one] if !report.has_several_runs() => {
            writeln!(to, "### {} {state}: {}\n", sign(tone), code(words::file_name(words::subject(one))))?;
            list(&words::of_report(report, Moment::Ended), &mut to)?;
            run(one, report, &mut to)?;
        }
        runs => {
            let name = name.map(|name| format!("{}, ", code(name))).unwrap_or_default();
            writeln!(to, "### {} {state}: {name}{}\n", sign(tone), words::runs(report))?;
            list(&words::of_report(report, Moment::Ended), &mut to)?;
            at_a_glance(report, &mut to)?;
            for (i, one) in runs.iter().enumerate() {
                let summary = html(&format!("run {}: {}", i + 1, line(&words::short(one))));
                writeln!(to, "<details><summary>{summary}</summary>\n")?;
                run(one, report, &mut to)?;
                writeln!(to, "</details>\n")?;
            }
        }
    }
    if let Some(command) = &report.command {
        writeln!(to, "reproduce: {}\n", code(command))?;
    }
    let environment = &report.environment;
    let processor = environment.processor.as_deref().map(|model| format!(" ({})", code(model))).unwrap_or_default();
    let (gorgon, cpus) = (code(&report.gorgon), environment.cpus);
    writeln!(to, "gorgon {gorgon} on {}, {cpus} processors{processor}", code(&environment.os))?;
    to.flush()
}

/// All runs at a glance.
fn at_a_glance(report: &Report, to: &mut impl Write) -> io::Result<()> {
    head(&[&["", "run"][..], &words::SUITE_HEAD].concat(), 3, to)?;
    for of in suite::rows(report) {
        let name = format!("{}{}", cell(&of.name), words::suite_times(&of));
        row(&[&[of.numbers[0].to_string(), name][..], &words::suite_cells(&of)].concat(), to)?;
    }
    writeln!(to)
}

fn run(run: &RunReport, report: &Report, to: &mut impl Write) -> io::Result<()> {
    writeln!(to, "{}\n", escaped(&words::headline(run)))?;
    head(&["result", "operations", "ops/s", "p50", "p95", "p99", "max"], 1, to)?;
    figures("all".into(), or_dash(run.throughput, rate), &run.latency_ns, to)?;
    if let Some((ok, share)) = run.ok.as_ref().zip(run.operations.share_not_ok().filter(|&share| share > 0.0)) {
        let name = format!("ok ({} not)", percent(share));
        figures(name, or_dash(ok.throughput, rate), &ok.latency_ns, to)?;
    }
    let results: Vec<&ResultReport> = words::by_failure(&run.results).collect();
    for result in results.iter().take(MOST_ROWS) {
        let sign = if result.outcome == Outcome::Ok { "" } else { "❌ " };
        let name = format!("{sign}{}", cell(result.result.raw()));
        figures(name, or_dash(result.throughput, rate), &result.latency_ns, to)?;
    }
    writeln!(to)?;
    if let Some(rest) = results.get(MOST_ROWS..).filter(|rest| !rest.is_empty()) {
        let operations: u64 = rest.iter().map(|result| result.operations).sum();
        writeln!(to, "{} more results with {} operations\n", count(rest.len() as u64), count(operations))?;
    }
    if !run.spans.is_empty() {
        head(&["span", "count", "failed", "per s", "p50", "p95", "p99", "max"], 1, to)?;
        for span in run.spans.iter().take(MOST_ROWS) {
            let Summary { count: number, p50, p95, p99, max, .. } = span.latency_ns;
            let times = [p50, p95, p99, max].map(|ns| or_dash(ns, duration));
            let failed = or_dash(span.failed, count);
            let counted = [cell(span.name.raw()), count(number), failed, or_dash(span.throughput, rate)];
            row(&[&counted[..], &times].concat(), to)?;
        }
        writeln!(to)?;
    }
    let said: Vec<Word> = words::of_run(run, report.environment.clock_ns);
    list(&said.into_iter().filter(|word| word.tone != Tone::Good).collect::<Vec<_>>(), to)?;
    writeln!(to, "{}\n", escaped(&format!("{}, {}", words::model(&run.plan), words::shape(run))))
}

/// A row of durations behind a name and a rate.
fn figures(name: String, throughput: String, summary: &Summary, to: &mut impl Write) -> io::Result<()> {
    let Summary { count: number, p50, p95, p99, max, .. } = *summary;
    let times = [p50, p95, p99, max].map(|ns| or_dash(ns, duration));
    row(&[&[name, count(number), throughput][..], &times].concat(), to)
}

/// Writes the probes of a search and its answer.
pub fn find(report: &FindReport, mut to: impl Write) -> io::Result<()> {
    let promises: Vec<String> = report.slo.iter().map(|promise| code(promise)).collect();
    writeln!(to, "### {}: the highest rate with {}\n", code(&report.task), promises.join(" and "))?;
    writeln!(to, "**{}**\n", escaped(&line(&sentence(report))))?;
    head(&["rate", "for", "offered", "completed", "p50", "p99", "not ok", "result"], 0, &mut to)?;
    let probes = report.by_rate();
    for probe in &probes {
        row(&probed(probe), &mut to)?;
    }
    writeln!(to)?;
    let said = report.rates.iter().filter_map(|rate| together(rate, &probes));
    let void =
        report.void.iter().map(|of| format!("{}/s: void, to be run again: {}", rate(of.rate), of.why.join("; ")));
    for said in said.chain(void).chain(changes(report)).chain(failure(report)).chain(implied(report)) {
        writeln!(to, "- {}", escaped(&line(said.trim())))?;
    }
    to.flush()
}

fn probed(probe: &Probe) -> [String; 8] {
    [
        format!("{}/s", rate(probe.rate)),
        or_dash(probe.lasting_ns, duration),
        count(probe.offered),
        or_dash(probe.throughput, |of| format!("{}/s", rate(of))),
        or_dash(probe.latency_ns.p50, duration),
        or_dash(probe.latency_ns.p99, duration),
        percent(probe.failed),
        escaped(&line(&came_to(probe))).replace('|', "\\|"),
    ]
}

/// Writes the pairs of a comparison, and what it comes to.
pub fn compare(comparison: &Comparison, mut to: impl Write) -> io::Result<()> {
    let is_slower = comparison.fail_if_slower.map(|slower| slower.held);
    let sign = is_slower.map_or("", |held| if held { "❌ " } else { "✅ " });
    writeln!(to, "### {sign}comparison\n")?;
    for said in comparison.verdict().into_iter().chain(comparison.together()) {
        writeln!(to, "**{}**\n", escaped(&line(&said)))?;
    }
    comparison.pairs.iter().try_for_each(|pair| compared(pair, &mut to))?;
    to.flush()
}

fn compared(pair: &Pair, to: &mut impl Write) -> io::Result<()> {
    writeln!(to, "**{}**\n", escaped(&line(&pair.sentence)))?;
    for (name, runs) in [("A", &pair.a), ("B", &pair.b)] {
        writeln!(to, "- {name}: {}: {}", code(&runs.files()), escaped(&line(&runs.text())))?;
    }
    for field in &pair.differs {
        writeln!(to, "- ❌ the plans differ: {}", escaped(&line(field)))?;
    }
    writeln!(to)?;
    head(&["", "A", "B", "difference", "interval", ""], 1, to)?;
    pair.figures.iter().try_for_each(|of| row(&difference(of), to))?;
    writeln!(to, "\n{}\n", escaped(&pair.levels()))?;
    for note in &pair.notes {
        writeln!(to, "- {}", escaped(&line(note)))?;
    }
    writeln!(to)
}

fn difference(of: &Difference) -> [String; 6] {
    let Row { name, a, b, difference, interval, finding } = of.row();
    let sign = match of.finding {
        Finding::Slower | Finding::FailsMore => "❌ ",
        Finding::Faster | Finding::FailsLess => "✅ ",
        Finding::Nothing => "",
    };
    [escaped(name), a, b, difference, interval, format!("{sign}{finding}")]
}

/// The head of a table, of which the first `names` columns are aligned to the left.
fn head(names: &[&str], left: usize, to: &mut impl Write) -> io::Result<()> {
    row(names, to)?;
    let rules: Vec<&str> = (0..names.len()).map(|i| if i < left { ":--" } else { "--:" }).collect();
    row(&rules, to)
}

fn row<S: AsRef<str>>(cells: &[S], to: &mut impl Write) -> io::Result<()> {
    let cells: Vec<&str> = cells.iter().map(AsRef::as_ref).collect();
    writeln!(to, "| {} |", cells.join(" | "))
}

/// Sentences as a list.
fn list(words: &[Word], to: &mut impl Write) -> io::Result<()> {
    for word in words {
        let text: String = word.parts.iter().map(part).collect();
        writeln!(to, "- {} {text}", sign(word.tone))?;
    }
    if words.is_empty() { Ok(()) } else { writeln!(to) }
}

fn part(part: &Part) -> String {
    match part {
        Part::Plain(text) => escaped(text),
        Part::Code(text) | Part::Foreign(text) => code(text),
    }
}

fn sign(tone: Tone) -> &'static str {
    match tone {
        Tone::Bad => "❌",
        Tone::Warning => "⚠️",
        Tone::Good => "✅",
        Tone::Plain => "ℹ️",
    }
}

/// Gorgon's own words: whatever means something in Markdown is escaped.
fn escaped(text: &str) -> String {
    let means_something = |c: char| "\\`*_[]<>#~|@".contains(c);
    text.chars().flat_map(|c| means_something(c).then_some('\\').into_iter().chain([c])).collect()
}

/// Foreign text on a line, as code.
fn code(text: &str) -> String {
    let text = line(text);
    if text.trim().is_empty() {
        return "(empty)".into();
    }
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    let (fence, blank) = ("`".repeat(longest + 1), if longest > 0 { " " } else { "" });
    format!("{fence}{blank}{text}{blank}{fence}")
}

/// Foreign text in a table, whose cells end at a bar even within code.
fn cell(text: &str) -> String {
    code(text).replace('|', "\\|")
}

/// Foreign text within a tag.
fn html(text: &str) -> String {
    maud::html! { (text) }.into_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rendering::find::tests::{answer, search};
    use crate::report::tests::{environment, http_record, record};

    fn text(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> String {
        let mut text = Vec::new();
        write(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn what_others_say_is_code() {
        for (foreign, expected) in [
            ("under 200", "`under 200`"),
            ("@ada see #1 <b>", "`@ada see #1 <b>`"),
            ("a ` b `` c", "``` a ` b `` c ```"),
            ("a | b", "`a \\| b`"),
            ("two\nlines", "`two lines`"),
            (" ", "(empty)"),
        ] {
            assert_eq!(cell(foreign), expected);
        }
        assert_eq!(html("<script>"), "&lt;script&gt;");
        assert_eq!(escaped("p99 *is* <1 s>"), "p99 \\*is\\* \\<1 s\\>");
    }

    #[test]
    fn a_run_a_suite_and_a_search() {
        let one = Report::new(environment(), &[record(4)]);
        let suite = Report::new(environment(), &[record(1), http_record()]);
        insta::assert_snapshot!(text(|to| report(&one, to)));
        insta::assert_snapshot!("markdown_of_a_suite", text(|to| report(&suite, to)));
        let found = search(Some(answer(Some(1_000.0), Some(1_200.0), None)));
        insta::assert_snapshot!("markdown_of_a_search", text(|to| find(&found, to)));
    }
}
