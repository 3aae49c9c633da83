//! Counts of durations, sparse, in the layout of an HdrHistogram.
//!
//! Owns the counting: one addition per recorded value, exact merging, and an exact minimum, maximum and sum beside the
//! buckets. Quantiles and the interchange format come from `hdrhistogram`; [`Histogram::to_hdr`] converts without loss.

use std::fmt;
use std::ops::AddAssign;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Three significant decimal digits: 2,048 sub-buckets, as HdrHistogram chooses for that precision.
pub const SIGNIFICANT_DIGITS: u8 = 3;
const SUB_BUCKET_BITS: u32 = 11;
const SUB_BUCKET_MASK: u64 = (1 << SUB_BUCKET_BITS) - 1;

/// The largest value that has a bucket: one hour, in nanoseconds. Longer durations count as overflow.
pub const HIGHEST_NS: u64 = 3_600_000_000_000;

/// A slot holds a bucket's index in its upper 16 bits and the bucket's count in the lower 48. It takes twenty months to
/// count 2^48 operations at five million a second.
const COUNT_BITS: u32 = 48;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;

/// How often each duration was seen: from 1 ns to 1 h, in nanoseconds, with three significant digits.
///
/// An open-addressing table from bucket index to count. Durations cluster, and neighbouring indices are in neighbouring
/// slots, so a look-up is nearly always one probe. The table doubles as buckets come into use, up to 2^16 slots, where
/// each index has its slot: a sparse histogram becomes dense without switching to another layout.
#[derive(Clone)]
pub struct Histogram {
    slots: Vec<u64>,
    used: usize,
    count: u64,
    overflow: u64,
    sum: u128,
    min: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        // No duration is above this minimum, so recording need not check whether there is one.
        Self { slots: Vec::new(), used: 0, count: 0, overflow: 0, sum: 0, min: u64::MAX, max: 0 }
    }
}

impl Histogram {
    /// Counts one duration.
    #[inline]
    pub fn record(&mut self, ns: u64) {
        self.min = self.min.min(ns);
        self.max = self.max.max(ns);
        self.sum += u128::from(ns);
        self.count += 1;
        self.overflow += u64::from(ns > HIGHEST_NS);
        self.add(index_of(ns.min(HIGHEST_NS)), 1);
    }

    /// How many durations were recorded.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How many of them were longer than [`HIGHEST_NS`].
    pub fn overflow(&self) -> u64 {
        self.overflow
    }

    /// The sum of all durations, exact.
    pub fn sum(&self) -> u128 {
        self.sum
    }

    /// The shortest duration, exact; `None` if there is none.
    pub fn min(&self) -> Option<u64> {
        (self.count > 0).then_some(self.min)
    }

    /// The longest duration, exact; `None` if there is none.
    pub fn max(&self) -> Option<u64> {
        (self.count > 0).then_some(self.max)
    }

    /// The buckets in use, as (index, count), in ascending order.
    fn buckets(&self) -> Vec<(u16, u64)> {
        let mut buckets: Vec<_> = self.slots.iter().filter(|&&slot| slot != 0).map(|&slot| unpack(slot)).collect();
        buckets.sort_unstable();
        buckets
    }

    /// The same counts as an `hdrhistogram` histogram, for quantiles and for its serialised form.
    pub fn to_hdr(&self) -> hdrhistogram::Histogram<u64> {
        let mut hdr = hdrhistogram::Histogram::new_with_bounds(1, HIGHEST_NS, SIGNIFICANT_DIGITS)
            .expect("the bounds are constants that hdrhistogram accepts");
        for (index, count) in self.buckets() {
            hdr.saturating_record_n(value_of(index), count);
        }
        hdr
    }

    #[inline]
    fn add(&mut self, index: u16, count: u64) {
        // Fast path: nearly every index is in the slot that it hashes to.
        let at = usize::from(index) & self.slots.len().wrapping_sub(1);
        match self.slots.get_mut(at) {
            Some(slot) if *slot >> COUNT_BITS == u64::from(index) && *slot != 0 => *slot += count,
            _ => self.add_elsewhere(index, count),
        }
    }

    #[cold]
    fn add_elsewhere(&mut self, index: u16, count: u64) {
        if self.used * 4 >= self.slots.len() * 3 {
            self.grow();
        }
        let mask = self.slots.len() - 1;
        let mut at = usize::from(index) & mask;
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                self.slots[at] = pack(index, count);
                self.used += 1;
                return;
            }
            if slot >> COUNT_BITS == u64::from(index) {
                self.slots[at] = slot + count;
                return;
            }
            at = (at + 1) & mask;
        }
    }

    #[cold]
    fn grow(&mut self) {
        // 2^16 slots hold every index and stay below three quarters full, so only smaller tables grow.
        let grown = vec![0; (self.slots.len() * 2).max(16)];
        self.used = 0;
        for slot in std::mem::replace(&mut self.slots, grown) {
            if slot != 0 {
                let (index, count) = unpack(slot);
                self.add(index, count);
            }
        }
    }
}

impl AddAssign<&Histogram> for Histogram {
    fn add_assign(&mut self, other: &Histogram) {
        if other.count == 0 {
            return;
        }
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.sum += other.sum;
        self.count += other.count;
        self.overflow += other.overflow;
        for &slot in other.slots.iter().filter(|&&slot| slot != 0) {
            let (index, count) = unpack(slot);
            self.add(index, count);
        }
    }
}

impl AddAssign<Histogram> for Histogram {
    fn add_assign(&mut self, other: Histogram) {
        match self.count {
            0 => *self = other,
            _ => *self += &other,
        }
    }
}

impl PartialEq for Histogram {
    fn eq(&self, other: &Self) -> bool {
        let exact = |h: &Self| (h.count, h.overflow, h.sum, h.min, h.max);
        exact(self) == exact(other) && self.buckets() == other.buckets()
    }
}

impl Eq for Histogram {}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Histogram({} values, {} to {} ns)", self.count, self.min, self.max)
    }
}

/// The exact figures, then the buckets as gaps between indices, with counts. These are small numbers, which take one or
/// two bytes as the variable-length integers of the wire.
type Encoded = (u64, u128, u64, u64, Vec<(u16, u64)>);

impl Serialize for Histogram {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut previous = 0;
        let gaps = self.buckets().into_iter().map(|(index, count)| {
            let gap = index - previous;
            previous = index;
            (gap, count)
        });
        let encoded: Encoded = (self.overflow, self.sum, self.min, self.max, gaps.collect());
        encoded.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Histogram {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (overflow, sum, min, max, gaps) = Encoded::deserialize(deserializer)?;
        let mut histogram = Self { overflow, sum, min, max, ..Self::default() };
        let mut index = 0_u16;
        for (gap, count) in gaps {
            index = index
                .checked_add(gap)
                .filter(|&index| index <= index_of(HIGHEST_NS) && (1..=COUNT_MASK).contains(&count))
                .ok_or_else(|| serde::de::Error::custom("a histogram's bucket is out of range"))?;
            histogram.count += count;
            histogram.add(index, count);
        }
        Ok(histogram)
    }
}

fn pack(index: u16, count: u64) -> u64 {
    u64::from(index) << COUNT_BITS | count
}

fn unpack(slot: u64) -> (u16, u64) {
    ((slot >> COUNT_BITS) as u16, slot & COUNT_MASK)
}

/// The index of the bucket that holds `ns`, by HdrHistogram's formula for a lowest value of 1. Each value below 2,048
/// has a bucket; above that, each doubling is divided into 1,024 buckets.
#[inline]
fn index_of(ns: u64) -> u16 {
    let exponent = u64::BITS - SUB_BUCKET_BITS - (ns | SUB_BUCKET_MASK).leading_zeros();
    let sub_bucket = ns >> exponent;
    ((u64::from(exponent) << (SUB_BUCKET_BITS - 1)) + sub_bucket) as u16
}

/// The lowest value that falls into bucket `index`; the inverse of [`index_of`].
fn value_of(index: u16) -> u64 {
    let half = 1 << (SUB_BUCKET_BITS - 1);
    match u64::from(index) {
        index if index < 2 * half => index,
        index => (index % half + half) << (index / half - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(values: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        for &ns in values {
            histogram.record(ns);
        }
        histogram
    }

    fn durations() -> impl Strategy<Value = Vec<u64>> {
        let any_magnitude = (0_u32..43).prop_flat_map(|bits| 0..(1_u64 << bits));
        prop::collection::vec(any_magnitude, 0..300)
    }

    #[test]
    fn an_empty_histogram_has_no_figures() {
        let empty = Histogram::default();
        assert_eq!((empty.count(), empty.min(), empty.max()), (0, None, None));
    }

    #[test]
    fn a_duration_above_an_hour_is_overflow_and_keeps_its_exact_maximum() {
        let histogram = of(&[5, HIGHEST_NS + 1]);
        assert_eq!((histogram.count(), histogram.overflow(), histogram.max()), (2, 1, Some(HIGHEST_NS + 1)));
    }

    #[test]
    fn every_bucket_can_be_in_use_at_once() {
        let every: Vec<u64> = (0..=index_of(HIGHEST_NS)).map(value_of).collect();
        let histogram = of(&every);
        assert_eq!(histogram.buckets().len(), every.len());
        assert!(histogram.slots.len() <= 1 << 16);
    }

    proptest! {
        #[test]
        fn a_histogram_counts_as_hdrhistogram_does(values in durations()) {
            let mut hdr = hdrhistogram::Histogram::<u64>::new_with_bounds(1, HIGHEST_NS, SIGNIFICANT_DIGITS).unwrap();
            // Durations above an hour differ on purpose: hdrhistogram gives them another bucket, we count overflow.
            let values: Vec<_> = values.into_iter().map(|ns| ns.min(HIGHEST_NS)).collect();
            for &ns in &values {
                hdr.saturating_record(ns);
            }
            let ours = of(&values).to_hdr();
            prop_assert!(ours.iter_recorded().eq(hdr.iter_recorded()));
        }

        #[test]
        fn merged_parts_are_the_whole_bit_for_bit(values in durations(), cut in 0..300_usize) {
            let (left, right) = values.split_at(cut.min(values.len()));
            let mut merged = of(left);
            merged += &of(right);
            prop_assert_eq!(&merged, &of(&values));
            let mut turned = of(right);
            turned += &of(left);
            prop_assert_eq!(postcard::to_stdvec(&merged), postcard::to_stdvec(&turned));
        }

        #[test]
        fn the_wire_form_loses_nothing(values in durations()) {
            let histogram = of(&values);
            let bytes = postcard::to_stdvec(&histogram).unwrap();
            prop_assert_eq!(postcard::from_bytes::<Histogram>(&bytes).unwrap(), histogram);
        }

        #[test]
        fn an_index_and_its_value_agree(ns in 0..=HIGHEST_NS) {
            let lowest = value_of(index_of(ns));
            prop_assert!(lowest <= ns && index_of(lowest) == index_of(ns));
            prop_assert!(ns - lowest <= ns / 1000);
        }
    }
}
