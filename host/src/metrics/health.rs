//! How a worker process is over time: bounded, whatever the length of the run.

use serde::{Deserialize, Serialize};

/// Looks that are kept; beyond, pairs of neighbours become one.
const MAX_LOOKS: usize = 300;

/// How a worker is, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// When it was looked at, in nanoseconds from the beginning of the run.
    pub at_ns: u64,
    /// Processor time since its launch, user and system.
    pub cpu_ns: u64,
    /// Memory that it has resident.
    pub rss_bytes: u64,
    /// The longest time from due to start of the operations it has counted since it was looked at last.
    pub worst_lag_ns: u64,
}

/// What was seen of one worker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthLog {
    looks: Vec<Health>,
    /// Looks that are not yet as many as one of those stands for.
    pending: Vec<Health>,
    /// How many that is, as a power of two.
    halvings: u32,
}

impl HealthLog {
    /// Notes how it is now.
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

    /// What was seen, in the order of time.
    pub fn looks(&self) -> &[Health] {
        &self.looks
    }
}

/// Several looks as one: the last one's time and processor time, the worst of the rest.
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
    fn a_long_run_keeps_the_worst_of_each_time() {
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
