//! Tests every figure of reports on made-up runs.

use std::num::{NonZeroU32, NonZeroU64};
use std::time::{Duration, SystemTime};

use super::*;
use crate::fault::{Fault, FaultKind, Stall, Standstill};
use crate::metrics::{Cut, Delayed, Health, HealthLog, Metrics, Outcome, Recorder, Sample, Spans, ThreadWork};
use crate::plan::{
    Arrivals, Expect, Extent, Grants, HttpPlan, Limits, LoadModel, Open, Rate, RunPlan, RunSpec, Shape, Stage,
};
use crate::record::{Startup, TaskFacts, Warmup, WorkerRecord};

pub(crate) fn environment() -> Environment {
    Environment {
        os: "linux x86_64".into(),
        kernel: Some("6.1.0-18-amd64".into()),
        cpus: 2,
        processor: Some("AMD EPYC 7R13 Processor".into()),
        cpu_limit: Some(1.5),
        wasmtime: "48.0.0".into(),
        clock_ns: 10.5,
    }
}

/// A run of 2,000 operations over half a second, of every outcome, with spans, a reason, lost operations and a fault.
pub(crate) fn record(threads: u32) -> RunRecord {
    RunRecord {
        environment: environment(),
        command: Some("gorgon run task.wasm -n 2000 --env 'TOKEN=…'".into()),
        task: TaskFacts::example(),
        files: Vec::new(),
        plan: RunPlan::try_from(RunSpec {
            operation: "operation".into(),
            shape: Shape { boxes: 1, processes: 2, threads },
            concurrency: NonZeroU32::MIN,
            http: HttpPlan::default(),
            extent: Extent::new(Some(2_003), Some(Duration::from_millis(400))).unwrap(),
            first: 0,
            load_model: LoadModel::default(),
            warmup: None,
            start_jitter: Duration::ZERO,
            seed: 7,
            limits: Limits {
                timeout: Some(Duration::from_secs(60)),
                hook_timeout: Some(Duration::from_secs(60)),
                max_memory: 512 << 20,
                max_worker_memory: None,
                recycle: None,
            },
            expect: Some("a+".parse::<Expect>().unwrap()),
            grants: Grants { env: vec![("TOKEN".into(), "secret".into())], ..Grants::default() },
            data: None,
            calls: None,
            traced: false,
        })
        .unwrap(),
        started_at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000),
        stopped: false,
        short_of_plan: None,
        stalls: Vec::new(),
        startup: Startup {
            compile: Duration::from_millis(81),
            cached: false,
            spawn: Duration::from_millis(3),
            load: Duration::from_micros(1_500),
            instantiate: Duration::from_micros(130),
            setup: Some(Duration::from_micros(12)),
        },
        metrics: metrics(ModelName::Closed),
        offered: 2_003,
        lost: 3,
        in_flight: Vec::new(),
        warmup: None,
        dropped: 0,
        boxes: Vec::new(),
        possibly_twice: Vec::new(),
        overtime: vec![Cut { number: 1_902, age_ns: 119_020, started_ns: Some(0) }],
        workers: vec![WorkerRecord {
            process: 4711,
            on: 0,
            threads,
            operations: 2_000,
            cpu_ns: Some(400_000_000),
            peak_rss_bytes: Some(30 << 20),
            health: HealthLog::default(),
        }],
        faults: vec![Fault {
            kind: FaultKind::WorkerDied,
            message: "worker process 4712 died".into(),
            times: 1,
            numbers: vec![(7, 8), (12, 12)],
        }],
    }
}

/// The same as an open run that fell behind its schedule, because of a slow target and a busy machine.
pub(crate) fn open_record() -> RunRecord {
    let mut record = record(1);
    let stages = vec![Stage { duration: Duration::from_millis(400), to: Rate::per_second(6_000.0).unwrap() }];
    let from = Rate::per_second(4_000.0).unwrap();
    let open = Open { arrivals: Arrivals::Poisson, from, stages, max_in_flight: NonZeroU64::new(100) };
    let (load_model, warmup) = (LoadModel::Open(open), Some(Extent::new(Some(50), None).unwrap()));
    record.plan = RunPlan::try_from(RunSpec { load_model, warmup, ..record.plan.into() }).unwrap();
    record.warmup = Some(Warmup { operations: 50, elapsed_ns: 12_000_000 });
    record.metrics = metrics(ModelName::Open);
    record.metrics.drop_slots(300_000_000, 40);
    let delayed =
        |operations: u64, ns: u64| Delayed { operations, sum_ns: u128::from(operations * ns), worst_ns: 2 * ns };
    record.metrics.scheduled.waited = delayed(900, 25_000);
    record.metrics.scheduled.late = delayed(30, 1_400_000);
    record.metrics.scheduled.left = 10;
    let stall = |what, process, at_ns| Stall { what, process, at_ns, length_ns: 1_930_000_000 };
    record.stalls =
        vec![stall(Standstill::Controller, None, 20_000_000), stall(Standstill::Numbers, Some(4711), 90_000_000)];
    record.dropped = 40;
    record.offered += 40;
    for second in 1..5 {
        let (at_ns, cpu_ns) = (second * 1_000_000_000, second * 1_950_000_000);
        let work = ThreadWork { watched_ns: at_ns, computing_ns: at_ns, saturated_ns: at_ns, ..ThreadWork::default() };
        let of = Health { at_ns, cpu_ns, rss_bytes: 30 << 20, worst_lag_ns: 40_000, work, ..Health::default() };
        record.workers[0].health.note(Health { busiest_permille: 1_000, ..of });
    }
    record
}

/// A run whose operations made two requests each; a twentieth of these failed, half of them without a connection.
pub(crate) fn http_record() -> RunRecord {
    let mut record = record(1);
    let network = &mut record.metrics.network;
    (network.requests, network.failed, network.opened, network.reused) = (4_000, 200, 10, 3_890);
    (network.sent, network.repeated) = (4_012, 12);
    for number in 0..3_900_u64 {
        network.duration.record(20_000 + number * 10);
        network.first_byte.record(19_000 + number * 10);
    }
    record
}

/// A run of a few slow operations with long and wide names, after many fast ones.
pub(crate) fn wide_record() -> RunRecord {
    let mut recorder = Recorder::default();
    let mut end_ns = 0;
    let mut add = |number: u64, took_ns: u64, outcome: Outcome, result: &str, reason: Option<&str>| {
        let mut spans = Spans::default();
        spans.record("GET /objects/{id}/versions/{version}/contents of a long name", took_ns / 2);
        spans.record("登录 и ещё кое-что, что не помещается в строку таблицы", took_ns / 3);
        let start_ns = end_ns;
        end_ns += took_ns;
        recorder.record(&Sample {
            number,
            due_ns: None,
            start_ns,
            end_ns,
            outcome,
            result,
            reason,
            spans: &spans,
            split: None,
        });
    };
    for number in 0..123_456 {
        add(number, 100, Outcome::Ok, "", None);
    }
    for number in 0..19 {
        add(
            number,
            3_599_000_000_000,
            Outcome::Ok,
            "結果の名前はとても長いので表の幅に収まりません、切り取られます",
            None,
        );
    }
    let reason = "upstream connect error or disconnect/reset before headers. reset reason: connection termination";
    add(7, 125_000_000_000, Outcome::Failed, "a_name_without_any_space_that_is_longer_than_a_column", Some(reason));
    add(8, 65_000_000_000, Outcome::TimedOut, "timeout", None);
    let mut wide = record(4);
    wide.metrics = recorder.take();
    (wide.lost, wide.offered, wide.faults) = (0, wide.metrics.completed(), Vec::new());
    wide
}

fn metrics(model: ModelName) -> Metrics {
    let mut recorder = Recorder::default();
    for number in 0..2_000_u64 {
        let (outcome, result, reason) = match number % 100 {
            0 => (Outcome::Failed, "500", Some("the server said no")),
            1 => (Outcome::Trapped, "trap: unreachable", None),
            2 => (Outcome::TimedOut, "timeout", None),
            3 => (Outcome::Ok, "a result \u{1b}[31m that is longer than the table has room for", None),
            _ => (Outcome::Ok, "200", None),
        };
        let mut spans = Spans::default();
        if number % 2 == 0 {
            let index = spans.record("login", 40_000 + number);
            if outcome != Outcome::Ok {
                spans.failed(index);
            }
        }
        let start_ns = number * 250_000;
        let end_ns = start_ns + 100_000 + number * 10;
        let (due_ns, split) = ((model == ModelName::Open).then(|| start_ns - 40_000.min(start_ns)), None);
        recorder.record(&Sample { number, due_ns, start_ns, end_ns, outcome, result, reason, spans: &spans, split });
    }
    recorder.take()
}

#[test]
fn every_figure_of_the_json_report() {
    json_snapshot("closed", &record(4));
    json_snapshot("open", &open_record());
}

fn json_snapshot(name: &str, record: &RunRecord) {
    let report = Report::new(environment(), std::slice::from_ref(record));
    let mut json = serde_json::to_value(&report).unwrap();
    // The bytes of histograms have their own tests; here they would hide the other fields.
    hide_histograms(&mut json);
    insta::assert_snapshot!(name, serde_json::to_string_pretty(&json).unwrap());
}

#[test]
fn rates_of_an_open_run_are_over_its_schedule() {
    let mut record = open_record();
    let mut recorder = Recorder::default();
    for number in 0..4 {
        let start_ns = number * 2_000_000_000;
        recorder.record(&Sample {
            number,
            due_ns: Some(start_ns),
            start_ns,
            end_ns: start_ns + 1_000_000,
            outcome: Outcome::Ok,
            result: "200",
            reason: None,
            spans: &Spans::default(),
            split: None,
        });
    }
    record.metrics = recorder.take();
    (record.offered, record.dropped, record.lost) = (4, 0, 0);
    let mut of = |operations, seconds, until: Option<u64>| {
        let extent = Extent::new(operations, Some(Duration::from_secs(seconds))).unwrap();
        record.plan = RunPlan::try_from(RunSpec { extent, ..record.plan.clone().into() }).unwrap();
        record.short_of_plan = until.map(Duration::from_secs);
        let run = Report::new(environment(), std::slice::from_ref(&record)).runs.remove(0);
        let is_said =
            words::headline(&run).contains(&format!(" per second over {}", units::duration(seconds * 1_000_000_000)));
        assert_eq!(is_said, operations.is_none() && until.is_none(), "{}", words::headline(&run));
        let covered: u64 = run.timeline.buckets.iter().filter_map(|bucket| bucket.length_ns).sum();
        (run.throughput, run.throughput_window_ns.unwrap(), run.timeline.buckets.len(), covered)
    };
    let second = 1_000_000_000;
    assert_eq!(of(None, 8, None), (Some(0.5), 8 * second, 32, 8 * second));
    // A stop ends the schedule; until then the run goes on.
    assert_eq!(of(None, 40, Some(16)), (Some(0.25), 16 * second, 64, 16 * second));
    // The last operation ended it: its rate is that between the first start and the last end.
    assert_eq!(of(Some(4), 8, None), (Some(4e9 / 6_001_000_000.0), 6_001_000_000, 25, 6_001_000_000));
    // A schedule of hours in which little happened takes no more memory than a short one.
    assert!(of(None, 36_000, None).2 <= 300);
}

#[test]
fn values_of_environment_variables_stay_out_of_the_report() {
    let report = serde_json::to_string(&Report::new(environment(), &[record(4)])).unwrap();
    assert!(report.contains("TOKEN") && !report.contains("secret"));
}

#[test]
fn the_hdr_field_is_a_histogram_that_others_can_read() {
    use base64::Engine as _;
    use hdrhistogram::serialization::Deserializer;
    let report = Report::new(environment(), &[record(4)]);
    let summary = &report.runs[0].latency_ns;
    let encoded = summary.hdr.as_deref().unwrap();
    let bytes = base64::engine::general_purpose::STANDARD.decode(encoded).unwrap();
    let hdr: hdrhistogram::Histogram<u64> = Deserializer::new().deserialize(&mut &bytes[..]).unwrap();
    assert_eq!(hdr.len(), 2_000);
    assert!(hdr.value_at_quantile(0.5) <= summary.p50.unwrap());
}

#[test]
fn percentiles_are_in_order_and_within_the_exact_bounds() {
    let report = Report::new(environment(), &[record(4)]);
    let summaries = report.runs[0].results.iter().map(|result| &result.latency_ns).chain([&report.runs[0].latency_ns]);
    for s in summaries {
        let figures: Vec<u64> = [s.min, s.p50, s.p90, s.p95, s.p99, s.p99_9, s.max].into_iter().flatten().collect();
        assert!(figures.is_sorted(), "{figures:?}");
        for (percentile, least) in [(s.p50, 1), (s.p90, 10), (s.p95, 20), (s.p99, 100), (s.p99_9, 1_000)] {
            assert_eq!(percentile.is_some(), s.count >= least, "{least} of {}", s.count);
        }
    }
}

fn hide_histograms(json: &mut serde_json::Value) {
    match json {
        serde_json::Value::Object(fields) => {
            if let Some(hdr) = fields.get_mut("hdr").filter(|hdr| hdr.is_string()) {
                *hdr = "…".into();
            }
            fields.values_mut().for_each(hide_histograms);
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(hide_histograms),
        _ => {}
    }
}
