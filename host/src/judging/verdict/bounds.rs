//! Bounds that a figure cannot have, because the comparison holds always or never, or because a share was typed as a
//! number; and comparisons that are valid but in the direction that is nearly always a mistake.

use super::{Count, CountedAs, Expression, Operator, Quantity, Scope, Sense, Time};

/// Which values of a figure are bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bad {
    High,
    Low,
}

impl Expression {
    /// Refuses a bound with which the expression says nothing.
    pub(super) fn check_bound(&self) -> Result<(), String> {
        let (text, bound) = (self.text.trim(), self.value);
        let (what, most, usual) = match self.figure.quantity {
            Quantity::Counted(_, CountedAs::Number) => {
                self.check_whole()?;
                ("a number of operations", None, "1")
            }
            Quantity::Counted(_, CountedAs::Share) => ("a share", Some(1.0), "1%"),
            Quantity::Time(_) => ("a time", None, "1s"),
            Quantity::Throughput => ("a rate", None, "500"),
        };
        let is_time = matches!(self.figure.quantity, Quantity::Time(_));
        let is_beyond = |is: fn(&f64, &f64) -> bool| most.is_some_and(|most| is(&bound, &most));
        let (always, never) = match self.comparison {
            // What a measurement takes is never nothing, but a lag may be.
            Operator::Above => (is_time && bound == 0.0 && self.figure.of != Scope::Lag, is_beyond(f64::ge)),
            Operator::AtLeast => (bound == 0.0, is_beyond(f64::gt)),
            Operator::Below => (is_beyond(f64::gt), bound == 0.0),
            Operator::AtMost => (is_beyond(f64::ge), false),
        };
        let range = match most {
            Some(_) => "from 0% to 100%",
            None if is_time && self.comparison == Operator::Above => "always above 0",
            None => "never below 0",
        };
        let (figure, sign, _) = self.parts();
        let remedy = format!("{what} is {range}: give a bound within that, such as `{}{sign}{usual}`", figure.trim());
        match (always, never) {
            (true, _) => Err(format!("`{text}` always holds, because {remedy}")),
            (_, true) => Err(format!("`{text}` can never hold, because {remedy}")),
            _ => Ok(()),
        }
    }

    /// Refuses a fraction of an operation.
    fn check_whole(&self) -> Result<(), String> {
        if self.value.fract() == 0.0 {
            return Ok(());
        }
        let (figure, sign, value) = self.parts();
        // Below one it is a share of one, else it may be a percentage.
        let percent = if self.value < 1.0 { (self.value * 1e8).round() / 1e6 } else { self.value };
        let share = if percent <= 100.0 { format!("{figure}{sign}{percent}%") } else { format!("{figure}{sign}1%") };
        let value = value.trim();
        Err(format!("`{value}` is a fraction of an operation: write a share as `{share}`, or a whole number"))
    }

    /// What to think of the expression if its direction is nearly always a mistake. As a promise it would promise
    /// something bad; to fail a run by it is possible.
    pub fn advice(&self) -> Option<String> {
        let meant = self.turned(Sense::Bad)?;
        let (fails, bad) = match (&self.figure.of, self.figure.quantity) {
            (Scope::Lag, _) => ("a run whose operations start on time", "late is bad"),
            (_, Quantity::Time(_)) => ("a run that is fast", "slow is bad"),
            (_, Quantity::Throughput) => ("a run that does much", "little is bad"),
            (_, Quantity::Counted(Count::Ok, _)) => ("a run in which many are ok", "few are bad"),
            (_, Quantity::Counted(..)) => ("a run with few of these", "many are bad"),
        };
        Some(format!("`{}` fails {fails}: if {bad}, write `{meant}`", self.text.trim()))
    }

    /// The expression in the other direction, if in this one it says the opposite of what `sense` asks for.
    pub(super) fn turned(&self, sense: Sense) -> Option<String> {
        let bad = self.bad()?;
        let is_about_bad = self.comparison.is_upward() == (bad == Bad::High);
        if is_about_bad == (sense == Sense::Bad) {
            return None;
        }
        let (figure, sign, value) = self.parts();
        let right = match sign {
            ">" => "<",
            ">=" => "<=",
            "<" => ">",
            _ => ">=",
        };
        Some(format!("{figure}{right}{value}"))
    }

    /// Which values of the figure are bad; `None` if that depends on the target.
    fn bad(&self) -> Option<Bad> {
        match (&self.figure.of, self.figure.quantity) {
            (_, Quantity::Throughput | Quantity::Counted(Count::Ok, _)) => Some(Bad::Low),
            // Many of a result may be good, and a task may send as many requests as it likes.
            (_, Quantity::Counted(Count::All, _)) => None,
            (_, Quantity::Time(Time::Min | Time::Mean | Time::Max | Time::Quantile(_)) | Quantity::Counted(..)) => {
                Some(Bad::High)
            }
        }
    }

    /// The text before the comparison, the comparison, and the text after it.
    fn parts(&self) -> (&str, &'static str, &str) {
        let sign = match self.comparison {
            Operator::Above => ">",
            Operator::AtLeast => ">=",
            Operator::Below => "<",
            Operator::AtMost => "<=",
        };
        // The last sign is the comparison, because names of results and spans come before it.
        let (figure, value) = self.text.rsplit_once(sign).unwrap_or((&self.text, ""));
        (figure, sign, value)
    }
}
