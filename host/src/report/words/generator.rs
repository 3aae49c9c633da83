//! The sentences on the generator's part in a run: what delayed operations, what stood still, where their time went.

use super::{MOST_LISTED, Tone, Word};
use crate::fault::{Stall, Standstill};
use crate::lane::Lane;
use crate::metrics::{Delayed, Resource, TimeSplit};
use crate::report::units::{count, counted, duration, percent};
use crate::report::{Limit, RunReport};

/// A range of shares that is narrower than this is one figure for a reader.
const NARROW: f64 = 0.01;

/// What delayed operations on the generator's side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::report) enum Reason {
    /// The measured threads had no time left in this share of their time.
    Saturated { share: f64, threads: u64 },
    /// Operations spent this share of their time in the queue of their thread.
    Queued { share: f64 },
    /// The threads were ready and waited for a processor, for so long on average per operation.
    Crowded { delay_ns: u64 },
    /// The machine gave processor time to others.
    Withheld { cause: Cause, share: f64 },
    /// Operations started late though an instance was waiting for them.
    Late { delayed: Delayed, cause: Cause, is_limit: bool },
    /// Operations started late, as their boxes had no more numbers.
    Starved { delayed: Delayed, is_limit: bool },
    /// Requests waited for a stream of HTTP/2, for this share of the operations' time.
    Streams { requests: u64, share: f64, is_limit: bool },
    /// Connections could not be opened.
    Lacked { resource: Resource, connections: u64, is_limit: bool },
    /// Operations waited for an instance.
    Waited { delayed: Delayed, instances: Instances, cause: Cause },
}

/// Why something was not done in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::report) enum Cause {
    /// The thread had no time left.
    ThreadBusy,
    /// The thread had time, and did not run when it should have.
    NotWoken,
    /// The control group had used up its processor time.
    Throttled,
    /// The hypervisor ran other machines.
    Stolen,
    /// Either the target or the number of instances.
    Unknown,
}

/// The instances of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::report) struct Instances {
    /// How many each worker has.
    pub each: u64,
    /// How many workers there are.
    pub workers: u64,
    /// How their calls run, which says how there can be more of them.
    pub lane: Lane,
}

impl Reason {
    /// How the machine was the limit, if this reason means that it was.
    pub(in crate::report) fn limit(self) -> Option<Limit> {
        match self {
            Self::Saturated { .. } => Some(Limit::Saturated),
            Self::Queued { .. } => Some(Limit::Queued),
            Self::Crowded { .. } => Some(Limit::Crowded),
            Self::Withheld { cause: Cause::Throttled, .. } => Some(Limit::Throttled),
            Self::Withheld { .. } => Some(Limit::Stolen),
            Self::Late { is_limit, .. } | Self::Starved { is_limit, .. } => is_limit.then_some(Limit::Late),
            Self::Streams { is_limit, .. } => is_limit.then_some(Limit::Streams),
            Self::Lacked { is_limit, .. } => is_limit.then_some(Limit::Lacked),
            Self::Waited { .. } => None,
        }
    }

    /// The reason in words.
    pub(in crate::report) fn text(self) -> String {
        match self {
            Self::Saturated { share, threads } => {
                let who = if threads == 1 { "the thread had" } else { "the threads had" };
                format!("{who} no time left in {} of the run: use more threads or another machine", percent(share))
            }
            Self::Queued { share } => format!(
                "operations spent at least {} of their time ready, in the queue of their thread",
                percent(share)
            ),
            Self::Crowded { delay_ns } => format!(
                "operations took about {} longer, as their threads waited for a processor: other programs ran, or there \
                 are too many threads",
                duration(delay_ns)
            ),
            Self::Withheld { cause: Cause::Throttled, share } => format!(
                "the control group (container) was throttled in {} of the run: it had used up its processor time",
                percent(share)
            ),
            Self::Withheld { share, .. } => {
                format!("the hypervisor gave {} of the processors' time to other machines", percent(share))
            }
            Self::Late { delayed, cause, .. } => {
                let why = match cause {
                    Cause::ThreadBusy => "their thread was busy",
                    _ => "their thread was not woken in time",
                };
                let (operations, worst) = (counted(delayed.operations, "operation"), duration(delayed.worst_ns));
                format!("{operations} started late (at worst by {worst}) though an instance was idle: {why}")
            }
            Self::Starved { delayed, .. } => {
                let (operations, worst) = (counted(delayed.operations, "operation"), duration(delayed.worst_ns));
                format!(
                    "{operations} started late (at worst by {worst}), as their boxes had no numbers: the command, the \
                     server or a link to it stood still, or a box left"
                )
            }
            Self::Streams { requests, share, .. } => format!(
                "{} waited for a free stream of HTTP/2, {} of the operations' time: the server limits the streams of a \
                 connection, and --http2-connections opens more of them",
                counted(requests, "request"),
                percent(share)
            ),
            Self::Lacked { resource, connections, .. } => {
                let (lack, remedy) = match resource {
                    Resource::Files => (
                        "the process may open no more files",
                        "use more processes (-p), fewer operations in flight (-c), or raise the limit (ulimit -Hn)",
                    ),
                    Resource::SystemFiles => ("the system may open no more files", "raise the limit (fs.file-max)"),
                    Resource::Ports => (
                        "no port was free",
                        "keep connections open, connect from more addresses (--local-address), or widen \
                         net.ipv4.ip_local_port_range",
                    ),
                    Resource::Memory => ("the system had no memory for them", "use fewer operations in flight (-c)"),
                };
                format!("{} could not be opened, as {lack}: {remedy}", counted(connections, "connection"))
            }
            Self::Waited { delayed, instances, cause } => {
                let (operations, worst) = (counted(delayed.operations, "operation"), duration(delayed.worst_ns));
                let busy = match (instances.each, instances.workers) {
                    (1, 1) => "the only one was busy".to_owned(),
                    (1, _) => "the only one of their worker was busy".to_owned(),
                    (all, 1) => format!("all {} were busy", count(all)),
                    (all, _) => format!("all {} of their worker were busy", count(all)),
                };
                let more = if instances.lane == Lane::Io { "-c, -t or -p" } else { "-t or -p" };
                let why = match cause {
                    Cause::ThreadBusy => String::new(),
                    _ => format!(": the target is too slow for the rate, or the run needs more instances ({more})"),
                };
                format!("{operations} waited for an instance (at worst for {worst}), as {busy}{why}")
            }
        }
    }
}

/// Times in which a part of Gorgon, or the machine, did not go on, the earliest first. Parts that stood still at the
/// same time share a sentence.
pub(crate) fn stalls(run: &RunReport) -> Vec<Word> {
    let mut stalls = run.generator.stalls.clone();
    stalls.sort_by_key(|stall| stall.at_ns);
    let mut together: Vec<Vec<Stall>> = Vec::new();
    for stall in stalls {
        let end_ns = |of: &[Stall]| of.iter().map(|stall| stall.at_ns + stall.length_ns).max().unwrap_or_default();
        match together.last_mut().filter(|before| stall.at_ns <= end_ns(before)) {
            Some(before) => before.push(stall),
            None => together.push(vec![stall]),
        }
    }
    let listed = together.iter().take(MOST_LISTED).map(|together| Word::new(Tone::Bad, stall(together, run)));
    let more = together.len().saturating_sub(MOST_LISTED) as u64;
    let more = (more > 0).then(|| Word::new(Tone::Bad, format!("stalled: {} more times", count(more))));
    listed.chain(more).collect()
}

/// A sentence on parts that stood still at the same time.
fn stall(together: &[Stall], run: &RunReport) -> String {
    let of = |what: Standstill| together.iter().filter(move |stall| stall.what == what);
    let longest = |what: Standstill| of(what).max_by_key(|stall| stall.length_ns);
    let when = |stall: &Stall| format!("{}, {} after the start", duration(stall.length_ns), duration(stall.at_ns));
    let workers = of(Standstill::Worker).count();
    let all = run.plan.workers() as usize;
    let dry = longest(Standstill::Numbers).map(|stall| {
        let length = duration(stall.length_ns);
        format!("; instances waited for numbers for up to {length}, and started nothing")
    });
    let dry = dry.unwrap_or_default();
    if let Some(machine) = longest(Standstill::Machine) {
        return format!("stalled: the machine was suspended for {}", when(machine));
    }
    let (controller, worker) = (longest(Standstill::Controller), longest(Standstill::Worker));
    match (controller, worker) {
        (Some(_), Some(worker)) if workers >= all => {
            format!("stalled: all of gorgon stood still for {}; latencies include it", when(worker))
        }
        (None, Some(worker)) if workers >= all && all > 1 => {
            format!("stalled: all workers stood still for {}; latencies include it", when(worker))
        }
        (controller, Some(worker)) => {
            let too = if controller.is_some() { " and the controller" } else { "" };
            let who = match worker.process {
                Some(process) if workers == 1 => format!("worker process {process}"),
                _ => format!("{workers} of {all} workers"),
            };
            format!("stalled: {who}{too} stood still for {}; latencies include it{dry}", when(worker))
        }
        (Some(controller), None) => format!("stalled: the controller stood still for {}{dry}", when(controller)),
        (None, None) => match (longest(Standstill::Numbers), longest(Standstill::WallClock)) {
            (Some(numbers), _) => {
                format!("stalled: instances waited for numbers for {}, and started nothing", when(numbers))
            }
            (None, Some(clock)) => format!("the wall clock was set by {}: times of day jump there", when(clock)),
            (None, None) => String::new(),
        },
    }
}

/// Where the time of operations went: each part with its share in words, and its time. How much was waiting and how
/// much queueing is a range, if a busy thread noticed late that an operation was ready. The shares add up to all of it,
/// and so do narrow ranges, which are one figure.
pub(crate) fn time(split: &TimeSplit) -> [(&'static str, String, u64); 3] {
    let &TimeSplit { running_ns, waiting_ns, queued_ns, uncertain_ns } = split;
    let all = (running_ns + waiting_ns + queued_ns).max(1) as f64;
    let share = |ns: u64| percent(ns as f64 / all);
    let range = |least_ns: u64, most_ns: u64| format!("{} to {}", share(least_ns), share(most_ns));
    let is_wide = uncertain_ns as f64 / all >= NARROW;
    let (waiting, queued) = if is_wide {
        (range(waiting_ns.saturating_sub(uncertain_ns), waiting_ns), range(queued_ns, queued_ns + uncertain_ns))
    } else {
        (share(waiting_ns), share(queued_ns))
    };
    [("running", share(running_ns), running_ns), ("waiting", waiting, waiting_ns), ("queued", queued, queued_ns)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrow_range_is_one_figure_and_all_add_up() {
        let shown = |uncertain_ns| {
            time(&TimeSplit { running_ns: 250, waiting_ns: 9_600, queued_ns: 150, uncertain_ns })
                .map(|(_, share, _)| share)
        };
        assert_eq!(shown(50), ["2.50 %", "96.0 %", "1.50 %"]);
        assert_eq!(shown(600), ["2.50 %", "90.0 % to 96.0 %", "1.50 % to 7.50 %"]);
        assert_eq!(time(&TimeSplit::default())[1].1, "0 %");
    }
}
