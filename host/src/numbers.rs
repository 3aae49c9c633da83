//! The numbers of a run: which worker holds them, which are confirmed, which are lost.
//!
//! Ranges are half open, `start..end`. Pure; knows workers only by an identifier, and does not know how a lease or a
//! confirmation travels.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

/// A set of numbers, kept as disjoint ranges that do not touch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumberSet(BTreeMap<u64, u64>);

impl NumberSet {
    /// Adds a range; numbers that the set already has stay in it.
    pub fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let Range { mut start, mut end } = range;
        // Every range that touches the new one begins at or before the new one's end: walk down from there.
        while let Some((&s, &e)) = self.0.range(..=end).next_back() {
            if e < start {
                break;
            }
            start = start.min(s);
            end = end.max(e);
            self.0.remove(&s);
        }
        self.0.insert(start, end);
    }

    /// Removes a range; numbers that the set does not have are ignored.
    pub fn remove(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        while let Some((&s, &e)) = self.0.range(..range.end).next_back() {
            if e <= range.start {
                break;
            }
            self.0.remove(&s);
            if e > range.end {
                self.0.insert(range.end, e);
            }
            if s < range.start {
                self.0.insert(s, range.start);
            }
        }
    }

    /// How many numbers it holds.
    pub fn len(&self) -> u64 {
        self.iter().map(|range| range.end - range.start).sum()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Its ranges, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Range<u64>> {
        self.0.iter().map(|(&start, &end)| start..end)
    }

    /// Adds the numbers of another set.
    pub fn extend(&mut self, other: &Self) {
        other.iter().for_each(|range| self.insert(range));
    }

    /// Removes all numbers from `at` on, and returns them.
    fn split_off(&mut self, at: u64) -> Self {
        let rest: Self = self.iter().map(|range| range.start.max(at)..range.end).collect();
        self.remove(at..u64::MAX);
        rest
    }

    fn pop_front(&mut self, most: u64) -> Option<Range<u64>> {
        let (start, end) = self.0.pop_first()?;
        let cut = end.min(start.saturating_add(most));
        if cut < end {
            self.0.insert(cut, end);
        }
        Some(start..cut)
    }
}

impl FromIterator<Range<u64>> for NumberSet {
    fn from_iter<I: IntoIterator<Item = Range<u64>>>(ranges: I) -> Self {
        let mut set = Self::default();
        ranges.into_iter().for_each(|range| set.insert(range));
        set
    }
}

/// How the processes of a run share its numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shares {
    ledgers: Vec<Ledger>,
    first: u64,
}

impl Shares {
    /// All processes draw from one store of `numbers`.
    pub fn common(numbers: Range<u64>, processes: u32) -> Self {
        Self { ledgers: vec![Ledger::new(numbers, processes)], first: 0 }
    }

    /// `numbers` are dealt to the processes in turn, one at a time. In a process's ledger they count from 0.
    pub fn dealt(numbers: Range<u64>, processes: u32) -> Self {
        let (n, of) = (numbers.end - numbers.start, u64::from(processes));
        let share = |place| (n + of - 1 - place) / of;
        Self { ledgers: (0..of).map(|place| Ledger::new(0..share(place), 1)).collect(), first: numbers.start }
    }

    /// The ledger of the process at `place`.
    pub fn of(&mut self, place: u32) -> &mut Ledger {
        let at = self.at(place);
        &mut self.ledgers[at]
    }

    /// The same, to look at.
    pub fn ledger(&self, place: u32) -> &Ledger {
        &self.ledgers[self.at(place)]
    }

    /// The number that the process at `place` knows as `index`.
    pub fn number(&self, place: u32, index: u64) -> u64 {
        self.first + index * self.ledgers.len() as u64 + self.at(place) as u64
    }

    /// The index by which a process knows `number`.
    pub fn index(&self, number: u64) -> u64 {
        (number - self.first) / self.ledgers.len() as u64
    }

    /// Whether the numbers are dealt.
    pub fn are_dealt(&self) -> bool {
        self.ledgers.len() > 1 || self.first > 0
    }

    /// The sum of a figure over all processes.
    pub fn sum(&self, figure: impl Fn(&Ledger) -> u64) -> u64 {
        self.ledgers.iter().map(figure).sum()
    }

    /// How many numbers are accounted for: each is unleased, leased or offered.
    pub fn accounted(&self) -> u64 {
        let of = |ledger: &Ledger| ledger.unleased() + ledger.leased() + ledger.offered();
        self.sum(of)
    }

    fn at(&self, place: u32) -> usize {
        place as usize % self.ledgers.len()
    }
}

/// Into how many leases for each worker the numbers that are left are divided. Limits how many one worker may hold
/// while others run out.
const LEASES_LEFT: u64 = 2;

/// Hands out each number once, and keeps track of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    unleased: NumberSet,
    /// What each worker holds; ordered, so that equal books have equal bytes.
    leased: BTreeMap<u32, NumberSet>,
    confirmed: u64,
    dropped: u64,
    cut: u64,
    lost: NumberSet,
    /// Into how many leases the numbers that are left are divided.
    shares: u64,
}

impl Ledger {
    /// A ledger for the numbers `range`, shared by `workers` at a time.
    pub fn new(range: Range<u64>, workers: u32) -> Self {
        Self {
            unleased: NumberSet::from_iter([range]),
            leased: BTreeMap::new(),
            confirmed: 0,
            dropped: 0,
            cut: 0,
            lost: NumberSet::default(),
            shares: u64::from(workers) * LEASES_LEFT,
        }
    }

    /// Gives `worker` up to `wanted` numbers; fewer near the end, so that workers end together. `None` if none are
    /// left.
    pub fn lease(&mut self, worker: u32, wanted: u64) -> Option<Range<u64>> {
        let share = match self.leased.get(&worker).map_or(0, NumberSet::len) {
            // Its instances are idle: it gets as many as it would have if all had begun together.
            0 => (self.unleased.len() + self.leased()).div_ceil(self.shares / LEASES_LEFT),
            _ => self.unleased.len().div_ceil(self.shares),
        };
        let range = self.unleased.pop_front(wanted.clamp(1, share.max(1)))?;
        self.leased.entry(worker).or_default().insert(range.clone());
        Some(range)
    }

    /// Gives `worker` all unleased numbers.
    pub fn lease_all(&mut self, worker: u32) {
        let all = std::mem::take(&mut self.unleased);
        self.leased.entry(worker).or_default().extend(&all);
    }

    /// Gives `worker` the unleased numbers below `end`, which follow each other; `None` if there are none.
    pub fn lease_below(&mut self, worker: u32, end: u64) -> Option<Range<u64>> {
        let next = self.next_unleased()?;
        let range = self.unleased.pop_front(end.checked_sub(next).filter(|&most| most > 0)?)?;
        self.leased.entry(worker).or_default().insert(range.clone());
        Some(range)
    }

    /// Books numbers that `worker` has run; true if the worker held all of them.
    pub fn confirm(&mut self, worker: u32, ranges: impl IntoIterator<Item = Range<u64>>) -> bool {
        let (told, held) = self.take(worker, ranges);
        self.confirmed += held;
        held == told
    }

    /// Books numbers that were due and that `worker` never started; true if the worker held all of them.
    pub fn drop(&mut self, worker: u32, ranges: impl IntoIterator<Item = Range<u64>>) -> bool {
        let (told, held) = self.take(worker, ranges);
        self.dropped += held;
        held == told
    }

    /// Books that `number` was cut while `worker` ran it; true if the worker held it.
    pub fn cut(&mut self, worker: u32, number: u64) -> bool {
        let (told, held) = self.take(worker, Some(number..number + 1));
        self.cut += held;
        held == told
    }

    /// Takes numbers from `worker`. Returns how many there are in `ranges`, and how many of those the worker held.
    fn take(&mut self, worker: u32, ranges: impl IntoIterator<Item = Range<u64>>) -> (u64, u64) {
        let mut none = NumberSet::default();
        let held = self.leased.get_mut(&worker).unwrap_or(&mut none);
        let before = held.len();
        let mut told = 0;
        for range in ranges {
            told += range.end - range.start;
            held.remove(range);
        }
        (told, before - held.len())
    }

    /// `worker` died: the numbers below `until` that it held are lost, and returned. The rest can be leased again.
    pub fn lose(&mut self, worker: u32, until: u64) -> NumberSet {
        let mut held = self.leased.remove(&worker).unwrap_or_default();
        let rest = held.split_off(until);
        self.unleased.extend(&rest);
        self.lost.extend(&held);
        held
    }

    /// The numbers that `worker` still holds can be leased again; returns them.
    pub fn give_back(&mut self, worker: u32) -> NumberSet {
        let held = self.leased.remove(&worker).unwrap_or_default();
        self.unleased.extend(&held);
        held
    }

    /// Numbers that were due: they ran, were cut, were dropped, or were lost with their workers.
    pub fn offered(&self) -> u64 {
        self.confirmed + self.cut + self.dropped + self.lost.len()
    }

    /// Numbers whose operations were cut.
    pub fn in_flight(&self) -> u64 {
        self.cut
    }

    /// Numbers that ran.
    pub fn confirmed(&self) -> u64 {
        self.confirmed
    }

    /// Numbers that were due and never started.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Numbers that were lost with their workers.
    pub fn lost(&self) -> &NumberSet {
        &self.lost
    }

    /// Numbers that no worker holds and none has run.
    pub fn unleased(&self) -> u64 {
        self.unleased.len()
    }

    /// Those of them that are below `end`.
    pub fn unleased_below(&self, end: u64) -> u64 {
        self.unleased.iter().map(|range| range.end.min(end).saturating_sub(range.start)).sum()
    }

    /// Numbers that workers hold and have not confirmed.
    pub fn leased(&self) -> u64 {
        self.leased.values().map(NumberSet::len).sum()
    }

    /// The lowest number that no worker holds and none has run; `None` if there is none.
    pub fn next_unleased(&self) -> Option<u64> {
        self.unleased.iter().next().map(|range| range.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeSet, HashMap};

    #[derive(Clone, Debug)]
    enum Edit {
        Insert(Range<u64>),
        Remove(Range<u64>),
    }

    fn edits() -> impl Strategy<Value = Vec<Edit>> {
        let edit = (any::<bool>(), 0..60_u64, 0..20_u64).prop_map(|(insert, start, length)| {
            let range = start..start + length;
            if insert { Edit::Insert(range) } else { Edit::Remove(range) }
        });
        prop::collection::vec(edit, 0..40)
    }

    #[derive(Clone, Debug)]
    enum Action {
        Lease { worker: u32, wanted: u64 },
        Confirm { worker: u32, most: u64 },
        Cut { worker: u32 },
        Die { worker: u32 },
        End { worker: u32 },
    }

    fn events() -> impl Strategy<Value = Vec<Action>> {
        let worker = 0..4_u32;
        let event = prop_oneof![
            4 => (worker.clone(), 1..50_u64).prop_map(|(worker, wanted)| Action::Lease { worker, wanted }),
            4 => (worker.clone(), 1..50_u64).prop_map(|(worker, most)| Action::Confirm { worker, most }),
            1 => worker.clone().prop_map(|worker| Action::Cut { worker }),
            1 => worker.clone().prop_map(|worker| Action::Die { worker }),
            1 => worker.prop_map(|worker| Action::End { worker }),
        ];
        prop::collection::vec(event, 0..200)
    }

    proptest! {
        #[test]
        fn a_set_of_ranges_is_a_set_of_numbers(edits in edits()) {
            let mut ranges = NumberSet::default();
            let mut numbers = BTreeSet::new();
            for edit in edits {
                match edit {
                    Edit::Insert(range) => { ranges.insert(range.clone()); numbers.extend(range); }
                    Edit::Remove(range) => { ranges.remove(range.clone()); numbers.retain(|n| !range.contains(n)); }
                }
            }
            prop_assert_eq!(ranges.iter().flatten().collect::<Vec<_>>(), numbers.into_iter().collect::<Vec<_>>());
            let kept: Vec<_> = ranges.iter().collect();
            prop_assert!(kept.windows(2).all(|pair| pair[0].end < pair[1].start), "touching ranges: {:?}", kept);
        }

        #[test]
        fn every_number_is_run_once_or_cut_or_lost(events in events(), first in 0..1_000_u64, n in 1..2_000_u64) {
            let plan = first..first + n;
            let mut ledger = Ledger::new(plan.clone(), 4);
            let mut held: HashMap<u32, NumberSet> = HashMap::new();
            let mut ran = Vec::new();
            for event in events {
                match event {
                    Action::Lease { worker, wanted } => if let Some(range) = ledger.lease(worker, wanted) {
                        prop_assert!(range.end - range.start <= wanted && !range.is_empty());
                        held.entry(worker).or_default().insert(range);
                    },
                    Action::Confirm { worker, most } => if let Some(range) = held.entry(worker).or_default().pop_front(most) {
                        prop_assert!(ledger.confirm(worker, [range.clone()]));
                        ran.extend(range);
                    },
                    Action::Cut { worker } => if let Some(range) = held.entry(worker).or_default().pop_front(1) {
                        prop_assert!(ledger.cut(worker, range.start));
                        ran.extend(range);
                    },
                    Action::Die { worker } => {
                        prop_assert_eq!(ledger.lose(worker, u64::MAX), held.remove(&worker).unwrap_or_default());
                    }
                    Action::End { worker } => { held.remove(&worker); ledger.give_back(worker); }
                }
                let out: u64 = held.values().map(NumberSet::len).sum();
                prop_assert_eq!(ledger.confirmed() + ledger.in_flight() + ledger.lost().len() + ledger.unleased() + out, n);
            }
            while let Some(range) = ledger.lease(9, u64::MAX) {
                prop_assert!(ledger.confirm(9, [range.clone()]));
                ran.extend(range);
            }
            held.values().flat_map(NumberSet::iter).for_each(|range| ran.extend(range));
            ran.extend(ledger.lost().iter().flatten());
            ran.sort_unstable();
            prop_assert_eq!(ran, plan.collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_number_that_was_never_leased_is_not_confirmed() {
        let mut ledger = Ledger::new(0..10, 1);
        let leased = ledger.lease(0, 2).unwrap();
        assert_eq!(leased, 0..2);
        assert!(!ledger.confirm(0, Some(0..3)));
        assert_eq!(ledger.confirmed(), 2);
    }

    #[test]
    fn only_numbers_that_were_due_are_lost_with_a_worker() {
        let mut ledger = Ledger::new(0..10, 1);
        ledger.lease_all(0);
        assert!(ledger.confirm(0, Some(0..2)) && ledger.drop(0, Some(3..4)) && ledger.cut(0, 4));
        assert_eq!(ledger.lose(0, 7).iter().collect::<Vec<_>>(), [2..3, 5..7]);
        assert_eq!((ledger.lost().len(), ledger.unleased(), ledger.dropped()), (3, 3, 1));
        ledger.lease_all(1);
        assert!(ledger.confirm(1, Some(7..10)) && !ledger.confirm(1, Some(5..6)));
    }

    proptest! {
        #[test]
        fn dealt_numbers_are_all_numbers(first in 0..1_000_u64, n in 0..100_u64, processes in 1..7_u32) {
            let mut shares = Shares::dealt(first..first + n, processes);
            let mut numbers = Vec::new();
            for place in 0..processes {
                let share = shares.of(place).unleased();
                for index in 0..share {
                    let number = shares.number(place, index);
                    prop_assert_eq!(shares.index(number), index);
                    numbers.push(number);
                }
            }
            numbers.sort_unstable();
            prop_assert_eq!(numbers, (first..first + n).collect::<Vec<_>>());
        }
    }

    #[test]
    fn leases_shrink_towards_the_end() {
        let mut ledger = Ledger::new(0..100, 2);
        let sizes: Vec<_> =
            std::iter::from_fn(|| ledger.lease(0, 1_000)).map(|range| range.end - range.start).collect();
        assert_eq!(&sizes[..4], [50, 13, 10, 7]);
        assert_eq!(sizes.last(), Some(&1));
    }

    #[test]
    fn a_worker_that_comes_later_gets_its_part_at_once() {
        let mut ledger = Ledger::new(0..40, 2);
        assert_eq!([0, 1].map(|worker| ledger.lease(worker, 80)), [Some(0..20), Some(20..40)]);
        let mut ledger = Ledger::new(0..400, 4);
        let sizes: Vec<_> = (0..4).map(|worker| ledger.lease(worker, 100).map_or(0, |of| of.end - of.start)).collect();
        assert_eq!(sizes, [100; 4]);
    }
}
