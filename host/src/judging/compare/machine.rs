//! Estimates how much processor time the machine took from runs that compute.
//!
//! The threads of a closed run whose task never waits compute all the time, except when other programs, or other
//! machines on the same hardware, take their processors. Each run reports how long its threads computed. If the machine
//! took more time from one run than from the other, that share of a difference says nothing about the task. It is a
//! systematic error: drawing more blocks does not reduce it.

use super::plans::Group;
use crate::lane::Lane;
use crate::report::units::percent;
use crate::report::{ModelName, RunReport};

/// A difference of this share is worth a note.
const NOTABLE: f64 = 0.005;

/// The share of its threads' time in which a run computed; `None` if the run is not expected to compute all the time,
/// or if the figure is unknown.
fn share(run: &RunReport) -> Option<f64> {
    let plan = &run.plan;
    if run.task.lane != Lane::Compute || plan.load_model != ModelName::Closed || plan.pause_ns.is_some() {
        return None;
    }
    let (mut computed, mut could) = (0.0, 0.0);
    for worker in &run.workers {
        // Between entries, because the first entry includes time before the run.
        for pair in worker.timeline.windows(2) {
            let span_ns = pair[1].at_ns.saturating_sub(pair[0].at_ns) as f64;
            computed += pair[1].cpu? * span_ns;
            could += f64::from(worker.threads) * span_ns;
        }
    }
    // Other threads of the worker compute a little too, so the share could exceed one.
    (computed > 0.0).then(|| (computed / could).min(1.0))
}

/// The part of a difference that the machine may have caused, on a logarithmic scale. It is zero for repeated runs,
/// whose spread already includes the machine.
pub(super) fn unevenness(a: &Group<'_>, b: &Group<'_>) -> f64 {
    shares(a, b).map_or(0.0, |(a, b)| (a / b).ln().abs())
}

/// The same in words, if it is worth a note.
pub(super) fn note(a: &Group<'_>, b: &Group<'_>) -> Option<String> {
    let (a, b) = shares(a, b).filter(|(a, b)| (a - b).abs() >= NOTABLE)?;
    Some(format!(
        "the machine let A compute for {} of the time and B for {}: the intervals are wider by that difference",
        percent(a),
        percent(b)
    ))
}

fn shares(a: &Group<'_>, b: &Group<'_>) -> Option<(f64, f64)> {
    match (a.runs.as_slice(), b.runs.as_slice()) {
        ([a], [b]) => share(a.report).zip(share(b.report)),
        _ => None,
    }
}
