//! Decides what is compared with what: runs of one plan are repetitions, and both sides must have the same plans.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{CompareError, ReportSet, RunPosition, Runs, Scruples};
use crate::plan::Trust;
use crate::record::{Environment, FileRole, Origin};
use crate::report::{Report, RunReport};

/// Fields of a plan that may differ between runs: each run draws another seed, and limits that are not reached change
/// nothing.
const FREE_FIELDS: [&str; 3] = ["seed", "hook_timeout_ns", "max_worker_memory_bytes"];

/// The variables that Gorgon gives its embedded tasks. A seed and an address say nothing; the order of calls is in the
/// plan.
const OWN_VARIABLES: [&str; 3] = ["BASE", "CALLS", "SEED"];

/// The digits of a digest that a message shows.
const DIGITS: usize = 12;

/// The runs of one task with one plan.
pub(super) struct Group<'a> {
    pub(super) runs: Vec<ComparedRun<'a>>,
    plan: ComparedPlan,
}

/// A run and its position in its file.
#[derive(Clone, Copy)]
pub(super) struct ComparedRun<'a> {
    pub(super) file: &'a str,
    pub(super) place: usize,
    pub(super) report: &'a RunReport,
    pub(super) gorgon: &'a str,
    pub(super) environment: &'a Environment,
    pub(super) is_partial: bool,
}

impl ComparedRun<'_> {
    /// The run in a message.
    pub(super) fn name(&self) -> String {
        format!("`{}`, run {}", self.file, self.place + 1)
    }

    /// Whether `other` is a copy of this run. Two runs never begin at the same time and take the same durations.
    fn is(&self, other: &Self) -> bool {
        let (a, b) = (self.report, other.report);
        a.task == b.task
            && a.started_at == b.started_at
            && a.elapsed_ns == b.elapsed_ns
            && a.latency_ns == b.latency_ns
            && a.timeline == b.timeline
    }
}

impl Group<'_> {
    /// The runs as the comparison reports them.
    pub(super) fn facts(&self, operations: u64) -> Runs {
        let first = self.runs[0].report;
        Runs {
            task: first.task.clone(),
            runs: self.runs.iter().map(|run| RunPosition { file: run.file.to_owned(), run: run.place }).collect(),
            boxes: first.plan.boxes,
            processes: first.plan.processes,
            threads: first.plan.threads,
            concurrency: first.plan.concurrency,
            operations,
        }
    }

    /// The names of the environment variables, whose values a report does not have.
    pub(super) fn variables(&self) -> Vec<&str> {
        let RunReport { task, plan, .. } = self.runs[0].report;
        let is_users = |name: &&str| task.origin == Origin::File || !OWN_VARIABLES.contains(name);
        let names: BTreeSet<&str> = plan.env.iter().map(String::as_str).filter(is_users).collect();
        names.into_iter().collect()
    }

    /// The files whose content is unknown on one of two sides, so that only their names could be compared.
    pub(super) fn unknown_files(&self, other: &Self) -> Vec<&str> {
        let files = self.plan.files.iter().zip(&other.plan.files);
        let both = files.filter_map(|(a, b)| a.as_ref().zip(b.as_ref()));
        both.filter(|(a, b)| a.sha256.is_none() || b.sha256.is_none()).map(|(a, _)| a.path.as_str()).collect()
    }
}

/// A pair of groups.
pub(super) struct Matched<'a> {
    pub(super) a: Group<'a>,
    pub(super) b: Group<'a>,
    /// The fields in which their plans differ.
    pub(super) differs: Vec<String>,
    /// What the pair leaves out or counts twice, in words.
    pub(super) flaws: Vec<String>,
}

/// Pairs the groups of both sides: equal plans first, then those that are left, by their order.
pub(super) fn matched<'a>(
    a: &'a ReportSet,
    b: &'a ReportSet,
    scruples: Scruples,
) -> Result<Vec<Matched<'a>>, CompareError> {
    let refuses = scruples == Scruples::Refuse;
    let files = || a.reports.iter().chain(&b.reports);
    if let Some((file, _)) = files().find(|(_, report)| report.runs.is_empty()) {
        return Err(CompareError::Empty(file.clone()));
    }
    if let Some((file, _)) = files().find(|(_, report)| report.partial).filter(|_| refuses) {
        return Err(CompareError::Partial(file.clone()));
    }
    let (in_a, mut in_b) = (groups(a), groups(b));
    let (plans_a, plans_b) = (in_a.len(), in_b.len());
    if plans_a != plans_b && refuses {
        return Err(CompareError::Plans { a: a.name(), in_a: plans_a, b: b.name(), in_b: plans_b });
    }
    let mut pairs: Vec<(Group<'a>, Option<Group<'a>>)> = Vec::new();
    for group in in_a {
        let equal = in_b.iter().position(|of_b| group.plan.agrees(&of_b.plan)).map(|place| in_b.remove(place));
        pairs.push((group, equal));
    }
    let mut rest = in_b.into_iter();
    let mut matched = Vec::new();
    for (a_side, equal) in pairs {
        let Some(b_side) = equal.or_else(|| rest.next()) else { continue };
        let differs = a_side.plan.differing(&b_side.plan);
        if refuses && !differs.is_empty() {
            return Err(CompareError::Differ { a: a.name(), b: b.name(), fields: differs });
        }
        let mut flaws = Vec::new();
        if plans_a != plans_b {
            flaws.push(format!("A has runs of {plans_a} tasks or plans, B of {plans_b}: some are left out"));
        }
        if let Some((one, other)) = copies(&a_side, &b_side) {
            if refuses {
                return Err(CompareError::Copies { one, other });
            }
            flaws.push(format!("{one} and {other} are the same run: the intervals are not to be trusted"));
        }
        matched.push(Matched { a: a_side, b: b_side, differs, flaws });
    }
    Ok(matched)
}

/// Two runs of a pair of groups that are the same run, by name.
fn copies(a: &Group<'_>, b: &Group<'_>) -> Option<(String, String)> {
    let runs: Vec<_> = a.runs.iter().chain(&b.runs).collect();
    let mut copies = runs.iter().enumerate().flat_map(|(i, run)| runs[..i].iter().map(move |earlier| (*earlier, *run)));
    copies.find(|(earlier, run)| earlier.is(run)).map(|(earlier, run)| (earlier.name(), run.name()))
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
            let Report { gorgon, environment, partial, .. } = report;
            let entry = ComparedRun { file, place, report: run, gorgon, environment, is_partial: *partial };
            let plan = ComparedPlan::new(run);
            let same = |group: &&mut Group<'_>| {
                group.plan.agrees(&plan) && group.runs[0].report.task.sha256 == run.task.sha256
            };
            match groups.iter_mut().find(same) {
                Some(group) => group.runs.push(entry),
                None => groups.push(Group { runs: vec![entry], plan }),
            }
        }
    }
    groups
}

/// What two runs must have in common.
struct ComparedPlan {
    /// The plan, field by field. It is taken from the JSON form, so that new fields are compared too.
    fields: Vec<(String, Value)>,
    /// The data and the certificates.
    files: [Option<PlannedFile>; 2],
}

/// A file that a plan names. Its digest says whether another one has the same content.
struct PlannedFile {
    what: &'static str,
    path: String,
    /// Unknown in older reports.
    sha256: Option<String>,
}

impl ComparedPlan {
    fn new(run: &RunReport) -> Self {
        let mut plan = run.plan.clone();
        if run.task.origin == Origin::Embedded && plan.calls.is_none() {
            // The server of `gorgon demo` takes any free port.
            plan.allow.clear();
        }
        let file = |what: &'static str, role: FileRole, path: Option<String>| {
            let sha256 = run.files.iter().find(|file| file.role == role).map(|file| file.sha256.clone());
            Some(PlannedFile { what, path: path?, sha256 })
        };
        let data = file("data", FileRole::Data, plan.data.take());
        let certificates = match &mut plan.http.trust {
            Trust::RootsAnd(path) => Some(std::mem::take(path).display().to_string()),
            Trust::Roots | Trust::Anyone => None,
        };
        let certificates = file("ca_cert", FileRole::CaCert, certificates);
        let mut fields = vec![
            ("operation name".to_owned(), run.task.operation.clone().into()),
            ("lane".to_owned(), serde_json::to_value(run.task.lane).unwrap_or_default()),
        ];
        if let Ok(Value::Object(plan)) = serde_json::to_value(&plan) {
            fields.extend(plan.into_iter().filter(|(field, _)| !FREE_FIELDS.contains(&field.as_str())));
        }
        Self { fields, files: [data, certificates] }
    }

    fn agrees(&self, other: &Self) -> bool {
        self.differing(other).is_empty()
    }

    /// What differs, in words.
    fn differing(&self, other: &Self) -> Vec<String> {
        // Both come from the same type, so their fields have the same order.
        let fields = self.fields.iter().zip(&other.fields).filter(|(a, b)| a != b);
        let files = self.files.iter().zip(&other.files);
        fields
            .map(|((field, a), (_, b))| format!("{field}: {a} and {b}"))
            .chain(files.filter_map(|(a, b)| PlannedFile::difference(a.as_ref(), b.as_ref())))
            .collect()
    }
}

impl PlannedFile {
    fn difference(a: Option<&Self>, b: Option<&Self>) -> Option<String> {
        let what = a.or(b)?.what;
        if let (Some(a), Some(b)) = (a, b) {
            let differ = match (&a.sha256, &b.sha256) {
                (Some(a), Some(b)) => a != b,
                _ => a.path != b.path,
            };
            if !differ {
                return None;
            }
        }
        let text = |file: Option<&Self>| file.map_or_else(|| "null".to_owned(), Self::text);
        Some(format!("{what}: {} and {}", text(a), text(b)))
    }

    fn text(&self) -> String {
        let digest = self.sha256.as_ref().map(|sha256| sha256.chars().take(DIGITS).collect::<String>());
        format!("{}{}", self.path, digest.map(|digest| format!(" (sha256 {digest}…)")).unwrap_or_default())
    }
}
