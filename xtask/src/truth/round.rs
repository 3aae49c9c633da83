//! How much of the machine other programs took.

use std::fs;

use anyhow::Context;

/// The processor time that was used until now, in the clock ticks of the kernel.
pub(super) struct Machine {
    /// By all programs, and by other machines on the same host.
    busy: f64,
    /// By all programs, and left unused.
    all: f64,
    /// By this process and its children that have ended.
    ours: f64,
}

impl Machine {
    pub(super) fn look() -> anyhow::Result<Self> {
        let stat = fs::read_to_string("/proc/stat").context("this bench needs /proc")?;
        // user, nice, system, idle, iowait, irq, softirq, steal; see proc(5).
        let total = stat.lines().next().context("/proc/stat is empty")?;
        let times: Vec<f64> = total.split_whitespace().skip(1).take(8).filter_map(|time| time.parse().ok()).collect();
        let [user, nice, system, idle, iowait, irq, softirq, steal] = times[..] else {
            anyhow::bail!("/proc/stat begins with `{total}`");
        };
        let busy = user + nice + system + irq + softirq + steal;
        let own = fs::read_to_string("/proc/self/stat")?;
        // The name of the program may contain blanks. After it come the state, and as the twelfth field the user time.
        let (_, own) = own.rsplit_once(')').context("/proc/self/stat has no name")?;
        let ours = own.split_whitespace().skip(11).take(4).filter_map(|time| time.parse::<f64>().ok()).sum();
        Ok(Self { busy, all: busy + idle + iowait, ours })
    }

    /// The share of the machine that others took between `before` and now.
    pub(super) fn taken_since(&self, before: &Self) -> f64 {
        let others = (self.busy - before.busy) - (self.ours - before.ours);
        others.max(0.0) / (self.all - before.all).max(1.0)
    }
}
