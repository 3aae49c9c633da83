//! The load model as a pure function: when is the next operation due, or is the run done?
//!
//! Knows no clock: times come in, due times come out, in nanoseconds from the start of the run. Who waits until then,
//! and who draws the number, is the measured loop's business.

use std::sync::Arc;
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
        let instances = u64::from(plan.shape().processes) * plan.instances_per_process();
        // A generator of its own for each instance: what one draws must not depend on when another does.
        let mut chance = fastrand::Rng::with_seed(plan.seed().wrapping_add(place));
        let jitter_ns = chance.u64(0..=nanos(plan.start_jitter()));
        // The one in the place of one that died has its predecessor's place, so that none lies beyond the last.
        let ramp_ns = (u128::from(nanos(closed.ramp)) * u128::from(place) / u128::from(instances)) as u64;
        let end_ns = plan.extent().duration().map_or(u64::MAX, nanos);
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
    /// Its place among the slots of its process, counted from 0.
    pub index: u64,
    /// When it is due.
    pub due_ns: u64,
}

/// The slots of one process of an open run, in the order in which they are due.
///
/// Slot i of the run goes to process i modulo their number. Slot i is due when the integral of the rate reaches i, for
/// [constant](Arrivals::Constant) arrivals; or i independent steps of mean 1 that are exponentially distributed, for
/// [Poisson](Arrivals::Poisson) ones. Every process derives the schedule of the run from the same seed and keeps its
/// own slots, so that they share one schedule without a word between them.
///
/// A position in the schedule that only moves forward. To move it over many slots, or to count them, takes no look at
/// each: see [`Slots::due_by`].
#[derive(Clone, Debug)]
pub struct Slots {
    /// The index of the next slot.
    next: u64,
    head: Option<Slot>,
    arrivals: Reaches,
    integral: Integral,
    /// How many slots the process has at most.
    count: u64,
    end_ns: u64,
    process: u64,
    processes: u64,
}

/// Where the integral of the rate has to be for a slot.
#[derive(Clone, Debug)]
enum Reaches {
    Constant,
    Poisson(Steps),
}

impl Slots {
    /// The slots of process `process`, counted from 0.
    pub fn new(plan: &RunPlan, open: &Open, process: u32) -> Self {
        let (process, processes) = (u64::from(process), u64::from(plan.shape().processes));
        let slots = plan.extent().operations().unwrap_or(u64::MAX);
        let mut all = Self {
            next: 0,
            head: None,
            arrivals: match open.arrivals {
                Arrivals::Constant => Reaches::Constant,
                Arrivals::Poisson => Reaches::Poisson(Steps::new(plan.seed())),
            },
            integral: Integral::new(open),
            count: slots.saturating_sub(process).div_ceil(processes),
            end_ns: plan.extent().duration().map_or(u64::MAX, nanos),
            process,
            processes,
        };
        all.skip_to(0);
        all
    }

    /// The next slot, which stays the next one.
    pub fn peek(&self) -> Option<Slot> {
        self.head
    }

    /// The number of slots of the process, from its first one on, that are due by `until_ns`; no fewer than are already
    /// behind. Constant arrivals are searched in halves, as each slot's time is known by itself. Poisson arrivals are
    /// drawn in blocks, so this takes one draw for each thousand slots.
    pub fn due_by(&self, until_ns: u64) -> u64 {
        let is_due = |slot: Option<Slot>| slot.is_some_and(|slot| slot.due_ns <= until_ns);
        if !is_due(self.head) {
            return self.next;
        }
        let mut ahead = self.clone();
        while ahead.pass_block(until_ns) {}
        ahead.skip_to(ahead.next);
        if !is_due(ahead.head) {
            return ahead.next;
        }
        // The last one that is known to be due, and the first one that is not.
        let mut due = ahead.next;
        let mut not_due = ahead.block_end().min(self.count);
        while not_due - due > 1 {
            let middle = due + (not_due - due) / 2;
            let mut there = ahead.clone();
            there.skip_to(middle);
            if is_due(there.head) {
                (due, ahead) = (middle, there);
            } else {
                not_due = middle;
            }
        }
        not_due
    }

    /// Makes slot `index` the next one; those before it are passed over. Does nothing if it is already behind.
    pub fn skip_to(&mut self, index: u64) {
        self.next = self.next.max(index.min(self.count));
        self.head = self.slot(self.next);
    }

    fn slot(&mut self, index: u64) -> Option<Slot> {
        if index >= self.count {
            return None;
        }
        let at = index * self.processes + self.process;
        let reach = match &mut self.arrivals {
            Reaches::Constant => at as f64,
            Reaches::Poisson(steps) => steps.reach(at),
        };
        let due_ns = self.integral.time_of(reach)?;
        (due_ns < self.end_ns).then_some(Slot { index, due_ns })
    }

    /// The first index beyond the block of steps that the next slot lies in; all of them are one block if none are
    /// drawn.
    fn block_end(&self) -> u64 {
        match &self.arrivals {
            Reaches::Constant => self.count,
            Reaches::Poisson(steps) => steps.end().saturating_sub(self.process).div_ceil(self.processes),
        }
    }

    /// Goes on to the next block if this one is over by `until_ns`, without a look at any slot: the head stays behind.
    fn pass_block(&mut self, until_ns: u64) -> bool {
        let end = self.block_end();
        let Reaches::Poisson(steps) = &mut self.arrivals else { return false };
        let end_ns = self.integral.clone().time_of(steps.begin + steps.total);
        let is_over = self.next < self.count && end_ns.is_some_and(|ns| ns <= until_ns && ns < self.end_ns);
        if is_over {
            steps.enter_next();
            self.next = end.min(self.count);
        }
        is_over
    }
}

impl Iterator for Slots {
    type Item = Slot;

    #[inline]
    fn next(&mut self) -> Option<Slot> {
        let slot = self.head?;
        self.skip_to(slot.index + 1);
        Some(slot)
    }
}

/// Steps of the schedule that are drawn together: few enough that to enter a block takes microseconds, and more than
/// processes, so that each has slots in each.
const BLOCK: u64 = 1_024;

/// The sums of independent steps of mean 1 that are exponentially distributed.
///
/// Drawn in blocks, so that a sum far ahead needs no draw for each step before it: the length of a block has the gamma
/// distribution, and within it steps are drawn and stretched to that length. As the shares of exponential steps in
/// their sum are independent of the sum, these are independent exponential steps again.
#[derive(Clone, Debug)]
struct Steps {
    /// Draws the blocks.
    blocks: fastrand::Rng,
    block: u64,
    /// The sum before the block, and the block's length.
    begin: f64,
    total: f64,
    /// Draws the steps of the block.
    steps: fastrand::Rng,
    drawn: u64,
    /// The sum of those that were drawn, and what it is to be multiplied by; nothing before the first one is drawn.
    sum: f64,
    stretch: f64,
}

impl Steps {
    fn new(seed: u64) -> Self {
        let mut blocks = fastrand::Rng::with_seed(seed);
        let (total, steps) = (gamma(&mut blocks), blocks.fork());
        Self { blocks, block: 0, begin: 0.0, total, steps, drawn: 0, sum: 0.0, stretch: 0.0 }
    }

    /// The sum of all steps up to the one of the slot `at`. Slots must not fall from one call to the next.
    fn reach(&mut self, at: u64) -> f64 {
        while self.block < at / BLOCK {
            self.enter_next();
        }
        if self.drawn == 0 {
            let mut steps = self.steps.clone();
            self.stretch = self.total / (0..BLOCK).map(|_| exponential(&mut steps)).sum::<f64>();
        }
        while self.drawn <= at % BLOCK {
            self.sum += exponential(&mut self.steps);
            self.drawn += 1;
        }
        self.begin + (self.sum * self.stretch).min(self.total)
    }

    fn enter_next(&mut self) {
        self.block += 1;
        self.begin += self.total;
        (self.total, self.steps) = (gamma(&mut self.blocks), self.blocks.fork());
        (self.drawn, self.sum) = (0, 0.0);
    }

    /// The first slot beyond the block.
    fn end(&self) -> u64 {
        (self.block + 1).saturating_mul(BLOCK)
    }
}

/// A step of mean 1.
fn exponential(chance: &mut fastrand::Rng) -> f64 {
    // The logarithm of a number in (0, 1].
    -(1.0 - chance.f64()).ln()
}

/// The sum of [`BLOCK`] steps of mean 1, in one draw: by Marsaglia and Tsang, "A Simple Method for Generating Gamma
/// Variables" (2000).
fn gamma(chance: &mut fastrand::Rng) -> f64 {
    let d = BLOCK as f64 - 1.0 / 3.0;
    loop {
        // A normal deviate, by Box and Muller.
        let (radius, angle) = ((2.0 * exponential(chance)).sqrt(), std::f64::consts::TAU * chance.f64());
        let x = radius * angle.cos();
        let v = (1.0 + x / (9.0 * d).sqrt()).powi(3);
        if v > 0.0 && -exponential(chance) < x * x / 2.0 + d - d * v + d * v.ln() {
            return d * v;
        }
    }
}

/// The integral of a rate that changes evenly from stage to stage: how many operations are due until when.
#[derive(Clone, Debug)]
struct Integral {
    /// The stages, and how many of them were entered; after them the rate stays.
    stages: Arc<[Stage]>,
    entered: usize,
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
        let (stages, rate) = (open.stages.as_slice().into(), open.from.get());
        let mut integral = Self { stages, entered: 0, begin: 0.0, count: 0.0, rate, length: 0.0, slope: 0.0 };
        integral.enter();
        integral
    }

    /// Enters the next stage, where `begin`, `count` and `rate` are already what they are at its beginning.
    fn enter(&mut self) {
        let stage = self.stages.get(self.entered);
        self.entered += 1;
        (self.length, self.slope) = match stage {
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
