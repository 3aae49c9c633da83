//! Appends to a journal: one message at a time, each until it is acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_nats::connection::State;
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, ErrorCode};
use tokio::sync::{mpsc, watch};

use super::bundle::{Bundle, MOST_BYTES, Parts, parts};
use super::{Journal, last_of};
use crate::cluster::seal::Key;
use crate::cluster::{Link, subjects};

/// How long the server may take to acknowledge an entry before it is sent again.
const ACKNOWLEDGE: Duration = Duration::from_secs(2);

/// How long the server may be there and store nothing before whoever appends gives up; without limit if it is `None`.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Without a reason. A server whose disk is full does not answer at all.
    unstored: Option<Duration>,
    /// Because the journal has no room.
    full: Option<Duration>,
}

/// See [`Patience::unstored`]. In this time a controller can shorten its journal several times.
const UNSTORED: Duration = Duration::from_secs(30);

impl Patience {
    /// That of a controller, which makes its journal shorter unless that `is_kept` whole.
    pub fn of_controller(is_kept: bool) -> Self {
        Self { unstored: Some(UNSTORED), full: Some(if is_kept { Duration::ZERO } else { UNSTORED }) }
    }

    /// That of an agent, which waits for a controller.
    pub fn of_agent(is_kept: bool) -> Self {
        Self { unstored: None, full: is_kept.then_some(Duration::ZERO) }
    }
}

/// The pause before something is sent again.
const AGAIN: Duration = Duration::from_millis(100);

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
    pub fn told(link: &Link, key: &Key, subject: String) -> impl Fn(Self) + Send + Sync + 'static {
        let (client, runtime, key) = (link.client.clone(), link.runtime.handle().clone(), key.clone());
        move |trouble: Self| {
            let (client, subject) = (client.clone(), subject.clone());
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

/// Appends items in order: as many as wait, in one message; and one message at a time, each until it is acknowledged.
/// If this is dropped, what waits is still appended.
#[derive(Clone)]
pub struct Appender {
    queue: mpsc::UnboundedSender<Vec<u8>>,
    /// How many bytes have not been acknowledged.
    waiting: watch::Sender<usize>,
    /// How many items have been acknowledged.
    stored: Arc<AtomicU64>,
}

impl Appender {
    fn new() -> (Self, Queue) {
        let (queue, items) = mpsc::unbounded_channel();
        let (waiting, _) = watch::channel(0);
        let stored = Arc::default();
        (Self { queue, waiting: waiting.clone(), stored: Arc::clone(&stored) }, Queue { items, waiting, stored })
    }

    /// How many items are in the journal.
    pub fn stored(&self) -> u64 {
        self.stored.load(Ordering::Acquire)
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
    stored: Arc<AtomicU64>,
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
        self.stored.fetch_add(items.len() as u64, Ordering::Release);
        self.waiting.send_modify(|bytes| *bytes -= done);
    }
}

impl Journal {
    /// Appends to `subject`. The server drops a message that it has had; `name` is unique in the stream. `trouble` is
    /// called if it does not go on; if its patience has no limit, whenever there has been no room for a while.
    pub fn appender(
        &self,
        link: &Link,
        subject: String,
        name: String,
        epoch: u32,
        patience: Patience,
        trouble: impl Fn(Trouble) + Send + Sync + 'static,
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
                        append(&store, &subject, &format!("{name}/{message}"), part, &trouble).await?;
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
        patience: Patience,
        trouble: impl FnOnce(Trouble) + Send + 'static,
    ) -> Appender {
        let (appender, mut queue) = Appender::new();
        let (store, subject) = (Store::of(link, patience), subjects::decided(&self.command));
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
}

/// Where messages are stored.
struct Store {
    client: async_nats::Client,
    jetstream: jetstream::Context,
    patience: Patience,
}

impl Store {
    fn of(link: &Link, patience: Patience) -> Self {
        Self { client: link.client.clone(), jetstream: link.jetstream.clone(), patience }
    }

    /// A message was not stored, because there is no room for it if `full` says so; since `since`, if the server was
    /// there all the time.
    fn still(&self, since: &mut Option<Instant>, full: Option<String>) -> Result<(), Trouble> {
        if self.client.connection_state() != State::Connected {
            *since = None;
            return Ok(());
        }
        let unstored = since.get_or_insert_with(Instant::now).elapsed();
        let Patience { unstored: most, full: most_full } = self.patience;
        match full {
            Some(why) if most_full.is_some_and(|most| unstored >= most) => Err(Trouble::Full(why)),
            None if most.is_some_and(|most| unstored >= most) => Err(Trouble::Full(format!(
                "the server has stored nothing for {} s: its disk is full, or the journal was removed",
                unstored.as_secs()
            ))),
            _ => Ok(()),
        }
    }
}

/// Appends one message, again and again until it is acknowledged.
async fn append(
    store: &Store,
    subject: &str,
    id: &str,
    payload: bytes::Bytes,
    trouble: &impl Fn(Trouble),
) -> Result<(), Trouble> {
    let mut since = None;
    loop {
        let message = PublishMessage::build().payload(payload.clone()).message_id(id);
        match publish(&store.jetstream, subject, message).await {
            Ok(_) => return Ok(()),
            Err(Refusal::Trouble(trouble)) => return Err(trouble),
            Err(Refusal::Full(why)) if store.patience.full.is_none() => {
                if since.get_or_insert_with(Instant::now).elapsed() >= UNSTORED {
                    since = None;
                    trouble(Trouble::Full(why));
                }
            }
            Err(Refusal::Full(why)) => store.still(&mut since, Some(why))?,
            Err(Refusal::WrongLast | Refusal::Again) => store.still(&mut since, None)?,
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
            Err(Refusal::Full(why)) => store.still(&mut since, Some(why))?,
            Err(Refusal::Again) => store.still(&mut since, None)?,
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

/// Why a message was not appended.
enum Refusal {
    /// It may be appended later.
    Again,
    /// The journal has no room now.
    Full(String),
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
                Some(code) if is_full(code) => Refusal::Full(why),
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
