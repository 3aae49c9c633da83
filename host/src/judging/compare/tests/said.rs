//! What a comparison says: its sentence, its notes, its verdict, and its text as a whole.

use super::*;

/// A comparison of made-up runs: three on each side, B's durations multiplied by `factor`.
fn pooled(factor: f64, change: impl Fn(&mut Report, usize)) -> Result<Comparison, CompareError> {
    let mut rng = Rng::with_seed(9);
    let world = Population { intervals: 10, per_interval: 60, between_runs: 0.01, ..CALM };
    let mut sides = [1.0, factor].map(|factor| {
        let side = |i: usize| (format!("{i}.json"), Report::new(environment(), &[world.run(factor, &mut rng)]));
        ReportSet { reports: (0..3).map(side).collect() }
    });
    for (i, side) in sides.iter_mut().enumerate() {
        side.reports.iter_mut().for_each(|(_, report)| change(report, i));
    }
    let [a, b] = sides;
    compare(&a, &[b], Scruples::Note, 0, None)
}

#[test]
fn notes_say_what_could_change_the_conclusion() {
    /// Changes a report of a side: 0 is A, 1 is B.
    type Edit = fn(&mut Report, usize);
    let edits: [(Edit, &str); 10] = [
        (
            |report, side| {
                let counts = &mut report.runs[0].operations;
                (counts.dropped, counts.offered) = (50 * side as u64, 600 + 50 * side as u64);
            },
            "B dropped 150 of 1,950 slots (7.69 %)",
        ),
        (
            |report, side| {
                report.runs[0].generator.limited = side == 0;
                report.runs[0].generator.reasons = vec!["a thread was busy".into()];
            },
            "A was generator-limited in 3 of 3 runs (a thread was busy): its figures show this machine, not the target",
        ),
        (
            |report, side| {
                let counts = &mut report.runs[0].operations;
                (counts.lost, counts.offered) = (side as u64, counts.offered + side as u64);
            },
            "B lost 3 operations, which its figures lack",
        ),
        (|report, side| report.partial = side == 1, "`0.json`, `1.json`, `2.json` is partial"),
        (|_, _| {}, "reports do not have the values of environment variables: A and B may differ in TOKEN"),
        (
            |report, side| report.environment.processor = Some(["Xeon", "EPYC"][side].into()),
            "the machines differ: model Xeon and EPYC",
        ),
        (
            |report, side| report.environment.cpu_limit = [None, Some(1.5)][side],
            "the machines differ: cgroup limit none and 1.5 processors",
        ),
        (|report, side| report.gorgon = ["0.1.0", "0.2.0"][side].into(), "the programs differ: gorgon 0.1.0 and 0.2.0"),
        (
            |report, side| report.runs[0].started_at = format!("2026-01-0{}T00:00:00Z", side + 1),
            "all runs of one side were before those of the other",
        ),
        (|_, _| {}, "both sides ran the same task"),
    ];
    for (edit, wanted) in edits {
        let notes = pooled(1.0, edit).unwrap().pairs.remove(0).notes;
        assert!(notes.iter().any(|note| note.contains(wanted)), "no `{wanted}` in {notes:?}");
    }
    // Reports of older versions do not know their machine, which is not a difference.
    let notes = pooled(1.0, |report, side| {
        if side == 0 {
            (report.environment.kernel, report.environment.cpu_limit) = (None, None);
        }
    });
    let notes = notes.unwrap().pairs.remove(0).notes;
    assert!(!notes.iter().any(|note| note.contains("differ:")), "{notes:?}");
}

#[test]
fn percentiles_without_enough_operations_are_named_and_not_compared() {
    let pair = compared(&steady(1_000_000, 20), &steady(1_100_000, 20)).pairs.remove(0);
    assert_eq!((pair.figures[3].figure, pair.figures[3].a, pair.figures[3].b), (Figure::P99, None, None));
    assert!(
        pair.notes.iter().any(|note| note
            .contains("p99 is not compared, because A has 400 operations and B 400: p99 needs 1,000 on each side")),
        "{pair:?}"
    );
    let pair = compared(&steady(1_000_000, 60), &steady(1_100_000, 60)).pairs.remove(0);
    assert!(pair.figures[3].a.is_some() && !pair.notes.iter().any(|note| note.contains("not compared")), "{pair:?}");
}

#[test]
fn a_headline_names_all_that_differs() {
    use Finding::{FailsMore, Faster, Nothing, Slower};
    let sentence = |runs: [usize; 2], findings: [Finding; 6]| {
        let figures: Vec<_> = (Figure::ALL.into_iter().zip(findings))
            .map(|(figure, finding)| {
                let change = Change { measured: 0.1, low: 0.05, high: 0.2, detectable: 0.07 };
                Difference { figure, a: Some(0.01), b: Some(0.11), level: 0.95, change: Some(change), finding }
            })
            .collect();
        words::sentence(runs, &figures)
    };
    for (findings, wanted) in [
        (
            [Nothing; 6],
            "no duration or rate differs by more than chance explains: a median that differs by 7.0 % would",
        ),
        ([Slower; 6], "B is slower: its median is longer by 10.0 %, somewhere between 5.0 % and 20.0 %"),
        (
            [Nothing, Slower, Slower, Nothing, Slower, Nothing],
            "B is slower by its mean, p90 and throughput, though not by its median",
        ),
        (
            [Nothing, Faster, Slower, Nothing, Nothing, Nothing],
            "B is slower by its p90 and faster by its mean, though not",
        ),
        ([Slower, Slower, Slower, Slower, Faster, Nothing], "20.0 %; but it is faster by its throughput"),
        (
            [Faster, Nothing, Nothing, Nothing, Nothing, FailsMore],
            "more operations of B fail, 11.0 % instead of 1.00 %; with those included, B is faster: its median is shorter",
        ),
        (
            [Nothing, Nothing, Nothing, Nothing, Nothing, FailsMore],
            "more operations of B fail, 11.0 % instead of 1.00 %",
        ),
    ] {
        let said = sentence([3, 3], findings);
        assert!(said.contains(wanted), "{findings:?}: {said}");
        assert_eq!(said.contains("no duration or rate differs"), findings[..5] == [Nothing; 5], "{said}");
        let alone = sentence([1, 1], findings);
        assert!(alone.starts_with("between these two runs, ") && alone.ends_with("is not known"), "{alone}");
    }
}

#[test]
fn a_verdict_says_what_the_data_cannot_exclude() {
    let verdict = |factor: f64, by: f64| {
        let mut rng = Rng::with_seed(12);
        let (a, b) = (CALM.input(1, 1.0, &mut rng), [CALM.input(1, factor, &mut rng)]);
        compare(&a, &b, Scruples::Refuse, 0, Some(by)).unwrap().verdict().unwrap()
    };
    assert_eq!(verdict(1.2, 0.05), "failed: a median is longer by more than 5.0 %");
    assert_eq!(verdict(0.5, 1.5), "passed: no median is shown to be longer by more than 150.0 %");
    let open = verdict(1.0, 0.001);
    assert!(
        open.starts_with("passed: no median is shown to be longer by more than 0.10 %, though it could be by"),
        "{open}"
    );
}

#[test]
fn comparisons_as_people_read_them() {
    let mut rng = Rng::with_seed(8);
    let a = CALM.input(1, 1.0, &mut rng);
    let others = [CALM.input(1, 1.0, &mut rng), CALM.input(3, 1.1, &mut rng)];
    insta::assert_snapshot!(plain(&compare(&a, &others, Scruples::Refuse, 0, Some(0.02)).unwrap()));
    let few = Population { per_interval: 2, ..CALM };
    let (a, b) = (few.input(2, 1.0, &mut rng), [few.input(2, 0.5, &mut rng)]);
    insta::assert_snapshot!(plain(&compare(&a, &b, Scruples::Refuse, 0, None).unwrap()));
}

#[test]
fn a_terminal_gets_no_escape_sequence_from_a_report() {
    let mut record = steady(1_000_000, 20);
    record.task.path = "\u{1b}]0;title\u{7}\u{202e}.wasm".into();
    replan(&mut record, |spec| spec.grants.args = vec!["\u{1b}[2J\u{202e}".into()]);
    let sides = (input("\u{1b}[2Ja.json", &[record]), input("b.json", &[steady(1_000_000, 20)]));
    let comparison = compare(&sides.0, &[sides.1], Scruples::Note, 0, None).unwrap();
    let mut shown = Vec::new();
    crate::rendering::compare::write(&comparison, &mut shown).unwrap();
    let shown = String::from_utf8(shown).unwrap();
    // What is left are the colours of the comparison itself.
    let colours = regex::Regex::new("\u{1b}\\[[0-9]*m").unwrap();
    let text = colours.replace_all(&shown, "");
    assert!(text.contains("title") && text.contains("the plans differ"), "{text:?}");
    assert!(!text.contains(|c: char| c != '\n' && (c.is_control() || c == '\u{202e}')), "{text:?}");
}
