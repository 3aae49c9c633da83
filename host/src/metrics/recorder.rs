//! Counts one operation after the other: the hot path of [`Metrics`].

use super::{BASE_INTERVAL_NS, MAX_SPANS, Measure, Measured, Metrics, Sample, Window, count_reason};
use crate::guest_text::cut;

/// Counts operations, and returns the counts as [`Metrics`].
///
/// A duration belongs to a result and to an interval of time. It is recorded once, for its result in the current
/// interval. When operations begin to end in another interval, the counts of the previous one are added to the sums of
/// the results and of the intervals.
#[derive(Debug)]
pub struct Recorder {
    metrics: Metrics,
    /// The operations that ended in the current interval, by result.
    now: Vec<Ended>,
    now_begins_ns: u64,
    /// Zero if there is no current interval.
    now_length_ns: u64,
    /// Operations that began in the current interval.
    started: u64,
    /// The longest time from due to start, of operations that ended in the current interval.
    worst_lag_ns: u64,
    /// The window of operations that are not yet added to the metrics; empty if its start is after its end.
    window: Window,
}

/// Operations of one result.
#[derive(Debug)]
struct Ended {
    first_number: u64,
    measured: Measured,
}

impl Default for Ended {
    fn default() -> Self {
        Self { first_number: u64::MAX, measured: Measured::default() }
    }
}

const NO_WINDOW: Window = Window { first_start_ns: u64::MAX, last_end_ns: 0 };

impl Default for Recorder {
    fn default() -> Self {
        let (metrics, now) = Default::default();
        Self { metrics, now, now_begins_ns: 0, now_length_ns: 0, started: 0, worst_lag_ns: 0, window: NO_WINDOW }
    }
}

impl Recorder {
    /// Counts one operation.
    #[inline]
    pub fn record(&mut self, sample: &Sample<'_>) {
        let &Sample { number, start_ns, end_ns, .. } = sample;
        if end_ns.wrapping_sub(self.now_begins_ns) >= self.now_length_ns {
            self.turn_to(end_ns);
        }
        let id = self.metrics.intern(sample.outcome, cut(sample.result), 1);
        if self.now.len() <= id {
            self.now.resize_with(id + 1, Ended::default);
        }
        let ended = &mut self.now[id];
        ended.first_number = ended.first_number.min(number);
        match sample.due_ns {
            None => ended.measured.record(Measure::Latency, end_ns - start_ns),
            Some(due_ns) => {
                let lag_ns = start_ns - due_ns;
                ended.measured.record(Measure::Latency, end_ns - due_ns);
                ended.measured.record(Measure::Service, end_ns - start_ns);
                ended.measured.record(Measure::Lag, lag_ns);
                self.worst_lag_ns = self.worst_lag_ns.max(lag_ns);
            }
        }
        if start_ns >= self.now_begins_ns {
            self.started += 1;
        } else {
            self.metrics.timeline.start(start_ns, 1);
        }
        if sample.reason.is_some() || sample.split.is_some() || !sample.spans.is_empty() {
            self.tell_more(id, sample);
        }
        self.window.first_start_ns = self.window.first_start_ns.min(start_ns);
        self.window.last_end_ns = self.window.last_end_ns.max(end_ns);
    }

    /// Counts what most operations of a computing task do not have.
    fn tell_more(&mut self, id: usize, sample: &Sample<'_>) {
        let of_result = &mut self.metrics.results[id];
        if let Some(reason) = sample.reason {
            count_reason(&mut of_result.reasons, cut(reason), 1);
        }
        if !sample.spans.is_empty() {
            let room = MAX_SPANS.saturating_sub(self.metrics.kept_spans);
            self.metrics.kept_spans += of_result.spans.add(sample.spans, room);
        }
        if let Some(split) = sample.split {
            of_result.split += *split;
        }
    }

    /// What was counted since the last call.
    pub fn take(&mut self) -> Metrics {
        self.add_up();
        self.now.clear();
        self.now_length_ns = 0;
        std::mem::take(&mut self.metrics)
    }

    #[cold]
    fn turn_to(&mut self, end_ns: u64) {
        self.add_up();
        self.now_begins_ns = end_ns - end_ns % BASE_INTERVAL_NS;
        self.now_length_ns = BASE_INTERVAL_NS;
    }

    fn add_up(&mut self) {
        for (id, ended) in self.now.iter_mut().enumerate().filter(|(_, ended)| ended.measured.operations() > 0) {
            let Ended { first_number, measured } = std::mem::take(ended);
            self.metrics.timeline.end(self.now_begins_ns, id, &measured[Measure::Latency]);
            let of_result = &mut self.metrics.results[id];
            of_result.first_number = of_result.first_number.min(first_number);
            of_result.measured += measured;
        }
        let window = std::mem::replace(&mut self.window, NO_WINDOW);
        if window.first_start_ns <= window.last_end_ns {
            self.metrics.widen(window);
        }
        if self.worst_lag_ns > 0 {
            self.metrics.timeline.lag(self.now_begins_ns, std::mem::take(&mut self.worst_lag_ns));
        }
        if self.started > 0 {
            self.metrics.timeline.start(self.now_begins_ns, std::mem::take(&mut self.started));
        }
    }
}
