//! What is known of a run so far.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use crate::clock::system_monotonic;
use crate::fault::{Fault, FaultKind};
use crate::metrics::{Cut, Metrics};
use crate::numbers::{Ledger, Shares};
use crate::plan::{LoadModel, RunPlan};
use crate::report::{RunRecord, Startup, TaskFacts, Warmup, WorkerRecord};
use crate::wire::Delta;

/// The books of a run; whoever is told of its progress may read them.
pub struct Books<'a> {
    pub(super) task: TaskFacts,
    pub(super) plan: &'a RunPlan,
    pub(super) beginning: Option<Beginning>,
    /// When it was stopped, from its beginning.
    pub(super) stopped: Option<Duration>,
    pub(super) shares: Shares,
    pub(super) warmup: Option<Warmup>,
    pub(super) metrics: Metrics,
    pub(super) in_flight: Vec<Cut>,
    pub(super) overtime: Vec<Cut>,
    pub(super) startup: Startup,
    pub(super) faults: Vec<Fault>,
    /// Faults of which there were too many kinds to keep.
    unnoted: u64,
    /// By the order in which they were launched.
    pub(super) workers: BTreeMap<u32, WorkerRecord>,
}

/// Distinct faults that are kept, besides those by which something is missing.
const MAX_FAULTS: usize = 100;

/// When the first operation could start, by the machine's two clocks.
#[derive(Clone, Copy)]
pub(super) struct Beginning {
    pub(super) monotonic: Duration,
    wall: SystemTime,
}

impl Beginning {
    /// So long from now.
    pub(super) fn after(lead: Duration) -> Self {
        Self { monotonic: system_monotonic() + lead, wall: SystemTime::now() + lead }
    }
}

/// How the processes of a run share its numbers: from a common store that each draws from as it goes, or dealt to them
/// beforehand with the slots of the schedule.
pub(super) fn shares(plan: &RunPlan) -> Shares {
    match plan.load_model {
        LoadModel::Closed(_) => Shares::common(plan.numbers(), plan.shape.processes),
        LoadModel::Open(_) => Shares::dealt(plan.numbers(), plan.shape.processes),
    }
}

impl<'a> Books<'a> {
    pub(super) fn open(task: TaskFacts, plan: &'a RunPlan, startup: Startup) -> Self {
        Self {
            task,
            plan,
            beginning: None,
            stopped: None,
            shares: shares(plan),
            warmup: None,
            metrics: Metrics::default(),
            in_flight: Vec::new(),
            overtime: Vec::new(),
            startup,
            faults: Vec::new(),
            unnoted: 0,
            workers: BTreeMap::new(),
        }
    }

    /// Books what `worker`, at `place`, has counted; an error where its numbers and its counts do not fit.
    pub(super) fn count(&mut self, worker: u32, place: u32, delta: &Delta) -> Result<(), String> {
        let ledger = self.shares.of(place);
        let mut held = ledger.confirm(worker, delta.numbers.iter().cloned());
        held &= ledger.drop(worker, delta.dropped.iter().cloned());
        for cut in &delta.in_flight {
            let index = self.shares.index(cut.number);
            held &= self.shares.of(place).cut(worker, index);
        }
        let numbers: u64 = delta.numbers.iter().map(|range| range.end - range.start).sum();
        let counted = delta.metrics.completed();
        self.metrics += &delta.metrics;
        self.in_flight.extend(&delta.in_flight);
        self.overtime.extend(&delta.overtime);
        if let Some(record) = self.workers.get_mut(&worker) {
            record.operations += counted;
        }
        match held {
            _ if numbers != counted => {
                Err(format!("worker {worker} counted {counted} operations with {numbers} numbers"))
            }
            true => Ok(()),
            false => Err(format!("worker {worker} ran numbers that it did not hold")),
        }
    }

    /// Notes a fault; true where it is one that was not noted before. A task may fail in the same way a million times.
    pub(super) fn note(&mut self, fault: &Fault) -> bool {
        let is_same = |known: &&mut Fault| (known.kind, &known.message) == (fault.kind, &fault.message);
        if let Some(known) = self.faults.iter_mut().find(is_same) {
            known.times += fault.times;
            return false;
        }
        if self.faults.len() < MAX_FAULTS || fault.is_incomplete() {
            self.faults.push(fault.clone());
            return true;
        }
        self.unnoted += fault.times;
        false
    }

    /// The run is stopped before its plan's end.
    pub(super) fn stop(&mut self) {
        let now = self.elapsed();
        self.stopped.get_or_insert(now);
    }

    /// How long the run has been going on; nothing before its beginning.
    pub fn elapsed(&self) -> Duration {
        let since = |beginning: Beginning| system_monotonic().saturating_sub(beginning.monotonic);
        self.beginning.map_or(Duration::ZERO, since)
    }

    /// How many operations have ended, as far as is known.
    pub fn completed(&self) -> u64 {
        self.shares.sum(Ledger::confirmed)
    }

    /// All of it.
    pub fn record(&self) -> RunRecord {
        let mut faults = self.faults.clone();
        if self.unnoted > 0 {
            let message = format!("{} more of other kinds", self.unnoted);
            faults.push(Fault { kind: FaultKind::Other, message, times: self.unnoted, numbers: Vec::new() });
        }
        RunRecord {
            task: self.task.clone(),
            plan: self.plan.clone(),
            started_at: self.beginning.map_or_else(SystemTime::now, |beginning| beginning.wall),
            stopped: self.stopped.is_some(),
            startup: self.startup,
            metrics: self.metrics.clone(),
            warmup: self.warmup,
            offered: self.shares.sum(Ledger::offered),
            dropped: self.shares.sum(Ledger::dropped),
            lost: self.shares.sum(|ledger| ledger.lost().len()),
            in_flight: self.in_flight.clone(),
            overtime: self.overtime.clone(),
            workers: self.workers.values().cloned().collect(),
            faults,
        }
    }
}
