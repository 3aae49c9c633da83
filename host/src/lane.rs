//! The two ways in which a task's calls run, and how a thread runs its work in each. Knows nothing about tasks.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use serde::{Deserialize, Serialize};
use tokio::runtime::{Builder, Runtime};

use crate::clock::Clock;

/// How a task's calls run; follows from the functions that the task imports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// Calls never wait: each is a plain call on the thread itself.
    Compute,
    /// Calls may wait in the host: each is a future on the thread's runtime, so that a deadline can end the wait.
    Io,
}

/// If the reactor waits for longer than this, nothing was ready when it looked, and it returns as soon as something is.
const SLEPT_NS: u64 = 50_000;

/// How many looks of a reactor are remembered. A thread that has looked more often meanwhile was not busy.
const KEPT_LOOKS: usize = 64;

/// When a thread of the I/O lane looks for what has become ready: timers and sockets. A thread that is busy looks late,
/// so what it finds has been ready for some time.
#[derive(Clone, Debug)]
pub struct Reactor {
    clock: Clock,
    looks: Arc<Looks>,
}

/// Times by the reactor's clock, in nanoseconds.
#[derive(Debug)]
struct Looks {
    /// How often it has begun to look, and when it did so lately: look i is at the place i modulo the length.
    begun: AtomicU64,
    begun_ns: [AtomicU64; KEPT_LOOKS],
    /// Since when it has been looking; 0 if it is not.
    since_ns: AtomicU64,
    /// When it returned last.
    returned_ns: AtomicU64,
    /// What it found then had not been ready before this time.
    fresh_ns: AtomicU64,
}

impl Reactor {
    /// A reactor that has not looked yet.
    pub fn new(clock: Clock) -> Self {
        let begun_ns = std::array::from_fn(|_| AtomicU64::new(0));
        let [begun, since_ns, returned_ns, fresh_ns] = std::array::from_fn(|_| AtomicU64::new(0));
        Self { clock, looks: Arc::new(Looks { begun, begun_ns, since_ns, returned_ns, fresh_ns }) }
    }

    /// The earliest time at which something can have become ready that is noticed at `now_ns`.
    pub fn earliest_ns(&self, now_ns: u64) -> u64 {
        match self.looks.since_ns.load(Ordering::Relaxed) {
            0 => self.looks.fresh_ns.load(Ordering::Relaxed),
            since_ns if now_ns.saturating_sub(since_ns) > SLEPT_NS => now_ns,
            _ => self.looks.returned_ns.load(Ordering::Relaxed),
        }
    }

    /// How often it has begun to look.
    pub fn looks(&self) -> u64 {
        self.looks.begun.load(Ordering::Relaxed)
    }

    /// When it began look number `look`, from 0: 0 if that is long ago, the end of time if it has not begun yet. By
    /// then the thread had done all that it had to do before, such as to send a request.
    pub fn look_ns(&self, look: u64) -> u64 {
        match self.looks().checked_sub(look) {
            None | Some(0) => u64::MAX,
            Some(ago) if ago > KEPT_LOOKS as u64 => 0,
            Some(_) => self.looks.begun_ns[look as usize % KEPT_LOOKS].load(Ordering::Relaxed),
        }
    }

    fn parks(&self) {
        let now_ns = self.clock.elapsed_ns().max(1);
        let look = self.looks.begun.load(Ordering::Relaxed);
        self.looks.begun_ns[look as usize % KEPT_LOOKS].store(now_ns, Ordering::Relaxed);
        self.looks.begun.store(look + 1, Ordering::Relaxed);
        self.looks.since_ns.store(now_ns, Ordering::Relaxed);
    }

    fn returns(&self) {
        let now_ns = self.clock.elapsed_ns();
        let fresh_ns = self.earliest_ns(now_ns);
        self.looks.fresh_ns.store(fresh_ns, Ordering::Relaxed);
        self.looks.returned_ns.store(now_ns, Ordering::Relaxed);
        self.looks.since_ns.store(0, Ordering::Relaxed);
    }
}

/// Runs a thread's work in its lane.
pub struct Executor {
    /// `None` only while the executor is dropped.
    runtime: Option<Runtime>,
    lane: Lane,
}

impl Drop for Executor {
    fn drop(&mut self) {
        // A guest may be reading a file that never ends, on a thread of the runtime. Do not wait for that thread.
        self.runtime.take().into_iter().for_each(Runtime::shutdown_background);
    }
}

impl Executor {
    /// An executor for the calling thread.
    pub fn new(lane: Lane) -> std::io::Result<Self> {
        let mut runtime = Builder::new_current_thread();
        Self::of(&mut runtime, lane)
    }

    /// The same, whose reactor tells when it looks for what has become ready.
    pub fn watched(lane: Lane, reactor: &Reactor) -> std::io::Result<Self> {
        let mut runtime = Builder::new_current_thread();
        let (parks, returns) = (reactor.clone(), reactor.clone());
        runtime.on_thread_park(move || parks.parks()).on_thread_unpark(move || returns.returns());
        Self::of(&mut runtime, lane)
    }

    fn of(runtime: &mut Builder, lane: Lane) -> std::io::Result<Self> {
        if lane == Lane::Io {
            runtime.enable_all();
        }
        Ok(Self { runtime: Some(runtime.build()?), lane })
    }

    /// Runs `work` to its end.
    pub fn run<F: Future>(&self, work: F) -> F::Output {
        let Some(runtime) = &self.runtime else { unreachable!("it is taken when this is dropped") };
        match self.lane {
            Lane::Io => runtime.block_on(work),
            Lane::Compute => {
                // WASI's sync functions run small futures that are always ready. Inside an entered runtime they run on
                // this thread; otherwise they start a multi-threaded runtime for the whole process.
                let _entered = runtime.enter();
                match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Ready(output) => output,
                    Poll::Pending => unreachable!("nothing in the compute lane waits for another task"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reactor_that_slept_finds_what_is_fresh_and_one_that_did_not_finds_what_is_old() {
        let clock = Clock::new();
        let reactor = Reactor::new(clock.clone());
        let spin = |ns: u64| {
            let until_ns = clock.elapsed_ns() + ns;
            while clock.elapsed_ns() < until_ns {}
        };
        spin(1_000);
        assert_eq!((reactor.looks(), reactor.look_ns(0), reactor.earliest_ns(1)), (0, u64::MAX, 0));
        let begun_ns = clock.elapsed_ns();
        reactor.parks();
        assert!((begun_ns..=clock.elapsed_ns()).contains(&reactor.look_ns(0)));
        spin(2 * SLEPT_NS);
        // It has been waiting, so whatever wakes it now has just become ready.
        let now_ns = clock.elapsed_ns();
        assert_eq!(reactor.earliest_ns(now_ns), now_ns);
        reactor.returns();
        let returned_ns = clock.elapsed_ns();
        assert!((now_ns..=returned_ns).contains(&reactor.earliest_ns(returned_ns)));
        for look in 1..=KEPT_LOOKS as u64 {
            assert_eq!((reactor.looks(), reactor.look_ns(look)), (look, u64::MAX));
            reactor.parks();
            reactor.returns();
        }
        // Only the first look is forgotten.
        assert_eq!(reactor.look_ns(0), 0);
        assert!(reactor.look_ns(1) > begun_ns && reactor.look_ns(2) >= reactor.look_ns(1));
    }
}
