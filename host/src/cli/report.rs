//! From what is known of runs to their report, with what only the command line knows: the commands that show a failure
//! again.

use crate::metrics::Outcome;
use crate::plan::{DEFAULT_MAX_MEMORY, DEFAULT_OPERATION, DEFAULT_TIMEOUT, HttpVersion, KeepAlive, RunPlan, Trust};
use crate::record::{Environment, RunRecord};
use crate::report::Report;

/// How the names of tasks begin that gorgon has inside.
pub(super) const EMBEDDED: &str = "embedded ";

/// The report on `records`.
pub(super) fn report(environment: Environment, records: &[RunRecord]) -> Report {
    let mut report = Report::new(environment, records);
    // One that gorgon has inside has no file to name.
    let of_files = report.runs.iter_mut().zip(records).filter(|(run, _)| !run.task.path.starts_with(EMBEDDED));
    for (run, record) in of_files {
        for result in run.results.iter_mut().filter(|result| result.outcome != Outcome::Ok) {
            result.reproduce = Some(reproduce(&record.plan, &record.task.path, result.first_number));
        }
    }
    report
}

/// The command that runs operation `number` of a task again by itself, with all that bears on it.
fn reproduce(plan: &RunPlan, task: &str, number: u64) -> String {
    let RunPlan { operation, limits, expect, grants, http, data, .. } = plan;
    let mut words = vec!["gorgon".into(), "test".into(), task.to_owned()];
    let mut flag = |name: &str, value: String| words.extend([name.to_owned(), value]);
    flag("--number", number.to_string());
    if operation != DEFAULT_OPERATION {
        flag("--operation-name", operation.clone());
    }
    if limits.timeout != Some(DEFAULT_TIMEOUT) {
        let timeout = limits.timeout.unwrap_or_default();
        flag("--timeout", humantime::format_duration(timeout).to_string().replace(' ', ""));
    }
    if limits.max_memory != DEFAULT_MAX_MEMORY {
        flag("--max-memory", limits.max_memory.to_string());
    }
    expect.iter().for_each(|expect| flag("--expect", expect.as_str().to_owned()));
    data.iter().for_each(|data| flag("--data", data.display().to_string()));
    grants.dirs.iter().for_each(|dir| flag("--dir", dir.to_string()));
    grants.network.0.iter().for_each(|allow| flag("--allow", allow.to_string()));
    // By name alone it is taken from the environment of whoever runs the command: its value may be a secret.
    grants.env.iter().for_each(|(name, _)| flag("--env", name.clone()));
    match &http.trust {
        Trust::Roots => {}
        Trust::RootsAnd(path) => words.extend(["--ca-cert".into(), path.display().to_string()]),
        Trust::Anyone => words.push("--insecure".into()),
    }
    words.extend((http.keep_alive == KeepAlive::PerRequest).then(|| "--no-keepalive".into()));
    words.extend((http.version == HttpVersion::Http2).then(|| "--http2".into()));
    if !grants.args.is_empty() {
        words.push("--".into());
        words.extend(grants.args.iter().cloned());
    }
    shlex::try_join(words.iter().map(String::as_str)).unwrap_or_else(|_| words.join(" "))
}
