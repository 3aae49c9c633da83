//! Frames between controller and worker: a length, then postcard.
//!
//! The only room that knows bytes. Both ends are the same binary; [`PROTOCOL`] is checked all the same, because one
//! day the other end is another box.

use std::io::{self, Read, Write};
use std::ops::{AddAssign, Range};
use std::path::PathBuf;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::capability::resolve::Addresses;
use crate::fault::Fault;
use crate::metrics::{Cut, Health, Metrics, NetworkCounts};
use crate::plan::RunPlan;

/// Changes whenever a frame changes; a test holds the bytes of every frame.
pub const PROTOCOL: u32 = 4;

/// No frame of ours comes near this; one that does is noise on the pipe.
const MAX_FRAME: u32 = 256 << 20;

/// What one worker is to run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WorkerPlan {
    /// The phases of the run, in their order; the last one is what is counted.
    pub phases: Vec<(Phase, RunPlan)>,
    /// Its place among the processes of the run, from 0; one in place of one that died has its predecessor's.
    pub place: u32,
    /// In an open run: the first slot of that place, in the last phase, which is not another worker's.
    pub first_slot: u64,
    /// The task's machine code.
    pub machine_code: PathBuf,
    /// What names stand for, in the whole run.
    pub addresses: Addresses,
}

impl WorkerPlan {
    /// The last phase, which is what is counted. Its task is that of all phases.
    ///
    /// # Panics
    /// If there is no phase.
    pub fn run(&self) -> &RunPlan {
        &self.phases[self.phases.len() - 1].1
    }
}

/// What the controller tells a worker.
#[derive(Debug, Serialize, Deserialize)]
pub enum Command {
    /// Load the task.
    Load(Box<WorkerPlan>),
    /// Call the task's `prepare`.
    Prepare,
    /// Call the task's `cleanup` with what `prepare` returned.
    Cleanup(String),
    /// Make the threads and their instances.
    SetUp {
        /// What `prepare` returned.
        prepared: String,
    },
    /// Start the operations of a phase.
    Go {
        /// Which, counted from 0.
        phase: u32,
        /// When it begins, by the machine's monotonic clock; it may be a moment to come.
        beginning: Duration,
    },
    /// Numbers to run.
    Lease(Range<u64>),
    /// There are no more numbers.
    NoMore,
    /// Start no more operations, whatever numbers are left.
    Stop,
    /// End the operations in flight.
    Cut,
}

/// A part of a run after which all its workers wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Operations that are not counted.
    Warmup,
    /// Those that are.
    Run,
}

/// What a worker tells the controller.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Message {
    /// It lives.
    Hello {
        /// Its [`PROTOCOL`].
        protocol: u32,
        /// Its process identifier, on its machine.
        process: u32,
    },
    /// It has loaded the task.
    Loaded {
        /// How long that took.
        took: Duration,
    },
    /// It cannot go on, and why.
    Refused(String),
    /// What `prepare` or `cleanup` returned.
    HookReturned(String),
    /// What they wanted to reach and were not granted.
    HookRefused(Box<NetworkCounts>),
    /// All its threads wait for the start.
    Ready {
        /// The longest instantiation.
        instantiate: Duration,
        /// The longest `setup`; `None` where the task has none.
        setup: Option<Duration>,
    },
    /// It will soon need this many numbers more.
    Need(u64),
    /// What it has counted since the last delta.
    Delta(Box<Delta>),
    /// Something its guests printed.
    Output(Vec<u8>),
    /// Something that went wrong and did not end it.
    Fault(Fault),
    /// How it is. It says so about once a second in every state, so that silence means something.
    Health(Health),
    /// Its part of the phase is over: what it holds of its leases and has not confirmed was never started.
    Rested,
    /// All its threads have ended.
    Done(Usage),
}

/// Operations that were counted, and which ones: applied together or not at all.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Delta {
    /// The counts.
    pub metrics: Metrics,
    /// Which ones: their numbers, or in an open run the indices of their slots within the process.
    pub numbers: Vec<Range<u64>>,
    /// Slots that were due and never started; their indices.
    pub dropped: Vec<Range<u64>>,
    /// Operations that were in flight when they were cut; not among those counted.
    pub in_flight: Vec<Cut>,
    /// Operations that ran beyond the run's duration until their deadline; counted, as timed out.
    pub overtime: Vec<Cut>,
}

impl Delta {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
            && self.dropped.is_empty()
            && self.in_flight.is_empty()
            && self.metrics.network.is_empty()
    }
}

impl AddAssign<Delta> for Delta {
    fn add_assign(&mut self, other: Delta) {
        self.metrics += &other.metrics;
        self.numbers.extend(other.numbers);
        self.dropped.extend(other.dropped);
        self.in_flight.extend(other.in_flight);
        self.overtime.extend(other.overtime);
    }
}

/// What a worker used, in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Processor time, user and system.
    pub cpu_ns: u64,
    /// The most memory it had resident at once.
    pub peak_rss_bytes: u64,
}

/// Writes one frame.
pub fn write(mut to: impl Write, frame: &impl Serialize) -> io::Result<()> {
    // The length is written over once it is known.
    let mut bytes = postcard::to_extend(frame, vec![0; 4]).map_err(io::Error::other)?;
    let length = u32::try_from(bytes.len() - 4).ok().filter(|&length| length <= MAX_FRAME);
    let length = length.ok_or_else(|| io::Error::other("a frame is too long"))?;
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    to.write_all(&bytes)?;
    to.flush()
}

/// Reads one frame; `None` where the other end has closed.
pub fn read<T: DeserializeOwned>(mut from: impl Read) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let length = u32::from_le_bytes(length);
    if length > MAX_FRAME {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame is too long"));
    }
    let mut bytes = Vec::new();
    if from.by_ref().take(u64::from(length)).read_to_end(&mut bytes)? < length as usize {
        return Ok(None);
    }
    postcard::from_bytes(&bytes).map(Some).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_arrive_in_order_until_the_end() {
        let mut pipe = Vec::new();
        write(&mut pipe, &Command::Lease(3..9)).unwrap();
        write(&mut pipe, &Command::NoMore).unwrap();
        let mut from = &pipe[..];
        assert!(matches!(read(&mut from), Ok(Some(Command::Lease(Range { start: 3, end: 9 })))));
        assert!(matches!(read(&mut from), Ok(Some(Command::NoMore))));
        assert!(matches!(read::<Command>(&mut from), Ok(None)));
    }

    #[test]
    fn a_frame_that_breaks_off_is_an_end_and_noise_is_an_error() {
        let mut pipe = Vec::new();
        write(&mut pipe, &Command::SetUp { prepared: "token".into() }).unwrap();
        assert!(matches!(read::<Command>(&pipe[..pipe.len() - 1]), Ok(None)));
        assert!(read::<Command>(&[0xff; 8][..]).is_err());
        assert!(read::<Command>(&[1, 0, 0, 0, 0x7f][..]).is_err());
    }
}
