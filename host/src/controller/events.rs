//! Events of a run, for observers.

use std::time::Duration;

use super::Books;
use crate::fault::Fault;
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
