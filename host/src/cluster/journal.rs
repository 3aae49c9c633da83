//! The journal of a command: one stream, to which its controller and its agents append, and which all of them read in
//! the same order.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime};

use async_nats::connection::State;
use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{Config, DiscardPolicy, LastRawMessageErrorKind, StorageType};
use async_nats::jetstream::{self, ErrorCode};
use crossbeam::channel::{Sender, TrySendError};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

use super::seal::Key;
use super::{ClusterError, Link, Listening, subjects};
use crate::wire;

/// The largest message that is sent in one piece. A server takes 1 MiB by default.
pub const MOST_BYTES: usize = 512 << 10;

/// The longest bundle.
const MOST_OF_BUNDLE: usize = 96 << 20;

/// How long the server may take to acknowledge an entry before it is sent again.
const ACKNOWLEDGE: Duration = Duration::from_secs(2);

/// How long the server may be there and store nothing before a controller gives up. A server whose disk is full does
/// not answer at all.
pub const UNSTORED: Duration = Duration::from_secs(30);

/// The pause before something is sent again.
const AGAIN: Duration = Duration::from_millis(100);

/// The window in which the server itself drops repeated messages. It only spares space: readers drop repeats too.
const REPEATS: Duration = Duration::from_secs(30);

/// How long a read waits at the server.
const READ: Duration = Duration::from_secs(5);

/// How long a reader waits before it gives the server another chance.
const READ_AGAIN: Duration = Duration::from_millis(50);

/// The stream of a command. Everything in it is sealed with the key of the command.
#[derive(Clone, Debug)]
pub struct Journal {
    command: String,
    key: Key,
}

/// What a journal has.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// The place of the first message.
    pub first: u64,
    /// The place of the last message.
    pub last: u64,
    /// How many bytes all messages have.
    pub bytes: u64,
}

/// What an append has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Another controller has written in between.
    Fenced,
    /// The server has no room.
    Full(String),
    /// The stream is gone.
    Gone(String),
}

impl Trouble {
    /// Sends it to a subject, sealed, from wherever it arises.
    pub fn told(link: &Link, key: &Key, subject: String) -> impl FnOnce(Self) + Send + 'static {
        let (client, runtime, key) = (link.client.clone(), link.runtime.handle().clone(), key.clone());
        move |trouble: Self| {
            let text = match trouble {
                Self::Fenced => String::new(),
                Self::Full(why) | Self::Gone(why) => why,
            };
            if let Ok(sealed) = key.seal(&subject, text.into()) {
                runtime.spawn(async move { client.publish(subject, sealed.into()).await });
            }
        }
    }
}

/// What was appended at once: what one writer had to say by then.
#[derive(Debug)]
pub struct Posted {
    /// The place of its last message in the stream, from 1.
    pub sequence: u64,
    /// The place up to which no bundle is incomplete.
    pub whole: u64,
    /// When it was appended, by the server's clock.
    pub published: SystemTime,
    /// How many bytes its last message has.
    pub bytes: usize,
    /// The subject.
    pub subject: String,
    /// Its contents; empty if more of it follows, or if it makes no sense.
    pub bundle: Bundle,
}

/// Items that are appended together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// The epoch of the controller that wrote it; 0 from agents.
    pub epoch: u32,
    /// Its index among the bundles of its writer, from 1.
    pub serial: u64,
    /// The items.
    pub items: Vec<Vec<u8>>,
}

/// The version of [`Bundle`].
const BUNDLE: u32 = 1;

/// Appends items in order: as many as wait, in one message; and one message at a time, each until it is acknowledged.
/// If this is dropped, what waits is still appended.
#[derive(Clone)]
pub struct Appender {
    queue: mpsc::UnboundedSender<Vec<u8>>,
    /// How many bytes have not been acknowledged.
    waiting: watch::Sender<usize>,
}

impl Appender {
    fn new() -> (Self, Queue) {
        let (queue, items) = mpsc::unbounded_channel();
        let (waiting, _) = watch::channel(0);
        (Self { queue, waiting: waiting.clone() }, Queue { items, waiting })
    }

    /// Appends an item. Never waits.
    pub fn append(&self, item: Vec<u8>) {
        self.waiting.send_modify(|bytes| *bytes += item.len());
        // Fails after trouble, which has been told.
        let _ = self.queue.send(item);
    }

    /// How many bytes have not been acknowledged.
    pub fn waiting_bytes(&self) -> usize {
        *self.waiting.borrow()
    }
}

/// The other end of an [`Appender`].
struct Queue {
    items: mpsc::UnboundedReceiver<Vec<u8>>,
    waiting: watch::Sender<usize>,
}

impl Queue {
    /// Waits for items, and takes as many as fit into a message. `None` if there will be none.
    async fn take(&mut self) -> Option<Vec<Vec<u8>>> {
        let first = self.items.recv().await?;
        let mut bytes = first.len();
        let mut items = vec![first];
        while bytes < MOST_BYTES / 2
            && let Ok(item) = self.items.try_recv()
        {
            bytes += item.len();
            items.push(item);
        }
        Some(items)
    }

    /// These items have been acknowledged.
    fn acknowledge(&self, items: &[Vec<u8>]) {
        let done: usize = items.iter().map(Vec::len).sum();
        self.waiting.send_modify(|bytes| *bytes -= done);
    }
}

/// A message is the first part of a bundle.
const FIRST: u8 = 1;

/// Another part follows.
const MORE: u8 = 2;

/// A bundle as messages at `subject`: one, or several parts if it is long.
fn parts(key: &Key, subject: &str, bundle: &Bundle) -> Result<Vec<bytes::Bytes>, Trouble> {
    let whole = wire::versioned(BUNDLE, bundle).map_err(|error| Trouble::Full(error.to_string()))?;
    let whole = key.seal(subject, whole).map_err(|error| Trouble::Full(error.to_string()))?;
    if whole.len() > MOST_OF_BUNDLE {
        return Err(Trouble::Full(format!("an entry has {} bytes", whole.len())));
    }
    let count = whole.len().div_ceil(MOST_BYTES).max(1);
    let part = |(i, part): (usize, &[u8])| {
        let flags = if i == 0 { FIRST } else { 0 } | if i + 1 < count { MORE } else { 0 };
        [&[flags], part].concat().into()
    };
    Ok(whole.chunks(MOST_BYTES).enumerate().map(part).collect())
}

/// Puts the parts of bundles together again: by subject, with the place of the first part.
#[derive(Debug, Default)]
struct Parts(HashMap<String, (u64, Vec<u8>)>);

impl Parts {
    /// The bundle that ends with the message at `sequence`. `None` if more follows, or if it makes no sense.
    fn add(&mut self, key: &Key, subject: &str, sequence: u64, message: &[u8]) -> Option<Bundle> {
        let (flags, part) = message.split_first()?;
        let (first, whole) = self.0.entry(subject.to_owned()).or_insert_with(|| (sequence, Vec::new()));
        if flags & FIRST != 0 {
            *first = sequence;
            whole.clear();
        }
        if whole.len() + part.len() <= MOST_OF_BUNDLE {
            whole.extend_from_slice(part);
        }
        if flags & MORE != 0 {
            return None;
        }
        let (_, whole) = self.0.remove(subject)?;
        wire::of_version(BUNDLE, &key.open(subject, &whole)?).ok()
    }

    /// The place up to which no bundle is incomplete, after the message at `sequence`.
    fn whole(&self, sequence: u64) -> u64 {
        self.0.values().map(|(first, _)| first - 1).min().unwrap_or(sequence)
    }
}

impl Journal {
    /// The journal of `command`.
    pub fn of(command: &str, key: &Key) -> Self {
        Self { command: command.to_owned(), key: key.clone() }
    }

    /// The key of the command.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Makes the stream, with room for `most` bytes.
    pub fn create(&self, link: &Link, most: i64) -> Result<(), ClusterError> {
        let config = Config {
            name: subjects::stream(&self.command),
            subjects: subjects::of_stream(&self.command),
            storage: StorageType::File,
            // The default, `old`, loses entries in silence.
            discard: DiscardPolicy::New,
            max_bytes: most,
            duplicate_window: REPEATS,
            ..Config::default()
        };
        let created = link.runtime.block_on(link.jetstream.create_stream(config));
        created.map(drop).map_err(|error| link.refused("make the journal of the run", error))
    }

    /// Removes the stream of `command`.
    pub fn remove(link: &Link, command: &str) -> Result<(), ClusterError> {
        let deleted = link.runtime.block_on(link.jetstream.delete_stream(subjects::stream(command)));
        deleted.map(drop).map_err(|error| link.refused("remove the journal of the run", error))
    }

    /// The place of the last decision; 0 if there is none.
    pub fn last_decision(&self, link: &Link) -> Result<u64, ClusterError> {
        let last = self.last_of(link, &subjects::decided(&self.command))?;
        Ok(last.map_or(0, |(sequence, _)| sequence))
    }

    /// The last message at a subject, with its place.
    fn last_of(&self, link: &Link, subject: &str) -> Result<Option<(u64, bytes::Bytes)>, ClusterError> {
        let last = link.runtime.block_on(last_of(&link.jetstream, &subjects::stream(&self.command), subject));
        last.map_err(|why| link.refused("read the journal of the run", why))
    }

    /// The last bundle at a subject, if it is whole in one message.
    pub fn last_bundle(&self, link: &Link, subject: &str) -> Result<Option<Bundle>, ClusterError> {
        let last = self.last_of(link, subject)?;
        Ok(last.and_then(|(sequence, message)| Parts::default().add(&self.key, subject, sequence, &message)))
    }

    /// What the journal has; an error if there is no such journal.
    pub fn extent(&self, link: &Link) -> Result<Extent, ClusterError> {
        let state = link.runtime.block_on(async {
            let stream = link.jetstream.get_stream(subjects::stream(&self.command)).await;
            stream.map(|stream| stream.cached_info().state.clone()).map_err(|error| error.to_string())
        });
        let state = state.map_err(|why| link.refused("read the journal of the run", why))?;
        Ok(Extent { first: state.first_sequence, last: state.last_sequence, bytes: state.bytes })
    }

    /// Removes everything up to the message at `last`, but the last decision.
    pub fn purge(&self, link: &Link, last: u64) -> Result<(), ClusterError> {
        let purged = link.runtime.block_on(async {
            let stream = link.jetstream.get_stream_no_info(subjects::stream(&self.command)).await;
            let stream = stream.map_err(|error| error.to_string())?;
            stream.purge().sequence(last + 1).await.map_err(|error| error.to_string())
        });
        purged.map(drop).map_err(|why| link.refused("shorten the journal of the run", why))
    }

    /// Appends to `subject`. The server drops a message that it has had; `name` is unique in the stream. `trouble` is
    /// called once, if it does not go on.
    pub fn appender(
        &self,
        link: &Link,
        subject: String,
        name: String,
        epoch: u32,
        patience: Option<Duration>,
        trouble: impl FnOnce(Trouble) + Send + 'static,
    ) -> Appender {
        let (appender, mut queue) = Appender::new();
        let (key, store) = (self.key.clone(), Store::of(link, patience));
        link.runtime.spawn(async move {
            let (mut serial, mut message) = (0_u64, 0_u64);
            while let Some(items) = queue.take().await {
                serial += 1;
                let bundle = Bundle { epoch, serial, items };
                let appended = async {
                    for part in parts(&key, &subject, &bundle)? {
                        message += 1;
                        append(&store, &subject, &format!("{name}/{message}"), part).await?;
                    }
                    Ok(())
                };
                if let Err(why) = appended.await {
                    trouble(why);
                    return;
                }
                queue.acknowledge(&bundle.items);
            }
        });
        appender
    }

    /// Appends decisions, on condition that no other controller has decided anything since the message at `last`, the
    /// last one of its subject.
    pub fn decider(
        &self,
        link: &Link,
        epoch: u32,
        mut last: u64,
        trouble: impl FnOnce(Trouble) + Send + 'static,
    ) -> Appender {
        let (appender, mut queue) = Appender::new();
        let (store, subject) = (Store::of(link, Some(UNSTORED)), subjects::decided(&self.command));
        let (stream, key) = (subjects::stream(&self.command), self.key.clone());
        link.runtime.spawn(async move {
            let mut serial = 0_u64;
            while let Some(items) = queue.take().await {
                serial += 1;
                let bundle = Bundle { epoch, serial, items };
                let decided = async {
                    let mut last = last;
                    for part in parts(&key, &subject, &bundle)? {
                        last = decide(&store, (&stream, &subject, &key), epoch, last, part).await?;
                    }
                    Ok(last)
                };
                last = match decided.await {
                    Ok(sequence) => sequence,
                    Err(why) => {
                        trouble(why);
                        return;
                    }
                };
                queue.acknowledge(&bundle.items);
            }
        });
        appender
    }

    /// Reads what is posted to these subjects, from the message after `after` on. Each message is handed to `to` once
    /// and in order, whatever happens to the connection.
    pub fn follow<T: Send + 'static>(
        &self,
        link: &Link,
        filter: Vec<String>,
        after: u64,
        to: Sender<T>,
        read: impl Fn(Posted) -> T + Send + Sync + 'static,
    ) -> Listening {
        let (jetstream, mut turns) = (link.jetstream.clone(), link.turns.clone());
        let (name, key) = (subjects::stream(&self.command), self.key.clone());
        Listening::to(link.runtime.spawn(async move {
            let (mut next, mut parts) = (after + 1, Parts::default());
            loop {
                turns.mark_unchanged();
                let reading = read_on(&jetstream, (&name, &key), &filter, &mut next, &mut parts, &to, &read);
                let is_over = tokio::select! {
                    is_over = reading => is_over,
                    // A read that the server forgot with the connection would be noticed only after seconds.
                    changed = turns.changed() => changed.is_err(),
                };
                if is_over {
                    return;
                }
                tokio::time::sleep(READ_AGAIN).await;
            }
        }))
    }
}

/// Reads until something goes wrong. Returns whether nobody listens any more.
async fn read_on<T>(
    jetstream: &jetstream::Context,
    (name, key): (&str, &Key),
    filter: &[String],
    next: &mut u64,
    parts: &mut Parts,
    to: &Sender<T>,
    read: &impl Fn(Posted) -> T,
) -> bool {
    let Ok(stream) = jetstream.get_stream_no_info(name).await else { return false };
    // With one subject, the server sees in the request what is to be read, and whether that is allowed.
    let (filter_subject, filter_subjects) = match filter {
        [one] => (one.clone(), Vec::new()),
        several => (String::new(), several.to_vec()),
    };
    let config = pull::OrderedConfig {
        // Without a name, the subject of the request would not say what is to be read.
        name: Some(format!("r{:016x}", fastrand::u64(..))),
        filter_subject,
        filter_subjects,
        deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: *next },
        max_expires: READ,
        ..pull::OrderedConfig::default()
    };
    let Ok(consumer) = stream.create_consumer(config).await else { return false };
    let Ok(mut messages) = consumer.messages().await else { return false };
    while let Some(Ok(message)) = messages.next().await {
        let Ok((sequence, published)) = message.info().map(|info| (info.stream_sequence, info.published)) else {
            return false;
        };
        if sequence < *next {
            continue;
        }
        // While the reader is slower than the server, this may be given up at any moment, and is then read again.
        while to.is_full() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        *next = sequence + 1;
        let subject = message.subject.to_string();
        let bundle = parts.add(key, &subject, sequence, &message.payload).unwrap_or_default();
        let (whole, published, bytes) = (parts.whole(sequence), SystemTime::from(published), message.payload.len());
        // Other messages that fill the channel meanwhile may be dropped; this one may not.
        let mut mail = read(Posted { sequence, whole, published, bytes, subject, bundle });
        loop {
            match to.try_send(mail) {
                Ok(()) => break,
                Err(TrySendError::Disconnected(_)) => return true,
                Err(TrySendError::Full(back)) => mail = back,
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    false
}

/// Where messages are stored.
struct Store {
    client: async_nats::Client,
    jetstream: jetstream::Context,
    /// How long it may be there and store nothing.
    patience: Option<Duration>,
}

impl Store {
    fn of(link: &Link, patience: Option<Duration>) -> Self {
        Self { client: link.client.clone(), jetstream: link.jetstream.clone(), patience }
    }

    /// A message was not stored; since `since`, if the server was there all the time.
    fn still(&self, since: &mut Option<Instant>) -> Result<(), Trouble> {
        if self.client.connection_state() != State::Connected {
            *since = None;
            return Ok(());
        }
        let unstored = since.get_or_insert_with(Instant::now).elapsed();
        match self.patience {
            Some(patience) if unstored >= patience => {
                let seconds = patience.as_secs();
                Err(Trouble::Full(format!(
                    "the server has stored nothing for {seconds} s: its disk is full, or the journal was removed"
                )))
            }
            _ => Ok(()),
        }
    }
}

/// Appends one message, again and again until it is acknowledged.
async fn append(store: &Store, subject: &str, id: &str, payload: bytes::Bytes) -> Result<(), Trouble> {
    let mut since = None;
    loop {
        let message = PublishMessage::build().payload(payload.clone()).message_id(id);
        match publish(&store.jetstream, subject, message).await {
            Ok(_) => return Ok(()),
            Err(Refusal::Trouble(trouble)) => return Err(trouble),
            Err(Refusal::WrongLast | Refusal::Again) => store.still(&mut since)?,
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Appends one decision after the message at `last`, and returns its own place. A message identifier would not do: it
/// and the condition break each other if an acknowledgement is lost.
///
/// A controller with a greater epoch has replaced this one. What one with a smaller epoch has decided in the meantime,
/// or what a stranger has sent again, is left behind: the books know what counts.
async fn decide(
    store: &Store,
    (stream, subject, key): (&str, &str, &Key),
    epoch: u32,
    mut last: u64,
    payload: bytes::Bytes,
) -> Result<u64, Trouble> {
    let (jetstream, mut since) = (&store.jetstream, None);
    loop {
        let message = PublishMessage::build().payload(payload.clone()).expected_last_subject_sequence(last);
        match publish(jetstream, subject, message).await {
            Ok(sequence) => return Ok(sequence),
            Err(Refusal::Trouble(trouble)) => return Err(trouble),
            Err(Refusal::Again) => store.still(&mut since)?,
            // Either it is there and its acknowledgement was lost, or somebody has sent something. No two sealed
            // messages are the same.
            Err(Refusal::WrongLast) => match last_of(jetstream, stream, subject).await {
                Ok(Some((sequence, there))) if there == payload => return Ok(sequence),
                Ok(Some((sequence, there))) => {
                    let bundle = Parts::default().add(key, subject, sequence, &there);
                    if bundle.is_some_and(|bundle| bundle.epoch > epoch) {
                        return Err(Trouble::Fenced);
                    }
                    last = sequence;
                }
                Ok(None) => last = 0,
                Err(_) => {}
            },
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// The last message at a subject of a stream, with its place.
async fn last_of(
    jetstream: &jetstream::Context,
    stream: &str,
    subject: &str,
) -> Result<Option<(u64, bytes::Bytes)>, String> {
    let stream = jetstream.get_stream_no_info(stream).await.map_err(|error| error.to_string())?;
    match stream.get_last_raw_message_by_subject(subject).await {
        Ok(message) => Ok(Some((message.sequence, message.payload))),
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// Why a message was not appended.
enum Refusal {
    /// It may be appended later.
    Again,
    /// The last message of its subject is another one.
    WrongLast,
    /// It will never be appended.
    Trouble(Trouble),
}

async fn publish(jetstream: &jetstream::Context, subject: &str, message: PublishMessage) -> Result<u64, Refusal> {
    let sent = jetstream.send_publish(subject.to_owned(), message).await.map_err(|_| Refusal::Again)?;
    let acknowledged = tokio::time::timeout(ACKNOWLEDGE, sent).await.map_err(|_| Refusal::Again)?;
    acknowledged.map(|ack| ack.sequence).map_err(|error| match error.kind() {
        PublishErrorKind::WrongLastSequence => Refusal::WrongLast,
        PublishErrorKind::MaxPayloadExceeded => Refusal::Trouble(Trouble::Full("an entry is too long".into())),
        _ => {
            use std::error::Error as _;
            let why = error.source().map_or_else(|| error.to_string(), ToString::to_string);
            let code = error.source().and_then(|source| source.downcast_ref::<jetstream::Error>());
            match code.map(jetstream::Error::error_code) {
                Some(ErrorCode::STREAM_NOT_FOUND) => Refusal::Trouble(Trouble::Gone(why)),
                Some(code) if is_full(code) => Refusal::Trouble(Trouble::Full(why)),
                _ => Refusal::Again,
            }
        }
    })
}

/// Whether the server says that there is no room.
fn is_full(code: ErrorCode) -> bool {
    [
        ErrorCode::INSUFFICIENT_RESOURCES,
        ErrorCode::MEMORY_RESOURCES_EXCEEDED,
        ErrorCode::STORAGE_RESOURCES_EXCEEDED,
        ErrorCode::STREAM_STORE_FAILED,
    ]
    .contains(&code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_bundle_goes_in_parts_and_comes_back_whole() {
        let key = Key::new().unwrap();
        for length in [0, 1, MOST_BYTES - 50, MOST_BYTES, 3 * MOST_BYTES] {
            let bundle = Bundle { epoch: 1, serial: 2, items: vec![vec![7; length], vec![8]] };
            let messages = super::parts(&key, "a", &bundle).unwrap();
            assert_eq!(messages.len(), (length + 50).div_ceil(MOST_BYTES), "{length}");
            let (last, before) = messages.split_last().unwrap();
            let mut parts = Parts::default();
            // A writer that ended in the middle of a bundle leaves nothing behind.
            assert_eq!(parts.add(&key, "a", 5, &[FIRST | MORE, 1, 2, 3]), None);
            assert_eq!(parts.whole(7), 4);
            for message in before {
                assert_eq!(parts.add(&key, "a", 8, message), None);
                assert_eq!(parts.add(&key, "b", 9, &[FIRST]), None);
                assert_eq!(parts.whole(9), 7);
            }
            assert_eq!(parts.add(&key, "a", 10, last), Some(bundle.clone()), "{length}");
            assert_eq!(parts.whole(10), 10);
            // It was sealed for another subject, or with another key.
            let other = Key::new().unwrap();
            assert_eq!(before.iter().chain([last]).find_map(|part| parts.add(&key, "b", 1, part)), None);
            assert_eq!(before.iter().chain([last]).find_map(|part| parts.add(&other, "a", 1, part)), None);
        }
    }
}
