//! What controllers and agents say to each other. Frames of workers pass through as they are.

use std::io;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::books::Effect;
use crate::journal::{Entry, JOURNAL};
use crate::metrics::NetworkCounts;
use crate::plan::RunPlan;
use crate::wire::{self, Command, Contact, PROTOCOL, Phase};

/// The version of what is said. It changes with the frames and the entries, which it contains.
const REMOTE: u32 = PROTOCOL * 1_000 + JOURNAL;

/// What is said, as bytes.
pub fn bytes(what: &impl Serialize) -> io::Result<Vec<u8>> {
    wire::versioned(REMOTE, what)
}

/// The inverse of [`bytes()`].
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    wire::of_version(REMOTE, bytes)
}

/// Which run is meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunName {
    /// The command. It has a journal.
    pub command: String,
    /// The index of the run among the runs of the command.
    pub run: u32,
}

/// Asks an agent to take part in a run. The answer is `Result<(), String>`, once the task has been compiled.
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
    /// The name of the task, for people.
    pub task: String,
    /// The SHA-256 of the task, by which it is on the server.
    pub sha256: String,
    /// The SHA-256 of the rows of the data, by which they are on the server.
    pub data: Option<String>,
    /// The SHA-256 of the file of certificate authorities, by which it is on the server.
    pub authorities: Option<String>,
}

/// Asks an agent to begin with a run that it has been invited to. The answer is `Result<(), String>`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Start {
    /// The run.
    pub run: RunName,
    /// The agent's monotonic clock when the run was opened.
    pub opened: Duration,
    /// What `prepare` returned.
    pub prepared: String,
}

/// Asks an agent to call a hook of a run that it has been invited to. The answer is a [`HookReply`].
#[derive(Debug, Serialize, Deserialize)]
pub struct HookCall {
    /// The run.
    pub run: RunName,
    /// `Prepare` or `Cleanup`.
    pub command: Command,
}

/// What came of a hook.
#[derive(Debug, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    /// The index of the run among those of the command.
    pub run: u32,
    /// The index of the order among those for this agent in this run, from 1.
    pub index: u64,
    /// What is to be done.
    pub effect: Effect,
}

/// An entry of the journal of a command.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Noted {
    /// The index of the run among those of the command.
    pub run: u32,
    /// The entry.
    pub entry: Entry,
}

/// What a guest printed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Printed {
    /// The index of the run among those of the command.
    pub run: u32,
    /// The bytes.
    pub bytes: Vec<u8>,
}
