//! The health of a worker process over time, in bounded memory however long the run is.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// How many samples are kept. If there are more, neighbours are merged in pairs.
const MAX_LOOKS: usize = 300;

/// A sample of a worker's health.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// When it was sampled, in nanoseconds since the start of the run.
    pub at_ns: u64,
    /// Processor time since the worker's launch, user and system.
    pub cpu_ns: u64,
    /// Resident memory.
    pub rss_bytes: u64,
    /// The longest time from due to start, of the operations that were counted since the previous sample.
    pub worst_lag_ns: u64,
    /// What its measured threads have done since the start of the run.
    pub work: ThreadWork,
    /// How busy the busiest of these threads was since the previous sample, in thousandths.
    pub busiest_permille: u16,
    /// What the worker's threads did not get since the start of the run, because the machine gave it to others.
    pub withheld: Withheld,
}

/// How measured threads spent their time, summed over the threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadWork {
    /// How long they were watched.
    pub watched_ns: u64,
    /// Of that: they were on a processor, and did more than watch the clock until the next slot was due.
    pub computing_ns: u64,
    /// Of that: they could have gone on, and waited for a processor, as far as the kernel tells.
    pub delayed_ns: u64,
    /// How long they were watched by a kernel that tells it.
    pub delay_watched_ns: u64,
    /// Of that: the samples in which a thread did one of these nearly all the time.
    pub saturated_ns: u64,
}

impl AddAssign for ThreadWork {
    fn add_assign(&mut self, other: Self) {
        self.watched_ns += other.watched_ns;
        self.computing_ns += other.computing_ns;
        self.delayed_ns += other.delayed_ns;
        self.delay_watched_ns += other.delay_watched_ns;
        self.saturated_ns += other.saturated_ns;
    }
}

/// Processor time that a machine gave to others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withheld {
    /// How long the control group of the process was throttled, because it had used up its share.
    pub throttled_ns: u64,
    /// How much time the hypervisor took from the machine's processors, summed over them.
    pub stolen_ns: u64,
}

/// The samples of one worker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthLog {
    looks: Vec<Health>,
    /// New samples, until there are enough to merge into one of `looks`.
    pending: Vec<Health>,
    /// How many samples one of `looks` stands for, as a power of two.
    halvings: u32,
}

impl HealthLog {
    /// Adds a sample.
    pub fn note(&mut self, health: Health) {
        self.pending.push(health);
        if self.pending.len() >= 1 << self.halvings {
            self.looks.extend(merged(&std::mem::take(&mut self.pending)));
        }
        if self.looks.len() >= MAX_LOOKS {
            self.halvings += 1;
            self.looks = self.looks.chunks(2).filter_map(merged).collect();
        }
    }

    /// The samples, in order of time.
    pub fn looks(&self) -> &[Health] {
        &self.looks
    }

    /// The last sample, which has the sums of the whole run.
    pub fn last(&self) -> Option<&Health> {
        self.pending.last().or(self.looks.last())
    }
}

/// Merges samples into one: time and sums are the last one's, the rest are the worst values.
fn merged(looks: &[Health]) -> Option<Health> {
    let &last = looks.last()?;
    Some(Health {
        rss_bytes: looks.iter().map(|look| look.rss_bytes).max().unwrap_or_default(),
        worst_lag_ns: looks.iter().map(|look| look.worst_lag_ns).max().unwrap_or_default(),
        busiest_permille: looks.iter().map(|look| look.busiest_permille).max().unwrap_or_default(),
        ..last
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_keeps_the_worst_values() {
        let mut log = HealthLog::default();
        for i in 0..10_001_u64 {
            let (worst_lag_ns, busiest_permille) = if i == 7_001 { (99, 999) } else { (1, 10) };
            let work = ThreadWork { watched_ns: i, ..ThreadWork::default() };
            let of =
                Health { at_ns: i, cpu_ns: 2 * i, rss_bytes: 5, worst_lag_ns, busiest_permille, ..Health::default() };
            log.note(Health { work, ..of });
        }
        let looks = log.looks();
        assert!(looks.len() < MAX_LOOKS && looks.len() > MAX_LOOKS / 3, "{}", looks.len());
        assert!(looks.windows(2).all(|pair| pair[0].at_ns < pair[1].at_ns && pair[0].cpu_ns < pair[1].cpu_ns));
        assert_eq!(looks.iter().filter(|look| look.worst_lag_ns == 99 && look.busiest_permille == 999).count(), 1);
        assert_eq!(log.last().map(|last| last.work.watched_ns), Some(10_000));
    }
}
