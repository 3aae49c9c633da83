//! A task: compiled once, shared by all threads, instantiated by each.
//!
//! Only this module and `capability/` use wasmtime (`machine.rs` reads its version). Owns how a component is compiled,
//! in which lane it runs, and how its operation is called and timed. Knows nothing about leases or reports.

mod backtrace;
mod child;
mod compile;
mod count;
mod ends;
mod inspect;
mod instance;
mod interface;
mod project;
mod timed;

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

pub use wasmtime::Engine;
use wasmtime::component::{Component, InstancePre};
use wasmtime::{Config, Strategy, WasmBacktraceDetails};

use crate::capability::guest::Guest;
use crate::capability::linker;
use crate::fault::remedy;
use crate::hook::Hook;
use crate::lane::Lane;
use crate::plan::{Grants, Limits, RunPlan};

pub use backtrace::Frame;
pub use child::serve as compile;
pub use compile::{Compiled, Compiler, MOST_OF_COMPONENT, sha256};
pub use inspect::{Import, Inspection, Need, inspect};
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
        /// The operating system's error.
        problem: String,
    },
    /// The file is something else.
    #[error("`{path}` is {what}, not a WebAssembly component: {remedy}")]
    NotAComponent {
        /// The file.
        path: String,
        /// What the file is instead.
        what: &'static str,
        /// What to do.
        remedy: String,
    },
    /// The component does not compile or does not link.
    #[error("cannot use the task `{path}`: {problem}")]
    Unusable {
        /// The file.
        path: String,
        /// Why, in wasmtime's words.
        problem: String,
    },
    /// The component has no operation, or its operation has the wrong type.
    #[error("the task {0}")]
    Interface(String),
    /// An instance could not be made.
    #[error("cannot instantiate the task: {0}")]
    Instantiate(String),
    /// A hook failed.
    #[error("the task's `{hook}` failed: {reason}")]
    Hook {
        /// Which hook.
        hook: Hook,
        /// The guest's reason, or how it trapped.
        reason: String,
    },
}

/// With more instances than this in a process, mappings of memory become scarce: Linux gives a process 65,530. An
/// instance takes seven of them if it maps an image of its data, and five if it does not; objects of a collector take
/// three more, or one.
const MANY: u64 = 6_000;

/// What an engine is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// To run a task: a trap says only what happened.
    Multiply,
    /// To run a task with very many instances in a process.
    MultiplyMany,
    /// To debug a task: a trap also says where it happened, with source lines if the component has them.
    Debug,
}

impl Purpose {
    const ALL: [Self; 3] = [Self::Multiply, Self::MultiplyMany, Self::Debug];

    /// The purpose of the engine that runs `plan`.
    pub fn of(plan: &RunPlan) -> Self {
        if plan.instances_per_process() > MANY { Self::MultiplyMany } else { Self::Multiply }
    }

    /// Whether the memory of each instance begins with an image of the task's data, which instances share until they
    /// write to it. The image takes two more of the mappings that a process may have; without it the data is copied.
    pub fn maps_images(self) -> bool {
        self != Self::MultiplyMany
    }

    /// Its name, for the process that compiles.
    fn name(self) -> &'static str {
        match self {
            Self::Multiply => "multiply",
            Self::MultiplyMany => "multiply-many",
            Self::Debug => "debug",
        }
    }
}

impl FromStr for Purpose {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|purpose| purpose.name() == name).ok_or_else(|| format!("`{name}` is not a purpose"))
    }
}

/// The engine that compiles and runs tasks. Controller and workers must use the same configuration, or a compiled task
/// would not load.
pub fn engine(purpose: Purpose) -> Result<Engine, TaskError> {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .wasm_component_model(true)
        .epoch_interruption(true)
        // It would make every call two and a half times as expensive, and WASI 0.2 does not need it.
        .concurrency_support(false)
        .memory_init_cow(purpose.maps_images());
    if purpose == Purpose::MultiplyMany {
        // A heap of objects is a single mapping, which moves when it grows.
        config.gc_heap_reservation(0).gc_heap_guard_size(0).gc_heap_reservation_for_growth(0).gc_heap_may_move(true);
    }
    match purpose {
        Purpose::Multiply | Purpose::MultiplyMany => config.wasm_backtrace_max_frames(None),
        Purpose::Debug => config.wasm_backtrace_details(WasmBacktraceDetails::Enable),
    };
    Engine::new(&config).map_err(|error| TaskError::Instantiate(describe(&error)))
}

/// A wasmtime error in one line, with a remedy if an error of the operating system is behind it.
fn describe(error: &wasmtime::Error) -> String {
    let text = format!("{error:#}").replace('\n', " ");
    // wasmtime passes the system's errors on as text, in its error type.
    let code = text.rsplit_once("(os error ").and_then(|(_, rest)| rest.split_once(')')?.0.parse().ok());
    let advice = code.map(std::io::Error::from_raw_os_error).as_ref().map_or("", remedy);
    format!("{text}{advice}")
}

/// A task that is ready to be instantiated.
pub struct Task {
    pre: InstancePre<Guest>,
    lane: Lane,
    interface: Arc<Interface>,
    limits: Limits,
    grants: Grants,
}

impl Task {
    /// Loads a task that [`Compiler`] has compiled, and links it as `plan` says.
    pub fn load(engine: &Engine, compiled: &Path, plan: &RunPlan) -> Result<Self, TaskError> {
        let component = compile::map(engine, compiled)?;
        Self::link(engine, &component, plan)
    }

    fn link(engine: &Engine, component: &Component, plan: &RunPlan) -> Result<Self, TaskError> {
        let interface = Arc::new(Interface::of(engine, component, plan.operation())?);
        let lane = interface::lane(interface::waits(engine, component, plan.grants()).as_deref());
        let pre = linker(engine, lane)
            .and_then(|linker| linker.instantiate_pre(component))
            .map_err(|error| TaskError::Interface(interface::unlinked(&error, engine, component)))?;
        Ok(Self { pre, lane, interface, limits: plan.limits(), grants: plan.grants().clone() })
    }

    /// Its lane.
    pub fn lane(&self) -> Lane {
        self.lane
    }

    /// How many memories an instance has.
    pub fn memories(&self) -> u64 {
        // Nothing is known of what imports modules, and that does not link.
        self.pre.component().resources_required().map_or(1, |needed| u64::from(needed.num_memories))
    }

    /// Why `plan` cannot run the task; `None` if it can.
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

/// The interval at which an engine's epoch must advance to keep deadlines of `timeout` to within about 2 %.
pub fn tick(timeout: Option<Duration>) -> Duration {
    let fine = timeout.unwrap_or(Duration::MAX) / 100;
    fine.clamp(Duration::from_millis(1), Duration::from_millis(20))
}

/// Starts a thread that advances the engine's epoch for as long as the engine lives. Deadlines of loops that never
/// leave the guest depend on it.
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
