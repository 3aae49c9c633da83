//! What the machine took from runs that compute.
//!
//! The threads of a closed run whose task never waits compute all the time, but for what other programs, or other
//! machines on the same hardware, take of their processors. Of that each run tells by itself. Where it took more of one
//! run than of the other, so much of a difference is the machine's: it is not by chance, and no more blocks make it
//! smaller.

use super::plans::Group;
use crate::lane::Lane;
use crate::report::units::percent;
use crate::report::{ModelName, RunReport};

/// A difference of this share is worth a note.
const NOTABLE: f64 = 0.005;

/// The part of its threads' time in which a run computed; `None` where it was not to compute all the time, or is not
/// known.
fn share(run: &RunReport) -> Option<f64> {
    let plan = &run.plan;
    if run.task.lane != Lane::Compute || plan.load_model != ModelName::Closed || plan.pause_ns.is_some() {
        return None;
    }
    let (mut computed, mut could) = (0.0, 0.0);
    for worker in &run.workers {
        // From entry to entry, as what the first one tells of began before the run.
        for pair in worker.timeline.windows(2) {
            let span_ns = pair[1].at_ns.saturating_sub(pair[0].at_ns) as f64;
            computed += pair[1].cpu? * span_ns;
            could += f64::from(worker.threads) * span_ns;
        }
    }
    // The worker's other threads compute a little, too.
    (computed > 0.0).then(|| (computed / could).min(1.0))
}

/// What of a difference between single runs the machine may have made, on a logarithmic scale. How much runs that were
/// repeated differ is seen, whoever made it.
pub(super) fn unevenness(a: &Group<'_>, b: &Group<'_>) -> f64 {
    shares(a, b).map_or(0.0, |(a, b)| (a / b).ln().abs())
}

/// The same in words, where it is worth them.
pub(super) fn note(a: &Group<'_>, b: &Group<'_>) -> Option<String> {
    let (a, b) = shares(a, b).filter(|(a, b)| (a - b).abs() >= NOTABLE)?;
    Some(format!(
        "the machine let A compute for {} of the time, and B for {}: the intervals are wider by as much",
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
