//! When operations start, and when a run stops starting them.

use std::num::NonZeroU64;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::PlanError;
use crate::typed::{self, Mistyped};

/// When operations start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum LoadModel {
    /// Each instance starts its next operation when the last one has ended.
    Closed(Closed),
    /// Operations start on a schedule, whether or not earlier ones have ended.
    Open(Open),
}

/// How the operations of a closed run follow each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// How long an instance pauses between two operations.
    pub pause: Pause,
    /// Instances begin one after the other, spread over this time.
    pub ramp: Duration,
}

/// A random duration, uniformly distributed from `least` to `most`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// The shortest.
    pub least: Duration,
    /// The longest.
    pub most: Duration,
}

/// The schedule of an open run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Open {
    /// How slots are spread in time, at a given rate.
    pub arrivals: Arrivals,
    /// The initial rate.
    pub from: Rate,
    /// How the rate changes. After the last stage it stays constant.
    pub stages: Vec<Stage>,
    /// How many operations may be due and not ended; slots beyond that are dropped. `None` means no limit.
    pub max_in_flight: Option<NonZeroU64>,
}

/// How slots are spread in time, at a given rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Arrivals {
    /// Evenly spaced.
    #[default]
    Constant,
    /// Independent of each other, like those of many users
    Poisson,
}

/// A part of a schedule, in which the rate changes linearly.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// How long the stage lasts; zero is a jump.
    pub duration: Duration,
    /// The rate at the end of the stage.
    pub to: Rate,
}

/// The highest rate, in operations per second: a slot every ten nanoseconds, while the shortest operation takes a
/// hundred.
pub const MAX_RATE: f64 = 1e8;

/// Operations per second; not negative, and at most [`MAX_RATE`].
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Rate(f64);

impl Rate {
    /// A rate of this many operations per second.
    pub fn per_second(rate: f64) -> Result<Self, PlanError> {
        match rate {
            rate if !rate.is_finite() || rate < 0.0 => Err(PlanError::Rate(rate.to_string())),
            rate if rate > MAX_RATE => Err(PlanError::TooFast(format!("{rate}/s"))),
            rate => Ok(Self(rate)),
        }
    }

    /// Operations per second.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Rate {
    type Error = PlanError;

    fn try_from(rate: f64) -> Result<Self, PlanError> {
        Self::per_second(rate)
    }
}

impl From<Rate> for f64 {
    fn from(rate: Rate) -> Self {
        rate.get()
    }
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/s", self.0)
    }
}

impl FromStr for Rate {
    type Err = PlanError;

    /// `500/s`, `30/m`, `100/h`; `500` is per second.
    fn from_str(text: &str) -> Result<Self, PlanError> {
        let error = || PlanError::Rate(text.to_owned());
        let per_second = typed::rate(text).map_err(|wrong| match wrong {
            Mistyped::Comma(comma) => comma.into(),
            _ => error(),
        })?;
        Self::per_second(per_second).map_err(|wrong| match wrong {
            PlanError::TooFast(_) => PlanError::TooFast(text.to_owned()),
            _ => error(),
        })
    }
}

impl FromStr for Stage {
    type Err = PlanError;

    /// `10s:100/s`.
    fn from_str(text: &str) -> Result<Self, PlanError> {
        let error = || PlanError::Stage(text.to_owned());
        typed::ungrouped(text)?;
        let (duration, rate) = text.split_once(':').ok_or_else(error)?;
        let duration = typed::duration(duration).map_err(|_| error())?;
        Ok(Self { duration, to: rate.trim().parse()? })
    }
}

impl FromStr for Pause {
    type Err = PlanError;

    /// `100ms`, or `50ms..200ms`.
    fn from_str(text: &str) -> Result<Self, PlanError> {
        let error = || PlanError::Pause(text.to_owned());
        let given = typed::ungrouped(text)?;
        let duration = |text: &str| typed::duration(text).map_err(|_| error());
        let (least, most) = match given.split_once("..") {
            Some((least, most)) => (duration(least)?, duration(most)?),
            None => (duration(&given)?, duration(&given)?),
        };
        if least > most { Err(error()) } else { Ok(Self { least, most }) }
    }
}

impl Default for LoadModel {
    fn default() -> Self {
        Self::Closed(Closed::default())
    }
}

impl LoadModel {
    /// The schedule of an open run.
    pub fn open(&self) -> Option<&Open> {
        match self {
            Self::Closed(_) => None,
            Self::Open(open) => Some(open),
        }
    }

    /// An error if no run can follow this model.
    pub fn check(&self) -> Result<(), PlanError> {
        match self {
            Self::Closed(Closed { pause: Pause { least, most }, ramp: _ }) if least > most => {
                let text = |time| humantime::format_duration(time);
                Err(PlanError::Pause(format!("{}..{}", text(*least), text(*most))))
            }
            Self::Closed(_) => Ok(()),
            Self::Open(open) => open.check(),
        }
    }
}

impl Open {
    /// Whether the rate ends at zero, and the schedule with it.
    pub fn runs_dry(&self) -> bool {
        self.stages.last().is_some_and(|stage| stage.to.get() == 0.0)
    }

    /// An error if the schedule has no slots.
    fn check(&self) -> Result<(), PlanError> {
        let rises = self.from.get() > 0.0 || self.stages.iter().any(|stage| stage.to.get() > 0.0);
        if rises { Ok(()) } else { Err(PlanError::NoRate) }
    }

    /// The same load at a constant rate: the first rate that is not zero.
    pub fn level(&self) -> Self {
        let rates = std::iter::once(self.from).chain(self.stages.iter().map(|stage| stage.to));
        let from = rates.into_iter().find(|rate| rate.get() > 0.0).unwrap_or_default();
        Self { from, stages: Vec::new(), ..self.clone() }
    }
}

/// When a run stops handing out numbers: after a number of operations, after a time, or at whichever comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ExtentParts", into = "ExtentParts")]
pub struct Extent {
    operations: Option<NonZeroU64>,
    duration: Option<Duration>,
}

impl Extent {
    /// An extent of `operations` or `duration` or both; one operation if both are `None`.
    pub fn new(operations: Option<u64>, duration: Option<Duration>) -> Result<Self, PlanError> {
        let operations = operations.map(|n| NonZeroU64::new(n).ok_or(PlanError::NoOperations)).transpose()?;
        if duration.is_some_and(|duration| duration.is_zero()) {
            return Err(PlanError::NoDuration);
        }
        let one = operations.is_none() && duration.is_none();
        Ok(Self { operations: if one { Some(NonZeroU64::MIN) } else { operations }, duration })
    }

    /// The number of operations, if it is planned.
    pub fn operations(self) -> Option<u64> {
        self.operations.map(NonZeroU64::get)
    }

    /// The duration, if it is planned.
    pub fn duration(self) -> Option<Duration> {
        self.duration
    }
}

/// An extent in the form that frames use.
type ExtentParts = (Option<u64>, Option<Duration>);

impl TryFrom<ExtentParts> for Extent {
    type Error = PlanError;

    fn try_from((operations, duration): ExtentParts) -> Result<Self, PlanError> {
        match (operations, duration) {
            (None, None) => Err(PlanError::NoOperations),
            _ => Self::new(operations, duration),
        }
    }
}

impl From<Extent> for ExtentParts {
    fn from(extent: Extent) -> Self {
        (extent.operations(), extent.duration())
    }
}

impl FromStr for Extent {
    type Err = PlanError;

    /// A time such as `5s`, or a number of operations such as `1000`.
    fn from_str(text: &str) -> Result<Self, PlanError> {
        let given = typed::ungrouped(text)?;
        match (typed::whole(&given), typed::duration(&given)) {
            (Ok(operations), _) => Self::new(Some(operations), None),
            (_, Ok(duration)) => Self::new(None, Some(duration)),
            _ => Err(PlanError::Extent(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_stages_and_pauses_as_people_write_them() {
        for (text, rate) in [("500/s", 500.0), ("500", 500.0), ("30/m", 0.5), ("1,000/s", 1_000.0), ("0.5/s", 0.5)] {
            assert_eq!(text.parse::<Rate>().map(Rate::get), Ok(rate), "{text}");
        }
        for (text, meant) in [("0,5", "0.5"), ("1,5/s", "1.5/s"), ("1.000,5/m", "1000.5/m")] {
            let error = text.parse::<Rate>().unwrap_err().to_string();
            assert_eq!(error, format!("the comma in `{text}` does not group three digits: write `{meant}`"));
        }
        for (is_refused, text) in [
            ("10s:0,5/s".parse::<Stage>().is_err(), "a rate of a stage"),
            ("1,5s:5/s".parse::<Stage>().is_err(), "the time of a stage"),
            ("1,5s".parse::<Pause>().is_err(), "a pause"),
            ("1,5s".parse::<Extent>().is_err(), "a time"),
            ("1,5".parse::<Extent>().is_err(), "a number"),
        ] {
            assert!(is_refused, "{text}");
        }
        for text in ["", "fast", "-1/s", "500/year", "inf", "NaN/s"] {
            assert_eq!(text.parse::<Rate>(), Err(PlanError::Rate(text.into())), "{text}");
        }
        for text in ["100000001/s", "1e300/s", "6_000_000_001/m"] {
            assert_eq!(text.parse::<Rate>(), Err(PlanError::TooFast(text.into())), "{text}");
            assert!(format!("5s:{text}").parse::<Stage>().is_err_and(|error| error == PlanError::TooFast(text.into())));
        }
        assert_eq!("100,000,000/s".parse::<Rate>().map(Rate::get), Ok(MAX_RATE));
        let stage: Stage = "10s:100/s".parse().unwrap();
        assert_eq!((stage.duration, stage.to.get()), (Duration::from_secs(10), 100.0));
        assert_eq!("0s:5".parse::<Stage>().map(|stage| stage.duration), Ok(Duration::ZERO));
        assert_eq!("10s".parse::<Stage>(), Err(PlanError::Stage("10s".into())));
        let ms = Duration::from_millis;
        assert_eq!("100ms".parse(), Ok(Pause { least: ms(100), most: ms(100) }));
        assert_eq!("50ms..200ms".parse(), Ok(Pause { least: ms(50), most: ms(200) }));
        assert_eq!("2s..1s".parse::<Pause>(), Err(PlanError::Pause("2s..1s".into())));
        assert_eq!("1000".parse::<Extent>().map(Extent::operations), Ok(Some(1_000)));
        assert_eq!("5s".parse::<Extent>().map(Extent::duration), Ok(Some(Duration::from_secs(5))));
        assert_eq!("5".parse::<Extent>().map(Extent::duration), Ok(None));
    }

    #[test]
    fn an_extent_is_never_empty() {
        let second = Duration::from_secs(1);
        assert_eq!(Extent::new(Some(0), None), Err(PlanError::NoOperations));
        assert_eq!(Extent::new(None, Some(Duration::ZERO)), Err(PlanError::NoDuration));
        assert_eq!(Extent::new(None, None).unwrap().operations(), Some(1));
        assert_eq!(Extent::new(None, Some(second)).unwrap().operations(), None);
        assert_eq!(Extent::new(Some(5), Some(second)).unwrap().duration(), Some(second));
    }

    #[test]
    fn a_schedule_without_slots_is_refused() {
        let open = |from, to| {
            let stages = vec![Stage { duration: Duration::from_secs(1), to: Rate(to) }];
            Open { arrivals: Arrivals::Constant, from: Rate(from), stages, max_in_flight: None }
        };
        assert_eq!(open(0.0, 0.0).check(), Err(PlanError::NoRate));
        assert!(open(0.0, 1.0).check().is_ok() && open(1.0, 0.0).check().is_ok());
        assert_eq!(open(0.0, 7.0).level().from, Rate(7.0));
        assert_eq!(open(3.0, 7.0).level().from, Rate(3.0));
    }
}
