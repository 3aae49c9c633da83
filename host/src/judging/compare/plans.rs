//! Decides what is compared with what: runs of one plan are repetitions, and both sides must have the same plans.

use serde_json::Value;

use super::{CompareError, ReportSet, RunPosition, Runs, Scruples};
use crate::record::Environment;
use crate::report::units::counted;
use crate::report::{Report, RunReport};

/// Fields of a plan that may differ between runs: each run draws another seed.
const FREE_FIELDS: [&str; 1] = ["seed"];

/// The runs of one task with one plan.
pub(super) struct Group<'a> {
    pub(super) runs: Vec<ComparedRun<'a>>,
    plan: Vec<(String, Value)>,
}

/// A run and its position in its file.
pub(super) struct ComparedRun<'a> {
    pub(super) file: &'a str,
    pub(super) place: usize,
    pub(super) report: &'a RunReport,
    environment: &'a Environment,
}

impl Group<'_> {
    /// The runs as the comparison reports them.
    pub(super) fn facts(&self, operations: u64) -> Runs {
        let first = self.runs[0].report;
        Runs {
            task: first.task.clone(),
            runs: self.runs.iter().map(|run| RunPosition { file: run.file.to_owned(), run: run.place }).collect(),
            processes: first.plan.processes,
            threads: first.plan.threads,
            operations,
        }
    }
}

/// A pair of groups, and the fields in which their plans differ.
pub(super) type Matched<'a> = (Group<'a>, Group<'a>, Vec<String>);

/// Pairs the groups of both sides by their order.
pub(super) fn matched<'a>(
    a: &'a ReportSet,
    b: &'a ReportSet,
    scruples: Scruples,
) -> Result<Vec<Matched<'a>>, CompareError> {
    let refuses = scruples == Scruples::Refuse;
    let partial = |(_, report): &&(String, Report)| report.partial;
    if let Some((file, _)) = a.reports.iter().chain(&b.reports).find(partial).filter(|_| refuses) {
        return Err(CompareError::Partial(file.clone()));
    }
    let (in_a, in_b) = (groups(a), groups(b));
    if in_a.len() != in_b.len() && refuses {
        let (in_a, in_b) = (in_a.len(), in_b.len());
        return Err(CompareError::Plans { a: a.name(), in_a, b: b.name(), in_b });
    }
    let mut pairs = Vec::new();
    for (of_a, of_b) in in_a.into_iter().zip(in_b) {
        let fields = differing(&of_a.plan, &of_b.plan);
        if refuses && !fields.is_empty() {
            return Err(CompareError::Differ { a: a.name(), b: b.name(), fields });
        }
        pairs.push((of_a, of_b, fields));
    }
    Ok(pairs)
}

impl ReportSet {
    /// The names of its files.
    fn name(&self) -> String {
        self.reports.iter().map(|(file, _)| file.as_str()).collect::<Vec<_>>().join(",")
    }
}

/// Groups the runs of a side by task and plan, in the order of first appearance.
fn groups(input: &ReportSet) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for (file, report) in &input.reports {
        for (place, run) in report.runs.iter().enumerate() {
            let (plan, entry) = (plan(run), ComparedRun { file, place, report: run, environment: &report.environment });
            let same =
                |group: &&mut Group<'_>| group.plan == plan && group.runs[0].report.task.sha256 == run.task.sha256;
            match groups.iter_mut().find(same) {
                Some(group) => group.runs.push(entry),
                None => groups.push(Group { runs: vec![entry], plan }),
            }
        }
    }
    groups
}

/// The plan of a run, field by field. It is taken from the JSON form, so that new fields are compared too.
fn plan(run: &RunReport) -> Vec<(String, Value)> {
    let mut fields = vec![
        ("operation name".to_owned(), run.task.operation.clone().into()),
        ("lane".to_owned(), serde_json::to_value(run.task.lane).unwrap_or_default()),
    ];
    if let Ok(Value::Object(plan)) = serde_json::to_value(&run.plan) {
        fields.extend(plan.into_iter().filter(|(field, _)| !FREE_FIELDS.contains(&field.as_str())));
    }
    fields
}

fn differing(a: &[(String, Value)], b: &[(String, Value)]) -> Vec<String> {
    // Both come from the same type, so their fields have the same order.
    let differ = a.iter().zip(b).filter(|(a, b)| a != b);
    differ.map(|((field, a), (_, b))| format!("{field}: {a} and {b}")).collect()
}

/// How two groups differ besides their plans, in words.
pub(super) fn unlike(a: &Group<'_>, b: &Group<'_>) -> Vec<String> {
    let mut notes = Vec::new();
    let (of_a, of_b) = (&a.runs[0], &b.runs[0]);
    if of_a.report.task.sha256 == of_b.report.task.sha256 {
        notes.push("both sides ran the same task".to_owned());
    }
    let machine = |of: &Environment| format!("{} with {}", of.os, counted(of.cpus as u64, "processor"));
    let (machine_a, machine_b) = (machine(of_a.environment), machine(of_b.environment));
    if machine_a != machine_b {
        notes.push(format!("the machines differ: {machine_a}, and {machine_b}"));
    }
    if of_a.environment.wasmtime != of_b.environment.wasmtime {
        let (a, b) = (&of_a.environment.wasmtime, &of_b.environment.wasmtime);
        notes.push(format!("wasmtime differs: {a} and {b}"));
    }
    for run in a.runs.iter().chain(&b.runs).filter(|run| run.report.operations.lost > 0) {
        let lost = counted(run.report.operations.lost, "operation");
        notes.push(format!("`{}`, run {}: {lost} lost, which are missing here", run.file, run.place + 1));
    }
    notes
}
