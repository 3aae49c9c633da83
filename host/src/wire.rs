//! Frames between controller and worker: a length, then postcard.
//!
//! The only module that knows the bytes of frames. Both ends are the same binary, but [`PROTOCOL`] is checked all the
//! same: one day the other end may be another machine.

use std::io::{self, Read, Write};
use std::ops::{AddAssign, Range};
use std::path::PathBuf;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::fault::{Fault, Stall};
use crate::metrics::{Cut, Health, Metrics, NetworkCounts};
use crate::pace::SlotIndex;
use crate::plan::RunPlan;
use crate::resolve::Addresses;
use crate::rows;
use crate::trace::TracedOperation;

/// The version of the frames. Changes whenever a frame changes; a test has the bytes of every frame.
pub const PROTOCOL: u32 = 16;

/// No real frame comes near this length, in bytes. A longer one is noise on the pipe.
const MAX_FRAME: u32 = 64 << 20;

/// The exit code of a worker that took more memory than it may.
pub const TOO_MUCH_MEMORY: i32 = 12;

/// What one worker has to run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WorkerPlan {
    /// The phases of the run, in order. The operations of the last one are counted.
    pub phases: Vec<(Phase, RunPlan)>,
    /// The worker's place among the processes of the run, from 0. A replacement takes over its predecessor's place.
    pub place: u32,
    /// In an open run: the first slot of the place, in the last phase, that does not belong to an earlier worker.
    pub first_slot: SlotIndex,
    /// The task's machine code.
    pub machine_code: PathBuf,
    /// Whether its instances may have a heap of objects.
    pub has_objects: bool,
    /// The addresses of host names, for the whole run.
    pub addresses: Addresses,
    /// Where the rows of the data file are.
    pub rows: Option<rows::Facts>,
    /// How the worker and its controller keep in touch.
    pub contact: Contact,
}

/// How workers and their controller keep in touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// Operations begin this long after the workers are told of it, so that all of them have heard by then.
    pub lead: Duration,
    /// A lease of numbers should last about this long.
    pub lease: Duration,
    /// How often a worker sends what its threads have counted.
    pub interval: Duration,
    /// How far ahead the slots of a schedule are leased; `None` if all are leased at once.
    pub ahead: Option<Duration>,
}

impl Contact {
    /// Within a machine.
    pub const LOCAL: Self = Self {
        lead: Duration::from_millis(20),
        // Some hundred times as long as it takes to get the next one.
        lease: Duration::from_millis(50),
        // Often enough for a person who watches, and to lose little with a worker that dies.
        interval: Duration::from_millis(100),
        ahead: None,
    };
}

impl WorkerPlan {
    /// The plan of the last phase, whose operations are counted. All phases have the same task.
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
        /// The index of the phase, from 0.
        phase: u32,
        /// When it begins, by the system's monotonic clock; it may lie in the future.
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

/// A part of a run. At its end all workers wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Operations that are not counted.
    Warmup,
    /// Operations that are counted.
    Run,
}

/// What a worker tells the controller.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Message {
    /// It has started.
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
    /// What the hook wanted to reach and was not granted.
    HookRefused(Box<NetworkCounts>),
    /// It has begun a phase, this much later than it was told to.
    Began {
        /// How much later.
        late: Duration,
    },
    /// All its threads wait for the start.
    Ready {
        /// The longest instantiation.
        instantiate: Duration,
        /// The longest `setup`; `None` if the task has none.
        setup: Option<Duration>,
    },
    /// It will soon need this many more numbers.
    Need(u64),
    /// What it has counted since the last delta.
    Delta(Box<Delta>),
    /// Something its guests printed.
    Output(Vec<u8>),
    /// Operations of which it kept everything that they did. They are counted as any others.
    Traced(Vec<TracedOperation>),
    /// Something that went wrong and did not end it.
    Fault(Fault),
    /// Its health. Sent about once a second in every state, so that silence means something.
    Health(Health),
    /// It did not go on for some time.
    Stalled(Stall),
    /// Its part of the phase is over. It never started the numbers that it still holds.
    Rested,
    /// All its threads have ended.
    Done(Usage),
}

impl Message {
    /// Whether it is only told to observers: a journal does not keep it.
    pub fn is_aside(&self) -> bool {
        matches!(self, Self::Output(_) | Self::Traced(_))
    }
}

/// The counts of operations, and which operations they cover. Both are applied together or not at all.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Delta {
    /// The counts.
    pub metrics: Metrics,
    /// The operations: their numbers, or in an open run the indices of their slots within the process.
    pub numbers: Vec<Range<u64>>,
    /// The indices of slots that were due and never started.
    pub dropped: Vec<Range<SlotIndex>>,
    /// Operations that were cut in flight; they are not counted.
    pub in_flight: Vec<Cut>,
    /// Operations that ran beyond the run's duration until their time-out; they are counted as timed out.
    pub overtime: Vec<Cut>,
}

impl Delta {
    /// Counts slots that were due at about `due_ns` and never started, by their indices.
    pub fn drop_slots(&mut self, indices: Range<SlotIndex>, due_ns: u64) {
        self.metrics.drop_slots(due_ns, indices.start.until(indices.end));
        match self.dropped.last_mut() {
            Some(last) if last.end == indices.start => last.end = indices.end,
            _ => self.dropped.push(indices),
        }
    }

    /// Whether there is nothing to send.
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

/// What a worker used in total.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Processor time, user and system.
    pub cpu_ns: u64,
    /// The most memory that was resident at once.
    pub peak_rss_bytes: u64,
}

/// Writes one frame.
pub fn write(mut to: impl Write, frame: &impl Serialize) -> io::Result<()> {
    // Leave room for the length, which is filled in once it is known.
    let mut bytes = postcard::to_extend(frame, vec![0; 4]).map_err(io::Error::other)?;
    let length = u32::try_from(bytes.len() - 4).ok().filter(|&length| length <= MAX_FRAME);
    let length = length.ok_or_else(|| io::Error::other("a frame is too long"))?;
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    to.write_all(&bytes)?;
    to.flush()
}

/// Reads one frame; `None` if the other end has closed the pipe.
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

/// `what` as bytes, with the version of their format.
pub fn versioned(version: u32, what: &impl Serialize) -> io::Result<Vec<u8>> {
    postcard::to_stdvec(&(version, what)).map_err(io::Error::other)
}

/// The inverse of [`versioned`]; an error if the bytes have another version or are invalid.
pub fn of_version<T: DeserializeOwned>(version: u32, bytes: &[u8]) -> io::Result<T> {
    let invalid = |problem: String| io::Error::new(io::ErrorKind::InvalidData, problem);
    let (theirs, rest): (u32, _) = postcard::take_from_bytes(bytes).map_err(|error| invalid(error.to_string()))?;
    if theirs != version {
        return Err(invalid(format!("it has version {theirs}, and this gorgon reads version {version}")));
    }
    postcard::from_bytes(rest).map_err(|error| invalid(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{FaultKind, Standstill};
    use crate::metrics::{Outcome, Recorder, Sample, Spans, ThreadWork, Withheld};
    use crate::plan::{Extent, LoadModel};

    /// Counts of one operation.
    fn metrics() -> Metrics {
        let mut recorder = Recorder::default();
        recorder.record(&Sample {
            number: 3,
            due_ns: Some(1),
            start_ns: 2,
            end_ns: 9,
            outcome: Outcome::Failed,
            result: "no",
            reason: Some("why"),
            spans: &Spans::default(),
            split: None,
        });
        recorder.take()
    }

    fn health() -> Health {
        Health {
            at_ns: 1,
            cpu_ns: 2,
            rss_bytes: 3,
            worst_lag_ns: 4,
            work: ThreadWork { watched_ns: 5, computing_ns: 6, delayed_ns: 7, delay_watched_ns: 8, saturated_ns: 9 },
            busiest_permille: 10,
            withheld: Withheld { throttled_ns: 11, stolen_ns: 12 },
        }
    }

    fn hex(frame: &impl Serialize) -> String {
        let mut pipe = Vec::new();
        write(&mut pipe, frame).unwrap();
        pipe.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn name(message: &Message) -> &'static str {
        match message {
            Message::Hello { .. } => "Hello",
            Message::Loaded { .. } => "Loaded",
            Message::Refused(_) => "Refused",
            Message::HookReturned(_) => "HookReturned",
            Message::HookRefused(_) => "HookRefused",
            Message::Ready { .. } => "Ready",
            Message::Began { .. } => "Began",
            Message::Need(_) => "Need",
            Message::Delta(_) => "Delta",
            Message::Output(_) => "Output",
            Message::Traced(_) => "Traced",
            Message::Fault(_) => "Fault",
            Message::Health(_) => "Health",
            Message::Stalled(_) => "Stalled",
            Message::Rested => "Rested",
            Message::Done(_) => "Done",
        }
    }

    /// Both ends must agree on the bytes of a frame: if the snapshot changes, [`PROTOCOL`] must change.
    #[test]
    fn every_frame_in_bytes() {
        let run = crate::pace::tests::plan(Extent::new(Some(5), None).unwrap(), 2, LoadModel::default());
        let plan = WorkerPlan {
            phases: vec![(Phase::Run, run)],
            place: 1,
            first_slot: SlotIndex(2),
            machine_code: "x.cwasm".into(),
            has_objects: true,
            addresses: Addresses::from([("db".into(), vec![[127, 0, 0, 1].into()])]),
            rows: Some(rows::Facts::default()),
            contact: Contact { ahead: Some(Duration::from_secs(6)), ..Contact::LOCAL },
        };
        let cut = Cut { number: 7, age_ns: 8, started_ns: Some(9) };
        let delta = Delta {
            metrics: metrics(),
            numbers: vec![3..4; 1],
            dropped: vec![SlotIndex(5)..SlotIndex(6); 1],
            in_flight: vec![cut],
            overtime: vec![cut],
        };
        let second = Duration::from_secs(1);
        let commands = [
            Command::Load(Box::new(plan)),
            Command::Prepare,
            Command::Cleanup("p".into()),
            Command::SetUp { prepared: "p".into() },
            Command::Go { phase: 1, beginning: second },
            Command::Lease(3..9),
            Command::NoMore,
            Command::Stop,
            Command::Cut,
        ];
        let messages = [
            Message::Hello { protocol: PROTOCOL, process: 9 },
            Message::Loaded { took: second },
            Message::Refused("r".into()),
            Message::HookReturned("p".into()),
            Message::HookRefused(Box::default()),
            Message::Ready { instantiate: second, setup: Some(second) },
            Message::Began { late: second },
            Message::Need(5),
            Message::Delta(Box::new(delta)),
            Message::Output(b"o".to_vec()),
            Message::Traced(Vec::new()),
            Message::Fault(Fault { kind: FaultKind::Setup, message: "m".into(), times: 1, numbers: vec![(1, 2)] }),
            Message::Health(health()),
            Message::Stalled(Stall { what: Standstill::Worker, process: Some(1), at_ns: 2, length_ns: 3 }),
            Message::Rested,
            Message::Done(Usage { cpu_ns: 1, peak_rss_bytes: 2 }),
        ];
        // Whoever adds a variant here has to add it above too.
        let commands = commands.iter().map(|command| {
            let name = match command {
                Command::Load(_) => "Load",
                Command::Prepare => "Prepare",
                Command::Cleanup(_) => "Cleanup",
                Command::SetUp { .. } => "SetUp",
                Command::Go { .. } => "Go",
                Command::Lease(_) => "Lease",
                Command::NoMore => "NoMore",
                Command::Stop => "Stop",
                Command::Cut => "Cut",
            };
            format!("{name} {}", hex(command))
        });
        let messages = messages.iter().map(|message| format!("{} {}", name(message), hex(message)));
        let all: Vec<_> = commands.chain(messages).collect();
        insta::assert_snapshot!(format!("protocol_{PROTOCOL}"), all.join("\n"));
    }

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
    fn a_truncated_frame_is_an_end_and_noise_is_an_error() {
        let mut pipe = Vec::new();
        write(&mut pipe, &Command::SetUp { prepared: "token".into() }).unwrap();
        assert!(matches!(read::<Command>(&pipe[..pipe.len() - 1]), Ok(None)));
        assert!(read::<Command>(&[0xff; 8][..]).is_err());
        assert!(read::<Command>(&[1, 0, 0, 0, 0x7f][..]).is_err());
    }
}
