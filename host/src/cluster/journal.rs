//! The journal of a command: one stream, to which its controller and its agents append, and which all of them read in
//! the same order.

mod append;
mod bundle;

use std::time::{Duration, SystemTime};

use async_nats::jetstream;
use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use async_nats::jetstream::stream::{Config, DiscardPolicy, LastRawMessageErrorKind, StorageType};
use crossbeam::channel::{Sender, TrySendError};
use futures_util::StreamExt;

use super::seal::Key;
use super::{ClusterError, Link, Listening, subjects};
pub use append::{Appender, Patience, Trouble};
pub use bundle::Bundle;
use bundle::Parts;

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
        created.map(drop).map_err(|error| {
            let is_short = error.to_string().contains("insufficient");
            let remedy =
                if is_short { format!("; it has no room for {most} bytes (--journal-max)") } else { String::new() };
            link.refused("make the journal of the run", format!("{error}{remedy}"))
        })
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
