//! The boxes of a command: gathers them, and keeps the journal of the command while it runs.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::cluster::journal::Journal;
use crate::cluster::presence::{Presence, Roll};
use crate::cluster::subjects::{self, Ask};
use crate::cluster::{ClusterError, Link, Listening, Server};
use crate::record::BoxFacts;
use crate::wire::Contact;

use super::boxes::compare;
use super::job::{OnLoss, Spread};
use super::remote::{self, RunName};

/// Agents say twice a second that they are there. Who is there has said so by then.
const CENSUS: Duration = Duration::from_millis(1_500);

/// How long a command waits for the boxes that it wants.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often the agents hear that the controller lives.
const PULSE: Duration = Duration::from_millis(500);

/// A lease of numbers lasts at least so many round trips, and a phase begins so many after it has been decided.
const TRIPS: u32 = 20;

/// A phase begins at least this long after it has been decided.
const LEAST_LEAD: Duration = Duration::from_millis(200);

/// A lease of numbers lasts at least about this long. It is also what is lost with a box.
const LEAST_LEASE: Duration = Duration::from_secs(1);

/// How often a worker sends what its threads have counted.
const COUNTED: Duration = Duration::from_secs(1);

/// How far ahead the slots of a schedule are leased: longer than a box may be absent.
const AHEAD: Duration = Duration::from_secs(6);

/// The boxes that a command wants.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// How many; `None` for all that are there.
    pub boxes: Option<u32>,
    /// How many worker processes each has to have room for.
    pub processes: u32,
    /// How much the journal may take on the server, in bytes.
    pub journal_max: u64,
}

/// The files of a run that are on the server, by their SHA-256.
#[derive(Clone, Debug, Default)]
pub struct FilesThere {
    /// The rows of the data.
    pub data: Option<String>,
    /// The certificate authorities.
    pub authorities: Option<String>,
}

/// Why there are no boxes for a command.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// The server cannot be used.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// Too few agents are there.
    #[error("{there} at {url}, and {wanted} wanted{others}; start one with `gorgon agent --nats {url}`")]
    TooFew {
        /// How many can be used, in words.
        there: String,
        /// How many are wanted, in words.
        wanted: String,
        /// Why others cannot be used.
        others: String,
        /// The server.
        url: String,
    },
}

/// The boxes of a command.
pub struct Fleet {
    pub(super) link: Arc<Link>,
    pub(super) command: String,
    pub(super) journal: Journal,
    pub(super) agents: Vec<Presence>,
    /// How many runs have begun.
    runs: AtomicU32,
    /// The place of the last bundle of the journal that was read.
    pub(super) read: AtomicU64,
    /// What people should know about the choice of boxes.
    notes: Vec<String>,
    /// The longest round trip to a box.
    rtt: Duration,
    /// The agents hear that the controller lives, also between two runs.
    _pulse: Listening,
}

impl Fleet {
    /// Connects to the server, waits for agents, and makes the journal.
    pub fn gather(server: &Server, wanted: Wanted) -> Result<Self, FleetError> {
        let link = Arc::new(server.connect("controller")?);
        let roll = Roll::call(&link)?;
        let usable =
            |there: &[Presence]| there.iter().filter(|agent| why_not(agent, wanted.processes).is_none()).count();
        let there = match wanted.boxes {
            None => roll.wait(CENSUS, |_| false),
            Some(boxes) => roll.wait(PATIENCE, |there| usable(there) >= boxes as usize),
        };
        let least = wanted.boxes.unwrap_or(1) as usize;
        if usable(&there) < least {
            return Err(too_few(&there, wanted, link.url()));
        }
        let mut notes: Vec<String> = there
            .iter()
            .filter_map(|agent| Some(format!("{} is left out: {}", agent.name, why_not(agent, wanted.processes)?)))
            .collect();
        let agents = choose(there, wanted);
        let machines: BTreeSet<&str> = agents.iter().map(|agent| agent.boot.as_str()).collect();
        if machines.len() < agents.len() {
            let of =
                if machines.len() == 1 { "one machine".to_owned() } else { format!("{} machines", machines.len()) };
            notes.push(format!("{} boxes are on {of}, and share its processors", agents.len()));
        }
        let trips = agents.iter().filter_map(|agent| compare(&link, &agent.name)).map(|reading| reading.rtt_ns);
        let rtt = Duration::from_nanos(trips.max().unwrap_or_default());
        let command = format!("{:016x}", fastrand::u64(..));
        let journal = Journal::of(&command);
        journal.create(&link, i64::try_from(wanted.journal_max).unwrap_or(i64::MAX))?;
        let (runs, read) = (AtomicU32::new(0), AtomicU64::new(0));
        let pulse = link.beat(subjects::pulse(&command), PULSE);
        Ok(Self { link, command, journal, agents, runs, read, notes, rtt, _pulse: pulse })
    }

    /// How many boxes there are.
    pub fn size(&self) -> u32 {
        self.agents.len() as u32
    }

    /// What people should know about the choice of boxes.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// How a run is spread over the boxes, at their distance.
    pub fn spread(&self, on_loss: OnLoss) -> Spread {
        let trips = self.rtt.saturating_mul(TRIPS);
        let (lead, lease) = (LEAST_LEAD.max(trips), LEAST_LEASE.max(trips));
        let contact = Contact { lead, lease, interval: COUNTED, ahead: Some(AHEAD) };
        Spread { boxes: self.facts(), contact, on_loss }
    }

    /// Facts about the boxes, in their order.
    fn facts(&self) -> Vec<BoxFacts> {
        let facts = |agent: &Presence| BoxFacts {
            name: agent.name.clone(),
            boot: agent.boot.clone(),
            cpus: agent.cpus,
            memory_bytes: agent.memory_bytes,
            max_processes: agent.max_processes,
        };
        self.agents.iter().map(facts).collect()
    }

    /// Puts a file on the server, where the agents find it by the SHA-256 that this returns.
    pub fn put(&self, content: &[u8]) -> Result<String, ClusterError> {
        self.link.put(content)
    }

    /// The index of the next run.
    pub(super) fn next_run(&self) -> u32 {
        self.runs.fetch_add(1, Ordering::Relaxed)
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        let name = RunName { command: self.command.clone(), run: 0 };
        for agent in &self.agents {
            // Without this, the agent is free after some seconds without a pulse.
            if let Ok(name) = remote::bytes(&name) {
                self.link.publish(&subjects::ask(&agent.name, Ask::Release), name);
            }
        }
        // If the server cannot be reached, the journal stays there.
        let _ = self.journal.delete(&self.link);
    }
}

/// Why an agent cannot be used; `None` if it can.
fn why_not(agent: &Presence, processes: u32) -> Option<String> {
    if !agent.fits() {
        return Some(format!("it runs gorgon {}, whose protocol is another one", agent.version));
    }
    if agent.leaving {
        return Some("it is leaving".into());
    }
    if let Some(command) = &agent.command {
        return Some(format!("it works for the command {command}"));
    }
    (agent.max_processes < processes)
        .then(|| format!("it has room for {} worker processes, not {processes}", agent.max_processes))
}

/// The agents that a command gets: those of machines of their own first.
fn choose(there: Vec<Presence>, wanted: Wanted) -> Vec<Presence> {
    let usable = there.into_iter().filter(|agent| why_not(agent, wanted.processes).is_none());
    let mut machines = BTreeSet::new();
    let (alone, again): (Vec<_>, Vec<_>) = usable.partition(|agent| machines.insert(agent.boot.clone()));
    let most = wanted.boxes.map_or(usize::MAX, |boxes| boxes as usize);
    alone.into_iter().chain(again).take(most).collect()
}

fn too_few(there: &[Presence], wanted: Wanted, url: &str) -> FleetError {
    let reasons: Vec<_> = there
        .iter()
        .filter_map(|agent| Some(format!("{}: {}", agent.name, why_not(agent, wanted.processes)?)))
        .collect();
    let others = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join("; ")) };
    let are = |count: usize| match count {
        0 => "no agent is there".to_owned(),
        1 => "one agent is there".to_owned(),
        _ => format!("{count} agents are there"),
    };
    let wanted = match wanted.boxes {
        None | Some(1) => "one is".to_owned(),
        Some(boxes) => format!("{boxes} are"),
    };
    FleetError::TooFew { there: are(there.len() - reasons.len()), wanted, others, url: url.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(name: &str, boot: &str) -> Presence {
        Presence {
            name: name.into(),
            version: "0.1.0".into(),
            protocol: crate::wire::PROTOCOL,
            session: 1,
            boot: boot.into(),
            cpus: 2,
            memory_bytes: 1 << 30,
            free_bytes: 1 << 29,
            load_permille: 100,
            max_processes: 4,
            workers: 0,
            policy: Vec::new(),
            command: None,
            leaving: false,
        }
    }

    #[test]
    fn machines_of_their_own_come_first_and_others_are_named() {
        let there =
            vec![agent("a", "m"), agent("b", "m"), agent("c", "n"), Presence { leaving: true, ..agent("d", "o") }];
        let names = |boxes| {
            let chosen = choose(there.clone(), Wanted { boxes, processes: 2, journal_max: 1 });
            chosen.into_iter().map(|agent| agent.name).collect::<Vec<_>>()
        };
        assert_eq!(names(Some(2)), ["a", "c"]);
        assert_eq!(names(None), ["a", "c", "b"]);
        let error = too_few(&there, Wanted { boxes: Some(4), processes: 2, journal_max: 1 }, "nats://n:1").to_string();
        assert_eq!(
            error,
            "3 agents are there at nats://n:1, and 4 are wanted (d: it is leaving); start one with `gorgon agent --nats \
             nats://n:1`"
        );
        let busy = Presence { command: Some("7".into()), ..agent("a", "m") };
        assert_eq!(why_not(&busy, 1).as_deref(), Some("it works for the command 7"));
        assert_eq!(why_not(&agent("a", "m"), 5).as_deref(), Some("it has room for 4 worker processes, not 5"));
        let other = Presence { protocol: 1, version: "0.0.1".into(), ..agent("a", "m") };
        assert_eq!(why_not(&other, 1).as_deref(), Some("it runs gorgon 0.0.1, whose protocol is another one"));
    }
}
