//! Asks the agents of a fleet, and notices which of them are gone.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam::channel::{Receiver, bounded, select, tick};

use super::RunError;
use super::fleet::Fleet;
use super::machine::ABSENCE;
use super::remote::{self, Asked, ClockFace, Envelope, Refusal, Signed};
use crate::clock::system_monotonic;
use crate::cluster::Link;
use crate::cluster::presence::{Presence, Roll};
use crate::cluster::seal;
use crate::cluster::subjects::{self, Ask};
use crate::journal::ClockReading;

/// How long an agent may take to answer what needs no work.
pub(super) const ANSWER: Duration = Duration::from_secs(5);

/// An invitation is valid for so long: clocks of machines may differ by less.
const VALID: Duration = Duration::from_secs(600);

/// The clock of a box is read so many times, and the reading with the shortest round trip counts.
const PROBES: usize = 9;

/// How often whoever waits for an answer looks whether the agent is still there.
pub(super) const LOOK: Duration = Duration::from_millis(500);

/// Notices which agents are gone. Nothing can be heard while the server is away.
pub(super) struct Attention<'f> {
    link: &'f Link,
    roll: Option<Arc<Roll>>,
    since: Instant,
}

impl Attention<'_> {
    /// Whether something came from an agent lately.
    pub(super) fn has_heard(&self, name: &str) -> bool {
        self.roll.as_ref().is_none_or(|roll| roll.has_heard(name, ABSENCE))
    }

    /// Whether nothing came from an agent for as long as a box may be absent.
    pub(super) fn is_silent(&mut self, name: &str) -> bool {
        if !self.link.is_up() {
            self.since = Instant::now();
        }
        self.since.elapsed() >= ABSENCE && !self.has_heard(name)
    }

    /// Whether the agent with this name is another process by now.
    pub(super) fn is_another(&self, agent: &Presence) -> bool {
        let session = self.roll.as_ref().and_then(|roll| roll.session(&agent.name));
        session.is_some_and(|session| session != agent.session)
    }

    /// An agent has to be heard again before it is taken to be there.
    fn forget(&self, name: &str) {
        self.roll.iter().for_each(|roll| roll.forget(name));
    }
}

impl Fleet {
    /// What to ask an agent, sealed. An invitation brings the key.
    pub(super) fn question<T: serde::Serialize>(
        &self,
        agent: &Presence,
        what: Ask,
        question: T,
    ) -> io::Result<Vec<u8>> {
        let (key, subject) = (self.journal.key(), subjects::ask(&agent.name, what));
        let sealed = remote::seal(key, &subject, &Asked { epoch: self.epoch(), what: question })?;
        if what != Ask::Open {
            return Ok(sealed);
        }
        let for_agent = key.seal_for(&agent.public_key).map_err(io::Error::other)?;
        let not_after = SystemTime::now() + VALID;
        let mut envelope = Envelope {
            command: self.command.clone(),
            key: for_agent,
            invitation: sealed,
            not_after: not_after.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            nonce: seal::nonce().map_err(io::Error::other)?,
            signed: None,
        };
        if let Some(signer) = &self.signer {
            let signature = signer.sign(&envelope.signed_bytes(&subject)).map_err(io::Error::other)?;
            envelope.signed = Some(Signed { by: signer.public(), signature });
        }
        remote::bytes(&envelope)
    }

    /// Notices from now on which agents are gone.
    pub(super) fn attention(&self) -> Attention<'_> {
        Attention { link: &self.link, roll: self.roll(), since: Instant::now() }
    }

    /// Asks every agent, and waits for all answers. Returns the names of those that are gone; an error if one says no.
    pub(super) fn ask_all<T: serde::Serialize>(
        &self,
        agents: &[Presence],
        what: Ask,
        most: Duration,
        stops: &Receiver<()>,
        question: impl Fn(u32) -> T,
    ) -> Result<Vec<String>, RunError> {
        let (answered, answers) = bounded(agents.len());
        for (index, agent) in (0..).zip(agents) {
            let question = self.question(agent, what, question(index));
            let question = question.map_err(|error| RunError::Refused(error.to_string()))?;
            let (link, agent, answered) = (Arc::clone(&self.link), agent.name.clone(), answered.clone());
            // If nobody waits for the answer any more, it does not matter.
            let ask = move || drop(answered.send(ask::<()>(&link, &agent, what, most, question)));
            std::thread::Builder::new().name("asking".into()).spawn(ask).map_err(RunError::Launch)?;
        }
        let (mut attention, ticks) = (self.attention(), tick(LOOK));
        let (mut asked, mut gone): (Vec<&Presence>, _) = (agents.iter().collect(), Vec::new());
        while !asked.is_empty() {
            select! {
                recv(answers) -> answer => {
                    let (agent, answer) = answer.map_err(|_| RunError::Died("a thread has panicked".into()))?;
                    let Some(place) = asked.iter().position(|of| of.name == agent) else { continue };
                    asked.swap_remove(place);
                    match answer {
                        Some(Ok(())) => {}
                        Some(Err(Refusal::Refused(why))) => return Err(RunError::Refused(format!("{agent}: {why}"))),
                        Some(Err(Refusal::Gone(_))) | None => gone.push(agent),
                    }
                },
                recv(ticks) -> _ => {
                    let silent: Vec<_> = asked.extract_if(.., |of| attention.is_silent(&of.name)).collect();
                    gone.extend(silent.into_iter().map(|of| of.name.clone()));
                },
                recv(stops) -> _ => return Err(RunError::Stopped),
            }
        }
        for name in &gone {
            attention.forget(name);
        }
        Ok(gone)
    }
}

/// Asks an agent, and returns its name with its answer; `None` if it gives none.
pub(super) fn ask<T: serde::de::DeserializeOwned>(
    link: &Link,
    agent: &str,
    what: Ask,
    most: Duration,
    question: Vec<u8>,
) -> (String, Option<Result<T, Refusal>>) {
    let answer = link.request(&subjects::ask(agent, what), question, most);
    let answer = answer.map(|answer| remote::read(&answer).unwrap_or_else(|error| Err(error.to_string().into())));
    (agent.to_owned(), answer)
}

/// How the clock of an agent compares with that of this machine; `None` if it does not answer.
pub fn compare(link: &Link, agent: &str) -> Option<ClockReading> {
    let subject = subjects::ask(agent, Ask::Clock);
    let readings = (0..PROBES).map_while(|_| {
        let (before, began) = (faces(), Instant::now());
        let there: ClockFace = remote::read(&link.request(&subject, Vec::new(), ANSWER)?).ok()?;
        let rtt = began.elapsed();
        let half_ns = i64::try_from(rtt.as_nanos() / 2).ok()?;
        Some(ClockReading {
            rtt_ns: u64::try_from(rtt.as_nanos()).ok()?,
            offset_ns: there.wall_ns - before.wall_ns - half_ns,
            monotonic_ns: there.monotonic_ns - before.monotonic_ns - half_ns,
        })
    });
    readings.min_by_key(|reading| reading.rtt_ns)
}

/// The clocks of this machine.
pub fn faces() -> ClockFace {
    let nanos = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    ClockFace { monotonic_ns: nanos(system_monotonic()), wall_ns: nanos(wall) }
}
