//! What a run's controller says while the run goes on, for whoever observes it.

use std::time::Duration;

use super::Books;
use crate::fault::Fault;
use crate::metrics::Metrics;
use crate::plan::{Extent, Shape};

/// Something that happened in a run.
#[derive(Clone, Debug)]
pub struct RunEvent {
    /// When, since the run was opened.
    pub at: Duration,
    /// What.
    pub what: Happened,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Happened {
    /// Operations start that are not counted.
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
    /// A guest printed this.
    Output(Vec<u8>),
    /// Something went wrong, and the run goes on.
    Fault(Fault),
    /// A moment has passed.
    Tick,
    /// The run was asked to stop, and waits for the operations in flight.
    Stopping,
    /// It waits no longer: operations in flight are cut.
    Cutting,
    /// The last worker has ended.
    Ended,
}

/// Whoever is told of a run's events, each with what is known of the run by then.
pub type Observer<'a> = Box<dyn FnMut(&RunEvent, &Books) + 'a>;

/// Tells each of several observers.
pub(super) fn tell(observers: &mut [Observer<'_>], event: &RunEvent, books: &Books) {
    for observe in observers {
        observe(event, books);
    }
}
