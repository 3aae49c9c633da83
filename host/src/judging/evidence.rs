//! What the probes of one rate show together.
//!
//! Pure: the tallies of probes of one rate are added up, and judged as if they were one long probe.

use std::ops::AddAssign;
use std::time::Duration;

use super::backlog::{Backlog, Trend};
use crate::report::find::Culprit;

/// If fewer than this many operations are expected beyond a percentile, the percentile is that of a few operations.
pub const BEYOND: f64 = 10.0;

/// A chance below this is beyond doubt.
const DOUBT: f64 = 0.01;

/// A share this many times as large as promised is not one that is just as promised and had bad luck.
const FAR: f64 = 2.0;

/// A target whose backlog could grow by more than this share of the rate without being noticed needs longer probes.
const RESOLUTION: f64 = 0.1;

/// However coarse the resolution is, the time only grows by the square of this at once.
const COARSEST: f64 = 2.0;

/// So many relaxation times contain enough rises and falls of a queue for its percentiles.
const RELAXATIONS: u32 = 40;

/// What probes of a rate say about one promise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tally {
    /// At most a share of all operations may be beyond a bound: `p99<50ms`, `failed<1%`.
    Share {
        /// Operations beyond the bound.
        beyond: u64,
        /// Operations.
        of: u64,
        /// The share that may be beyond it.
        allowed: f64,
        /// Operations that the promise allows beyond the bound must be this many, or the promise cannot be judged.
        needed: f64,
    },
    /// Any other promise is only kept or broken by each probe.
    Whole {
        /// Probes that kept it.
        kept: u32,
        /// Probes that broke it.
        broken: u32,
        /// Probes without the figure.
        unknown: u32,
    },
}

/// What probes of a rate show.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    /// How long operations were due, in all probes.
    pub lasting: Duration,
    /// The operations in flight.
    pub backlog: Backlog,
    /// One tally for each promise.
    pub promises: Vec<Tally>,
    /// Whether all operations of all probes failed.
    pub is_all_failed: bool,
    /// Who was at fault, or would have been.
    pub culprits: Culprits,
}

/// In how many probes each was at fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Culprits {
    /// In probes that broke a promise.
    broken: Blamed,
    /// In the other probes: each was the tightest limit, although it did not show.
    unbroken: Blamed,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Blamed {
    target: u32,
    generator: u32,
    instances: u32,
}

/// What of a run broke a promise, beginning with what a limit on this side explains most easily.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Broken {
    /// Only that operations started late: from their starts on they were fast enough.
    Starts,
    /// Operations piled up, or too few of them ended.
    Backlog,
    /// Operations took too long from their starts on.
    Durations,
    /// They took longer than if their threads had only waited for a processor.
    LongDurations,
    /// What operations returned, or that they failed.
    Outcomes,
}

/// What the evidence comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// All promises were kept.
    Kept,
    /// A promise was broken.
    Broken(Culprit),
    /// There are too few operations, or the probes were shorter than some operations.
    Undecided,
}

/// What the evidence says about one promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It was kept.
    Yes,
    /// It was broken.
    No,
    /// There are too few operations to tell.
    Unknown,
}

impl Culprits {
    /// One probe, in which `culprit` was at fault; or would have been, if no promise was broken.
    fn one(culprit: Culprit, is_broken: bool) -> Self {
        let count = |of| u32::from(culprit == of);
        let blamed = Blamed {
            target: count(Culprit::Target),
            generator: count(Culprit::Generator),
            instances: count(Culprit::Instances),
        };
        let (broken, unbroken) = if is_broken { (blamed, Blamed::default()) } else { (Blamed::default(), blamed) };
        Self { broken, unbroken }
    }

    /// A single broken probe that blames the target is enough, because a limit on this side would have hidden it. If
    /// all probes are broken only together, most of them decide.
    fn main(self) -> Culprit {
        let Blamed { target, generator, instances } = self.unbroken;
        match self.broken {
            Blamed { target: 1.., .. } => Culprit::Target,
            Blamed { generator: 1.., .. } => Culprit::Generator,
            Blamed { instances: 1.., .. } => Culprit::Instances,
            _ if target >= generator + instances => Culprit::Target,
            _ if generator >= instances => Culprit::Generator,
            _ => Culprit::Instances,
        }
    }
}

impl AddAssign for Blamed {
    fn add_assign(&mut self, other: Self) {
        self.target += other.target;
        self.generator += other.generator;
        self.instances += other.instances;
    }
}

impl Tally {
    /// Whether the promise was kept.
    pub fn kept(&self) -> Kept {
        match *self {
            Self::Share { beyond, of, allowed, needed } => {
                let is_enough = of > 0 && of as f64 * allowed >= needed * (1.0 - 1e-9);
                if beyond as f64 > allowed * of as f64 {
                    if is_enough || self.is_broken_beyond_doubt() { Kept::No } else { Kept::Unknown }
                } else if is_enough {
                    Kept::Yes
                } else {
                    Kept::Unknown
                }
            }
            Self::Whole { kept: 0, broken: 0, .. } => Kept::Unknown,
            Self::Whole { kept, broken, .. } if kept > broken => Kept::Yes,
            Self::Whole { .. } => Kept::No,
        }
    }

    /// Whether it is practically impossible that the promise is kept.
    fn is_broken_beyond_doubt(&self) -> bool {
        match *self {
            Self::Share { beyond, of, allowed, .. } => {
                // Of a percentile such as p50, no share is twice as large as allowed; there what remains is small.
                let far = (FAR * allowed).min(1.0 - (1.0 - allowed) / FAR);
                beyond as f64 > far * of as f64 && at_least(beyond, of, allowed) < DOUBT
            }
            Self::Whole { kept, broken, .. } => broken > kept,
        }
    }
}

/// The probability that at least `beyond` of `of` independent operations are beyond a bound that each exceeds with
/// probability `allowed`. It is an incomplete beta function, as for every binomial distribution.
fn at_least(beyond: u64, of: u64, allowed: f64) -> f64 {
    if beyond == 0 || allowed >= 1.0 {
        return 1.0;
    }
    if allowed <= 0.0 {
        return 0.0;
    }
    puruspe::betai(beyond as f64, (of - beyond.min(of)) as f64 + 1.0, allowed)
}

impl Evidence {
    /// A probe that leaves no doubt, for an estimate of how long a search takes.
    pub(super) fn certain(lasting: Duration, kept: Kept) -> Self {
        let promise =
            Tally::Whole { kept: u32::from(kept == Kept::Yes), broken: u32::from(kept == Kept::No), unknown: 0 };
        let culprits = Culprits::default();
        Self { lasting, backlog: Backlog::still(), promises: vec![promise], is_all_failed: false, culprits }
    }

    /// The same with who is at fault, or would be if a promise was broken.
    #[must_use]
    pub fn blaming(self, culprit: Culprit) -> Self {
        let is_broken = matches!(self.standing(), Standing::Broken(_));
        Self { culprits: Culprits::one(culprit, is_broken), ..self }
    }

    /// What all probes together show.
    pub fn standing(&self) -> Standing {
        let trend = self.backlog.trend();
        let has = |kept: Kept| self.promises.iter().any(|promise| promise.kept() == kept);
        if trend == Trend::Growing || has(Kept::No) {
            Standing::Broken(self.culprits.main())
        } else if trend == Trend::Accumulating || has(Kept::Unknown) {
            Standing::Undecided
        } else {
            Standing::Kept
        }
    }

    /// Whether the promise was broken, and more probes would not change that.
    pub fn is_broken_beyond_doubt(&self) -> bool {
        self.backlog.trend() == Trend::Growing || self.promises.iter().any(Tally::is_broken_beyond_doubt)
    }

    /// How long the probes of this rate should last together.
    pub fn wanted(&self) -> Duration {
        if self.backlog.trend() == Trend::Accumulating {
            return Duration::MAX;
        }
        // The smallest growth that is noticed falls with the square root of the time.
        let finer = (self.backlog.resolution() / RESOLUTION).min(COARSEST).powi(2);
        (self.backlog.relaxation() * RELAXATIONS).max(self.lasting.mul_f64(finer))
    }
}

impl AddAssign for Evidence {
    /// Adds a probe of the same rate.
    fn add_assign(&mut self, other: Self) {
        self.lasting += other.lasting;
        self.backlog += other.backlog;
        for (ours, theirs) in self.promises.iter_mut().zip(other.promises) {
            *ours += theirs;
        }
        self.is_all_failed &= other.is_all_failed;
        self.culprits.broken += other.culprits.broken;
        self.culprits.unbroken += other.culprits.unbroken;
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        match (self, other) {
            (Self::Share { beyond, of, .. }, Self::Share { beyond: more, of: more_of, .. }) => {
                *beyond += more;
                *of += more_of;
            }
            (
                Self::Whole { kept, broken, unknown },
                Self::Whole { kept: more_kept, broken: more_broken, unknown: more_unknown },
            ) => {
                *kept += more_kept;
                *broken += more_broken;
                *unknown += more_unknown;
            }
            // The probes of a search have the same promises.
            (ours, theirs) => *ours = theirs,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(beyond: u64, of: u64, allowed: f64) -> Tally {
        Tally::Share { beyond, of, allowed, needed: BEYOND }
    }

    #[test]
    fn a_promise_on_a_share_is_judged_by_what_its_operations_can_say() {
        for (tally, kept, is_beyond_doubt) in [
            (share(0, 1_000, 0.01), Kept::Yes, false),
            (share(10, 1_000, 0.01), Kept::Yes, false),
            (share(11, 1_000, 0.01), Kept::No, false),
            (share(30, 1_000, 0.01), Kept::No, true),
            (share(0, 999, 0.01), Kept::Unknown, false),
            // One operation beyond p99 can be chance, three of fifty hardly are, and all of three are not.
            (share(1, 50, 0.01), Kept::Unknown, false),
            (share(4, 50, 0.01), Kept::No, true),
            (share(3, 3, 0.01), Kept::No, true),
            (share(600, 1_000, 0.5), Kept::No, false),
            (share(1_000, 1_000, 0.5), Kept::No, true),
            (share(0, 0, 0.01), Kept::Unknown, false),
        ] {
            assert_eq!((tally.kept(), tally.is_broken_beyond_doubt()), (kept, is_beyond_doubt), "{tally:?}");
        }
        let exact = (0..=2).map(|i| [0.904_382, 0.091_352, 0.004_152][i]).sum::<f64>();
        assert!((at_least(3, 10, 0.01) - (1.0 - exact)).abs() < 1e-5, "{}", at_least(3, 10, 0.01));
    }

    #[test]
    fn probes_of_a_rate_are_one_long_probe() {
        let second = Duration::from_secs(1);
        let of = |tally| Evidence { promises: vec![tally], ..Evidence::certain(second, Kept::Yes) };
        let mut sum = of(share(9, 500, 0.01)).blaming(Culprit::Target);
        assert_eq!(sum.standing(), Standing::Undecided);
        sum += of(share(0, 500, 0.01));
        assert_eq!((sum.standing(), sum.lasting), (Standing::Kept, 2 * second));
        sum += of(share(20, 500, 0.01)).blaming(Culprit::Instances);
        assert_eq!(sum.standing(), Standing::Broken(Culprit::Instances));
        sum += of(share(20, 500, 0.01)).blaming(Culprit::Generator);
        assert_eq!(sum.standing(), Standing::Broken(Culprit::Generator));
        sum += of(share(20, 500, 0.01)).blaming(Culprit::Target);
        assert_eq!(sum.standing(), Standing::Broken(Culprit::Target));
    }

    #[test]
    fn probes_that_are_broken_only_together_blame_what_was_the_limit_in_most() {
        let of = |culprit| {
            Evidence { promises: vec![share(9, 500, 0.01)], ..Evidence::certain(Duration::from_secs(1), Kept::Yes) }
                .blaming(culprit)
        };
        for (culprits, wanted) in [
            ([Culprit::Instances, Culprit::Instances, Culprit::Target], Culprit::Instances),
            ([Culprit::Generator, Culprit::Target, Culprit::Generator], Culprit::Generator),
            ([Culprit::Target, Culprit::Target, Culprit::Generator], Culprit::Target),
        ] {
            let [mut sum, second, third] = culprits.map(of);
            assert_eq!(sum.standing(), Standing::Undecided);
            sum += second;
            sum += third;
            assert_eq!(sum.standing(), Standing::Broken(wanted), "{culprits:?}");
        }
    }
}
