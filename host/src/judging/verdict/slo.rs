//! Expressions as promises of a search for a rate: in which direction they promise something, how many operations they
//! need, and the tally of one probe.

use std::fmt;
use std::str::FromStr;

use super::figure::{Durations, Problem};
use super::{Count, CountedAs, Expression, ExpressionError, Operator, Quantity, Scope, Sense, Subject, Time};
use crate::judging::evidence::{BEYOND, Broken, Kept, Tally};
use crate::report::find::Promise;
use crate::report::{Moment, RunReport};

/// The promise of a search that has none about failures: a target that fails fast is not fast.
const FAILURES: &str = "failed<1%";

/// If none of three times 1/s operations failed, a failing share of s or more is unlikely: its chance to show is 95 %
/// (J. A. Hanley and A. Lippman-Hand, "If Nothing Goes Wrong, Is Everything All Right?", JAMA 249, 1983).
const RULE_OF_THREE: f64 = 3.0;

/// In a thousand exponentially distributed delays, nearly all are shorter than this many times their mean.
const TAIL: f64 = 7.0;

/// A throughput is a little lower than the rate, because the last operations take their time.
const ABOVE: f64 = 1.02;

/// A promise of a search, which says what is good: `p99<50ms`.
#[derive(Clone, Debug)]
pub struct Slo {
    expression: Expression,
    origin: Origin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Given,
    Implied,
}

impl FromStr for Slo {
    type Err = ExpressionError;

    fn from_str(text: &str) -> Result<Self, ExpressionError> {
        let expression = Expression::parse(text, Sense::Good)?;
        match expression.turned(Sense::Good) {
            None => Ok(Self { expression, origin: Origin::Given }),
            Some(meant) => {
                let problem = format!("a promise says what is good, unlike --fail-if: write `{meant}`");
                Err(ExpressionError::new(text, problem))
            }
        }
    }
}

impl fmt::Display for Slo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.expression.fmt(f)
    }
}

impl Slo {
    /// The promises, with one about failures if there is none.
    pub fn with_failures(given: &[Self]) -> Vec<Self> {
        let implied = if given.iter().any(|slo| slo.expression.is_about_failures()) {
            None
        } else {
            let expression = FAILURES.parse().expect("it is a valid expression");
            Some(Self { expression, origin: Origin::Implied })
        };
        let is_new =
            |(i, slo): &(usize, &Self)| !given[..*i].iter().any(|earlier| earlier.expression.means(&slo.expression));
        given.iter().enumerate().filter(is_new).map(|(_, slo)| slo.clone()).chain(implied).collect()
    }

    /// The promise as it is reported.
    pub fn promise(&self) -> Promise {
        Promise { is_implied: self.origin == Origin::Implied, ..self.expression.promise() }
    }

    /// How many operations a probe needs for this promise; none for the implied one, which is judged by what there is.
    pub fn operations(&self) -> f64 {
        match (self.expression.figure.quantity, self.origin) {
            (_, Origin::Implied) => 0.0,
            (Quantity::Time(Time::Quantile(quantile)), _) => BEYOND / (1.0 - quantile).max(f64::MIN_POSITIVE),
            (Quantity::Counted(_, CountedAs::Share), _) if self.expression.value > 0.0 => {
                RULE_OF_THREE / self.expression.value
            }
            _ => BEYOND,
        }
    }

    /// The lowest rate at which the promise can be kept; zero unless it promises a throughput.
    pub fn least_rate(&self) -> f64 {
        let Expression { figure, value, .. } = &self.expression;
        if figure.quantity == Quantity::Throughput { value * ABOVE } else { 0.0 }
    }

    /// Why no run of the task can be judged by the promise, as far as `run` shows: it names what never occurred.
    pub fn missing(&self, run: &RunReport) -> Option<String> {
        let Expression { figure, comparison, .. } = &self.expression;
        let problem = figure.value(run, *comparison, Moment::Ended).err()?;
        matches!(problem, Problem::NoResult(..) | Problem::NoSpan(..) | Problem::NoRequest | Problem::NoLag)
            .then(|| format!("`{self}` cannot be judged: {problem}"))
    }

    /// What of the operations of `run` broke the promise.
    pub fn broken_by(&self, run: &RunReport) -> Broken {
        match (&self.expression.figure.of, self.expression.figure.quantity) {
            (_, Quantity::Counted(Count::Dropped | Count::Lost, _) | Quantity::Throughput) => Broken::Backlog,
            (_, Quantity::Counted(Count::TimedOut, _)) => Broken::Durations,
            (_, Quantity::Counted(..)) => Broken::Outcomes,
            (Scope::Lag, _) => Broken::Starts,
            (Scope::Run, _) => {
                let figure = Subject { of: Scope::Service, window_ns: None, ..self.expression.figure.clone() };
                let service = Self { expression: Expression { figure, ..self.expression.clone() }, ..self.clone() };
                if service.tally(run).kept() == Kept::No { service.too_long(run) } else { Broken::Starts }
            }
            _ => self.too_long(run),
        }
    }

    /// Whether the delays of threads in `run` explain that a time is too long.
    fn too_long(&self, run: &RunReport) -> Broken {
        let Expression { figure, comparison, value, .. } = &self.expression;
        let delay_ns = run.generator.delay_ns.unwrap_or_default() as f64;
        let measured = figure.value(run, *comparison, Moment::Ended).map_or(0.0, |measured| measured.value);
        if measured - TAIL * delay_ns > *value { Broken::LongDurations } else { Broken::Durations }
    }

    /// What `run` says about the promise.
    pub fn tally(&self, run: &RunReport) -> Tally {
        if let Some(share) = self.share(run) {
            return share;
        }
        let verdict = self.expression.judge(0, run);
        let (is_known, kept) = (verdict.judged_by.is_some(), verdict.held);
        Tally::Whole {
            kept: u32::from(is_known && kept),
            broken: u32::from(is_known && !kept),
            unknown: u32::from(!is_known),
        }
    }

    /// The tally of a promise that a share of all operations may break.
    fn share(&self, run: &RunReport) -> Option<Tally> {
        let Expression { figure, comparison, value, .. } = &self.expression;
        if figure.window_ns.is_some() || comparison.is_upward() {
            return None;
        }
        match figure.quantity {
            Quantity::Time(Time::Quantile(quantile)) if quantile < 1.0 => {
                let times = figure.times(run).ok()?;
                let beyond = times.beyond(*value, *comparison);
                Some(Tally::Share { beyond, of: times.count, allowed: 1.0 - quantile, needed: BEYOND })
            }
            Quantity::Counted(count, CountedAs::Share) => {
                let (beyond, of) = figure.count(run, count);
                let needed = match self.origin {
                    Origin::Given if *value > 0.0 => RULE_OF_THREE,
                    Origin::Given | Origin::Implied => 0.0,
                };
                Some(Tally::Share { beyond, of, allowed: *value, needed })
            }
            _ => None,
        }
    }
}

impl Expression {
    fn is_about_failures(&self) -> bool {
        let Quantity::Counted(count, _) = self.figure.quantity else { return false };
        matches!(count, Count::Failed | Count::Ok) && matches!(self.figure.of, Scope::Run | Scope::Ok | Scope::Http)
    }
}

impl Durations {
    /// How many durations break a promise that bounds them by `bound`.
    fn beyond(&self, bound: f64, comparison: Operator) -> u64 {
        let is_beyond = |ns: u64| if comparison == Operator::Below { ns as f64 >= bound } else { ns as f64 > bound };
        // A recorded duration stands for the longest one that is counted with it; the maximum is exact.
        let recorded = self.hdr.iter_recorded().filter(|at| is_beyond(at.value_iterated_to().min(self.max)));
        recorded.map(|at| at.count_at_value()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judging::evidence::Kept;
    use crate::report::Report;
    use crate::report::tests::{environment, record};

    fn slo(text: &str) -> Slo {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn a_promise_in_the_wrong_direction_is_refused_with_the_one_that_was_meant() {
        for (wrong, meant) in [
            ("p99>50ms", "p99<50ms"),
            ("p99 >= 50ms", "p99 <= 50ms"),
            ("failed>1%", "failed<1%"),
            ("throughput<500/s", "throughput>500/s"),
            ("throughput<=500/s", "throughput>=500/s"),
            ("worst(p99, 10s)>1s", "worst(p99, 10s)<1s"),
            ("span(a>b).p95>80ms", "span(a>b).p95<80ms"),
            ("lag.max>1ms", "lag.max<1ms"),
        ] {
            let error = wrong.parse::<Slo>().unwrap_err().to_string();
            assert!(error.contains(&format!("write `{meant}`")) && error.contains(wrong), "{error}");
            assert_eq!(slo(meant).to_string(), meant);
        }
        for either in ["result(500)<1%", "result(200)>99%", "http.requests>100"] {
            assert_eq!(slo(either).to_string(), either);
        }
        let unknown = "p99<50ms and more".parse::<Slo>().unwrap_err().to_string();
        assert!(unknown.contains("is not a duration"), "{unknown}");
    }

    #[test]
    fn failures_are_bounded_unless_a_promise_does_so() {
        let names = |given: &[&str]| -> Vec<String> {
            let given: Vec<Slo> = given.iter().map(|text| slo(text)).collect();
            Slo::with_failures(&given).iter().map(Slo::to_string).collect()
        };
        assert_eq!(names(&["p99<50ms"]), ["p99<50ms", "failed<1%"]);
        assert_eq!(names(&["p99<50ms", "failed<5"]), ["p99<50ms", "failed<5"]);
        // One result is not all failures.
        assert_eq!(names(&["result(404)<1%"]), ["result(404)<1%", "failed<1%"]);
        assert_eq!(names(&["span(login).failed<1%"]), ["span(login).failed<1%", "failed<1%"]);
        assert!(Slo::with_failures(&[slo("p99<50ms")])[1].promise().is_implied);
    }

    /// The run has 2,000 operations that take 100 µs + 10 n ns, of which 60 are not ok, among 2,003.
    #[test]
    fn a_tally_agrees_with_the_verdict() {
        let run = Report::new(environment(), &[record(1)]).runs.remove(0);
        for (text, beyond, of, kept) in [
            ("p99<119.5us", 49, 2_000, Kept::No),
            ("p99<119.9us", 9, 2_000, Kept::Yes),
            ("p99<119.990us", 1, 2_000, Kept::Yes),
            ("p99<=119.990us", 0, 2_000, Kept::Yes),
            ("p99.9<119.990us", 1, 2_000, Kept::Unknown),
            ("p99.9<119us", 99, 2_000, Kept::No),
            ("failed<2%", 60, 2_003, Kept::No),
            ("failed<4%", 60, 2_003, Kept::Yes),
            ("failed<0.1%", 60, 2_003, Kept::No),
            ("result(500)<2%", 20, 2_003, Kept::Yes),
        ] {
            let tally = slo(text).tally(&run);
            let Tally::Share { beyond: counted, of: all, .. } = tally else { panic!("{text}: {tally:?}") };
            // A histogram keeps three digits.
            assert!(counted.abs_diff(beyond) <= 12 && all == of, "{text}: {tally:?}");
            assert_eq!(tally.kept(), kept, "{text}: {tally:?}");
        }
        for (text, kept) in [("mean<1s", Kept::Yes), ("max<1ns", Kept::No), ("throughput>1/s", Kept::Yes)] {
            assert_eq!(slo(text).tally(&run).kept(), kept, "{text}");
        }
        for missing in ["span(logout).p99<1s", "lag.p99<1s", "result(501).p99<1s", "span(logout).mean<1s"] {
            assert_eq!(slo(missing).tally(&run).kept(), Kept::Unknown, "{missing}");
        }
    }

    #[test]
    fn operations_that_a_promise_needs() {
        for (text, operations) in [("p99<1s", 1_000.0), ("p50<1s", 20.0), ("failed<0.1%", 3_000.0), ("mean<1s", 10.0)] {
            assert!((slo(text).operations() - operations).abs() < 1e-6, "{text}: {}", slo(text).operations());
        }
        assert!(Slo::with_failures(&[slo("p99<50ms")])[1].operations() < 1e-9);
        assert!(slo("throughput>400/s").least_rate() > 400.0 && slo("p99<1s").least_rate() < 1e-9);
    }
}
