//! The terminal output of a search for a rate.

use std::io::{self, Write};

use crate::report::find::{FindReport, Probe, VoidProbe, came_to, sentence};
use crate::report::units::{count, duration, or_dash, percent, rate as per_second};

/// A probe as a line.
pub fn line(probe: &Probe) -> String {
    let time = |ns: Option<u64>| or_dash(ns, duration);
    format!(
        "{:>12}  {:>10}  {:>12}  {:>9}  {:>9}  {:>8}  {}",
        format!("{}/s", per_second(probe.rate)),
        count(probe.offered),
        or_dash(probe.throughput, |of| format!("{}/s", per_second(of))),
        time(probe.latency_ns.p50),
        time(probe.latency_ns.p99),
        percent(probe.failed),
        came_to(probe)
    )
}

/// A void probe as a line.
pub fn void_line(probe: &VoidProbe) -> String {
    let faults: Vec<_> = probe.faults.iter().map(|fault| fault.message.as_str()).collect();
    format!("{:>12}  void, to be run again: {}", format!("{}/s", per_second(probe.rate)), faults.join("; "))
}

/// Writes the probes in the order of their rates, and the answer.
pub fn write(report: &FindReport, mut to: impl Write) -> io::Result<()> {
    let FindReport { task, slo, .. } = report;
    writeln!(to, "{task}: the highest rate with {}\n", slo.join(" and "))?;
    let head = ["rate", "operations", "completed", "p50", "p99", "failed"];
    let [rate, operations, completed, p50, p99, failed] = head;
    writeln!(to, "{rate:>12}  {operations:>10}  {completed:>12}  {p50:>9}  {p99:>9}  {failed:>8}")?;
    report.by_rate().iter().try_for_each(|probe| writeln!(to, "{}", line(probe)))?;
    report.void.iter().try_for_each(|probe| writeln!(to, "{}", void_line(probe)))?;
    writeln!(to, "\n{}", sentence(report))
}
