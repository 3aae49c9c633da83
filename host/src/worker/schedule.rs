//! The slots of a worker in an open run, and the instances that take them.
//!
//! Any idle instance takes the next slot, so it makes no difference which instances are busy. A slot that finds all
//! instances busy waits and starts late. If the plan limits how many may be in flight, a slot beyond the limit is
//! dropped at the moment when it is due. Knows no clock: callers pass the time.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::metrics::BASE_INTERVAL_NS;
use crate::pace::{Slot, SlotIndex, Slots};
use crate::plan::{Open, RunPlan};
use crate::wire::Delta;

/// A slot for which an instance was waiting counts as late if it starts this long after it was due: twenty times as
/// long as it takes to wake a thread.
const LATE_NS: u64 = 1_000_000;

/// A worker's part of a schedule.
#[derive(Debug)]
pub(super) struct Schedule {
    state: Mutex<ScheduleState>,
    /// The number of the slot with index 0, and the difference between the numbers of two neighbouring slots.
    first: u64,
    step: u64,
}

#[derive(Debug)]
struct ScheduleState {
    slots: Slots,
    /// The indices of slots that are due and wait for an instance. Used only if operations in flight are limited.
    waiting: VecDeque<Range<SlotIndex>>,
    /// How many slots wait.
    waiting_slots: u64,
    /// The schedule from the first waiting slot on; it gives the time at which each of them was due.
    behind: Slots,
    /// How many instances have taken a slot and not ended it.
    busy: u64,
    /// How many operations may be due and not ended.
    most: u64,
    /// Slots from this index on belong to nobody yet.
    leased: SlotIndex,
    /// Up to which index slots were leased, and when; the slots of earlier leases have been taken.
    leases: VecDeque<(SlotIndex, u64)>,
    /// For how long a slot that was due was not leased, at most, since this was asked last.
    dry_ns: u64,
    /// Slots that are due after this do not exist.
    end_ns: u64,
    /// From when on not even waiting slots are taken.
    patience_ns: u64,
    /// What became of slots that no instance took, and how late the others started.
    told: Delta,
}

/// What an instance gets when it wants a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// A slot.
    Slot(Taken),
    /// The next slot is due then, and not leased yet.
    Unleased { due_ns: u64 },
    /// There are no more.
    Over,
}

/// A slot that an instance has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    /// Its operation's number.
    pub(super) number: u64,
    /// When the operation is due.
    pub(super) due_ns: u64,
    /// When it could be started: when it was due, or when its slot was leased after that.
    ready_ns: u64,
    /// Whether it could be started before the instance was idle.
    waited: bool,
}

impl Schedule {
    /// The slots of the process at `place`, from index `first` on. Earlier ones belong to the worker that had the place
    /// before. The slots from `leased` on have to be leased.
    pub(super) fn new(plan: &RunPlan, open: &Open, place: u32, first: SlotIndex, leased: SlotIndex) -> Self {
        let mut slots = Slots::new(plan, open, place);
        slots.skip_to(first);
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let end_ns = plan.extent().duration().map_or(u64::MAX, nanos);
        let patience_ns = end_ns.saturating_add(plan.limits().timeout.map_or(u64::MAX, nanos));
        let state = ScheduleState {
            behind: slots.clone(),
            slots,
            waiting: VecDeque::new(),
            waiting_slots: 0,
            busy: 0,
            leased,
            leases: VecDeque::from([(leased, 0)]),
            dry_ns: 0,
            most: plan.most_in_flight(open, place),
            end_ns,
            patience_ns,
            told: Delta::default(),
        };
        let step = u64::from(plan.shape().workers());
        Self { state: Mutex::new(state), first: plan.first() + u64::from(place), step }
    }

    /// The index of the slot whose operation has this number.
    pub(super) fn index(&self, number: u64) -> SlotIndex {
        SlotIndex((number - self.first) / self.step)
    }

    /// Whether there are no more slots.
    pub(super) fn is_over(&self) -> bool {
        let state = self.lock();
        state.waiting.is_empty() && state.peek().is_none()
    }

    /// The slots before the index `end` are leased, at `now_ns`.
    pub(super) fn lease(&self, end: SlotIndex, now_ns: u64) {
        let state = &mut *self.lock();
        if end > state.leased {
            state.leased = end;
            state.leases.push_back((end, now_ns));
        }
    }

    /// For how long a slot that was due was not leased, at most, since this was called last.
    pub(super) fn take_dry_ns(&self) -> u64 {
        std::mem::take(&mut self.lock().dry_ns)
    }

    /// The next slot, for an instance that has been idle since `idle_ns`.
    pub(super) fn take(&self, now_ns: u64, idle_ns: u64) -> Offer {
        let state = &mut *self.lock();
        state.admit(now_ns);
        if now_ns > state.patience_ns {
            return Offer::Over;
        }
        let slot = match (state.pop_waiting(), state.peek()) {
            (Some(slot), _) => slot,
            (None, None) => return Offer::Over,
            (None, Some(slot)) if slot.index >= state.leased => {
                state.dry_ns = state.dry_ns.max(now_ns.saturating_sub(slot.due_ns));
                return Offer::Unleased { due_ns: slot.due_ns };
            }
            (None, Some(slot)) => {
                state.slots.skip_to(slot.index.plus(1));
                slot
            }
        };
        state.busy += 1;
        // What it waited for before that was numbers.
        let ready_ns = slot.due_ns.max(state.leased_ns(slot.index));
        if ready_ns > slot.due_ns {
            state.told.metrics.scheduled.starved(ready_ns - slot.due_ns, now_ns);
        }
        let waited = ready_ns < idle_ns;
        if waited {
            state.told.metrics.scheduled.waited(now_ns - ready_ns, now_ns);
        }
        Offer::Slot(Taken { number: self.first + slot.index.0 * self.step, due_ns: slot.due_ns, ready_ns, waited })
    }

    /// The next slot, if there is one that is leased.
    #[cfg(test)]
    fn taken(&self, now_ns: u64, idle_ns: u64) -> Option<Taken> {
        match self.take(now_ns, idle_ns) {
            Offer::Slot(taken) => Some(taken),
            Offer::Unleased { .. } | Offer::Over => None,
        }
    }

    /// The operation of the slot `taken` is about to start.
    pub(super) fn started(&self, taken: &Taken, now_ns: u64) {
        let late_ns = now_ns.saturating_sub(taken.ready_ns);
        if !taken.waited && late_ns > LATE_NS {
            self.lock().told.metrics.scheduled.late(late_ns, now_ns);
        }
    }

    /// An instance whose operation has ended is idle from `now_ns` on.
    pub(super) fn ended(&self, now_ns: u64) {
        let state = &mut *self.lock();
        state.admit(now_ns);
        state.busy -= 1;
    }

    /// A slot that was taken will not be started. It counts as dropped, unless it was due after the end.
    pub(super) fn put_back(&self, taken: &Taken) {
        let index = self.index(taken.number);
        let state = &mut *self.lock();
        if taken.due_ns < state.end_ns {
            state.told.drop_slots(index..index.plus(1), taken.due_ns);
            state.told.metrics.scheduled.left += 1;
        }
    }

    /// From now on no slot is started: neither waiting slots, nor any that is due after `now_ns`.
    pub(super) fn stop(&self, now_ns: u64) {
        let state = &mut *self.lock();
        state.end_ns = state.end_ns.min(now_ns);
        state.patience_ns = 0;
    }

    /// What became of slots since this was called last.
    pub(super) fn tell(&self) -> Delta {
        std::mem::take(&mut self.lock().told)
    }

    /// The last instance is gone: slots that were due by `now_ns` and were not taken count as dropped.
    pub(super) fn close(&self, now_ns: u64) {
        let state = &mut *self.lock();
        state.admit(now_ns);
        let before = state.told.metrics.scheduled.dropped;
        for waiting in std::mem::take(&mut state.waiting) {
            state.behind.skip_to(waiting.start);
            drop_until(&mut state.behind, waiting.end, &mut state.told);
        }
        state.waiting_slots = 0;
        state.drop_due(now_ns);
        state.told.metrics.scheduled.left += state.told.metrics.scheduled.dropped - before;
    }

    fn lock(&self) -> MutexGuard<'_, ScheduleState> {
        // A panic aborts the worker, so no thread ever sees a half-made change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ScheduleState {
    fn peek(&self) -> Option<Slot> {
        self.slots.peek().filter(|slot| slot.due_ns < self.end_ns)
    }

    /// When the slot with this index was leased. Slots are asked for in order.
    fn leased_ns(&mut self, index: SlotIndex) -> u64 {
        while self.leases.front().is_some_and(|(end, _)| *end <= index) {
            self.leases.pop_front();
        }
        self.leases.front().map_or(0, |(_, at_ns)| *at_ns)
    }

    fn pop_waiting(&mut self) -> Option<Slot> {
        let waiting = self.waiting.front_mut()?;
        self.behind.skip_to(waiting.start);
        waiting.start = waiting.start.plus(1);
        self.waiting_slots -= 1;
        if waiting.is_empty() {
            self.waiting.pop_front();
        }
        self.behind.next()
    }

    /// Lets slots that are due by `now_ns` wait, up to the limit, and drops the rest. Between two calls no instance has
    /// taken or ended a slot.
    fn admit(&mut self, now_ns: u64) {
        if self.most == u64::MAX {
            return;
        }
        let is_due = |slot: &Slot| slot.due_ns <= now_ns && slot.index < self.leased;
        let Some(next) = self.peek().filter(is_due) else { return };
        let room = self.most.saturating_sub(self.busy + self.waiting_slots);
        if room > 0 {
            let due = self.slots.due_by(now_ns.min(self.end_ns - 1)).min(self.leased);
            let end = due.min(next.index.plus(room));
            self.slots.skip_to(end);
            self.waiting_slots += next.index.until(end);
            self.waiting.push_back(next.index..end);
        }
        self.drop_due(now_ns);
    }

    /// Drops the slots that are due by `now_ns` and do not wait.
    fn drop_due(&mut self, now_ns: u64) {
        if self.end_ns > 0 {
            let due = self.slots.due_by(now_ns.min(self.end_ns - 1)).min(self.leased);
            drop_until(&mut self.slots, due, &mut self.told);
        }
    }
}

/// Drops the slots before the index `end`. Counts them by interval of the timeline, not one by one.
fn drop_until(slots: &mut Slots, end: SlotIndex, told: &mut Delta) {
    while let Some(slot) = slots.peek().filter(|slot| slot.index < end) {
        let interval = slot.due_ns / BASE_INTERVAL_NS;
        let last_ns = (interval + 1).saturating_mul(BASE_INTERVAL_NS) - 1;
        let next = slots.due_by(last_ns).min(end);
        slots.skip_to(next);
        told.drop_slots(slot.index..next, slot.due_ns);
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;
    use crate::metrics::Delayed;
    use crate::pace::tests::{lasting, of, open, plan};
    use crate::plan::{Arrivals, Extent, LoadModel, RunSpec};

    /// A slot every millisecond.
    fn schedule(extent: Extent, most: Option<u64>) -> Schedule {
        let open = Open { max_in_flight: most.and_then(NonZeroU64::new), ..open(Arrivals::Constant, 1_000.0, &[]) };
        let plan = plan(extent, 1, LoadModel::Open(open.clone()));
        let plan = RunPlan::try_from(RunSpec { first: 100, ..plan.into() }).unwrap();
        Schedule::new(&plan, &open, 0, SlotIndex(0), ALL)
    }

    const ALL: SlotIndex = SlotIndex(u64::MAX);
    const MS: u64 = 1_000_000;

    #[test]
    fn slots_are_taken_in_order_even_if_late() {
        let schedule = schedule(of(3), None);
        let taken = |now_ns, idle_ns| schedule.taken(now_ns, idle_ns).map(|t| (t.number, t.due_ns, t.waited));
        assert_eq!(taken(0, 0), Some((100, 0, false)));
        // The only instance is idle again after both of the other slots were due.
        schedule.ended(5 * MS);
        assert_eq!(taken(5 * MS, 5 * MS), Some((101, MS, true)));
        assert!(!schedule.is_over());
        assert_eq!(taken(5 * MS, 5 * MS), Some((102, 2 * MS, true)));
        assert!(schedule.is_over() && taken(6 * MS, 0).is_none());
        let told = schedule.tell();
        let waited = Delayed { operations: 2, sum_ns: u128::from(7 * MS), worst_ns: 4 * MS };
        assert_eq!((told.metrics.scheduled.waited, told.metrics.scheduled.dropped), (waited, 0));
    }

    #[test]
    fn a_slot_that_is_leased_late_waited_for_no_instance() {
        let open = open(Arrivals::Constant, 1_000.0, &[]);
        let plan = plan(of(10), 1, LoadModel::Open(open.clone()));
        let schedule = Schedule::new(&plan, &open, 0, SlotIndex(0), SlotIndex(2));
        for i in 0..2 {
            let taken = schedule.taken(i * MS, i * MS).unwrap();
            schedule.started(&taken, i * MS);
            schedule.ended(i * MS);
        }
        assert_eq!(schedule.take(5 * MS, MS), Offer::Unleased { due_ns: 2 * MS });
        schedule.lease(SlotIndex(10), 8 * MS);
        // An instance is idle when the slots come, and starts at once; it is busy for as long as the next one waits.
        let taken = schedule.taken(8 * MS, MS).unwrap();
        schedule.started(&taken, 8 * MS);
        assert_eq!((taken.number, taken.due_ns, taken.waited), (2, 2 * MS, false));
        schedule.ended(20 * MS);
        let next = schedule.taken(20 * MS, 20 * MS).unwrap();
        schedule.started(&next, 20 * MS);
        assert_eq!((next.due_ns, next.waited), (3 * MS, true));
        let told = schedule.tell().metrics.scheduled;
        assert_eq!((told.late.operations, told.waited.operations, told.waited.worst_ns), (0, 1, 12 * MS));
        // Both were leased after they were due.
        assert_eq!(told.starved, Delayed { operations: 2, sum_ns: u128::from(11 * MS), worst_ns: 6 * MS });
    }

    #[test]
    fn a_slot_beyond_the_limit_is_dropped_when_it_is_due() {
        let schedule = schedule(of(10), Some(3));
        // Two instances are busy with the first two slots until 5.5 ms. By then slot 2 waits, and slots 3, 4 and 5 were
        // beyond the limit.
        assert!(schedule.taken(0, 0).is_some() && schedule.taken(0, 0).is_some());
        schedule.ended(5 * MS + MS / 2);
        let next = schedule.taken(5 * MS + MS / 2, 5 * MS + MS / 2).unwrap();
        assert_eq!(next.number, 102);
        let told = schedule.tell();
        assert_eq!((told.dropped, told.metrics.scheduled.left), (vec![SlotIndex(3)..SlotIndex(6); 1], 0));
        schedule.ended(6 * MS + MS / 2);
        assert_eq!(schedule.taken(6 * MS + MS / 2, 6 * MS + MS / 2).unwrap().number, 106);
    }

    #[test]
    fn a_stop_drops_what_was_due_and_nothing_else() {
        let schedule = schedule(lasting(1_000), None);
        let running = schedule.taken(0, 0).unwrap();
        schedule.started(&running, 0);
        let waiting_for = schedule.taken(0, 0).unwrap();
        schedule.stop(4 * MS + MS / 2);
        assert!(schedule.taken(5 * MS, 5 * MS).is_none() && schedule.is_over() != schedule.peek_any());
        // It was due at 1 ms, before the stop, and was never started.
        schedule.put_back(&waiting_for);
        schedule.close(u64::MAX);
        let told = schedule.tell();
        assert_eq!(told.dropped, vec![SlotIndex(1)..SlotIndex(5); 1]);
        assert_eq!((told.metrics.scheduled.dropped, told.metrics.scheduled.left), (4, 4));
    }

    #[test]
    fn slots_left_at_the_highest_rate_are_dropped_in_their_intervals() {
        let second = 1_000 * MS;
        for (most, arrivals) in [(None, Arrivals::Constant), (NonZeroU64::new(500_000_000), Arrivals::Poisson)] {
            let open = Open { max_in_flight: most, ..open(arrivals, 1e8, &[]) };
            let plan = plan(lasting(20_000), 1, LoadModel::Open(open.clone()));
            let schedule = Schedule::new(&plan, &open, 0, SlotIndex(0), ALL);
            assert!(schedule.taken(0, 0).is_some());
            schedule.ended(10 * second);
            assert!(schedule.taken(10 * second, 10 * second).is_some_and(|taken| taken.number == 1));
            schedule.close(20 * second);
            let told = schedule.tell();
            let dropped: u64 = told.dropped.iter().map(|range| range.start.until(range.end)).sum();
            // Five deviations of a Poisson count.
            assert!(dropped.abs_diff(2_000_000_000) < 250_000, "{dropped}");
            assert_eq!(told.metrics.scheduled.dropped, dropped);
            let buckets: Vec<u64> = told.metrics.timeline().buckets().map(|(_, bucket)| bucket.dropped).collect();
            assert_eq!((buckets.len(), buckets.iter().sum::<u64>()), (80, dropped));
            assert!(buckets.iter().all(|bucket| bucket.abs_diff(25_000_000) < 30_000), "{buckets:?}");
            let mut ranges = told.dropped;
            ranges.sort_by_key(|range| range.start);
            assert_eq!(ranges.first().map(|range| range.start), Some(SlotIndex(2)));
            assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start));
        }
    }

    #[test]
    fn a_replacement_leaves_out_the_slots_of_its_predecessor() {
        let open = open(Arrivals::Constant, 1_000.0, &[]);
        let plan = plan(of(10), 1, LoadModel::Open(open.clone()));
        let schedule = Schedule::new(&plan, &open, 0, SlotIndex(4), ALL);
        assert_eq!(schedule.taken(0, 0).unwrap().number, 4);
    }

    #[test]
    fn the_limit_is_split_among_processes() {
        let open = Open { max_in_flight: NonZeroU64::new(5), ..open(Arrivals::Constant, 1_000.0, &[]) };
        let plan = plan(of(10), 3, LoadModel::Open(open.clone()));
        assert_eq!([0, 1, 2].map(|process| plan.most_in_flight(&open, process)), [2, 2, 1]);
    }

    impl Schedule {
        fn peek_any(&self) -> bool {
            self.lock().peek().is_some()
        }
    }
}
