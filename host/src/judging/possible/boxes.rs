//! The boxes of a run, and the operations that may have been executed twice.

use std::collections::BTreeSet;

use super::flaw::{Checked, all, flaw};
use crate::report::RunReport;

/// The boxes of a run against its workers.
pub(super) fn check(run: &RunReport) -> Checked {
    let names: BTreeSet<&str> = run.boxes.iter().map(|of| of.name.as_str()).collect();
    if names.len() < run.boxes.len() {
        return flaw("boxes", "has a name twice");
    }
    let is_known = |name: &&str| names.contains(name);
    if let Some(stray) = run.workers.iter().filter_map(|worker| worker.of_box.as_deref()).find(|name| !is_known(name)) {
        return flaw("workers", format!("has a worker on the box `{stray}`, which is not in `boxes`"));
    }
    all(&run.boxes, "boxes", |of| {
        let its = || run.workers.iter().filter(|worker| worker.of_box.as_ref() == Some(&of.name));
        let operations: u128 = its().map(|worker| u128::from(worker.operations)).sum();
        if its().count() as u64 != of.workers {
            return flaw("workers", "is not the number of workers on the box");
        }
        if u128::from(of.operations) != operations {
            return flaw("operations", "is not the sum of its workers' operations");
        }
        match of.saturated {
            Some(share) if !(0.0..=1.0).contains(&share) => flaw("saturated", format!("is {share}, and not a share")),
            _ => Ok(()),
        }
    })?;
    match run.possibly_executed_twice.iter().find(|(from, to)| from > to) {
        Some((from, to)) => flaw("possibly_executed_twice", format!("has a range from {from} to {to}")),
        None => Ok(()),
    }
}
