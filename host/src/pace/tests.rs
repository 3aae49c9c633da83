use std::num::NonZeroU32;

use proptest::prelude::*;

use super::*;
use crate::plan::{
    DEFAULT_MAX_MEMORY, DEFAULT_OPERATION, Extent, Grants, HttpPlan, Limits, LoadModel, Rate, RunPlan, RunSpec, Shape,
};

pub(crate) fn plan(extent: Extent, processes: u32, load_model: LoadModel) -> RunPlan {
    let spec = RunSpec {
        operation: DEFAULT_OPERATION.into(),
        shape: Shape { boxes: 1, processes, threads: 2 },
        concurrency: NonZeroU32::MIN,
        extent,
        first: 0,
        load_model,
        warmup: None,
        start_jitter: Duration::ZERO,
        seed: 7,
        limits: Limits {
            timeout: None,
            hook_timeout: None,
            max_memory: DEFAULT_MAX_MEMORY,
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

fn rate(per_second: f64) -> Rate {
    Rate::per_second(per_second).unwrap()
}

pub(crate) fn open(arrivals: Arrivals, from: f64, stages: &[(u64, f64)]) -> Open {
    let stages = stages.iter().map(|&(ms, to)| Stage { duration: Duration::from_millis(ms), to: rate(to) }).collect();
    Open { arrivals, from: rate(from), stages, max_in_flight: None }
}

/// All slots of the run, by process.
fn slots(open: &Open, extent: Extent, processes: u32) -> Vec<Vec<Slot>> {
    let plan = plan(extent, processes, LoadModel::Open(open.clone()));
    (0..processes).map(|process| Slots::new(&plan, open, process).collect()).collect()
}

fn due_times(open: &Open, extent: Extent) -> Vec<u64> {
    slots(open, extent, 1).remove(0).into_iter().map(|slot| slot.due_ns).collect()
}

pub(crate) fn of(operations: u64) -> Extent {
    Extent::new(Some(operations), None).unwrap()
}

pub(crate) fn lasting(ms: u64) -> Extent {
    Extent::new(None, Some(Duration::from_millis(ms))).unwrap()
}

fn closed(pause_ms: (u64, u64), ramp_ms: u64, place: u64, duration_ms: u64) -> Pacer {
    let (least, most) = (Duration::from_millis(pause_ms.0), Duration::from_millis(pause_ms.1));
    let closed = Closed { pause: Pause { least, most }, ramp: Duration::from_millis(ramp_ms) };
    Pacer::new(&plan(lasting(duration_ms), 2, LoadModel::Closed(closed)), &closed, place)
}

#[test]
fn a_closed_instance_starts_at_once_until_the_end() {
    let ms = 1_000_000;
    // Four instances: the third one begins halfway through the ramp.
    for (place, ramp_ms, elapsed_ns, next) in [
        (0, 0, 0, Next::Due(0)),
        (0, 0, 7, Next::Due(7)),
        (2, 100, 7, Next::Due(50 * ms)),
        (2, 100, 60 * ms, Next::Due(60 * ms)),
        (0, 0, 1_000 * ms - 1, Next::Due(1_000 * ms - 1)),
        (0, 0, 1_000 * ms, Next::Done),
        (2, 4_000, 0, Next::Done),
    ] {
        assert_eq!(closed((0, 0), ramp_ms, place, 1_000).next(elapsed_ns), next, "{place} {ramp_ms} {elapsed_ns}");
    }
}

#[test]
fn slots_of_a_constant_rate_and_of_a_ramp() {
    let seconds = |times: Vec<u64>| times.into_iter().map(|ns| ns as f64 / 1e9).collect::<Vec<_>>();
    assert_eq!(seconds(due_times(&open(Arrivals::Constant, 4.0, &[]), of(5))), [0.0, 0.25, 0.5, 0.75, 1.0]);
    assert_eq!(seconds(due_times(&open(Arrivals::Constant, 4.0, &[]), lasting(750))), [0.0, 0.25, 0.5]);
    // From 0 to 8/s in 4 s: t² operations by the time t, sixteen in all.
    let times = seconds(due_times(&open(Arrivals::Constant, 0.0, &[(4_000, 8.0)]), lasting(4_000)));
    let expected: Vec<f64> = (0..16).map(|i| f64::from(i).sqrt()).collect();
    assert!(times.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-8), "{times:?}");
    assert_eq!(times.len(), 16);
    // A jump, a pause, another jump.
    let steps = open(Arrivals::Constant, 2.0, &[(1_000, 2.0), (0, 0.0), (1_000, 0.0), (0, 4.0), (1_000, 4.0)]);
    assert_eq!(seconds(due_times(&steps, lasting(3_000))), [0.0, 0.5, 1.0, 2.25, 2.5, 2.75]);
    // After a last stage that ends at a rate of zero, nothing is due.
    assert_eq!(due_times(&open(Arrivals::Constant, 2.0, &[(1_000, 0.0)]), of(100)).len(), 2);
}

#[test]
fn the_counts_of_a_ramp_are_its_integral() {
    for arrivals in [Arrivals::Constant, Arrivals::Poisson] {
        let ramp = open(arrivals, 0.0, &[(10_000, 1_000.0), (30_000, 400.0)]);
        let times = due_times(&ramp, lasting(40_000));
        for second in 0..40 {
            let count = times.iter().filter(|&&ns| ns / 1_000_000_000 == second).count() as f64;
            let middle = second as f64 + 0.5;
            let expected = if middle < 10.0 { 100.0 * middle } else { 1_000.0 - 20.0 * (middle - 10.0) };
            // The variance of a Poisson count is its mean. Five standard deviations suffice for forty seconds of one
            // seed.
            let slack = if arrivals == Arrivals::Poisson { 5.0 * expected.sqrt() } else { 1.0 };
            assert!((count - expected).abs() <= slack, "{arrivals:?}: {count} in second {second}, not {expected}");
        }
    }
}

/// The Kolmogorov-Smirnov statistic: the largest distance between the sample's distribution and the expected one.
fn distance(mut sample: Vec<f64>, expected: impl Fn(f64) -> f64) -> f64 {
    sample.sort_by(f64::total_cmp);
    let n = sample.len() as f64;
    let distances = sample.iter().enumerate().map(|(i, &x)| {
        let cumulated = expected(x);
        (cumulated - i as f64 / n).abs().max(((i + 1) as f64 / n - cumulated).abs())
    });
    distances.fold(0.0, f64::max)
}

#[test]
fn poisson_arrivals_are_independent_and_exponentially_spaced() {
    let times = due_times(&open(Arrivals::Poisson, 500.0, &[]), of(50_000));
    let mut gaps: Vec<f64> = vec![times[0] as f64 / 1e9];
    gaps.extend(times.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / 1e9));
    // One true sample in a hundred exceeds 1.63 / sqrt(n). The seed is fixed, so this one always passes.
    let bound = 1.63 / (gaps.len() as f64).sqrt();
    let exponential = distance(gaps.clone(), |gap| 1.0 - (-500.0 * gap).exp());
    assert!(exponential < bound, "{exponential} is not below {bound}");
    // The bound is tight enough to reject arrivals that are not Poisson.
    let even = distance((0..50_000).map(|i| f64::from(i % 100) / 25_000.0).collect(), |gap| 1.0 - (-500.0 * gap).exp());
    assert!(even > bound);
    // A long gap says nothing about the next one.
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    let covariance: f64 = gaps.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum();
    let correlation = covariance / gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>();
    assert!(correlation.abs() < 3.0 / (gaps.len() as f64).sqrt(), "{correlation}");
}

fn any_open() -> impl Strategy<Value = Open> {
    let arrivals = prop_oneof![Just(Arrivals::Constant), Just(Arrivals::Poisson)];
    let stages = prop::collection::vec((0..500_u64, 0.0..2_000.0_f64), 0..4);
    (arrivals, 1.0..1_000.0_f64, stages).prop_map(|(arrivals, from, stages)| open(arrivals, from, &stages))
}

proptest! {
    #[test]
    fn nothing_is_due_before_its_time_or_after_the_end(
        pause in 0..50_u64, ramp in 0..100_u64, place in 0..4_u64, ended in prop::collection::vec(0..50_u64, 0..20),
    ) {
        let mut pacer = closed((pause / 2, pause), ramp, place, 100);
        let (mut now_ns, mut earliest_ns) = (0, 0);
        for took_ms in ended {
            match pacer.next(now_ns) {
                Next::Due(due_ns) => {
                    prop_assert!(due_ns >= now_ns && due_ns >= earliest_ns && due_ns < 100_000_000);
                    now_ns = due_ns + took_ms * 1_000_000;
                    pacer.ended(now_ns);
                    earliest_ns = now_ns + pause / 2 * 1_000_000;
                    if let Next::Due(next_ns) = pacer.next(now_ns) {
                        prop_assert!(next_ns <= now_ns + pause * 1_000_000);
                    }
                }
                Next::Done => prop_assert!(now_ns.max(earliest_ns) + pause * 1_000_000 + ramp * 1_000_000 >= 100_000_000),
            }
        }
    }

    #[test]
    fn processes_share_the_schedule_and_no_slot_is_dealt_twice(
        open in any_open(), processes in 1..6_u32, n in 1..500_u64, ms in 1..2_000_u64,
    ) {
        let extent = Extent::new(Some(n), Some(Duration::from_millis(ms))).unwrap();
        let one = due_times(&open, extent);
        prop_assert!(one.len() as u64 <= n && one.is_sorted() && one.iter().all(|&ns| ns < ms * 1_000_000));
        let mut dealt = Vec::new();
        for (process, slots) in slots(&open, extent, processes).into_iter().enumerate() {
            for (index, slot) in slots.into_iter().enumerate() {
                prop_assert_eq!(slot.index, SlotIndex(index as u64));
                dealt.push((slot.index.0 * u64::from(processes) + process as u64, slot.due_ns));
            }
        }
        dealt.sort_unstable();
        prop_assert_eq!(dealt, one.into_iter().enumerate().map(|(i, ns)| (i as u64, ns)).collect::<Vec<_>>());
    }

    #[test]
    fn slots_are_counted_as_if_each_was_visited(
        open in any_open(), processes in 1..6_u32, process in 0..6_u32, n in 1..5_000_u64, ms in 1..4_000_u64,
        behind in 0..100_usize, until_ms in 0..5_000_u64,
    ) {
        let extent = Extent::new(Some(n), Some(Duration::from_millis(ms))).unwrap();
        let plan = plan(extent, processes, LoadModel::Open(open.clone()));
        let mut slots = Slots::new(&plan, &open, process % processes);
        let all: Vec<Slot> = slots.clone().collect();
        let until_ns = until_ms * 1_000_000;
        let due = all.iter().filter(|slot| slot.due_ns <= until_ns).count();
        prop_assert_eq!(slots.due_by(until_ns).0, due as u64);
        prop_assert_eq!(slots.by_ref().take(behind).count(), behind.min(all.len()));
        prop_assert_eq!(slots.due_by(until_ns).0, due.max(behind.min(all.len())) as u64);
        slots.skip_to(SlotIndex(due as u64));
        prop_assert_eq!(slots.collect::<Vec<_>>(), all.into_iter().skip(due.max(behind)).collect::<Vec<_>>());
    }
}

#[test]
fn the_highest_rate_is_counted_without_visiting_each_slot() {
    let day = Duration::from_secs(86_400);
    let plan = |arrivals| {
        let open = open(arrivals, 1e8, &[]);
        (plan(Extent::new(None, Some(day)).unwrap(), 1, LoadModel::Open(open.clone())), open)
    };
    let (even, open) = plan(Arrivals::Constant);
    assert_eq!(Slots::new(&even, &open, 0).due_by(u64::MAX).0, 86_400 * 100_000_000);
    // One random second: the variance of a Poisson count is its mean.
    let (drawn, open) = plan(Arrivals::Poisson);
    let due = Slots::new(&drawn, &open, 0).due_by(1_000_000_000).0 as f64;
    assert!((due - 1e8).abs() < 5e4, "{due}");
}
