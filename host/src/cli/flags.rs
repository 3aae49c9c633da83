//! Flags that several commands share: a task, its grants and its inputs.

use std::num::{NonZeroU32, NonZeroU64};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::network::NetworkFlags;
use super::values;
use crate::network::{Allow, Policy};
use crate::plan::{
    Calls, DEFAULT_OPERATION, Dir, Expect, Extent, FIRST_UNCOUNTED, Grants, Limits, LoadModel, PlanError, RunPlan,
    RunSpec, Shape,
};
use crate::progress::Show;
use crate::record::Origin;
use crate::rows::Rows;
use crate::task::{Compiled, Compiler, TaskError};

/// Larger tasks take noticeably long to compile, so a message says so.
const LARGE_TASK: u64 = 1 << 20;

/// A task and its environment.
#[derive(Debug, Args)]
pub(super) struct TaskFlags {
    /// The task's arguments
    #[arg(last = true, value_name = "ARGS", help_heading = "Inputs of the task")]
    args: Vec<String>,

    #[command(flatten)]
    limits: LimitFlags,

    #[command(flatten)]
    given: GivenFlags,

    #[command(flatten)]
    network: NetworkFlags,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
struct LimitFlags {
    /// Time limit for an operation; 0 means no limit
    #[arg(long, value_name = "TIME", value_parser = values::duration, default_value = "60s")]
    timeout: Duration,

    /// Time limit for a hook, and for what a task does while it is instantiated; 0 means no limit
    #[arg(long, value_name = "TIME", value_parser = values::duration, default_value = "60s")]
    hook_timeout: Duration,

    /// Memory limit for an instance, with what the host holds for it
    #[arg(long, value_name = "SIZE", value_parser = values::size, default_value = "512MiB")]
    max_memory: u64,

    /// Memory limit for a worker process; one that takes more ends
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    max_worker_memory: Option<u64>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Inputs of the task")]
struct GivenFlags {
    /// The function of the task to call; in an interface my:pkg/task#operation
    #[arg(long, value_name = "NAME", default_value = DEFAULT_OPERATION)]
    operation_name: String,

    /// A CSV file whose rows the task can read; its first line names the columns
    #[arg(long, value_name = "FILE.csv")]
    data: Option<PathBuf>,

    /// What the data was made from.
    #[arg(skip)]
    calls: Option<Calls>,

    /// An environment variable; K alone passes on gorgon's value
    #[arg(long, value_name = "K=V", value_parser = values::variable)]
    env: Vec<(String, String)>,

    /// A directory to read, or with :rw also to write
    #[arg(long, value_name = "HOST::GUEST[:rw]")]
    dir: Vec<Dir>,
}

#[derive(Debug, Args)]
pub(super) struct ExpectFlag {
    /// Count an operation as failed if its result does not match this regular expression
    #[arg(long, value_name = "REGEX", value_parser = values::expect)]
    expect: Option<Expect>,
}

/// The part of a plan that says how much is run, where, and when. Each command adds it to the flags of the task.
pub(super) struct LoadSpec {
    pub(super) shape: Shape,
    pub(super) concurrency: NonZeroU32,
    pub(super) extent: Extent,
    pub(super) first: u64,
    pub(super) load_model: LoadModel,
    pub(super) warmup: Option<Extent>,
    pub(super) start_jitter: Duration,
    pub(super) seed: u64,
    pub(super) recycle: Option<NonZeroU64>,
}

impl TaskFlags {
    /// Adds variables and a grant to those that the user gave.
    pub(super) fn give(&mut self, env: Vec<(String, String)>, allow: Option<Allow>) {
        self.given.env.extend(env);
        self.network.grant(allow);
    }

    /// Gives the task `data`, a file that was made from `calls`.
    pub(super) fn give_data(&mut self, data: PathBuf, calls: Calls) {
        self.given.data = Some(data);
        self.given.calls = Some(calls);
    }

    /// The data file that the user gave.
    pub(super) fn data(&self) -> Option<&Path> {
        self.given.data.as_deref()
    }

    /// Grants `named`, if the user gave `--allow calls` or wrote the calls into the command line.
    pub(super) fn grant_calls(&mut self, is_of_command_line: bool, named: impl Iterator<Item = Allow>) {
        self.network.grant_calls(is_of_command_line, named);
    }

    /// What is granted by name.
    pub(super) fn policy(&self) -> Policy {
        self.network.policy()
    }

    /// The plan that runs this task with `load`. This is the only place where flags become a plan. A flag or a field of
    /// a plan that is forgotten here does not compile.
    pub(super) fn plan(&self, expect: &ExpectFlag, load: LoadSpec) -> Result<RunPlan, PlanError> {
        let Self { args, limits, given, network } = self;
        let LimitFlags { timeout, hook_timeout, max_memory, max_worker_memory } = limits;
        let GivenFlags { operation_name, data, calls, env, dir } = given;
        let ExpectFlag { expect } = expect;
        let LoadSpec { shape, concurrency, extent, first, load_model, warmup, start_jitter, seed, recycle } = load;
        if first >= FIRST_UNCOUNTED {
            return Err(PlanError::Numbers { first });
        }
        let (policy, http) = network.plan()?;
        let [timeout, hook_timeout] = [timeout, hook_timeout].map(|most| (!most.is_zero()).then_some(*most));
        let spec = RunSpec {
            operation: operation_name.clone(),
            shape,
            concurrency,
            extent,
            first,
            load_model,
            warmup,
            start_jitter,
            seed,
            limits: Limits {
                timeout,
                hook_timeout,
                max_memory: *max_memory,
                max_worker_memory: *max_worker_memory,
                recycle,
            },
            expect: expect.clone(),
            grants: Grants { args: args.clone(), env: env.clone(), dirs: dir.clone(), network: policy },
            http,
            data: data.clone(),
            calls: calls.clone(),
            traced: false,
        };
        spec.try_into()
    }

    /// Checks every file and directory that the task needs, to report an error once, before the run.
    /// Then says what the user may not expect, unless only errors are to be printed.
    pub(super) fn check(&self, is_quiet: bool) -> anyhow::Result<()> {
        self.given.check()?;
        self.network.check()?;
        for advice in self.network.advice().iter().filter(|_| !is_quiet) {
            super::tell(advice);
        }
        Ok(())
    }
}

impl GivenFlags {
    /// Reads the data file and looks for the directories, to report an error once and not from every worker.
    fn check(&self) -> anyhow::Result<()> {
        if let Some(path) = &self.data {
            Rows::read(path)?;
        }
        for dir in &self.dir {
            anyhow::ensure!(
                dir.host.is_dir(),
                "cannot grant `{}`: there is no directory `{}`",
                dir,
                dir.host.display()
            );
        }
        Ok(())
    }
}

/// The origin of a task.
#[derive(Clone, Debug)]
pub(super) enum TaskSource {
    /// A file of the user.
    File(PathBuf),
    /// A task inside the binary.
    Embedded {
        /// Its name in reports.
        name: &'static str,
        /// The component.
        wasm: &'static [u8],
    },
}

impl TaskSource {
    /// Its name or path.
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::File(path) => path,
            Self::Embedded { name, .. } => Path::new(name),
        }
    }

    pub(super) fn origin(&self) -> Origin {
        match self {
            Self::File(_) => Origin::File,
            Self::Embedded { .. } => Origin::Embedded,
        }
    }

    /// Compiles the task. Prints a message if this takes noticeably long, unless nothing is to be shown.
    pub(super) fn compile(&self, compiler: &Compiler, show: Show) -> Result<Compiled, TaskError> {
        let compiling = |bytes| {
            if bytes > LARGE_TASK && show != Show::Nothing {
                let size = bytesize::ByteSize(bytes).display().si();
                super::tell(&format!("compiling {}, {size} ...", self.path().display()));
            }
        };
        let compiled = match self {
            Self::File(path) => compiler.compile(path, compiling),
            Self::Embedded { name, wasm } => compiler.compile_bytes(Path::new(name), wasm, compiling),
        }?;
        if let Some(why) = compiled.uncached.as_ref().filter(|_| show != Show::Nothing) {
            super::tell(&format!("compiled code is not kept for the next run, as the cache cannot be used: {why}"));
        }
        Ok(compiled)
    }
}
