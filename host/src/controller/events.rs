//! Events of a run, for observers.

use std::time::Duration;

use super::Books;
use crate::fault::Fault;
use crate::hook::Hook;
use crate::metrics::Metrics;
use crate::plan::{Extent, Shape};
use crate::trace::TracedOperation;
use crate::wire::Message;

/// Something that happened in a run.
#[derive(Clone, Debug)]
pub struct RunEvent {
    /// When it happened, since the run was opened.
    pub at: Duration,
    /// What happened.
    pub what: Happened,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Happened {
    /// A hook of the whole run is called.
    HookBegan(Hook),
    /// The hook has ended.
    HookEnded,
    /// The warm-up has begun: operations start, and are not counted.
    WarmingUp,
    /// The first operation that is counted may start.
    Began {
        /// When the run is planned to end.
        extent: Extent,
        /// Its processes and threads.
        shape: Shape,
    },
    /// Operations were counted.
    Counted(Box<Metrics>),
    /// A guest printed these bytes.
    Output(Vec<u8>),
    /// These operations were traced.
    Traced(Vec<TracedOperation>),
    /// Something went wrong, and the run goes on.
    Fault(Fault),
    /// Time has passed.
    Tick,
    /// The run was stopped, and waits for the operations in flight.
    Stopping,
    /// The run waits no longer: it cuts the operations in flight.
    Cutting,
    /// The last worker has ended.
    Ended,
}

/// What a run waits for besides its operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// A hook of the whole run.
    Hook(Hook),
    /// Workers that are not ready: they load the task, make their instances, and set these up.
    Instances {
        /// How many are not ready.
        missing: usize,
        /// How many there are.
        of: usize,
    },
    /// Workers that tear their instances down.
    Teardown {
        /// How many there are.
        left: usize,
    },
}

impl Awaited {
    /// Whether it is the same wait, whatever its numbers are by now.
    pub fn is_like(self, other: Self) -> bool {
        match (self, other) {
            (Self::Hook(hook), Self::Hook(other)) => hook == other,
            (Self::Instances { .. }, Self::Instances { .. }) | (Self::Teardown { .. }, Self::Teardown { .. }) => true,
            _ => false,
        }
    }
}

impl Happened {
    /// What a worker says that concerns observers alone.
    pub(super) fn aside(message: Message) -> Option<Self> {
        match message {
            Message::Output(bytes) => Some(Self::Output(bytes)),
            Message::Traced(traced) => Some(Self::Traced(traced)),
            _ => None,
        }
    }
}

/// Is called with each event of a run, and with the books as they stand then.
pub type Observer<'a> = Box<dyn FnMut(&RunEvent, &Books) + 'a>;

/// Tells every observer.
pub(super) fn tell(observers: &mut [Observer<'_>], event: &RunEvent, books: &Books) {
    for observe in observers {
        observe(event, books);
    }
}
