//! The health of a worker process over time, in bounded memory however long the run is.

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
}

/// Merges samples into one: time and processor time are the last one's, the rest are the worst values.
fn merged(looks: &[Health]) -> Option<Health> {
    let &last = looks.last()?;
    Some(Health {
        rss_bytes: looks.iter().map(|look| look.rss_bytes).max().unwrap_or_default(),
        worst_lag_ns: looks.iter().map(|look| look.worst_lag_ns).max().unwrap_or_default(),
        ..last
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_keeps_the_worst_values() {
        let mut log = HealthLog::default();
        for i in 0..10_000_u64 {
            let worst_lag_ns = if i == 7_001 { 99 } else { 1 };
            log.note(Health { at_ns: i, cpu_ns: 2 * i, rss_bytes: 5, worst_lag_ns });
        }
        let looks = log.looks();
        assert!(looks.len() < MAX_LOOKS && looks.len() > MAX_LOOKS / 3, "{}", looks.len());
        assert!(looks.windows(2).all(|pair| pair[0].at_ns < pair[1].at_ns && pair[0].cpu_ns < pair[1].cpu_ns));
        assert_eq!(looks.iter().filter(|look| look.worst_lag_ns == 99).count(), 1);
    }
}
