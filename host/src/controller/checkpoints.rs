//! Keeps the journal of a long command short: what it says up to a place becomes a file on the server, and only once
//! the register names that file is anything removed from the journal.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, bounded};

use super::fleet::Fleet;
use crate::cluster::journal::Posted;

/// A checkpoint is made when the journal after the last one has at least so many bytes, and more than the checkpoint
/// itself had.
const TAIL: usize = 32 << 20;

/// The least time between two checkpoints, unless the journal fills up.
const PAUSE: Duration = Duration::from_secs(30);

/// An agent that has not read something for so long has been given up.
const UNREAD: Duration = Duration::from_secs(10);

/// The checkpoints of a run.
pub(super) struct Checkpoints {
    /// How many bytes the journal may have.
    most: usize,
    /// How many bytes were appended since the last checkpoint.
    tail: usize,
    /// How many bytes the last checkpoint had.
    size: usize,
    last: Instant,
    /// Whether the journal can be cut at the last message that was read.
    is_whole: bool,
    making: Option<Making>,
    /// The place of the last message that was read.
    read: u64,
    /// How many orders each box has carried out.
    carried_out: Vec<u64>,
    /// What can be removed once all boxes have read it: the place, the orders that each box had been given by then, and
    /// since when.
    old: Option<(u64, Vec<u64>, Instant)>,
}

impl Checkpoints {
    /// For a journal that may have `most` bytes; `None` if it is to be kept whole.
    pub(super) fn new(most: Option<u64>) -> Self {
        let most = most.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
        Self {
            most,
            tail: 0,
            size: 0,
            last: Instant::now(),
            is_whole: false,
            making: None,
            read: 0,
            carried_out: Vec::new(),
            old: None,
        }
    }

    /// The journal already has so many bytes, and has been read up to a place, where it can be cut or not.
    pub(super) fn take_over(&mut self, bytes: u64, read: u64, is_whole: bool) {
        self.tail = usize::try_from(bytes).unwrap_or(usize::MAX);
        (self.read, self.is_whole) = (read, is_whole);
    }

    /// A message has been read.
    pub(super) fn read(&mut self, posted: &Posted) {
        self.tail += posted.bytes;
        self.is_whole = posted.whole == posted.sequence;
        self.read = posted.sequence;
    }

    /// Whether a checkpoint should be made now.
    pub(super) fn is_due(&self) -> bool {
        if self.most == usize::MAX || !self.is_whole || self.making.is_some() || self.old.is_some() {
            return false;
        }
        let is_long = self.tail >= TAIL.min(self.most / 4).max(self.size).min(self.most / 2);
        is_long && (self.last.elapsed() >= PAUSE || self.tail >= self.most / 4)
    }

    /// Makes a checkpoint of what was read so far, beside the run.
    pub(super) fn make(&mut self, fleet: &Fleet, kept: io::Result<Vec<u8>>, given: Vec<u64>) {
        (self.tail, self.last) = (0, Instant::now());
        let Ok(kept) = kept else { return };
        self.size = kept.len();
        let (link, key) = (Arc::clone(&fleet.link), fleet.journal.key().clone());
        let (registration, (tell, made)) = (Arc::clone(&fleet.registration), bounded(1));
        let make = move || {
            let digest = key.seal(FILE, kept).ok().and_then(|sealed| link.put(&sealed).ok());
            let stands = digest.map_or(Made::Failed, |digest| {
                let mut before = None;
                let changed = registration.try_change(|listing| before = listing.checkpoint.replace(digest.clone()));
                match (changed, before) {
                    (Ok(true), before) => {
                        if let Some(before) = before {
                            link.forget(&before);
                        }
                        Made::Stands
                    }
                    (Ok(false), _) => Made::Fenced,
                    (Err(_), _) => Made::Failed,
                }
            });
            // After the end of the run nobody receives this.
            let _ = tell.send(stands);
        };
        // If it cannot be made, the journal stays as it is until the next one.
        if std::thread::Builder::new().name("checkpoint".into()).spawn(make).is_ok() {
            self.making = Some(Making { place: self.read, given, made });
        }
    }

    /// A box has carried out so many orders.
    pub(super) fn carried_out(&mut self, index: u32, orders: u64) {
        let index = index as usize;
        self.carried_out.resize(self.carried_out.len().max(index + 1), 0);
        self.carried_out[index] = orders;
    }

    /// Some time has passed. An error if another controller has taken over.
    pub(super) fn tick(&mut self, fleet: &Fleet) -> Result<(), Fenced> {
        if let Some(making) = self.making.take_if(|making| !making.made.is_empty()) {
            match making.made.try_recv() {
                Ok(Made::Stands) => self.old = Some((making.place, making.given, Instant::now())),
                Ok(Made::Fenced) => return Err(Fenced),
                Ok(Made::Failed) | Err(_) => {}
            }
        }
        let carried_out = &self.carried_out;
        let has_read = |(i, given): (usize, &u64)| carried_out.get(i).is_some_and(|carried_out| carried_out >= given);
        let is_old = |(_, given, since): &mut (u64, Vec<u64>, Instant)| {
            given.iter().enumerate().all(has_read) || since.elapsed() >= UNREAD
        };
        if let Some((place, ..)) = self.old.take_if(is_old) {
            let (link, journal) = (Arc::clone(&fleet.link), fleet.journal.clone());
            // Whatever is not removed now is removed with the next checkpoint.
            let purge = move || drop(journal.purge(&link, place));
            let _ = std::thread::Builder::new().name("checkpoint".into()).spawn(purge);
        }
        Ok(())
    }
}

/// Another controller has taken over.
pub(super) struct Fenced;

/// A checkpoint that is being made.
struct Making {
    /// The place up to which it reaches.
    place: u64,
    /// How many orders each box had been given by then.
    given: Vec<u64>,
    made: Receiver<Made>,
}

/// What came of a checkpoint.
enum Made {
    /// It stands in the register, and what it says can be removed from the journal.
    Stands,
    /// The register is another controller's.
    Fenced,
    /// The server did not take it.
    Failed,
}

/// What files of checkpoints are sealed for.
pub(super) const FILE: &str = "checkpoint";
