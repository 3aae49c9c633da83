//! One instance of a task: its store, its calls, their timing.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::component::{ComponentNamedList, Instance as Exports, Lift, Lower, TypedFunc};
use wasmtime::{Store, StoreContextMut, ThrownException, Trap, UpdateDeadline};
use wasmtime_wasi::I32Exit;

use super::backtrace::{Frame, frames};
use super::ends::{iec, named, too_long};
use super::interface::{Interface, OperationType};
use super::timed::{Timed, Woken};
use super::{Task, TaskError, describe};
use crate::capability::guest::{Guest, Surroundings};
use crate::capability::tracing::Trace;
use crate::clock::Clock;
use crate::guest_text::{cut, line};
use crate::halt::Halt;
use crate::hook::Hook;
use crate::lane::Lane;
use crate::metrics::{Cut, Outcome, Sample, TimeSplit};

/// The longest text that `prepare` may return, in bytes: each worker gets it.
const MOST_PREPARED: usize = 1 << 20;

/// One instance of a task, in its store.
pub struct Instance {
    store: Store<Guest>,
    exports: Exports,
    operation: Operation,
    interface: Arc<Interface>,
    lane: Lane,
    timeout: Option<Duration>,
    hook_timeout: Option<Duration>,
    calls: u64,
    usable: bool,
    backtrace: Vec<Frame>,
    woken: Arc<Woken>,
}

/// An operation to call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The number of the operation.
    pub number: u64,
    /// When it was due, by the clock that times it; `None` in a closed run.
    pub due_ns: Option<u64>,
}

enum Operation {
    Plain(TypedFunc<(u64,), (String,)>),
    Fallible(TypedFunc<(u64,), (Result<String, String>,)>),
}

impl Task {
    /// Makes an instance and calls its `setup`.
    pub async fn instantiate(&self, surroundings: &Surroundings) -> Result<Instance, TaskError> {
        let mut instance = self.instantiate_bare(surroundings).await?;
        instance.setup().await?;
        Ok(instance)
    }

    /// Makes an instance, without calling its `setup`.
    pub async fn instantiate_bare(&self, surroundings: &Surroundings) -> Result<Instance, TaskError> {
        let failed = |error: wasmtime::Error| TaskError::Instantiate(describe(&error));
        let hook_timeout = self.limits.hook_timeout;
        let began = Instant::now();
        let guest = Guest::new(&self.grants, &self.limits, hook_timeout, surroundings).map_err(failed)?;
        let mut store = Store::new(self.pre.engine(), guest);
        store.set_hostcall_fuel(store.data().memory.max_passed());
        store.set_max_component_handles(store.data().memory.max_handles());
        store.limiter(|guest| guest);
        store.epoch_deadline_callback(tick_by);
        store.set_epoch_deadline(1);
        let exports = match self.lane {
            Lane::Compute => self.pre.instantiate(&mut store),
            Lane::Io => {
                let begun = until(hook_timeout, &surroundings.halt, self.pre.instantiate_async(&mut store));
                begun.await.map_err(|stopped| match stopped {
                    Stopped::Cut => TaskError::Instantiate("it was stopped".into()),
                    Stopped::Late | Stopped::Trapped(_) => TaskError::Instantiate(too_long(hook_timeout)),
                })?
            }
        };
        let exports = exports.map_err(|error| {
            if store.data().memory.has_refused() {
                let most = iec(self.limits.max_memory);
                TaskError::Instantiate(format!("it needs more memory at the start than --max-memory {most} allows"))
            } else if let Some(Trap::Interrupt) = error.downcast_ref() {
                TaskError::Instantiate(too_long(hook_timeout))
            } else if error.is::<Trap>() || error.is::<I32Exit>() || error.is::<ThrownException>() {
                let (name, reason) = named(&error, store.data(), began);
                let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
                TaskError::Instantiate(line(&format!("trap: {name}{reason}")))
            } else {
                failed(error)
            }
        })?;
        let operation = &self.interface.operation;
        let operation = match self.interface.operation_type {
            OperationType::Plain => exports.get_typed_func(&mut store, operation).map(Operation::Plain),
            OperationType::Fallible => exports.get_typed_func(&mut store, operation).map(Operation::Fallible),
        };
        let (clock, reactor) = (surroundings.clock.clone(), surroundings.reactor.clone());
        let woken = Woken::new(clock, reactor, store.data().due.clone());
        Ok(Instance {
            operation: operation.map_err(failed)?,
            store,
            exports,
            interface: self.interface.clone(),
            lane: self.lane,
            timeout: self.limits.timeout,
            hook_timeout,
            calls: 0,
            usable: true,
            backtrace: Vec::new(),
            woken,
        })
    }
}

impl Instance {
    /// Calls the operation on this thread, for a task of the compute lane. Times only the call, and passes the outcome
    /// to `count`. Returns when the call ended, by `clock`. A call that was cut is not counted.
    ///
    /// This is a plain function beside [`call_async`](Self::call_async), although a future that never waits would do. A
    /// future copies what it captures, which is a measurable part of a short operation's cost.
    #[inline]
    pub fn call(&mut self, ticket: Ticket, clock: &Clock, count: &mut impl FnMut(Sample<'_>)) -> Result<u64, Cut> {
        match self.operation {
            Operation::Plain(operation) => self.call_as(operation, ticket, clock, count),
            Operation::Fallible(operation) => self.call_as(operation, ticket, clock, count),
        }
    }

    /// The same for a task of the I/O lane, on the thread's runtime.
    pub async fn call_async(
        &mut self,
        ticket: Ticket,
        clock: &Clock,
        count: &mut impl FnMut(Sample<'_>),
    ) -> Result<u64, Cut> {
        match self.operation {
            Operation::Plain(operation) => self.call_async_as(operation, ticket, clock, count).await,
            Operation::Fallible(operation) => self.call_async_as(operation, ticket, clock, count).await,
        }
    }

    #[inline]
    fn call_as<R: Returned>(
        &mut self,
        operation: TypedFunc<(u64,), R>,
        ticket: Ticket,
        clock: &Clock,
        count: &mut impl FnMut(Sample<'_>),
    ) -> Result<u64, Cut> {
        self.ready(ticket.number);
        let start_ns = clock.elapsed_ns();
        let returned = operation.call(&mut self.store, (ticket.number,));
        let end_ns = clock.elapsed_ns();
        // Look at the result in place: a copy would be a measurable part of a short operation's cost.
        let returned = returned.as_ref().map(Returned::result).map_err(|error| self.stopped_by(error));
        self.conclude(Times { ticket, clock, start_ns, end_ns, split: None }, returned, count)
    }

    async fn call_async_as<R: Returned>(
        &mut self,
        operation: TypedFunc<(u64,), R>,
        ticket: Ticket,
        clock: &Clock,
        count: &mut impl FnMut(Sample<'_>),
    ) -> Result<u64, Cut> {
        self.ready(ticket.number);
        let (timeout, halt) = (self.timeout, self.store.data().halt.clone());
        // A guest that computes after it has waited gets only the rest of its time.
        self.store.data_mut().called = Some(Instant::now());
        let mut split = TimeSplit::default();
        let start_ns = clock.elapsed_ns();
        let returned = {
            let call = pin!(operation.call_async(&mut self.store, (ticket.number,)));
            until(timeout, &halt, Timed::new(call, &self.woken, &mut split)).await
        };
        let end_ns = clock.elapsed_ns();
        self.conclude(Times { ticket, clock, start_ns, end_ns, split: Some(&split) }, self.in_time(&returned), count)
    }

    /// Readies the store for operation `number`.
    #[inline]
    fn ready(&mut self, number: u64) {
        self.calls += 1;
        let timeout = self.timeout;
        let guest = self.store.data_mut();
        guest.current.clear();
        guest.number = number;
        guest.memory.clear();
        // The clock is not read here. The call's first tick reads it, late by at most a hundredth of the time-out.
        guest.called = None;
        guest.allowed = timeout;
    }

    /// Tells `count` how a call ended, and returns when it ended.
    #[inline(always)]
    fn conclude(
        &mut self,
        times: Times<'_>,
        returned: Result<Result<&str, &str>, Stopped<'_>>,
        count: &mut impl FnMut(Sample<'_>),
    ) -> Result<u64, Cut> {
        let Times { ticket: Ticket { number, due_ns }, clock, start_ns, end_ns, split } = times;
        self.usable = returned.is_ok();
        if let Err(stopped) = returned {
            self.backtrace = frames_of(stopped);
            let guest = self.store.data_mut();
            if let Stopped::Trapped(_) = stopped {
                guest.current.failed();
            }
            guest.abandon(end_ns, clock);
        } else if let Ok(Err(_)) = returned {
            self.store.data_mut().current.failed();
        }
        let current = &self.store.data().current;
        let said;
        let (outcome, result, reason) = match (returned, current.failure()) {
            (Ok(Ok(result)), None) => (Outcome::Ok, result, None),
            // A guest seldom says why it got no more.
            (Ok(Err(result)), None) if self.store.data().memory.has_refused() => {
                said = self.refused_memory(result);
                (said.0, said.1.as_str(), said.2.as_deref())
            }
            (Ok(Ok(result) | Err(result)), reason) => (Outcome::Failed, result, reason),
            (Err(Stopped::Cut), _) => {
                return Err(Cut { number, age_ns: end_ns - start_ns, started_ns: Some(start_ns) });
            }
            (Err(stopped), _) => {
                said = self.outcome_of(stopped, instant(clock, start_ns));
                (said.0, said.1.as_str(), said.2.as_deref())
            }
        };
        let spans = current.spans();
        // Count in one place only, so that the compiler inlines it into the loop.
        count(Sample { number, due_ns, start_ns, end_ns, outcome, result, reason, spans, split });
        Ok(end_ns)
    }

    /// How a call is reported that failed with `result` and was refused memory.
    #[cold]
    fn refused_memory(&self, result: &str) -> (Outcome, String, Option<String>) {
        let most = iec(self.store.data().memory.max_bytes());
        let reason = format!("it wanted more than --max-memory {most}");
        (Outcome::Failed, cut(result).to_owned(), Some(reason))
    }

    /// The next call is traced.
    #[cold]
    pub fn trace_next(&mut self) {
        self.store.data_mut().current.trace_next();
    }

    /// The trace of the last call, if it was traced.
    pub fn take_trace(&mut self) -> Option<Box<Trace>> {
        self.store.data_mut().current.take_trace()
    }

    /// Whether the instance can be called again: not after a trap, a time-out or a cut.
    pub fn is_usable(&self) -> bool {
        self.usable
    }

    /// The guest functions that were running when the last call trapped, innermost first. Empty if it did not trap, or
    /// if the engine was not made for [debugging](super::Purpose::Debug).
    pub fn backtrace(&self) -> &[Frame] {
        &self.backtrace
    }

    /// How many times the operation was called.
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// Calls `setup`, if the task has one.
    pub async fn setup(&mut self) -> Result<(), TaskError> {
        self.call_hook::<_, ()>(Hook::Setup, ()).await.map(Option::unwrap_or_default)
    }

    /// Calls `teardown`, if the task has one.
    pub async fn teardown(&mut self) -> Result<(), TaskError> {
        self.call_hook::<_, ()>(Hook::Teardown, ()).await.map(Option::unwrap_or_default)
    }

    /// Calls `prepare`; returns an empty string if the task has none.
    pub async fn prepare(&mut self) -> Result<String, TaskError> {
        let prepared: String = self.call_hook(Hook::Prepare, ()).await.map(Option::unwrap_or_default)?;
        if prepared.len() > MOST_PREPARED {
            let reason = format!("it returned {} bytes, and may return {MOST_PREPARED}", prepared.len());
            return Err(TaskError::Hook { hook: Hook::Prepare, reason });
        }
        Ok(prepared)
    }

    /// Calls `cleanup`, if the task has one.
    pub async fn cleanup(&mut self, prepared: String) -> Result<(), TaskError> {
        self.call_hook::<_, ()>(Hook::Cleanup, (prepared,)).await.map(Option::unwrap_or_default)
    }

    async fn call_hook<P, R>(&mut self, hook: Hook, params: P) -> Result<Option<R>, TaskError>
    where
        P: ComponentNamedList + Lower + Send + Sync + 'static,
        R: Send + Sync + 'static,
        (Result<R, String>,): ComponentNamedList + Lift,
    {
        let Some(index) = self.interface.hook(hook) else { return Ok(None) };
        let failed = |reason: String| TaskError::Hook { hook, reason: line(cut(&reason)) };
        let function = self.exports.get_typed_func::<P, (Result<R, String>,)>(&mut self.store, index);
        let function = function.map_err(|error| failed(error.to_string()))?;
        let timeout = self.hook_timeout;
        let guest = self.store.data_mut();
        (guest.called, guest.allowed, guest.number) = (Some(Instant::now()), timeout, 0);
        let returned = match self.lane {
            Lane::Compute => Ok(function.call(&mut self.store, params)),
            Lane::Io => {
                let halt = self.store.data().halt.clone();
                until(timeout, &halt, function.call_async(&mut self.store, params)).await
            }
        };
        let stopped = match returned {
            Ok(Ok((Ok(value),))) => return Ok(Some(value)),
            Ok(Ok((Err(reason),))) => return Err(failed(reason)),
            Ok(Err(ref error)) => self.stopped_by(error),
            Err(stopped) => stopped,
        };
        self.usable = false;
        self.backtrace = frames_of(stopped);
        if let Stopped::Cut = stopped {
            return Err(failed("it was stopped".into()));
        }
        if let Stopped::Late = stopped {
            let most = timeout.map(humantime::format_duration).map(|most| format!(" than --hook-timeout {most}"));
            return Err(failed(format!("it took longer{}", most.unwrap_or_default())));
        }
        let began = self.store.data().called;
        let (_, result, reason) = self.outcome_of(stopped, began.unwrap_or_else(Instant::now));
        Err(failed(reason.map_or(result.clone(), |reason| format!("{result}: {reason}"))))
    }

    /// Why a call ended with `error`.
    fn stopped_by<'e>(&self, error: &'e wasmtime::Error) -> Stopped<'e> {
        match error.downcast_ref() {
            Some(Trap::Interrupt) if self.store.data().halt.is_cut() => Stopped::Cut,
            Some(Trap::Interrupt) => Stopped::Late,
            _ => Stopped::Trapped(error),
        }
    }

    fn in_time<'r, R: Returned>(&self, returned: &'r InTime<R>) -> Result<Result<&'r str, &'r str>, Stopped<'r>> {
        match returned {
            Ok(Ok(returned)) => Ok(returned.result()),
            Ok(Err(error)) => Err(self.stopped_by(error)),
            Err(stopped) => Err(*stopped),
        }
    }

    /// How a call that did not return is reported, and that began at `began`: outcome, result, and a reason if there is
    /// more to say.
    fn outcome_of(&self, stopped: Stopped<'_>, began: Instant) -> (Outcome, String, Option<String>) {
        let error = match stopped {
            Stopped::Late | Stopped::Cut => return (Outcome::TimedOut, "timeout".into(), None),
            Stopped::Trapped(error) => error,
        };
        let (name, reason) = named(error, self.store.data(), began);
        (Outcome::Trapped, format!("trap: {name}"), reason)
    }
}

/// Which operation ran, when, and where its time went.
#[derive(Clone, Copy)]
struct Times<'a> {
    ticket: Ticket,
    clock: &'a Clock,
    start_ns: u64,
    end_ns: u64,
    split: Option<&'a TimeSplit>,
}

/// The moment at which `clock` said `ns`.
#[cold]
fn instant(clock: &Clock, ns: u64) -> Instant {
    let now = Instant::now();
    now.checked_sub(Duration::from_nanos(clock.elapsed_ns().saturating_sub(ns))).unwrap_or(now)
}

/// Why a call did not return.
#[derive(Clone, Copy)]
enum Stopped<'a> {
    /// Its time-out passed.
    Late,
    /// The run was cut.
    Cut,
    /// It trapped.
    Trapped(&'a wasmtime::Error),
}

#[cold]
fn frames_of(stopped: Stopped<'_>) -> Vec<Frame> {
    match stopped {
        Stopped::Trapped(error) => frames(error),
        Stopped::Late | Stopped::Cut => Vec::new(),
    }
}

/// What an operation returns, for both of its possible types.
trait Returned: ComponentNamedList + Lift + Send + Sync + 'static {
    /// The result; as an error if it is a failure.
    fn result(&self) -> Result<&str, &str>;
}

impl Returned for (String,) {
    #[inline]
    fn result(&self) -> Result<&str, &str> {
        Ok(&self.0)
    }
}

impl Returned for (Result<String, String>,) {
    #[inline]
    fn result(&self) -> Result<&str, &str> {
        self.0.as_deref().map_err(String::as_str)
    }
}

/// The outcome of a call that may have been ended while it waited.
type InTime<R> = Result<wasmtime::Result<R>, Stopped<'static>>;

/// Waits for `call` until it times out or is cut.
async fn until<R>(
    timeout: Option<Duration>,
    halt: &Halt,
    call: impl Future<Output = wasmtime::Result<R>>,
) -> InTime<R> {
    // The time counts from now, not from the first wait.
    let deadline = timeout.map(|timeout| tokio::time::Instant::now() + timeout);
    let late = async {
        match deadline {
            Some(deadline) => tokio::time::sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        // In this order, so that a call that never waits neither arms a timer nor subscribes to the cut.
        biased;
        returned = call => Ok(returned),
        () = late => Err(Stopped::Late),
        () = halt.until_cut() => Err(Stopped::Cut),
    }
}

/// What the engine does at a tick while a guest computes. Each tick arms the next one, so calls need not arm anything.
#[expect(clippy::unnecessary_wraps, reason = "wasmtime calls it, and a callback can fail")]
fn tick_by(mut store: StoreContextMut<'_, Guest>) -> wasmtime::Result<UpdateDeadline> {
    let guest = store.data_mut();
    // Read the clock instead of counting ticks: a thread that had to wait for a processor sees one tick for many.
    let since = *guest.called.get_or_insert_with(Instant::now);
    let is_late = guest.allowed.is_some_and(|allowed| since.elapsed() >= allowed);
    Ok(if is_late || guest.halt.is_cut() { UpdateDeadline::Interrupt } else { UpdateDeadline::Continue(1) })
}
