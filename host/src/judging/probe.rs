//! Judges one probe of a search for a rate: whether the promises were kept, whether the target kept up, and who was at
//! fault if not.

use std::time::Duration;

use super::backlog::{Backlog, Trend};
use super::evidence::{Broken, Culprits, Evidence, Kept, Standing, Tally};
use super::verdict::Slo;
use crate::fault::{Fault, Stall, Standstill};
use crate::report::find::{Culprit, Failure, KEEPS_UP, Probe, ProbeFinding, ProbedRate};
use crate::report::{RunReport, Summary, words};

/// What a probe is called in which no operation was ok.
const NONE_OK: &str = "no operation was ok";

/// How a probe was run.
#[derive(Clone, Copy, Debug)]
pub struct Probed {
    /// Operations per second.
    pub rate: f64,
    /// How long they were due.
    pub lasting: Duration,
    /// Instances in all threads.
    pub instances: u64,
}

impl Evidence {
    /// The evidence of `run`, whose operations were due for the time `lasting`; it does not say yet who is at fault.
    pub fn of(run: &RunReport, lasting: Duration, slos: &[Slo]) -> Self {
        let is_all_failed = run.operations.completed > 0 && run.operations.ok == 0;
        // Whatever is promised, no rate is kept at which nothing succeeds.
        let succeeds = Tally::Whole { kept: u32::from(!is_all_failed), broken: u32::from(is_all_failed), unknown: 0 };
        Self {
            lasting,
            backlog: Backlog::of(run, lasting),
            promises: slos.iter().map(|slo| slo.tally(run)).chain([succeeds]).collect(),
            is_all_failed,
            culprits: Culprits::default(),
        }
    }

    /// What of `run` broke a promise, of all that did what a limit on this side explains least; `None` if none is
    /// broken.
    pub fn broken(&self, run: &RunReport, slos: &[Slo]) -> Option<Broken> {
        let judged = slos.iter().zip(&self.promises).filter(|(_, tally)| tally.kept() == Kept::No);
        let of_promises = judged.map(|(slo, _)| slo.broken_by(run));
        let piled_up = (self.backlog.trend() == Trend::Growing).then_some(Broken::Backlog);
        let none_ok = self.is_all_failed.then_some(Broken::Outcomes);
        of_promises.chain(piled_up).chain(none_ok).max()
    }
}

impl Probe {
    /// The probe that was run as `probed` says, and shows `evidence`.
    pub fn new(probed: Probed, run: &RunReport, slos: &[Slo], evidence: &Evidence) -> Self {
        let judged = || slos.iter().zip(&evidence.promises).map(|(slo, tally)| (slo, tally.kept()));
        let of = |wanted: Kept| judged().filter(move |(_, kept)| *kept == wanted).map(|(slo, _)| slo.to_string());
        let mut broken: Vec<String> = of(Kept::No).collect();
        if evidence.is_all_failed && broken.is_empty() {
            broken.push(NONE_OK.into());
        }
        if evidence.backlog.trend() == Trend::Growing {
            broken.push(KEEPS_UP.into());
        }
        let mut undecided: Vec<String> = of(Kept::Unknown).collect();
        if evidence.backlog.trend() == Trend::Accumulating {
            undecided.push(KEEPS_UP.into());
        }
        let operations = &run.operations;
        Self {
            rate: probed.rate,
            offered: operations.offered,
            throughput: completed(run, probed.rate, probed.lasting),
            failed: operations.not_ok() as f64 / operations.offered.max(1) as f64,
            latency_ns: Summary { hdr: None, ..run.latency_ns.clone() },
            broken,
            undecided,
            lasting_ns: u64::try_from(probed.lasting.as_nanos()).ok(),
            instances: Some(probed.instances),
            limited_by: culprit(evidence.standing()),
            failure: Failure::of(run),
            generator: run.generator.clone(),
        }
    }
}

impl ProbedRate {
    /// What `probes` probes of `rate` come to.
    pub fn new(rate: f64, probes: usize, standing: Standing) -> Self {
        let finding = match standing {
            Standing::Kept => ProbeFinding::Kept,
            Standing::Broken(_) => ProbeFinding::Broken,
            Standing::Undecided => ProbeFinding::Undecided,
        };
        Self { rate, probes: probes as u64, finding, limited_by: culprit(standing) }
    }
}

/// Operations that ended per second while others were due. Those that ended later are those that had piled up.
fn completed(run: &RunReport, rate: f64, lasting: Duration) -> Option<f64> {
    let interval_ns = run.timeline.interval_ns;
    let within = run.timeline.buckets.iter().filter(|of| Duration::from_nanos(of.start_ns + interval_ns) <= lasting);
    let (completed, intervals) = within.fold((0, 0), |(sum, count), of| (sum + of.completed, count + 1));
    // Few intervals may have one operation more than their share of the rate.
    (intervals > 0).then(|| (completed as f64 * 1e9 / (intervals * interval_ns) as f64).min(rate))
}

/// Why a probe says nothing about the target; empty if it does. A stall on this side can break a promise, but not keep
/// one.
pub fn why_void(run: &RunReport, evidence: &Evidence) -> Vec<String> {
    let is_incomplete = run.operations.lost > 0 || run.faults.iter().any(Fault::is_incomplete);
    if is_incomplete {
        // Part of the load was missing.
        return run.faults.iter().map(|fault| fault.message.clone()).collect();
    }
    let delays = |stall: &Stall| matches!(stall.what, Standstill::Machine | Standstill::Worker | Standstill::Numbers);
    let is_broken = matches!(evidence.standing(), Standing::Broken(_));
    if is_broken && run.generator.stalls.iter().any(delays) {
        words::stalls(run).iter().map(|word| word.text(str::to_owned)).collect()
    } else {
        Vec::new()
    }
}

fn culprit(standing: Standing) -> Option<Culprit> {
    match standing {
        Standing::Broken(culprit) => Some(culprit),
        Standing::Kept | Standing::Undecided => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Report;
    use crate::report::tests::{environment, open_record};

    #[test]
    fn a_probe_that_breaks_a_promise_and_stalled_is_void() {
        let mut run = Report::new(environment(), &[open_record()]).runs.remove(0);
        run.operations.lost = 0;
        run.faults.clear();
        let lasting = Duration::from_millis(400);
        let stall = |what| Stall { what, process: None, at_ns: 1, length_ns: 500_000_000 };
        let mut why = |slo: &str, stalls: Vec<Stall>| {
            run.generator.stalls = stalls;
            let evidence = Evidence::of(&run, lasting, &[slo.parse().unwrap()]);
            why_void(&run, &evidence.blaming(Culprit::Target))
        };
        assert!(why("p90<1us", vec![stall(Standstill::Machine)]).iter().any(|why| why.contains("suspended")));
        assert!(why("p90<1us", vec![stall(Standstill::Numbers)]).iter().any(|why| why.contains("numbers")));
        for harmless in [vec![], vec![stall(Standstill::WallClock)], vec![stall(Standstill::Controller)]] {
            assert_eq!(why("p90<1us", harmless), Vec::<String>::new());
        }
        assert_eq!(why("p50<1h", vec![stall(Standstill::Machine)]), Vec::<String>::new());
        run.operations.lost = 1;
        run.faults = Report::new(environment(), &[open_record()]).runs.remove(0).faults;
        let evidence = Evidence::of(&run, lasting, &["p50<1h".parse().unwrap()]);
        assert_eq!(why_void(&run, &evidence), ["worker process 4712 died"]);
    }
}
