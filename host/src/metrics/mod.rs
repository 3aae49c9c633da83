//! What a run counts: operations by result, with their durations and spans, in total and over time.
//!
//! Pure: no clock, no I/O, no thread. A thread, a worker, the wire and a whole run all use the same type, [`Metrics`].
//! Parts merge with `+=` in any order, and the sum is what one observer of all operations would have counted. There is
//! one exception, which the report mentions: beyond [`MAX_RESULTS`] distinct results, the order decides which of them
//! are folded into [`OTHER`].

mod health;
mod histogram;
mod measure;
mod network;
mod recorder;
mod scheduled;
mod spans;
mod timeline;

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::ops::AddAssign;

use hashbrown::{DefaultHashBuilder, HashTable};
use serde::{Deserialize, Serialize};

use crate::guest_text::GuestText;

pub use health::{Health, HealthLog, ThreadWork, Withheld};
pub use histogram::{HIGHEST_NS, Histogram, SIGNIFICANT_DIGITS};
pub use measure::{Measure, Measured};
pub use network::{NetworkCounts, Resource};
pub use recorder::Recorder;
pub use scheduled::{Delayed, Scheduled};
pub use spans::{Span, SpanIndex, Spans};
pub use timeline::{BASE_INTERVAL_NS, Bucket, MAX_BUCKETS, Timeline};

/// How many distinct results are counted separately. A task that returns a new string each time must not exhaust the
/// memory.
pub const MAX_RESULTS: usize = 1_000;

/// How many distinct reasons are kept for one result.
pub const MAX_REASONS: usize = 20;

/// How many span names are kept over all results. Each has a histogram in the report.
pub const MAX_SPANS: usize = 5_000;

/// Whatever is beyond a limit is counted under this name.
pub const OTHER: &str = "(other)";

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The task returned, and neither the task nor `--expect` called it a failure.
    Ok,
    /// The task reported a failure, or its result did not match `--expect`.
    Failed,
    /// The task trapped.
    Trapped,
    /// The task was still running at its deadline.
    TimedOut,
}

/// Where the time of operations went, in nanoseconds. The rest of their duration is the host's overhead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TimeSplit {
    /// Running: the guest's code, and what the host does for it without waiting.
    pub running_ns: u64,
    /// Waiting: for a response, a timer, a file. The most that it can be.
    pub waiting_ns: u64,
    /// Ready to go on, but the thread was busy with other operations: the generator's queue. The least that it can be.
    pub queued_ns: u64,
    /// The part of `waiting_ns` that may have been queueing: a busy thread notices late that something is ready.
    #[serde(default)]
    pub uncertain_ns: u64,
}

impl AddAssign<TimeSplit> for TimeSplit {
    fn add_assign(&mut self, other: TimeSplit) {
        self.running_ns += other.running_ns;
        self.waiting_ns += other.waiting_ns;
        self.queued_ns += other.queued_ns;
        self.uncertain_ns += other.uncertain_ns;
    }
}

/// One finished operation. Times are in nanoseconds since the start of the run.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// The operation's number.
    pub number: u64,
    /// When the operation was due; `None` in a closed run, where it is due when it starts.
    pub due_ns: Option<u64>,
    /// When the guest call began.
    pub start_ns: u64,
    /// When it ended.
    pub end_ns: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// The string it returned, or the trap's name.
    pub result: &'a str,
    /// Why it failed, if a reason was given.
    pub reason: Option<&'a str>,
    /// The spans that it recorded.
    pub spans: &'a Spans,
    /// Where its time went; `None` in the compute lane, where it was always running.
    pub split: Option<&'a TimeSplit>,
}

/// An operation that was cut when its run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Cut {
    /// Its number.
    pub number: u64,
    /// How long it had been running.
    pub age_ns: u64,
    /// When it began, from the run's beginning; null in older reports.
    #[serde(default)]
    pub started_ns: Option<u64>,
}

/// The operations that ended with one result and one outcome.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResultMetrics {
    /// The result.
    pub result: GuestText,
    /// The outcome they share.
    pub outcome: Outcome,
    /// The smallest of their numbers.
    pub first_number: u64,
    /// The reasons why they failed, and how often each was given.
    pub reasons: BTreeMap<GuestText, u64>,
    /// Their measurements.
    pub measured: Measured,
    /// Their spans.
    pub spans: Spans,
    /// Where their time went; zero in the compute lane.
    pub split: TimeSplit,
}

/// From the first start to the last end of operations, in nanoseconds since the start of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// When the first operation began.
    pub first_start_ns: u64,
    /// When the last one ended.
    pub last_end_ns: u64,
}

impl Window {
    /// Its length in nanoseconds.
    pub fn length_ns(self) -> u64 {
        self.last_end_ns - self.first_start_ns
    }
}

/// Everything that is counted about a set of operations.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Metrics {
    results: Vec<ResultMetrics>,
    timeline: Timeline,
    window: Option<Window>,
    /// Operations counted under [`OTHER`].
    folded: u64,
    /// The span names of all results.
    kept_spans: usize,
    /// What they did on the network.
    pub network: NetworkCounts,
    /// How well they kept to their schedule; empty in a closed run.
    pub scheduled: Scheduled,
    #[serde(skip)]
    index: Index,
}

impl Metrics {
    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.results.is_empty() && self.scheduled.is_empty()
    }

    /// One entry per result and outcome, in the order in which they were first seen. The buckets of the timeline refer
    /// to an entry by its index.
    pub fn results(&self) -> &[ResultMetrics] {
        &self.results
    }

    /// The same operations over time.
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// From the first start to the last end; `None` if there are no operations.
    pub fn window(&self) -> Option<Window> {
        self.window
    }

    /// How many operations were counted.
    pub fn completed(&self) -> u64 {
        self.results.iter().map(|of_result| of_result.measured.operations()).sum()
    }

    /// How many of them are counted under [`OTHER`] because there were too many distinct results.
    pub fn folded(&self) -> u64 {
        self.folded
    }

    /// Counts slots that were due at `due_ns` and never started.
    pub fn drop_slots(&mut self, due_ns: u64, slots: u64) {
        self.scheduled.dropped += slots;
        self.timeline.drop_slots(due_ns, slots);
    }

    /// One measure over all operations.
    pub fn measured(&self, measure: Measure) -> Histogram {
        let mut all = Histogram::default();
        self.results.iter().for_each(|of_result| all += &of_result.measured[measure]);
        all
    }

    fn widen(&mut self, window: Window) {
        self.window = Some(match self.window {
            None => window,
            Some(before) => Window {
                first_start_ns: before.first_start_ns.min(window.first_start_ns),
                last_end_ns: before.last_end_ns.max(window.last_end_ns),
            },
        });
    }

    /// The index of `result` in the list of results; adds the result if it is new. `operations` is how many are about
    /// to be counted under it.
    #[inline]
    fn intern(&mut self, outcome: Outcome, result: &str, operations: u64) -> usize {
        match self.index.find(&self.results, outcome, result) {
            Some(id) => id,
            None => self.insert(outcome, result, operations),
        }
    }

    #[cold]
    fn insert(&mut self, outcome: Outcome, result: &str, operations: u64) -> usize {
        let distinct = self.results.iter().filter(|of_result| of_result.result != OTHER).count();
        let name = if distinct < MAX_RESULTS { result } else { OTHER };
        if name != result {
            self.folded += operations;
        }
        if let Some(id) = self.index.find(&self.results, outcome, name) {
            return id;
        }
        self.results.push(ResultMetrics {
            result: name.into(),
            outcome,
            first_number: u64::MAX,
            reasons: BTreeMap::new(),
            measured: Measured::default(),
            spans: Spans::default(),
            split: TimeSplit::default(),
        });
        let id = self.results.len() - 1;
        self.index.insert(&self.results, id);
        id
    }
}

impl AddAssign<&Metrics> for Metrics {
    fn add_assign(&mut self, other: &Metrics) {
        self.add(other);
    }
}

impl Metrics {
    /// Adds `other`. Returns the index that each of its results has here, for [`Timeline::merge`].
    pub fn add(&mut self, other: &Metrics) -> Vec<usize> {
        self.folded += other.folded;
        self.network += &other.network;
        self.scheduled += &other.scheduled;
        let ids: Vec<usize> = other
            .results
            .iter()
            .map(|theirs| {
                let id = self.intern(theirs.outcome, theirs.result.raw(), theirs.measured.operations());
                let ours = &mut self.results[id];
                ours.first_number = ours.first_number.min(theirs.first_number);
                ours.measured += &theirs.measured;
                self.kept_spans += ours.spans.add(&theirs.spans, MAX_SPANS.saturating_sub(self.kept_spans));
                ours.split += theirs.split;
                for (reason, &times) in &theirs.reasons {
                    count_reason(&mut ours.reasons, reason.raw(), times);
                }
                id
            })
            .collect();
        self.timeline.merge(&other.timeline, &ids);
        if let Some(window) = other.window {
            self.widen(window);
        }
        ids
    }
}

/// Finds the index of a result by its outcome and text, without a second copy of the text.
#[derive(Clone, Debug, Default)]
struct Index {
    places: HashTable<usize>,
    hasher: DefaultHashBuilder,
    /// The index found last. Most tasks return the same string again and again, and comparing is faster than hashing.
    last: usize,
}

impl Index {
    #[inline]
    fn find(&mut self, results: &[ResultMetrics], outcome: Outcome, result: &str) -> Option<usize> {
        // Never compare two empty strings. The address of an empty string is dangling, and the masked load with which
        // memcmp reads zero bytes from it costs 80 ns of processor time.
        let same = |known: &str| known.len() == result.len() && (result.is_empty() || known == result);
        let is_it = |&id: &usize| results[id].outcome == outcome && same(results[id].result.raw());
        if self.last < results.len() && is_it(&self.last) {
            return Some(self.last);
        }
        // Metrics from the wire have no index yet.
        while self.places.len() < results.len() {
            self.insert(results, self.places.len());
        }
        let found = self.places.find(self.hasher.hash_one((outcome, result)), is_it).copied()?;
        self.last = found;
        Some(found)
    }

    fn insert(&mut self, results: &[ResultMetrics], id: usize) {
        let hash = |&id: &usize| self.hasher.hash_one((results[id].outcome, results[id].result.raw()));
        self.places.insert_unique(hash(&id), id, hash);
    }
}

fn count_reason(reasons: &mut BTreeMap<GuestText, u64>, reason: &str, times: u64) {
    let known = reasons.contains_key(reason) || reasons.len() < MAX_REASONS;
    *reasons.entry(if known { reason } else { OTHER }.into()).or_default() += times;
}

#[cfg(test)]
mod tests;
