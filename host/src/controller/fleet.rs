//! The boxes of a command: gathers them, and keeps the journal of the command while it runs.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

use crossbeam::channel::{Receiver, Sender, bounded, select, tick};

use super::RunError;
use super::books::Books;
use super::boxes::compare;
use super::checkpoints;
use super::chronicle::{Chronicle, Told};
use super::events::{self, Happened, Observer, RunEvent};
use super::job::{OnLoss, Spread};
use super::remote::{self, Item, Printed, RunName};
use crate::clock::system_monotonic;
use crate::cluster::journal::{Appender, Extent, Journal, Posted, Trouble};
use crate::cluster::presence::{Presence, Roll};
use crate::cluster::register::{Listing, Registered};
use crate::cluster::seal::{Key, Signer};
use crate::cluster::subjects::{self, Ask};
use crate::cluster::{ClusterError, Link, Listening, Mail, Server, files};
use crate::record::{BoxFacts, RunRecord};
use crate::wire::Contact;

/// Without a pulse for so long, the controller is taken to be gone.
const GONE: Duration = Duration::from_secs(5);

/// How often whoever follows a run is shown how it goes.
const TICK: Duration = Duration::from_millis(100);

/// How many messages may wait for a process that follows.
const SEEN: usize = 1_024;

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
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// How many; `None` for all that are there.
    pub boxes: Option<u32>,
    /// How many worker processes each has to have room for.
    pub processes: u32,
    /// How much the journal may take on the server, in bytes.
    pub journal_max: u64,
    /// The labels that each has to have, such as `zone=a`.
    pub labels: Vec<String>,
    /// The public key of whoever signs the runs, if somebody does.
    pub signer: Option<String>,
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
    /// The command.
    pub command: String,
    /// Its key.
    pub key: Key,
    /// What is run, for people.
    pub title: String,
    /// How long agents wait for another controller when theirs is gone.
    pub orphan_timeout: Duration,
    /// What the command was made of, sealed; whoever goes on with the command elsewhere needs it.
    pub inputs: Vec<u8>,
    /// Whether the journal stays when the command ends.
    pub keep_journal: bool,
}

/// The boxes of a command.
pub struct Fleet {
    pub(super) link: Arc<Link>,
    pub(super) command: String,
    pub(super) journal: Journal,
    /// What invitations are signed with, if agents ask for that.
    pub(super) signer: Option<Signer>,
    pub(super) agents: Vec<Presence>,
    /// How many runs have begun.
    runs: AtomicU32,
    pub(super) chronicle: RefCell<Chronicle>,
    /// What people should know about the choice of boxes.
    notes: Vec<String>,
    /// The longest round trip to a box.
    rtt: Duration,
    journal_max: u64,
    listing: RefCell<Listing>,
    /// The files that are on the server for this command alone.
    files: RefCell<Vec<String>>,
    /// What this process is for the command.
    role: RefCell<Role>,
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

/// A process that controls.
struct Lead {
    revision: u64,
    /// The system's monotonic clock, and the server's clock, when it began to control.
    since: (Duration, SystemTime),
    /// Appends decisions, for all runs.
    decider: Appender,
    /// Why it does not append any more.
    trouble: Receiver<Trouble>,
    /// The agents hear that the controller lives, also between two runs.
    _pulse: Listening,
    /// Others can ask it to stop.
    _stop: Listening,
}

/// A process that follows.
struct Watch {
    news: Receiver<Seen>,
    /// When the controller was last heard.
    heard: Instant,
    _listening: Vec<Listening>,
}

/// What a process that follows sees.
enum Seen {
    Posted(Posted),
    Pulse,
    Mail(Mail),
}

/// What came of following a run.
pub(super) enum Followed {
    /// It is over.
    Over(Box<RunRecord>),
    /// This process controls; the run is as its last controller has left it, if it has begun.
    Left(Option<Box<Told>>),
}

impl Fleet {
    /// Connects to the server, waits for agents, and makes the journal. Whoever asks the command to stop is heard by
    /// `stops`.
    pub fn gather(
        server: &Server,
        wanted: &Wanted,
        identity: &Identity,
        stops: Sender<()>,
        say: impl Fn(&str),
    ) -> Result<Self, FleetError> {
        let link = Arc::new(server.connect("controller")?);
        let roll = Roll::call(&link)?;
        let usable = |there: &[Presence]| there.iter().filter(|agent| why_not(agent, wanted).is_none()).count();
        let there = match wanted.boxes {
            None => roll.wait(CENSUS, |_| false),
            Some(boxes) => {
                let began = Instant::now();
                let has_said = Cell::new(false);
                roll.wait(PATIENCE, |there| {
                    let are = usable(there);
                    let is_enough = are >= boxes as usize;
                    if !is_enough && began.elapsed() >= CENSUS && !has_said.replace(true) {
                        let seconds = PATIENCE.as_secs();
                        say(&format!("waiting for {boxes} boxes, and {are} can be used now; at most {seconds} s"));
                    }
                    is_enough
                })
            }
        };
        let least = wanted.boxes.unwrap_or(1) as usize;
        if usable(&there) < least {
            return Err(too_few(&there, wanted, link.url()));
        }
        let mut notes: Vec<String> = there
            .iter()
            .filter_map(|agent| Some(format!("{} is left out: {}", agent.name, why_not(agent, wanted)?)))
            .collect();
        let agents = choose(there, wanted);
        let machines: BTreeSet<&str> = agents.iter().map(|agent| agent.boot.as_str()).collect();
        if machines.len() < agents.len() {
            let of =
                if machines.len() == 1 { "one machine".to_owned() } else { format!("{} machines", machines.len()) };
            notes.push(format!("{} boxes are on {of}, and share its processors", agents.len()));
        }
        let inputs = link.put(&identity.inputs)?;
        let listing = Listing {
            gorgon: env!("CARGO_PKG_VERSION").to_owned(),
            protocol: remote::REMOTE,
            title: identity.title.clone(),
            host: crate::machine::name(),
            epoch: 0,
            agents,
            orphan_timeout: identity.orphan_timeout,
            journal_max: wanted.journal_max,
            inputs: inputs.clone(),
            failed: None,
            ended: false,
            kept: identity.keep_journal,
        };
        let most = i64::try_from(wanted.journal_max).unwrap_or(i64::MAX);
        Journal::of(&identity.command, &identity.key).create(&link, most)?;
        let registered = link.register(&identity.command, &listing, 0);
        if !matches!(registered, Ok(Some(_))) {
            // Nobody would know of it.
            let _ = Journal::remove(&link, &identity.command);
            link.forget(&inputs);
        }
        let revision = registered?;
        let taken = || ClusterError::refused("register the command", "there is one with this name");
        let revision = revision.ok_or_else(taken)?;
        let fleet = Self::of(server, link, &identity.command, &identity.key, listing, notes, stops);
        fleet.files.borrow_mut().push(inputs);
        fleet.begin_to_lead(revision)?;
        Ok(fleet)
    }

    /// Connects to the server, and reads what the journal says about a command that has begun. If `takes_over` is set,
    /// this process controls it from now on; otherwise, once its controller is gone.
    pub fn attach(
        server: &Server,
        command: &str,
        key: &Key,
        takes_over: bool,
        stops: Sender<()>,
    ) -> Result<Self, FleetError> {
        let link = Arc::new(server.connect("controller")?);
        let Registered { listing, .. } = find(&link, command)?;
        let fleet = Self::of(server, link, command, key, listing, Vec::new(), stops);
        fleet.read_all()?;
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
        let Registered { listing, .. } = find(&link, command)?;
        let ended = listing.ended;
        let made = link.get(&listing.inputs, files::MOST_BYTES)?;
        key.open(remote::FILE, &made).ok_or_else(|| FleetError::Key(command.to_owned()))?;
        if let Some(why) = listing.failed.as_ref().and_then(|why| key.open(remote::FILE, why)) {
            return Err(FleetError::Failed(command.to_owned(), String::from_utf8_lossy(&why).into_owned()));
        }
        let (stops, _) = bounded(1);
        let fleet = Self::of(server, link, command, key, listing, Vec::new(), stops);
        fleet.read_all()?;
        let records = fleet.chronicle.borrow().runs().map(Told::record_so_far).collect();
        Ok((records, ended))
    }

    fn of(
        server: &Server,
        link: Arc<Link>,
        command: &str,
        key: &Key,
        listing: Listing,
        notes: Vec<String>,
        stops: Sender<()>,
    ) -> Self {
        let agents = listing.agents.clone();
        let trips = agents.iter().filter_map(|agent| compare(&link, &agent.name)).map(|reading| reading.rtt_ns);
        let rtt = Duration::from_nanos(trips.max().unwrap_or_default());
        let names = agents.iter().map(|agent| agent.name.clone()).collect();
        Self {
            link,
            command: command.to_owned(),
            journal: Journal::of(command, key),
            signer: server.signer(),
            agents,
            runs: AtomicU32::new(0),
            chronicle: RefCell::new(Chronicle::new(command, names)),
            notes,
            rtt,
            journal_max: listing.journal_max,
            listing: RefCell::new(listing),
            files: RefCell::default(),
            role: RefCell::new(Role::Replaced),
            stops,
        }
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
        Spread { boxes: self.facts(), contact, on_loss, epoch: self.epoch() }
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
        self.listing.borrow().epoch
    }

    /// How long agents wait for another controller.
    pub(super) fn orphan_timeout(&self) -> Duration {
        self.listing.borrow().orphan_timeout
    }

    /// How many bytes the journal may have; `None` if it is kept whole.
    pub(super) fn journal_max(&self) -> Option<u64> {
        (!self.listing.borrow().kept).then_some(self.journal_max)
    }

    /// What the system's monotonic clock showed when the server's clock showed `there`.
    pub(super) fn here(&self, there: SystemTime) -> Duration {
        let Role::Leads(Lead { since: (here, since), .. }) = &*self.role.borrow() else { return system_monotonic() };
        here.saturating_sub(since.duration_since(there).unwrap_or_default())
    }

    /// The command could not run.
    pub(super) fn fail(&self, error: &RunError) {
        // Without this, whoever attaches later is told only that it has ended.
        self.listing.borrow_mut().failed = self.journal.key().seal(remote::FILE, error.to_string().into()).ok();
    }

    /// Another controller has taken over.
    pub(super) fn lose_command(&self) {
        self.role.replace(Role::Replaced);
    }

    /// Follows a run until it is over, or until its controller is gone and this process controls it.
    pub(super) fn follow(
        &self,
        run: u32,
        stops: &Receiver<()>,
        observers: &mut [Observer<'_>],
    ) -> Result<Followed, RunError> {
        let cluster = |error: FleetError| RunError::Refused(error.to_string());
        let ticks = tick(TICK);
        loop {
            if let Some(record) = self.chronicle.borrow().run(run).and_then(Told::record) {
                return Ok(Followed::Over(Box::new(record)));
            }
            let is_gone = match &mut *self.role.borrow_mut() {
                Role::Leads(_) => return Ok(Followed::Left(self.chronicle.borrow_mut().take(run).map(Box::new))),
                Role::Replaced => return Err(RunError::Fenced(self.command.clone())),
                Role::Follows(watch) => {
                    select! {
                        recv(watch.news) -> seen => match seen {
                            Ok(Seen::Posted(posted)) => {
                                let mut tell = |of: u32, event: &RunEvent, books: &Books| {
                                    if of == run {
                                        events::tell(observers, event, books);
                                    }
                                };
                                self.chronicle.borrow_mut().apply(&posted, &mut tell);
                            }
                            Ok(Seen::Pulse) => watch.heard = Instant::now(),
                            Ok(Seen::Mail(mail)) => self.print(run, &mail, observers),
                            Err(_) => return Err(RunError::Died("a thread has panicked".into())),
                        },
                        recv(stops) -> _ => return Err(RunError::LetGo(self.command.clone())),
                        recv(ticks) -> _ => self.tick(run, observers),
                    }
                    if !self.link.is_up() {
                        watch.heard = Instant::now();
                    }
                    watch.heard.elapsed() >= GONE
                }
            };
            if is_gone {
                self.lead().map_err(cluster)?;
            }
        }
    }

    fn tick(&self, run: u32, observers: &mut [Observer<'_>]) {
        if let Some(told) = self.chronicle.borrow().run(run) {
            let at = told.latest();
            events::tell(observers, &RunEvent { at, what: Happened::Tick }, told.machine.books());
        }
    }

    fn print(&self, run: u32, mail: &Mail, observers: &mut [Observer<'_>]) {
        let printed = remote::open::<Printed>(self.journal.key(), &mail.subject, &mail.payload);
        if let Ok(printed) = printed
            && printed.run == run
            && let Some(told) = self.chronicle.borrow().run(run)
        {
            let event = RunEvent { at: told.latest(), what: Happened::Output(printed.bytes) };
            events::tell(observers, &event, told.machine.books());
        }
    }

    /// Listens to the controller and to the journal from now on.
    fn watch(&self) -> Result<(), FleetError> {
        let (news_in, news) = bounded(SEEN);
        let all = vec![subjects::decided(&self.command), subjects::from(&self.command, "*")];
        let read = self.chronicle.borrow().read;
        let followed = self.journal.follow(&self.link, all, read, news_in.clone(), Seen::Posted);
        let pulse = self.link.subscribe_to(&subjects::pulse(&self.command), news_in.clone(), |_| Seen::Pulse)?;
        let output = self.link.subscribe_to(&subjects::output(&self.command), news_in, Seen::Mail)?;
        let watch = Watch { news, heard: Instant::now(), _listening: vec![followed, pulse, output] };
        self.role.replace(Role::Follows(watch));
        Ok(())
    }

    /// Reads what the journal has by now.
    fn read_all(&self) -> Result<(), FleetError> {
        let mut chronicle = self.chronicle.borrow_mut();
        let Extent { first, last, .. } = self.journal.extent(&self.link)?;
        if first > 1 {
            let digest = self
                .last_checkpoint()?
                .ok_or_else(|| ClusterError::refused("keep the journal of the command", "its beginning is gone"))?;
            let sealed = self.link.get(&digest, files::MOST_BYTES)?;
            let foreign = || ClusterError::refused("keep the checkpoint", "it is another one");
            let bytes = self.journal.key().open(checkpoints::FILE, &sealed).ok_or_else(foreign)?;
            chronicle.restore(&bytes).map_err(|error| ClusterError::refused("keep the checkpoint", error))?;
        }
        let all = vec![
            subjects::decided(&self.command),
            subjects::from(&self.command, "*"),
            subjects::to(&self.command, "*"),
        ];
        let (news_in, news) = bounded(SEEN);
        let _followed = self.journal.follow(&self.link, all, chronicle.read, news_in, |posted| posted);
        while chronicle.read < last {
            let Ok(posted) = news.recv_timeout(PATIENCE) else {
                return Err(ClusterError::refused("give the journal of the command", "it took too long").into());
            };
            chronicle.apply(&posted, &mut |_, _, _| ());
        }
        Ok(())
    }

    /// The file of the last checkpoint.
    fn last_checkpoint(&self) -> Result<Option<String>, FleetError> {
        let last = self.journal.last_decision(&self.link)?;
        let (news_in, news) = bounded(SEEN);
        let decided = vec![subjects::decided(&self.command)];
        let _followed = self.journal.follow(&self.link, decided, 0, news_in, |posted| posted);
        let mut found = None;
        while let Ok(posted) = news.recv_timeout(PATIENCE) {
            for item in posted.bundle.items.iter().filter_map(|item| remote::read::<Item>(item).ok()) {
                if let Item::Checkpoint { digest } = item {
                    found = Some(digest);
                }
            }
            if posted.sequence >= last {
                break;
            }
        }
        Ok(found)
    }

    /// Controls the command from now on, if no other process begins to.
    fn lead(&self) -> Result<(), FleetError> {
        let Registered { mut listing, revision, .. } = find(&self.link, &self.command)?;
        if let Some(why) = listing.failed.as_ref().and_then(|why| self.journal.key().open(remote::FILE, why)) {
            return Err(FleetError::Failed(self.command.clone(), String::from_utf8_lossy(&why).into_owned()));
        }
        if listing.ended {
            return Err(FleetError::Over(self.command.clone()));
        }
        listing.epoch += 1;
        listing.host = crate::machine::name();
        let revision = self.link.register(&self.command, &listing, revision)?;
        let revision = revision.ok_or_else(|| FleetError::Taken(self.command.clone()))?;
        self.listing.replace(listing);
        self.begin_to_lead(revision)
    }

    fn begin_to_lead(&self, revision: u64) -> Result<(), FleetError> {
        let here = system_monotonic();
        let Registered { changed, .. } = find(&self.link, &self.command)?;
        let pulse = self.link.beat(subjects::pulse(&self.command), PULSE);
        let (key, stops, subject) = (self.journal.key().clone(), self.stops.clone(), subjects::stop(&self.command));
        let stop = self.link.answer(&subject.clone(), move |payload| {
            if key.open(&subject, payload).is_none() {
                return Vec::new();
            }
            // If nobody listens any more, the command is ending.
            let _ = stops.send(());
            b"stopping".to_vec()
        })?;
        let last = self.journal.last_decision(&self.link)?;
        let (tell, trouble) = bounded(1);
        let decider = self.journal.decider(&self.link, self.epoch(), last, move |trouble| drop(tell.send(trouble)));
        let since = (here, changed);
        self.role.replace(Role::Leads(Lead { revision, since, decider, trouble, _pulse: pulse, _stop: stop }));
        Ok(())
    }

    /// What appends decisions, and why it does not any more; `None` if this process does not control.
    pub(super) fn decider(&self) -> Option<(Appender, Receiver<Trouble>)> {
        match &*self.role.borrow() {
            Role::Leads(lead) => Some((lead.decider.clone(), lead.trouble.clone())),
            Role::Follows(_) | Role::Replaced => None,
        }
    }
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

impl Drop for Fleet {
    fn drop(&mut self) {
        let Role::Leads(Lead { revision, .. }) = self.role.replace(Role::Replaced) else { return };
        for agent in &self.agents {
            // Without this, the agent is free after some seconds without a pulse.
            if let Ok(release) = self.question(agent, Ask::Release, self.name_of(0)) {
                self.link.publish(&subjects::ask(&agent.name, Ask::Release), release);
            }
        }
        let listing = self.listing.borrow();
        if listing.kept {
            let ended = Listing { ended: true, ..listing.clone() };
            // If this fails, the command looks like one whose controller died.
            let _ = self.link.register(&self.command, &ended, revision);
            return;
        }
        // What the server does not remove now can be removed later: `gorgon runs --prune`.
        let checkpoint = self.chronicle.borrow_mut().checkpoint.take();
        self.files.borrow().iter().chain(&checkpoint).for_each(|digest| self.link.forget(digest));
        let _ = Journal::remove(&self.link, &self.command);
        let _ = self.link.unregister(&self.command);
    }
}

/// Why an agent cannot be used; `None` if it can.
fn why_not(agent: &Presence, wanted: &Wanted) -> Option<String> {
    if !agent.fits() {
        return Some(format!("it runs gorgon {}, whose protocol is another one", agent.version));
    }
    if agent.leaving {
        return Some("it is leaving".into());
    }
    if let Some(command) = &agent.command {
        return Some(format!("it works for the command {command}"));
    }
    if !agent.trust.is_empty() && !wanted.signer.as_ref().is_some_and(|signer| agent.trust.contains(signer)) {
        return Some("it trusts only runs that others sign (its --trust, and --creds of the run)".into());
    }
    if let Some(label) = wanted.labels.iter().find(|label| !agent.labels.contains(label)) {
        return Some(format!("it has no label {label}"));
    }
    let (room, processes) = (agent.max_processes, wanted.processes);
    (room < processes).then(|| format!("it has room for {room} worker processes, not {processes}"))
}

/// The agents that a command gets: those of machines of their own first.
fn choose(there: Vec<Presence>, wanted: &Wanted) -> Vec<Presence> {
    let usable = there.into_iter().filter(|agent| why_not(agent, wanted).is_none());
    let mut machines = BTreeSet::new();
    let (alone, again): (Vec<_>, Vec<_>) = usable.partition(|agent| machines.insert(agent.boot.clone()));
    let most = wanted.boxes.map_or(usize::MAX, |boxes| boxes as usize);
    alone.into_iter().chain(again).take(most).collect()
}

fn too_few(there: &[Presence], wanted: &Wanted, url: &str) -> FleetError {
    let reasons: Vec<_> =
        there.iter().filter_map(|agent| Some(format!("{}: {}", agent.name, why_not(agent, wanted)?))).collect();
    let others = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join("; ")) };
    let are = |count: usize| match count {
        0 if !reasons.is_empty() => "no agent can be used".to_owned(),
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
            public_key: String::new(),
            carried_out: (0, 0),
            trust: Vec::new(),
            labels: vec!["zone=a".into()],
        }
    }

    fn wanted(boxes: Option<u32>, processes: u32) -> Wanted {
        Wanted { boxes, processes, ..Wanted::default() }
    }

    #[test]
    fn machines_of_their_own_come_first_and_others_are_named() {
        let there =
            vec![agent("a", "m"), agent("b", "m"), agent("c", "n"), Presence { leaving: true, ..agent("d", "o") }];
        let names = |boxes| {
            let chosen = choose(there.clone(), &wanted(boxes, 2));
            chosen.into_iter().map(|agent| agent.name).collect::<Vec<_>>()
        };
        assert_eq!(names(Some(2)), ["a", "c"]);
        assert_eq!(names(None), ["a", "c", "b"]);
        let error = too_few(&there, &wanted(Some(4), 2), "nats://n:1").to_string();
        let expected = "3 agents are there at nats://n:1, and 4 are wanted (d: it is leaving); start one with \
                        `gorgon agent --nats nats://n:1`";
        assert_eq!(error, expected);
        let labelled = |label: &str| Wanted { labels: vec![label.into()], ..wanted(None, 1) };
        assert_eq!(why_not(&agent("a", "m"), &labelled("zone=a")), None);
        assert_eq!(why_not(&agent("a", "m"), &labelled("zone=b")).as_deref(), Some("it has no label zone=b"));
        let busy = Presence { command: Some("7".into()), ..agent("a", "m") };
        assert_eq!(why_not(&busy, &wanted(None, 1)).as_deref(), Some("it works for the command 7"));
        assert_eq!(
            why_not(&agent("a", "m"), &wanted(None, 5)).as_deref(),
            Some("it has room for 4 worker processes, not 5")
        );
        let other = Presence { protocol: 1, version: "0.0.1".into(), ..agent("a", "m") };
        assert_eq!(
            why_not(&other, &wanted(None, 1)).as_deref(),
            Some("it runs gorgon 0.0.1, whose protocol is another one")
        );
    }
}
