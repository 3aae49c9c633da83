//! Where an instance gets its operations from. In a closed run: from the worker's lease, at the instance's pace. In an
//! open run: from the worker's schedule.

use std::io;
use std::ops::Range;
use std::time::Duration;

use tokio::sync::Mutex;

use super::alarm::Alarm;
use super::lease::Lease;
use super::schedule::{Offer, Schedule};
use crate::clock::Clock;
use crate::halt::Halt;
use crate::lane::Lane;
use crate::pace::{Next, Pacer};
use crate::task::Ticket;
use crate::timers::Timetable;

/// An instance draws numbers in batches that last about this long: long enough that drawing costs next to nothing,
/// short enough that no other thread waits for them.
const BATCH_NS: u64 = 1_000_000;

/// How long an instance takes numbers from its batch before it checks again whether the run goes on.
const LOOK_NS: u64 = 1_000_000;

/// How often an instance looks whether the next slot has been leased. Slots are leased seconds ahead, so this is long
/// before they are due, unless the controller does not answer as it should.
const LEASE_LOOK_NS: Range<u64> = 2_000_000..250_000_000;

/// The largest batch.
const MAX_BATCH: u64 = 4_096;

/// The feed of one instance.
pub(super) enum Feed<'a> {
    /// In a closed run.
    Closed(ClosedFeed<'a>),
    /// In an open run.
    Open(OpenFeed<'a>),
}

impl Feed<'_> {
    /// The next operation, if that needs neither a check nor a wait. This is the fast path: a future would be a
    /// measurable part of a short operation's cost.
    #[inline]
    pub(super) fn at_once(&mut self, now_ns: u64) -> Option<Ticket> {
        match self {
            Self::Closed(closed) => closed.at_once(now_ns),
            Self::Open(_) => None,
        }
    }

    /// Whether there is another operation. Asked before a new instance is made.
    pub(super) async fn has_more(&mut self, now_ns: &mut u64) -> bool {
        match self {
            Self::Closed(closed) => closed.has_more(now_ns).await,
            Self::Open(open) => !open.halt.is_stopped() && !open.schedule.is_over(),
        }
    }

    /// Waits until the next operation is due, sets `now_ns` to the time then, and returns the operation; `None` if
    /// there are no more.
    pub(super) async fn next(&mut self, now_ns: &mut u64) -> io::Result<Option<Ticket>> {
        match self {
            Self::Closed(closed) => Ok(closed.next(now_ns).await),
            Self::Open(open) => open.next(now_ns).await,
        }
    }

    /// The operation that was returned last has ended.
    #[inline]
    pub(super) fn ended(&mut self, now_ns: u64) {
        match self {
            Self::Closed(closed) => closed.pacer.ended(now_ns),
            Self::Open(open) => {
                open.idle_ns = now_ns;
                open.schedule.ended(now_ns);
            }
        }
    }

    /// The instance takes no more operations; returns undone numbers to the lease.
    pub(super) fn give_up(self) {
        if let Self::Closed(closed) = self {
            closed.lease.put_back(closed.batch.left);
        }
    }
}

pub(super) struct ClosedFeed<'a> {
    pub(super) pacer: Pacer,
    pub(super) batch: Batch,
    pub(super) lease: &'a Lease,
    pub(super) lane: Lane,
    pub(super) halt: &'a Halt,
    pub(super) clock: &'a Clock,
    pub(super) timetable: &'a Timetable,
    /// When to check again whether the run goes on.
    pub(super) look_ns: u64,
}

impl ClosedFeed<'_> {
    #[inline]
    fn at_once(&mut self, now_ns: u64) -> Option<Ticket> {
        let is_certain = now_ns < self.look_ns && !self.batch.left.is_empty();
        (is_certain && self.pacer.next(now_ns) == Next::Due(now_ns))
            .then(|| Ticket { number: self.batch.take(), due_ns: None })
    }

    async fn has_more(&mut self, now_ns: &mut u64) -> bool {
        while !self.halt.is_stopped() && self.pacer.next(*now_ns) != Next::Done {
            if !self.batch.left.is_empty() {
                self.look_ns = *now_ns + LOOK_NS;
                return true;
            }
            let Some(left) = self.lease.draw(self.lane, self.batch.next_size(*now_ns)).await else { break };
            // Drawing may have waited for any length of time.
            *now_ns = self.clock.elapsed_ns();
            self.batch.begin(left, *now_ns);
        }
        false
    }

    /// Rests for this time, or until the stop.
    async fn rest(&self, ns: u64) {
        let timer = (self.lane == Lane::Io).then(|| self.timetable.timer_after(ns));
        match timer {
            Some(Ok(timer)) => drop(self.halt.or_stopped(timer.wait()).await),
            // With too many open files, a less exact timer has to do.
            Some(Err(_)) | None => self.halt.sleep(self.lane, Duration::from_nanos(ns)).await,
        }
    }

    async fn next(&mut self, now_ns: &mut u64) -> Option<Ticket> {
        while let Next::Due(due_ns) = self.pacer.next(*now_ns) {
            if due_ns <= *now_ns {
                return Some(Ticket { number: self.batch.take(), due_ns: None });
            }
            self.rest(due_ns - *now_ns).await;
            *now_ns = self.clock.elapsed_ns();
            if self.halt.is_stopped() {
                break;
            }
        }
        None
    }
}

/// The numbers that an instance has drawn and not yet run.
#[derive(Default)]
pub(super) struct Batch {
    left: Range<u64>,
    begun_ns: u64,
    size: u64,
}

impl Batch {
    fn begin(&mut self, numbers: Range<u64>, now_ns: u64) {
        self.left = numbers;
        self.begun_ns = now_ns;
    }

    #[inline]
    fn take(&mut self) -> u64 {
        let number = self.left.start;
        self.left.start += 1;
        number
    }

    /// How many numbers to draw, from how long the last batch took.
    fn next_size(&mut self, now_ns: u64) -> u64 {
        let took_ns = (now_ns - self.begun_ns).max(1);
        self.size = match self.size {
            0 => 1,
            size if took_ns <= BATCH_NS / 2 => (size * 2).min(MAX_BATCH),
            size if took_ns > BATCH_NS => (size * BATCH_NS / took_ns).max(1),
            size => size,
        };
        self.size
    }
}

pub(super) struct OpenFeed<'a> {
    pub(super) schedule: &'a Schedule,
    /// The instance that holds this lock waits for the next slot of the thread.
    pub(super) turn: &'a Mutex<Alarm>,
    pub(super) halt: &'a Halt,
    pub(super) clock: &'a Clock,
    pub(super) lane: Lane,
    /// Since when the instance has been idle.
    pub(super) idle_ns: u64,
}

impl OpenFeed<'_> {
    async fn next(&mut self, now_ns: &mut u64) -> io::Result<Option<Ticket>> {
        // One instance waits for the next slot. When the slot is due, that instance runs it, and another instance waits
        // for the slot after it.
        let alarm = self.turn.lock().await;
        *now_ns = self.clock.elapsed_ns();
        if self.halt.is_stopped() {
            return Ok(None);
        }
        let taken = loop {
            match self.schedule.take(*now_ns, self.idle_ns) {
                Offer::Slot(taken) => break taken,
                Offer::Over => return Ok(None),
                Offer::Unleased { due_ns } => {
                    let ns = (due_ns.saturating_sub(*now_ns) / 2).clamp(LEASE_LOOK_NS.start, LEASE_LOOK_NS.end);
                    self.halt.sleep(self.lane, Duration::from_nanos(ns)).await;
                    *now_ns = self.clock.elapsed_ns();
                    if self.halt.is_stopped() {
                        return Ok(None);
                    }
                }
            }
        };
        *now_ns = alarm.until(taken.due_ns, self.clock, self.halt).await?;
        if self.halt.is_stopped() {
            self.schedule.put_back(&taken);
            return Ok(None);
        }
        self.schedule.started(&taken, *now_ns);
        Ok(Some(Ticket { number: taken.number, due_ns: Some(taken.due_ns) }))
    }
}

#[cfg(test)]
mod tests {
    use crossbeam::channel::unbounded;

    use super::*;
    use crate::lane::Executor;
    use crate::pace::tests::{of, plan};
    use crate::plan::{Closed, Extent, LoadModel};
    use crate::wire::Contact;

    /// The numbers that an instance of the compute lane gets, at most `most`. Its operations take no time.
    fn given(lease: &Lease, halt: &Halt, extent: Extent, most: usize) -> Vec<u64> {
        let clock = Clock::new();
        let plan = plan(extent, 1, LoadModel::default());
        let pacer = Pacer::new(&plan, &Closed::default(), 0);
        let (lane, batch, timetable) = (Lane::Compute, Batch::default(), Timetable::new(clock.clone()));
        let (clock, timetable) = (&clock, &timetable);
        let mut feed = Feed::Closed(ClosedFeed { pacer, batch, lease, lane, halt, clock, timetable, look_ns: 0 });
        let mut numbers = Vec::new();
        let mut now_ns = clock.elapsed_ns();
        Executor::new(lane).unwrap().run(async {
            while numbers.len() < most {
                let ticket = match feed.at_once(now_ns) {
                    Some(ticket) => Some(ticket),
                    None if feed.has_more(&mut now_ns).await => feed.next(&mut now_ns).await.unwrap(),
                    None => None,
                };
                let Some(ticket) = ticket else { break };
                assert_eq!(ticket.due_ns, None, "in a closed run an operation is due when it starts");
                numbers.push(ticket.number);
                now_ns = clock.elapsed_ns();
                feed.ended(now_ns);
            }
        });
        feed.give_up();
        numbers
    }

    fn leased(numbers: Range<u64>) -> Lease {
        let (events, _) = unbounded();
        let lease = Lease::new(1, Contact::LOCAL.lease, events);
        lease.add(numbers);
        lease.close();
        lease
    }

    #[test]
    fn an_instance_gets_every_number_of_a_lease_once_and_in_order() {
        let numbers = given(&leased(5..10_005), &Halt::default(), of(20_000), usize::MAX);
        assert_eq!(numbers, (5..10_005).collect::<Vec<_>>());
    }

    #[test]
    fn numbers_that_were_drawn_and_not_run_go_to_another_instance() {
        let lease = leased(0..1_000);
        let halt = Halt::default();
        let mut numbers = given(&lease, &halt, of(1_000), 700);
        numbers.extend(given(&lease, &halt, of(1_000), usize::MAX));
        numbers.sort_unstable();
        assert_eq!(numbers, (0..1_000).collect::<Vec<_>>());
    }

    #[test]
    fn an_instance_gets_nothing_after_a_stop() {
        let halt = Halt::default();
        halt.stop();
        assert!(given(&leased(0..10), &halt, of(10), usize::MAX).is_empty());
    }
}
