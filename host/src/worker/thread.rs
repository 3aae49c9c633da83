//! The measured loop: one thread, one instance, one operation after the other.
//!
//! Between the two readings of the clock stands the guest call alone. Everything else (drawing numbers, counting,
//! handing on, making instances anew) happens outside.

use std::ops::Range;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender};

use super::Event;
use super::lease::Lease;
use crate::clock::Clock;
use crate::fault::{Fault, FaultKind, remedy};
use crate::metrics::{Cut, Outcome, Recorder, Sample};
use crate::pace::{Next, Pacer};
use crate::plan::RunPlan;
use crate::task::{Executor, Hook, Instance, Lane, Surroundings, Task, TaskError};
use crate::wire::Delta;

/// How often a thread hands on what it has counted.
const HAND_ON_NS: u64 = 250_000_000;

/// After an operation this long a thread hands on at once: it is the slow ones that people watch, and that are dear to
/// lose.
const LONG_NS: u64 = 10_000_000;

/// Numbers are drawn in batches that take about this long: long enough that drawing costs nothing, short enough that
/// no other thread misses them.
const BATCH_NS: u64 = 1_000_000;

/// The largest batch.
const MAX_BATCH: u64 = 4_096;

/// What one thread works with.
pub(super) struct Thread<'a> {
    pub(super) task: &'a Task,
    pub(super) run: &'a RunPlan,
    /// Its place among all threads of the run.
    pub(super) place: u64,
    pub(super) surroundings: &'a Surroundings,
    pub(super) lease: &'a Lease,
    pub(super) events: Sender<Event>,
    pub(super) starts: Receiver<Clock>,
}

impl Thread<'_> {
    /// Makes an instance, waits for the start, runs until the numbers or the time end.
    pub(super) fn run(self) {
        let executor = match Executor::new(self.task.lane()) {
            Ok(executor) => executor,
            Err(error) => {
                return self.tell(Event::Refused(format!("cannot start a thread: {error}{}", remedy(&error))));
            }
        };
        executor.run(async {
            match self.first_instance().await {
                Ok(instance) => {
                    // No start comes where another thread has no instance.
                    let Ok(clock) = self.starts.recv() else { return };
                    self.operate(instance, &clock).await;
                    self.tell(Event::Ended);
                }
                Err(error) => self.tell(Event::Refused(error.to_string())),
            }
        });
    }

    async fn first_instance(&self) -> Result<Instance, TaskError> {
        let begin = Instant::now();
        let mut instance = self.task.instantiate_bare(self.surroundings).await?;
        let instantiate = begin.elapsed();
        instance.setup(self.task).await?;
        let setup = self.task.has(Hook::Setup).then(|| begin.elapsed() - instantiate);
        self.tell(Event::Ready { instantiate, setup });
        Ok(instance)
    }

    async fn operate(&self, mut instance: Instance, clock: &Clock) {
        let pacer = Pacer::new(self.run, self.place);
        let mut tally = Tally::default();
        let mut batch = Batch::default();
        let mut now_ns = clock.elapsed_ns();
        let halt = &self.surroundings.halt;
        while let Next::Due(due_ns) = pacer.next(now_ns)
            && !halt.is_stopped()
        {
            if batch.left.is_empty() {
                tally.book(batch.ran());
                let Some(left) = self.lease.draw(batch.next_size(now_ns)) else { break };
                now_ns = clock.elapsed_ns();
                batch.begin(left, now_ns);
                // Drawing may have taken any time.
                continue;
            }
            if due_ns > now_ns {
                halt.sleep(self.task.lane(), Duration::from_nanos(due_ns - now_ns)).await;
                now_ns = clock.elapsed_ns();
                continue;
            }
            let ended = match self.task.lane() {
                Lane::Compute => instance.call(batch.take(), clock, &mut self.count_in(&mut tally)),
                Lane::Io => instance.call_async(batch.take(), clock, &mut self.count_in(&mut tally)).await,
            };
            match ended {
                Ok(end_ns) => now_ns = end_ns,
                Err(cut) => {
                    batch.put_back();
                    tally.delta.in_flight.push(cut);
                    break;
                }
            }
            if now_ns >= tally.due_ns {
                tally.book(batch.ran());
                self.hand_on(&mut tally, now_ns);
            }
            let worn = self.run.limits.recycle.is_some_and(|calls| instance.calls() >= calls.get());
            if worn || !instance.is_usable() {
                match self.renew(instance).await {
                    Ok(fresh) => instance = fresh,
                    Err(error) => {
                        tally.book(batch.ran());
                        self.hand_on(&mut tally, now_ns);
                        return self.fault(FaultKind::Setup, format!("a thread ended, as {error}"));
                    }
                }
                now_ns = clock.elapsed_ns();
            }
        }
        tally.book(batch.ran());
        self.hand_on(&mut tally, now_ns);
        self.tear_down(&mut instance).await;
    }

    /// Counts one operation in `tally`.
    #[inline]
    fn count_in(&self, tally: &mut Tally) -> impl FnMut(Sample<'_>) {
        move |sample: Sample<'_>| {
            match self.unexpected(&sample) {
                None => tally.recorder.record(&sample),
                Some(reason) => {
                    let failed = Sample { outcome: Outcome::Failed, reason: Some(&reason), ..sample };
                    tally.recorder.record(&failed);
                }
            }
            let service_ns = sample.end_ns - sample.start_ns;
            if service_ns > LONG_NS {
                tally.due_ns = 0;
            }
            if sample.outcome == Outcome::TimedOut && self.is_over(sample.end_ns) {
                tally.delta.overtime.push(Cut { number: sample.number, age_ns: service_ns });
            }
        }
    }

    /// Whether the run's duration, where one was planned, was over at `ns`.
    fn is_over(&self, ns: u64) -> bool {
        self.run.extent.duration().is_some_and(|duration| u128::from(ns) > duration.as_nanos())
    }

    /// Why a result that the task calls ok is a failure all the same.
    #[inline]
    fn unexpected(&self, sample: &Sample<'_>) -> Option<String> {
        self.run.expect.as_ref().filter(|_| sample.outcome == Outcome::Ok)?.unmet(sample.result)
    }

    /// A new instance in place of one that is worn or cannot be called any more.
    async fn renew(&self, mut instance: Instance) -> Result<Instance, TaskError> {
        self.tear_down(&mut instance).await;
        drop(instance);
        self.task.instantiate(self.surroundings).await
    }

    async fn tear_down(&self, instance: &mut Instance) {
        if instance.is_usable()
            && let Err(error) = instance.teardown(self.task).await
        {
            self.fault(FaultKind::Teardown, error.to_string());
        }
    }

    fn hand_on(&self, tally: &mut Tally, now_ns: u64) {
        tally.due_ns = now_ns + HAND_ON_NS;
        if !tally.delta.is_empty() {
            let metrics = tally.recorder.take();
            self.tell(Event::Delta(Delta { metrics, ..std::mem::take(&mut tally.delta) }));
        }
    }

    fn fault(&self, kind: FaultKind, message: String) {
        self.tell(Event::Fault(Fault { kind, message, numbers: Vec::new() }));
    }

    fn tell(&self, event: Event) {
        // The main thread listens as long as a thread runs; when it does not, the process is ending.
        let _ = self.events.send(event);
    }
}

/// What a thread has counted and not yet handed on.
#[derive(Default)]
struct Tally {
    recorder: Recorder,
    /// All but the metrics.
    delta: Delta,
    /// When to hand it on.
    due_ns: u64,
}

impl Tally {
    fn book(&mut self, ran: Range<u64>) {
        let numbers = &mut self.delta.numbers;
        match numbers.last_mut() {
            _ if ran.is_empty() => {}
            Some(last) if last.end == ran.start => last.end = ran.end,
            _ => numbers.push(ran),
        }
    }
}

/// The numbers that a thread has drawn.
#[derive(Default)]
struct Batch {
    left: Range<u64>,
    /// The first number that ran and is not booked.
    unbooked: u64,
    begun_ns: u64,
    size: u64,
}

impl Batch {
    fn begin(&mut self, numbers: Range<u64>, now_ns: u64) {
        self.unbooked = numbers.start;
        self.left = numbers;
        self.begun_ns = now_ns;
    }

    fn take(&mut self) -> u64 {
        let number = self.left.start;
        self.left.start += 1;
        number
    }

    /// The number last taken did not run to its end.
    fn put_back(&mut self) {
        self.left.start -= 1;
    }

    /// The numbers that ran since this was last asked.
    fn ran(&mut self) -> Range<u64> {
        std::mem::replace(&mut self.unbooked, self.left.start)..self.left.start
    }

    /// How many numbers to draw, given how long the last ones took.
    fn next_size(&mut self, now_ns: u64) -> u64 {
        let took_ns = (now_ns - self.begun_ns).max(1);
        self.size = match self.size {
            0 => 1,
            size if took_ns <= BATCH_NS / 2 => (size * 2).min(MAX_BATCH),
            size if took_ns > BATCH_NS => (size * BATCH_NS / took_ns).max(1),
            size => size,
        };
        self.size
    }
}
