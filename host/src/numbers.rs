//! The numbers of a run: who was given which, which are confirmed, which are lost.
//!
//! Pure. Ranges are half open, `start..end`. Knows nothing of workers but an identifier, and nothing of how a lease
//! or a confirmation travels.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

/// A set of numbers, kept as disjoint ranges that do not touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NumberSet(BTreeMap<u64, u64>);

impl NumberSet {
    /// Adds a range; what of it is already there stays.
    pub fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let Range { mut start, mut end } = range;
        // Every range that touches the new one begins at or before its end; walk down from there.
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

    /// Takes a range out; what of it is not there is passed over.
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

/// Hands out each number of a run once, and keeps the books on it.
#[derive(Debug)]
pub struct Ledger {
    unleased: NumberSet,
    leased: HashMap<u32, NumberSet>,
    confirmed: u64,
    cut: u64,
    lost: NumberSet,
    /// How many leases to cut what is left into; bounds how much one worker may hold while others run dry.
    shares: u64,
}

impl Ledger {
    /// Books for the numbers `range`, to be shared by `workers` at a time.
    pub fn new(range: Range<u64>, workers: u32) -> Self {
        Self {
            unleased: NumberSet::from_iter([range]),
            leased: HashMap::new(),
            confirmed: 0,
            cut: 0,
            lost: NumberSet::default(),
            shares: u64::from(workers) * 2,
        }
    }

    /// Gives `worker` up to `wanted` numbers: fewer near the end, so that workers end together; `None` where none is
    /// left.
    pub fn lease(&mut self, worker: u32, wanted: u64) -> Option<Range<u64>> {
        let share = self.unleased.len().div_ceil(self.shares);
        let range = self.unleased.pop_front(wanted.clamp(1, share.max(1)))?;
        self.leased.entry(worker).or_default().insert(range.clone());
        Some(range)
    }

    /// Books numbers that `worker` has run; true where it held every one of them.
    pub fn confirm(&mut self, worker: u32, ranges: impl IntoIterator<Item = Range<u64>>) -> bool {
        let held = self.leased.entry(worker).or_default();
        let before = held.len();
        let mut told = 0;
        for range in ranges {
            told += range.end - range.start;
            held.remove(range);
        }
        let confirmed = before - held.len();
        self.confirmed += confirmed;
        confirmed == told
    }

    /// `worker` died: what it held and had not confirmed is lost, and returned.
    pub fn lose(&mut self, worker: u32) -> NumberSet {
        let held = self.leased.remove(&worker).unwrap_or_default();
        held.iter().for_each(|range| self.lost.insert(range));
        held
    }

    /// `worker` ended in order: what it held and had not confirmed was never started, and can be leased again.
    pub fn give_back(&mut self, worker: u32) {
        let held = self.leased.remove(&worker).unwrap_or_default();
        held.iter().for_each(|range| self.unleased.insert(range));
    }

    /// `worker` was told to end while it ran `number`; true where it held it.
    pub fn cut(&mut self, worker: u32, number: u64) -> bool {
        let held = self.leased.entry(worker).or_default();
        let before = held.len();
        held.remove(number..number + 1);
        let cut = before - held.len();
        self.cut += cut;
        cut == 1
    }

    /// Numbers whose operations were cut.
    pub fn in_flight(&self) -> u64 {
        self.cut
    }

    /// Numbers that ran.
    pub fn confirmed(&self) -> u64 {
        self.confirmed
    }

    /// Numbers that died with their workers.
    pub fn lost(&self) -> &NumberSet {
        &self.lost
    }

    /// Numbers that nobody holds and nobody ran.
    pub fn unleased(&self) -> u64 {
        self.unleased.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

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
    enum Event {
        Lease { worker: u32, wanted: u64 },
        Confirm { worker: u32, most: u64 },
        Cut { worker: u32 },
        Die { worker: u32 },
        End { worker: u32 },
    }

    fn events() -> impl Strategy<Value = Vec<Event>> {
        let worker = 0..4_u32;
        let event = prop_oneof![
            4 => (worker.clone(), 1..50_u64).prop_map(|(worker, wanted)| Event::Lease { worker, wanted }),
            4 => (worker.clone(), 1..50_u64).prop_map(|(worker, most)| Event::Confirm { worker, most }),
            1 => worker.clone().prop_map(|worker| Event::Cut { worker }),
            1 => worker.clone().prop_map(|worker| Event::Die { worker }),
            1 => worker.prop_map(|worker| Event::End { worker }),
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
                    Event::Lease { worker, wanted } => if let Some(range) = ledger.lease(worker, wanted) {
                        prop_assert!(range.end - range.start <= wanted && !range.is_empty());
                        held.entry(worker).or_default().insert(range);
                    },
                    Event::Confirm { worker, most } => if let Some(range) = held.entry(worker).or_default().pop_front(most) {
                        prop_assert!(ledger.confirm(worker, [range.clone()]));
                        ran.extend(range);
                    },
                    Event::Cut { worker } => if let Some(range) = held.entry(worker).or_default().pop_front(1) {
                        prop_assert!(ledger.cut(worker, range.start));
                        ran.extend(range);
                    },
                    Event::Die { worker } => {
                        prop_assert_eq!(ledger.lose(worker), held.remove(&worker).unwrap_or_default());
                    }
                    Event::End { worker } => { held.remove(&worker); ledger.give_back(worker); }
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
    fn leases_shrink_towards_the_end() {
        let mut ledger = Ledger::new(0..100, 2);
        let sizes: Vec<_> =
            std::iter::from_fn(|| ledger.lease(0, 1_000)).map(|range| range.end - range.start).collect();
        assert_eq!(&sizes[..4], [25, 19, 14, 11]);
        assert_eq!(sizes.last(), Some(&1));
    }
}
