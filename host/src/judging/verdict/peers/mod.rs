//! What users of k6, Locust, Gatling, Artillery, oha and others write, and the expression that they mean.
//!
//! Their thresholds say what is good, in milliseconds and in shares of one: `p(95)<200`, `http_req_failed<0.01`. Only
//! text that is not an expression gets here, and only text whose every word is known gets an answer. An answer is the
//! same condition as the text, or its opposite if the text says what is good; if several are possible, it asks.
//! `lexicon.rs` has the words.

mod lexicon;

use super::Sense;
use crate::typed::{self, Mistyped};
use lexicon::{Form, Kind, Meaning};

/// Comparisons of all tools, and what they say; none contains one that is after it.
const COMPARISONS: [(&str, Sign); 17] = [
    ("<=", Sign::AtMost),
    (">=", Sign::AtLeast),
    ("==", Sign::Equal),
    ("!=", Sign::Other),
    ("=<", Sign::AtMost),
    ("=>", Sign::AtLeast),
    ("≤", Sign::AtMost),
    ("≥", Sign::AtLeast),
    ("<", Sign::Below),
    (">", Sign::Above),
    ("=", Sign::Equal),
    (".lte(", Sign::AtMost),
    (".gte(", Sign::AtLeast),
    (".lt(", Sign::Below),
    (".gt(", Sign::Above),
    (".is(", Sign::Equal),
    (":", Sign::Bound),
];

/// A share and a percentage of these values look alike.
const PERCENT: &str = "write the share in percent, such as `failed>0.1%`";

/// What to say about an expression that uses words of others.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The expression that is meant.
    Meant(String),
    /// What to write, if more than one expression could be meant.
    Unclear(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    Below,
    AtMost,
    Above,
    AtLeast,
    Equal,
    Other,
    /// The value is a bound, in the direction that the figure implies.
    Bound,
}

/// Which values of a figure are bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bad {
    High,
    Low,
}

/// Whether a value at the bound matters: it hardly ever occurs among times, rates and shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Steps {
    Whole,
    Continuous,
}

/// A figure as it is named here, with its bound.
struct Bounded {
    figure: String,
    bound: String,
    bad: Bad,
    steps: Steps,
}

/// A value of another tool.
struct Value<'a> {
    /// As it was written, but with a point if its comma was one.
    number: String,
    value: f64,
    /// What comes after the number.
    unit: &'a str,
}

/// What to say about `text`, as an expression with the given sense.
pub(super) fn translate(text: &str, sense: Sense) -> Option<Answer> {
    if text.matches('(').count() != text.matches(')').count() {
        return None;
    }
    let plain: String = without_tags(text).chars().filter(|c| !"[]'\"".contains(*c)).collect();
    let (left, sign, right) =
        COMPARISONS.iter().find_map(|(sign, says)| plain.split_once(sign).map(|(left, right)| (left, *says, right)))?;
    // Some write the value first.
    let is_name = |text: &str| text.trim().starts_with(char::is_alphabetic);
    let is_turned = !is_name(left) && is_name(right) && lexicon::name(left).is_none();
    let (name, sign, value) = if is_turned { (right, sign.turned(), left) } else { (left, sign, right) };
    let of = lexicon::name(name)?;
    // k6 and Locust have names such as these, and count in milliseconds.
    let is_k6 = name.contains(['(', '_']);
    let value = value.trim().trim_end_matches([')', ';']).trim();
    let number = Value::parse(value)?;
    let scope = if of.is_http { "http." } else { "" };
    let usual_unit = if is_k6 { Some("ms") } else { None };
    let bounded = match bounded((&of.meaning, scope), &number, sign, usual_unit)? {
        Ok(bounded) => bounded,
        Err(unclear) => return Some(Answer::Unclear(unclear)),
    };
    let sign = bounded.sign(sign, sense)?;
    let scope = if bounded.figure.starts_with("result") { "" } else { scope };
    Some(Answer::Meant(format!("{scope}{}{sign}{}", bounded.figure, bounded.bound)))
}

/// Whether `text` has several comparisons in one.
pub(super) fn is_several(text: &str) -> bool {
    let is_joined = ["&&", "||", " and ", " or ", ";"].iter().any(|joint| text.to_lowercase().contains(joint));
    is_joined && text.matches(['<', '>']).count() > 1
}

/// k6 writes the tags of a metric in braces.
fn without_tags(text: &str) -> String {
    match text.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?.1))) {
        Some((before, after)) => format!("{before} {after}"),
        None => text.to_owned(),
    }
}

/// The figure and its bound; an error says what to write if that is not clear.
fn bounded(
    (meaning, scope): (&Meaning, &str),
    value: &Value<'_>,
    sign: Sign,
    usual_unit: Option<&str>,
) -> Option<Result<Bounded, String>> {
    let continuous = |figure: &str, bound, bad| Bounded { figure: figure.into(), bound, bad, steps: Steps::Continuous };
    match meaning {
        Meaning::Time(figure, unit) => {
            let bound = match value.time(unit.or(usual_unit))? {
                Ok(bound) => bound,
                Err(number) => return Some(Err(format!("`{number}` has no unit: write `{number}ms` or `{number}s`"))),
            };
            Some(Ok(continuous(figure, bound, Bad::High)))
        }
        Meaning::Throughput => Some(Ok(continuous("throughput", value.rate()?, Bad::Low))),
        Meaning::SomeRate if value.is_share() => match (sign, value.share()?) {
            (Sign::Below | Sign::AtMost, share) if share < 1.0 => {
                Some(Ok(continuous("failed", percent(share), Bad::High)))
            }
            (Sign::Above | Sign::AtLeast, share) if share < 1.0 => Some(Err(format!(
                "`rate` does not say of what: if it is of successes, write `failed>{}`",
                percent(1.0 - share)
            ))),
            _ => Some(Err(PERCENT.to_owned())),
        },
        Meaning::SomeRate if matches!(sign, Sign::Above | Sign::AtLeast) => {
            Some(Ok(continuous("throughput", value.rate()?, Bad::Low)))
        }
        Meaning::SomeRate => Some(Err("`rate` does not say of what: write `throughput<500`, or `failed>1%`".into())),
        Meaning::SomeTime => {
            let bound = value.time(usual_unit)?.ok()?;
            Some(Err(format!("say which time: write `{scope}p99>{bound}`, or `{scope}mean>{bound}`")))
        }
        Meaning::Requests => value.whole().map(|bound| Ok(whole("requests".into(), bound, Bad::Low))),
        Meaning::NumberOrRate => {
            let rate = value.rate()?;
            Some(Err(format!("say whether it is a number or a rate: for a rate write `{scope}throughput<{rate}`")))
        }
        Meaning::Counted(kind, form) => counted(kind, *form, value, sign),
    }
}

fn whole(figure: String, bound: String, bad: Bad) -> Bounded {
    Bounded { figure, bound, bad, steps: Steps::Whole }
}

/// The same for what is counted: as a number or as a share.
fn counted(kind: &Kind, form: Form, value: &Value<'_>, sign: Sign) -> Option<Result<Bounded, String>> {
    let (figure, bad) = match kind {
        Kind::Failures | Kind::Successes => ("failed".to_owned(), Bad::High),
        Kind::Bad(name) => ((*name).to_owned(), Bad::High),
        Kind::Status(status @ 200..300) => (format!("result({status})"), Bad::Low),
        Kind::Status(status @ 400..) => (format!("result({status})"), Bad::High),
        // Whether many of these are good depends on the target.
        _ => return None,
    };
    let is_fraction = value.value > 0.0 && value.value < 1.0;
    let share = match form {
        _ if value.unit == "%" => value.value / 100.0,
        Form::Percent if value.unit.is_empty() => value.value / 100.0,
        Form::Share | Form::Unknown if is_fraction && value.unit.is_empty() => value.value,
        Form::Share if value.value == 0.0 => 0.0,
        Form::Share
            if *kind == Kind::Successes && value.value == 1.0 && matches!(sign, Sign::Equal | Sign::AtLeast) =>
        {
            1.0
        }
        // All of them, or one percent?
        Form::Share => return Some(Err(PERCENT.to_owned())),
        // A number of successes cannot be turned into one of failures.
        _ if *kind == Kind::Successes => return None,
        Form::Number | Form::Unknown => return Some(Ok(whole(figure, value.whole()?, bad))),
        Form::Percent => return None,
    };
    let share = if *kind == Kind::Successes { 1.0 - share } else { share };
    Some(Ok(Bounded { figure, bound: percent(share), bad, steps: Steps::Continuous }))
}

/// A share as it is written here.
fn percent(share: f64) -> String {
    let percent = (share * 1e8).round() / 1e6;
    if percent == 0.0 { "0".to_owned() } else { format!("{percent}%") }
}

impl Bounded {
    /// The comparison that says what is bad, or good. It is the one that was written or its opposite.
    fn sign(&self, written: Sign, sense: Sense) -> Option<&'static str> {
        let is_zero = self.bound == "0";
        let bad = match (written, self.steps, self.bad) {
            (Sign::Equal | Sign::Other, _, Bad::High) if is_zero => ">",
            (Sign::Equal | Sign::Other, ..) => return None,
            // What is high and bad, or what is not low and good.
            (Sign::AtLeast | Sign::Below, Steps::Whole, Bad::High) => ">=",
            (Sign::AtMost | Sign::Above, Steps::Whole, Bad::Low) => "<=",
            (_, _, Bad::High) => ">",
            (_, _, Bad::Low) => "<",
        };
        Some(match (sense, bad) {
            (Sense::Bad, bad) => bad,
            (Sense::Good, ">") if is_zero || self.steps == Steps::Whole => "<=",
            (Sense::Good, "<") if self.steps == Steps::Whole => ">=",
            (Sense::Good, ">" | ">=") => "<",
            (Sense::Good, _) => ">",
        })
    }
}

impl Sign {
    /// The sign if the value comes first.
    fn turned(self) -> Self {
        match self {
            Self::Below => Self::Above,
            Self::AtMost => Self::AtLeast,
            Self::Above => Self::Below,
            Self::AtLeast => Self::AtMost,
            other => other,
        }
    }
}

impl<'a> Value<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let end = text.find(|c: char| !(c.is_ascii_digit() || ",._".contains(c))).unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let number = match typed::decimal(number) {
            Err(Mistyped::Comma(comma)) => comma.meant().to_owned(),
            _ => number.to_owned(),
        };
        Some(Self { value: typed::decimal(&number).ok()?, number, unit: unit.trim() })
    }

    fn is_share(&self) -> bool {
        self.unit == "%" || self.unit.is_empty() && self.value <= 1.0
    }

    fn share(&self) -> Option<f64> {
        let share = if self.unit == "%" { self.value / 100.0 } else { self.value };
        (0.0..=1.0).contains(&share).then_some(share)
    }

    /// A duration; a number below one without a unit could be seconds as well, so it is an error unless `unit` tells.
    fn time(&self, unit: Option<&str>) -> Option<Result<String, &str>> {
        match (self.unit, unit) {
            ("", Some(unit)) => Some(Ok(format!("{}{unit}", self.number))),
            // Other tools mean milliseconds.
            ("", None) if self.value >= 1.0 => Some(Ok(format!("{}ms", self.number))),
            ("", None) => Some(Err(&self.number)),
            (unit, _) => {
                let time = format!("{}{unit}", self.number).replace(' ', "");
                typed::duration(&time).is_ok().then_some(Ok(time))
            }
        }
    }

    /// The number without a `k` or an `M`, and what comes after it.
    fn scaled(&self) -> (String, &str) {
        let begins = |sign: &[char]| {
            let rest = self.unit.strip_prefix(sign)?;
            (!rest.starts_with(char::is_alphabetic)).then_some(rest.trim())
        };
        let times = |factor: f64| ((self.value * factor * 1e6).round() / 1e6).to_string();
        match (begins(&['k', 'K']), begins(&['M'])) {
            (Some(rest), _) => (times(1e3), rest),
            (_, Some(rest)) => (times(1e6), rest),
            _ => (self.number.clone(), self.unit),
        }
    }

    /// A number of things.
    fn whole(&self) -> Option<String> {
        let (number, rest) = self.scaled();
        let is_whole = typed::decimal(&number).is_ok_and(|number| number.fract() == 0.0);
        (is_whole && rest.is_empty()).then_some(number)
    }

    /// A rate as it is written here: per second, or with its unit.
    fn rate(&self) -> Option<String> {
        let (number, rest) = self.scaled();
        let rest = rest.to_lowercase();
        let things = ["requests", "request", "reqs", "req", "operations", "ops", "op", "iterations", "hits"];
        let per = match things.iter().find_map(|thing| rest.strip_prefix(thing)) {
            Some("") => return None,
            Some(per) => per.trim(),
            None => rest.as_str(),
        };
        if ["", "rps", "qps", "tps"].contains(&per) {
            return Some(number);
        }
        match per.strip_prefix('/').or_else(|| per.strip_prefix("per "))?.trim() {
            "s" | "sec" | "second" => Some(number),
            "m" | "min" | "minute" => Some(format!("{number}/m")),
            "h" | "hour" => Some(format!("{number}/h")),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
