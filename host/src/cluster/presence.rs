//! Who is there: what each agent says about itself once a second.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

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
    /// Whether another process of this name was heard, too. It does not say this itself.
    #[serde(skip)]
    pub has_twin: bool,
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

/// Who has been silent for so long is not there: an agent of a busy machine may be late.
const LATELY: Duration = Duration::from_secs(5);

/// The most agents that are heard at a time: whoever can publish can give itself any number of names.
const MOST_AGENTS: usize = 20_000;

/// Listens for agents.
pub struct Roll {
    called: Arc<Called>,
    _listening: Listening,
}

/// Who was heard, by name, and when last.
#[derive(Default)]
struct Called {
    heard: Mutex<BTreeMap<String, Heard>>,
    changed: Condvar,
}

/// An agent that was heard.
struct Heard {
    at: Instant,
    presence: Presence,
    /// The process of this name before this one.
    before: Option<u64>,
    /// When two processes of this name were heard in turn.
    twins: Option<Instant>,
}

impl Heard {
    /// What is heard of the agent `presence`, after `last`.
    fn after(last: Option<&Self>, presence: Presence) -> Self {
        let at = Instant::now();
        let Some(last) = last else { return Self { at, presence, before: None, twins: None } };
        if last.presence.session == presence.session {
            return Self { at, presence, ..*last };
        }
        // One that was started again is not followed by the one before it.
        let twins = if last.before == Some(presence.session) { Some(at) } else { last.twins };
        Self { at, before: Some(last.presence.session), presence, twins }
    }

    /// Whether another process of this name is there, too.
    fn has_twin(&self) -> bool {
        self.twins.is_some_and(|at| at.elapsed() < LATELY)
    }
}

impl Called {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Heard>> {
        // Nothing that holds the lock can panic half-way.
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Roll {
    /// Begins to listen.
    pub fn call(link: &Link) -> Result<Self, ClusterError> {
        let called: Arc<Called> = Arc::default();
        let hearing = Arc::clone(&called);
        let listening = link.listen(&subjects::presence("*"), move |mail| {
            if let Some(presence) = Presence::read(&mail) {
                let mut heard = hearing.lock();
                if heard.len() >= MOST_AGENTS {
                    heard.retain(|_, of| of.at.elapsed() < LATELY);
                }
                if heard.len() < MOST_AGENTS {
                    let now = Heard::after(heard.get(&presence.name), presence);
                    heard.insert(now.presence.name.clone(), now);
                    hearing.changed.notify_all();
                }
            }
            ControlFlow::Continue(())
        })?;
        Ok(Self { called, _listening: listening })
    }

    /// Whether something came from the agent `name` within `most`.
    pub fn has_heard(&self, name: &str, most: Duration) -> bool {
        self.called.lock().get(name).is_some_and(|of| of.at.elapsed() < most)
    }

    /// What distinguishes the process of the agent `name` from one before it, if it was heard.
    pub fn session(&self, name: &str) -> Option<u64> {
        self.called.lock().get(name).map(|of| of.presence.session)
    }

    /// The agent `name` is taken to be away until it is heard again.
    pub fn forget(&self, name: &str) {
        self.called.lock().remove(name);
    }

    /// Who says that it is there, once `until` says that these are enough, or `most` has passed. In the order of names.
    pub fn wait(&self, most: Duration, until: impl Fn(&[Presence]) -> bool) -> Vec<Presence> {
        let deadline = Instant::now() + most;
        let mut heard = self.called.lock();
        loop {
            let lately = heard.values().filter(|of| of.at.elapsed() < LATELY);
            let there: Vec<_> = lately.map(|of| Presence { has_twin: of.has_twin(), ..of.presence.clone() }).collect();
            let left = deadline.saturating_duration_since(Instant::now());
            if until(&there) || left.is_zero() {
                return there;
            }
            let waited = self.called.changed.wait_timeout(heard, left.min(INTERVAL));
            heard = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
