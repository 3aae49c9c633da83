//! What the register says of a command, and the right to change it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::cluster::register::Listing;
use crate::cluster::{ClusterError, Link};
use crate::controller::RunError;

/// The listing of a command as this process knows it. Whoever controls the command changes it, also from threads beside
/// the run.
pub(in crate::controller) struct Registration {
    link: Arc<Link>,
    command: String,
    /// With its revision in the register.
    listing: Mutex<(Listing, u64)>,
}

impl Registration {
    /// What was read from the register, or written there, at this revision.
    pub(super) fn new(link: &Arc<Link>, command: &str, listing: Listing, revision: u64) -> Self {
        Self { link: Arc::clone(link), command: command.to_owned(), listing: Mutex::new((listing, revision)) }
    }

    fn lock(&self) -> MutexGuard<'_, (Listing, u64)> {
        // Nothing that holds the lock can panic half-way.
        self.listing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What `read` makes of the listing.
    pub(in crate::controller) fn read<T>(&self, read: impl FnOnce(&Listing) -> T) -> T {
        read(&self.lock().0)
    }

    /// Changes the listing here alone. The next change takes it along.
    pub(super) fn note(&self, change: impl FnOnce(&mut Listing)) {
        change(&mut self.lock().0);
    }

    /// The listing was read again, or written, at this revision.
    pub(super) fn replace(&self, listing: Listing, revision: u64) {
        *self.lock() = (listing, revision);
    }

    /// Changes the listing in the register; returns false, and changes nothing, if another process has changed it since
    /// it was read.
    pub(in crate::controller) fn try_change(&self, change: impl FnOnce(&mut Listing)) -> Result<bool, ClusterError> {
        let mut of = self.lock();
        let mut changed = of.0.clone();
        change(&mut changed);
        let revision = self.link.register(&self.command, &changed, of.1)?;
        if let Some(revision) = revision {
            *of = (changed, revision);
        }
        Ok(revision.is_some())
    }

    /// Changes the listing in the register, for a process that controls the command.
    pub(super) fn change(&self, change: impl FnOnce(&mut Listing)) -> Result<(), RunError> {
        let is_changed = self.try_change(change).map_err(RunError::Cluster)?;
        is_changed.then_some(()).ok_or_else(|| RunError::Fenced(self.command.clone()))
    }
}
