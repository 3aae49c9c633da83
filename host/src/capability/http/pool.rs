//! The connections that a thread keeps, by target.
//!
//! A connection belongs to the thread that opened it, and that thread's runtime drives it: no request crosses threads.

use std::cell::RefCell;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use wasmtime_wasi_http::Error;

use super::connect::{Connection, Needs, Target, connect};
use super::streams::Streams;
use super::within;
use crate::capability::network::Network;
use crate::network::Protocol;
use crate::plan::{HttpVersion, KeepAlive};

thread_local! {
    /// A list, because a task has few destinations, and searching a short list is faster than hashing.
    static KEPT: RefCell<Vec<Kept>> = const { RefCell::new(Vec::new()) };
}

/// The kept connections to one target.
struct Kept {
    target: Arc<Target>,
    connections: Vec<Connection>,
    /// Requests over HTTP/2 share connections, which one of them opens while the others wait. `None` if the target
    /// speaks HTTP/1.1.
    turn: Option<Arc<Mutex<()>>>,
    needs: Needs,
}

/// Which connection a request gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Any,
    /// One that no request has used.
    New,
}

/// A connection to `target`, and whether it is new.
pub(super) async fn obtain(
    network: &Arc<Network>,
    target: &Arc<Target>,
    which: Which,
    timeout: Option<Duration>,
) -> Result<(Connection, bool), Error> {
    let is_kept = network.http.keep_alive == KeepAlive::Kept;
    let may_take = is_kept && which == Which::Any;
    let most = network.http.http2_connections.get() as usize;
    if may_take && let Some(connection) = take(target, most) {
        return Ok((connection, false));
    }
    let mut opening = None;
    if may_take && let Some(turn) = turn(network, target) {
        opening = turn.clone().try_lock_owned().ok();
        if opening.is_none() {
            // Another request is opening a connection.
            let mine = turn.lock_owned().await;
            if let Some(connection) = take(target, most) {
                return Ok((connection, false));
            }
            // If that has failed, or the connection cannot be shared, each request opens one at once. Otherwise they
            // open one after the other.
            let is_shared = kept(target, |kept| !kept.connections.is_empty()).unwrap_or_default();
            opening = is_shared.then_some(mine);
        }
    }
    // Open the connection in a separate task, because opening is rare and large. Otherwise its deep stack would stay
    // with the instance, and its state would be part of every request's future.
    let needs = kept(target, |kept| kept.needs).unwrap_or_default();
    let (network, of) = (network.clone(), target.clone());
    let opened =
        wasmtime_wasi::runtime::spawn(async move { Box::pin(open(&network, &of, needs, timeout)).await }).await;
    let connection = opened?;
    if is_kept {
        learn(target, &connection);
    }
    drop(opening);
    Ok((connection, true))
}

async fn open(
    network: &Arc<Network>,
    target: &Arc<Target>,
    needs: Needs,
    timeout: Option<Duration>,
) -> Result<Connection, Error> {
    let begin = Instant::now();
    let connection = pin!(connect(network, target, needs));
    let connection = within(timeout, connection).await.ok_or(Error::ConnectionTimeout)??;
    network.count(|counts| {
        counts.opened += 1;
        counts.connect.record(begin.elapsed().as_nanos() as u64);
    });
    Ok(connection)
}

/// Keeps a connection for the next request, after its response has ended.
pub(super) fn keep(target: &Arc<Target>, connection: Connection) {
    kept(target, |kept| kept.keep(connection));
}

/// From now on speaks HTTP/1.1 to `target`.
pub(super) fn need_http1(target: &Arc<Target>) {
    KEPT.with_borrow_mut(|kept| {
        kept.retain(|kept| !kept.is_for(target));
        kept.push(Kept { target: target.clone(), connections: Vec::new(), turn: None, needs: Needs::Http1 });
    });
}

/// An open connection to `target`: the most recently used one, or, if requests share them, the one with the fewest
/// requests. `None` if another one should be opened, of which there are `most` that are shared.
fn take(target: &Arc<Target>, most: usize) -> Option<Connection> {
    kept(target, |Kept { connections, .. }| {
        loop {
            let connection = connections.pop()?;
            if connection.is_closed() {
                continue;
            }
            if connection.streams().is_none() {
                return Some(connection);
            }
            connections.push(connection);
            connections.retain(|connection| !connection.is_closed());
            let load = |connection: &&Connection| connection.streams().map_or(0, |streams| streams.load());
            let least = connections.iter().min_by_key(load)?;
            let is_enough = load(&least) == 0 || connections.len() >= most;
            return if is_enough { least.shared() } else { None };
        }
    })?
}

/// The lock on which requests wait while one of them opens a connection that they will share. Over TLS, the first
/// connection tells which HTTP the target speaks.
fn turn(network: &Network, target: &Arc<Target>) -> Option<Arc<Mutex<()>>> {
    KEPT.with_borrow_mut(|kept| match kept.iter().find(|kept| kept.is_for(target)) {
        Some(kept) => kept.turn.clone(),
        None => {
            let may_share = target.to.protocol == Protocol::Https || network.http.version == HttpVersion::Http2;
            let turn = may_share.then(Arc::default);
            let (target, connections) = (target.clone(), Vec::new());
            kept.push(Kept { target, connections, turn: turn.clone(), needs: Needs::Nothing });
            turn
        }
    })
}

/// Shares a new connection if it can be shared; otherwise lets each request open one.
fn learn(target: &Arc<Target>, new: &Connection) {
    kept(target, |kept| match new.shared() {
        Some(connection) => kept.keep(connection),
        None => kept.turn = None,
    });
}

/// Calls `look` with what is kept for `target`; `None` before the first request asks for a connection.
fn kept<T>(target: &Arc<Target>, look: impl FnOnce(&mut Kept) -> T) -> Option<T> {
    KEPT.with_borrow_mut(|kept| kept.iter_mut().find(|kept| kept.is_for(target)).map(look))
}

impl Kept {
    fn is_for(&self, target: &Arc<Target>) -> bool {
        // Nearly always it is the very same.
        Arc::ptr_eq(&self.target, target) || self.target == *target
    }

    fn keep(&mut self, connection: Connection) {
        let is_same = |streams: &Arc<Streams>| {
            self.connections.iter().any(|known| known.streams().is_some_and(|known| Arc::ptr_eq(known, streams)))
        };
        // A shared connection is kept from the beginning, unless the server has asked for HTTP/1.1 meanwhile.
        let is_unwanted = self.needs == Needs::Http1 && connection.streams().is_some();
        if !is_unwanted && !connection.streams().is_some_and(is_same) {
            self.connections.push(connection);
        }
    }
}
