//! Judges one probe of a search for a rate: whether the promises were kept, and whether the target kept up.

use std::time::Duration;

use super::verdict::Expression;
use crate::report::find::Probe;
use crate::report::{RunReport, Summary};

/// A target keeps up if it completes at least this share of the offered rate.
const KEEPS_UP: f64 = 0.98;

impl Probe {
    /// The probe of `run`, which offered `rate` for the time `lasting`.
    pub fn new(rate: f64, lasting: Duration, run: &RunReport, slo: &[Expression]) -> Self {
        let verdicts = slo.iter().map(|promise| promise.judge(0, run));
        let mut broken: Vec<String> =
            verdicts.filter(|verdict| !verdict.held).map(|verdict| verdict.expression).collect();
        let operations = &run.operations;
        // Even if the target keeps up, one operation takes its time between the last start and the last end.
        let window = run.elapsed_ns.saturating_sub(run.latency_ns.min.unwrap_or_default()) as f64 / 1e9;
        let (offered, completed) = (operations.offered as f64, operations.completed as f64);
        if completed / window.max(lasting.as_secs_f64()) < KEEPS_UP * offered / lasting.as_secs_f64() {
            broken.push("keeps up".into());
        }
        Self {
            rate,
            offered: operations.offered,
            throughput: run.throughput,
            failed: (completed - operations.ok as f64) / offered.max(1.0),
            latency_ns: Summary { hdr: None, ..run.latency_ns.clone() },
            broken,
            generator: run.generator.clone(),
        }
    }
}
