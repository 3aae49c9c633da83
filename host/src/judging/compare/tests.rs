//! Compares made-up runs whose true difference is known.

use std::time::Duration;

use fastrand::Rng;

use super::*;
use crate::lane::Lane;
use crate::metrics::{Health, HealthLog, Metrics, Outcome, Recorder, Sample, Spans};
use crate::plan::{Extent, RunSpec, Shape};
use crate::record::{FileFacts, FileRole, RunRecord, WorkerRecord};
use crate::report::tests::{environment, record};
use crate::report::{Counts, RunReport};

const INTERVAL_NS: u64 = crate::metrics::BASE_INTERVAL_NS;

/// Changes the plan of a record.
fn replan(record: &mut RunRecord, change: impl FnOnce(&mut RunSpec)) {
    let mut spec = RunSpec::from(record.plan.clone());
    change(&mut spec);
    record.plan = spec.try_into().unwrap();
}

/// How a made-up run varies; durations are lognormal.
#[derive(Clone, Copy)]
struct Population {
    intervals: u64,
    per_interval: u64,
    /// The spread of durations within an interval.
    spread: f64,
    /// The spread of the factor that slows whole intervals, and the share of it that the next interval inherits.
    drift: f64,
    inherits: f64,
    /// The spread of the factor that slows whole runs.
    between_runs: f64,
}

const CALM: Population =
    Population { intervals: 60, per_interval: 200, spread: 0.5, drift: 0.015, inherits: 0.7, between_runs: 0.0 };

impl Population {
    /// A run whose durations are multiplied by `factor`.
    fn run(self, factor: f64, rng: &mut Rng) -> RunRecord {
        let mut recorder = Recorder::default();
        let run = self.between_runs * normal(rng);
        let mut drift = self.drift * normal(rng);
        for interval in 0..self.intervals {
            drift = self.inherits * drift + self.drift * (1.0 - self.inherits.powi(2)).sqrt() * normal(rng);
            for place in 0..self.per_interval {
                let ns = 10e6 * factor * (run + drift + self.spread * normal(rng)).exp();
                let end_ns = interval * INTERVAL_NS + INTERVAL_NS / 2 + place;
                let number = interval * self.per_interval + place;
                recorder.record(&sample(number, end_ns - ns as u64, end_ns, &Spans::default()));
            }
        }
        of(recorder.take())
    }

    fn input(self, runs: usize, factor: f64, rng: &mut Rng) -> ReportSet {
        let records: Vec<_> = (0..runs).map(|_| self.run(factor, rng)).collect();
        input("made-up.json", &records)
    }

    /// Compares `pairs` pairs of sides with `runs` runs each, B's durations multiplied by `factor`; counts how many are
    /// found slower and how many faster.
    fn findings(self, pairs: usize, runs: usize, factor: f64, seed: u64) -> (usize, usize) {
        let mut rng = Rng::with_seed(seed);
        let mut found = [0, 0];
        for _ in 0..pairs {
            let (a, b) = (self.input(runs, 1.0, &mut rng), self.input(runs, factor, &mut rng));
            let comparison = compare(&a, &[b], Scruples::Refuse, 0, None).unwrap();
            found[0] += usize::from(comparison.pairs[0].figures[0].finding == Finding::Slower);
            found[1] += usize::from(comparison.pairs[0].figures[0].finding == Finding::Faster);
        }
        (found[0], found[1])
    }

    /// Of `pairs` pairs of equal sides, how many have a headline that names another figure than the median.
    fn elsewhere(self, pairs: usize, runs: usize, seed: u64) -> usize {
        let mut rng = Rng::with_seed(seed);
        let mut found = 0;
        for _ in 0..pairs {
            let (a, b) = (self.input(runs, 1.0, &mut rng), self.input(runs, 1.0, &mut rng));
            let comparison = compare(&a, &[b], Scruples::Refuse, 0, None).unwrap();
            let (primary, others) = comparison.pairs[0].figures.split_first().unwrap();
            let is_found = |of: &Difference| of.finding != Finding::Nothing;
            found += usize::from(!is_found(primary) && others.iter().any(is_found));
        }
        found
    }
}

fn sample<'a>(number: u64, start_ns: u64, end_ns: u64, spans: &'a Spans) -> Sample<'a> {
    let (outcome, result) = match number % 100 {
        0 => (Outcome::Failed, "500"),
        _ => (Outcome::Ok, "200"),
    };
    Sample { number, due_ns: None, start_ns, end_ns, outcome, result, reason: None, spans, split: None }
}

fn normal(rng: &mut Rng) -> f64 {
    (-2.0 * (1.0 - rng.f64()).ln()).sqrt() * (std::f64::consts::TAU * rng.f64()).cos()
}

fn of(metrics: Metrics) -> RunRecord {
    let mut record = record(1);
    replan(&mut record, |plan| plan.extent = Extent::new(None, Some(Duration::from_secs(15))).unwrap());
    (record.lost, record.offered, record.faults) = (0, metrics.completed(), Vec::new());
    record.metrics = metrics;
    record
}

fn input(file: &str, records: &[RunRecord]) -> ReportSet {
    ReportSet { reports: vec![(file.to_owned(), Report::new(environment(), records))] }
}

/// A run in which every operation takes `ns`.
fn steady(ns: u64, intervals: u64) -> RunRecord {
    let mut recorder = Recorder::default();
    for number in 0..intervals * 20 {
        let end_ns = (number + 1) * INTERVAL_NS / 20;
        recorder.record(&sample(number, end_ns - ns, end_ns, &Spans::default()));
    }
    of(recorder.take())
}

fn compared(a: &RunRecord, b: &RunRecord) -> Comparison {
    compare(
        &input("a.json", std::slice::from_ref(a)),
        &[input("b.json", std::slice::from_ref(b))],
        Scruples::Refuse,
        0,
        None,
    )
    .unwrap()
}

fn refused(a: &ReportSet, b: ReportSet) -> String {
    compare(a, &[b], Scruples::Refuse, 0, None).unwrap_err().to_string()
}

#[test]
fn equal_runs_rarely_differ_and_a_shift_is_found() {
    let (slower, faster) = CALM.findings(40, 1, 1.0, 1);
    assert!(slower + faster <= 5, "{slower} slower, {faster} faster of 40 equal pairs");
    let (slower, faster) = CALM.findings(20, 1, 1.05, 2);
    assert!(slower >= 18 && faster == 0, "{slower} slower, {faster} faster of 20 that are 5 % slower");
}

/// `cargo xtask compare-check` runs this.
#[test]
#[ignore = "takes minutes: cargo xtask compare-check made-up"]
fn error_rates_over_two_hundred_pairs_of_every_kind() {
    let short = Population { intervals: 20, per_interval: 100, ..CALM };
    let drifting = Population { drift: 0.03, inherits: 0.8, ..CALM };
    let long = Population { intervals: 240, per_interval: 50, drift: 0.02, inherits: 0.9, ..CALM };
    let apart = Population { intervals: 16, per_interval: 60, between_runs: 0.03, ..CALM };
    println!("{:<62} {:>12} {:>15} {:>11}", "200 pairs each", "equal", "by another", "5 % slower");
    for (name, world, runs) in [
        ("15 s, drift 1.5 %, of which the next interval inherits 0.7", CALM, 1),
        ("5 s, drift 1.5 %, inherits 0.7", short, 1),
        ("15 s, drift 3 %, inherits 0.8", drifting, 1),
        ("60 s, drift 2 %, inherits 0.9", long, 1),
        ("4 s, runs differ by 3 % among themselves, one of each", apart, 1),
        ("4 s, runs differ by 3 % among themselves, five of each", apart, 5),
        ("4 s, runs differ by 3 % among themselves, ten of each", apart, 10),
    ] {
        let (slower, faster) = world.findings(200, runs, 1.0, 11);
        let (found, wrong) = world.findings(200, runs, 1.05, 12);
        let elsewhere = world.elsewhere(200, runs, 11);
        let called = slower + faster;
        println!("{name:<62} {called:>5} called {elsewhere:>5} elsewhere {found:>5} found, {wrong} faster");
    }
    let (slower, faster) = CALM.findings(200, 1, 1.0, 11);
    assert!(slower + faster <= 17);
    assert!(CALM.elsewhere(200, 1, 11) <= 17);
    assert!(CALM.findings(200, 1, 1.05, 12).0 >= 180);
}

#[test]
fn repetitions_reveal_how_much_equal_runs_differ() {
    let world = Population { intervals: 10, per_interval: 40, between_runs: 0.05, ..CALM };
    let (slower, faster) = world.findings(20, 1, 1.0, 3);
    let alone = slower + faster;
    let (slower, faster) = world.findings(20, 4, 1.0, 4);
    assert!(slower + faster <= 3 && alone > 3, "{} repeated, {alone} alone", slower + faster);
}

#[test]
fn a_step_of_the_histogram_is_not_a_difference() {
    // Both histogram steps may stand for the same duration.
    let primary = compared(&steady(2_000_000, 20), &steady(2_001_000, 20)).pairs[0].figures[0].clone();
    assert_eq!(primary.finding, Finding::Nothing);
    let primary = compared(&steady(2_000_000, 20), &steady(2_100_000, 20)).pairs[0].figures[0].clone();
    assert_eq!(primary.finding, Finding::Slower);
    assert!(primary.change.is_some_and(|change| (change.measured - 0.05).abs() < 0.001), "{primary:?}");
}

#[test]
fn a_run_that_stalled_for_a_while_can_be_compared() {
    let mut recorder = Recorder::default();
    for number in (0..400_u64).filter(|number| !(100..160).contains(number)) {
        let end_ns = (number + 1) * INTERVAL_NS / 20;
        recorder.record(&sample(number, end_ns - 2_000_000, end_ns, &Spans::default()));
    }
    let pair = compared(&steady(2_000_000, 20), &of(recorder.take())).pairs.remove(0);
    assert_eq!(pair.figures[0].finding, Finding::Nothing);
    let throughput = &pair.figures[4];
    assert!(throughput.change.is_some_and(|change| change.measured < -0.1 && change.high > 0.0), "{throughput:?}");
}

#[test]
fn a_step_of_the_clock_does_not_make_figures_jump() {
    // The clock counts in steps of 10 ns, and on one side a few more operations fall on the next step.
    let at = |share: u64| {
        let mut recorder = Recorder::default();
        for number in 0..8_000_u64 {
            let end_ns = (number + 1) * INTERVAL_NS / 400;
            let ns = if number * 37 % 100 < share { 450 } else { 460 };
            recorder.record(&sample(number, end_ns - ns, end_ns, &Spans::default()));
        }
        of(recorder.take())
    };
    let change = compared(&at(51), &at(49)).pairs[0].figures[0].change.unwrap();
    assert!(change.measured < 0.001, "{change:?}");
}

#[test]
fn equal_seeds_give_equal_results_and_others_similar_ones() {
    let mut rng = Rng::with_seed(5);
    let (a, b) = (CALM.input(1, 1.0, &mut rng), [CALM.input(1, 1.02, &mut rng)]);
    let with = |seed| compare(&a, &b, Scruples::Refuse, seed, None).unwrap();
    assert_eq!(with(0), with(0));
    let width = |comparison: Comparison| {
        let change = comparison.pairs[0].figures[0].change.unwrap();
        change.high - change.low
    };
    let (one, other) = (width(with(0)), width(with(1)));
    assert!(one != other && (one / other - 1.0).abs() < 0.1, "{one} and {other}");
}

#[test]
fn slower_by_more_needs_the_whole_interval_above_the_bound() {
    let mut rng = Rng::with_seed(6);
    let (a, b) = (CALM.input(1, 1.0, &mut rng), [CALM.input(1, 1.2, &mut rng)]);
    for (by, held) in [(0.0, true), (0.05, true), (0.2, false)] {
        let found = compare(&a, &b, Scruples::Refuse, 0, Some(by)).unwrap().fail_if_slower.unwrap();
        assert_eq!(found, Slower { by, held }, "{by}");
    }
}

#[test]
fn time_that_the_machine_took_is_not_a_difference_of_the_task() {
    let run = |lane: Lane, ns: u64, share: f64| {
        let mut health = HealthLog::default();
        for second in 1..=5_u64 {
            let cpu_ns = (second as f64 * share * 1e9) as u64;
            health.note(Health { at_ns: second * 1_000_000_000, cpu_ns, ..Health::default() });
        }
        let mut run = steady(ns, 20);
        run.workers = vec![WorkerRecord { threads: 1, health, ..WorkerRecord::default() }];
        run.task.lane = lane;
        run
    };
    let finding = |a: &RunRecord, b: &RunRecord| {
        let pair = compared(a, b).pairs.remove(0);
        (pair.figures[0].finding, pair.notes.iter().any(|note| note.contains("B for 95.0 %")))
    };
    let usual = run(Lane::Compute, 2_000_000, 1.0);
    assert_eq!(finding(&usual, &run(Lane::Compute, 2_090_000, 1.0)), (Finding::Slower, false));
    // The machine took more time than the first run is slower by, but less than the second one is.
    assert_eq!(finding(&usual, &run(Lane::Compute, 2_090_000, 0.95)), (Finding::Nothing, true));
    assert_eq!(finding(&usual, &run(Lane::Compute, 2_200_000, 0.95)), (Finding::Slower, true));
    // A task that waits leaves its threads idle anyway, so its computing time shows nothing.
    let waits = run(Lane::Io, 2_000_000, 1.0);
    assert_eq!(finding(&waits, &run(Lane::Io, 2_090_000, 0.95)), (Finding::Slower, false));
}

#[test]
fn several_comparisons_hold_together() {
    let mut rng = Rng::with_seed(7);
    let a = CALM.input(1, 1.0, &mut rng);
    let others = [CALM.input(1, 1.0, &mut rng), CALM.input(1, 1.0, &mut rng)];
    let comparison = compare(&a, &others, Scruples::Refuse, 0, None).unwrap();
    let levels: Vec<_> = comparison.pairs[1].figures.iter().map(|of| (of.level * 1e4).round() / 1e4).collect();
    assert_eq!(levels, [0.975, 0.995, 0.995, 0.995, 0.995, 0.995]);
}

#[test]
fn different_plans_are_refused_with_the_fields_named_unless_forced() {
    let a = input("a.json", &[steady(1_000_000, 20)]);
    let mut other = steady(1_000_000, 20);
    replan(&mut other, |plan| {
        plan.shape = Shape::new(2, 8).unwrap();
        plan.limits.timeout = None;
        plan.seed = 99;
    });
    let b = || input("b.json", std::slice::from_ref(&other));
    let error = refused(&a, b());
    assert_eq!(
        error,
        "`a.json` and `b.json` have different plans (threads: 1 and 8; timeout_ns: 60000000000 and null): run both \
         alike, or compare them with --force"
    );
    let forced = compare(&a, &[b()], Scruples::Note, 0, None).unwrap();
    assert_eq!(forced.pairs[0].differs.len(), 2);
}

#[test]
fn reports_that_cannot_be_compared_are_refused_with_a_reason() {
    let good = || input("a.json", &[steady(1_000_000, 20)]);
    let mut partial = input("b.json", &[steady(1_000_000, 20)]);
    partial.reports[0].1.partial = true;
    let mut broken = input("b.json", &[steady(1_000_000, 20)]);
    broken.reports[0].1.runs[0].timeline.buckets[3].latency_ns.hdr = Some("no".into());
    let mut more = steady(1_000_000, 20);
    replan(&mut more, |plan| plan.shape.threads = 9);
    for (b, problem) in [
        (partial, "`b.json` is partial"),
        (broken, "`b.json`, run 1: the histogram of an interval cannot be read"),
        (input("b.json", &[steady(1_000_000, 3)]), "`b.json`, run 1 has 4 intervals of 250 ms, some perhaps empty"),
        (input("b.json", &[steady(1_000_000, 20), more]), "`a.json` has runs of 1 tasks or plans, and `b.json` of 2"),
    ] {
        let error = refused(&good(), b);
        assert!(error.contains(problem), "{error}");
    }
}

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
                report.runs[0].operations =
                    Counts { dropped: 50 * side as u64, offered: 650, ..report.runs[0].operations }
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
        (|report, side| report.runs[0].operations.lost = side as u64, "B lost 3 operations, which its figures lack"),
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
    assert!(pair.notes.iter().any(|note| note.contains("p99 is not compared: it needs 1,000 operations")), "{pair:?}");
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
fn a_run_is_not_compared_with_itself_and_counts_once() {
    let (run, other) = (steady(1_000_000, 20), steady(1_100_000, 20));
    let error = refused(&input("a.json", std::slice::from_ref(&run)), input("b.json", std::slice::from_ref(&run)));
    assert!(error.starts_with("`a.json`, run 1 and `b.json`, run 1 are the same run: compare different"), "{error}");
    let (twice, others) =
        (input("a.json", &[run.clone(), run]), input("b.json", &[other.clone(), steady(1_090_000, 20)]));
    let error = refused(&twice, others);
    assert!(error.starts_with("`a.json`, run 1 and `a.json`, run 2 are the same run"), "{error}");
    let forced = compare(&twice, &[input("b.json", &[other])], Scruples::Note, 0, None).unwrap();
    assert!(forced.pairs[0].notes[0].ends_with("are the same run: the intervals are not to be trusted"), "{forced:?}");
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
fn plans_find_their_partners_in_any_order() {
    let of = |ns: u64, threads: u32| {
        let mut run = steady(ns, 20);
        replan(&mut run, |plan| plan.shape.threads = threads);
        run
    };
    let a = input("a.json", &[of(1_000_000, 1), of(2_000_000, 4)]);
    let b = input("b.json", &[of(2_100_000, 4), of(1_100_000, 1)]);
    let pairs = compare(&a, &[b], Scruples::Refuse, 0, None).unwrap().pairs;
    let threads: Vec<_> = pairs.iter().map(|pair| (pair.a.threads, pair.b.threads)).collect();
    assert_eq!(threads, [(1, 1), (4, 4)]);
    // One plan has no partner.
    let b = input("b.json", &[of(2_100_000, 4)]);
    let forced = compare(&a, &[b], Scruples::Note, 0, None).unwrap();
    assert_eq!((forced.pairs.len(), forced.pairs[0].a.threads), (1, 4));
    assert!(forced.pairs[0].notes[0].contains("A has runs of 2 tasks or plans, B of 1"), "{forced:?}");
}

#[test]
fn files_are_the_same_if_their_content_is() {
    let with = |ns: u64, path: &str, sha256: Option<&str>| {
        let mut run = steady(ns, 20);
        replan(&mut run, |plan| plan.data = Some(path.into()));
        let file =
            |sha256: &str| FileFacts { role: FileRole::Data, path: path.into(), sha256: sha256.into(), bytes: 9 };
        run.files = sha256.map(file).into_iter().collect();
        input("made-up.json", &[run])
    };
    let known = with(1_000_000, "users.csv", Some("00ff"));
    let compared = |b: ReportSet| compare(&known, &[b], Scruples::Refuse, 0, None);
    assert!(compared(with(1_100_000, "copy.csv", Some("00ff"))).is_ok());
    let error = compared(with(1_100_000, "users.csv", Some("11aa"))).unwrap_err().to_string();
    assert!(error.contains("(data: users.csv (sha256 00ff…) and users.csv (sha256 11aa…))"), "{error}");
    let error = compared(with(1_100_000, "other.csv", None)).unwrap_err().to_string();
    assert!(error.contains("data: users.csv (sha256 00ff…) and other.csv"), "{error}");
    let notes = compared(with(1_100_000, "users.csv", None)).unwrap().pairs.remove(0).notes;
    assert!(
        notes.contains(&"one report does not have the digest of `users.csv`: its content may differ".into()),
        "{notes:?}"
    );
    let error = compared(input("b.json", &[steady(1_100_000, 20)])).unwrap_err().to_string();
    assert!(error.contains("data: users.csv (sha256 00ff…) and null"), "{error}");
}

/// Every number of a JSON value, by its path.
fn numbers(value: &serde_json::Value, path: &str, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| numbers(value, &format!("{path}/{name}"), found));
        }
        serde_json::Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, value)| numbers(value, &format!("{path}/{i}"), found));
        }
        serde_json::Value::Number(_) => found.push(path.to_owned()),
        _ => {}
    }
}

#[test]
fn an_edited_report_is_refused_or_changes_no_figure() {
    let (a, b) = (steady(1_000_000, 20), steady(1_100_000, 20));
    let original = compared(&a, &b).pairs.remove(0).figures;
    let report = serde_json::to_value(Report::new(environment(), &[b])).unwrap();
    let mut paths = Vec::new();
    numbers(&report["runs"][0], "/runs/0", &mut paths);
    let mut rng = Rng::with_seed(10);
    let mut refused = 0;
    for _ in 0..400 {
        let path = rng.choice(&paths).unwrap();
        let value = rng.choice([0.into(), 1.into(), u64::MAX.into(), 1e300.into(), serde_json::Value::Null]).unwrap();
        let mut edited = report.clone();
        *edited.pointer_mut(path).unwrap() = value.clone();
        let Ok(edited) = crate::judging::read::report(edited.to_string().as_bytes()) else { continue };
        let b = ReportSet { reports: vec![("b.json".into(), edited)] };
        let a = input("a.json", std::slice::from_ref(&a));
        match compare(&a, &[b], Scruples::Note, 0, None) {
            Err(_) => refused += 1,
            // What the figures do not depend on may say anything. The time that the run computed widens intervals.
            Ok(comparison) => {
                let figures = &comparison.pairs[0].figures;
                for (edited, original) in figures.iter().zip(&original) {
                    // A throughput says over which time it was taken, to a nanosecond.
                    let values = [edited.a, edited.b].into_iter().zip([original.a, original.b]);
                    let are_equal = values.into_iter().all(|(edited, original)| match (edited, original) {
                        (Some(edited), Some(original)) => (edited / original - 1.0).abs() < 1e-6,
                        (edited, original) => edited == original,
                    });
                    assert!(are_equal && edited.finding == original.finding, "{path} = {value}: {edited:?}");
                }
                assert!(plain(&comparison).contains(&comparison.pairs[0].levels()));
            }
        }
    }
    assert!(refused > 25, "{refused}");
}

#[test]
fn contradictions_are_named() {
    type Edit = fn(&mut RunReport);
    let edits: [(Edit, &str); 9] = [
        (|run| run.timeline.buckets[3].completed = 7, "the counts of an interval do not add up"),
        (|run| run.timeline.buckets[3].failed = 99, "the counts of an interval do not add up"),
        (|run| run.timeline.buckets[3].failed = 5, "its counts of operations do not add up"),
        (|run| run.operations.ok += 1, "its counts of operations do not add up"),
        (|run| run.timeline.buckets[3].latency_ns.sum = Some(1 << 80), "the mean of an interval is not that of its"),
        (
            |run| {
                let summary = &mut run.timeline.buckets[3].latency_ns;
                (summary.sum, summary.mean) = (None, None);
            },
            "the mean of an interval is not that of its",
        ),
        (|run| run.timeline.buckets[3].start_ns += 1, "its intervals do not follow each other"),
        (|run| run.timeline.interval_ns = 0, "its intervals have no length"),
        (|run| run.throughput_window_ns = Some(1), "its throughput is not that of its operations and its time"),
    ];
    for (edit, problem) in edits {
        let mut b = input("b.json", &[steady(1_100_000, 20)]);
        edit(&mut b.reports[0].1.runs[0]);
        let error = refused(&input("a.json", &[steady(1_000_000, 20)]), b);
        assert!(error.starts_with(&format!("`b.json`, run 1: {problem}")) && error.ends_with("edited?"), "{error}");
    }
    let mut empty = input("b.json", &[steady(1_100_000, 20)]);
    empty.reports[0].1.runs.clear();
    assert_eq!(
        refused(&input("a.json", &[steady(1_000_000, 20)]), empty),
        "`b.json` has no run: nothing can be compared"
    );
    // Reports of older versions have a mean and no sum.
    let mut old = input("b.json", &[steady(1_100_000, 20)]);
    old.reports[0].1.runs[0].timeline.buckets.iter_mut().for_each(|bucket| bucket.latency_ns.sum = None);
    let comparison = compare(&input("a.json", &[steady(1_000_000, 20)]), &[old], Scruples::Refuse, 0, None).unwrap();
    assert_eq!(comparison.pairs[0].figures[1].b, Some(1_100_000.0));
}

#[test]
fn throughput_is_that_of_the_reports() {
    let (a, b) = (steady(1_000_000, 20), steady(1_100_000, 20));
    let reported = Report::new(environment(), std::slice::from_ref(&b)).runs[0].throughput.unwrap();
    let compared = compared(&a, &b).pairs[0].figures[4].b.unwrap();
    assert!((compared / reported - 1.0).abs() < 1e-9, "{compared} and {reported}");
}

#[test]
fn different_tasks_are_compared_without_force() {
    let mut other = steady(1_000_000, 20);
    (other.task.sha256, other.task.path) = ("11aa".into(), "other.wasm".into());
    assert!(compared(&steady(1_000_000, 20), &other).pairs[0].differs.is_empty());
}

fn plain(comparison: &Comparison) -> String {
    let mut styled = Vec::new();
    crate::rendering::compare::write(comparison, anstream::StripStream::new(&mut styled)).unwrap();
    String::from_utf8(styled).unwrap()
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

#[test]
fn every_field_of_a_comparison() {
    let comparison = compared(&steady(1_000_000, 20), &steady(1_100_000, 20));
    let json = serde_json::to_string_pretty(&comparison).unwrap();
    assert_eq!(serde_json::from_str::<Comparison>(&json).unwrap(), comparison);
    // The last digits depend on the mathematics library.
    let rounded = regex::Regex::new(r"(\d\.\d{6})\d+").unwrap().replace_all(&json, "$1").into_owned();
    insta::assert_snapshot!(rounded);
}
