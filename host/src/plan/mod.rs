//! What to run: checked once, valid from then on.
//!
//! A [`RunPlan`] cannot hold values that no run can have, so the code that uses one does not check again. Pure; knows
//! neither flags (those are in `cli/`) nor wasmtime.

mod http;
mod load;
mod shape;
mod task;

use std::num::NonZeroU32;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::typed;

pub use http::{
    AddressOrder, ConnectTo, HttpPlan, HttpVersion, Identity, KeepAlive, MAX_HTTP2_CONNECTIONS, Proxies, Trust,
};
pub use load::{Arrivals, Closed, Extent, LoadModel, MAX_RATE, Open, Pause, Rate, Stage};
pub use shape::{MAX_BOXES, MAX_PROCESSES, MAX_THREADS, Shape};
pub use task::{Access, CallOrder, Calls, Dir, Expect, Grants, Limits};

/// Numbers from here up belong to operations that are not counted, so that the warm-up and the run share no number.
pub const FIRST_UNCOUNTED: u64 = 1 << 63;

/// How many numbers are kept for operations that only a duration bounds. No machine starts so many in a century.
const UNBOUNDED: u64 = 1 << 62;

/// Instances of a whole run. Each takes at least some hundred KiB, so no machine can hold more.
pub const MAX_INSTANCES: u64 = 1_000_000;

/// The export that is called by default.
pub const DEFAULT_OPERATION: &str = "operation";

/// The default time-out of an operation. What has not answered by then never will.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// The default time-out of a hook.
pub const DEFAULT_HOOK_TIMEOUT: Duration = Duration::from_secs(60);

/// The default limit on the memory of an instance, in bytes.
pub const DEFAULT_MAX_MEMORY: u64 = 512 << 20;

/// One run of one task as it was requested: plain data that may be wrong. A [`RunPlan`] is made from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSpec {
    /// The name of the task's exported operation.
    pub operation: String,
    /// Processes and threads.
    pub shape: Shape,
    /// Operations in flight per thread, each with its instance. More than one only in the I/O lane.
    pub concurrency: NonZeroU32,
    /// When the run stops.
    pub extent: Extent,
    /// The number of the first operation.
    pub first: u64,
    /// When operations start.
    pub load_model: LoadModel,
    /// The warm-up: operations under the same load that run first and are not counted.
    pub warmup: Option<Extent>,
    /// Each instance begins at a random time up to this long after the start, so that instances do not run in step.
    pub start_jitter: Duration,
    /// The seed of everything random: the same seed gives the same draws.
    pub seed: u64,
    /// What an operation may use.
    pub limits: Limits,
    /// What a result must match to be ok.
    pub expect: Option<Expect>,
    /// What the task may use.
    pub grants: Grants,
    /// How the task's HTTP is spoken.
    pub http: HttpPlan,
    /// A CSV file of rows for the task.
    pub data: Option<PathBuf>,
    /// The calls that this file was made from; `None` if the user named the file.
    pub calls: Option<Calls>,
    /// Whether operations are traced, one now and then, and what they did is told.
    pub traced: bool,
}

/// One run of one task that can be executed. Its parts are those of its [`RunSpec`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RunSpec", into = "RunSpec")]
pub struct RunPlan(RunSpec);

impl TryFrom<RunSpec> for RunPlan {
    type Error = PlanError;

    fn try_from(spec: RunSpec) -> Result<Self, PlanError> {
        let RunSpec {
            shape,
            extent,
            first,
            load_model,
            warmup,
            limits,
            // Whatever these are, a run can have it.
            operation: _,
            concurrency: _,
            start_jitter: _,
            seed: _,
            expect: _,
            grants: _,
            http: _,
            data: _,
            calls: _,
            traced: _,
        } = &spec;
        Shape::over(shape.boxes, shape.processes, shape.threads)?;
        if let Some(path) = spec.paths().find(|path| path.to_str().is_none()) {
            return Err(PlanError::NotUtf8(path.to_owned()));
        }
        if limits.max_memory == 0 {
            return Err(PlanError::NoMemory);
        }
        load_model.check()?;
        // Only a warm-up may use the numbers that are not counted, and a warm-up has no warm-up.
        let end = first.checked_add(extent.operations().unwrap_or(UNBOUNDED));
        let are_apart = |end| end <= FIRST_UNCOUNTED || (*first == FIRST_UNCOUNTED && warmup.is_none());
        if !end.is_some_and(are_apart) {
            return Err(PlanError::Numbers { first: *first });
        }
        if let Some(operations) = warmup.and_then(Extent::operations).filter(|&operations| operations > UNBOUNDED) {
            return Err(PlanError::Warmup(operations));
        }
        let plan = Self(spec);
        let in_process = plan.instances_per_process();
        if in_process > u64::from(MAX_THREADS) {
            return Err(PlanError::InFlight(in_process));
        }
        let instances = in_process * u64::from(plan.shape().processes);
        if instances > MAX_INSTANCES {
            return Err(PlanError::Instances(instances));
        }
        let processes = plan.shape().workers();
        let is_shared = |open| plan.most_in_flight(open, processes - 1) > 0;
        if plan.load_model().open().is_some_and(|open| !is_shared(open)) {
            return Err(PlanError::MaxInFlight { processes });
        }
        Ok(plan)
    }
}

impl RunSpec {
    /// The files and directories that the workers use.
    fn paths(&self) -> impl Iterator<Item = &Path> {
        let dirs = self.grants.dirs.iter().map(|dir| dir.host.as_path());
        self.data.as_deref().into_iter().chain(dirs).chain(self.http.paths())
    }
}

impl From<RunPlan> for RunSpec {
    fn from(plan: RunPlan) -> Self {
        plan.0
    }
}

impl RunPlan {
    /// The spec with all its parts.
    pub fn spec(&self) -> &RunSpec {
        &self.0
    }

    /// The name of the task's exported operation.
    pub fn operation(&self) -> &str {
        &self.0.operation
    }

    /// Processes and threads.
    pub fn shape(&self) -> Shape {
        self.0.shape
    }

    /// Operations in flight per thread.
    pub fn concurrency(&self) -> NonZeroU32 {
        self.0.concurrency
    }

    /// When the run stops.
    pub fn extent(&self) -> Extent {
        self.0.extent
    }

    /// The number of the first operation.
    pub fn first(&self) -> u64 {
        self.0.first
    }

    /// When operations start.
    pub fn load_model(&self) -> &LoadModel {
        &self.0.load_model
    }

    /// The warm-up, whose operations are not counted.
    pub fn warmup(&self) -> Option<Extent> {
        self.0.warmup
    }

    /// How long after the start an instance begins at the latest.
    pub fn start_jitter(&self) -> Duration {
        self.0.start_jitter
    }

    /// The seed of everything random.
    pub fn seed(&self) -> u64 {
        self.0.seed
    }

    /// What an operation may use.
    pub fn limits(&self) -> Limits {
        self.0.limits
    }

    /// What a result must match to be ok.
    pub fn expect(&self) -> Option<&Expect> {
        self.0.expect.as_ref()
    }

    /// What the task may use.
    pub fn grants(&self) -> &Grants {
        &self.0.grants
    }

    /// How the task's HTTP is spoken.
    pub fn http(&self) -> &HttpPlan {
        &self.0.http
    }

    /// A CSV file of rows for the task.
    pub fn data(&self) -> Option<&Path> {
        self.0.data.as_deref()
    }

    /// Whether operations are traced.
    pub fn is_traced(&self) -> bool {
        self.0.traced
    }

    /// Instances in each process, which is also how many operations it may have in flight.
    pub fn instances_per_process(&self) -> u64 {
        u64::from(self.0.shape.threads) * u64::from(self.0.concurrency.get())
    }

    /// The numbers to hand out. If only a duration is planned, these are all that the run may use.
    pub fn numbers(&self) -> Range<u64> {
        let last = if self.0.first < FIRST_UNCOUNTED { FIRST_UNCOUNTED } else { u64::MAX };
        match self.0.extent.operations() {
            Some(operations) => self.0.first..self.0.first + operations,
            None => self.0.first..last,
        }
    }

    /// The same plan with traces of its operations.
    #[must_use]
    pub fn traced(self) -> Self {
        Self(RunSpec { traced: true, ..self.0 })
    }

    /// The same plan on this many boxes; `-n`, rates and limits stay those of the whole run.
    pub fn on_boxes(&self, boxes: u32) -> Result<Self, PlanError> {
        Self::try_from(RunSpec { shape: Shape { boxes, ..self.0.shape }, ..self.0.clone() })
    }

    /// The plan of the warm-up: the same load at a constant level, with numbers that are not counted.
    pub fn warming(&self) -> Option<Self> {
        let extent = self.0.warmup?;
        let load_model = match &self.0.load_model {
            LoadModel::Closed(closed) => LoadModel::Closed(Closed { ramp: Duration::ZERO, ..*closed }),
            LoadModel::Open(open) => LoadModel::Open(open.level()),
        };
        Some(Self(RunSpec { extent, load_model, warmup: None, first: FIRST_UNCOUNTED, ..self.0.clone() }))
    }

    /// How many operations of the process with the index `process` may be due and not ended: its share of the run's
    /// limit. If the limit does not divide evenly, the first processes get one more.
    pub fn most_in_flight(&self, open: &Open, process: u32) -> u64 {
        let processes = u64::from(self.0.shape.workers());
        open.max_in_flight
            .map_or(u64::MAX, |most| most.get() / processes + u64::from(u64::from(process) < most.get() % processes))
    }
}

/// What is wrong with a plan.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PlanError {
    /// Too few or too many boxes.
    #[error("cannot run on `{0}` boxes: give 1 to {MAX_BOXES}")]
    Boxes(u32),
    /// Too few or too many processes.
    #[error("cannot run `{0}` processes: give 1 to {MAX_PROCESSES}")]
    Processes(u32),
    /// Too few or too many threads.
    #[error("cannot run `{0}` threads in a process: give 1 to {MAX_THREADS}, or more processes")]
    Threads(u32),
    /// A path that cannot be told to a worker.
    #[error("cannot use {0:?}: the names of files and directories have to be UTF-8")]
    NotUtf8(PathBuf),
    /// An order of addresses that is not known.
    #[error("`{0}` is not an order of addresses: write rotate or first")]
    AddressOrder(String),
    /// Another place that cannot be read.
    #[error("`{0}` does not say where to connect: write HOST:PORT:ADDRESS:PORT, as in example.com:443:127.0.0.1:8443")]
    ConnectTo(String),
    /// Too many instances.
    #[error("cannot have `{0}` operations in flight in a process: {MAX_THREADS} is the most, use more processes")]
    InFlight(u64),
    /// Too many instances in all processes together.
    #[error(
        "cannot have `{0}` operations in flight (processes x threads x concurrency): `{MAX_INSTANCES}` is the most"
    )]
    Instances(u64),
    /// No memory.
    #[error("cannot run an instance in `0` bytes of memory: give a size such as `64MiB`")]
    NoMemory,
    /// A comma that does not group three digits.
    #[error(transparent)]
    Comma(#[from] typed::Comma),
    /// Not `PxT`.
    #[error("`{0}` is not a shape: write processes x threads, such as `2x4`")]
    Shape(String),
    /// Zero operations.
    #[error("cannot run `0` operations: give at least 1")]
    NoOperations,
    /// Zero time.
    #[error("cannot run for no time: give a duration such as `30s`")]
    NoDuration,
    /// Not a rate.
    #[error("`{0}` is not a rate: write operations per second, such as `500/s`")]
    Rate(String),
    /// A rate beyond [`MAX_RATE`].
    #[error("`{0}` is too fast: `{MAX_RATE}/s` is the highest rate")]
    TooFast(String),
    /// Not a stage.
    #[error("`{0}` is not a stage: write how long and to which rate, such as `10s:100/s`")]
    Stage(String),
    /// Not a pause.
    #[error("`{0}` is not a pause: write `100ms`, or the shortest and the longest, such as `50ms..200ms`")]
    Pause(String),
    /// Neither a time nor a number.
    #[error("`{0}` is neither a time nor a number of operations: write `5s` or `1000`")]
    Extent(String),
    /// `--allow calls` without calls.
    #[error("`--allow calls` grants what a file of calls names: a task has none, so write the destination")]
    AllowCalls,
    /// An open run that would never end.
    #[error("a run at a rate needs an end: give --operations (-n), --duration (-d) or --stages")]
    NoExtent,
    /// Nothing would ever be due.
    #[error("at a rate of `0` nothing is ever due: give a rate such as `500/s`")]
    NoRate,
    /// A flag of the open model, without a rate.
    #[error("`{0}` is for the open model: give --rate or --stages as well")]
    NeedsRate(&'static str),
    /// A flag of the closed model, with a rate.
    #[error("`{0}` is for the closed model: with --rate or --stages operations start on their schedule")]
    HasRate(&'static str),
    /// Fewer than one operation in flight per process.
    #[error("cannot share --max-in-flight among `{processes}` processes: give at least {processes}")]
    MaxInFlight {
        /// How many processes.
        processes: u32,
    },
    /// Not `HOST::GUEST`.
    #[error("`{0}` is not a directory grant: write HOST::GUEST, or HOST::GUEST:rw to let the task write")]
    Dir(String),
    /// A warm-up that never ends.
    #[error("a warm-up of `{0}` operations would never end: give fewer than 2^62")]
    Warmup(u64),
    /// Numbers that are reserved for operations that are not counted.
    #[error("numbers from `{first}` on would pass 2^63: give a lower --first")]
    Numbers {
        /// The first number asked for.
        first: u64,
    },
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;

    #[test]
    fn a_run_has_a_million_instances_at_most() {
        let of = |processes, threads, concurrency| {
            let plan = crate::pace::tests::plan(Extent::new(None, None).unwrap(), processes, LoadModel::default());
            let concurrency = NonZeroU32::new(concurrency).unwrap();
            let spec = RunSpec { shape: Shape { boxes: 1, processes, threads }, concurrency, ..plan.into() };
            RunPlan::try_from(spec).err()
        };
        assert_eq!(of(1_000, 10, 100), None);
        assert_eq!(of(1_000, 10, 101), Some(PlanError::Instances(1_010_000)));
        assert_eq!(of(1, 10_000, 2), Some(PlanError::InFlight(20_000)));
    }

    /// The plan that a frame with `spec` is read as.
    fn from_frame(spec: &RunSpec) -> Option<RunPlan> {
        postcard::from_bytes(&postcard::to_allocvec(spec).unwrap()).ok()
    }

    #[test]
    fn a_plan_from_a_frame_is_checked_too() {
        let plan = |load_model| crate::pace::tests::plan(Extent::new(Some(5), None).unwrap(), 2, load_model);
        let good = RunSpec { warmup: Some(Extent::new(Some(3), None).unwrap()), ..plan(LoadModel::default()).into() };
        let (taken, second) = (from_frame(&good).unwrap(), Duration::from_secs(1));
        assert_eq!(taken.spec(), &good);
        let warming = taken.warming().unwrap();
        assert_eq!((warming.first(), from_frame(warming.spec())), (FIRST_UNCOUNTED, Some(warming.clone())));
        let backwards = Closed { pause: Pause { least: second, most: Duration::ZERO }, ramp: Duration::ZERO };
        let still = crate::pace::tests::open(Arrivals::Constant, 0.0, &[]);
        let narrow =
            Open { max_in_flight: NonZeroU64::new(1), ..crate::pace::tests::open(Arrivals::Constant, 1.0, &[]) };
        let limits = Limits { max_memory: 0, ..good.limits };
        let second = Extent::new(None, Some(Duration::from_secs(1))).unwrap();
        let endless = Extent::new(Some(1 << 63), None).unwrap();
        for (wrong, error) in [
            (RunSpec { shape: Shape { boxes: 1, processes: 0, threads: 1 }, ..good.clone() }, PlanError::Processes(0)),
            (RunSpec { first: FIRST_UNCOUNTED, ..good.clone() }, PlanError::Numbers { first: FIRST_UNCOUNTED }),
            (RunSpec { first: u64::MAX, ..good.clone() }, PlanError::Numbers { first: u64::MAX }),
            // Enough for the operations of a second, but nobody knows how many these are.
            (
                RunSpec { first: FIRST_UNCOUNTED - 1_000, extent: second, ..good.clone() },
                PlanError::Numbers { first: FIRST_UNCOUNTED - 1_000 },
            ),
            (RunSpec { warmup: Some(endless), ..good.clone() }, PlanError::Warmup(1 << 63)),
            (RunSpec { load_model: LoadModel::Closed(backwards), ..good.clone() }, PlanError::Pause("1s..0s".into())),
            (RunSpec { load_model: LoadModel::Open(still), ..good.clone() }, PlanError::NoRate),
            (RunSpec { load_model: LoadModel::Open(narrow), ..good.clone() }, PlanError::MaxInFlight { processes: 2 }),
            (RunSpec { limits, ..good }, PlanError::NoMemory),
        ] {
            assert_eq!(from_frame(&wrong), None, "{error}");
            assert_eq!(RunPlan::try_from(wrong), Err(error));
        }
        assert!(postcard::from_bytes::<Rate>(&postcard::to_allocvec(&1e9_f64).unwrap()).is_err());
        let nothing: (Option<NonZeroU64>, Option<Duration>) = (None, None);
        assert!(postcard::from_bytes::<Extent>(&postcard::to_allocvec(&nothing).unwrap()).is_err());
    }
}
