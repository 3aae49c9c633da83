//! Made-up runs, counted and reported by Gorgon's own code.

use std::num::NonZeroU32;
use std::time::{Duration, SystemTime};

use gorgon::fault::{Fault, FaultKind};
use gorgon::judging::evidence::Evidence;
use gorgon::judging::probe::Probed;
use gorgon::judging::verdict::{self, Expression, Missing, Slo};
use gorgon::lane::Lane;
use gorgon::metrics::{Health, HealthLog, Outcome, Recorder, Sample, Spans, TimeSplit};
use gorgon::plan::{Arrivals, Extent, Grants, HttpPlan, Limits, LoadModel, Open, Rate, RunPlan, RunSpec, Shape};
use gorgon::record::{Environment, Origin, RunRecord, Startup, TaskFacts, WorkerRecord};
use gorgon::report::find::{Answer, Culprit, FindReport, Probe};
use gorgon::report::{Report, SuiteReport};

/// What a made-up task returned: the result, its outcome, its relative frequency, its median in microseconds.
pub(crate) type Returned<'a> = (&'a str, Outcome, u32, f64);

/// Two results of a small service, and three kinds of failure.
pub(crate) const SERVICE: [Returned<'_>; 5] = [
    ("200", Outcome::Ok, 900, 12_000.0),
    ("304", Outcome::Ok, 380, 4_000.0),
    ("429", Outcome::Failed, 36, 1_500.0),
    ("503", Outcome::Failed, 14, 40_000.0),
    ("timeout", Outcome::TimedOut, 2, 2_000_000.0),
];

/// A run of `seconds` at `per_second`, with a stall at three fifths of it.
#[expect(clippy::too_many_lines, reason = "one record, field by field")]
pub(crate) fn record(task: &str, seconds: f64, per_second: f64, threads: u32, returned: &[Returned<'_>]) -> RunRecord {
    let operations = (seconds * per_second).max(1.0) as u64;
    let mut chance = fastrand::Rng::with_seed(7);
    let mut recorder = Recorder::default();
    let weights: u32 = returned.iter().map(|(_, _, weight, _)| weight).sum();
    let (stall_ns, end_ns) = (seconds * 0.6e9, seconds * 1e9);
    for number in 0..operations {
        let start = end_ns * number as f64 / operations as f64;
        let wave = 1.0 + 0.35 * (start / end_ns * 19.0).sin();
        let mut draw = chance.u32(..weights);
        let is_stalled = seconds > 1.0 && (0.0..seconds * 0.02e9).contains(&(start - stall_ns));
        let &(result, outcome, _, median_us) = (returned.iter())
            .find(|(_, _, weight, _)| match draw.checked_sub(*weight) {
                Some(less) => {
                    draw = less;
                    false
                }
                None => true,
            })
            .unwrap();
        // The product of a few draws is close enough to a log-normal distribution with its long tail.
        let spread: f64 = (0..4).map(|_| 0.55 + chance.f64() * 1.05).product();
        let took = median_us * 1e3 * spread * wave * if is_stalled { 9.0 } else { 1.0 };
        let mut spans = Spans::default();
        if outcome == Outcome::Ok && number % 16 == 0 {
            spans.record("connect", (took * 0.2) as u64);
            spans.record("first byte", (took * 0.7) as u64);
        }
        let split = TimeSplit {
            running_ns: (took * 0.06) as u64,
            waiting_ns: (took * 0.9) as u64,
            queued_ns: (took * 0.04) as u64,
            uncertain_ns: (took * 0.03) as u64,
        };
        let reason = (outcome == Outcome::Failed && number % 3 == 0).then_some("the upstream is over its limit");
        let start_ns = start as u64;
        let end_ns = start_ns + took as u64;
        recorder.record(&Sample {
            number,
            due_ns: None,
            start_ns,
            end_ns,
            outcome,
            result,
            reason,
            spans: &spans,
            split: Some(&split),
        });
    }
    let first = (operations as f64 * 0.52) as u64;
    let worker = |process, share: f64, its: u64| WorkerRecord {
        process,
        on: 0,
        threads,
        operations: its,
        cpu_ns: Some((seconds * 0.61e9 * share * 2.0) as u64),
        peak_rss_bytes: Some(46 << 20),
        health: health(seconds, share),
    };
    RunRecord {
        environment: environment(),
        command: Some("gorgon run shop.wasm --rate 600/s -d 60s -t 4 -c 50 --fail-if 'p99>250ms'".into()),
        task: TaskFacts {
            path: task.into(),
            sha256: "9f2b6c1e0f5b7a3d4c8e9f2b6c1e0f5b7a3d4c8e9f2b6c1e0f5b7a3d4c8e9f2b".into(),
            bytes: 171_204,
            operation: "operation".into(),
            lane: Lane::Io,
            origin: Origin::File,
        },
        files: Vec::new(),
        boxes: Vec::new(),
        possibly_twice: Vec::new(),
        plan: plan(operations, threads),
        started_at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000),
        stopped: false,
        short_of_plan: None,
        stalls: Vec::new(),
        startup: Startup {
            compile: Duration::from_millis(81),
            cached: false,
            spawn: Duration::from_millis(7),
            load: Duration::from_micros(2_100),
            instantiate: Duration::from_micros(570),
            setup: Some(Duration::from_millis(12)),
        },
        warmup: None,
        metrics: recorder.take(),
        dropped: 0,
        offered: operations,
        lost: 0,
        in_flight: Vec::new(),
        overtime: Vec::new(),
        workers: vec![worker(4_711, 0.52, first), worker(4_712, 0.48, operations - first)],
        faults: Vec::new(),
    }
}

/// A health sample each second.
fn health(seconds: f64, share: f64) -> HealthLog {
    let mut log = HealthLog::default();
    for second in 1..seconds as u64 {
        let cpu_ns = (second as f64 * 1e9 * share * (1.1 + 0.1 * (second as f64 / 17.0).sin())) as u64;
        log.note(Health {
            at_ns: second * 1_000_000_000,
            cpu_ns,
            rss_bytes: (40 << 20) + second * 9_000,
            worst_lag_ns: 0,
            ..Health::default()
        });
    }
    log
}

fn plan(operations: u64, threads: u32) -> RunPlan {
    let spec = RunSpec {
        operation: "operation".into(),
        shape: Shape { boxes: 1, processes: 2, threads },
        concurrency: NonZeroU32::new(4).unwrap(),
        extent: Extent::new(Some(operations), None).unwrap(),
        first: 0,
        load_model: LoadModel::default(),
        warmup: None,
        start_jitter: Duration::ZERO,
        seed: 7,
        limits: Limits {
            timeout: Some(Duration::from_secs(5)),
            hook_timeout: Some(Duration::from_secs(60)),
            max_memory: 512 << 20,
            max_worker_memory: None,
            recycle: None,
        },
        expect: None,
        grants: Grants::default(),
        http: HttpPlan::default(),
        data: None,
        calls: None,
        traced: false,
    };
    spec.try_into().unwrap()
}

/// A report on runs on a made-up machine.
pub(crate) fn report(records: &[RunRecord]) -> Report {
    Report::new(environment(), records)
}

/// The run that the documentation shows.
pub(crate) fn shown() -> Report {
    let mut record = record("checkout.wasm", 240.0, 900.0, 8, &SERVICE);
    record.lost = 3;
    record.offered += 3;
    record.faults.push(Fault {
        kind: FaultKind::WorkerDied,
        message:
            "worker process 4713 died (killed by signal 9); 3 operations that it held are lost; another takes its place"
                .into(),
        times: 1,
        numbers: vec![(81_204, 81_205), (81_209, 81_209)],
    });
    let mut report = report(&[record]);
    let judge = |text: &str, report: &Report| text.parse::<Expression>().unwrap().judge(0, &report.runs[0]);
    report.verdicts = ["p99>250ms", "failed>2%"].iter().map(|text| judge(text, &report)).collect();
    report
}

/// An open run of a minute at 600 per second, against a service that completes 520 with 40 in flight.
pub(crate) fn open() -> Report {
    const OFFERED: u64 = 36_000;
    let mut record = record("checkout.wasm", 60.0, 600.0, 8, &SERVICE[..1]);
    let open = Open {
        arrivals: Arrivals::Constant,
        from: Rate::per_second(600.0).unwrap(),
        stages: Vec::new(),
        max_in_flight: None,
    };
    let extent = Extent::new(None, Some(Duration::from_secs(60))).unwrap();
    let spec = RunSpec { load_model: LoadModel::Open(open), extent, ..record.plan.into() };
    record.plan = RunPlan::try_from(spec).unwrap();
    let mut chance = fastrand::Rng::with_seed(7);
    let mut recorder = Recorder::default();
    // Each of 40 instances takes the next operation when it is free.
    let (mut free_at, mut last_start_ns) = ([0_u64; 40], 0);
    for number in 0..OFFERED {
        let due_ns = number * 60_000_000_000 / OFFERED;
        let instance = (0..40).min_by_key(|&i| free_at[i]).unwrap();
        let start_ns = due_ns.max(free_at[instance]);
        let end_ns = start_ns + (40e9 / 520.0 * (0.7 + 0.6 * chance.f64())) as u64;
        free_at[instance] = end_ns;
        last_start_ns = start_ns;
        let is_ok = chance.f64() > 0.004;
        let (outcome, result) = if is_ok { (Outcome::Ok, "200") } else { (Outcome::Failed, "503") };
        let (reason, spans, split) = (None, &Spans::default(), None);
        let sample = Sample { number, due_ns: Some(due_ns), start_ns, end_ns, outcome, result, reason, spans, split };
        recorder.record(&sample);
    }
    record.metrics = recorder.take();
    record.metrics.scheduled.last_start_ns = last_start_ns;
    let mut report = report(&[record]);
    let fail_if: Vec<Expression> = ["p99>250ms", "throughput<500"].map(|text| text.parse().unwrap()).into();
    report.verdicts = verdict::of_run(&fail_if, Missing::Fail, 0, &report.runs[0]);
    report
}

/// Two tasks, one of them in three shapes, twice.
pub(crate) fn suite() -> Report {
    let round = |faster: f64| {
        let hash = [1_u32, 2, 4].map(|threads| {
            let per_second = 480.0 * faster * f64::from(threads).powf(0.9);
            record("hash.wasm", 8.0, per_second, threads, &SERVICE[..2])
        });
        hash.into_iter().chain([record("flow.wasm", 30.0, 60.0 * faster, 2, &SERVICE)])
    };
    let records: Vec<_> = round(1.0).chain(round(1.04)).collect();
    let mut report = report(&records);
    report.suite = Some(SuiteReport {
        name: Some("Nightly".into()),
        description: Some("Does it scale, and does it stay within its limits?".into()),
        repetitions: 2,
        pause_ns: 0,
    });
    let fail_if = |of: &[&str]| of.iter().map(|text| text.parse().unwrap()).collect::<Vec<Expression>>();
    for (i, run) in report.runs.iter_mut().enumerate() {
        run.name = Some(if i % 4 == 3 { "reading" } else { "scaling" }.into());
        let of = if i % 4 == 3 { fail_if(&["p99>250ms", "failed>2%"]) } else { fail_if(&["p99>250ms"]) };
        report.verdicts.extend(verdict::of_run(&of, Missing::Fail, i, run));
    }
    report
}

/// An hour of twenty results.
pub(crate) fn hour() -> Report {
    let names: Vec<String> = (0..20).map(|i| format!("result {i:02}")).collect();
    let results: Vec<Returned<'_>> = (names.iter().enumerate())
        .map(|(i, name)| {
            let outcome = if i % 4 == 3 { Outcome::Failed } else { Outcome::Ok };
            (name.as_str(), outcome, 1_000 / (i as u32 + 1), 800.0 * 1.6_f64.powi(i as i32 % 12))
        })
        .collect();
    report(&[record("soak.wasm", 3_600.0, 400.0, 8, &results)])
}

/// A search for the rate of a service that completes about 520 operations per second.
pub(crate) fn found() -> FindReport {
    let slos = Slo::with_failures(&["p99<500ms".parse().unwrap()]);
    let mut report = FindReport::new(std::path::Path::new("checkout.wasm"), slos.iter().map(Slo::promise).collect());
    report.budget_ns = Some(300_000_000_000);
    for rate in [100.0, 200.0, 400.0, 800.0, 566.0, 476.0, 519.0, 542.0, 530.0_f64] {
        for again in 0..2 {
            let queued = 1.0 / (1.0 - rate / 560.0).max(0.02);
            let results = [
                ("200", Outcome::Ok, 990, 4_000.0 * queued),
                ("503", Outcome::Failed, if rate > 525.0 { 30 } else { 1 }, 900.0),
            ];
            let record = record("checkout.wasm", 5.0 + f64::from(again) * 0.1, rate, 8, &results);
            let run = &self::report(&[record]).runs[0];
            let probed = Probed { rate, lasting: Duration::from_secs(5), instances: 40 };
            let evidence = Evidence::of(run, probed.lasting, &slos).blaming(Culprit::Target);
            let mut probe = Probe::new(probed, run, &slos, &evidence);
            // The first rates are only probed once.
            if rate < 400.0 && again > 0 {
                continue;
            }
            probe.throughput = Some(rate.min(540.0));
            report.probes.push(probe);
        }
    }
    report.answer = Some(Answer {
        rate: Some(519.0),
        below: Some(530.0),
        generator_limited: false,
        limited_by: Some(Culprit::Target),
        undecided: None,
        is_cut_short: false,
    });
    report
}

/// The machine of the reports.
fn environment() -> Environment {
    Environment {
        os: "linux x86_64".into(),
        kernel: Some("6.1.0-18-amd64".into()),
        cpus: 8,
        processor: Some("AMD EPYC 7R13 Processor".into()),
        cpu_limit: None,
        wasmtime: "48.0.8".into(),
        clock_ns: 10.5,
    }
}
