//! The connections that a thread keeps, by destination.
//!
//! A connection belongs to the thread that opened it, and so does the runtime that drives it: no request crosses
//! threads.

use std::cell::RefCell;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use wasmtime_wasi_http::Error;

use super::connect::{Connection, connect};
use super::within;
use crate::capability::network::Network;
use crate::network::{Destination, Protocol};
use crate::plan::{HttpVersion, KeepAlive};

thread_local! {
    /// Of the few destinations that a task has, the right one is found sooner by looking than by hashing.
    static KEPT: RefCell<Vec<Kept>> = const { RefCell::new(Vec::new()) };
}

/// What is kept of one destination.
struct Kept {
    to: Destination,
    connections: Vec<Connection>,
    /// Requests over HTTP/2 share a connection, which one of them opens while the others wait; nothing where the
    /// destination speaks HTTP/1.1.
    turn: Option<Arc<Mutex<()>>>,
}

/// A connection to `to`, and whether it is a new one.
pub(super) async fn obtain(
    network: &Arc<Network>,
    to: &Destination,
    timeout: Option<Duration>,
) -> Result<(Connection, bool), Error> {
    let is_kept = network.http.keep_alive == KeepAlive::Kept;
    if is_kept && let Some(connection) = take(to) {
        return Ok((connection, false));
    }
    let turn = if is_kept { turn(network, to) } else { None };
    let mut opening = None;
    if let Some(turn) = &turn {
        opening = turn.try_lock().ok();
        if opening.is_none() {
            // Somebody opens one. Where that comes to nothing, or cannot be shared, each opens its own at once.
            drop(turn.lock().await);
            if let Some(connection) = take(to) {
                return Ok((connection, false));
            }
        }
    }
    // On a task of its own, and made there, as it is rare and large: its stack would be the instance's, and its state a
    // part of every request's future.
    let (network, of) = (network.clone(), to.clone());
    let connection = wasmtime_wasi::runtime::spawn(async move { Box::pin(open(&network, &of, timeout)).await }).await?;
    if is_kept {
        learn(to, &connection);
    }
    drop(opening);
    Ok((connection, true))
}

async fn open(network: &Arc<Network>, to: &Destination, timeout: Option<Duration>) -> Result<Connection, Error> {
    let begin = Instant::now();
    let connection = pin!(connect(network, to));
    let connection = within(timeout, connection).await.ok_or(Error::ConnectionTimeout)??;
    network.count(|counts| {
        counts.opened += 1;
        counts.connect.record(begin.elapsed().as_nanos() as u64);
    });
    Ok(connection)
}

/// Keeps a connection whose response has come to its end, for the next request.
pub(super) fn keep(to: &Destination, connection: Connection) {
    kept(to, |kept| kept.keep(connection));
}

/// The connection used last, of those to `to` that are still open.
fn take(to: &Destination) -> Option<Connection> {
    kept(to, |Kept { connections, .. }| {
        loop {
            let connection = connections.pop()?;
            if connection.is_closed() {
                continue;
            }
            // Any number of requests share one of HTTP/2.
            connections.extend(connection.shared());
            return Some(connection);
        }
    })?
}

/// Where requests wait until one of them has opened the connection that they will share; which HTTP a destination
/// speaks over TLS is known when the first one has.
fn turn(network: &Network, to: &Destination) -> Option<Arc<Mutex<()>>> {
    KEPT.with_borrow_mut(|kept| match kept.iter().find(|kept| kept.to == *to) {
        Some(kept) => kept.turn.clone(),
        None => {
            let may_share = to.protocol == Protocol::Https || network.http.version == HttpVersion::Http2;
            let turn = may_share.then(Arc::default);
            kept.push(Kept { to: to.clone(), connections: Vec::new(), turn: turn.clone() });
            turn
        }
    })
}

/// Shares a new connection, or lets the others open theirs.
fn learn(to: &Destination, new: &Connection) {
    kept(to, |kept| match new.shared() {
        Some(connection) => kept.keep(connection),
        None => kept.turn = None,
    });
}

/// Looks at what is kept of `to`; there is nothing before the first request asks for a connection.
fn kept<T>(to: &Destination, look: impl FnOnce(&mut Kept) -> T) -> Option<T> {
    KEPT.with_borrow_mut(|kept| kept.iter_mut().find(|kept| kept.to == *to).map(look))
}

impl Kept {
    fn keep(&mut self, connection: Connection) {
        if connection.shared().is_some() {
            self.connections.retain(|known| known.shared().is_none() || !known.is_closed());
            if self.connections.iter().any(|known| known.shared().is_some()) {
                return;
            }
        }
        self.connections.push(connection);
    }
}
