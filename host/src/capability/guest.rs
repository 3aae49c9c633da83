//! The state behind one instance's imports, and the surroundings that instances share. Does not know how an instance is
//! made or called.

use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::current::Current;
use super::http::Http;
use super::limits::MemoryLimit;
use super::network::Network;
use super::output::{GuestOutput, GuestStream};
use super::run::Given;
use super::timers::Due;
use super::wasi;
use crate::clock::Clock;
use crate::halt::Halt;
use crate::lane::Reactor;
use crate::plan::{Grants, Limits};
use crate::timers::Timetable;

/// What an instance needs besides the task.
#[derive(Clone)]
pub struct Surroundings {
    /// The clock that times spans and waits.
    pub clock: Clock,
    /// Where guests print.
    pub output: GuestOutput,
    /// What the run gives its operations.
    pub given: Arc<Given>,
    /// What instances may reach, and the network counts of one thread's instances.
    pub network: Arc<Network>,
    /// Ends their calls.
    pub halt: Halt,
    /// When the thread of the instances last looked for what has become ready.
    pub reactor: Reactor,
    /// The timers of that thread's instances.
    pub timetable: Timetable,
}

impl Surroundings {
    /// The same for another thread, with separate network counts, a separate reactor and a separate timetable.
    pub fn for_another_thread(&self) -> Self {
        let (reactor, timetable) = (Reactor::new(self.clock.clone()), Timetable::new(self.clock.clone()));
        Self { network: self.network.for_another_thread(), reactor, timetable, ..self.clone() }
    }
}

/// The state behind one instance's imports.
pub struct Guest {
    pub(crate) current: Current,
    /// The number of the operation now running; 0 in hooks.
    pub(crate) number: u64,
    pub(crate) memory: MemoryLimit,
    /// When the running call began; `None` until the clock is first read for it.
    pub(crate) called: Option<Instant>,
    /// How long the call may take.
    pub(crate) allowed: Option<Duration>,
    pub(crate) halt: Halt,
    /// When its timers were due.
    pub(crate) due: Due,
    pub(super) clock: Clock,
    pub(super) timetable: Timetable,
    pub(super) wasi: WasiCtx,
    stderr: GuestStream,
    pub(super) table: ResourceTable,
    pub(super) given: Arc<Given>,
    pub(super) network: Arc<Network>,
    pub(super) http: Http,
}

impl Guest {
    /// The state of a new instance, whose first call may take as long as `allowed`.
    pub fn new(
        grants: &Grants,
        limits: &Limits,
        allowed: Option<Duration>,
        surroundings: &Surroundings,
    ) -> wasmtime::Result<Self> {
        let memory = MemoryLimit::new(limits.max_memory);
        let mut table = ResourceTable::new();
        table.set_max_capacity(memory.max_handles());
        let (wasi, stderr) = wasi::context(grants, &surroundings.output, &surroundings.network, memory.max_passed())?;
        Ok(Self {
            wasi,
            stderr,
            table,
            current: Current::new(surroundings.clock.clone(), surroundings.network.http.traceparent),
            number: 0,
            given: surroundings.given.clone(),
            network: surroundings.network.clone(),
            http: Http::default(),
            memory,
            called: None,
            allowed,
            halt: surroundings.halt.clone(),
            due: Due::default(),
            clock: surroundings.clock.clone(),
            timetable: surroundings.timetable.clone(),
        })
    }
}

impl Guest {
    /// Why the guest has trapped, as far as it has said so since `began`.
    #[cold]
    pub(crate) fn last_words(&self, began: Instant) -> Option<String> {
        self.stderr.last_words(began)
    }

    /// Ends what the last call of an instance has left behind when it stopped at `end_ns` by `clock`. Its requests end
    /// now, and not when the instance is dropped, which may be later than the last counts.
    #[cold]
    pub(crate) fn abandon(&mut self, end_ns: u64, clock: &Clock) {
        self.current.give_up(end_ns, clock);
        self.network.giving_up(|| self.table = ResourceTable::new());
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}
