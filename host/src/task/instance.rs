//! One instance of a task: its store, its calls, their timing.

use std::time::Duration;

use wasmtime::component::{ComponentNamedList, Instance as Exports, Lift, Lower, ResourceTable, TypedFunc};
use wasmtime::{ResourceLimiter, Store, Trap};
use wasmtime_wasi::I32Exit;

use super::interface::OperationType;
use super::{Guest, Hook, Lane, Surroundings, Task, TaskError, tick};
use crate::capability;
use crate::capability::current::Current;
use crate::clock::Clock;
use crate::metrics::{Outcome, Sample};
use crate::plan::Limits;

/// A hook may load data, log in, create objects; one that has not ended by then never will.
const HOOK_TIMEOUT: Duration = Duration::from_secs(600);

/// Elements that a table of an instance may have: function pointers, of which real programs have some thousands.
const MAX_TABLE_ELEMENTS: usize = 1 << 20;

/// An epoch deadline that is never reached; its sum with the current epoch must not overflow.
const NEVER: u64 = u64::MAX / 2;

/// One instance of a task, in a store of its own.
pub struct Instance {
    store: Store<Guest>,
    exports: Exports,
    operation: Operation,
    lane: Lane,
    deadline: Deadline,
    calls: u64,
    usable: bool,
}

enum Operation {
    Plain(TypedFunc<(u64,), (String,)>),
    Fallible(TypedFunc<(u64,), (Result<String, String>,)>),
}

impl Task {
    /// Makes an instance and calls its `setup`.
    pub async fn instantiate(&self, surroundings: &Surroundings) -> Result<Instance, TaskError> {
        let mut instance = self.instantiate_bare(surroundings).await?;
        instance.setup(self).await?;
        Ok(instance)
    }

    /// Makes an instance, without calling its `setup`.
    pub async fn instantiate_bare(&self, surroundings: &Surroundings) -> Result<Instance, TaskError> {
        let failed = |error: wasmtime::Error| TaskError::Instantiate(format!("{error:#}"));
        let guest = Guest {
            wasi: capability::wasi::context(&self.grants, &surroundings.output).map_err(failed)?,
            table: ResourceTable::new(),
            current: Current::new(surroundings.clock.clone()),
            given: surroundings.given.clone(),
            memory: MemoryLimit { most: self.limits.max_memory, used: 0, refused: false },
        };
        let mut store = Store::new(self.pre.engine(), guest);
        store.limiter(|guest| &mut guest.memory);
        store.set_epoch_deadline(Deadline::of_hooks(&self.limits).ticks);
        let exports = match self.lane {
            Lane::Compute => self.pre.instantiate(&mut store),
            Lane::Io => self.pre.instantiate_async(&mut store).await,
        };
        let exports = exports.map_err(|error| match store.data().memory.refused {
            true => TaskError::Instantiate(format!(
                "it needs more memory to begin with than --max-memory {} allows",
                bytesize::ByteSize(self.limits.max_memory)
            )),
            false => failed(error),
        })?;
        let operation = &self.interface.operation;
        let operation = match self.interface.operation_type {
            OperationType::Plain => exports.get_typed_func(&mut store, operation).map(Operation::Plain),
            OperationType::Fallible => exports.get_typed_func(&mut store, operation).map(Operation::Fallible),
        };
        Ok(Instance {
            operation: operation.map_err(failed)?,
            store,
            exports,
            lane: self.lane,
            deadline: Deadline::new(self.limits.timeout, &self.limits),
            calls: 0,
            usable: true,
        })
    }
}

impl Instance {
    /// Calls the operation, timing the call and nothing else, and hands what came of it to `count`. Returns when the
    /// call ended, by `clock`.
    #[inline]
    pub async fn call(&mut self, number: u64, clock: &Clock, count: &mut impl FnMut(Sample<'_>)) -> u64 {
        self.calls += 1;
        self.store.data_mut().current.clear();
        self.store.set_epoch_deadline(self.deadline.ticks);
        // Each arm by itself, from reading to reading: what is returned is looked at where it lies. Brought into one
        // form first, it would be copied, which is a measurable part of a short operation's cost.
        let (lane, deadline) = (self.lane, self.deadline);
        match &self.operation {
            Operation::Plain(operation) => {
                let start_ns = clock.elapsed_ns();
                let returned = call(&mut self.store, lane, deadline, operation, (number,)).await;
                let end_ns = clock.elapsed_ns();
                let returned = returned.as_ref().map(|(result,)| Ok(result.as_str()));
                self.conclude(Times { number, start_ns, end_ns }, returned, count);
                end_ns
            }
            Operation::Fallible(operation) => {
                let start_ns = clock.elapsed_ns();
                let returned = call(&mut self.store, lane, deadline, operation, (number,)).await;
                let end_ns = clock.elapsed_ns();
                let returned = returned.as_ref().map(|(result,)| result.as_deref().map_err(String::as_str));
                self.conclude(Times { number, start_ns, end_ns }, returned, count);
                end_ns
            }
        }
    }

    /// Tells `count` how a call ended.
    #[inline]
    fn conclude(
        &mut self,
        times: Times,
        returned: Result<Result<&str, &str>, &Stopped>,
        count: &mut impl FnMut(Sample<'_>),
    ) {
        let Times { number, start_ns, end_ns } = times;
        self.usable = returned.is_ok();
        let current = &self.store.data().current;
        let (spans, reason) = (current.spans(), current.failure());
        let sample = |outcome, result, reason| Sample { number, start_ns, end_ns, outcome, result, reason, spans };
        match returned {
            Ok(Ok(result)) if reason.is_none() => count(sample(Outcome::Ok, result, None)),
            Ok(Ok(result) | Err(result)) => count(sample(Outcome::Failed, result, reason)),
            Err(stopped) => {
                let (outcome, result, reason) = self.outcome_of(stopped);
                count(sample(outcome, &result, reason.as_deref()));
            }
        }
    }

    /// Whether it can be called again: not after a trap or a time-out.
    pub fn is_usable(&self) -> bool {
        self.usable
    }

    /// How many times the operation was called.
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// Calls `setup`, where the task has one.
    pub async fn setup(&mut self, task: &Task) -> Result<(), TaskError> {
        self.call_hook::<_, ()>(task, Hook::Setup, ()).await.map(Option::unwrap_or_default)
    }

    /// Calls `teardown`, where the task has one.
    pub async fn teardown(&mut self, task: &Task) -> Result<(), TaskError> {
        self.call_hook::<_, ()>(task, Hook::Teardown, ()).await.map(Option::unwrap_or_default)
    }

    /// Calls `prepare`; empty where the task has none.
    pub async fn prepare(&mut self, task: &Task) -> Result<String, TaskError> {
        self.call_hook(task, Hook::Prepare, ()).await.map(Option::unwrap_or_default)
    }

    /// Calls `cleanup`, where the task has one.
    pub async fn cleanup(&mut self, task: &Task, prepared: String) -> Result<(), TaskError> {
        self.call_hook::<_, ()>(task, Hook::Cleanup, (prepared,)).await.map(Option::unwrap_or_default)
    }

    async fn call_hook<P, R>(&mut self, task: &Task, hook: Hook, params: P) -> Result<Option<R>, TaskError>
    where
        P: ComponentNamedList + Lower + Send + Sync + 'static,
        R: Send + Sync + 'static,
        (Result<R, String>,): ComponentNamedList + Lift,
    {
        let Some(index) = task.interface.hook(hook) else { return Ok(None) };
        let failed = |reason| TaskError::Hook { hook, reason };
        let function = self.exports.get_typed_func::<P, (Result<R, String>,)>(&mut self.store, index);
        let function = function.map_err(|error| failed(error.to_string()))?;
        let deadline = Deadline::of_hooks(&task.limits);
        self.store.set_epoch_deadline(deadline.ticks);
        match call(&mut self.store, self.lane, deadline, &function, params).await {
            Ok((Ok(value),)) => Ok(Some(value)),
            Ok((Err(reason),)) => Err(failed(reason)),
            Err(stopped) => {
                self.usable = false;
                let (_, result, reason) = self.outcome_of(&stopped);
                Err(failed(reason.map_or(result.clone(), |reason| format!("{result}: {reason}"))))
            }
        }
    }

    /// What a call that did not return is reported as: outcome, result and, where it says more, a reason.
    fn outcome_of(&self, stopped: &Stopped) -> (Outcome, String, Option<String>) {
        let error = match stopped {
            Stopped::Late => return (Outcome::TimedOut, "timeout".into(), None),
            Stopped::Trapped(error) => error,
        };
        let memory = &self.store.data().memory;
        let (name, reason) = match error.downcast_ref::<Trap>() {
            Some(Trap::Interrupt) => return (Outcome::TimedOut, "timeout".into(), None),
            // A guest that is refused memory gives up by `unreachable`; the cause is the better name.
            Some(_) if memory.refused => {
                ("out of memory".into(), Some(format!("it asked for more than {}", bytesize::ByteSize(memory.most))))
            }
            Some(Trap::UnreachableCodeReached) => ("unreachable".into(), None),
            Some(Trap::StackOverflow) => ("stack overflow".into(), None),
            Some(trap) => (trap.to_string().trim_start_matches("wasm trap: ").to_owned(), None),
            None => match error.downcast_ref::<I32Exit>() {
                Some(I32Exit(code)) => (format!("exit {code}"), None),
                None => ("host error".into(), Some(error.root_cause().to_string())),
            },
        };
        (Outcome::Trapped, format!("trap: {name}"), reason)
    }
}

/// When an operation ran, and which.
#[derive(Clone, Copy)]
struct Times {
    number: u64,
    start_ns: u64,
    end_ns: u64,
}

/// Why a call did not return.
enum Stopped {
    Late,
    Trapped(wasmtime::Error),
}

/// One call into the guest, on the lane's terms. The epoch deadline must have been set.
#[inline]
async fn call<P, R>(
    store: &mut Store<Guest>,
    lane: Lane,
    deadline: Deadline,
    function: &TypedFunc<P, R>,
    params: P,
) -> Result<R, Stopped>
where
    P: ComponentNamedList + Lower + Send + Sync + 'static,
    R: ComponentNamedList + Lift + Send + Sync + 'static,
{
    let returned = match (lane, deadline.timeout) {
        (Lane::Compute, _) => function.call(store, params),
        (Lane::Io, None) => function.call_async(store, params).await,
        (Lane::Io, Some(timeout)) => {
            tokio::time::timeout(timeout, function.call_async(store, params)).await.map_err(|_| Stopped::Late)?
        }
    };
    returned.map_err(Stopped::Trapped)
}

/// One timeout in the two currencies that enforce it: the runtime's timer, and epochs.
#[derive(Clone, Copy)]
struct Deadline {
    timeout: Option<Duration>,
    ticks: u64,
}

impl Deadline {
    fn new(timeout: Option<Duration>, limits: &Limits) -> Self {
        let tick = tick(limits.timeout);
        // One tick more, as the current one may be about to end.
        let ticks = timeout.map_or(NEVER, |timeout| (timeout.as_nanos() / tick.as_nanos()) as u64 + 1);
        Self { timeout, ticks: ticks.min(NEVER) }
    }

    fn of_hooks(limits: &Limits) -> Self {
        Self::new(limits.timeout.map(|timeout| timeout.max(HOOK_TIMEOUT)), limits)
    }
}

/// Bounds the linear memory of one instance, all its memories together.
pub(super) struct MemoryLimit {
    most: u64,
    used: u64,
    /// Whether growth was refused since the instance was made.
    refused: bool,
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let used = self.used + (desired - current) as u64;
        let granted = used <= self.most;
        if granted {
            self.used = used;
        }
        self.refused |= !granted;
        Ok(granted)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= MAX_TABLE_ELEMENTS)
    }
}
