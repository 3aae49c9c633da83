//! Who is there: what each agent says about itself once a second.

use std::time::{Duration, Instant};

use crossbeam::channel::Receiver;
use serde::{Deserialize, Serialize};

use super::{ClusterError, Link, Listening, Mail, subjects};
use crate::wire;

/// The version of [`Presence`] that every version of Gorgon understands: only fields are added, at the end.
const PRESENCE: u32 = 1;

/// How often an agent says that it is there.
pub const INTERVAL: Duration = Duration::from_millis(500);

/// The most rules of a policy, and the longest text, in bytes: whoever can publish can say anything.
const MOST_RULES: usize = 1_000;

/// See [`MOST_RULES`].
const MOST_BYTES: usize = 4_096;

/// What an agent says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// Its name.
    pub name: String,
    /// The version of Gorgon.
    pub version: String,
    /// The version of the frames that its workers speak.
    pub protocol: u32,
    /// Distinguishes this process from one before it with the same name.
    pub session: u64,
    /// Which machine it is, and since when that has been running.
    pub boot: String,
    /// Its processors.
    pub cpus: u32,
    /// Its memory, in bytes.
    pub memory_bytes: u64,
    /// The memory that is free, in bytes.
    pub free_bytes: u64,
    /// Processes that wanted to run in the last minute, on average, times a thousand.
    pub load_permille: u32,
    /// How many worker processes it may have.
    pub max_processes: u32,
    /// How many it has.
    pub workers: u32,
    /// What its workers may reach, for people.
    pub policy: Vec<String>,
    /// The command that it works for.
    pub command: Option<String>,
    /// Whether it takes part in no new run.
    pub leaving: bool,
    /// The key with which something is sealed for it alone.
    pub public_key: String,
    /// What its owner says about it, such as `zone=a`.
    pub labels: Vec<String>,
    /// The index of the run that it works for, among those of the command, and how many orders it has carried out.
    pub carried_out: (u32, u64),
    /// The public keys of those whose runs it takes part in; empty for everybody's.
    pub trust: Vec<String>,
}

impl Presence {
    /// As a message.
    pub fn to_bytes(&self) -> std::io::Result<Vec<u8>> {
        wire::versioned(PRESENCE, self)
    }

    /// From a message; `None` if it is not one.
    pub fn read(mail: &Mail) -> Option<Self> {
        let presence: Self = wire::of_version(PRESENCE, &mail.payload).ok()?;
        // The server lets nobody publish at the subject of another agent.
        let is_its = mail.subject == subjects::presence(&presence.name);
        (is_its && presence.is_fit()).then_some(presence)
    }

    /// Whether it can be shown: its texts are short, and its name is one.
    pub(super) fn is_fit(&self) -> bool {
        let ours = [&self.version, &self.boot, &self.public_key];
        let mut texts = self.policy.iter().chain(&self.labels).chain(&self.trust).chain(ours).chain(&self.command);
        let is_short = self.policy.len().max(self.labels.len()).max(self.trust.len()) <= MOST_RULES
            && texts.all(|text| text.len() <= MOST_BYTES);
        is_short && subjects::is_name(&self.name)
    }

    /// Whether its workers speak the same frames as those of this binary.
    pub fn fits(&self) -> bool {
        self.protocol == wire::PROTOCOL
    }
}

/// Listens for agents.
pub struct Roll {
    mail: Receiver<Mail>,
    _listening: Listening,
}

impl Roll {
    /// Begins to listen.
    pub fn call(link: &Link) -> Result<Self, ClusterError> {
        let (mail, listening) = link.subscribe(&subjects::presence("*"))?;
        Ok(Self { mail, _listening: listening })
    }

    /// Who says that it is there, until `until` says that these are enough, or until `most` has passed. In the order of
    /// names.
    pub fn wait(&self, most: Duration, until: impl Fn(&[Presence]) -> bool) -> Vec<Presence> {
        let deadline = Instant::now() + most;
        let mut there: Vec<Presence> = Vec::new();
        while !until(&there) {
            let next = deadline.min(Instant::now() + INTERVAL);
            let mail = match self.mail.recv_deadline(next) {
                Ok(mail) => mail,
                Err(_) if Instant::now() < deadline => continue,
                Err(_) => break,
            };
            let Some(presence) = Presence::read(&mail) else { continue };
            match there.binary_search_by(|other| other.name.cmp(&presence.name)) {
                Ok(known) => there[known] = presence,
                Err(new) => there.insert(new, presence),
            }
        }
        there
    }
}
