//! Flags that several commands share: a task, its grants and its inputs.

use std::num::{NonZeroU32, NonZeroU64};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use super::values;
use crate::capability::run::Data;
use crate::network::{Allow, AllowError, Policy};
use crate::plan::{
    Calls, DEFAULT_OPERATION, Dir, Expect, Extent, FIRST_UNCOUNTED, Grants, HttpPlan, HttpVersion, KeepAlive, Limits,
    LoadModel, PlanError, RunPlan, RunSpec, Shape, Trust,
};
use crate::progress::Show;
use crate::record::Origin;
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

    /// Memory limit for an instance
    #[arg(long, value_name = "SIZE", value_parser = values::size, default_value = "512MiB")]
    max_memory: u64,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Inputs of the task")]
struct GivenFlags {
    /// The task's export to call
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
#[command(next_help_heading = "Network")]
struct NetworkFlags {
    /// What the task may reach: http://HOST[:PORT], https://*.example.com, tcp://HOST:PORT, udp://HOST:PORT, all, or
    /// calls, for what a file of calls names
    #[arg(long, value_name = "DESTINATION")]
    allow: Vec<Grant>,

    /// Also trust the certificate authorities in this PEM file
    #[arg(long, value_name = "FILE.pem")]
    ca_cert: Option<PathBuf>,

    /// Accept any certificate
    #[arg(long, conflicts_with = "ca_cert")]
    insecure: bool,

    /// Open a new connection for each request
    #[arg(long)]
    no_keepalive: bool,

    /// Use HTTP/2, even without TLS; by default TLS negotiates it
    #[arg(long)]
    http2: bool,

    /// Look up a name again for connections opened after this time; 0 for every connection [default: once per run]
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    dns_ttl: Option<Duration>,
}

/// What `--allow` takes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Grant {
    This(Allow),
    /// `calls`: where the calls of a file go.
    Calls,
}

impl FromStr for Grant {
    type Err = AllowError;

    fn from_str(text: &str) -> Result<Self, AllowError> {
        if text == "calls" { Ok(Self::Calls) } else { text.parse().map(Self::This) }
    }
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
        self.network.allow.extend(allow.map(Grant::This));
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
        let allow = &mut self.network.allow;
        let before = allow.len();
        allow.retain(|allow| *allow != Grant::Calls);
        if allow.len() < before || is_of_command_line {
            allow.extend(named.map(Grant::This));
        }
    }

    /// What is granted by name.
    pub(super) fn policy(&self) -> Policy {
        let named = |grant: &Grant| if let Grant::This(allow) = grant { Some(allow.clone()) } else { None };
        Policy(self.network.allow.iter().filter_map(named).collect())
    }

    /// The plan that runs this task with `load`. This is the only place where flags become a plan. A flag or a field of
    /// a plan that is forgotten here does not compile.
    pub(super) fn plan(&self, expect: &ExpectFlag, load: LoadSpec) -> Result<RunPlan, PlanError> {
        let Self { args, limits, given, network } = self;
        let LimitFlags { timeout, max_memory } = limits;
        let GivenFlags { operation_name, data, calls, env, dir } = given;
        let ExpectFlag { expect } = expect;
        let LoadSpec { shape, concurrency, extent, first, load_model, warmup, start_jitter, seed, recycle } = load;
        if first >= FIRST_UNCOUNTED {
            return Err(PlanError::Numbers { first });
        }
        if network.allow.contains(&Grant::Calls) {
            return Err(PlanError::AllowCalls);
        }
        let timeout = if timeout.is_zero() { None } else { Some(*timeout) };
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
            limits: Limits { timeout, max_memory: *max_memory, recycle },
            expect: expect.clone(),
            grants: Grants { args: args.clone(), env: env.clone(), dirs: dir.clone(), network: self.policy() },
            http: network.http(),
            data: data.clone(),
            calls: calls.clone(),
        };
        spec.try_into()
    }

    /// Checks every file and directory that the task needs, to report an error once, before the run.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        self.given.check()?;
        if let Some(path) = &self.network.ca_cert {
            std::fs::File::open(path).with_context(|| format!("cannot use the certificates `{}`", path.display()))?;
        }
        Ok(())
    }
}

impl NetworkFlags {
    fn http(&self) -> HttpPlan {
        let Self { allow: _, ca_cert, insecure, no_keepalive, http2, dns_ttl } = self;
        HttpPlan {
            trust: match ca_cert {
                _ if *insecure => Trust::Anyone,
                Some(path) => Trust::RootsAnd(path.clone()),
                None => Trust::Roots,
            },
            keep_alive: if *no_keepalive { KeepAlive::PerRequest } else { KeepAlive::Kept },
            version: if *http2 { HttpVersion::Http2 } else { HttpVersion::Negotiated },
            dns_ttl_ns: dns_ttl.map(|ttl| ttl.as_nanos().try_into().unwrap_or(u64::MAX)),
        }
    }
}

impl GivenFlags {
    /// Reads the data file and looks for the directories, to report an error once and not from every worker.
    fn check(&self) -> anyhow::Result<()> {
        if let Some(path) = &self.data {
            Data::read(path)?;
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
        match self {
            Self::File(path) => compiler.compile(path, compiling),
            Self::Embedded { name, wasm } => compiler.compile_bytes(Path::new(name), wasm, compiling),
        }
    }
}
