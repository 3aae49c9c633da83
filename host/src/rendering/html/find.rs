//! The page of a search for a rate: the knee, the answer, the probes.

use maud::{Markup, html};

use super::figure::Over;
use super::lines::{Extras, Line, LineChart};
use super::plot::{Axis, Scale};
use super::run::tile;
use super::tables::{WIDE, WIDER};
use super::{Reach, document, finished, prose, tables};
use crate::report::find::{
    Answer, Culprit, DrawnFigure, FindReport, Probe, ProbeFinding, came_to, changes, failure, implied, limit_name,
    sentence, together,
};
use crate::report::units::{count, counted, duration, or_dash, percent, rate};
use crate::report::words::{self, Tone};

/// A page that shows a search.
pub fn find(report: &FindReport) -> String {
    let title = format!("{}: the highest rate", words::file_name(&report.task));
    let probes = report.by_rate();
    let (tone, state) = state(report);
    let body = html! {
        main #report {
            header {
                h1 { (tables::name(&title)) span class=(format!("state {}", prose::look(tone).0)) { (state) } }
                p .meta { span { "The promise: " @for slo in &report.slo { code { (tables::name(slo)) } " " } } }
                @if let Some(implied) = implied(report) { p .meta { span { (prose::capital(&implied)) "." } } }
                @for change in changes(report) { p .meta { span { (tables::name(&prose::capital(&change))) "." } } }
                p .headline { (prose::capital(&sentence(report))) "." }
            }
            (tiles(report, &probes))
            h2 .visually-hidden { "By rate" }
            @if !probes.is_empty() { div .charts {
                (latency(report, &probes))
                div .over-time {
                    (completed(report, &probes))
                    @if probes.iter().any(|probe| probe.failed > 0.0) { (failures(report, &probes)) }
                }
            } }
            section {
                h3 { "Probes" }
                (table(&probes))
                @for rate in report.rates.iter().filter_map(|rate| together(rate, &probes)) {
                    p { (prose::capital(&rate)) "." }
                }
                @if let Some(failure) = failure(report) { p { (prose::capital(&failure)) "." } }
            }
            @if !report.void.is_empty() {
                section {
                    h3 { "Void probes" }
                    p { "These say nothing about the target. Each was run again." }
                    ul { @for void in &report.void { li { (rate(void.rate)) "/s: " (void.why.join("; ")) } } }
                }
            }
            footer { "gorgon " (report.gorgon) " · " (report.schema) " · charts by uPlot (MIT)" }
        }
    };
    finished(document(&title, &body, Reach::Nothing))
}

fn state(report: &FindReport) -> (Tone, &'static str) {
    match report.answer {
        None if report.is_given_up => (Tone::Bad, "given up"),
        None => (Tone::Warning, "stopped early"),
        Some(Answer { rate: None, undecided: Some(_), .. }) => (Tone::Warning, "undecided"),
        Some(Answer { generator_limited: true, .. }) => (Tone::Warning, "generator-limited"),
        Some(Answer { limited_by: Some(Culprit::Instances), .. }) => (Tone::Warning, "limited by instances"),
        Some(Answer { rate: None, .. }) => (Tone::Bad, "not kept"),
        Some(Answer { below: None, .. }) => (Tone::Good, "no limit found"),
        Some(_) => (Tone::Good, "found"),
    }
}

fn tiles(report: &FindReport, probes: &[&Probe]) -> Markup {
    let of = |rate_of: Option<f64>| or_dash(rate_of, |of| format!("{}/s", rate(of)));
    let (kept, below) = report.answer.map_or((None, None), |answer| (answer.rate, answer.below));
    html! { div .tiles {
        (tile("Highest rate", &of(kept), "that keeps the promise", ""))
        (tile("Broken at", &of(below), "the lowest rate above it", ""))
        (tile("p99 there", &or_dash(report.p99(), duration), "at the highest rate, at worst", ""))
        (tile("Limit", report.answer.map_or("-", |answer| limit_name(&answer)), "what it was", ""))
        (tile("Probes", &count(probes.len() as u64), "at least two at each end of the gap", ""))
    } }
}

fn latency(report: &FindReport, probes: &[&Probe]) -> Markup {
    let line = |name: &str, look, of: fn(&Probe) -> Option<u64>| {
        Line::points(name, look, probes.iter().map(|probe| of(probe).map(|ns| ns as f64)).collect())
    };
    let mut lines =
        vec![line("p99", "ok-0", |probe| probe.latency_ns.p99), line("p50", "all", |probe| probe.latency_ns.p50)];
    lines.extend(promises(report, probes, DrawnFigure::Latency));
    let how = "Each point is a probe: the durations of its operations, from when they were due, at its rate. Where the points \
               rise, operations queue. The limit lies in the shaded gap; the dashed line is the promise. A hollow point says \
               nothing about the target: its operations were too few, or this machine or the instances were the limit.";
    chart(report, probes, ("latency", "Latency by rate", how, Scale::Durations), lines)
}

fn completed(report: &FindReport, probes: &[&Probe]) -> Markup {
    let lines = vec![
        Line::new("as offered", "ideal", vec![Some(1.0); probes.len()]),
        Line::points("completed", "all", probes.iter().map(|probe| probe.kept_up()).collect()),
    ];
    let how = "How much of the offered rate was completed. Points below the dashed line fell behind.";
    chart(report, probes, ("completed", "Completed by rate", how, Scale::Shares), lines)
}

fn failures(report: &FindReport, probes: &[&Probe]) -> Markup {
    let failed = |probe: &&Probe| Some(probe.failed);
    let mut lines = vec![Line::points("not ok", "bad-0", probes.iter().map(failed).collect())];
    lines.extend(promises(report, probes, DrawnFigure::Failed));
    let how = "The share of operations that were not ok, by rate.";
    chart(report, probes, ("failures", "Failures by rate", how, Scale::Shares), lines)
}

/// The promises, as lines across all rates.
fn promises(report: &FindReport, probes: &[&Probe], drawn: DrawnFigure) -> Vec<Line> {
    let of_figure = report.promises.iter().filter(|promise| promise.drawn == Some(drawn));
    of_figure
        .map(|promise| Line::new(promise.expression.as_str(), "ideal", vec![Some(promise.bound); probes.len()]))
        .collect()
}

fn chart(
    report: &FindReport,
    probes: &[&Probe],
    (id, title, how, scale): (&str, &str, &str, Scale),
    lines: Vec<Line>,
) -> Markup {
    let chart = LineChart {
        id: format!("find-{id}"),
        title,
        how,
        says: format!("{title}, over {}: {}.", counted(probes.len() as u64, "probe"), sentence(report)),
        over: Over::Rate,
        x: Axis::rates(probes.iter().map(|probe| probe.rate)),
        places: probes.iter().map(|probe| probe.rate).collect(),
        scale,
        height: 240.0,
        is_stepped: false,
        lines,
        extras: Extras {
            gap: report.answer.and_then(|answer| answer.rate.zip(answer.below)),
            hollow: probes.iter().map(|probe| says_nothing(probe)).collect(),
            ..Extras::default()
        },
    };
    chart.markup()
}

fn table(probes: &[&Probe]) -> Markup {
    let time = |ns: Option<u64>| or_dash(ns, duration);
    html! {
        div .scroll tabindex="0" role="region" aria-label="Probes" { table .probes {
            thead { tr {
                @for (head, class) in [
                    ("rate/s", None), ("for", WIDER), ("instances", WIDER), ("offered", WIDE), ("completed/s", WIDE),
                    ("p50", None), ("p99", None), ("max", WIDE), ("not ok", None), ("result", None),
                ] {
                    th scope="col" class=[class] { (head) }
                }
            } }
            tbody { @for probe in probes { tr class=(tone(probe).0) {
                th scope="row" { (rate(probe.rate)) }
                td class=[WIDER] { (time(probe.lasting_ns)) }
                td class=[WIDER] { (or_dash(probe.instances, count)) }
                td class=[WIDE] { (count(probe.offered)) }
                td class=[WIDE] { (or_dash(probe.throughput, rate)) }
                td { (time(probe.latency_ns.p50)) } td { (time(probe.latency_ns.p99)) }
                td class=[WIDE] { (time(probe.latency_ns.max)) }
                td { (percent(probe.failed)) }
                td { span .sign aria-hidden="true" { (tone(probe).1) } " " (tables::name(&came_to(probe))) }
            } } }
        } }
    }
}

/// Whether a probe says nothing about the target.
fn says_nothing(probe: &Probe) -> bool {
    match (probe.finding(), probe.culprit()) {
        (ProbeFinding::Kept, _) | (ProbeFinding::Broken, Some(Culprit::Target)) => false,
        (ProbeFinding::Broken | ProbeFinding::Undecided, _) => true,
    }
}

/// The class and the sign of a probe.
fn tone(probe: &Probe) -> (&'static str, &'static str) {
    prose::look(match probe.finding() {
        _ if says_nothing(probe) => Tone::Warning,
        ProbeFinding::Kept => Tone::Good,
        ProbeFinding::Broken | ProbeFinding::Undecided => Tone::Bad,
    })
}
