//! The numbers that a worker holds, and that its threads draw.
//!
//! A lease asks for more numbers before it runs out. How many depends on how fast the numbers go: fast operations must
//! not wait for the controller, and slow ones must not be held here while another worker is idle.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use crossbeam::channel::Sender;
use tokio::sync::Notify;

use super::Event;
use crate::lane::Lane;

/// If an instance waits this long for numbers, the controller does not answer as it should.
pub(super) const DROUGHT: Duration = Duration::from_millis(100);

/// The most numbers that a worker asks for at once. At five million operations a second they last three seconds.
const MOST: u64 = 1 << 24;

/// A worker's numbers.
pub(super) struct Lease {
    state: Mutex<LeaseState>,
    /// Wakes threads of the compute lane.
    changed: Condvar,
    /// Wakes instances of the I/O lane.
    added: Notify,
    /// The number of instances that draw.
    threads: u64,
    /// A lease should last about this long.
    lasting: Duration,
    events: Sender<Event>,
}

struct LeaseState {
    ranges: VecDeque<Range<u64>>,
    left: u64,
    waiting: u64,
    /// Since when an instance has been waiting for numbers.
    dry: Option<Instant>,
    /// How many numbers to ask for.
    wanted: u64,
    asked: Option<Instant>,
    granted: Instant,
    /// The lease asks for more when only this many numbers are left.
    low: u64,
    closed: bool,
    /// How many instances have not drawn a number yet.
    fresh: u32,
}

impl Lease {
    pub(super) fn new(threads: u64, lasting: Duration, events: Sender<Event>) -> Self {
        let state = LeaseState {
            ranges: VecDeque::new(),
            left: 0,
            waiting: 0,
            dry: None,
            wanted: threads,
            asked: None,
            granted: Instant::now(),
            low: 0,
            closed: false,
            fresh: u32::try_from(threads).unwrap_or(u32::MAX),
        };
        Self { state: Mutex::new(state), changed: Condvar::new(), added: Notify::new(), threads, lasting, events }
    }

    /// Draws up to `most` consecutive numbers. If there are none, waits as the lane does: blocks the thread, or yields
    /// to the runtime. `None` if there will be no more.
    pub(super) async fn draw(&self, lane: Lane, most: u64) -> Option<Range<u64>> {
        match lane {
            Lane::Compute => {
                let mut state = self.lock();
                loop {
                    match self.try_draw(&mut state, most) {
                        Poll::Ready(drawn) => return drawn,
                        Poll::Pending => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                    }
                    state.waiting -= 1;
                }
            }
            Lane::Io => loop {
                // Subscribe before looking, or a change between the two would be missed.
                let added = self.added.notified();
                if let Poll::Ready(drawn) = self.try_draw(&mut self.lock(), most) {
                    return drawn;
                }
                added.await;
                self.lock().waiting -= 1;
            },
        }
    }

    /// Numbers, or `None` if there will be no more. If the caller has to wait, counts it as waiting.
    fn try_draw(&self, state: &mut LeaseState, most: u64) -> Poll<Option<Range<u64>>> {
        if let Some(range) = state.take(most, self.threads) {
            // The first number of each instance says nothing about how fast they go: if operations are slow, another
            // worker may need what this one would ask for.
            let is_first = state.fresh > 0;
            state.fresh = state.fresh.saturating_sub(1);
            if state.left <= state.low && !is_first {
                self.ask(state);
            }
            return Poll::Ready(Some(range));
        }
        if state.closed {
            return Poll::Ready(None);
        }
        state.waiting += 1;
        state.dry.get_or_insert_with(Instant::now);
        self.ask(state);
        Poll::Pending
    }

    /// Adds numbers that the controller has leased to this worker.
    pub(super) fn add(&self, range: Range<u64>) {
        let mut state = self.lock();
        if state.closed {
            // The controller leased them before it heard of the stop.
            return;
        }
        state.left += range.end - range.start;
        state.low = if state.wanted > self.threads { (range.end - range.start) / 2 } else { 0 };
        state.ranges.push_back(range);
        state.asked = None;
        state.granted = Instant::now();
        let dry = state.dry.take().map(|since| since.elapsed()).filter(|&dry| dry >= DROUGHT);
        drop(state);
        if let Some(dry) = dry {
            // The main thread listens until every thread has ended, so this cannot fail.
            let _ = self.events.send(Event::Dry(dry));
        }
        self.wake();
    }

    /// Takes back numbers from an instance that drew them and will not run them.
    pub(super) fn put_back(&self, range: Range<u64>) {
        if !range.is_empty() {
            let mut state = self.lock();
            state.left += range.end - range.start;
            state.ranges.push_front(range);
            drop(state);
            self.wake();
        }
    }

    /// No more numbers will come.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.wake();
    }

    fn wake(&self) {
        self.changed.notify_all();
        self.added.notify_waiters();
    }

    /// No more numbers are drawn, not even those that are left.
    pub(super) fn stop(&self) {
        let mut state = self.lock();
        state.ranges.clear();
        state.left = 0;
        state.closed = true;
        drop(state);
        self.wake();
    }

    fn ask(&self, state: &mut LeaseState) {
        if state.closed || state.asked.is_some() {
            return;
        }
        let lasted = state.granted.elapsed();
        if lasted < self.lasting / 2 {
            state.wanted = (state.wanted * 4).min(MOST);
        } else if lasted > self.lasting * 2 {
            state.wanted = (state.wanted / 2).max(1);
        }
        state.asked = Some(Instant::now());
        // The main thread listens until every thread has ended, so this cannot fail.
        let _ = self.events.send(Event::Need(state.wanted.max(state.waiting)));
    }

    fn lock(&self) -> MutexGuard<'_, LeaseState> {
        // A panic aborts the worker, so no thread ever sees a half-made change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LeaseState {
    fn take(&mut self, most: u64, threads: u64) -> Option<Range<u64>> {
        let front = self.ranges.front_mut()?;
        // Near the end the threads share the numbers that are left, so that all end at about the same time.
        let share = (self.left / (threads * 2)).clamp(1, most);
        let end = front.end.min(front.start + share);
        let range = std::mem::replace(&mut front.start, end)..end;
        if front.is_empty() {
            self.ranges.pop_front();
        }
        self.left -= range.end - range.start;
        Some(range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::Executor;
    use crate::wire::Contact;
    use crossbeam::channel::unbounded;

    fn draw(lease: &Lease, most: u64) -> Option<Range<u64>> {
        Executor::new(Lane::Compute).unwrap().run(lease.draw(Lane::Compute, most))
    }

    #[test]
    fn every_number_is_drawn_exactly_once() {
        let (events, asked) = unbounded();
        let lease = Lease::new(4, Contact::LOCAL.lease, events);
        let drawn = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for most in [1, 7, 64, 4_096] {
                let (lease, drawn) = (&lease, &drawn);
                scope.spawn(move || {
                    while let Some(range) = draw(lease, most) {
                        assert!(range.end - range.start <= most);
                        drawn.lock().unwrap().extend(range);
                    }
                });
            }
            let mut next = 0;
            while next < 100_000 {
                let Ok(Event::Need(wanted)) = asked.recv() else { panic!("a lease only asks") };
                let end = (next + wanted).min(100_000);
                lease.add(next..end);
                next = end;
            }
            lease.close();
        });
        let mut drawn = drawn.into_inner().unwrap();
        drawn.sort_unstable();
        assert_eq!(drawn, (0..100_000).collect::<Vec<_>>());
    }

    #[test]
    fn a_lease_asks_once_and_for_more_if_numbers_go_fast() {
        let (events, asked) = unbounded();
        let lease = Lease::new(1, Contact::LOCAL.lease, events);
        lease.add(0..2);
        assert_eq!(draw(&lease, 10), Some(0..1));
        assert!(asked.try_recv().is_err(), "one operation says nothing");
        assert_eq!(draw(&lease, 10), Some(1..2));
        let Ok(Event::Need(first)) = asked.try_recv() else { panic!("it must ask when nothing is left") };
        assert!(asked.try_recv().is_err());
        lease.add(2..2 + first);
        while lease.lock().left > 0 {
            draw(&lease, 1);
        }
        let Ok(Event::Need(second)) = asked.try_recv() else { panic!("it must ask again") };
        assert!(second > first);
    }
}
