//! What this process uses of its machine.

use nix::sys::resource::{UsageWho, getrusage};

use crate::metrics::Health;
use crate::wire::Usage;

/// The health of this process.
pub(super) fn look(at_ns: u64, worst_lag_ns: u64) -> Health {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
    let rss_bytes = resident.and_then(|kib| kib.trim().parse::<u64>().ok()).unwrap_or_default() * 1_024;
    Health { at_ns, cpu_ns: usage().cpu_ns, rss_bytes, worst_lag_ns }
}

/// What this process has used until now.
pub(super) fn usage() -> Usage {
    getrusage(UsageWho::RUSAGE_SELF).map_or_else(
        |_| Usage::default(),
        |usage| {
            let micros = |time: nix::sys::time::TimeVal| (time.tv_sec() * 1_000_000 + time.tv_usec()) as u64;
            Usage {
                cpu_ns: (micros(usage.user_time()) + micros(usage.system_time())) * 1_000,
                // Linux gives it in KiB.
                peak_rss_bytes: usage.max_rss() as u64 * 1_024,
            }
        },
    )
}
