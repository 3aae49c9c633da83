//! How far a run has come, in figures that follow it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Standing;
use crate::metrics::Histogram;
use crate::pace::Slots;
use crate::plan::RunPlan;
use crate::report::units::{count, counted, duration, or_dash, rate};

/// The period that the current rate and percentiles cover: long enough for steady figures, short enough to follow
/// changes.
const NOW: Duration = Duration::from_secs(2);

/// The figures of one run.
pub(super) struct Gauge {
    plan: Box<RunPlan>,
    /// The schedule of an open run.
    slots: Option<Slots>,
    /// How many slots were due, and when since the run began; the last of them and those shortly before.
    due: VecDeque<(Duration, u64)>,
    recent: VecDeque<(Instant, Histogram)>,
    failed: u64,
    stopping: bool,
}

/// A figure.
pub(super) struct Figure {
    pub(super) text: String,
    /// If there is no room for all figures, those with the least weight are left out.
    pub(super) weight: u8,
    pub(super) is_bad: bool,
}

impl Gauge {
    pub(super) fn new(plan: Box<RunPlan>) -> Self {
        Self {
            slots: plan.load_model().open().map(|open| Slots::of_run(&plan, open)),
            plan,
            due: VecDeque::new(),
            recent: VecDeque::new(),
            failed: 0,
            stopping: false,
        }
    }

    /// Counts operations that have ended.
    pub(super) fn count(&mut self, latency: Histogram, failed: u64) {
        self.failed += failed;
        self.recent.push_back((Instant::now(), latency));
    }

    /// Notes that the run was asked to stop.
    pub(super) fn stop(&mut self) {
        self.stopping = true;
    }

    /// Forgets what is too old for the figures.
    pub(super) fn move_to(&mut self, moment: &Standing) {
        while self.recent.front().is_some_and(|(when, _)| when.elapsed() > NOW) {
            self.recent.pop_front();
        }
        if let Some(slots) = &mut self.slots {
            let due = slots.due_by(u64::try_from(moment.known.as_nanos()).unwrap_or(u64::MAX));
            slots.skip_to(due);
            self.due.push_back((moment.known, due.0));
            while self.due.get(1).is_some_and(|(at, _)| *at + NOW <= moment.known) {
                self.due.pop_front();
            }
        }
    }

    /// How much of the run is done, from 0 to 1: by operations or by time, whichever is further.
    pub(super) fn share(&self, moment: &Standing) -> f64 {
        let extent = self.plan.extent();
        let of_operations = extent.operations().map_or(0.0, |n| moment.completed as f64 / n as f64);
        let of_time = extent.duration().map_or(0.0, |all| moment.elapsed.as_secs_f64() / all.as_secs_f64());
        of_operations.max(of_time).min(1.0)
    }

    /// The figures, in the order in which they are shown.
    pub(super) fn figures(&self, moment: &Standing) -> Vec<Figure> {
        let mut latency = Histogram::default();
        self.recent.iter().for_each(|(_, recent)| latency += recent);
        let per_second = latency.count() as f64 / NOW.min(moment.known).as_secs_f64().max(0.001);
        let quantile = |q| {
            let figure = (latency.count() > 0).then(|| latency.to_hdr().value_at_quantile(q));
            or_dash(figure, duration)
        };
        let seconds = |time: Duration| format!("{:.0}", time.as_secs_f64());
        let time = match self.plan.extent().duration() {
            Some(all) => format!("{}/{} s", seconds(moment.elapsed), seconds(all)),
            None => format!("{} s", seconds(moment.elapsed)),
        };
        // A run that is limited by a number of operations takes as long as the rest takes at the current rate.
        let left = self.plan.extent().operations().filter(|_| per_second > 0.0).map(|all| {
            let left = Duration::from_secs_f64((all.saturating_sub(moment.completed) as f64 / per_second).min(1e9));
            let most = self.plan.extent().duration().map(|all| all.saturating_sub(moment.elapsed));
            format!("{} s left", seconds(most.map_or(left, |most| most.min(left))))
        });
        let rate_now = match self.offered_now() {
            Some(offered) => format!("{} of {}/s", rate(per_second), rate(offered)),
            None => format!("{}/s", rate(per_second)),
        };
        let in_flight = self.due.back().map(|(_, due)| due.saturating_sub(moment.completed + moment.dropped));
        let figures = [
            (self.stopping.then(|| "stopping".to_owned()), 9),
            (Some(time), 9),
            (left, 4),
            (Some(format!("{} ops", count(moment.completed))), 5),
            (Some(rate_now), 9),
            (in_flight.map(|number| format!("{} in flight", count(number))), 3),
            (Some(format!("p50 {}", quantile(0.5))), 6),
            (Some(format!("p99 {}", quantile(0.99))), 8),
            (Some(format!("{} failed", count(self.failed))), 9),
            (Some(self.plan.shape().to_string()), 2),
            (Some(counted(moment.workers as u64, "worker")), 1),
        ];
        let is_bad = |text: &str| self.failed > 0 && text.ends_with(" failed");
        let figures = figures.into_iter().filter_map(|(text, weight)| Some((text?, weight)));
        figures.map(|(text, weight)| Figure { is_bad: is_bad(&text), text, weight }).collect()
    }

    /// The rate at which operations have been due lately; `None` in a closed run.
    fn offered_now(&self) -> Option<f64> {
        let ((from, before), (to, now)) = self.due.front().zip(self.due.back())?;
        let time = to.saturating_sub(*from).as_secs_f64();
        (time > 0.0).then(|| (now - before) as f64 / time)
    }
}
