//! The measured loop: one thread, and in it one instance, or several that wait by turns; each runs one operation after
//! the other.
//!
//! Between the two readings of the clock stands the guest call alone. Everything else (drawing numbers, counting,
//! handing on, making instances anew) happens outside.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender};
use futures_util::StreamExt;
use futures_util::future::try_join_all;
use futures_util::stream::FuturesUnordered;

use super::Event;
use super::lease::Lease;
use crate::capability::network::take_counts;
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
    /// Makes its instances, waits for the start, runs until the numbers or the time end.
    pub(super) fn run(self) {
        let executor = match Executor::new(self.task.lane()) {
            Ok(executor) => executor,
            Err(error) => {
                return self.tell(Event::Refused(format!("cannot start a thread: {error}{}", remedy(&error))));
            }
        };
        executor.run(async {
            match self.first_instances().await {
                Ok(instances) => {
                    // No start comes where another thread has no instance.
                    let Ok(clock) = self.starts.recv() else { return };
                    self.operate_all(instances, &clock).await;
                    // What the last teardowns have done.
                    let mut last = Delta::default();
                    last.metrics.network = take_counts();
                    if !last.is_empty() {
                        self.tell(Event::Delta(Box::new(last)));
                    }
                    self.tell(Event::Ended);
                }
                Err(error) => self.tell(Event::Refused(error.to_string())),
            }
        });
    }

    async fn first_instances(&self) -> Result<Vec<Instance>, TaskError> {
        let instances = (0..self.run.concurrency.get()).map(|_| self.first_instance());
        let made = try_join_all(instances).await?;
        let instantiate = made.iter().map(|(_, instantiate, _)| *instantiate).max().unwrap_or_default();
        let setup = made.iter().filter_map(|(_, _, setup)| *setup).max();
        self.tell(Event::Ready { instantiate, setup });
        Ok(made.into_iter().map(|(instance, ..)| instance).collect())
    }

    async fn first_instance(&self) -> Result<(Instance, Duration, Option<Duration>), TaskError> {
        let begin = Instant::now();
        let mut instance = self.task.instantiate_bare(self.surroundings).await?;
        let instantiate = begin.elapsed();
        instance.setup(self.task).await?;
        let setup = self.task.has(Hook::Setup).then(|| begin.elapsed() - instantiate);
        Ok((instance, instantiate, setup))
    }

    async fn operate_all(&self, instances: Vec<Instance>, clock: &Clock) {
        let tally = Tally::default();
        let first = self.place * instances.len() as u64;
        let operating = instances
            .into_iter()
            .zip(first..)
            .map(|(instance, place)| self.operate(instance, Pacer::new(self.run, place), clock, &tally));
        // Each is polled when it was woken, and only then.
        let mut operating: FuturesUnordered<_> = operating.collect();
        while operating.next().await.is_some() {}
    }

    /// Runs one operation after the other in one instance.
    async fn operate(&self, mut instance: Instance, pacer: Pacer, clock: &Clock, tally: &Tally) {
        let lane = self.task.lane();
        let halt = &self.surroundings.halt;
        let mut batch = Batch::default();
        let mut now_ns = clock.elapsed_ns();
        while let Next::Due(due_ns) = pacer.next(now_ns)
            && !halt.is_stopped()
        {
            if batch.left.is_empty() {
                let Some(left) = self.lease.draw(lane, batch.next_size(now_ns)).await else { break };
                now_ns = clock.elapsed_ns();
                batch.begin(left, now_ns);
                // Drawing may have taken any time.
                continue;
            }
            if due_ns > now_ns {
                halt.sleep(lane, Duration::from_nanos(due_ns - now_ns)).await;
                now_ns = clock.elapsed_ns();
                continue;
            }
            let is_worn = self.run.limits.recycle.is_some_and(|calls| instance.calls() >= calls.get());
            if is_worn || !instance.is_usable() {
                match self.renew(instance).await {
                    Ok(fresh) => instance = fresh,
                    Err(error) => {
                        self.lease.put_back(batch.left);
                        self.hand_on(tally, now_ns);
                        return self.fault(FaultKind::Setup, format!("an instance ended, as {error}"));
                    }
                }
                now_ns = clock.elapsed_ns();
                continue;
            }
            let ended = match lane {
                Lane::Compute => instance.call(batch.take(), clock, &mut self.count_in(tally)),
                Lane::Io => instance.call_async(batch.take(), clock, &mut self.count_in(tally)).await,
            };
            match ended {
                Ok(end_ns) => now_ns = end_ns,
                Err(cut) => {
                    tally.counted.borrow_mut().delta.in_flight.push(cut);
                    break;
                }
            }
            if now_ns >= tally.due_ns.get() {
                self.hand_on(tally, now_ns);
            }
        }
        // Before the teardown, which may never end.
        self.hand_on(tally, now_ns);
        self.tear_down(&mut instance).await;
    }

    /// Counts one operation in `tally`.
    #[inline]
    fn count_in(&self, tally: &Tally) -> impl FnMut(Sample<'_>) {
        move |sample: Sample<'_>| {
            let counted = &mut *tally.counted.borrow_mut();
            counted.book(sample.number);
            match self.unexpected(&sample) {
                None => counted.recorder.record(&sample),
                Some(reason) => {
                    let failed = Sample { outcome: Outcome::Failed, reason: Some(&reason), ..sample };
                    counted.recorder.record(&failed);
                }
            }
            let service_ns = sample.end_ns - sample.start_ns;
            if service_ns > LONG_NS {
                tally.due_ns.set(0);
            }
            if sample.outcome == Outcome::TimedOut && self.is_over(sample.end_ns) {
                counted.delta.overtime.push(Cut { number: sample.number, age_ns: service_ns });
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

    fn hand_on(&self, tally: &Tally, now_ns: u64) {
        tally.due_ns.set(now_ns + HAND_ON_NS);
        let counted = &mut *tally.counted.borrow_mut();
        if !counted.delta.is_empty() {
            let mut metrics = counted.recorder.take();
            metrics.network = take_counts();
            self.tell(Event::Delta(Box::new(Delta { metrics, ..std::mem::take(&mut counted.delta) })));
        }
    }

    fn fault(&self, kind: FaultKind, message: String) {
        self.tell(Event::Fault(Fault { kind, message, times: 1, numbers: Vec::new() }));
    }

    fn tell(&self, event: Event) {
        // The main thread listens as long as a thread runs; when it does not, the process is ending.
        let _ = self.events.send(event);
    }
}

/// What a thread has counted and not yet handed on.
#[derive(Default)]
struct Tally {
    counted: RefCell<Counted>,
    /// When to hand it on.
    due_ns: Cell<u64>,
}

#[derive(Default)]
struct Counted {
    recorder: Recorder,
    /// All but the metrics.
    delta: Delta,
}

impl Counted {
    #[inline]
    fn book(&mut self, number: u64) {
        match self.delta.numbers.last_mut() {
            Some(last) if last.end == number => last.end += 1,
            _ => self.delta.numbers.push(number..number + 1),
        }
    }
}

/// The numbers that an instance has drawn.
#[derive(Default)]
struct Batch {
    left: Range<u64>,
    begun_ns: u64,
    size: u64,
}

impl Batch {
    fn begin(&mut self, numbers: Range<u64>, now_ns: u64) {
        self.left = numbers;
        self.begun_ns = now_ns;
    }

    fn take(&mut self) -> u64 {
        let number = self.left.start;
        self.left.start += 1;
        number
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
