//! What is measured for each operation. A new measure is one line here; counting, merging and the wire follow from it.

use std::ops::{AddAssign, Index, IndexMut};

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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measured([Histogram; Measure::ALL.len()]);

impl Measured {
    /// How many operations were measured. Each of them has a latency.
    pub fn operations(&self) -> u64 {
        self[Measure::Latency].count()
    }
}

impl Index<Measure> for Measured {
    type Output = Histogram;

    #[inline]
    fn index(&self, measure: Measure) -> &Histogram {
        &self.0[measure as usize]
    }
}

impl IndexMut<Measure> for Measured {
    #[inline]
    fn index_mut(&mut self, measure: Measure) -> &mut Histogram {
        &mut self.0[measure as usize]
    }
}

impl AddAssign<&Measured> for Measured {
    fn add_assign(&mut self, other: &Measured) {
        self.0.iter_mut().zip(&other.0).for_each(|(ours, theirs)| *ours += theirs);
    }
}

impl AddAssign<Measured> for Measured {
    fn add_assign(&mut self, other: Measured) {
        self.0.iter_mut().zip(other.0).for_each(|(ours, theirs)| *ours += theirs);
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
            measured[measure] += histogram;
        }
        Ok(measured)
    }
}
