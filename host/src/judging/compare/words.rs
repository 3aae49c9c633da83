//! The words of a comparison.

use super::plans::{Group, unlike};
use super::{Change, Difference, Figure, Finding, machine};
use crate::report::units::difference;

/// The finding in a sentence; the first figure is the primary one.
pub(super) fn sentence(a: &Group<'_>, b: &Group<'_>, figures: &[Difference]) -> String {
    // A single run on each side does not show how much of its difference comes from what was run.
    let b = if a.runs.len() + b.runs.len() == 2 { "this run of B" } else { "B" };
    let of = |wanted: Finding| figures.iter().skip(1).filter(move |of| of.finding == wanted);
    let Some((primary, change)) = figures.first().and_then(|primary| Some((primary, primary.change?))) else {
        return "nothing can be said: there is no median to compare".to_owned();
    };
    let Change { measured, low, high, detectable } = change;
    let between = |near: f64, far: f64| {
        format!("by {}, somewhere between {} and {}", difference(measured), difference(near), difference(far))
    };
    let mut sentence = match primary.finding {
        Finding::Slower => format!("{b} is slower: its median is longer {}", between(low, high)),
        Finding::Faster => format!("{b} is faster: its median is shorter {}", between(high, low)),
        _ => format!(
            "no difference that this data can show: a median that differs by {} would be found nine times in ten",
            difference(detectable)
        ),
    };
    for (finding, words) in [(Finding::Slower, "slower"), (Finding::Faster, "faster")] {
        let names: Vec<_> = of(finding).map(|of| of.figure.name()).collect();
        if !names.is_empty() && primary.finding != finding {
            sentence += &format!("; {b} is {words} by its {}", names.join(", "));
        }
    }
    sentence += match (of(Finding::FailsMore).count(), of(Finding::FailsLess).count()) {
        (1.., _) => "; more of its operations fail",
        (_, 1..) => "; fewer of its operations fail",
        _ => "",
    };
    sentence
}

/// What a reader must know before trusting the figures.
pub(super) fn notes(a: &Group<'_>, b: &Group<'_>, figures: &[Difference]) -> Vec<String> {
    let mut notes = unlike(a, b);
    match (a.runs.len(), b.runs.len()) {
        (1, 1) => notes.push(
            "one run on each side: the intervals do not include how much unchanged runs differ from each other; several \
             runs of each side would show that"
                .into(),
        ),
        (1, _) | (_, 1) => notes.push("one side was run once: its variation is assumed to equal that of the other side".into()),
        _ => {}
    }
    notes.extend(machine::note(a, b));
    let failed = figures.iter().find(|of| of.figure == Figure::Failed);
    if failed.is_some_and(|failed| [failed.a, failed.b].iter().flatten().any(|&share| share > 0.01)) {
        notes.push("durations include those of failed operations, which may be unusually fast or slow".into());
    }
    notes
}

impl Figure {
    /// Its name in the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::Mean => "mean",
            Self::P90 => "p90",
            Self::P99 => "p99",
            Self::Throughput => "throughput",
            Self::Failed => "failed",
        }
    }
}
