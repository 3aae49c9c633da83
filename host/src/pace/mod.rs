//! The load model as a pure function: when is the next operation due, or is the run done?
//!
//! Knows no clock: times come in, due times come out, in nanoseconds from the start of the run. Who waits until then,
//! and who draws the number, is the measured loop's business.

use std::time::Duration;

use crate::plan::{Arrivals, Closed, Open, Pause, RunPlan, Stage};

/// What an instance does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Start an operation at this time; a time gone by means at once.
    Due(u64),
    /// Start no more.
    Done,
}

/// The pace of one instance of a closed run.
#[derive(Clone, Debug)]
pub struct Pacer {
    /// The earliest start of the next operation.
    earliest_ns: u64,
    end_ns: u64,
    pause: Pause,
    chance: fastrand::Rng,
}

impl Pacer {
    /// The pace of instance `place`, counted over all processes of the run.
    pub fn new(plan: &RunPlan, closed: &Closed, place: u64) -> Self {
        let instances = u64::from(plan.shape.processes) * plan.instances_per_process();
        // A generator of its own for each instance: what one draws must not depend on when another does.
        let mut chance = fastrand::Rng::with_seed(plan.seed.wrapping_add(place));
        let jitter_ns = chance.u64(0..=nanos(plan.start_jitter));
        // The one in the place of one that died has its predecessor's place, so that none lies beyond the last.
        let ramp_ns = (u128::from(nanos(closed.ramp)) * u128::from(place) / u128::from(instances)) as u64;
        let end_ns = plan.extent.duration().map_or(u64::MAX, nanos);
        Self { earliest_ns: ramp_ns + jitter_ns, end_ns, pause: closed.pause, chance }
    }

    /// When the next operation is due, `elapsed_ns` after the start of the run.
    #[inline]
    pub fn next(&self, elapsed_ns: u64) -> Next {
        let due_ns = elapsed_ns.max(self.earliest_ns);
        if due_ns < self.end_ns { Next::Due(due_ns) } else { Next::Done }
    }

    /// An operation ended at `end_ns`.
    #[inline]
    pub fn ended(&mut self, end_ns: u64) {
        if !self.pause.most.is_zero() {
            self.earliest_ns = end_ns + self.chance.u64(nanos(self.pause.least)..=nanos(self.pause.most));
        }
    }
}

/// A place in the schedule of an open run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The how-manieth of its process.
    pub index: u64,
    /// When it is due.
    pub due_ns: u64,
}

/// The slots of one process of an open run, in the order in which they are due.
///
/// Slot i of the run goes to process i modulo their number. Slot i is due when the integral of the rate reaches i, for
/// [constant](Arrivals::Constant) arrivals; or i independent steps of mean 1 that are exponentially distributed, for
/// [Poisson](Arrivals::Poisson) ones. Every process walks all slots of the run from the same seed and keeps its own, so
/// that they share one schedule without a word between them.
#[derive(Clone, Debug)]
pub struct Slots {
    /// The next slot of the run.
    next: u64,
    /// Where the integral of the rate has to be for it.
    reach: f64,
    integral: Integral,
    steps: Option<fastrand::Rng>,
    slots: u64,
    end_ns: u64,
    process: u64,
    processes: u64,
}

impl Slots {
    /// The slots of process `process`, counted from 0.
    pub fn new(plan: &RunPlan, open: &Open, process: u32) -> Self {
        let mut slots = Self {
            next: 0,
            reach: 0.0,
            integral: Integral::new(open),
            steps: match open.arrivals {
                Arrivals::Constant => None,
                Arrivals::Poisson => Some(fastrand::Rng::with_seed(plan.seed)),
            },
            slots: plan.extent.operations().unwrap_or(u64::MAX),
            end_ns: plan.extent.duration().map_or(u64::MAX, nanos),
            process: u64::from(process),
            processes: u64::from(plan.shape.processes),
        };
        slots.reach = slots.step(0.0);
        slots
    }

    /// Where the next slot lies that is due after `reach`; `even` is where it lies in an even schedule.
    fn step(&mut self, even: f64) -> f64 {
        match &mut self.steps {
            None => even,
            // The logarithm of a number in (0, 1].
            Some(chance) => self.reach - (1.0 - chance.f64()).ln(),
        }
    }
}

impl Iterator for Slots {
    type Item = Slot;

    fn next(&mut self) -> Option<Slot> {
        while self.next < self.slots {
            let due_ns = self.integral.time_of(self.reach)?;
            if due_ns >= self.end_ns {
                return None;
            }
            let at = self.next;
            self.next += 1;
            self.reach = self.step(self.next as f64);
            if at % self.processes == self.process {
                return Some(Slot { index: at / self.processes, due_ns });
            }
        }
        None
    }
}

/// The integral of a rate that changes evenly from stage to stage: how many operations are due until when.
#[derive(Clone, Debug)]
struct Integral {
    /// The stages to come; after them the rate stays.
    stages: std::vec::IntoIter<Stage>,
    /// The stage that is now: when it began, in seconds, what the integral was then, and the rate.
    begin: f64,
    count: f64,
    rate: f64,
    /// How long it is, and how the rate changes, per second of it.
    length: f64,
    slope: f64,
}

impl Integral {
    fn new(open: &Open) -> Self {
        let stages = open.stages.clone().into_iter();
        let mut integral = Self { stages, begin: 0.0, count: 0.0, rate: open.from.get(), length: 0.0, slope: 0.0 };
        integral.enter();
        integral
    }

    /// Enters the next stage, where `begin`, `count` and `rate` are already what they are at its beginning.
    fn enter(&mut self) {
        (self.length, self.slope) = match self.stages.next() {
            None => (f64::INFINITY, 0.0),
            Some(stage) if stage.duration.is_zero() => {
                self.rate = stage.to.get();
                (0.0, 0.0)
            }
            Some(stage) => {
                let length = stage.duration.as_secs_f64();
                (length, (stage.to.get() - self.rate) / length)
            }
        };
    }

    /// When the integral reaches `count`, in nanoseconds; never, where it does not. Counts must not fall from one call
    /// to the next.
    fn time_of(&mut self, count: f64) -> Option<u64> {
        loop {
            let whole = self.rate * self.length + self.slope * self.length * self.length / 2.0;
            let missing = count - self.count;
            if self.length.is_infinite() && self.rate <= 0.0 && missing > 0.0 {
                return None;
            }
            if missing <= whole || self.length.is_infinite() {
                // From `missing = rate t + slope t²/2`, in the form that does not cancel.
                let root = (self.rate * self.rate + 2.0 * self.slope * missing).max(0.0).sqrt();
                let time = if missing <= 0.0 { 0.0 } else { 2.0 * missing / (self.rate + root) };
                return Some(((self.begin + time.min(self.length)) * 1e9).round() as u64);
            }
            self.begin += self.length;
            self.count += whole;
            self.rate += self.slope * self.length;
            self.enter();
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(crate) mod tests;
