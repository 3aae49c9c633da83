//! What a report says in words: the headline, and what a reader of the figures must know.

use maud::{Markup, html};

use super::tables::name;
use crate::fault::Fault;
use crate::report::units::{count, counted, duration, percent, rate};
use crate::report::{Report, RunReport, curves};

/// How much a sentence should worry its reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Bad,
    Warning,
    Good,
    Plain,
}

impl Tone {
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Bad => "bad",
            Self::Warning => "warning",
            Self::Good => "good",
            Self::Plain => "plain",
        }
    }

    /// Its sign, which needs no colour.
    fn sign(self) -> &'static str {
        match self {
            Self::Bad => "✕",
            Self::Warning => "!",
            Self::Good => "✓",
            Self::Plain => "i",
        }
    }
}

/// A sentence.
pub(super) type Word = (Tone, Markup);

/// Sentences as a list; nothing where there are none.
pub(super) fn list(words: Vec<Word>) -> Markup {
    html! {
        @if !words.is_empty() {
            ul .words {
                @for (tone, text) in words {
                    li class=(tone.class()) { span .sign aria-hidden="true" { (tone.sign()) } span { (text) } }
                }
            }
        }
    }
}

/// A run in a sentence.
pub(super) fn headline(run: &RunReport) -> String {
    let not_ok = match run.operations.share_not_ok() {
        None => String::new(),
        Some(0.0) => ", all of them ok".into(),
        Some(share) => format!(", {} of them not ok", percent(share)),
    };
    format!(
        "{} in {}{}{not_ok}.",
        counted(run.operations.completed, "operation"),
        duration(run.elapsed_ns),
        run.throughput.map(|per_second| format!(", {} per second", rate(per_second))).unwrap_or_default()
    )
}

/// How the whole report ended, in a word.
pub(super) fn state(report: &Report) -> (Tone, &'static str) {
    match report {
        report if report.partial => (Tone::Warning, "stopped early"),
        report if report.is_incomplete() => (Tone::Bad, "incomplete"),
        report if report.verdicts.iter().any(|verdict| verdict.held) => (Tone::Bad, "failed"),
        report if !report.verdicts.is_empty() => (Tone::Good, "passed"),
        _ => (Tone::Plain, "done"),
    }
}

/// What `--fail-if` found, and whether there is an end.
pub(super) fn of_report(report: &Report) -> Vec<Word> {
    let mut words = Vec::new();
    if report.partial {
        words.push((Tone::Warning, html! { "Stopped before its end: these are the figures until then." }));
    }
    let of_run = |run: usize| match report.runs.len() {
        1 => String::new(),
        _ => format!(" in run {}", run + 1),
    };
    for verdict in &report.verdicts {
        let (tone, holds) = match (&verdict.value, verdict.held) {
            (None, _) => (Tone::Warning, "is unknown: there are not enough operations for that figure"),
            (_, true) => (Tone::Bad, "holds"),
            (_, false) => (Tone::Good, "does not hold"),
        };
        let value = verdict.shown_value().map(|value| format!(": it is {value}")).unwrap_or_default();
        words.push((
            tone,
            html! { "Fail if " code { (verdict.expression) } " " (holds) (of_run(verdict.run)) (value) "." },
        ));
    }
    words
}

/// What a reader of a run's figures must know.
pub(super) fn of_run(run: &RunReport, clock_ns: f64) -> Vec<Word> {
    let operations = &run.operations;
    let mut words: Vec<Word> = run.faults.iter().map(fault).collect();
    if operations.lost > 0 {
        let of = format!("{} of {} operations are lost", count(operations.lost), count(operations.offered));
        words.push((Tone::Bad, html! { (of) ": handed out and never confirmed." }));
    }
    if operations.dropped > 0 {
        let dropped = counted(operations.dropped, "operation");
        words.push((Tone::Bad, html! { (dropped) " were due and never started: too many were in flight." }));
    }
    if let Some(oldest) = run.cut.first() {
        let cut = counted(run.cut.len() as u64, "operation");
        let age = duration(oldest.age_ns);
        words.push((Tone::Warning, html! { (cut) " cut at the end, the oldest at the age of " (age) "." }));
    }
    if run.generator.limited {
        let limited = "Generator-limited: the machine that made the load was the limit, not the target.";
        words.push((Tone::Bad, html! { (limited) }));
    }
    words.extend(run.generator.reasons.iter().map(|reason| (Tone::Warning, html! { (name(reason)) "." })));
    if run.folded > 0 {
        let folded = count(run.folded);
        words.push((
            Tone::Warning,
            html! {
                (folded) " operations returned more distinct results than are told apart: they are counted as "
                code { "(other)" } ", and figures per result are lower bounds."
            },
        ));
    }
    if run.latency_ns.overflow > 0 {
        let overflow = counted(run.latency_ns.overflow, "operation");
        words.push((Tone::Warning, html! { (overflow) " took longer than the hour that percentiles reach to." }));
    }
    for refusal in run.network.iter().flat_map(|network| &network.refused) {
        let times = counted(refusal.count, "time");
        let flag = refusal.flag.as_deref();
        words.push((
            Tone::Bad,
            html! {
                "Refused " (times) ": " (name(&refusal.destination))
                @if let Some(flag) = flag { "; " code { (flag) } " would grant it" } "."
            },
        ));
    }
    if run.latency_ns.p50.is_some_and(|ns| (ns as f64) < clock_ns * 10.0) {
        words.push((
            Tone::Plain,
            html! {
                "Durations are near the cost of reading the clock (" (clock_ns) " ns), which they contain."
            },
        ));
    }
    words
}

fn fault(fault: &Fault) -> Word {
    let tone = if fault.is_incomplete() { Tone::Bad } else { Tone::Warning };
    let times = if fault.times > 1 { format!(", {} times", count(fault.times)) } else { String::new() };
    let ranges = fault.numbers.iter().take(10).map(|&(from, to)| match from == to {
        true => from.to_string(),
        false => format!("{from}–{to}"),
    });
    let ranges: Vec<_> = ranges.collect();
    let more = if fault.numbers.len() > ranges.len() { ", …" } else { "" };
    let text = html! {
        (name(&fault.message)) (times) "."
        @if !ranges.is_empty() { " Lost numbers: " (ranges.join(", ")) (more) "." }
    };
    (tone, text)
}

/// How much a worker's processors were kept busy, in words.
pub(super) fn busy(cores: Option<f64>) -> String {
    cores.map_or_else(|| "unknown".into(), |cores| format!("{cores:.2}"))
}

/// A run in a few words, for a table of runs.
pub(super) fn short(run: &RunReport) -> String {
    let task = run.name.as_deref().unwrap_or(&run.task.path);
    format!("{task}, {}", curves::shape(run))
}
