//! Mistakes that the simulation switches on, one at a time, to show that it would find them. Outside of tests there are
//! none.

use std::time::SystemTime;

/// A deliberate mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mistake {
    /// Numbers that were leased can be leased again.
    LeaseTwice,
    /// What a worker says after it was given up counts.
    HearTheDead,
    /// A frame that was heard before counts again.
    HearTwice,
    /// What died with a worker can be leased again.
    LeaseTheLost,
    /// What a dead worker held stays with it.
    LoseNothing,
    /// Of a dead worker's slots those that were not due yet are lost too.
    LoseTheFuture,
    /// What a worker holds when it rests stays with it.
    RestWithLease,
    /// Operations that were cut stay with their worker.
    ForgetTheCut,
    /// Operations of the warm-up are counted with the others.
    CountTheWarmup,
    /// A worker that takes the place of another begins with that one's first slot.
    BeginAtZero,
    /// Silence is nobody's business.
    IgnoreSilence,
    /// Workers that have not begun are not dismissed by a stop.
    KeepTheIdle,
    /// A phase begins before all are ready.
    BeginEarly,
    /// The fold knows something that is not in its entries.
    FoldWithAClock,
}

#[cfg(test)]
impl Mistake {
    /// Each of them.
    pub(super) const ALL: [Self; 14] = [
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
        Self::IgnoreSilence,
        Self::KeepTheIdle,
        Self::BeginEarly,
        Self::FoldWithAClock,
    ];
}

#[cfg(test)]
thread_local! {
    static MADE: std::cell::Cell<Option<Mistake>> = const { std::cell::Cell::new(None) };
}

/// From now on this thread makes this mistake, and no other.
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

/// What [`Mistake::FoldWithAClock`] reads. Not in the books, which name no clock even by mistake.
pub(super) fn wrong_time() -> SystemTime {
    SystemTime::now()
}
