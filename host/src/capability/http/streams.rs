//! The streams of an HTTP/2 connection: a server limits how many may be open at once.
//!
//! h2 would queue a request that is beyond the limit, and its time there would count as the server's. So requests wait
//! here, before they are sent, and the wait is counted by itself.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Instant;

use futures_util::task::AtomicWaker;
use hyper::rt::Executor;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The limit until the server has sent its settings. One that allows fewer streams than were opened by then may close
/// the connection.
pub(super) const AT_FIRST: usize = 1;

/// More streams than this at once are as good as any number.
const UNLIMITED: usize = 1 << 20;

/// How often a request looks whether its connection has ended.
const LOOKS_FOR_END: usize = 10;

/// The streams of a connection. One thread uses them; they are atomic because tokio requires `Sync`.
#[derive(Debug)]
pub(super) struct Streams {
    /// The free ones. Requests get them in the order in which they asked.
    free: Arc<Semaphore>,
    open: AtomicUsize,
    most: AtomicUsize,
    /// How many open ones are beyond what the server allows by now, and do not become free.
    excess: AtomicUsize,
    /// When the server had said how many it allows.
    settled: OnceLock<Instant>,
    /// How many requests wait for a stream.
    waiting: AtomicUsize,
    /// The task that looks what the server allows.
    look: AtomicWaker,
    /// With what the server ended the connection, in the words of HTTP/2.
    end: OnceLock<Option<String>>,
}

impl Streams {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            free: Arc::new(Semaphore::new(AT_FIRST)),
            open: AtomicUsize::new(0),
            most: AtomicUsize::new(AT_FIRST),
            excess: AtomicUsize::new(0),
            settled: OnceLock::new(),
            waiting: AtomicUsize::new(0),
            look: AtomicWaker::new(),
            end: OnceLock::new(),
        })
    }

    /// How many requests have a stream, or wait for one.
    pub(super) fn load(&self) -> usize {
        self.open.load(Ordering::Relaxed) + self.waiting.load(Ordering::Relaxed)
    }

    /// When the server had said how many it allows; `None` before.
    pub(super) fn settled(&self) -> Option<Instant> {
        self.settled.get().copied()
    }

    fn settle(&self) {
        self.settled.get_or_init(Instant::now);
    }

    /// Notes how many the server allows now.
    pub(super) fn allow(&self, most: usize) {
        let most = most.min(UNLIMITED);
        let before = self.most.swap(most, Ordering::Relaxed);
        if most == before {
            return;
        }
        self.settle();
        if let Some(fewer) = before.checked_sub(most) {
            let taken = self.free.forget_permits(fewer);
            self.excess.fetch_add(fewer - taken, Ordering::Relaxed);
        } else {
            let (more, excess) = (most - before, self.excess.load(Ordering::Relaxed));
            self.excess.store(excess.saturating_sub(more), Ordering::Relaxed);
            self.free.add_permits(more.saturating_sub(excess));
        }
    }

    /// Notes that the connection has ended, and with what. Those that wait look for another one.
    pub(super) fn end(&self, with: Option<String>) {
        // It ends once.
        let _ = self.end.set(with);
        self.free.close();
    }

    /// With what the server ended the connection; `None` if it did not say, or has not ended it yet.
    pub(super) async fn ended_with(&self) -> Option<&str> {
        // The connection's own task may hear of the end a moment later than its requests.
        for _ in 0..LOOKS_FOR_END {
            if let Some(end) = self.end.get() {
                return end.as_deref();
            }
            tokio::task::yield_now().await;
        }
        None
    }

    /// A stream, if one is free and no other request waits for it.
    pub(super) fn take(self: &Arc<Self>) -> Option<Stream> {
        let permit = self.free.clone().try_acquire_owned().ok()?;
        Some(self.opened(permit))
    }

    /// Waits for a free stream; `None` if the connection has ended.
    pub(super) async fn wait(self: &Arc<Self>) -> Option<Stream> {
        let _waiting = Waiting::new(self);
        let permit = self.free.clone().acquire_owned().await.ok()?;
        Some(self.opened(permit))
    }

    fn opened(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> Stream {
        self.open.fetch_add(1, Ordering::Relaxed);
        Stream { of: self.clone(), permit: Some(permit) }
    }

    /// Polls `driven` now and whenever the connection may have heard what the server allows, until it has ended.
    pub(super) async fn watch<T>(&self, mut driven: impl FnMut(&mut Context<'_>, &Self) -> Poll<T>) -> T {
        poll_fn(|context| {
            self.look.register(context.waker());
            driven(context, self)
        })
        .await
    }

    /// The executor of the tasks of hyper and h2, which tells the connection when they may have heard something.
    pub(super) fn executor(self: &Arc<Self>) -> Told {
        Told(self.clone())
    }
}

/// Counts a request that waits.
struct Waiting<'a>(&'a Streams);

impl<'a> Waiting<'a> {
    fn new(streams: &'a Streams) -> Self {
        streams.waiting.fetch_add(1, Ordering::Relaxed);
        streams.look.wake();
        Self(streams)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Spawns tasks. h2 hears of the server's settings in a task of its own, and tells nobody.
#[derive(Clone, Debug)]
pub(super) struct Told(Arc<Streams>);

impl<F> Executor<F> for Told
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, task: F) {
        let streams = self.0.clone();
        tokio::spawn(async move {
            let mut task = pin!(task);
            poll_fn(|context| {
                let polled = task.as_mut().poll(context);
                if streams.settled().is_none() || streams.waiting.load(Ordering::Relaxed) > 0 {
                    streams.look.wake();
                }
                polled
            })
            .await
        });
    }
}

/// The right to have one stream open, until it is dropped.
#[derive(Debug)]
pub(super) struct Stream {
    of: Arc<Streams>,
    /// `None` only while this is dropped.
    permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        let Self { of, permit } = self;
        of.open.fetch_sub(1, Ordering::Relaxed);
        // A server that has answered has sent its settings before.
        of.settle();
        if let Some(excess) = of.excess.load(Ordering::Relaxed).checked_sub(1)
            && let Some(permit) = permit.take()
        {
            of.excess.store(excess, Ordering::Relaxed);
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn streams_are_limited_and_given_in_the_order_of_asking() {
        let streams = Streams::new();
        let first = streams.take().unwrap();
        assert!(streams.take().is_none() && streams.settled().is_none(), "one until the server has spoken");
        streams.allow(2);
        assert!(streams.settled().is_some());
        let two = streams.take().unwrap();
        assert!(streams.take().is_none() && streams.load() == 2);
        let mut waits = pin!(streams.wait());
        assert!(waits.as_mut().now_or_never().is_none());
        drop(first);
        assert!(streams.take().is_none(), "it is for the one that waits");
        let waited = waits.now_or_never().unwrap().unwrap();
        // With two open and one allowed, none is free when the first of them ends.
        streams.allow(1);
        drop(two);
        assert!(streams.take().is_none() && streams.load() == 1);
        drop(waited);
        assert!(streams.take().is_some());
        streams.allow(0);
        assert!(streams.take().is_none());
        streams.allow(usize::MAX);
        assert!(streams.take().is_some());
        let all: Vec<_> = (0..1_000).map(|_| streams.take().unwrap()).collect();
        streams.end(None);
        assert!(streams.wait().now_or_never().unwrap().is_none() && all.len() == streams.load());
    }
}
