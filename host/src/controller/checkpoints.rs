//! Keeps the journal of a long command short: what it says up to a place becomes a file on the server, and only after
//! the journal itself says so is anything removed from it.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::fleet::Fleet;
use super::remote::{self, Item};
use crate::cluster::journal::{Appender, Posted};

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
    /// The place up to which the checkpoint reaches that is being made.
    making: Option<u64>,
    /// The place of the last message that was read.
    read: u64,
    /// How many orders each box had been given by the last checkpoint.
    given: Vec<u64>,
    /// How many orders each box has carried out.
    carried_out: Vec<u64>,
    /// What can be removed once all boxes have read it: the place, the file before, and since when.
    old: Option<(u64, Option<String>, Instant)>,
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
            given: Vec::new(),
            carried_out: Vec::new(),
            old: None,
        }
    }

    /// The journal already has so many bytes.
    pub(super) fn take_over(&mut self, bytes: u64) {
        self.tail = usize::try_from(bytes).unwrap_or(usize::MAX);
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
    pub(super) fn make(&mut self, fleet: &Fleet, kept: io::Result<Vec<u8>>, given: Vec<u64>, decider: Appender) {
        self.given = given;
        self.making = Some(self.read);
        (self.tail, self.last) = (0, Instant::now());
        let (link, key) = (Arc::clone(&fleet.link), fleet.journal.key().clone());
        let Ok(kept) = kept else { return };
        self.size = kept.len();
        let make = move || {
            let digest = key.seal(FILE, kept).ok().and_then(|sealed| link.put(&sealed).ok());
            if let Some(Ok(item)) = digest.map(|digest| remote::bytes(&Item::Checkpoint { digest })) {
                decider.append(item);
            }
        };
        // If it cannot be made, the journal stays as it is.
        let _ = std::thread::Builder::new().name("checkpoint".into()).spawn(make);
    }

    /// A checkpoint has its place in the journal.
    pub(super) fn stands(&mut self, fleet: &Fleet, digest: String) {
        let before = fleet.chronicle.borrow_mut().checkpoint.replace(digest);
        if let Some(place) = self.making.take() {
            self.old = Some((place, before, Instant::now()));
        }
    }

    /// A box has carried out so many orders.
    pub(super) fn carried_out(&mut self, index: u32, orders: u64) {
        let index = index as usize;
        self.carried_out.resize(self.carried_out.len().max(index + 1), 0);
        self.carried_out[index] = orders;
    }

    /// Some time has passed.
    pub(super) fn tick(&mut self, fleet: &Fleet) {
        let read = |(i, given): (usize, &u64)| self.carried_out.get(i).is_some_and(|carried_out| carried_out >= given);
        let all_have_read = self.given.iter().enumerate().all(read);
        let is_old = |(_, _, since): &mut (u64, _, Instant)| all_have_read || since.elapsed() >= UNREAD;
        let Some((place, before, _)) = self.old.take_if(is_old) else { return };
        let (link, journal) = (Arc::clone(&fleet.link), fleet.journal.clone());
        // Whatever is not removed now is removed with the next checkpoint.
        let _ = std::thread::Builder::new().name("checkpoint".into()).spawn(move || {
            if journal.purge(&link, place).is_ok()
                && let Some(before) = before
            {
                link.forget(&before);
            }
        });
    }
}

/// What files of checkpoints are sealed for.
pub(super) const FILE: &str = "checkpoint";
