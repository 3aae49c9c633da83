//! Operations over time, in buckets of equal length from the start of the run.

use serde::{Deserialize, Serialize};

use super::Histogram;

/// The length of a bucket, as long as there are not too many of them: a quarter of a second.
pub const BASE_INTERVAL_NS: u64 = 250_000_000;

/// If there are more buckets than this, neighbours are merged, so that a long run takes no more memory than a short
/// one.
pub const MAX_BUCKETS: usize = 300;

/// What happened within one interval.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// Operations that began in it.
    pub started: u64,
    /// Slots that were due in it and never started.
    pub dropped: u64,
    /// The longest time from due to start, of operations that ended in it, in nanoseconds; zero in a closed run.
    pub worst_lag_ns: u64,
    /// The durations of operations that ended in it.
    pub latency: Histogram,
    /// How many operations ended in it, by the index of their result in [`Metrics::results`](super::Metrics::results).
    /// Results beyond the end of this list have none.
    pub results: Vec<u64>,
}

impl Bucket {
    fn count(&mut self, id: usize, operations: u64) {
        if self.results.len() <= id {
            self.results.resize(id + 1, 0);
        }
        self.results[id] += operations;
    }

    /// Adds `other`, whose result `i` is our result `ids[i]`.
    fn merge(&mut self, other: &Bucket, ids: impl Fn(usize) -> usize) {
        self.started += other.started;
        self.dropped += other.dropped;
        self.worst_lag_ns = self.worst_lag_ns.max(other.worst_lag_ns);
        self.latency += &other.latency;
        for (id, &operations) in other.results.iter().enumerate().filter(|&(_, &operations)| operations > 0) {
            self.count(ids(id), operations);
        }
    }
}

/// Buckets without a gap, from the first interval in which anything happened to the last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeline {
    interval_ns: u64,
    first: u64,
    buckets: Vec<Bucket>,
}

impl Default for Timeline {
    fn default() -> Self {
        Self { interval_ns: BASE_INTERVAL_NS, first: 0, buckets: Vec::new() }
    }
}

impl Timeline {
    /// The length of a bucket.
    pub fn interval_ns(&self) -> u64 {
        self.interval_ns
    }

    /// The buckets, each with the time at which it begins, in nanoseconds since the start of the run.
    pub fn buckets(&self) -> impl ExactSizeIterator<Item = (u64, &Bucket)> {
        self.buckets.iter().enumerate().map(|(i, bucket)| ((self.first + i as u64) * self.interval_ns, bucket))
    }

    /// The durations of all operations.
    pub fn durations(&self) -> Histogram {
        let mut all = Histogram::default();
        self.buckets.iter().for_each(|bucket| all += &bucket.latency);
        all
    }

    /// The same timeline with empty buckets up to `end_ns`, in intervals of at least `interval_ns`: the length of those
    /// of another timeline.
    pub fn reaching(&self, end_ns: u64, interval_ns: u64) -> Self {
        let mut timeline = self.clone();
        while timeline.interval_ns < interval_ns {
            timeline.coarsen();
        }
        if let Some(last_ns) = end_ns.checked_sub(1) {
            timeline.bucket_at(last_ns);
        }
        timeline
    }

    /// Counts operations that began at `ns`.
    pub(super) fn start(&mut self, ns: u64, operations: u64) {
        self.bucket_at(ns).started += operations;
    }

    /// Counts slots that were due at `ns` and never started.
    pub(super) fn drop_slots(&mut self, ns: u64, slots: u64) {
        self.bucket_at(ns).dropped += slots;
    }

    /// Notes the time from due to start of an operation that ended at about `ns`.
    pub(super) fn lag(&mut self, ns: u64, lag_ns: u64) {
        let worst = &mut self.bucket_at(ns).worst_lag_ns;
        *worst = lag_ns.max(*worst);
    }

    /// Counts operations with the result `id` and these durations, which ended at about `ns`: within the same base
    /// interval.
    pub(super) fn end(&mut self, ns: u64, id: usize, durations: &Histogram) {
        let bucket = self.bucket_at(ns);
        bucket.count(id, durations.count());
        bucket.latency += durations;
    }

    /// Adds `other`, whose result `i` is our result `ids[i]`. The coarser of the two intervals wins.
    pub fn merge(&mut self, other: &Timeline, ids: &[usize]) {
        while self.interval_ns < other.interval_ns {
            self.coarsen();
        }
        for (start_ns, bucket) in other.buckets() {
            self.bucket_at(start_ns).merge(bucket, |id| ids[id]);
        }
    }

    fn bucket_at(&mut self, ns: u64) -> &mut Bucket {
        loop {
            let wanted = ns / self.interval_ns;
            let at = wanted.wrapping_sub(self.first);
            if at < self.buckets.len() as u64 {
                return &mut self.buckets[at as usize];
            }
            self.reach(wanted);
        }
    }

    /// Makes room for the interval `wanted`, or merges neighbours if there would be too many buckets.
    fn reach(&mut self, wanted: u64) {
        if self.buckets.is_empty() {
            self.first = wanted;
        }
        let first = self.first.min(wanted);
        let last = wanted.max(self.first + (self.buckets.len() as u64).saturating_sub(1));
        // Count from the start of the run, because a report's timeline begins there.
        if last >= MAX_BUCKETS as u64 {
            return self.coarsen();
        }
        let missing = (self.first - first) as usize;
        self.buckets.splice(0..0, std::iter::repeat_with(Bucket::default).take(missing));
        self.first = first;
        self.buckets.resize_with((last - first + 1) as usize, Bucket::default);
    }

    /// Doubles the interval: each pair of neighbours becomes one bucket, and no count is lost.
    fn coarsen(&mut self) {
        let first = self.first / 2;
        let mut merged: Vec<Bucket> = Vec::with_capacity(self.buckets.len() / 2 + 1);
        for (i, bucket) in self.buckets.drain(..).enumerate() {
            let at = ((self.first + i as u64) / 2 - first) as usize;
            match merged.get_mut(at) {
                Some(before) => before.merge(&bucket, |id| id),
                None => merged.push(bucket),
            }
        }
        *self = Self { interval_ns: self.interval_ns * 2, first, buckets: merged };
    }
}
