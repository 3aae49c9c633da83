//! The load model as a pure function: when is the next operation due, or is the run done?
//!
//! Knows no clock: times come in and due times go out, in nanoseconds since the start of the run. The measured loop
//! does the waiting and draws the numbers.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::plan::{Arrivals, Closed, Open, Pause, RunPlan, Stage};

/// What an instance has to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Start an operation at this time; at once if it has passed.
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
        let instances = u64::from(plan.shape().workers()) * plan.instances_per_process();
        // Each instance has a separate generator, so that its draws do not depend on when another instance draws.
        let mut chance = fastrand::Rng::with_seed(plan.seed().wrapping_add(place));
        let jitter_ns = chance.u64(0..=nanos(plan.start_jitter()));
        // A replacement takes over its predecessor's place, so no place lies beyond the last. The boxes begin together.
        let (shape, per) = (plan.shape(), plan.instances_per_process());
        let (process, instance) = (place / per, place % per);
        let of_box = process % u64::from(shape.processes) * per + instance;
        let rank = of_box * u64::from(shape.boxes) + process / u64::from(shape.processes);
        let ramp_ns = (u128::from(nanos(closed.ramp)) * u128::from(rank) / u128::from(instances)) as u64;
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

/// The index of a slot among the slots of its process, counted from 0. It is not the number of the slot's operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SlotIndex(pub u64);

impl SlotIndex {
    /// The index of the slot that comes `slots` later.
    #[must_use]
    pub fn plus(self, slots: u64) -> Self {
        Self(self.0.saturating_add(slots))
    }

    /// How many slots there are from this one up to `end`, without the slot at `end`.
    pub fn until(self, end: Self) -> u64 {
        end.0.saturating_sub(self.0)
    }
}

/// A place in the schedule of an open run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Its index among the slots of its process.
    pub index: SlotIndex,
    /// When it is due.
    pub due_ns: u64,
}

/// The slots of one process of an open run, in the order in which they are due.
///
/// Slot i of the run goes to process i modulo the number of processes. With [constant](Arrivals::Constant) arrivals,
/// slot i is due when the integral of the rate reaches i. With [Poisson](Arrivals::Poisson) arrivals it is due when the
/// integral reaches the sum of i independent, exponentially distributed steps of mean 1. Every process derives the
/// schedule of the whole run from the same seed and keeps its part, so the processes need not talk to each other.
///
/// The value is a position in the schedule that only moves forward. Skipping or counting many slots does not visit each
/// of them: see [`Slots::due_by`].
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

/// What the integral of the rate has to reach for a slot to be due.
#[derive(Clone, Debug)]
enum Reaches {
    Constant,
    Poisson(Steps),
}

impl Slots {
    /// The slots of the process with the index `process`, from 0.
    pub fn new(plan: &RunPlan, open: &Open, process: u32) -> Self {
        Self::dealt(plan, open, u64::from(process), u64::from(plan.shape().workers()))
    }

    /// The slots of all processes.
    pub fn of_run(plan: &RunPlan, open: &Open) -> Self {
        Self::dealt(plan, open, 0, 1)
    }

    /// Every slot whose place in the schedule, modulo `processes`, is `process`.
    fn dealt(plan: &RunPlan, open: &Open, process: u64, processes: u64) -> Self {
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
        all.skip_to(SlotIndex(0));
        all
    }

    /// The next slot, without taking it.
    pub fn peek(&self) -> Option<Slot> {
        self.head
    }

    /// The index of the first slot that is not due by `until_ns`; at least that of the next slot. The time of a slot
    /// with constant arrivals is known directly, so this is a binary search. Poisson arrivals are drawn in blocks, so
    /// this takes one draw for each thousand slots.
    pub fn due_by(&self, until_ns: u64) -> SlotIndex {
        let is_due = |slot: Option<Slot>| slot.is_some_and(|slot| slot.due_ns <= until_ns);
        if !is_due(self.head) {
            return SlotIndex(self.next);
        }
        let mut ahead = self.clone();
        while ahead.pass_block(until_ns) {}
        ahead.skip_to(SlotIndex(ahead.next));
        if !is_due(ahead.head) {
            return SlotIndex(ahead.next);
        }
        // The last slot that is known to be due, and the first one that is known not to be.
        let mut due = ahead.next;
        let mut not_due = ahead.block_end().min(self.count);
        while not_due - due > 1 {
            let middle = due + (not_due - due) / 2;
            let mut there = ahead.clone();
            there.skip_to(SlotIndex(middle));
            if is_due(there.head) {
                (due, ahead) = (middle, there);
            } else {
                not_due = middle;
            }
        }
        SlotIndex(not_due)
    }

    /// Makes slot `index` the next one, and skips those before it. Does nothing if the slot is already behind.
    pub fn skip_to(&mut self, index: SlotIndex) {
        self.next = self.next.max(index.0.min(self.count));
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
        (due_ns < self.end_ns).then_some(Slot { index: SlotIndex(index), due_ns })
    }

    /// The first index after the block of steps that contains the next slot. Constant arrivals form a single block.
    fn block_end(&self) -> u64 {
        match &self.arrivals {
            Reaches::Constant => self.count,
            Reaches::Poisson(steps) => steps.end().saturating_sub(self.process).div_ceil(self.processes),
        }
    }

    /// Moves to the next block if this one is over by `until_ns`. Visits no slot, and leaves `head` as it was.
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
        self.skip_to(slot.index.plus(1));
        Some(slot)
    }
}

/// How many steps of the schedule are drawn together: few enough to enter a block in microseconds, and more than there
/// are processes, so that each process has slots in each block.
const BLOCK: u64 = 1_024;

/// The sums of independent, exponentially distributed steps of mean 1.
///
/// Steps are drawn in blocks, so that a sum far ahead needs no draw for each step before it. The length of a block has
/// the gamma distribution; the steps within it are drawn and stretched to that length. The shares of exponential steps
/// in their sum are independent of the sum, so the stretched steps are independent and exponential again.
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
    /// The sum of the steps drawn so far, and the factor that stretches it; the factor is set when the first step is
    /// drawn.
    sum: f64,
    stretch: f64,
}

impl Steps {
    fn new(seed: u64) -> Self {
        let mut blocks = fastrand::Rng::with_seed(seed);
        let (total, steps) = (gamma(&mut blocks), blocks.fork());
        Self { blocks, block: 0, begin: 0.0, total, steps, drawn: 0, sum: 0.0, stretch: 0.0 }
    }

    /// The sum of all steps up to that of the slot `at`. `at` must not decrease from call to call.
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

    /// The first slot after the block.
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

/// The integral of a rate that changes linearly within each stage: how many operations are due by when.
#[derive(Clone, Debug)]
struct Integral {
    /// The stages, and how many of them were entered. After the last one the rate stays constant.
    stages: Arc<[Stage]>,
    entered: usize,
    /// The current stage: when it began, in seconds; the integral and the rate at that time.
    begin: f64,
    count: f64,
    rate: f64,
    /// The stage's length, in seconds, and the change of the rate per second.
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

    /// Enters the next stage. `begin`, `count` and `rate` must already have their values at its beginning.
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

    /// When the integral reaches `count`, in nanoseconds; `None` if it never does. `count` must not decrease from call
    /// to call.
    fn time_of(&mut self, count: f64) -> Option<u64> {
        loop {
            let whole = self.rate * self.length + self.slope * self.length * self.length / 2.0;
            let missing = count - self.count;
            if self.length.is_infinite() && self.rate <= 0.0 && missing > 0.0 {
                return None;
            }
            if missing <= whole || self.length.is_infinite() {
                // Solves `missing = rate t + slope t²/2`, in the form without cancellation.
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
