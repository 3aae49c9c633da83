//! Mistakes that the simulation switches on, one at a time, to show that it would find them. Outside of tests nothing
//! can switch them on.

use std::time::SystemTime;

/// A deliberate mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mistake {
    /// A number that is leased can be leased again.
    LeaseTwice,
    /// Frames of a worker count after it was given up.
    HearTheDead,
    /// A repeated frame counts again.
    HearTwice,
    /// Numbers that were lost with a worker can be leased again.
    LeaseTheLost,
    /// Numbers that a dead worker held stay leased to it.
    LoseNothing,
    /// A dead worker's slots are lost even if they were not due yet.
    LoseTheFuture,
    /// Numbers that a worker has not started stay leased to it after its part of a phase.
    RestWithLease,
    /// Numbers of operations that were cut stay leased to their worker.
    ForgetTheCut,
    /// Operations of the warm-up are counted with those of the run.
    CountTheWarmup,
    /// A worker that takes the place of another starts at the first slot of that place.
    BeginAtZero,
    /// The place of a worker that was given up is vacant before its process is gone.
    ReplaceAtOnce,
    /// Silent workers are neither reported nor killed.
    IgnoreSilence,
    /// A stop does not dismiss the workers that have not begun.
    KeepTheIdle,
    /// A phase begins before all workers are ready.
    BeginEarly,
    /// A place that was to have a worker of a lost box gets one there.
    LaunchOnTheLost,
    /// Decisions of a controller count after another has taken over.
    HearTheFenced,
    /// Time in which the server was gone counts against those who were to end.
    CountTheOutage,
    /// The fold reads something that is not in its entries.
    FoldWithAClock,
}

#[cfg(test)]
impl Mistake {
    /// Every mistake.
    pub(super) const ALL: [Self; 18] = [
        Self::LeaseTwice,
        Self::HearTheDead,
        Self::HearTwice,
        Self::LeaseTheLost,
        Self::LoseNothing,
        Self::LoseTheFuture,
        Self::RestWithLease,
        Self::ForgetTheCut,
        Self::CountTheWarmup,
        Self::BeginAtZero,
        Self::ReplaceAtOnce,
        Self::IgnoreSilence,
        Self::KeepTheIdle,
        Self::BeginEarly,
        Self::LaunchOnTheLost,
        Self::HearTheFenced,
        Self::CountTheOutage,
        Self::FoldWithAClock,
    ];
}

#[cfg(test)]
thread_local! {
    static MADE: std::cell::Cell<Option<Mistake>> = const { std::cell::Cell::new(None) };
}

/// From now on this thread makes this mistake and no other; with `None` it makes none.
#[cfg(test)]
pub(super) fn make(mistake: Option<Mistake>) {
    MADE.set(mistake);
}

/// Whether this mistake is made.
#[cfg(test)]
pub(super) fn is_made(mistake: Mistake) -> bool {
    MADE.get() == Some(mistake)
}

/// Whether this mistake is made: never, outside of tests.
#[cfg(not(test))]
pub(super) const fn is_made(_: Mistake) -> bool {
    false
}

/// What [`Mistake::FoldWithAClock`] reads. It stands here because the sources of the books may not name a clock.
pub(super) fn wrong_time() -> SystemTime {
    SystemTime::now()
}
