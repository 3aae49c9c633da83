//! Tests searches against simulated targets whose limit is known.

use fastrand::Rng;
use proptest::prelude::*;

use super::super::backlog::Backlog;
use super::super::evidence::{BEYOND, Culprits, Tally};
use super::super::queue::{INTERVAL, Queue, Service};
use super::*;

const SCOPE: Scope = Scope {
    from: 10.0,
    to: 1e6,
    least: LEAST,
    precision: 0.03,
    probe: Duration::from_secs(5),
    probe_max: Duration::from_secs(60),
    around: Duration::from_millis(300),
    operations: 1_000.0,
};

const BUDGET: Duration = Duration::from_secs(300);

/// Runs a search; `keeps` is the finding of the i-th probe at a rate.
fn search(scope: Scope, mut keeps: impl FnMut(f64, usize) -> Kept) -> (Bracket, usize) {
    let mut search = Search::new(scope);
    for i in 0..1_000 {
        match search.next(Duration::from_secs(1_000_000)) {
            Step::Found(answer) => return (answer, i),
            Step::Probe { rate, lasting } => {
                let culprit = if rate > 5_000.0 { Culprit::Generator } else { Culprit::Target };
                search.tell(rate, Evidence::certain(lasting, keeps(rate, i)).blaming(culprit));
            }
        }
    }
    panic!("the search does not end");
}

#[test]
fn a_search_ends_if_all_rates_keep_or_break_the_promise() {
    let (answer, probes) = search(Scope { to: 1_000.0, ..SCOPE }, |_, _| Kept::Yes);
    let none = Bracket { kept: Some(1_000.0), broken: None, undecided: None, is_cut_short: false };
    assert_eq!((answer, probes), (none, 9));
    let (answer, _) = search(SCOPE, |_, _| Kept::No);
    assert!(answer.kept.is_none() && answer.broken.is_some_and(|(rate, _)| rate < 0.2));
    let (answer, _) = search(SCOPE, |rate, _| if rate < 7_000.0 { Kept::Yes } else { Kept::No });
    assert_eq!(answer.broken.map(|(_, culprit)| culprit), Some(Culprit::Generator));
    assert!(answer.kept.is_some_and(|rate| rate > 6_790.0));
}

#[test]
fn a_search_in_which_everything_fails_ends_soon() {
    let mut search = Search::new(SCOPE);
    let mut rates = Vec::new();
    let answer = loop {
        match search.next(BUDGET) {
            Step::Found(answer) => break answer,
            Step::Probe { rate, lasting } => {
                rates.push(rate);
                let evidence = Evidence::certain(lasting, Kept::No);
                search.tell(rate, Evidence { is_all_failed: true, ..evidence }.blaming(Culprit::Target));
            }
        }
    };
    assert_eq!((answer.kept, answer.broken, rates), (None, Some((5.0, Culprit::Target)), vec![10.0, 10.0, 5.0]));
}

#[test]
fn a_target_that_is_slow_only_at_first_gets_another_chance() {
    let (answer, _) = search(Scope { to: 100.0, ..SCOPE }, |_, i| if i == 0 { Kept::No } else { Kept::Yes });
    assert_eq!((answer.kept, answer.broken), (Some(100.0), None));
}

#[test]
fn rates_that_cannot_keep_the_promise_are_not_tried() {
    let mut least = f64::INFINITY;
    let (answer, _) = search(Scope { from: 100.0, least: 90.0, ..SCOPE }, |rate, _| {
        least = least.min(rate);
        Kept::No
    });
    assert_eq!((least, answer.kept, answer.broken), (100.0, None, Some((100.0, Culprit::Target))));
}

#[test]
fn if_the_budget_ends_each_rate_counts_as_it_stands() {
    // A promise that half of the probes break, and never beyond doubt.
    let broken = |lasting| Evidence { promises: vec![share(30, 1_500)], ..Evidence::certain(lasting, Kept::No) };
    let kept = |lasting| Evidence { promises: vec![share(0, 1_500)], ..Evidence::certain(lasting, Kept::Yes) };
    let mut search = Search::new(Scope { from: 50.0, to: 100.0, ..SCOPE });
    let second = Duration::from_secs(1);
    search.tell(50.0, kept(second).blaming(Culprit::Target));
    search.tell(100.0, broken(second).blaming(Culprit::Target));
    let answer = search.cut_short();
    assert_eq!((answer.kept, answer.broken), (Some(50.0), Some((100.0, Culprit::Target))));
    assert_eq!((answer.undecided, answer.is_cut_short), (None, true));
}

fn share(beyond: u64, of: u64) -> Tally {
    Tally::Share { beyond, of, allowed: 0.015, needed: BEYOND }
}

#[test]
fn a_rate_without_enough_operations_is_undecided() {
    // Within two probes of a minute, fewer than 8 per second have too few operations for a percentile, and 4/s is too
    // fast.
    let few = |rate: f64| Tally::Share { beyond: 0, of: (rate * 60.0) as u64, allowed: 0.01, needed: BEYOND };
    let mut search = Search::new(Scope { from: 1.0, ..SCOPE });
    let answer = loop {
        match search.next(BUDGET * 10) {
            Step::Found(answer) => break answer,
            Step::Probe { rate, lasting } if rate >= 4.0 => {
                search.tell(rate, Evidence::certain(lasting, Kept::No).blaming(Culprit::Target));
            }
            Step::Probe { rate, lasting } => {
                let evidence = Evidence::certain(lasting, Kept::Yes);
                search.tell(rate, Evidence { promises: vec![few(rate)], ..evidence });
            }
        }
    };
    assert_eq!((answer.kept, answer.broken), (None, Some((4.0, Culprit::Target))));
    assert!(answer.undecided.is_some_and(|rate| (2.0..4.0).contains(&rate)), "{answer:?}");
}

proptest! {
    #[test]
    fn the_limit_is_found_although_one_probe_in_four_is_wrong(limit in 1.0..50_000.0_f64, wrong in 0..4_usize) {
        let mut probed: Vec<f64> = Vec::new();
        let (answer, probes) = search(SCOPE, |rate, i| {
            let again = probed.contains(&rate);
            probed.push(rate);
            // Only the first probe of a rate can be wrong.
            let lies = !again && i % 4 == wrong;
            if (rate <= limit) == lies { Kept::No } else { Kept::Yes }
        });
        let (kept, (broken, _)) = (answer.kept.unwrap(), answer.broken.unwrap());
        prop_assert!(kept <= limit && limit < broken && broken / kept <= 1.03, "{kept} {limit} {broken}");
        prop_assert!(probes < 100, "{}", probes);
    }
}

/// A search for the highest rate with a p99 below `bound` seconds.
fn find(queue: Queue, bound: f64, to: f64, rng: &mut Rng) -> Bracket {
    let mut search = Search::new(Scope { to, ..SCOPE });
    let mut used = Duration::ZERO;
    loop {
        let left = BUDGET.saturating_sub(used);
        let (rate, lasting) = match search.next(left) {
            Step::Found(answer) => return answer,
            Step::Probe { rate, lasting } => (rate, lasting),
        };
        assert!(lasting + SCOPE.around <= left && lasting <= SCOPE.probe_max);
        let seconds = lasting.as_secs_f64();
        let probed = queue.probe(rate, seconds, rng);
        let beyond = probed.latencies().filter(|&latency| latency >= bound).count() as u64;
        let promise = Tally::Share { beyond, of: probed.0.len() as u64, allowed: 0.01, needed: BEYOND };
        let length = Duration::from_secs_f64(INTERVAL);
        let backlog = Backlog::new(length, &probed.intervals(seconds), probed.slowest());
        let culprits = Culprits::default();
        let evidence = Evidence { lasting, backlog, promises: vec![promise], is_all_failed: false, culprits };
        search.tell(rate, evidence.blaming(Culprit::Target));
        let ends = probed.0.iter().map(|(_, end)| *end).fold(seconds, f64::max);
        used += Duration::from_secs_f64(ends) + SCOPE.around;
    }
}

/// In twelve searches the limit is found within `within`, and in all of them within one and a half times that.
fn is_found(queue: Queue, bound: f64, truth: f64, within: f64) {
    let mut rng = Rng::with_seed(11);
    let errors = (0..12).map(|_| {
        let answer = find(queue, bound, 1e6, &mut rng);
        (answer.kept.unwrap_or_else(|| panic!("{queue:?}: {answer:?}")) / truth - 1.0).abs()
    });
    let errors: Vec<f64> = errors.collect();
    let good = errors.iter().filter(|&&error| error <= within).count();
    assert!(good >= 11 && errors.iter().all(|&error| error <= 1.5 * within), "{queue:?}: {errors:?}");
}

const CONSTANT: Service = Service::Constant(0.02);
const EXPONENTIAL: Service = Service::Exponential(0.02);

#[test]
fn the_limit_of_servers_is_found() {
    let of = |service, is_poisson| Queue { service, servers: Some(4), is_poisson };
    is_found(of(CONSTANT, false), 0.2, 200.0, 0.03);
    // The p99 of M/M/4: the wait exceeds t with the probability C exp(-(μ-λ) t), where C is Erlang's.
    is_found(of(EXPONENTIAL, true), 0.2, 175.3, 0.1);
    // By two million simulated operations.
    is_found(of(CONSTANT, true), 0.2, 187.9, 0.1);
    is_found(of(Service::Lognormal(0.02, 0.5), true), 0.2, 160.5, 0.1);
    // With a bound that no queue within a probe reaches, only the backlog shows the limit.
    is_found(of(EXPONENTIAL, true), 10.0, 199.8, 0.1);
    is_found(of(Service::Lognormal(0.02, 0.5), false), 10.0, 176.6, 0.1);
}

#[test]
fn a_target_without_a_limit_has_none() {
    for (service, bound) in [
        (CONSTANT, 0.03),
        (EXPONENTIAL, 0.2),
        (Service::Lognormal(0.02, 0.8), 0.3),
        (Service::Bimodal(0.02, 0.4, 0.1), 0.5),
        (Service::Bimodal(0.02, 2.0, 0.005), 0.1),
    ] {
        let mut rng = Rng::with_seed(13);
        for is_poisson in [false, true, false, true] {
            let answer = find(Queue { service, servers: None, is_poisson }, bound, 300.0, &mut rng);
            assert_eq!((answer.kept, answer.broken), (Some(300.0), None), "{service:?}: {answer:?}");
        }
    }
}

#[test]
fn the_expected_time_is_that_of_a_search_without_doubts() {
    let expected = SCOPE.expected(BUDGET);
    assert!(Duration::from_secs(60) < expected && expected <= BUDGET, "{expected:?}");
    let short = Scope { from: 100.0, to: 100.0, probe: Duration::from_secs(1), operations: 10.0, ..SCOPE };
    assert_eq!(short.expected(BUDGET), Duration::from_millis(2_600));
    assert_eq!(short.expected(Duration::from_millis(500)), Duration::ZERO);
}
