//! What controllers and agents say to each other, sealed with the key of their command. Frames of workers pass through
//! as they are.

use std::io;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::books::{Books, Effect};
use crate::cluster::seal::Key;
use crate::journal::{Entry, JOURNAL};
use crate::metrics::NetworkCounts;
use crate::plan::RunPlan;
use crate::wire::{self, Command, Contact, Message, PROTOCOL, Phase};

/// What files of a command are sealed for.
pub const FILE: &str = "file";

/// The version of what is said. It changes with the frames and the entries, which it contains.
pub const REMOTE: u32 = PROTOCOL * 1_000 + JOURNAL;

/// What is said, as bytes.
pub fn bytes(what: &impl Serialize) -> io::Result<Vec<u8>> {
    wire::versioned(REMOTE, what)
}

/// The inverse of [`bytes()`].
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    wire::of_version(REMOTE, bytes)
}

/// What is said at `subject`, sealed.
pub fn seal(key: &Key, subject: &str, what: &impl Serialize) -> io::Result<Vec<u8>> {
    key.seal(subject, bytes(what)?).map_err(io::Error::other)
}

/// The inverse of [`seal()`].
pub fn open<T: DeserializeOwned>(key: &Key, subject: &str, sealed: &[u8]) -> io::Result<T> {
    let foreign = || io::Error::new(io::ErrorKind::PermissionDenied, "it was not sealed by the controller");
    read(&key.open(subject, sealed).ok_or_else(foreign)?)
}

/// Which run is meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunName {
    /// The command. It has a journal.
    pub command: String,
    /// The index of the run among the runs of the command.
    pub run: u32,
}

/// A request to an agent, from the controller with this epoch. An agent ignores controllers that were replaced.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Asked<T> {
    /// The epoch of the controller.
    pub epoch: u32,
    /// What is asked.
    pub what: T,
}

/// An invitation as it is sent: its key is sealed for the agent, the rest with that key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Envelope {
    /// The command.
    pub command: String,
    /// The key of the command, sealed for the agent.
    pub key: Vec<u8>,
    /// The sealed [`Invitation`].
    pub invitation: Vec<u8>,
    /// Until when it is valid, in seconds since 1970.
    pub not_after: u64,
    /// No two envelopes have the same.
    pub nonce: [u8; 16],
    /// Who vouches for it.
    pub signed: Option<Signed>,
}

/// A signature of an [`Envelope`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Signed {
    /// The public key, as NATS writes it.
    pub by: String,
    /// The signature of [`Envelope::signed_bytes`] (Ed25519).
    pub signature: Vec<u8>,
}

impl Envelope {
    /// What is signed: everything, and for whom it is.
    pub fn signed_bytes(&self, subject: &str) -> Vec<u8> {
        let Self { command, key, invitation, not_after, nonce, signed: _ } = self;
        // It cannot fail: nothing here cannot be written.
        bytes(&(subject, command, key, invitation, not_after, nonce)).unwrap_or_default()
    }
}

/// Why an agent does not do what it was asked to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// It takes part in nothing any more, or is another process than the one that was asked.
    Gone(String),
    /// It cannot, or its owner does not want it to.
    Refused(String),
}

impl From<String> for Refusal {
    fn from(why: String) -> Self {
        Self::Refused(why)
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Gone(why) | Self::Refused(why)) = self;
        f.write_str(why)
    }
}

/// Asks an agent to take part in a run. The answer is `Result<(), Refusal>`, once the task has been compiled.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Invitation {
    /// The run.
    pub run: RunName,
    /// The index of the agent's box in the run.
    pub index: u32,
    /// The phases, in order.
    pub phases: Vec<(Phase, RunPlan)>,
    /// How the workers keep in touch.
    pub contact: Contact,
    /// How long the agent waits for another controller when this one is gone.
    pub orphan_timeout: Duration,
    /// Whether the journal is kept whole, so that nobody makes room in it.
    pub is_kept: bool,
    /// The name of the task, for people.
    pub task: String,
    /// The SHA-256 of the task, by which it is on the server.
    pub sha256: String,
    /// The SHA-256 of the sealed rows of the data, by which they are on the server.
    pub data: Option<String>,
    /// The SHA-256 of the sealed file of certificate authorities, by which it is on the server.
    pub authorities: Option<String>,
}

/// Asks an agent to begin with a run that it has been invited to. The answer is `Result<(), Refusal>`. If the agent has
/// begun already, nothing changes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Start {
    /// The run.
    pub run: RunName,
    /// The agent's monotonic clock when the run was opened.
    pub opened: Duration,
    /// What `prepare` returned.
    pub prepared: String,
}

/// Asks an agent to call a hook of a run that it has been invited to. The answer is a [`HookReply`]. If the agent has
/// called the hook already, it answers what that returned.
#[derive(Debug, Serialize, Deserialize)]
pub struct HookCall {
    /// The run.
    pub run: RunName,
    /// `Prepare` or `Cleanup`.
    pub command: Command,
}

/// What came of a hook.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HookReply {
    /// What it returned, or why it failed.
    pub returned: Result<String, String>,
    /// What it wanted to reach and was not granted.
    pub refused: NetworkCounts,
}

/// The clocks of a machine, read at once.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ClockFace {
    /// The monotonic clock, in nanoseconds.
    pub monotonic_ns: i64,
    /// The wall clock, in nanoseconds since 1970.
    pub wall_ns: i64,
}

/// An order for an agent. It follows from the books, so that whoever gives it gives the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The index of the run among those of the command.
    pub run: u32,
    /// The index of the order among those for this agent in this run, from 1.
    pub index: u64,
    /// What is to be done.
    pub effect: Effect,
}

/// An item of the journal of a command. The run is named by its index among those of the command.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Item {
    /// A run is opened; all its agents have compiled the task.
    Opened {
        /// The run.
        run: u32,
        /// Its books, in which nothing has happened yet.
        books: Box<Books>,
    },
    /// Something happened in a run.
    Noted {
        /// The run.
        run: u32,
        /// What happened.
        entry: Entry,
    },
    /// A run is over, with its hooks.
    Closed {
        /// The run.
        run: u32,
        /// When, since it was opened.
        at: Duration,
        /// Why it could not go on, if it could not. What its workers held is lost.
        broken: Option<String>,
    },
}

/// What a worker says and the journal does not keep: what its guests printed, and traces.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Aside {
    /// The index of the run among those of the command.
    pub run: u32,
    /// What it says.
    pub message: Message,
}
