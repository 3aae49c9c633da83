//! The boxes of a command: gathers them, and keeps the journal of the command while it runs.

mod choice;
mod follow;
mod lead;
mod registration;

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use crossbeam::channel::{Sender, bounded};

use super::RunError;
use super::asking::compare;
use super::chronicle::{Chronicle, Told};
use super::job::{OnLoss, Spread};
use super::remote::{self, RunName};
use crate::clock::system_monotonic;
use crate::cluster::journal::{Journal, Patience};
use crate::cluster::presence::{Presence, Roll};
use crate::cluster::register::{Keep, Listing, Registered};
use crate::cluster::seal::{Key, Signer};
use crate::cluster::subjects::{self, Ask};
use crate::cluster::{ClusterError, Link, Server, files};
use crate::record::{BoxFacts, RunRecord};
use crate::wire::Contact;
pub use choice::Wanted;
pub(super) use follow::Followed;
use follow::Watch;
use lead::Lead;
pub(super) use registration::Registration;

/// A lease of numbers lasts at least so many round trips, and a phase begins so many after it has been decided.
const TRIPS: u32 = 20;

/// A phase begins at least this long after it has been decided.
const LEAST_LEAD: Duration = Duration::from_millis(200);

/// A lease of numbers lasts at least about this long.
const LEAST_LEASE: Duration = Duration::from_secs(1);

/// How often a worker sends what its threads have counted.
const COUNTED: Duration = Duration::from_secs(1);

/// How far ahead the slots of a schedule are leased: longer than a box may be absent.
const AHEAD: Duration = Duration::from_secs(6);

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
    #[error("{there} at {url}, and {wanted} wanted{others}; start one with `gorgon agent --nats {url}{flags}`")]
    TooFew {
        /// How many can be used, in words.
        there: String,
        /// How many are wanted, in words.
        wanted: String,
        /// Why others cannot be used.
        others: String,
        /// The server.
        url: String,
        /// What an agent needs besides.
        flags: String,
    },
    /// There is no such command.
    #[error("there is no command `{0}`: it has ended, or never was; `gorgon runs` lists those that are there")]
    Unknown(String),
    /// Another version of Gorgon began the command.
    #[error("gorgon {gorgon} began the command `{command}`, and this version cannot go on with it: use that one")]
    OtherVersion {
        /// The command.
        command: String,
        /// The version.
        gorgon: String,
    },
    /// The command has ended.
    #[error("the command `{0}` has ended; `gorgon report --journal {0}` shows its report")]
    Over(String),
    /// It could not run.
    #[error("the command `{0}` could not run: {1}")]
    Failed(String, String),
    /// The key is another one.
    #[error("the key is not that of the command `{0}`")]
    Key(String),
    /// Somebody else was faster.
    #[error("another controller has just taken over the command `{0}`")]
    Taken(String),
}

/// What a command is known by.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its key.
    pub key: Key,
    /// What is run, for people.
    pub title: String,
    /// How long agents wait for another controller when theirs is gone.
    pub orphan_timeout: Duration,
    /// What the command was made of, sealed; whoever goes on with the command elsewhere needs it.
    pub inputs: Vec<u8>,
    /// How much the journal may take on the server, in bytes.
    pub journal_max: u64,
    /// What stays of the journal.
    pub keep: Keep,
}

/// The boxes of a command.
pub struct Fleet {
    pub(super) link: Arc<Link>,
    pub(super) command: String,
    pub(super) journal: Journal,
    /// What invitations are signed with, if agents ask for that.
    pub(super) signer: Option<Signer>,
    /// Which boxes the command wants.
    wanted: Wanted,
    /// How many boxes a run has, if enough are there.
    size: u32,
    /// The boxes that a run has had and the current one does not have.
    former: RefCell<Vec<Presence>>,
    /// In words: which boxes the current run does not have, although they are wanted.
    absent: RefCell<Option<String>>,
    /// How many runs have begun.
    runs: AtomicU32,
    pub(super) chronicle: RefCell<Chronicle>,
    /// What people should know about the choice of boxes.
    notes: Vec<String>,
    /// The longest round trip to a box.
    rtt: Cell<Duration>,
    journal_max: u64,
    pub(super) registration: Arc<Registration>,
    /// The files that are on the server for this command alone.
    files: RefCell<Vec<String>>,
    /// What this process is for the command.
    role: RefCell<Role>,
    /// Whether this process controls the command.
    leads: Arc<AtomicBool>,
    stops: Sender<()>,
}

/// What a process is for a command.
enum Role {
    /// It controls the runs.
    Leads(Lead),
    /// It follows what another controller decides.
    Follows(Watch),
    /// Another controller has taken over.
    Replaced,
}

impl Fleet {
    /// Connects to the server, waits for agents, and makes the journal. Whoever asks the command to stop is heard by
    /// `stops`. Once `is_cancelled` is set, this waits for no agent any more.
    pub fn gather(
        server: &Server,
        wanted: Wanted,
        identity: &Identity,
        stops: Sender<()>,
        is_cancelled: &AtomicBool,
        say: impl Fn(&str),
    ) -> Result<Self, FleetError> {
        let link = Arc::new(server.connect("controller")?);
        link.check_buckets()?;
        let roll = Arc::new(Roll::call(&link)?);
        let chosen = choice::among_those_there(&roll, link.url(), &wanted, is_cancelled, say);
        let (agents, notes) = chosen.map_err(|error| link.is_away().map_or(error, FleetError::from))?;
        let inputs = link.put(&identity.inputs)?;
        let listing = Listing {
            gorgon: env!("CARGO_PKG_VERSION").to_owned(),
            protocol: remote::REMOTE,
            title: identity.title.clone(),
            host: crate::machine::name(),
            epoch: 0,
            agents,
            orphan_timeout: identity.orphan_timeout,
            journal_max: identity.journal_max,
            inputs: inputs.clone(),
            checkpoint: None,
            failed: None,
            ended: false,
            keep: identity.keep,
        };
        let most = i64::try_from(identity.journal_max).unwrap_or(i64::MAX);
        Journal::of(&wanted.command, &identity.key).create(&link, most)?;
        let registered = link.register(&wanted.command, &listing, 0);
        if !matches!(registered, Ok(Some(_))) {
            // Nobody would know of it.
            let _ = Journal::remove(&link, &wanted.command);
            link.forget(&inputs);
        }
        let revision = registered?;
        let taken = || ClusterError::refused("register the command", "there is one with this name");
        let revision = revision.ok_or_else(taken)?;
        let mut fleet = Self::of(server, link, &identity.key, (listing, revision), wanted, stops);
        fleet.notes = notes;
        fleet.begin_to_lead(roll)?;
        Ok(fleet)
    }

    /// Connects to the server, and reads what the journal says about a command that has begun. If `takes_over` is set,
    /// this process controls it from now on; otherwise, once its controller is gone. `leads` is told of that.
    pub fn attach(
        server: &Server,
        wanted: Wanted,
        key: &Key,
        takes_over: bool,
        (stops, leads): (Sender<()>, Arc<AtomicBool>),
    ) -> Result<Self, FleetError> {
        let link = Arc::new(server.connect("controller")?);
        let Registered { listing, revision, .. } = find(&link, &wanted.command)?;
        let ended = listing.ended;
        let mut fleet = Self::of(server, link, key, (listing, revision), wanted, stops);
        fleet.leads = leads;
        fleet.read_all()?;
        if ended {
            fleet.chronicle.borrow_mut().end();
        }
        if takes_over {
            fleet.lead()?;
        } else {
            fleet.watch()?;
        }
        Ok(fleet)
    }

    /// The runs of a command, as far as its journal tells of them, and whether the command has ended.
    pub fn records(server: &Server, command: &str, key: &Key) -> Result<(Vec<RunRecord>, bool), FleetError> {
        let link = Arc::new(server.connect("report")?);
        let Registered { listing, revision, .. } = find(&link, command)?;
        let ended = listing.ended;
        let made = link.get(&listing.inputs, files::MOST_BYTES)?;
        key.open(remote::FILE, &made).ok_or_else(|| FleetError::Key(command.to_owned()))?;
        let failed = why_failed(&listing, key);
        let (stops, _) = bounded(1);
        let wanted = Wanted { command: command.to_owned(), ..Wanted::default() };
        let fleet = Self::of(server, link, key, (listing, revision), wanted, stops);
        fleet.read_all()?;
        if ended {
            fleet.chronicle.borrow_mut().end();
        }
        let records: Vec<_> =
            fleet.chronicle.borrow().runs().filter(|of| !of.is_void()).map(Told::record_so_far).collect();
        match failed {
            Some(why) if records.is_empty() => Err(FleetError::Failed(command.to_owned(), why)),
            _ => Ok((records, ended)),
        }
    }

    fn of(
        server: &Server,
        link: Arc<Link>,
        key: &Key,
        (listing, revision): (Listing, u64),
        wanted: Wanted,
        stops: Sender<()>,
    ) -> Self {
        let size = wanted.boxes.unwrap_or_default().max(listing.agents.len() as u32);
        Self {
            rtt: Cell::new(farthest(&link, &listing.agents)),
            journal_max: listing.journal_max,
            registration: Arc::new(Registration::new(&link, &wanted.command, listing, revision)),
            link,
            command: wanted.command.clone(),
            journal: Journal::of(&wanted.command, key),
            signer: server.signer(),
            runs: AtomicU32::new(0),
            chronicle: RefCell::new(Chronicle::new(&wanted.command)),
            wanted,
            size,
            former: RefCell::default(),
            absent: RefCell::default(),
            notes: Vec::new(),
            files: RefCell::default(),
            role: RefCell::new(Role::Replaced),
            leads: Arc::default(),
            stops,
        }
    }

    /// How many boxes a run has, if enough are there.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// Whether the journal stays when the command has ended.
    pub fn stays(&self) -> bool {
        self.registration.read(|listing| listing.keep != Keep::Nothing)
    }

    /// The agents of the current run, in the order of its boxes.
    pub(super) fn agents(&self) -> Vec<Presence> {
        self.registration.read(|listing| listing.agents.clone())
    }

    /// What people should know about the choice of boxes.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// How a run is spread over the boxes, at their distance; `by_box` is whether to keep the timeline of each.
    pub fn spread(&self, on_loss: OnLoss, by_box: bool) -> Spread {
        let trips = self.rtt.get().saturating_mul(TRIPS);
        let (lead, lease) = (LEAST_LEAD.max(trips), LEAST_LEASE.max(trips));
        let contact = Contact { lead, lease, interval: COUNTED, ahead: Some(AHEAD) };
        let absent = self.absent.borrow().clone();
        Spread { boxes: self.facts(), contact, on_loss, epoch: self.epoch(), by_box, absent }
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
        self.agents().iter().map(facts).collect()
    }

    /// Puts a task on the server, where the agents find it by the SHA-256 that this returns.
    pub fn put(&self, task: &[u8]) -> Result<String, ClusterError> {
        self.link.put(task)
    }

    /// Puts another file on the server, sealed, for as long as the command lasts.
    pub fn put_sealed(&self, content: Vec<u8>) -> Result<String, ClusterError> {
        let sealed = self.journal.key().seal(remote::FILE, content);
        let sealed = sealed.map_err(|error| ClusterError::refused("keep a file", error))?;
        let digest = self.link.put(&sealed)?;
        self.files.borrow_mut().push(digest.clone());
        Ok(digest)
    }

    /// The index of the next run.
    pub(super) fn next_run(&self) -> u32 {
        self.runs.fetch_add(1, Ordering::Relaxed)
    }

    /// A run of the command.
    pub(super) fn name_of(&self, run: u32) -> RunName {
        RunName { command: self.command.clone(), run }
    }

    /// The epoch of the controller.
    pub(super) fn epoch(&self) -> u32 {
        self.registration.read(|listing| listing.epoch)
    }

    /// How long agents wait for another controller.
    pub(super) fn orphan_timeout(&self) -> Duration {
        self.registration.read(|listing| listing.orphan_timeout)
    }

    /// How many bytes the journal may have; `None` if it is kept whole.
    pub(super) fn journal_max(&self) -> Option<u64> {
        self.registration.read(|listing| listing.keep != Keep::Entries).then_some(self.journal_max)
    }

    /// How long the server may store nothing.
    pub(super) fn patience(&self) -> Patience {
        Patience::of_controller(self.journal_max().is_none())
    }

    /// What the system's monotonic clock showed when the server's clock showed `there`.
    pub(super) fn here(&self, there: SystemTime) -> Duration {
        let Role::Leads(Lead { since: (here, since), .. }) = &*self.role.borrow() else { return system_monotonic() };
        here.saturating_sub(since.duration_since(there).unwrap_or_default())
    }

    /// The command could not run.
    pub(super) fn fail(&self, error: &RunError) {
        // Without this, whoever attaches later is told only that it has ended.
        let sealed = self.journal.key().seal(remote::FILE, error.to_string().into()).ok();
        self.registration.note(|listing| listing.failed = sealed);
    }

    /// Another controller has taken over.
    pub(super) fn lose_command(&self) {
        self.role.replace(Role::Replaced);
    }
}

/// The longest round trip to one of `agents`.
fn farthest(link: &Link, agents: &[Presence]) -> Duration {
    let trips = agents.iter().filter_map(|agent| compare(link, &agent.name)).map(|reading| reading.rtt_ns);
    Duration::from_nanos(trips.max().unwrap_or_default())
}

/// A command in the register that this version of Gorgon understands.
fn find(link: &Link, command: &str) -> Result<Registered, FleetError> {
    let registered = link.registered(command)?.ok_or_else(|| FleetError::Unknown(command.to_owned()))?;
    if registered.listing.protocol != remote::REMOTE {
        let (command, gorgon) = (command.to_owned(), registered.listing.gorgon);
        return Err(FleetError::OtherVersion { command, gorgon });
    }
    Ok(registered)
}

/// Why a command could not run, if it could not.
fn why_failed(listing: &Listing, key: &Key) -> Option<String> {
    let why = key.open(remote::FILE, listing.failed.as_ref()?)?;
    Some(String::from_utf8_lossy(&why).into_owned())
}

impl Drop for Fleet {
    fn drop(&mut self) {
        let Role::Leads(_) = self.role.replace(Role::Replaced) else { return };
        for agent in self.agents().iter().chain(&*self.former.borrow()) {
            // Without this, the agent is free after some seconds without a pulse.
            if let Ok(release) = self.question(agent, Ask::Release, self.name_of(0)) {
                self.link.publish(&subjects::ask(&agent.name, Ask::Release), release);
            }
        }
        if self.stays() {
            // If this fails, the command looks like one whose controller died.
            let _ = self.registration.try_change(|listing| listing.ended = true);
            return;
        }
        // What the server does not remove now can be removed later: `gorgon runs --prune`.
        let (inputs, checkpoint) = self.registration.read(|of| (of.inputs.clone(), of.checkpoint.clone()));
        self.files.borrow().iter().chain(&checkpoint).chain([&inputs]).for_each(|digest| self.link.forget(digest));
        let _ = Journal::remove(&self.link, &self.command);
        let _ = self.link.unregister(&self.command);
    }
}
