//! The register of commands: which there are, who controls each, and with which epoch.

use std::time::{Duration, SystemTime};

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::kv::{Config, Operation, Store};
use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};

use super::presence::Presence;
use super::{ANSWER, ClusterError, Link, subjects};
use crate::wire;

/// The version of [`Listing`].
const LISTING: u32 = 3;

/// The longest listing: a thousand agents with long policies.
const MOST_BYTES: usize = 512 << 10;

/// What everybody may know about a command. No secrets: those are in the journal and in the inputs, which are sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// The version of Gorgon.
    pub gorgon: String,
    /// The version of what is said over the server. Only the same version can go on with a command.
    pub protocol: u32,
    /// What is run, for people, such as `run shop.wasm`.
    pub title: String,
    /// The machine of its controller.
    pub host: String,
    /// The epoch of its controller, from 0. Each controller of a command has a greater one than the one before.
    pub epoch: u32,
    /// The agents, in the order of the boxes.
    pub agents: Vec<Presence>,
    /// How long agents wait for another controller when theirs is gone.
    pub orphan_timeout: Duration,
    /// How many bytes the journal may have.
    pub journal_max: u64,
    /// The SHA-256 of the sealed inputs of the command, by which they are on the server.
    pub inputs: String,
    /// The SHA-256 of the last sealed checkpoint, by which it is on the server. What the checkpoint says may be removed
    /// from the journal. It stands here, because here is room even if the journal has none.
    pub checkpoint: Option<String>,
    /// Why the command could not run, sealed.
    pub failed: Option<Vec<u8>>,
    /// Whether the command has ended, and its journal is kept.
    pub ended: bool,
    /// What stays of the journal.
    pub keep: Keep,
}

/// What stays of a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Keep {
    /// Nothing: it is removed when the command ends.
    Nothing,
    /// The books: what they do not need is removed while the command goes on.
    Books,
    /// Every entry.
    Entries,
}

/// A command in the register.
#[derive(Clone, Debug)]
pub struct Registered {
    /// The command.
    pub command: String,
    /// What is known about it.
    pub listing: Listing,
    /// Changes with each change of the listing.
    pub revision: u64,
    /// When the listing was changed last, by the server's clock.
    pub changed: SystemTime,
}

impl Link {
    /// Registers a command, or changes its listing, on condition that it has this revision; 0 if there is none yet.
    /// Returns the new revision; `None` if somebody else has changed it.
    pub fn register(&self, command: &str, listing: &Listing, revision: u64) -> Result<Option<u64>, ClusterError> {
        let refused = |why: String| ClusterError::refused("register the command", why);
        let bytes = wire::versioned(LISTING, listing).map_err(|error| refused(error.to_string()))?;
        let put = async {
            let store = self.register_store().await?;
            match store.update(command, bytes.into(), revision).await {
                Ok(revision) => Ok(Some(revision)),
                Err(error) if error.kind() == async_nats::jetstream::kv::UpdateErrorKind::WrongLastRevision => Ok(None),
                Err(error) => Err(error.to_string()),
            }
        };
        self.within(put).map_err(|why| self.refused("register the command", why))
    }

    /// A command, if it is registered.
    pub fn registered(&self, command: &str) -> Result<Option<Registered>, ClusterError> {
        let got = async {
            let Some(store) = self.register_there().await? else { return Ok(None) };
            store.entry(command).await.map_err(|error| error.to_string())
        };
        let entry = self.within(got).map_err(|why| self.refused("read its register of commands", why))?;
        Ok(entry.filter(|entry| entry.operation == Operation::Put).and_then(|entry| {
            let listing = read(&entry.value)?;
            let changed = SystemTime::from(entry.created);
            Some(Registered { command: command.to_owned(), listing, revision: entry.revision, changed })
        }))
    }

    /// All commands, and the names of those that another version of Gorgon has registered.
    pub fn commands(&self) -> Result<(Vec<Registered>, Vec<String>), ClusterError> {
        let keys = async {
            let Some(store) = self.register_there().await? else { return Ok(Vec::new()) };
            let keys = store.keys().await.map_err(|error| error.to_string())?;
            keys.try_collect::<Vec<String>>().await.map_err(|error| error.to_string())
        };
        let keys = self.within(keys).map_err(|why| self.refused("read its register of commands", why))?;
        let (mut commands, mut foreign) = (Vec::new(), Vec::new());
        for key in keys.into_iter().filter(|key| subjects::is_name(key)) {
            match self.registered(&key)? {
                Some(registered) => commands.push(registered),
                None => foreign.push(key),
            }
        }
        commands.sort_by_key(|of: &Registered| of.changed);
        Ok((commands, foreign))
    }

    /// The commands that have a journal, and for how long.
    pub fn journals(&self) -> Result<Vec<(String, Duration)>, ClusterError> {
        let journals = async {
            let mut found = Vec::new();
            let mut streams = self.jetstream.streams();
            while let Some(stream) = streams.try_next().await.map_err(|error| error.to_string())? {
                let age = SystemTime::now().duration_since(stream.created.into()).unwrap_or_default();
                let command = stream.config.name.strip_prefix(&subjects::stream("")).map(str::to_owned);
                found.extend(command.filter(|command| subjects::is_name(command)).map(|command| (command, age)));
            }
            Ok(found)
        };
        self.within(journals).map_err(|why| self.refused("list its journals", why))
    }

    /// Removes a command from the register.
    pub fn unregister(&self, command: &str) -> Result<(), ClusterError> {
        let removed = async {
            let store = self.register_store().await?;
            store.purge(command).await.map_err(|error| error.to_string())
        };
        self.within(removed).map_err(|why| self.refused("remove the command from its register", why))
    }

    fn within<T>(&self, work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
        let done = self.runtime.block_on(async { tokio::time::timeout(ANSWER * 2, work).await });
        done.map_err(|_| "it took too long".to_owned())?
    }

    async fn register_store(&self) -> Result<Store, String> {
        if let Some(store) = self.register_there().await? {
            return Ok(store);
        }
        let config = Config { bucket: subjects::REGISTER.into(), history: 1, ..Config::default() };
        self.jetstream.create_key_value(config).await.map_err(|error| error.to_string())
    }

    /// The register; `None` if no command has ever been there. Whoever only reads need not be able to make it.
    async fn register_there(&self) -> Result<Option<Store>, String> {
        match self.jetstream.get_stream(format!("KV_{}", subjects::REGISTER)).await {
            Ok(_) => {
                self.jetstream.get_key_value(subjects::REGISTER).await.map(Some).map_err(|error| error.to_string())
            }
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => Ok(None),
                _ => Err(error.to_string()),
            },
        }
    }
}

/// What stands in the register may be anybody's.
fn read(bytes: &[u8]) -> Option<Listing> {
    let listing: Listing = (bytes.len() <= MOST_BYTES).then(|| wire::of_version(LISTING, bytes).ok()).flatten()?;
    listing.agents.iter().all(Presence::is_fit).then_some(listing)
}
