//! What happens in a run, entry by entry: what its workers said, and what its controller decided.
//!
//! The books of a run are the fold of its entries ([`Books`](crate::controller::Books)). A local run applies entries
//! and does not keep them. A journal that keeps them is enough to rebuild the same books. Knows neither how an entry
//! arises nor what follows from it. `wire.rs` turns entries into bytes.

use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::fault::Standstill;
use crate::hook::Hook;
use crate::metrics::NetworkCounts;
use crate::wire::{self, Message};

/// The version of the entries' serialised form. It changes whenever an entry changes, or what the books make of it.
/// Entries contain frames, so it also changes with [`PROTOCOL`](crate::wire::PROTOCOL).
pub const JOURNAL: u32 = 13;

/// One thing that happened, and when.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// The time since the run was opened.
    pub at: Duration,
    /// Who wrote it.
    pub by: Writer,
    /// What happened.
    pub what: What,
}

impl Entry {
    /// The entry as bytes, with the version of their format.
    pub fn to_bytes(&self) -> io::Result<Vec<u8>> {
        wire::versioned(JOURNAL, self)
    }

    /// The inverse of [`to_bytes`](Self::to_bytes); an error if the bytes have another version or are invalid.
    pub fn from_bytes(bytes: &[u8]) -> io::Result<Self> {
        wire::of_version(JOURNAL, bytes)
    }
}

/// Who writes an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Writer {
    /// A controller. Each controller of a run has a greater epoch than the one before.
    Controller {
        /// Its epoch, from 0.
        epoch: u32,
    },
    /// The agent of a box, by the index of the box in the run.
    Box(u32),
}

/// What happened.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum What {
    /// A worker sent a frame.
    Heard {
        /// Which worker.
        worker: u32,
        /// The index of the frame among the worker's frames, from 1 and not counting what guests print. A repeated
        /// frame is void; after a gap the worker is given up.
        frame: u64,
        /// The frame's message. What guests print is an event and never an entry.
        message: Message,
    },
    /// A worker's process has ended, or could not be started.
    Gone {
        /// Which worker.
        worker: u32,
        /// How it ended, for people.
        how: String,
    },
    /// A hook of the whole run was called, in a separate worker process.
    Hooked {
        /// Which hook.
        hook: Hook,
        /// What the hook wanted to reach and was not granted.
        refused: Box<NetworkCounts>,
        /// What it returned, or why it failed.
        returned: Result<String, String>,
    },
    /// The controller, or the whole machine, did not go on until now.
    Stalled {
        /// What did not go on.
        what: Standstill,
        /// For how long; of a clock, by how much it jumped.
        length: Duration,
    },
    /// A box leaves: its workers start no more operations.
    Leaving,
    /// The clock of a box was compared with the controller's.
    Clock {
        /// The index of the box.
        index: u32,
        /// What was measured.
        reading: ClockReading,
    },
    /// The controller decided this.
    Decided(Decision),
}

/// How the clock of a box compares with the controller's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockReading {
    /// The shortest round trip to the box and back, in nanoseconds.
    pub rtt_ns: u64,
    /// By how much the wall clock of the box is ahead of the controller's, in nanoseconds.
    pub offset_ns: i64,
    /// By how much the monotonic clock of the box is ahead of the controller's, in nanoseconds. Its changes are drift.
    pub monotonic_ns: i64,
}

/// What a controller can decide. A decision does not say what follows from it: the effect is computed where the
/// decision stands in the order of entries. If the condition of the decision no longer holds there, it is void.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decision {
    /// Start a worker process.
    Launch {
        /// Its identifier, unique in the run.
        worker: u32,
        /// Its place among the processes of the run.
        place: u32,
    },
    /// Begin a phase with all workers that are ready.
    Begin {
        /// Which phase, counted from 0.
        phase: u32,
        /// When the first operation may start, since the run was opened.
        beginning: Duration,
    },
    /// Let a worker that has become ready into the phase that is under way.
    Join {
        /// Which worker.
        worker: u32,
    },
    /// Give a worker numbers, or tell it that there are none.
    Lease {
        /// Which worker.
        worker: u32,
        /// How many, at most.
        wanted: u64,
    },
    /// Report that a worker has been silent for too long.
    Miss {
        /// Which worker.
        worker: u32,
    },
    /// End a worker by force. The numbers that it held are lost.
    GiveUp {
        /// Which worker.
        worker: u32,
        /// Why.
        why: Deafness,
    },
    /// A box is lost: its workers are given up.
    LoseBox {
        /// The index of the box.
        index: u32,
    },
    /// Give the workers of a box the slots of the schedule that are due by this time.
    Extend {
        /// The index of the box.
        index: u32,
        /// The time, since the run was opened.
        until: Duration,
    },
    /// A controller takes over. What earlier controllers decide from now on is void.
    Fence,
    /// Start no more operations. Those in flight may end.
    Stop,
    /// End the operations in flight.
    Cut,
    /// Close the books: no worker is left.
    End,
}

/// Why a worker is ended by force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Deafness {
    /// It has been silent for so long that it will not come back.
    Silent,
    /// It was told to end, and did not.
    Deaf,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every journal contains these bytes: if the snapshot changes, [`JOURNAL`] must change.
    #[test]
    fn every_entry_in_bytes() {
        let decisions = [
            Decision::Launch { worker: 1, place: 2 },
            Decision::Begin { phase: 1, beginning: Duration::from_secs(3) },
            Decision::Join { worker: 1 },
            Decision::Lease { worker: 1, wanted: 4 },
            Decision::Miss { worker: 1 },
            Decision::GiveUp { worker: 1, why: Deafness::Silent },
            Decision::GiveUp { worker: 1, why: Deafness::Deaf },
            Decision::LoseBox { index: 1 },
            Decision::Extend { index: 1, until: Duration::from_secs(2) },
            Decision::Fence,
            Decision::Stop,
            Decision::Cut,
            Decision::End,
        ];
        let others = [
            What::Heard { worker: 1, frame: 2, message: Message::Need(5) },
            What::Gone { worker: 1, how: "h".into() },
            What::Stalled { what: Standstill::Controller, length: Duration::from_secs(2) },
            What::Leaving,
            What::Clock { index: 1, reading: ClockReading { rtt_ns: 2, offset_ns: -3, monotonic_ns: 4 } },
            What::Hooked { hook: Hook::Cleanup, refused: Box::default(), returned: Err("f".into()) },
        ];
        let mut lines = Vec::new();
        for what in others.into_iter().chain(decisions.map(What::Decided)) {
            let name = format!("{what:?}");
            let by = Writer::Controller { epoch: 1 };
            let bytes = Entry { at: Duration::from_millis(1_500), by, what }.to_bytes().unwrap();
            assert_eq!(format!("{:?}", Entry::from_bytes(&bytes).unwrap().what), name);
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            lines.push(format!("{} {hex}", name.split(", refused").next().unwrap_or(&name)));
        }
        insta::assert_snapshot!(format!("journal_{JOURNAL}"), lines.join("\n"));
    }

    #[test]
    fn an_entry_of_another_version_is_refused() {
        let bytes = wire::versioned(
            JOURNAL + 1,
            &Entry { at: Duration::ZERO, by: Writer::Box(1), what: What::Decided(Decision::End) },
        );
        let error = Entry::from_bytes(&bytes.unwrap()).unwrap_err().to_string();
        assert!(error.contains(&format!("version {}", JOURNAL + 1)), "{error}");
        assert!(Entry::from_bytes(&[]).is_err() && Entry::from_bytes(&[1]).is_err());
    }
}
