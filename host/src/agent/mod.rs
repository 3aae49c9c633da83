//! The agent of a box: says that it is there, and starts the workers of runs that a controller elsewhere decides on.
//!
//! Carries out orders and carries the frames of its workers to the journal; decides nothing about a run, except to end
//! its own workers when it has heard nothing from the controller for too long.

mod offer;
mod outbox;
mod work;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam::channel::{Receiver, Sender, bounded, never, select, tick, unbounded};
use serde::de::DeserializeOwned;

use crate::clock::since_boot;
use crate::cluster::journal::Posted;
use crate::cluster::presence::{self, Presence};
use crate::cluster::seal::{self, Key, Letterbox};
use crate::cluster::subjects::{self, Ask};
use crate::cluster::{ClusterError, Link, Listening, Mail, Server};
use crate::controller::faces;
use crate::controller::remote::{self, Asked, ClockFace, Envelope, Invitation, Refusal};
use crate::guest_text::line;
use crate::network::Policy;
use crate::plan::MAX_PROCESSES;
use crate::transport::FromWorker;
use work::Work;

/// How often the agent looks around at the least.
const LOOK: Duration = Duration::from_millis(100);

/// After so long without a word from the controller, the agent ends its workers. The controller has given them up by
/// then.
const ORPHANED: Duration = Duration::from_secs(10);

/// How long an agent that leaves waits for its workers.
const FAREWELL: Duration = Duration::from_secs(30);

/// The same if nothing has come from a controller for long.
const ALONE: Duration = Duration::from_secs(5);

/// An invitation may be valid for so long at the most.
const MOST_AHEAD: Duration = Duration::from_secs(3_600);

/// How many invitations are remembered.
const MOST_SEEN: usize = 10_000;

/// How many asks and bundles may wait.
const WAITING: usize = 1_024;

/// How an agent is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The server.
    pub server: Server,
    /// The agent's name.
    pub name: String,
    /// How many worker processes it may have.
    pub max_processes: u32,
    /// What its workers may reach at most.
    pub network: Policy,
    /// The directories below which tasks may be given directories.
    pub dir_roots: Vec<PathBuf>,
    /// What its owner says about it, such as `zone=a`.
    pub labels: Vec<String>,
    /// The public keys of those whose runs it takes part in; empty for everybody's.
    pub trust: Vec<String>,
}

/// Why there is no agent.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The server cannot be used.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The name cannot be used.
    #[error("`{0}` cannot be the name of an agent: use letters, digits, - and _, 64 at most")]
    Name(String),
    /// Another agent has the name.
    #[error("another agent has the name `{0}`: give this one another (--name NAME)")]
    Taken(String),
    /// Somebody else answers in place of agents.
    #[error(
        "the NATS server at {0} answers what agents are asked: one of its streams has the subjects `gorgon.>`, or all; \
         give the stream others"
    )]
    Captured(String),
    /// The number of processes makes no sense.
    #[error("cannot offer `{0}` worker processes: give 1 to {MAX_PROCESSES}")]
    Processes(u32),
    /// No thread can be started.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
}

/// What an agent tells the person who started it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// It is there, and waits for runs.
    Ready {
        /// Its name.
        name: String,
        /// The server.
        url: String,
    },
    /// It takes part in a run.
    Opened {
        /// The task.
        task: String,
        /// The command.
        command: String,
    },
    /// Its part of a run is over.
    Closed,
    /// It ended its workers, as it had heard nothing from the controller.
    Orphaned,
    /// It refused to take part in a run.
    Refused(String),
    /// It leaves, and waits for the operations in flight.
    Leaving,
}

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ready { name, url } => write!(f, "the box {name} waits for runs at {url}"),
            Self::Opened { task, command } => write!(f, "taking part in a run of {task} (command {command})"),
            Self::Closed => write!(f, "its part of the run is over"),
            Self::Orphaned => {
                write!(f, "ended the workers, as nothing came from the controller for {} s", ORPHANED.as_secs())
            }
            Self::Refused(why) => write!(f, "did not take part in a run: {why}"),
            Self::Leaving => {
                let most = FAREWELL.as_secs();
                write!(f, "leaving: the operations in flight may end, for {most} s; a second signal ends this at once")
            }
        }
    }
}

/// What the agent has waited for.
enum Arrival {
    Ask(Ask, Mail),
    Posted(Posted),
    Pulse(String),
    Frame(u32, FromWorker),
    Stop,
    Look,
}

/// What comes through the server.
enum News {
    Ask(Ask, Mail),
    Posted(Posted),
    Pulse(String),
}

struct Agent<'s> {
    settings: Settings,
    link: Arc<Link>,
    presence: Arc<Mutex<Presence>>,
    letterbox: Letterbox,
    /// The invitations that were seen and could be sent again: until when each is valid, in seconds since 1970.
    seen: BTreeMap<[u8; 16], u64>,
    work: Option<Work>,
    /// The command that the agent works for, also between two of its runs.
    held: Option<Held>,
    news_in: Sender<News>,
    say: &'s mut dyn FnMut(&Said),
}

/// A command that the agent works for.
struct Held {
    command: String,
    key: Key,
    /// The greatest epoch of a controller that was seen. What others ask is refused.
    epoch: u32,
    /// How long the agent waits for another controller when this one is gone.
    orphan_timeout: Duration,
    /// When its controller was heard last.
    heard: Duration,
    _pulse: Listening,
}

impl Held {
    fn silence(&self) -> Duration {
        since_boot().saturating_sub(self.heard)
    }

    /// Whether no controller will come. If it is the link that is down, nobody can.
    fn is_orphaned(&self, is_up: bool) -> bool {
        self.silence() >= if is_up { self.orphan_timeout } else { ORPHANED }
    }

    /// What the controller asks.
    fn open<T: DeserializeOwned>(&mut self, subject: &str, sealed: &[u8]) -> Result<T, String> {
        let Asked { epoch, what } = remote::open(&self.key, subject, sealed).map_err(|error| error.to_string())?;
        if epoch < self.epoch {
            return Err("another controller has taken over".into());
        }
        self.epoch = epoch;
        Ok(what)
    }
}

/// Runs an agent until a stop; after a second one it does not wait for its workers.
pub fn run(settings: Settings, stops: &Receiver<()>, say: &mut dyn FnMut(&Said)) -> Result<(), AgentError> {
    if !subjects::is_name(&settings.name) {
        return Err(AgentError::Name(settings.name));
    }
    if !(1..=MAX_PROCESSES).contains(&settings.max_processes) {
        return Err(AgentError::Processes(settings.max_processes));
    }
    let link = Arc::new(settings.server.connect_agent(&settings.name)?);
    // Whoever has the name already answers at once.
    if let Some(answer) = link.request(&subjects::ask(&settings.name, Ask::Clock), Vec::new(), presence::INTERVAL * 2) {
        return Err(match remote::read::<ClockFace>(&answer) {
            Ok(_) => AgentError::Taken(settings.name),
            Err(_) => AgentError::Captured(link.url().to_owned()),
        });
    }
    let (news_in, news) = bounded(WAITING);
    let mut listening = Vec::new();
    for ask in Ask::ALL.into_iter().filter(|ask| *ask != Ask::Clock) {
        let subject = subjects::ask(&settings.name, ask);
        listening.push(link.subscribe_to(&subject, news_in.clone(), move |mail| News::Ask(ask, mail))?);
    }
    // A clock is read at once, whatever the agent does.
    let clock = subjects::ask(&settings.name, Ask::Clock);
    listening.push(link.answer(&clock, |_| remote::bytes(&faces()).unwrap_or_default())?);
    let letterbox = Letterbox::default();
    let presence = Arc::new(Mutex::new(offer::presence(&settings, letterbox.public())));
    let (alive, ended) = unbounded::<()>();
    announce(Arc::clone(&link), Arc::clone(&presence), ended).map_err(AgentError::Thread)?;
    say(&Said::Ready { name: settings.name.clone(), url: link.url().to_owned() });
    let (work, held) = (None, None);
    let mut agent = Agent { settings, link, presence, letterbox, seen: BTreeMap::new(), work, held, news_in, say };
    agent.serve(&news, stops);
    drop(alive);
    Ok(())
}

/// Says again and again that the agent is there, whatever it does otherwise, until `ended` is closed.
fn announce(link: Arc<Link>, presence: Arc<Mutex<Presence>>, ended: Receiver<()>) -> std::io::Result<()> {
    let say = move || {
        loop {
            let (subject, now) = {
                let mut presence = lock(&presence);
                offer::refresh(&mut presence);
                (subjects::presence(&presence.name), presence.to_bytes())
            };
            if let Ok(now) = now {
                link.publish(&subject, now);
            }
            if ended.recv_timeout(presence::INTERVAL) != Err(crossbeam::channel::RecvTimeoutError::Timeout) {
                return;
            }
        }
    };
    std::thread::Builder::new().name("presence".into()).spawn(say).map(drop)
}

fn lock(presence: &Mutex<Presence>) -> MutexGuard<'_, Presence> {
    // A panic aborts nothing here, but leaves the value whole.
    presence.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Agent<'_> {
    fn serve(&mut self, news: &Receiver<News>, stops: &Receiver<()>) {
        let looks = tick(LOOK);
        let nobody = never();
        let mut looked = since_boot();
        let mut leaving: Option<Instant> = None;
        loop {
            let frames = self.work.as_ref().and_then(Work::frames).unwrap_or(&nobody);
            let arrival = select! {
                recv(news) -> news => match news {
                    Ok(News::Ask(ask, mail)) => Arrival::Ask(ask, mail),
                    Ok(News::Posted(posted)) => Arrival::Posted(posted),
                    Ok(News::Pulse(subject)) => Arrival::Pulse(subject),
                    Err(_) => return,
                },
                recv(frames) -> frame => match frame {
                    Ok((worker, frame)) => Arrival::Frame(worker, frame),
                    Err(_) => Arrival::Look,
                },
                recv(stops) -> _ => Arrival::Stop,
                recv(looks) -> _ => Arrival::Look,
            };
            // Whoever was away for too long has been given up, and must not say anything before its workers have ended.
            let away = since_boot().saturating_sub(looked);
            looked = since_boot();
            if away >= ORPHANED && self.work.as_mut().is_some_and(Work::abandon) {
                (self.say)(&Said::Orphaned);
            }
            match arrival {
                Arrival::Ask(ask, mail) => self.answer(ask, &mail),
                Arrival::Posted(posted) => self.work.iter_mut().for_each(|work| work.obey(&posted)),
                Arrival::Pulse(subject) => {
                    let held = self.held.as_mut().filter(|held| subjects::pulse(&held.command) == subject);
                    if let Some(held) = held {
                        held.heard = since_boot();
                    }
                }
                Arrival::Frame(worker, frame) => {
                    if let Some(work) = &mut self.work {
                        work.hear(&self.link, worker, frame);
                    }
                }
                Arrival::Stop if leaving.is_some() => return,
                Arrival::Stop => {
                    leaving = Some(Instant::now());
                    lock(&self.presence).leaving = true;
                    if let Some(work) = &mut self.work {
                        work.leave();
                        (self.say)(&Said::Leaving);
                    }
                }
                Arrival::Look => {
                    let is_up = self.link.is_up();
                    let is_orphaned = self.held.as_ref().is_none_or(|held| held.is_orphaned(is_up));
                    if let Some(work) = &mut self.work {
                        work.look();
                        if is_orphaned && work.abandon() {
                            (self.say)(&Said::Orphaned);
                        }
                    }
                }
            }
            self.count();
            let is_free = self.work.as_ref().is_none_or(Work::is_idle);
            // If nobody controls, nobody will tell the workers to end.
            let is_alone = self.held.as_ref().is_none_or(|held| held.silence() >= ORPHANED);
            let most = if is_alone { ALONE } else { FAREWELL };
            if leaving.is_some_and(|since| is_free || since.elapsed() >= most) {
                return;
            }
        }
    }

    /// Notes in the presence what the agent does.
    fn count(&self) {
        let mut presence = lock(&self.presence);
        presence.carried_out = self.work.as_ref().map(Work::carried_out).unwrap_or_default();
        presence.workers = self.work.as_ref().map_or(0, Work::workers);
        let held = self.held.as_ref().filter(|held| !held.is_orphaned(self.link.is_up()));
        presence.command = held.map(|held| held.command.clone());
    }

    /// Answers a request of a controller.
    fn answer(&mut self, ask: Ask, mail: &Mail) {
        if ask == Ask::Release {
            return self.release(mail);
        }
        let Some(reply) = mail.reply.clone() else { return };
        let answer = match ask {
            Ask::Clock | Ask::Release => return,
            Ask::Open => self.open(mail),
            Ask::Begin => self.begin(mail),
            Ask::Hook => match self.call(mail, &reply) {
                // The hook answers when it has ended.
                Ok(()) => return,
                Err(why) => Err(why),
            },
            Ask::Close => self.close(mail),
        };
        if let Err(why) = &answer {
            (self.say)(&Said::Refused(why.to_string()));
        }
        let answer = match ask {
            Ask::Hook => remote::bytes(&answer.map(|()| Vec::<u8>::new())),
            _ => remote::bytes(&answer),
        };
        self.link.publish(&reply, answer.unwrap_or_default());
    }

    /// What the controller of the command asks that this agent works for.
    fn asked<T: DeserializeOwned>(&mut self, mail: &Mail) -> Result<(T, &mut Work), Refusal> {
        let uninvited = || Refusal::Gone("it was not invited".into());
        let asked = self.held.as_mut().ok_or_else(uninvited)?.open(&mail.subject, &mail.payload)?;
        Ok((asked, self.work.as_mut().ok_or_else(uninvited)?))
    }

    fn begin(&mut self, mail: &Mail) -> Result<(), Refusal> {
        let link = Arc::clone(&self.link);
        let (start, work) = self.asked(mail)?;
        Ok(work.begin(&link, &start)?)
    }

    fn call(&mut self, mail: &Mail, reply: &str) -> Result<(), Refusal> {
        let link = Arc::clone(&self.link);
        let (call, work) = self.asked(mail)?;
        Ok(work.call(&link, call, reply.to_owned(), mail.subject.clone())?)
    }

    fn close(&mut self, mail: &Mail) -> Result<(), Refusal> {
        let (name, work): (remote::RunName, _) = self.asked(mail)?;
        if *work.name() == name && !work.stop_hook() {
            work.end();
            self.work = None;
            (self.say)(&Said::Closed);
        }
        Ok(())
    }

    /// The command has ended.
    fn release(&mut self, mail: &Mail) {
        let Some(held) = &mut self.held else { return };
        if held.open::<remote::RunName>(&mail.subject, &mail.payload).is_ok() {
            self.held = None;
            if let Some(mut work) = self.work.take() {
                work.end();
            }
        }
    }

    /// Whether an invitation comes from somebody whom the agent trusts, and for the first time.
    fn trust(&mut self, subject: &str, envelope: &Envelope) -> Result<(), String> {
        let trusted = &self.settings.trust;
        if !trusted.is_empty() {
            let signed =
                envelope.signed.as_ref().ok_or("the run is not signed, and this agent trusts signed ones only")?;
            if !trusted.contains(&signed.by) {
                return Err(format!("{} signed the run, whom this agent does not trust (--trust)", line(&signed.by)));
            }
            if !seal::is_signed(&signed.by, &envelope.signed_bytes(subject), &signed.signature) {
                return Err("the signature of the run is not one of what it says".into());
            }
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        if envelope.not_after < now || envelope.not_after > now + MOST_AHEAD.as_secs() {
            return Err("the invitation has expired, or is not valid yet: the clocks of the machines differ".into());
        }
        self.seen.retain(|_, not_after| *not_after >= now);
        if self.seen.len() >= MOST_SEEN || self.seen.insert(envelope.nonce, envelope.not_after).is_some() {
            return Err("the invitation has been sent before".into());
        }
        Ok(())
    }

    fn open(&mut self, mail: &Mail) -> Result<(), Refusal> {
        let envelope: Envelope = remote::read(&mail.payload).map_err(|error| error.to_string())?;
        self.trust(&mail.subject, &envelope)?;
        let key = self
            .letterbox
            .open(&envelope.key)
            .ok_or_else(|| Refusal::Gone("its key was not sealed for this agent".into()))?;
        let asked = remote::open(&key, &mail.subject, &envelope.invitation).map_err(|error| error.to_string())?;
        let Asked::<Invitation> { epoch, what: invitation } = asked;
        if lock(&self.presence).leaving {
            return Err(Refusal::Gone("it is leaving".into()));
        }
        let (task, command) = (invitation.task.clone(), invitation.run.command.clone());
        let is_up = self.link.is_up();
        let (own, other): (Vec<_>, Vec<_>) = self.held.iter().partition(|held| held.command == command);
        if let Some(held) = other.first().filter(|held| !held.is_orphaned(is_up)) {
            return Err(format!("it works for the command {}", held.command).into());
        }
        if own.iter().any(|held| held.epoch > epoch) {
            return Err("another controller has taken over".to_owned().into());
        }
        if self.work.as_ref().is_some_and(|work| *work.name() == invitation.run) {
            // The controller before has invited it.
            return Ok(());
        }
        if let Some(mut work) = self.work.take() {
            work.end();
        }
        let (pulse, news) = (subjects::pulse(&command), self.news_in.clone());
        let pulse = self.link.subscribe_to(&pulse, news, |mail| News::Pulse(mail.subject));
        let pulse = pulse.map_err(|error| error.to_string())?;
        let orphan_timeout = invitation.orphan_timeout.max(ORPHANED);
        let work = Work::open(invitation, &key, &self.settings, &self.link, &self.news_in)?;
        self.held =
            Some(Held { command: command.clone(), key, epoch, orphan_timeout, heard: since_boot(), _pulse: pulse });
        self.work = Some(work);
        (self.say)(&Said::Opened { task, command });
        Ok(())
    }
}
