//! Tests the trend of simulated queues whose capacity is known.

use fastrand::Rng;

use super::super::queue::{INTERVAL, Queue, Service};
use super::*;

const CONSTANT: Service = Service::Constant(0.02);
const EXPONENTIAL: Service = Service::Exponential(0.02);
const LOGNORMAL: Service = Service::Lognormal(0.02, 0.8);
const BIMODAL: Service = Service::Bimodal(0.02, 0.4, 0.1);
const SLOW_HUNDREDTH: Service = Service::Bimodal(0.02, 2.0, 0.01);
const ALL: [Service; 5] = [CONSTANT, EXPONENTIAL, LOGNORMAL, BIMODAL, SLOW_HUNDREDTH];

const PROBES: usize = 200;

fn queue(service: Service, servers: Option<usize>, is_poisson: bool) -> Queue {
    Queue { service, servers, is_poisson }
}

fn backlog(queue: Queue, rate: f64, lasting: f64, rng: &mut Rng) -> Backlog {
    let probed = queue.probe(rate, lasting, rng);
    Backlog::new(Duration::from_secs_f64(INTERVAL), &probed.intervals(lasting), probed.slowest())
}

/// The share of probes that show this trend.
fn share(trend: Trend, queue: Queue, rate: f64, lasting: f64) -> f64 {
    let mut rng = Rng::with_seed(7);
    let found = (0..PROBES).filter(|_| backlog(queue, rate, lasting, &mut rng).trend() == trend).count();
    found as f64 / PROBES as f64
}

#[test]
fn a_target_without_a_limit_keeps_up_with_every_rate() {
    for service in ALL {
        for is_poisson in [false, true] {
            for rate in [20.0, 100.0, 300.0, 2_000.0] {
                let growing = share(Trend::Growing, queue(service, None, is_poisson), rate, 5.0);
                assert!(growing <= 0.02, "{service:?} at {rate}: {growing}");
            }
        }
    }
}

#[test]
fn a_target_keeps_up_below_its_capacity() {
    for service in [CONSTANT, EXPONENTIAL, LOGNORMAL, BIMODAL] {
        for is_poisson in [false, true] {
            for load in [0.1, 0.5, 0.8] {
                let queue = queue(service, Some(4), is_poisson);
                let growing = share(Trend::Growing, queue, load * queue.capacity(), 10.0);
                assert!(growing <= 0.02, "{service:?} at {load} of the capacity: {growing}");
            }
        }
    }
}

#[test]
fn a_backlog_grows_above_the_capacity() {
    for is_poisson in [false, true] {
        for (service, load, lasting) in [
            (CONSTANT, 1.2, 10.0),
            (EXPONENTIAL, 1.2, 20.0),
            (LOGNORMAL, 1.2, 20.0),
            (BIMODAL, 2.0, 10.0),
            (SLOW_HUNDREDTH, 2.0, 20.0),
        ] {
            let queue = queue(service, Some(4), is_poisson);
            let growing = share(Trend::Growing, queue, load * queue.capacity(), lasting);
            assert!(growing >= 0.95, "{service:?} at {load} of the capacity: {growing}");
        }
    }
    // Nothing varies, so two percent are enough.
    let growing = share(Trend::Growing, queue(CONSTANT, Some(4), false), 204.0, 5.0);
    assert!(growing >= 1.0, "{growing}");
}

#[test]
fn operations_that_outlast_the_probe_are_no_backlog() {
    let stragglers = queue(Service::Bimodal(0.02, 10.0, 0.1), None, false);
    assert!(share(Trend::Growing, stragglers, 200.0, 5.0) <= 0.0);
    assert!(share(Trend::Accumulating, stragglers, 200.0, 5.0) >= 0.95);
    // A probe that is long enough shows that they end.
    assert!(share(Trend::Steady, stragglers, 200.0, 30.0) >= 0.95);
}

#[test]
fn probes_of_a_rate_add_up() {
    // One probe of five seconds often misses that the rate exceeds the capacity by a tenth. Eight of them do not.
    let queue = queue(EXPONENTIAL, Some(4), true);
    let mut rng = Rng::with_seed(3);
    let (mut alone, mut together) = (0, 0);
    for _ in 0..50 {
        let mut sum = Backlog::default();
        for _ in 0..8 {
            let one = backlog(queue, 220.0, 5.0, &mut rng);
            alone += usize::from(one.trend() == Trend::Growing);
            sum += one;
        }
        together += usize::from(sum.trend() == Trend::Growing);
    }
    assert!(alone < 8 * 50 / 2 && together >= 49, "{alone} of 400, {together} of 50");
}

/// A queue M/M/k forgets its state with the time constant 1 / (μ (1 - √ρ)²), where μ is its capacity and ρ the share of
/// it that is used.
#[test]
fn the_relaxation_of_a_queue_is_estimated() {
    let mut rng = Rng::with_seed(5);
    for (rate, least, most) in [(20.0, 0.0, 0.1), (150.0, 0.1, 0.6), (180.0, 0.4, 3.0)] {
        let queue = queue(EXPONENTIAL, Some(4), true);
        let mut times: Vec<f64> =
            (0..100).map(|_| backlog(queue, rate, 120.0, &mut rng).relaxation().as_secs_f64()).collect();
        times.sort_by(f64::total_cmp);
        assert!((least..=most).contains(&times[50]), "{rate}/s: {}", times[50]);
    }
}

#[test]
fn what_never_ends_piles_up_and_too_little_says_nothing() {
    let second = Duration::from_secs(1);
    let stuck = |due, ended, median_ms| Interval { due, ended, median: Some(Duration::from_millis(median_ms)) };
    // Half of the operations are dropped, or never end; those that end waited longer each second.
    let intervals: Vec<_> = (0..12).map(|i| stuck(100, 50, 20 + i * 500)).collect();
    assert_eq!(Backlog::new(second, &intervals, second).trend(), Trend::Growing);
    // Two intervals show no trend. If many operations are left, a longer probe has to show it.
    assert_eq!(Backlog::new(second, &intervals[..2], second).trend(), Trend::Accumulating);
    let few = [stuck(100, 98, 20), stuck(100, 97, 20)];
    assert_eq!(Backlog::new(second, &few, second).trend(), Trend::Steady);
    assert_eq!(Backlog::new(second, &[], second), Backlog::default());
    assert!(Backlog::default().resolution() > 1.0);
}
