//! The NATS server between the boxes of a run: a connection to it, and what is kept there.
//!
//! Knows subjects, streams and objects, and how long a server may be away. Does not know what a run is: entries,
//! effects and plans pass through as bytes. Every function waits, with a limit; what arrives comes through channels.

pub mod files;
pub mod journal;
mod mail;
pub mod presence;
pub mod register;
pub mod roles;
pub mod seal;
pub mod subjects;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_nats::connection::State;
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, jetstream};
use futures_util::StreamExt;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::input;
pub use mail::{Listening, Mail};
use seal::Signer;

/// How long the first connection to the server may take.
const CONNECT: Duration = Duration::from_secs(5);

/// How long one attempt to connect again may take at least. A link that is back is used within about this.
const ATTEMPT: Duration = Duration::from_millis(500);

/// An attempt may take so many times as long as the first one took.
const ATTEMPTS: u32 = 10;

/// How often the link is tried. If no answer comes for [`DEAF`], the connection is made anew: TCP would try again only
/// after ever longer pauses.
const TRIAL: Duration = Duration::from_millis(500);

/// See [`TRIAL`].
const DEAF: Duration = Duration::from_millis(1_500);

/// How long the server may take to answer a request for a stream or an object.
const ANSWER: Duration = Duration::from_secs(5);

/// How long a server that is away may take to come back.
const AWAY: Duration = Duration::from_secs(10);

/// The server has to take messages of so many bytes: a part of a bundle, with its headers.
const LEAST_PAYLOAD: usize = 600_000;

/// The flag for the room of a journal.
const ROOM: &str = "--journal-max";

/// What is wrong with the address of a server that is none.
const NOT_A_URL: &str = "the URL is not one: write nats://HOST:PORT";

/// The longest file of credentials.
const MOST_OF_CREDENTIALS: u64 = 64 << 10;

/// How a server is reached.
#[derive(Clone, Debug)]
pub struct Server {
    /// `nats://HOST:PORT` or `tls://HOST:PORT`, possibly with a user and a password, or a token.
    pub url: String,
    /// A file with credentials.
    pub creds: Option<PathBuf>,
    /// A file with certificate authorities to trust.
    pub tls_ca: Option<PathBuf>,
}

/// Why the server cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// There is no connection.
    #[error("cannot connect to the NATS server at {url}: {why}")]
    Connect {
        /// Where it should be, without a password.
        url: String,
        /// Why not, for people.
        why: String,
    },
    /// The server is too old.
    #[error(
        "the NATS server at {url} has version {version}, which is too old: use 2.11.16, 2.12.7, 2.14.0, or a later one"
    )]
    TooOld {
        /// Where it is.
        url: String,
        /// Its version.
        version: String,
    },
    /// The server does not keep streams.
    #[error("the NATS server at {url} has no JetStream: start it with -js, or with `jetstream` in its configuration")]
    NoJetStream {
        /// Where it is.
        url: String,
    },
    /// The server takes too small messages.
    #[error(
        "the NATS server at {url} takes messages of {bytes} bytes at the most, and {LEAST_PAYLOAD} are needed: set its \
         `max_payload` to 1MB, the default"
    )]
    SmallPayload {
        /// Where it is.
        url: String,
        /// What it takes.
        bytes: usize,
    },
    /// The server does not allow it.
    #[error(
        "the NATS server at {url} does not allow that with these credentials ({what}): use those of the right role, as \
             gorgon boxes nats-config writes them"
    )]
    Denied {
        /// Where it is.
        url: String,
        /// What it does not allow.
        what: String,
    },
    /// The server did not do what it was asked to.
    #[error("the NATS server did not {what}: {why}")]
    Refused {
        /// What it was asked to do.
        what: String,
        /// Why not, for people.
        why: String,
    },
    /// No thread or runtime can be made.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
}

impl ClusterError {
    /// The server did not do `what`.
    pub fn refused(what: &str, why: impl std::fmt::Display) -> Self {
        Self::Refused { what: what.to_owned(), why: why.to_string() }
    }
}

/// A connection to the server, which is made again whenever it breaks.
pub struct Link {
    runtime: Runtime,
    client: Client,
    jetstream: jetstream::Context,
    /// How many times the connection has been made.
    turns: watch::Receiver<u64>,
    url: String,
    name: String,
    /// What the server did not allow at last.
    denied: Arc<Mutex<Option<String>>>,
}

impl Server {
    /// The URL without a password, for people.
    pub fn shown(&self) -> String {
        // Without a scheme it is no URL to the library, and the client takes it all the same.
        let Some(mut url) = self.url.contains("://").then(|| url::Url::parse(&self.url).ok()).flatten() else {
            return self.url.rsplit_once('@').map_or_else(|| self.url.clone(), |(_, host)| format!("***@{host}"));
        };
        if url.password().is_some() {
            // Fails for URLs without a host only.
            let _ = url.set_password(Some("***"));
        } else if !url.username().is_empty() {
            let _ = url.set_username("***");
        }
        url.to_string()
    }

    /// What signs for whoever has these credentials; `None` if they have no key.
    pub fn signer(&self) -> Option<Signer> {
        let text = input::read_text(self.creds.as_deref()?, MOST_OF_CREDENTIALS).ok()?;
        Signer::from_seed(seal::seed(&text)?)
    }

    /// Connects as the agent of the box `name`.
    pub fn connect_agent(&self, name: &str) -> Result<Link, ClusterError> {
        self.connect_to(name, &roles::inbox_of_agent(name))
    }

    /// Connects as `name`.
    pub fn connect(&self, name: &str) -> Result<Link, ClusterError> {
        self.connect_to(name, &roles::inbox(name))
    }

    fn connect_to(&self, name: &str, inbox: &str) -> Result<Link, ClusterError> {
        // How long an attempt may take is fixed when a client is made, and depends on the distance to the server.
        let begin = Instant::now();
        let first = self.connect_within(name, inbox, CONNECT)?;
        let attempt = begin.elapsed().saturating_mul(ATTEMPTS).clamp(ATTEMPT, CONNECT);
        drop(first);
        self.connect_within(name, inbox, attempt)
    }

    fn connect_within(&self, name: &str, inbox: &str, attempt: Duration) -> Result<Link, ClusterError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("nats")
            .enable_all()
            .build()
            .map_err(ClusterError::Thread)?;
        let url = self.shown();
        let failed = |why: String| ClusterError::Connect { url: url.clone(), why };
        let (turned, turns) = watch::channel(0_u64);
        let turned = Arc::new(turned);
        let denied = Arc::new(Mutex::new(None));
        let last_denied = Arc::clone(&denied);
        let options = ConnectOptions::new()
            .name(format!("gorgon {name}"))
            .custom_inbox_prefix(inbox)
            .connection_timeout(attempt)
            .request_timeout(Some(ANSWER))
            .ping_interval(TRIAL * 4)
            .subscription_capacity(1 << 16)
            .reconnect_delay_callback(|attempts| Duration::from_millis(50 * (attempts as u64).min(5)))
            .event_callback(move |event| {
                let (turned, denied) = (Arc::clone(&turned), Arc::clone(&last_denied));
                async move {
                    match event {
                        Event::Connected => turned.send_modify(|turns| *turns += 1),
                        Event::ServerError(error) if error.to_string().contains("Permissions Violation") => {
                            *lock(&denied) = Some(error.to_string().trim_start_matches("nats: ").to_owned());
                        }
                        _ => {}
                    }
                }
            });
        // A slash is missing in `nats:/host`. In `host:4222`, the host would be taken for a scheme.
        if url::Url::parse(&self.url).is_ok_and(|url| ["nats", "tls"].contains(&url.scheme()) && !url.has_host()) {
            return Err(failed(NOT_A_URL.into()));
        }
        let connecting = async {
            let options = self.with_credentials(options)?;
            let connected = tokio::time::timeout(CONNECT, options.connect(&self.url)).await;
            connected.map_err(|_| "nothing answers".to_owned())?.map_err(|error| match error.kind() {
                ConnectErrorKind::ServerParse => NOT_A_URL.to_owned(),
                ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
                    "it does not accept these credentials; name others (--creds FILE)".to_owned()
                }
                _ if error.to_string().contains("UnknownIssuer") => {
                    format!("{error}: name the authority of its certificate (--tls-ca FILE)")
                }
                _ => error.to_string(),
            })
        };
        let client = runtime.block_on(connecting).map_err(failed)?;
        let version = client.server_info().version;
        if !is_new_enough(&version) {
            return Err(ClusterError::TooOld { url, version });
        }
        let bytes = client.server_info().max_payload;
        if bytes < LEAST_PAYLOAD {
            return Err(ClusterError::SmallPayload { url, bytes });
        }
        let jetstream = {
            // It starts a task.
            let _entered = runtime.enter();
            jetstream::context::ContextBuilder::new().timeout(ANSWER).build(client.clone())
        };
        let link = Link { runtime, client, jetstream, turns, url, name: name.to_owned(), denied };
        link.runtime
            .block_on(link.jetstream.query_account())
            .map_err(|_| link.denied().unwrap_or_else(|| ClusterError::NoJetStream { url: link.url.clone() }))?;
        link.runtime.spawn(keep_trying(link.client.clone()));
        Ok(link)
    }

    /// The options with what the server needs to trust this process, and this process to trust the server.
    fn with_credentials(&self, mut options: ConnectOptions) -> Result<ConnectOptions, String> {
        if let Some(creds) = &self.creds {
            let why = |error: &dyn std::fmt::Display| {
                format!("cannot read the credentials in `{}`: {error}", creds.display())
            };
            let text = input::read_text(creds, MOST_OF_CREDENTIALS).map_err(|error| why(&error))?;
            options = match seal::seed(&text) {
                // A file with nothing but the seed of a key.
                Some(seed) if !text.contains("JWT") => options.nkey(seed.to_owned()),
                _ => options.credentials(&text).map_err(|error| why(&error))?,
            };
        }
        if let Some(authorities) = &self.tls_ca {
            // Otherwise the error would not name the file.
            input::read(authorities, MOST_OF_CREDENTIALS * 16)
                .map_err(|error| format!("cannot read the authorities in `{}`: {error}", authorities.display()))?;
            options = options.add_root_certificates(authorities.clone());
        }
        Ok(options)
    }
}

/// Tries the link again and again. If no answer comes, makes the connection anew.
async fn keep_trying(client: Client) {
    let inbox = client.new_inbox();
    let Ok(mut answers) = client.subscribe(inbox.clone()).await else { return };
    let mut tick = tokio::time::interval(TRIAL);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut heard = tokio::time::Instant::now();
    let mut tried = heard;
    loop {
        tokio::select! {
            answer = answers.next() => match answer {
                Some(_) => heard = tokio::time::Instant::now(),
                None => return,
            },
            _ = tick.tick() => {
                if tried.elapsed() >= DEAF {
                    // This process stood still, and the answer may be there.
                    heard = tokio::time::Instant::now();
                }
                tried = tokio::time::Instant::now();
                if heard.elapsed() >= DEAF {
                    heard = tokio::time::Instant::now();
                    // If it fails, the client has been dropped, or is connecting already.
                    let _ = client.force_reconnect().await;
                }
                // What cannot be sent is not answered.
                let _ = client.publish(inbox.clone(), Vec::new().into()).await;
            }
        }
    }
}

/// Whether a server of this version has the repairs without which entries were lost.
fn is_new_enough(version: &str) -> bool {
    let mut parts = version.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
    let mut part = || parts.next().unwrap_or(0);
    match (part(), part(), part()) {
        (2, 11, patch) => patch >= 16,
        (2, 12, patch) => patch >= 7,
        (2, minor, _) => minor >= 14,
        (major, ..) => major > 2,
    }
}

fn lock(denied: &Mutex<Option<String>>) -> MutexGuard<'_, Option<String>> {
    // Nothing that holds the lock can panic half-way.
    denied.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Link {
    /// What the server did not allow at last, if it did not.
    fn denied(&self) -> Option<ClusterError> {
        lock(&self.denied).clone().map(|what| ClusterError::Denied { url: self.url.clone(), what })
    }

    /// The server did not do `what`, perhaps because it does not allow that.
    fn refused(&self, what: &str, why: impl std::fmt::Display) -> ClusterError {
        let why = why.to_string();
        let remedy = if why.contains("insufficient storage") && !why.contains(ROOM) {
            format!(
                "; each command reserves room for its journal there: give it less ({ROOM}), or remove commands \
                 (gorgon runs --prune)"
            )
        } else {
            String::new()
        };
        self.denied().unwrap_or_else(|| ClusterError::refused(what, why + &remedy))
    }

    /// Whether the server can be reached at present.
    pub fn is_up(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// How many times the connection has been made.
    fn turn(&self) -> u64 {
        *self.turns.borrow()
    }

    /// Waits until the server can be reached, for at most [`AWAY`].
    fn wait_until_up(&self) {
        let since = Instant::now();
        while !self.is_up() && since.elapsed() < AWAY {
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// That the server cannot be reached, if it cannot: then nobody can be heard.
    pub fn is_away(&self) -> Option<ClusterError> {
        let why = "the connection was lost, and nothing answers";
        (!self.is_up()).then(|| ClusterError::Connect { url: self.url.clone(), why: why.into() })
    }

    /// As whom it is connected.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the server is, without a password.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The server's identifier.
    pub fn server_id(&self) -> String {
        self.client.server_info().server_id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_that_lose_entries_are_too_old() {
        for (version, is_new) in [
            ("2.9.10", false),
            ("2.11.15", false),
            ("2.11.16", true),
            ("2.12.6", false),
            ("2.12.7", true),
            ("2.13.0", false),
            ("2.14.0", true),
            ("2.15.1", true),
            ("2.14.0-RC.1", true),
            ("3.0.0", true),
            ("", false),
        ] {
            assert_eq!(is_new_enough(version), is_new, "{version}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let shown = |url: &str| Server { url: url.into(), creds: None, tls_ca: None }.shown();
        assert_eq!(shown("nats://127.0.0.1:4222"), "nats://127.0.0.1:4222");
        assert_eq!(shown("nats://ada:secret@db:4222"), "nats://ada:***@db:4222");
        assert_eq!(shown("nats://token@db:4222"), "nats://***@db:4222");
        assert_eq!((shown("ada:secret@db:4222"), shown("db:4222")), ("***@db:4222".into(), "db:4222".into()));
    }
}
