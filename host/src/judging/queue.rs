//! A simulated target, for tests: a queue with one or more servers, or with as many as are needed.
//!
//! Operations wait in one line and are served in the order in which they are due, so the simulation is one pass over
//! them (Kiefer and Wolfowitz's recursion).

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use fastrand::Rng;

use super::backlog::Interval;

/// How long a server takes for an operation.
#[derive(Clone, Copy, Debug)]
pub(super) enum Service {
    Constant(f64),
    /// The mean.
    Exponential(f64),
    /// The median, and the standard deviation of the logarithm.
    Lognormal(f64, f64),
    /// The usual time, another time, and the share of the latter.
    Bimodal(f64, f64, f64),
}

/// A queue, and the operations that arrive at it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Queue {
    pub(super) service: Service,
    /// `None` if there is no limit.
    pub(super) servers: Option<usize>,
    pub(super) is_poisson: bool,
}

/// The operations of a probe: when each was due, and when it ended, in seconds.
pub(super) struct Probed(pub(super) Vec<(f64, f64)>);

/// The length of a probe's intervals, in seconds.
pub(super) const INTERVAL: f64 = 0.25;

impl Service {
    pub(super) fn mean(self) -> f64 {
        match self {
            Self::Constant(mean) | Self::Exponential(mean) => mean,
            Self::Lognormal(median, sigma) => median * (sigma * sigma / 2.0).exp(),
            Self::Bimodal(usual, other, share) => usual * (1.0 - share) + other * share,
        }
    }

    fn draw(self, rng: &mut Rng) -> f64 {
        let uniform = |rng: &mut Rng| 1.0 - rng.f64();
        match self {
            Self::Constant(time) => time,
            Self::Exponential(mean) => -mean * uniform(rng).ln(),
            Self::Lognormal(median, sigma) => {
                let normal = (-2.0 * uniform(rng).ln()).sqrt() * (std::f64::consts::TAU * rng.f64()).cos();
                median * (sigma * normal).exp()
            }
            Self::Bimodal(usual, other, share) => {
                if rng.f64() < share {
                    other
                } else {
                    usual
                }
            }
        }
    }
}

impl Queue {
    /// Operations per second that the servers can do.
    pub(super) fn capacity(&self) -> f64 {
        self.servers.map_or(f64::INFINITY, |servers| servers as f64 / self.service.mean())
    }

    /// A probe at `rate` for `lasting` seconds.
    pub(super) fn probe(&self, rate: f64, lasting: f64, rng: &mut Rng) -> Probed {
        // Times are in nanoseconds, because a heap needs a total order.
        let mut free: BinaryHeap<Reverse<u64>> = vec![Reverse(0); self.servers.unwrap_or(0)].into();
        let (mut operations, mut due) = (Vec::new(), 0.0);
        while due < lasting {
            let begin = free.pop().map_or(due, |Reverse(free_ns)| due.max(free_ns as f64 / 1e9));
            let end = begin + self.service.draw(rng);
            if self.servers.is_some() {
                free.push(Reverse((end * 1e9) as u64));
            }
            operations.push((due, end));
            due += if self.is_poisson { -(1.0 - rng.f64()).ln() / rate } else { 1.0 / rate };
        }
        Probed(operations)
    }
}

impl Probed {
    /// Per interval until the end of the schedule, `lasting` seconds after its beginning.
    pub(super) fn intervals(&self, lasting: f64) -> Vec<Interval> {
        let count = (lasting / INTERVAL) as usize;
        let mut intervals = vec![Interval::default(); count];
        let mut latencies = vec![Vec::new(); count];
        for &(due, end) in &self.0 {
            if let Some(interval) = intervals.get_mut((due / INTERVAL) as usize) {
                interval.due += 1;
            }
            let at = (end / INTERVAL) as usize;
            if let Some(interval) = intervals.get_mut(at) {
                interval.ended += 1;
                latencies[at].push(end - due);
            }
        }
        for (interval, latencies) in intervals.iter_mut().zip(&mut latencies) {
            latencies.sort_by(f64::total_cmp);
            interval.median = latencies.get(latencies.len() / 2).map(|&median| Duration::from_secs_f64(median));
        }
        intervals
    }

    pub(super) fn latencies(&self) -> impl Iterator<Item = f64> {
        self.0.iter().map(|(due, end)| end - due)
    }

    pub(super) fn slowest(&self) -> Duration {
        Duration::from_secs_f64(self.latencies().fold(0.0, f64::max))
    }
}
