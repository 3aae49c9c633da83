//! How many instances a probe needs, and whether it had too few.
//!
//! By Little's law (see [`backlog`](super::backlog)) a rate λ of operations that take W each keeps λ W instances busy
//! on average. If all instances are busy, operations wait for one. That is the target's fault if it answers more slowly
//! the more it has to do, and ours if it answers as fast as before.

use super::evidence::{Broken, Evidence, Standing};
use crate::lane::Lane;
use crate::report::find::Culprit;
use crate::report::{Limit, RunReport};

/// How many times the mean number of busy instances there are, because the number in flight varies.
const HEADROOM: f64 = 2.0;

/// How many more there are, because small numbers vary more.
const SPARE: f64 = 10.0;

/// How long operations take if nothing is known yet, in seconds.
const UNKNOWN: f64 = 1.0;

/// If a smaller share of the operations waited for an instance, they do not matter.
const NOTABLE: f64 = 0.01;

/// A target whose median service time has grown by less than this answers as fast as before.
const SLOWED: f64 = 1.2;

/// By how much the number of instances grows if it was too small.
const GROWTH: u64 = 4;

/// The most instances of a search for which the user gave no number, over all threads. With 20 ms each they do 50,000
/// operations per second, and take some hundred MiB.
pub const MOST: u64 = 1_000;

/// The instances of a search.
#[derive(Clone, Debug)]
pub struct Instances {
    lane: Lane,
    /// All threads of all processes.
    threads: u64,
    most: u64,
    /// Processors of this machine, or of all boxes.
    cpus: u64,
    /// The service times of the fastest probe so far.
    fastest: Option<Service>,
    /// The longest mean service time of a probe that kept its promises, in seconds.
    usual: Option<f64>,
    /// More were needed than the service times say.
    least: u64,
}

/// From an operation's start to its end, in seconds.
#[derive(Clone, Copy, Debug)]
struct Service {
    median: f64,
    mean: f64,
}

/// Why operations waited for an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// They did not, or would have waited elsewhere, because the target is slow.
    None,
    /// There were too few instances, and there may be more.
    MoreAllowed,
    /// There were too few instances, and there may not be more.
    AtBound,
}

impl Instances {
    /// At most `most` instances on `threads` threads; each compute task has a thread for itself.
    pub fn new(lane: Lane, threads: u64, most: Option<u64>, cpus: usize) -> Self {
        let most = match lane {
            Lane::Compute => threads,
            Lane::Io => (most.unwrap_or(MOST) / threads).max(1) * threads,
        };
        Self { lane, threads, most, cpus: cpus as u64, fastest: None, usual: None, least: 0 }
    }

    /// The next probes have so many threads, on machines with so many processors together: boxes came or went. Each
    /// thread may have as many instances as before.
    pub fn spread(&mut self, threads: u64, cpus: u64) {
        self.most = (self.most / self.threads).max(1) * threads;
        (self.threads, self.cpus) = (threads, cpus);
    }

    /// The most that a probe may have.
    pub fn most(&self) -> u64 {
        self.most
    }

    /// How many instances each thread needs at `rate`.
    pub fn per_thread(&self, rate: f64) -> u32 {
        let busy = rate * self.usual.or(self.fastest.map(|service| service.mean)).unwrap_or(UNKNOWN);
        let wanted = ((HEADROOM * busy + SPARE) as u64).max(self.least).min(self.most);
        u32::try_from(wanted.div_ceil(self.threads)).unwrap_or(u32::MAX)
    }

    /// Why operations waited for one of the `instances` of `run`, which is a probe at `rate`.
    pub fn shortage(&self, rate: f64, instances: u64, run: &RunReport) -> Shortage {
        let offered = run.operations.offered.max(1) as f64;
        if (run.generator.waited as f64) < NOTABLE * offered {
            return Shortage::None;
        }
        if self.lane == Lane::Io
            && let Some((now, fastest)) = service(run).zip(self.fastest)
            && now.median > SLOWED * fastest.median
            && rate * fastest.mean < instances as f64
        {
            return Shortage::None;
        }
        if instances < self.most { Shortage::MoreAllowed } else { Shortage::AtBound }
    }

    /// Who is at fault in a probe in which `broken` broke a promise; without one, who would be. A limit on this side
    /// makes operations late or slow. They fail because of it only if the machine could not open connections. If they
    /// only start late, they are not slow.
    pub fn culprit(&self, shortage: Shortage, run: &RunReport, broken: Option<Broken>) -> Culprit {
        let broken = broken.unwrap_or(Broken::Starts);
        let limits = &run.generator.limits;
        let explains = |limit: &Limit| match limit {
            Limit::Late => broken == Broken::Starts,
            Limit::Crowded | Limit::Throttled | Limit::Stolen => broken <= Broken::Durations,
            // A queue can be of any length.
            Limit::Saturated | Limit::Queued | Limit::Streams => broken <= Broken::LongDurations,
            Limit::Lacked => true,
        };
        let is_limited = limits.iter().any(explains);
        match (self.lane, shortage) {
            _ if limits.contains(&Limit::Lacked) => Culprit::Generator,
            _ if broken == Broken::Outcomes => Culprit::Target,
            // A thread for each processor is all that this machine has.
            (Lane::Compute, Shortage::AtBound) if self.threads >= self.cpus => Culprit::Generator,
            (Lane::Compute, Shortage::AtBound) => Culprit::Instances,
            _ if is_limited => Culprit::Generator,
            (_, Shortage::AtBound) if broken <= Broken::Backlog => Culprit::Instances,
            _ => Culprit::Target,
        }
    }

    /// There were too few: the next probe has several times as many.
    pub fn grow(&mut self, instances: u64) {
        self.least = instances.saturating_mul(GROWTH).min(self.most);
    }

    /// Learns from a probe how long operations take.
    pub fn learn(&mut self, run: &RunReport, evidence: &Evidence) {
        let Some(now) = service(run) else { return };
        if self.fastest.is_none_or(|fastest| now.median < fastest.median) {
            self.fastest = Some(now);
        }
        if !matches!(evidence.standing(), Standing::Broken(_)) {
            self.usual = Some(self.usual.unwrap_or_default().max(now.mean));
        }
    }
}

fn service(run: &RunReport) -> Option<Service> {
    let seconds = |ns: u64| ns as f64 / 1e9;
    let (median, mean) = run.service_ns.p50.zip(run.service_ns.mean)?;
    Some(Service { median: seconds(median), mean: seconds(mean) })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::report::Report;
    use crate::report::tests::{environment, open_record};

    const MS: u64 = 1_000_000;

    /// A run of which `waited` operations waited for an instance, and all took `service_ms`.
    fn run(waited: u64, service_ms: u64) -> RunReport {
        let mut run = Report::new(environment(), &[open_record()]).runs.remove(0);
        run.generator.waited = waited;
        run.generator.limits.clear();
        run.service_ns.p50 = Some(service_ms * MS);
        run.service_ns.mean = Some(service_ms * MS);
        run
    }

    fn kept() -> Evidence {
        Evidence::certain(Duration::from_secs(5), super::super::evidence::Kept::Yes)
    }

    fn io(most: Option<u64>) -> Instances {
        Instances::new(Lane::Io, 2, most, 2)
    }

    #[test]
    fn a_rate_has_as_many_instances_as_littles_law_asks_for() {
        let mut instances = io(None);
        // Unknown: a second each, so 100 are busy, and there are twice as many and ten more, on two threads.
        assert_eq!((instances.per_thread(100.0), instances.most()), (105, MOST));
        instances.learn(&run(0, 20), &kept());
        assert_eq!((instances.per_thread(100.0), instances.per_thread(1_000.0)), (7, 25));
        assert_eq!(instances.per_thread(1e6), 500);
        instances.grow(14);
        assert_eq!(instances.per_thread(100.0), 28);
        // Three threads cannot have a thousand.
        assert_eq!(Instances::new(Lane::Io, 3, None, 2).most(), 999);
        assert_eq!((io(Some(6)).per_thread(1e6), Instances::new(Lane::Compute, 4, Some(8), 2).per_thread(1e6)), (3, 1));
    }

    #[test]
    fn boxes_bring_instances_and_take_them_away() {
        let mut instances = io(Some(10));
        instances.spread(4, 8);
        assert_eq!((instances.most(), instances.per_thread(1e6)), (20, 5));
        instances.spread(2, 4);
        assert_eq!((instances.most(), instances.per_thread(1e6)), (10, 5));
    }

    #[test]
    fn operations_wait_because_of_the_target_or_of_too_few_instances() {
        let mut instances = io(Some(8));
        instances.learn(&run(0, 20), &kept());
        // Eight instances of 20 ms carry 400 per second.
        assert_eq!(instances.shortage(300.0, 8, &run(0, 100)), Shortage::None);
        // The target takes five times as long under load: with more instances it would take even longer.
        assert_eq!(instances.shortage(300.0, 8, &run(900, 100)), Shortage::None);
        assert_eq!(instances.shortage(500.0, 8, &run(900, 20)), Shortage::AtBound);
        assert_eq!(instances.shortage(300.0, 4, &run(900, 20)), Shortage::MoreAllowed);
        // Even at its fastest, the target would need more of them.
        assert_eq!(instances.shortage(500.0, 8, &run(900, 30)), Shortage::AtBound);
    }

    #[test]
    fn the_culprit() {
        let [calm, mut saturated, mut crowded, mut late] = [(); 4].map(|()| run(900, 20));
        saturated.generator.limits = vec![Limit::Saturated, Limit::Late];
        crowded.generator.limits = vec![Limit::Crowded];
        late.generator.limits = vec![Limit::Late];
        let io = io(Some(8));
        use Broken::{Backlog, Durations, LongDurations, Outcomes, Starts};
        let (target, instances, generator) = (Culprit::Target, Culprit::Instances, Culprit::Generator);
        for (shortage, run, culprits) in [
            (Shortage::None, &calm, [target; 5]),
            (Shortage::AtBound, &calm, [instances, instances, target, target, target]),
            (Shortage::AtBound, &saturated, [generator, generator, generator, generator, target]),
            (Shortage::AtBound, &crowded, [generator, generator, generator, target, target]),
            (Shortage::None, &late, [generator, target, target, target, target]),
        ] {
            let of = [Starts, Backlog, Durations, LongDurations, Outcomes];
            let ours = of.map(|broken| io.culprit(shortage, run, Some(broken)));
            assert_eq!(ours, culprits, "{shortage:?}, {:?}", run.generator.limits);
        }
        // No promise was broken: what would have been at fault.
        assert_eq!(io.culprit(Shortage::AtBound, &calm, None), Culprit::Instances);
        // A computing task keeps its threads busy: while there are processors left, more threads help.
        let computes = |threads| Instances::new(Lane::Compute, threads, None, 2);
        assert_eq!(computes(1).culprit(Shortage::AtBound, &saturated, Some(Durations)), Culprit::Instances);
        assert_eq!(computes(2).culprit(Shortage::AtBound, &saturated, Some(Durations)), Culprit::Generator);
        assert_eq!(computes(2).culprit(Shortage::AtBound, &saturated, Some(Outcomes)), Culprit::Target);
        assert_eq!(computes(1).culprit(Shortage::None, &calm, Some(Durations)), Culprit::Target);
    }
}
