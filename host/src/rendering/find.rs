//! The terminal output of a search for a rate.

use std::io::{self, Write};

use super::lines::wrapped;
use crate::report::find::{
    FindReport, Probe, ProbeFinding, VoidProbe, came_to, changes, failure, implied, sentence, together,
};
use crate::report::units::{count, duration, or_dash, percent, rate as per_second};

/// The width of a terminal.
const WIDTH: usize = 80;

/// The names of the columns.
pub fn head() -> String {
    columns(["rate", "for", "offered", "completed", "p50", "p99", "not ok"].map(str::to_owned), "result")
}

/// A probe as a line, or some lines if the result is long.
pub fn line(probe: &Probe) -> String {
    let time = |ns: Option<u64>| or_dash(ns, duration);
    let figures = [
        format!("{}/s", per_second(probe.rate)),
        time(probe.lasting_ns),
        count(probe.offered),
        or_dash(probe.throughput, |of| format!("{}/s", per_second(of))),
        time(probe.latency_ns.p50),
        time(probe.latency_ns.p99),
        percent(probe.failed),
    ];
    // Most of the first probes have too few operations, so that needs no line for itself.
    let is_undecided = probe.finding() == ProbeFinding::Undecided;
    let result = if is_undecided { "undecided".to_owned() } else { came_to(probe) };
    columns(figures, &result)
}

fn columns([rate, lasting, offered, completed, p50, p99, failed]: [String; 7], result: &str) -> String {
    let figures = format!("{rate:>9} {lasting:>8} {offered:>9} {completed:>9} {p50:>8} {p99:>8} {failed:>7}");
    let room = WIDTH.saturating_sub(figures.chars().count() + 2);
    if result.chars().count() <= room {
        format!("{figures}  {result}")
    } else {
        format!("{figures}\n{:INDENT$}{}", "", wrapped(result, INDENT))
    }
}

/// How far a long result is indented on its own line.
const INDENT: usize = 10;

/// A void probe as a line.
pub fn void_line(probe: &VoidProbe) -> String {
    wrapped(&format!("{}/s: void, to be run again: {}", per_second(probe.rate), probe.why.join("; ")), 0)
}

/// A probe that had too few instances, as a line.
pub fn too_few_line(probe: &Probe) -> String {
    let instances = or_dash(probe.instances, count);
    format!("{:>9} {instances} instances were too few: again with more", format!("{}/s", per_second(probe.rate)))
}

/// Writes the probes in the order of their rates, and the answer.
pub fn write(report: &FindReport, mut to: impl Write) -> io::Result<()> {
    let FindReport { task, slo, .. } = report;
    writeln!(to, "{}", wrapped(&format!("{task}: the highest rate with {}", slo.join(" and ")), 0))?;
    if let Some(implied) = implied(report) {
        writeln!(to, "{}", wrapped(&implied, 0))?;
    }
    writeln!(to, "\n{}", head())?;
    let probes = report.by_rate();
    for probe in &probes {
        writeln!(to, "{}", line(probe))?;
    }
    for rate in report.rates.iter().filter_map(|rate| together(rate, &probes)) {
        writeln!(to, "{rate}")?;
    }
    for void in &report.void {
        writeln!(to, "{}", void_line(void))?;
    }
    for change in changes(report) {
        writeln!(to, "{}", wrapped(&change, 0))?;
    }
    if let Some(failure) = failure(report) {
        writeln!(to, "{}", wrapped(&failure, 0))?;
    }
    writeln!(to, "\n{}", wrapped(&sentence(report), 0))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::report::find::{Answer, Culprit, Failure, ProbedRate, Promise};
    use crate::report::tests::{environment, open_record};
    use crate::report::{Report, Unit};

    /// A made-up search with probes of every kind, and this answer.
    pub(in crate::rendering) fn search(answer: Option<Answer>) -> FindReport {
        let promise = |expression: &str, is_implied| Promise {
            expression: expression.into(),
            is_implied,
            drawn: None,
            unit: Unit::Share,
            bound: 0.01,
        };
        let run = Report::new(environment(), &[open_record()]).runs.remove(0);
        let probe = |rate: f64, broken: &[&str], undecided: &[&str], limited_by| Probe {
            rate,
            offered: (rate * 5.0) as u64,
            throughput: Some(rate.min(1_100.0)),
            failed: 0.03,
            latency_ns: run.latency_ns.clone(),
            broken: broken.iter().map(|&text| text.into()).collect(),
            undecided: undecided.iter().map(|&text| text.into()).collect(),
            lasting_ns: Some(5_000_000_000),
            instances: Some(40),
            limited_by,
            failure: Failure::of(&run),
            generator: run.generator.clone(),
        };
        let mut report =
            FindReport::new("a/task.wasm".as_ref(), vec![promise("p99<50ms", false), promise("failed<1%", true)]);
        report.to = Some(1e6);
        report.budget_ns = Some(300_000_000_000);
        report.most_instances = Some(1_000);
        report.probes = vec![
            probe(100.0, &[], &["p99<50ms"], None),
            probe(1_000.0, &[], &[], None),
            probe(1_000.0, &["p99<50ms"], &[], Some(Culprit::Target)),
            probe(1_000.0, &[], &[], None),
            probe(1_200.0, &["p99<50ms", "failed<1%", "keeps up"], &[], Some(Culprit::Generator)),
            probe(1_400.0, &["p99<50ms", "keeps up"], &[], Some(Culprit::Instances)),
        ];
        report.rates = vec![ProbedRate { rate: 1_000.0, probes: 3, finding: ProbeFinding::Kept, limited_by: None }];
        report.void = vec![VoidProbe::new(1_200.0, &run, vec!["worker process 4712 died".into()])];
        report.answer = answer;
        report
    }

    pub(in crate::rendering) fn answer(rate: Option<f64>, below: Option<f64>, limited_by: Option<Culprit>) -> Answer {
        let generator_limited = limited_by == Some(Culprit::Generator);
        Answer { rate, below, generator_limited, limited_by, undecided: None, is_cut_short: false }
    }

    fn text(report: &FindReport) -> String {
        let mut text = Vec::new();
        write(report, &mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_search_as_people_read_it() {
        let text = text(&search(Some(answer(Some(1_000.0), Some(1_200.0), Some(Culprit::Generator)))));
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn every_answer_has_its_words() {
        let target = Some(Culprit::Target);
        let cut_short = Answer { is_cut_short: true, ..answer(Some(1_000.0), Some(1_200.0), target) };
        let undecided = Answer { undecided: Some(100.0), ..answer(None, Some(1_000.0), target) };
        let answers = [
            None,
            Some(answer(Some(1_000.0), Some(1_200.0), target)),
            Some(answer(Some(1_000.0), Some(1_200.0), Some(Culprit::Generator))),
            Some(answer(Some(1_000.0), Some(1_200.0), Some(Culprit::Instances))),
            Some(answer(Some(1e6), None, None)),
            Some(answer(None, Some(0.125), target)),
            Some(answer(None, Some(0.125), Some(Culprit::Generator))),
            Some(undecided),
            Some(cut_short),
            Some(Answer { is_cut_short: true, ..answer(Some(40.0), None, None) }),
        ];
        let mut sentences: Vec<String> = answers.map(|answer| sentence(&search(answer))).into();
        let mut computes = search(Some(answer(Some(1_000.0), Some(1_200.0), Some(Culprit::Instances))));
        (computes.has_threads_only, computes.most_instances) = (true, Some(2));
        sentences.push(sentence(&computes));
        computes.most_instances = Some(1);
        sentences.push(sentence(&computes));
        insta::assert_snapshot!(sentences.join("\n"));
    }
}
