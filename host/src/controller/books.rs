//! What is known of a run so far.

use std::time::{Duration, SystemTime};

use crate::clock::system_monotonic;
use crate::fault::{Fault, FaultKind};
use crate::metrics::{Cut, Metrics};
use crate::numbers::Ledger;
use crate::plan::RunPlan;
use crate::report::{RunRecord, Startup, TaskFacts, WorkerFacts};
use crate::wire::Delta;

/// The books of a run; whoever is told of its progress may read them.
pub struct Books<'a> {
    pub(super) task: TaskFacts,
    pub(super) plan: &'a RunPlan,
    pub(super) beginning: Option<Beginning>,
    pub(super) stopped: bool,
    pub(super) ledger: Ledger,
    pub(super) metrics: Metrics,
    pub(super) in_flight: Vec<Cut>,
    pub(super) overtime: Vec<Cut>,
    pub(super) startup: Startup,
    pub(super) faults: Vec<Fault>,
    /// Faults of which there were too many kinds to keep.
    unnoted: u64,
    pub(super) workers: Vec<WorkerFacts>,
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
    pub(super) fn now() -> Self {
        Self { monotonic: system_monotonic(), wall: SystemTime::now() }
    }
}

impl<'a> Books<'a> {
    pub(super) fn open(task: TaskFacts, plan: &'a RunPlan, startup: Startup) -> Self {
        Self {
            task,
            plan,
            beginning: None,
            stopped: false,
            ledger: Ledger::new(plan.numbers(), plan.shape.processes),
            metrics: Metrics::default(),
            in_flight: Vec::new(),
            overtime: Vec::new(),
            startup,
            faults: Vec::new(),
            unnoted: 0,
            workers: Vec::new(),
        }
    }

    /// Books what `worker` has counted; an error where its numbers and its counts do not fit.
    pub(super) fn count(&mut self, worker: u32, delta: &Delta) -> Result<(), String> {
        let mut held = self.ledger.confirm(worker, delta.numbers.iter().cloned());
        for cut in &delta.in_flight {
            held &= self.ledger.cut(worker, cut.number);
        }
        let numbers: u64 = delta.numbers.iter().map(|range| range.end - range.start).sum();
        let counted = delta.metrics.completed();
        self.metrics += &delta.metrics;
        self.in_flight.extend(&delta.in_flight);
        self.overtime.extend(&delta.overtime);
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

    /// How long the run has been going on; nothing before its beginning.
    pub fn elapsed(&self) -> Duration {
        let since = |beginning: Beginning| system_monotonic().saturating_sub(beginning.monotonic);
        self.beginning.map_or(Duration::ZERO, since)
    }

    /// How many operations have ended, as far as is known.
    pub fn completed(&self) -> u64 {
        self.ledger.confirmed()
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
            stopped: self.stopped,
            startup: self.startup,
            metrics: self.metrics.clone(),
            offered: self.ledger.confirmed() + self.ledger.lost().len() + self.ledger.in_flight(),
            lost: self.ledger.lost().len(),
            in_flight: self.in_flight.clone(),
            overtime: self.overtime.clone(),
            workers: self.workers.clone(),
            faults,
        }
    }
}
