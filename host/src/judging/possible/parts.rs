//! The parts of a run, and whether they fit together: rates of groups, workers, reasons, requests.

use super::flaw::{Checked, TOLERANCE, at_most, flaw};
use crate::metrics::Cut;
use crate::report::{GroupReport, NetworkReport, ResultReport, RunReport};

/// The most operations that can be in flight, and so be cut.
const MOST_CUT: usize = 1_000_000;

/// The most arguments, variables and the like: the system takes no longer command line.
const MOST_WORDS: usize = 200_000;

/// The most reasons of a result: those that are kept, and one for the rest.
const MOST_REASONS: usize = 100;

/// The rates of groups are those of their operations over the time of the run, if that is known.
pub(super) fn rates(ok: Option<&GroupReport>, results: &[ResultReport], window_ns: Option<u64>) -> Checked {
    let Some(window_ns) = window_ns.filter(|&window_ns| window_ns > 0) else { return Ok(()) };
    let ok = ok.map(|ok| ("ok".to_owned(), ok.operations, ok.throughput));
    let each = results.iter().enumerate();
    let each = each.map(|(i, result)| (format!("results[{i}]"), result.operations, result.throughput));
    for (group, operations, given) in ok.into_iter().chain(each) {
        let is = operations as f64 * 1e9 / window_ns as f64;
        if let Some(given) = given.filter(|given| (given - is).abs() > TOLERANCE * is + f64::EPSILON) {
            return flaw(
                &format!("{group}.throughput"),
                format!("is {given}, and not {operations} operations in {window_ns} ns"),
            );
        }
    }
    Ok(())
}

/// The plan, and what the workers did of it.
pub(super) fn whole_plan(run: &RunReport) -> Checked {
    let (plan, operations) = (&run.plan, &run.operations);
    for (words, field) in [(&plan.args, "args"), (&plan.env, "env"), (&plan.dirs, "dirs"), (&plan.allow, "allow")] {
        at_most(words.len(), MOST_WORDS, field).map_err(|flaw| flaw.of("plan"))?;
    }
    if operations.planned != plan.operations {
        return flaw("operations.planned", "is not that of the plan");
    }
    let of_workers = run.workers.iter().map(|worker| u128::from(worker.operations)).sum::<u128>();
    if of_workers != u128::from(operations.completed) {
        return flaw("workers", format!("do not add up to the completed operations, {}", operations.completed));
    }
    if let Some(threads) = run.workers.iter().map(|worker| worker.threads).find(|&threads| threads != plan.threads) {
        return flaw("workers", format!("have {threads} threads, and the plan has {}", plan.threads));
    }
    if run.folded > operations.completed {
        return flaw("folded", format!("is more than the completed operations, {}", operations.completed));
    }
    Ok(())
}

/// The operations that were cut.
pub(super) fn cut(cut: &[Cut]) -> Checked {
    at_most(cut.len(), MOST_CUT, "cut")?;
    cut.iter().try_for_each(|cut| super::flaw::time(cut.age_ns, "age_ns")).map_err(|flaw| flaw.of("cut"))
}

/// The reasons of a result are those of its operations.
pub(super) fn reasons(result: &ResultReport) -> Checked {
    at_most(result.reasons.len(), MOST_REASONS, "reasons")?;
    let given = result.reasons.values().map(|&times| u128::from(times)).sum::<u128>();
    if given > u128::from(result.operations) {
        return flaw("reasons", format!("are those of {given} operations, and it has {}", result.operations));
    }
    Ok(())
}

/// The requests of a run, and its rates of them.
pub(super) fn requests(network: &NetworkReport, run: &RunReport) -> Checked {
    let NetworkReport { requests, sent, repeated, throughput, requests_per_operation, .. } = *network;
    if let Some((given, window_ns)) = throughput.zip(run.throughput_window_ns.filter(|&window_ns| window_ns > 0)) {
        let is = requests as f64 * 1e9 / window_ns as f64;
        if (given - is).abs() > TOLERANCE * is + f64::EPSILON {
            return flaw("throughput", format!("is {given}, and not {requests} requests in {window_ns} ns"));
        }
    }
    let completed = run.operations.completed;
    if let Some((given, sent)) = requests_per_operation.zip(sent).filter(|_| completed > 0) {
        let is = sent as f64 / completed as f64;
        if (given - is).abs() > TOLERANCE * is + f64::EPSILON {
            return flaw("requests_per_operation", format!("is {given}, and not {sent} for {completed} operations"));
        }
    }
    if let Some((sent, repeated)) = sent.zip(repeated).filter(|(sent, repeated)| repeated > sent) {
        return flaw("repeated", format!("is {repeated}, more than sent, {sent}"));
    }
    let answered = [Some(&network.first_byte_ns), network.duration_ns.as_ref()];
    match answered.into_iter().flatten().find(|summary| summary.count > requests.max(sent.unwrap_or(requests))) {
        Some(summary) => flaw("requests", format!("is {requests}, and {} durations are there", summary.count)),
        None => Ok(()),
    }
}
