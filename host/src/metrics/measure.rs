//! What is measured for each operation. A new measure is one line here; counting, merging and the wire follow from it.

use std::ops::{AddAssign, Index};
use std::sync::LazyLock;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Histogram;

/// What is measured for each operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// From due to end. In a closed run an operation is due when it starts.
    Latency,
    /// From start to end. Recorded only in an open run, because in a closed run it equals the latency.
    Service,
    /// From due to start. Recorded only in an open run.
    Lag,
}

impl Measure {
    /// All measures.
    pub const ALL: [Self; 3] = [Self::Latency, Self::Service, Self::Lag];
}

/// A histogram for each measure.
///
/// Every operation has a latency, so its histogram is always there, and recording it takes no detour. The others take
/// memory once they are recorded: a run may have thousands of results on each of its threads, and a closed run records
/// latencies alone.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    latency: Histogram,
    /// The measures after the latency, in their order.
    others: [Option<Box<Histogram>>; Measure::ALL.len() - 1],
}

/// The histogram of a measure that nobody recorded.
static NOTHING: LazyLock<Histogram> = LazyLock::new(Histogram::default);

impl Measured {
    /// How many operations were measured. Each of them has a latency.
    pub fn operations(&self) -> u64 {
        self.latency.count()
    }

    /// Counts one duration.
    #[inline]
    pub fn record(&mut self, measure: Measure, ns: u64) {
        self.get_mut(measure).record(ns);
    }

    #[inline]
    fn get_mut(&mut self, measure: Measure) -> &mut Histogram {
        match (measure as usize).checked_sub(1) {
            None => &mut self.latency,
            Some(other) => self.others[other].get_or_insert_default(),
        }
    }
}

impl Index<Measure> for Measured {
    type Output = Histogram;

    #[inline]
    fn index(&self, measure: Measure) -> &Histogram {
        match (measure as usize).checked_sub(1) {
            None => &self.latency,
            Some(other) => self.others[other].as_deref().unwrap_or(&NOTHING),
        }
    }
}

impl PartialEq for Measured {
    fn eq(&self, other: &Self) -> bool {
        Measure::ALL.into_iter().all(|measure| self[measure] == other[measure])
    }
}

impl Eq for Measured {}

impl AddAssign<&Measured> for Measured {
    fn add_assign(&mut self, other: &Measured) {
        for measure in Measure::ALL.into_iter().filter(|&measure| other[measure].count() > 0) {
            *self.get_mut(measure) += &other[measure];
        }
    }
}

impl AddAssign<Measured> for Measured {
    fn add_assign(&mut self, other: Measured) {
        self.latency += other.latency;
        for (ours, theirs) in self.others.iter_mut().zip(other.others) {
            match (ours, theirs) {
                (Some(ours), Some(theirs)) => **ours += *theirs,
                (ours, Some(theirs)) => *ours = Some(theirs),
                (_, None) => {}
            }
        }
    }
}

/// Only what was recorded goes on the wire: a closed run has only latencies.
impl Serialize for Measured {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let recorded = Measure::ALL.into_iter().filter(|&measure| self[measure].count() > 0);
        recorded.map(|measure| (measure, &self[measure])).collect::<Vec<_>>().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Measured {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut measured = Self::default();
        for (measure, histogram) in Vec::<(Measure, Histogram)>::deserialize(deserializer)? {
            *measured.get_mut(measure) += histogram;
        }
        Ok(measured)
    }
}
