//! Flags that say how much is run, where, and when.

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use clap::Args;

use super::flags::LoadSpec;
use super::values::{self, Stages};
use crate::plan::{Arrivals, Closed, Extent, LoadModel, Open, Pause, PlanError, Rate, Shape, Stage};

#[derive(Debug, Args)]
#[command(next_help_heading = "Load")]
pub(super) struct Load {
    /// Operations in the whole run [default: 1; with --duration or --stages as many as fit]
    #[arg(short = 'n', long, value_name = "N", value_parser = values::number::<u64>)]
    operations: Option<u64>,

    /// Start operations for this long, then let those in flight end [such as 30s]
    #[arg(short, long, value_name = "TIME", value_parser = values::run_duration)]
    duration: Option<Duration>,

    /// Worker processes
    #[arg(short, long, value_name = "P", value_parser = values::number::<u32>, default_value_t = 1)]
    processes: u32,

    /// Threads in each process; each has its own instance of the task
    #[arg(short, long, value_name = "T", value_parser = values::number::<u32>, default_value_t = 1)]
    threads: u32,

    /// Operations in flight per thread, each with its own instance; for tasks that wait [default: 1]
    #[arg(short, long, value_name = "K", value_parser = values::positive::<NonZeroU32>)]
    concurrency: Option<NonZeroU32>,

    /// Processes x threads; if given several times, a run for each in one report
    #[arg(long, value_name = "PxT", conflicts_with_all = ["processes", "threads"])]
    shape: Vec<Shape>,

    /// The number of the first operation
    #[arg(long, value_name = "S", value_parser = values::number::<u64>, default_value_t = 0)]
    first: u64,

    /// Warm up with the same load for this time or this many operations, which are not counted [such as 5s or 1000]
    #[arg(long, value_name = "TIME|N")]
    warmup: Option<Extent>,

    /// Seed of the random numbers, to repeat a run [default: a new one each time]
    #[arg(long, value_name = "S", value_parser = values::number::<u64>)]
    seed: Option<u64>,

    #[command(flatten)]
    open: OpenFlags,

    #[command(flatten)]
    closed: ClosedFlags,

    /// Delay the start of each thread by a random time up to this
    #[arg(long, value_name = "TIME", value_parser = values::duration, default_value = "0")]
    start_jitter: Duration,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Open model: operations start on a schedule, and are timed from when they were due")]
struct OpenFlags {
    /// Operations per second [such as 500/s]; with --stages, the initial rate
    #[arg(long, value_name = "RATE")]
    rate: Option<Rate>,

    /// Rates that are reached linearly, one after the other, each within its time; the run ends after the last one, or
    /// keeps its rate until -n or -d
    #[arg(long, value_name = "TIME:RATE,…")]
    stages: Vec<Stages>,

    /// How the starts of operations are distributed over time
    #[arg(long, default_value = "constant")]
    arrivals: Arrivals,

    /// Drop due operations while this many have not ended [default: they wait]
    #[arg(long, value_name = "N", value_parser = values::positive::<NonZeroU64>)]
    max_in_flight: Option<NonZeroU64>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Closed model: each instance starts its next operation when the previous one has ended")]
struct ClosedFlags {
    /// Pause between two operations of an instance [such as 100ms, or a random 50ms..200ms]
    #[arg(long, value_name = "TIME")]
    pause: Option<Pause>,

    /// Spread the starts of the instances over this time
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    ramp: Option<Duration>,
}

impl OpenFlags {
    fn stages(&self) -> Vec<Stage> {
        self.stages.iter().flat_map(|stages| &stages.0).copied().collect()
    }
}

impl Load {
    /// Sets the duration and the operations in flight, unless the user gave an extent.
    pub(super) fn or_else(&mut self, duration: Duration, concurrency: NonZeroU32) {
        if self.operations.is_none() && self.duration.is_none() && self.open.stages.is_empty() {
            self.duration = Some(duration);
            self.concurrency.get_or_insert(concurrency);
        }
    }

    /// The seed of all random numbers.
    pub(super) fn seed(&self) -> Option<u64> {
        self.seed
    }

    /// A spec for each shape, whose instances are replaced after `recycle` operations.
    pub(super) fn specs(&self, recycle: Option<NonZeroU64>) -> Result<Vec<LoadSpec>, PlanError> {
        // `extent` uses the operations and the duration, and `model` the flags of both load models.
        let Self {
            operations: _,
            duration: _,
            processes,
            threads,
            concurrency,
            shape,
            first,
            warmup,
            seed,
            open: _,
            closed: _,
            start_jitter,
        } = self;
        let shapes = match shape.as_slice() {
            [] => &[Shape::new(*processes, *threads)?],
            shapes => shapes,
        };
        let (load_model, extent) = (self.model()?, self.extent()?);
        let seed = seed.unwrap_or_else(|| fastrand::u64(..));
        let spec = |&shape| LoadSpec {
            shape,
            concurrency: concurrency.unwrap_or(NonZeroU32::MIN),
            extent,
            first: *first,
            load_model: load_model.clone(),
            warmup: *warmup,
            start_jitter: *start_jitter,
            seed,
            recycle,
        };
        Ok(shapes.iter().map(spec).collect())
    }

    /// When operations start.
    fn model(&self) -> Result<LoadModel, PlanError> {
        let OpenFlags { rate, stages: _, arrivals, max_in_flight } = &self.open;
        let stages = self.open.stages();
        let ClosedFlags { pause, ramp } = self.closed;
        let is_open = rate.is_some() || !stages.is_empty();
        match is_open {
            false if max_in_flight.is_some() => Err(PlanError::NeedsRate("--max-in-flight")),
            false if *arrivals != Arrivals::default() => Err(PlanError::NeedsRate("--arrivals")),
            false => Ok(LoadModel::Closed(Closed { pause: pause.unwrap_or_default(), ramp: ramp.unwrap_or_default() })),
            true if pause.is_some() => Err(PlanError::HasRate("--pause")),
            true if ramp.is_some() => Err(PlanError::HasRate("--ramp")),
            true if !self.start_jitter.is_zero() => Err(PlanError::HasRate("--start-jitter")),
            true => {
                let open =
                    Open { arrivals: *arrivals, from: rate.unwrap_or_default(), stages, max_in_flight: *max_in_flight };
                let model = LoadModel::Open(open);
                // This comes before the extent, because a rate of zero also has no end.
                model.check()?;
                Ok(model)
            }
        }
    }

    /// When the run ends: after its stages, unless a flag says otherwise.
    fn extent(&self) -> Result<Extent, PlanError> {
        let (rate, stages) = (self.open.rate, self.open.stages());
        let duration = match (self.operations, self.duration) {
            (None, None) if !stages.is_empty() => Some(stages.iter().map(|stage| stage.duration).sum()),
            // In a closed run the default is one operation, which makes no sense with a rate.
            (None, None) if rate.is_some() => return Err(PlanError::NoExtent),
            (_, duration) => duration,
        };
        Extent::new(self.operations, duration)
    }
}
