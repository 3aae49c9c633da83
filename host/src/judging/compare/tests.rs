//! Compares made-up runs whose true difference is known.

mod odd;
mod said;

use std::time::Duration;

use fastrand::Rng;

use super::*;
use crate::lane::Lane;
use crate::metrics::{Health, HealthLog, Metrics, Outcome, Recorder, Sample, Spans};
use crate::plan::{Extent, RunSpec, Shape};
use crate::record::{FileFacts, FileRole, RunRecord, WorkerRecord};
use crate::report::RunReport;
use crate::report::tests::{environment, record};

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

    /// Compares `pairs` pairs of sides with `runs` runs each, B's durations multiplied by `factor`.
    fn findings(self, pairs: usize, runs: usize, factor: f64, seed: u64) -> Findings {
        let mut rng = Rng::with_seed(seed);
        let mut found = Findings::default();
        for _ in 0..pairs {
            let (a, b) = (self.input(runs, 1.0, &mut rng), self.input(runs, factor, &mut rng));
            let comparison = compare(&a, &[b], Scruples::Refuse, 0, None).unwrap();
            let (primary, others) = comparison.pairs[0].figures.split_first().unwrap();
            match primary.finding {
                Finding::Slower => found.slower += 1,
                Finding::Faster => found.faster += 1,
                _ if others.iter().any(|of| of.finding != Finding::Nothing) => found.elsewhere += 1,
                _ => {}
            }
        }
        found
    }
}

/// What comparisons found.
#[derive(Default)]
struct Findings {
    /// Pairs whose median is found slower.
    slower: usize,
    faster: usize,
    /// Pairs of which only another figure differs.
    elsewhere: usize,
}

impl Findings {
    fn differ(&self) -> usize {
        self.slower + self.faster
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
    record.workers[0].operations = metrics.completed();
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
    let Findings { slower, faster, elsewhere } = CALM.findings(40, 1, 1.0, 1);
    assert!(slower + faster <= 5, "{slower} slower, {faster} faster of 40 equal pairs");
    assert!(elsewhere <= 5, "{elsewhere} of 40 equal pairs differ by another figure");
    let Findings { slower, faster, .. } = CALM.findings(20, 1, 1.05, 2);
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
        let equal = world.findings(200, runs, 1.0, 11);
        let Findings { slower, faster, .. } = world.findings(200, runs, 1.05, 12);
        let (called, elsewhere) = (equal.differ(), equal.elsewhere);
        println!("{name:<62} {called:>5} called {elsewhere:>5} elsewhere {slower:>5} found, {faster} faster");
        if name.starts_with("15 s, drift 1.5 %") {
            assert!(called <= 17 && elsewhere <= 17 && slower >= 180);
        }
    }
}

#[test]
fn repetitions_reveal_how_much_equal_runs_differ() {
    let world = Population { intervals: 10, per_interval: 40, between_runs: 0.05, ..CALM };
    let alone = world.findings(20, 1, 1.0, 3).differ();
    let repeated = world.findings(20, 4, 1.0, 4).differ();
    assert!(repeated <= 3 && alone > 3, "{repeated} repeated, {alone} alone");
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
        assert_eq!(found, Slower { by, held, none_ok: false }, "{by}");
    }
}

#[test]
fn a_side_on_which_nothing_was_ok_is_not_faster() {
    let mut recorder = Recorder::default();
    for number in 0..400 {
        let end_ns = (number + 1) * INTERVAL_NS / 20;
        let spans = Spans::default();
        let ok = sample(number, end_ns - 1_000, end_ns, &spans);
        recorder.record(&Sample { outcome: Outcome::Failed, ..ok });
    }
    let (a, b) = (input("a.json", &[steady(2_000, 20)]), [input("b.json", &[of(recorder.take())])]);
    let found = compare(&a, &b, Scruples::Refuse, 0, Some(0.0)).unwrap();
    assert_eq!(found.fail_if_slower, Some(Slower { by: 0.0, held: true, none_ok: true }));
    assert_eq!(found.verdict().as_deref(), Some("failed: a side has no operation that was ok"));
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
fn every_field_of_a_comparison() {
    let comparison = compared(&steady(1_000_000, 20), &steady(1_100_000, 20));
    let json = serde_json::to_string_pretty(&comparison).unwrap();
    assert_eq!(serde_json::from_str::<Comparison>(&json).unwrap(), comparison);
    // The last digits depend on the mathematics library.
    let rounded = regex::Regex::new(r"(\d\.\d{6})\d+").unwrap().replace_all(&json, "$1").into_owned();
    insta::assert_snapshot!(rounded);
}
