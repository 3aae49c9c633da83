//! What the flags of a search have to agree on, and the range that they span.

use std::time::Duration;

use anyhow::ensure;
use humantime::format_duration;

use super::{AROUND, FindLoad};
use crate::judging::search::{self, Scope};
use crate::judging::verdict::Slo;
use crate::plan::{Extent, Rate};

/// The first rate to try, in operations per second, unless a flag says otherwise.
const FROM: f64 = 10.0;

/// How long a probe may last, unless a flag says otherwise.
const PROBE_MAX: Duration = Duration::from_secs(60);

/// Each end of the answer needs at least as many probes.
const LEAST_PROBES: u32 = 2;

impl FindLoad {
    /// The lowest rate that the flags ask for.
    pub(super) fn lowest(&self) -> Rate {
        let from = self.from.unwrap_or_else(|| Rate::per_second(FROM).expect("it is a valid rate"));
        if self.to < from { self.to } else { from }
    }

    /// What is searched for the promises `slos`.
    pub(super) fn scope(&self, slos: &[Slo]) -> Scope {
        let from = self.from.map_or(FROM, Rate::get);
        Scope {
            from: slos.iter().map(Slo::least_rate).fold(from, f64::max),
            to: self.to.get(),
            least: slos.iter().map(Slo::least_rate).fold(search::LEAST, f64::max),
            precision: self.precision,
            probe: self.probe,
            probe_max: self.probe_max.unwrap_or(PROBE_MAX).max(self.probe),
            around: AROUND + self.warmup.and_then(Extent::duration).unwrap_or_default(),
            operations: slos.iter().map(Slo::operations).fold(0.0, f64::max),
        }
    }

    /// Refuses flags that contradict each other, and a budget that is too short for any answer.
    pub(super) fn check(&self, slos: &[Slo]) -> anyhow::Result<()> {
        let Self { from, to, probe, probe_max, budget, .. } = self;
        if let Some(from) = from {
            ensure!(from <= to, "--from `{from}` is above --to `{to}`: give a lower --from, or a higher --to");
        }
        if let Some(needy) = slos.iter().find(|slo| slo.least_rate() > to.get()) {
            anyhow::bail!(
                "`{needy}` needs a rate of at least `{:.0}/s`, above --to `{to}`: give a higher --to",
                needy.least_rate().ceil()
            );
        }
        if let Some(most) = probe_max {
            ensure!(
                most >= probe,
                "--probe-max `{}` is below --probe `{}`: give a shorter --probe, or a longer --probe-max",
                format_duration(*most),
                format_duration(*probe)
            );
        }
        let scope = self.scope(slos);
        let least = (*probe + scope.around) * LEAST_PROBES;
        ensure!(
            *budget >= least,
            "--budget `{}` does not hold two probes of `{}`: give at least `{}`, or a shorter --probe",
            format_duration(*budget),
            format_duration(*probe),
            format_duration(least)
        );
        // At a low rate a probe takes longer, because it needs some operations.
        ensure!(
            !scope.expected(*budget).is_zero(),
            "--budget `{}` does not hold a probe at the first rate: give a longer --budget, or a higher --from",
            format_duration(*budget)
        );
        Ok(())
    }
}
