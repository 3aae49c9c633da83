//! The connections that a thread keeps, by destination.
//!
//! A connection belongs to the thread that opened it, and that thread's runtime drives it: no request crosses threads.

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
    /// A list, because a task has few destinations, and searching a short list is faster than hashing.
    static KEPT: RefCell<Vec<Kept>> = const { RefCell::new(Vec::new()) };
}

/// The kept connections to one destination.
struct Kept {
    to: Destination,
    connections: Vec<Connection>,
    /// Requests over HTTP/2 share a connection, which one of them opens while the others wait. `None` if the
    /// destination speaks HTTP/1.1.
    turn: Option<Arc<Mutex<()>>>,
}

/// A connection to `to`, and whether it is new.
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
            // Another request is opening a connection. If that fails, or the connection cannot be shared, each request
            // opens one at once.
            drop(turn.lock().await);
            if let Some(connection) = take(to) {
                return Ok((connection, false));
            }
        }
    }
    // Open the connection in a separate task, because opening is rare and large. Otherwise its deep stack would stay
    // with the instance, and its state would be part of every request's future.
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

/// Keeps a connection for the next request, after its response has ended.
pub(super) fn keep(to: &Destination, connection: Connection) {
    kept(to, |kept| kept.keep(connection));
}

/// The most recently used connection to `to` that is still open.
fn take(to: &Destination) -> Option<Connection> {
    kept(to, |Kept { connections, .. }| {
        loop {
            let connection = connections.pop()?;
            if connection.is_closed() {
                continue;
            }
            // Any number of requests can share an HTTP/2 connection.
            connections.extend(connection.shared());
            return Some(connection);
        }
    })?
}

/// The lock on which requests wait while one of them opens the connection that they will share. Over TLS, the first
/// connection tells which HTTP the destination speaks.
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

/// Shares a new connection if it can be shared; otherwise lets each request open one.
fn learn(to: &Destination, new: &Connection) {
    kept(to, |kept| match new.shared() {
        Some(connection) => kept.keep(connection),
        None => kept.turn = None,
    });
}

/// Calls `look` with what is kept for `to`; `None` before the first request asks for a connection.
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
