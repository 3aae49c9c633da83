use std::collections::VecDeque;
use std::time::SystemTime;

use super::*;
use crate::controller::Job;
use crate::fault::FaultKind;
use crate::pace::tests::{lasting, of, plan};
use crate::plan::{Extent, LoadModel, RunSpec};
use crate::wire::{Delta, PROTOCOL, Usage};

/// A machine that gets each entry back at once.
struct Scene {
    machine: Machine,
    now: Duration,
}

impl Scene {
    /// A run of two processes with a time-out of a second.
    fn of(extent: Extent) -> Self {
        let spec = plan(extent, 2, LoadModel::default()).spec().clone();
        let limits = crate::plan::Limits { timeout: Some(Duration::from_secs(1)), ..spec.limits };
        let plan = RunPlan::try_from(RunSpec { limits, ..spec }).unwrap();
        let job = Job::example(plan);
        let books = Books::open(&job, SystemTime::UNIX_EPOCH);
        Self { machine: Machine::new(books, Duration::ZERO), now: Duration::ZERO }
    }

    /// Gives the machine an input, and returns the effects that follow from it.
    fn feed(&mut self, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        let mut outputs = VecDeque::from(self.machine.step(input, self.now));
        while let Some(output) = outputs.pop_front() {
            match output {
                Output::Record(entry) => outputs.extend(self.machine.step(Input::Recorded(entry), self.now)),
                Output::Do(effect) => effects.push(effect),
                Output::Event(_) => {}
            }
        }
        effects
    }

    fn hear(&mut self, worker: u32, frame: u64, message: Message) -> Vec<Effect> {
        self.feed(Input::Heard { worker, frame, message })
    }

    fn tick_at(&mut self, seconds: u64) -> Vec<Effect> {
        self.now = Duration::from_secs(seconds);
        self.feed(Input::Tick)
    }

    /// A run whose two workers have begun, after three frames each.
    fn begun(extent: Extent) -> Self {
        let mut run = Self::of(extent);
        assert_eq!(run.feed(Input::Tick), [Effect::Launch { worker: 0, on: 0 }, Effect::Launch { worker: 1, on: 0 }]);
        for worker in [0, 1] {
            run.hear(worker, 1, Message::Hello { protocol: PROTOCOL, process: 7 + worker });
            run.hear(worker, 2, Message::Loaded { took: Duration::ZERO });
            run.hear(worker, 3, Message::Ready { instantiate: Duration::ZERO, setup: None });
        }
        run
    }

    /// The process of a worker is gone.
    fn gone(&mut self, worker: u32) -> Vec<Effect> {
        self.feed(Input::Gone { worker, how: "it ended".into() })
    }

    fn faults(&self) -> Vec<FaultKind> {
        self.machine.books().record(Duration::ZERO).faults.iter().map(|fault| fault.kind).collect()
    }
}

#[test]
fn a_phase_begins_when_all_are_ready_and_not_before() {
    let mut run = Scene::of(of(100));
    run.feed(Input::Tick);
    for frame in [
        Message::Hello { protocol: PROTOCOL, process: 7 },
        Message::Loaded { took: Duration::ZERO },
        Message::Ready { instantiate: Duration::ZERO, setup: None },
    ]
    .into_iter()
    .zip(1..)
    {
        let effects = run.hear(0, frame.1, frame.0);
        assert!(!effects.iter().any(|effect| matches!(effect, Effect::Go { .. })), "{effects:?}");
    }
    run.hear(1, 1, Message::Hello { protocol: PROTOCOL, process: 8 });
    run.hear(1, 2, Message::Loaded { took: Duration::ZERO });
    let effects = run.hear(1, 3, Message::Ready { instantiate: Duration::ZERO, setup: None });
    let gone = effects.iter().filter(|effect| matches!(effect, Effect::Go { phase: 0, .. })).count();
    let leased = effects.iter().filter(|effect| matches!(effect, Effect::Lease(_, Some(_)))).count();
    assert_eq!((gone, leased), (2, 2), "{effects:?}");
}

#[test]
fn numbers_that_are_asked_for_are_leased_until_there_are_none() {
    let mut run = Scene::begun(of(6));
    // Each instance has one. Near the end leases are short, so that workers end together.
    assert_eq!(run.hear(0, 4, Message::Need(5)), [Effect::Lease(0, Some(4..5))]);
    assert_eq!(run.hear(1, 4, Message::Need(5)), [Effect::Lease(1, Some(5..6))]);
    assert_eq!(run.hear(1, 5, Message::Need(5)), [Effect::Lease(1, None)]);
    // A frame that was heard before is void.
    assert_eq!(run.hear(0, 4, Message::Need(5)), []);
    // A gap between frames gives the worker up.
    let effects = run.hear(0, 9, Message::Need(5));
    assert!(effects.contains(&Effect::Kill(0)), "{effects:?}");
    // Until its process is gone, it may start what it holds.
    assert_eq!(run.faults(), []);
    run.gone(0);
    assert_eq!(run.faults(), [FaultKind::WorkerDied]);
    assert_eq!(run.machine.books().record(Duration::ZERO).lost, 3);
}

#[test]
fn a_silent_worker_is_reported_then_killed_and_replaced() {
    let mut run = Scene::begun(of(1_000));
    let alive = |run: &mut Scene, frame| run.hear(0, frame, Message::Health(crate::metrics::Health::default()));
    for second in 1..=20_u64 {
        let effects = run.tick_at(second);
        assert_eq!(effects, [], "at {second} s");
        alive(&mut run, 3 + second);
        let expected: &[FaultKind] = if second < 10 { &[] } else { &[FaultKind::Silent] };
        assert_eq!(run.faults(), expected, "at {second} s");
    }
    // Twice ten seconds, and an operation's time-out.
    assert_eq!(run.tick_at(21), [Effect::Kill(1)]);
    // If the worker comes back, its frames no longer count.
    let before = run.machine.books().completed();
    assert_eq!(run.hear(1, 4, Message::Delta(Box::<Delta>::default())), []);
    assert_eq!(run.machine.books().completed(), before);
    // Another takes its place when nothing can be started twice.
    assert_eq!(run.faults(), [FaultKind::Silent]);
    assert_eq!(run.gone(1), [Effect::Launch { worker: 2, on: 0 }]);
    assert_eq!(run.faults(), [FaultKind::Silent, FaultKind::WorkerDied]);
}

#[test]
fn a_killed_worker_that_does_not_end_delays_the_run_for_five_seconds() {
    let mut run = Scene::begun(of(1_000));
    run.hear(1, 9, Message::Need(5));
    run.hear(0, 4, Message::Rested);
    run.hear(0, 5, Message::Done(Usage::default()));
    assert_eq!(run.tick_at(4), []);
    assert_eq!(run.machine.ended(), None);
    assert_eq!(run.tick_at(5), [Effect::Launch { worker: 2, on: 0 }]);
    assert_eq!(run.faults(), [FaultKind::WorkerDied]);
    // Its end is no news any more.
    assert_eq!(run.gone(1), []);
}

#[test]
fn a_stop_waits_then_cuts_then_kills() {
    let mut run = Scene::begun(of(1_000));
    run.now = Duration::from_secs(1);
    assert_eq!(run.feed(Input::Stop), [Effect::Stop(0), Effect::Stop(1)]);
    assert_eq!(run.tick_at(5), []);
    let cut = [Effect::Stop(0), Effect::Cut(0), Effect::Stop(1), Effect::Cut(1)];
    assert_eq!(run.tick_at(6), cut);
    // One worker obeys.
    run.hear(0, 4, Message::Rested);
    assert_eq!(run.hear(0, 5, Message::Done(Usage::default())), [Effect::Dismiss(0)]);
    assert_eq!(run.machine.ended(), None);
    assert_eq!(run.tick_at(8), [Effect::Kill(1)]);
    assert_eq!(run.machine.ended(), None);
    run.gone(1);
    assert_eq!(run.machine.ended(), Some(Ok(())));
    assert!(run.machine.books().record(Duration::ZERO).stopped);
}

#[test]
fn a_run_with_a_duration_ends_even_if_its_workers_hang() {
    let mut run = Scene::begun(lasting(1_000));
    // The duration, the time-out and the patience of a stop make 7 s; a worker may take 2 s more to end.
    assert_eq!(run.tick_at(6), []);
    assert_eq!(run.tick_at(7).len(), 4);
    assert_eq!(run.tick_at(9), [Effect::Kill(0), Effect::Kill(1)]);
    run.gone(0);
    run.gone(1);
    assert_eq!(run.machine.ended(), Some(Ok(())));
    assert!(!run.machine.books().record(Duration::ZERO).stopped, "no stop was requested");
}

#[test]
fn a_stop_before_the_first_operation_ends_the_run_at_once() {
    let mut run = Scene::of(of(10));
    run.feed(Input::Tick);
    run.feed(Input::Stop);
    assert_eq!(run.machine.ended(), Some(Err(Failure::Stopped)));
}

#[test]
fn a_worker_that_dies_before_the_start_fails_the_run() {
    let mut run = Scene::of(of(10));
    run.feed(Input::Tick);
    run.gone(1);
    assert_eq!(run.machine.ended(), Some(Err(Failure::Died("it ended".into()))));
}
