//! A task: compiled once, shared by all threads, instantiated by each.
//!
//! With `capability/` the only room that names wasmtime. Owns how a component is compiled, which lane it runs in, how
//! its operation is called and timed. Knows nothing of numbers, leases or reports.

mod backtrace;
mod compile;
mod inspect;
mod instance;
mod interface;
mod timed;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::component::{Component, InstancePre, Linker, ResourceTable};
use wasmtime::{Config, Engine, Strategy, WasmBacktraceDetails};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::capability;
use crate::capability::current::Current;
use crate::capability::http::Http;
use crate::capability::network::Network;
use crate::capability::output::Output;
use crate::capability::run::Given;
use crate::clock::Clock;
use crate::fault::remedy;
use crate::halt::Halt;
use crate::hook::Hook;
use crate::lane::Lane;
use crate::plan::{Grants, Limits, RunPlan};

pub use backtrace::Frame;
pub use compile::{Compiled, Compiler};
pub use inspect::{Import, Inspection, Need, inspect};
use instance::MemoryLimit;
pub use instance::{Instance, Ticket};
use interface::Interface;

/// What is wrong with a task.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// The file cannot be read.
    #[error("cannot read the task `{path}`: {problem}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the operating system said.
        problem: String,
    },
    /// The file is something else.
    #[error("`{path}` is {what}, not a WebAssembly component: {remedy}")]
    NotAComponent {
        /// The file.
        path: String,
        /// What it is instead.
        what: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// The component does not compile or does not link.
    #[error("cannot use the task `{path}`: {problem}")]
    Unusable {
        /// The file.
        path: String,
        /// Why, in wasmtime's words.
        problem: String,
    },
    /// The component has no operation, or one of another type.
    #[error("the task {0}")]
    Interface(String),
    /// An instance could not be made.
    #[error("cannot instantiate the task: {0}")]
    Instantiate(String),
    /// A hook did not do its work.
    #[error("the task's `{hook}` failed: {reason}")]
    Hook {
        /// Which.
        hook: Hook,
        /// What the guest said, or how it trapped.
        reason: String,
    },
}

/// What an engine is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To multiply a task: a trap says what happened and no more.
    Multiply,
    /// To find a task's mistakes: a trap says where it happened, in lines of source where the component knows them.
    Debug,
}

/// The engine that compiles tasks and runs them; for one purpose the same configuration in controller and workers, or a
/// compiled task would not load.
pub fn engine(purpose: Purpose) -> Result<Engine, TaskError> {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .wasm_component_model(true)
        .epoch_interruption(true)
        // On, it costs every call two and a half times as much, and WASI 0.2 has no use for it.
        .concurrency_support(false);
    match purpose {
        Purpose::Multiply => config.wasm_backtrace_max_frames(None),
        Purpose::Debug => config.wasm_backtrace_details(WasmBacktraceDetails::Enable),
    };
    Engine::new(&config).map_err(|error| TaskError::Instantiate(describe(&error)))
}

/// An error of wasmtime's in one line; where the operating system's is behind it, with what to do.
fn describe(error: &wasmtime::Error) -> String {
    let text = format!("{error:#}").replace('\n', " ");
    // wasmtime passes on the system's errors in a type of its own, as text.
    let code = text.rsplit_once("(os error ").and_then(|(_, rest)| rest.split_once(')')?.0.parse().ok());
    let advice = code.map(std::io::Error::from_raw_os_error).as_ref().map_or("", remedy);
    format!("{text}{advice}")
}

/// The state behind one instance's imports.
pub struct Guest {
    pub(crate) wasi: WasiCtx,
    pub(crate) table: ResourceTable,
    pub(crate) current: Current,
    pub(crate) given: Arc<Given>,
    pub(crate) network: Arc<Network>,
    pub(crate) http: Http,
    memory: MemoryLimit,
    /// When the running call began, as far as anybody has looked.
    called: Option<Instant>,
    /// How long it may take.
    allowed: Option<Duration>,
    halt: Halt,
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// A task that is ready to be instantiated.
pub struct Task {
    pre: InstancePre<Guest>,
    lane: Lane,
    interface: Interface,
    limits: Limits,
    grants: Grants,
}

/// What all instances of a process share, besides the task.
#[derive(Clone)]
pub struct Surroundings {
    /// From which spans are timed.
    pub clock: Clock,
    /// Where guests print to.
    pub output: Output,
    /// What the run gives its operations.
    pub given: Arc<Given>,
    /// What they reach.
    pub network: Arc<Network>,
    /// By which their calls are ended.
    pub halt: Halt,
}

impl Task {
    /// Loads a task that [`Compiler`] has compiled, and links it as `plan` says.
    pub fn load(engine: &Engine, compiled: &Path, plan: &RunPlan) -> Result<Self, TaskError> {
        let component = compile::map(engine, compiled)?;
        Self::link(engine, &component, plan)
    }

    fn link(engine: &Engine, component: &Component, plan: &RunPlan) -> Result<Self, TaskError> {
        let interface = Interface::of(engine, component, plan.operation())?;
        let lane = interface::lane(interface::waits(engine, component, plan.grants()).as_deref());
        let pre = linker(engine, lane)
            .and_then(|linker| linker.instantiate_pre(component))
            .map_err(|error| TaskError::Interface(interface::unlinked(&error)))?;
        Ok(Self { pre, lane, interface, limits: plan.limits(), grants: plan.grants().clone() })
    }

    /// Its lane.
    pub fn lane(&self) -> Lane {
        self.lane
    }

    /// Why it cannot be run by `plan`; `None` where it can.
    pub fn refuses(&self, plan: &RunPlan) -> Option<String> {
        (self.lane == Lane::Compute && plan.concurrency().get() > 1).then(|| {
            let why = "the task never waits, so one operation at a time keeps its thread busy: use -t for more";
            format!("cannot have {} operations in flight per thread: {why}", plan.concurrency())
        })
    }

    /// The hooks that it exports.
    pub fn hooks(&self) -> Vec<Hook> {
        Hook::ALL.into_iter().filter(|&hook| self.has(hook)).collect()
    }

    /// Whether it exports `hook`.
    pub fn has(&self, hook: Hook) -> bool {
        self.interface.hook(hook).is_some()
    }
}

/// Everything that a task may import, as its lane needs it.
fn linker(engine: &Engine, lane: Lane) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    capability::wasi::link(&mut linker, lane)?;
    capability::current::link(&mut linker)?;
    capability::run::link(&mut linker)?;
    Ok(linker)
}

/// How often an engine's epoch must advance so that deadlines of `timeout` are kept to within about two hundredths.
pub fn tick(timeout: Option<Duration>) -> Duration {
    let fine = timeout.unwrap_or(Duration::MAX) / 100;
    fine.clamp(Duration::from_millis(1), Duration::from_millis(20))
}

/// Advances the engine's epoch for as long as the process lives, on a thread of its own: the deadlines of loops that
/// never leave the guest depend on it.
pub fn start_ticking(engine: &Engine, tick: Duration) -> std::io::Result<()> {
    let engine = engine.weak();
    std::thread::Builder::new().name("epoch".into()).stack_size(64 << 10).spawn(move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(tick);
        }
    })?;
    Ok(())
}
