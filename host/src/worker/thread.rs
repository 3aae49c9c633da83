//! The measured loop: one thread with one instance or several; each instance runs one operation after the other.
//!
//! Only the guest call stands between the two readings of the clock. Everything else happens outside: drawing numbers,
//! counting, handing on, replacing instances.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender};
use futures_util::StreamExt;
use futures_util::future::{LocalBoxFuture, try_join_all};
use futures_util::stream::FuturesUnordered;
use tokio::sync::Mutex;

use super::alarm::{Alarm, Company};
use super::feed::{Batch, ClosedFeed, Feed, OpenFeed};
use super::health::Pulse;
use super::traces::{Told, Traces};
use super::{Event, NumberSource, Order, Stint};
use crate::capability::guest::Surroundings;
use crate::clock::Clock;
use crate::fault::{Fault, remedy};
use crate::hook::Hook;
use crate::lane::{Executor, Lane};
use crate::metrics::{Cut, Outcome, Recorder, Sample};
use crate::pace::Pacer;
use crate::plan::{LoadModel, RunPlan};
use crate::task::{Instance, Task, TaskError, Ticket};
use crate::wire::Delta;

/// How often a thread hands its counts to the main thread.
const HAND_ON_NS: u64 = 250_000_000;

/// After an operation that took this long, a thread hands its counts on at once: slow operations are the ones that
/// people watch, and that hurt most if they are lost. If many end at about the same time, the thread hands them on
/// together, at intervals of at least this length.
const LONG_NS: u64 = 10_000_000;

/// What one thread works with.
pub(super) struct Thread<'a> {
    pub(super) task: &'a Task,
    pub(super) run: &'a RunPlan,
    /// The place of the process in the run, and of the thread in its process.
    pub(super) process: u32,
    pub(super) place: u64,
    pub(super) surroundings: Surroundings,
    pub(super) events: Sender<Event>,
    pub(super) starts: Receiver<Start<'a>>,
    pub(super) pulse: Arc<Pulse>,
}

/// The start of a phase.
#[derive(Clone)]
pub(super) struct Start<'a> {
    pub(super) stint: &'a Stint,
    pub(super) clock: Clock,
}

impl Thread<'_> {
    /// Makes the instances, and runs each phase when it starts, until the last one is over.
    pub(super) fn run(self) {
        self.pulse.begin();
        let executor = match Executor::watched(self.task.lane(), &self.surroundings.reactor) {
            Ok(executor) => executor,
            Err(error) => {
                return self.tell(Event::Refused(format!("cannot start a thread: {error}{}", remedy(&error))));
            }
        };
        executor.run(async {
            match self.first_instances().await {
                Ok(mut instances) => {
                    // No start comes if another thread has no instance.
                    while let Ok(start) = self.starts.recv() {
                        // Without traces the loop has no branch for them.
                        instances = if self.run.is_traced() || self.run.http().traceparent {
                            self.operate_all::<true>(instances, &start).await
                        } else {
                            self.operate_all::<false>(instances, &start).await
                        };
                        self.tell(Event::Rests);
                        if start.stint.order == Order::Last {
                            break;
                        }
                    }
                    self.tear_down_all(instances).await;
                    self.tell(Event::Ended);
                }
                Err(error) => self.tell(Event::Refused(error.to_string())),
            }
        });
    }

    async fn first_instances(&self) -> Result<Vec<Instance>, TaskError> {
        let instances = (0..self.run.concurrency().get()).map(|_| self.first_instance());
        let made = try_join_all(instances).await?;
        let instantiate = made.iter().map(|(_, instantiate, _)| *instantiate).max().unwrap_or_default();
        let setup = made.iter().filter_map(|(_, _, setup)| *setup).max();
        self.tell(Event::Ready { instantiate, setup });
        Ok(made.into_iter().map(|(instance, ..)| instance).collect())
    }

    async fn first_instance(&self) -> Result<(Instance, Duration, Option<Duration>), TaskError> {
        let begin = Instant::now();
        let mut instance = self.task.instantiate_bare(&self.surroundings).await?;
        let instantiate = begin.elapsed();
        instance.setup().await?;
        let setup = self.task.has(Hook::Setup).then(|| begin.elapsed().saturating_sub(instantiate));
        Ok((instance, instantiate, setup))
    }

    /// Runs a phase, and returns the instances that are still usable.
    async fn operate_all<const TRACED: bool>(&self, instances: Vec<Instance>, start: &Start<'_>) -> Vec<Instance> {
        let tally = Tally::default();
        let turn = match self.run.load_model().open().map(|_| self.alarm()).transpose() {
            Ok(turn) => turn,
            Err(error) => {
                self.tell(Event::Fault(Fault::thread_has_no_timer(&error)));
                return Vec::new();
            }
        };
        let concurrency = u64::from(self.run.concurrency().get());
        let operating = (self.place * concurrency..).zip(instances).map(|(place, instance)| {
            let feed = self.feed(start, turn.as_ref(), place);
            self.operate::<TRACED>(instance, feed, start, &tally)
        });
        // Polls an instance only after it was woken.
        let mut operating: FuturesUnordered<_> = operating.collect();
        let mut rested = Vec::new();
        let all = async {
            while let Some(instance) = operating.next().await {
                rested.extend(instance);
            }
        };
        match self.task.lane() {
            Lane::Compute => all.await,
            Lane::Io => tokio::select! {
                biased;
                () = all => {}
                () = self.keep_handing_on(&tally, &start.clock) => {}
            },
        }
        rested
    }

    /// Tears down the instances after the last phase, and hands on what the teardowns sent and received.
    async fn tear_down_all(&self, mut instances: Vec<Instance>) {
        let torn: FuturesUnordered<_> = instances.iter_mut().map(|instance| self.tear_down(instance)).collect();
        torn.collect::<()>().await;
        if self.task.lane() == Lane::Io {
            // Requests with a body have tasks of their own, and those that were given up end, and count, only now.
            tokio::task::yield_now().await;
        }
        let mut last = Delta::default();
        last.metrics.network = self.surroundings.network.take_counts();
        if !last.is_empty() {
            self.tell(Event::Delta(Box::new(last)));
        }
    }

    /// The thread's alarm. Its instances take turns in waiting for it.
    fn alarm(&self) -> std::io::Result<Mutex<Alarm>> {
        let company = if self.run.concurrency().get() == 1 { Company::Alone } else { Company::Others };
        Alarm::new(self.task.lane(), company, self.pulse.clone()).map(Mutex::new)
    }

    /// The feed of instance `place` of the process; `None` if the plan has no use for the instance.
    fn feed<'f>(&'f self, start: &'f Start<'_>, turn: Option<&'f Mutex<Alarm>>, place: u64) -> Option<Feed<'f>> {
        let (halt, clock, plan) = (&self.surroundings.halt, &start.clock, &start.stint.plan);
        match (&start.stint.source, plan.load_model()) {
            (NumberSource::Lease(lease), LoadModel::Closed(closed)) => {
                let before_process = u64::from(self.process) * plan.instances_per_process();
                let pacer = Pacer::new(plan, closed, before_process + place);
                let (batch, lane) = (Batch::default(), self.task.lane());
                let timetable = &self.surroundings.timetable;
                Some(Feed::Closed(ClosedFeed { pacer, batch, lease, lane, halt, clock, timetable, look_ns: 0 }))
            }
            (NumberSource::Schedule(schedule), LoadModel::Open(open))
                if place < plan.most_in_flight(open, self.process) =>
            {
                let lane = self.task.lane();
                Some(Feed::Open(OpenFeed { schedule, turn: turn?, halt, clock, lane, idle_ns: 0 }))
            }
            _ => None,
        }
    }

    /// Runs one operation after the other in one instance. Returns the instance, unless it had to be replaced and could
    /// not.
    async fn operate<const TRACED: bool>(
        &self,
        mut instance: Instance,
        feed: Option<Feed<'_>>,
        start: &Start<'_>,
        tally: &Tally,
    ) -> Option<Instance> {
        let clock = &start.clock;
        let mut now_ns = clock.elapsed_ns();
        if let Some(mut feed) = feed {
            loop {
                let is_worn = self.run.limits().recycle.is_some_and(|calls| instance.calls() >= calls.get());
                let is_fit = instance.is_usable() && !is_worn;
                let ticket = if is_fit && let Some(ticket) = feed.at_once(now_ns) {
                    ticket
                } else {
                    if !feed.has_more(&mut now_ns).await {
                        break;
                    }
                    if !is_fit {
                        match self.renew(instance).await {
                            Ok(fresh) => instance = fresh,
                            Err(error) => {
                                feed.give_up();
                                self.hand_on(tally, now_ns);
                                self.tell(Event::Fault(Fault::instance_not_renewed(&error)));
                                return None;
                            }
                        }
                        now_ns = clock.elapsed_ns();
                    }
                    match feed.next(&mut now_ns).await {
                        Ok(Some(ticket)) => ticket,
                        Ok(None) => break,
                        Err(error) => {
                            self.tell(Event::Fault(Fault::instance_has_no_timer(&error)));
                            break;
                        }
                    }
                };
                let ended = if TRACED && tally.traces.is_due(ticket.number, now_ns) {
                    self.call_traced(&mut instance, ticket, start, tally).await
                } else {
                    match self.task.lane() {
                        Lane::Compute => instance.call(ticket, clock, &mut self.count_in(tally, start.stint)),
                        Lane::Io => instance.call_async(ticket, clock, &mut self.count_in(tally, start.stint)).await,
                    }
                };
                match ended {
                    Ok(end_ns) => now_ns = end_ns,
                    Err(cut) => {
                        tally.counted.borrow_mut().delta.in_flight.push(cut);
                        break;
                    }
                }
                feed.ended(now_ns);
                if now_ns >= tally.due_ns.get() {
                    self.hand_on(tally, now_ns);
                }
            }
        }
        // Hand on before the teardown, which may never end.
        self.hand_on(tally, now_ns);
        Some(instance)
    }

    /// Counts one operation in `tally`.
    #[inline]
    fn count_in(&self, tally: &Tally, stint: &Stint) -> impl FnMut(Sample<'_>) {
        move |sample: Sample<'_>| {
            let counted = &mut *tally.counted.borrow_mut();
            counted.book(sample.number, stint);
            let unmet = self.unexpected(&sample);
            let sample = match &unmet {
                None => sample,
                Some(reason) => Sample { outcome: Outcome::Failed, reason: Some(reason), ..sample },
            };
            counted.recorder.record(&sample);
            let service_ns = sample.end_ns - sample.start_ns;
            if service_ns > LONG_NS {
                tally.due_ns.set(tally.due_ns.get().min(tally.handed_on_ns.get() + LONG_NS));
            }
            if sample.outcome == Outcome::TimedOut && self.is_over(sample.end_ns) {
                let started_ns = Some(sample.start_ns);
                counted.delta.overtime.push(Cut { number: sample.number, age_ns: service_ns, started_ns });
            }
        }
    }

    /// Calls an instance as any other time, and keeps the trace of the operation. Apart from the loop, which this would
    /// slow down; boxed, because it is rare.
    #[cold]
    fn call_traced<'a>(
        &'a self,
        instance: &'a mut Instance,
        ticket: Ticket,
        start: &'a Start<'_>,
        tally: &'a Tally,
    ) -> LocalBoxFuture<'a, Result<u64, Cut>> {
        Box::pin(async move {
            instance.trace_next();
            let clock = &start.clock;
            let mut told = None;
            let mut count = |sample: Sample<'_>| {
                let unmet = self.unexpected(&sample);
                told = Some(Told::of(&sample, unmet));
                self.count_in(tally, start.stint)(sample);
            };
            let ended = match self.task.lane() {
                Lane::Compute => instance.call(ticket, clock, &mut count),
                Lane::Io => instance.call_async(ticket, clock, &mut count).await,
            };
            tally.traces.keep(instance.take_trace(), told, clock);
            ended
        })
    }

    /// Whether the run has a duration, and it was over at `ns`.
    fn is_over(&self, ns: u64) -> bool {
        self.run.extent().duration().is_some_and(|duration| u128::from(ns) > duration.as_nanos())
    }

    /// Why a result that the task calls ok does not meet `--expect`, if it does not.
    #[inline]
    fn unexpected(&self, sample: &Sample<'_>) -> Option<String> {
        self.run.expect().filter(|_| sample.outcome == Outcome::Ok)?.unmet(sample.result)
    }

    /// Replaces an instance that has run its number of calls or is no longer usable. The future is boxed because it is
    /// large and rare: otherwise each operation in flight would reserve memory for it.
    #[cold]
    fn renew(&self, mut instance: Instance) -> LocalBoxFuture<'_, Result<Instance, TaskError>> {
        Box::pin(async move {
            self.tear_down(&mut instance).await;
            drop(instance);
            self.task.instantiate(&self.surroundings).await
        })
    }

    async fn tear_down(&self, instance: &mut Instance) {
        if instance.is_usable()
            && let Err(error) = instance.teardown().await
        {
            self.tell(Event::Fault(Fault::teardown(&error)));
        }
    }

    /// Hands on the last counts while all instances of the thread wait.
    async fn keep_handing_on(&self, tally: &Tally, clock: &Clock) {
        let mut ticks = tokio::time::interval(Duration::from_nanos(HAND_ON_NS));
        loop {
            ticks.tick().await;
            self.hand_on(tally, clock.elapsed_ns());
        }
    }

    fn hand_on(&self, tally: &Tally, now_ns: u64) {
        tally.due_ns.set(now_ns + HAND_ON_NS);
        tally.handed_on_ns.set(now_ns);
        let traced = tally.traces.take();
        if !traced.is_empty() && self.run.is_traced() {
            self.tell(Event::Traced(traced));
        }
        let counted = &mut *tally.counted.borrow_mut();
        if !counted.delta.is_empty() {
            let mut metrics = counted.recorder.take();
            metrics.network = self.surroundings.network.take_counts();
            self.tell(Event::Delta(Box::new(Delta { metrics, ..std::mem::take(&mut counted.delta) })));
        }
    }

    fn tell(&self, event: Event) {
        // The main thread listens as long as a thread runs. If it does not, the process is ending.
        let _ = self.events.send(event);
    }
}

/// What a thread has counted and not yet handed on.
#[derive(Default)]
struct Tally {
    counted: RefCell<Counted>,
    /// When to hand the counts on.
    due_ns: Cell<u64>,
    handed_on_ns: Cell<u64>,
    traces: Traces,
}

#[derive(Default)]
struct Counted {
    recorder: Recorder,
    /// Everything but the metrics.
    delta: Delta,
}

impl Counted {
    #[inline]
    fn book(&mut self, number: u64, stint: &Stint) {
        let number = stint.known_as(number);
        match self.delta.numbers.last_mut() {
            Some(last) if last.end == number => last.end += 1,
            _ => self.delta.numbers.push(number..number + 1),
        }
    }
}
