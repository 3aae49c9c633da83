//! What a reader must know before trusting a comparison: what the figures leave out, what limited the runs, and how the
//! sides differ besides what is compared.

use std::collections::BTreeSet;

use super::plans::{ComparedRun, Group, Matched};
use super::{Difference, Figure, Finding, machine};
use crate::report::RunReport;
use crate::report::units::{count, counted, percent};

/// The share of failures from which durations are worth a note.
const NOTABLE_FAILURES: f64 = 0.01;

/// All notes on a pair, those first that could change the conclusion.
pub(super) fn notes(matched: &Matched<'_>, operations: [u64; 2], figures: &[Difference]) -> Vec<String> {
    let Matched { a, b, flaws, .. } = matched;
    let sides = [("A", a), ("B", b)];
    let mut notes = flaws.clone();
    for (name, side) in sides {
        notes.extend(incomplete(name, side));
    }
    notes.extend(failures(figures));
    notes.extend(sides.into_iter().filter_map(|(name, side)| limited(name, side)));
    notes.extend(too_few(operations, figures));
    notes.extend(chance(figures));
    notes.extend(repetitions(a, b));
    notes.extend(machines(a, b));
    notes.extend(machine::note(a, b));
    notes.extend(unknown(a, b));
    if a.runs[0].report.task.sha256 == b.runs[0].report.task.sha256 {
        notes.push("both sides ran the same task".to_owned());
    }
    notes
}

/// Operations that are missing from the figures of a side.
fn incomplete(name: &str, side: &Group<'_>) -> Vec<String> {
    let sum = |of: fn(&RunReport) -> u64| side.runs.iter().map(|run| of(run.report)).fold(0, u64::saturating_add);
    let (offered, dropped) = (sum(|run| run.operations.offered), sum(|run| run.operations.dropped));
    let mut notes = Vec::new();
    if dropped > 0 {
        let share = percent(dropped as f64 / offered.max(dropped) as f64);
        notes.push(format!(
            "{name} dropped {} of {} slots ({share}): its figures lack those operations",
            count(dropped),
            count(offered)
        ));
    }
    let lost = sum(|run| run.operations.lost);
    if lost > 0 {
        notes.push(format!("{name} lost {}, which its figures lack", counted(lost, "operation")));
    }
    let stopped: Vec<_> = side.runs.iter().filter(|run| run.is_partial).map(|run| format!("`{}`", run.file)).collect();
    if !stopped.is_empty() {
        let files = distinct(stopped).join(", ");
        notes.push(format!("{files} is partial: {name} did not run its whole plan"));
    }
    notes
}

/// What failures do to the figures.
fn failures(figures: &[Difference]) -> Option<String> {
    let failed = figures.iter().find(|of| of.figure == Figure::Failed)?;
    let (a, b) = failed.a.zip(failed.b)?;
    if failed.finding != Finding::Nothing {
        return Some(format!(
            "failures differ, {} of A's operations and {} of B's: the durations include those of failed operations, so \
             they may differ only because of that",
            percent(a),
            percent(b)
        ));
    }
    (a.max(b) > NOTABLE_FAILURES)
        .then(|| "durations include those of failed operations, which may be unusually fast or slow".into())
}

fn limited(name: &str, side: &Group<'_>) -> Option<String> {
    let limited: Vec<_> = side.runs.iter().filter(|run| run.report.generator.limited).collect();
    let first = limited.first()?;
    let runs = match (limited.len(), side.runs.len()) {
        (_, 1) => String::new(),
        (some, all) => format!(" in {some} of {all} runs"),
    };
    let why = first.report.generator.reasons.first().map(|why| format!(" ({why})")).unwrap_or_default();
    Some(format!("{name} was generator-limited{runs}{why}: its figures show this machine, not the target"))
}

/// The percentiles that are not compared.
fn too_few(operations: [u64; 2], figures: &[Difference]) -> Option<String> {
    let missing: Vec<_> = figures.iter().filter(|of| of.a.is_none() || of.b.is_none()).map(|of| of.figure).collect();
    // The other figures need one operation, which every side has.
    let needs: Vec<_> = missing.iter().map(|figure| (figure.name(), figure.least_operations() as u64)).collect();
    let needs: Vec<_> = needs.into_iter().filter(|&(_, least)| least > 1).collect();
    (!needs.is_empty()).then(|| {
        let [a, b] = operations.map(count);
        let names = needs.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" and ");
        let are = if needs.len() == 1 { "is" } else { "are" };
        let least = needs.iter().map(|(name, least)| format!("{name} needs {}", count(*least)));
        let least = least.collect::<Vec<_>>().join(", ");
        format!("{names} {are} not compared, because A has {a} operations and B {b}: {least} on each side")
    })
}

/// A conclusion that does not rest on the median.
fn chance(figures: &[Difference]) -> Option<String> {
    let (primary, others) = figures.split_first()?;
    let is_shown = |of: &Difference| of.finding != Finding::Nothing;
    (!is_shown(primary) && others.iter().any(is_shown)).then(|| {
        "the median, which decides, shows no difference; of the other figures, at least one appears to differ in up \
         to one of twenty comparisons of equal sides"
            .into()
    })
}

/// What the number and the order of the runs leave open.
fn repetitions(a: &Group<'_>, b: &Group<'_>) -> Option<String> {
    let note = match (a.runs.len(), b.runs.len()) {
        (1, 1) => {
            "one run on each side: the intervals do not include how much unchanged runs differ from each other, nor \
             whether the machine changed between them; several runs of each side, in turns, would show that"
        }
        (1, _) | (_, 1) => "one side was run once: its variation is assumed to equal that of the other side",
        _ if is_apart(a, b) => {
            "all runs of one side were before those of the other, so a machine that changed between them looks like a \
             difference: alternate them"
        }
        _ => return None,
    };
    Some(note.into())
}

/// Whether all runs of one side began before all of the other. Times as RFC 3339 sort as text.
fn is_apart(a: &Group<'_>, b: &Group<'_>) -> bool {
    let times = |side: &Group<'_>| {
        let begins: Vec<_> = side.runs.iter().map(|run| run.report.started_at.clone()).collect();
        begins.iter().min().cloned().zip(begins.iter().max().cloned())
    };
    times(a).zip(times(b)).is_some_and(|((first_a, last_a), (first_b, last_b))| last_a < first_b || last_b < first_a)
}

/// A fact about a run's machine or programs; `None` if its report does not have it.
type Fact = (&'static str, fn(&ComparedRun<'_>) -> Option<String>);

const MACHINE: [Fact; 5] = [
    ("system", |run| Some(run.environment.os.clone())),
    ("kernel", |run| run.environment.kernel.clone()),
    ("processors", |run| Some(run.environment.cpus.to_string())),
    ("model", |run| run.environment.processor.clone()),
    ("cgroup limit", |run| {
        // A report without the kernel does not have the limit either.
        run.environment.kernel.as_ref()?;
        Some(run.environment.cpu_limit.map_or_else(|| "none".into(), |limit| format!("{limit} processors")))
    }),
];

const PROGRAMS: [Fact; 2] =
    [("gorgon", |run| Some(run.gorgon.to_owned())), ("wasmtime", |run| Some(run.environment.wasmtime.clone()))];

/// How the machines and the programs differ.
fn machines(a: &Group<'_>, b: &Group<'_>) -> Vec<String> {
    let unlike = |what: &str, facts: &[Fact]| {
        let found: Vec<_> = facts.iter().filter_map(|fact| unlike(fact, a, b)).collect();
        (!found.is_empty()).then(|| format!("the {what} differ: {}", found.join("; ")))
    };
    [unlike("machines", &MACHINE), unlike("programs", &PROGRAMS)].into_iter().flatten().collect()
}

/// A fact on both sides, if it is known of all runs and not the same.
fn unlike((name, of): &Fact, a: &Group<'_>, b: &Group<'_>) -> Option<String> {
    let values = |side: &Group<'_>| Some(distinct(side.runs.iter().map(of).collect::<Option<Vec<_>>>()?));
    let (of_a, of_b) = (values(a)?, values(b)?);
    let is_one = of_a.len() == 1 && of_a == of_b;
    (!is_one).then(|| format!("{name} {} and {}", of_a.join(" or "), of_b.join(" or ")))
}

/// What reports do not have, so that the sides may differ in it.
fn unknown(a: &Group<'_>, b: &Group<'_>) -> Vec<String> {
    let mut notes = Vec::new();
    let variables = a.variables();
    if !variables.is_empty() {
        let names = variables.join(", ");
        notes.push(format!("reports do not have the values of environment variables: A and B may differ in {names}"));
    }
    for file in a.unknown_files(b) {
        notes.push(format!("one report does not have the digest of `{file}`: its content may differ"));
    }
    notes
}

/// The texts without repetitions, in their order.
fn distinct(texts: Vec<String>) -> Vec<String> {
    let mut known = BTreeSet::new();
    texts.into_iter().filter(|text| known.insert(text.clone())).collect()
}
