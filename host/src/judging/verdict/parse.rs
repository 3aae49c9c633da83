//! The syntax of expressions: FIGURE COMPARISON VALUE.
//!
//! ```text
//! FIGURE    MEASURE | SCOPE.MEASURE | result(NAME) | worst(FIGURE, TIME)
//! SCOPE     ok | http | result(NAME) | span(NAME) | service | lag
//! MEASURE   pNN | min | mean | max | throughput | ok | failed | trapped | timed_out | lost | dropped
//! NAME      any text without `)`, or a quoted one in which \" and \\ stand for " and \
//! ```

use std::str::FromStr;

use super::peers::{self, Answer};
use super::{Count, CountedAs, Expression, Operator, Quantity, Scope, Sense, Subject, Time};
use crate::typed;

/// What is wrong with an expression.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("in `{expression}`: {problem}")]
pub struct ExpressionError {
    expression: String,
    problem: String,
}

impl ExpressionError {
    pub(super) fn new(expression: &str, problem: String) -> Self {
        Self { expression: expression.to_owned(), problem }
    }
}

const COUNTS: [(&str, Count); 6] = [
    ("ok", Count::Ok),
    ("failed", Count::Failed),
    ("trapped", Count::Trapped),
    ("timed_out", Count::TimedOut),
    ("lost", Count::Lost),
    ("dropped", Count::Dropped),
];

const FIGURES: &str = "p50, p97.5 and so on, min, mean, max, throughput, ok, failed, trapped, timed_out, lost, dropped, \
                       ok.p99, result(NAME), result(NAME).p99, span(NAME).p99, http.p99, http.failed, service.p99, lag.p99, \
                       worst(p99, 10s)";

/// A shell that sees a bare `>` writes a file and passes on what is before it.
const NO_COMPARISON: &str = "there is no `>` or `<`";

impl FromStr for Expression {
    type Err = ExpressionError;

    fn from_str(text: &str) -> Result<Self, ExpressionError> {
        parse(text, Sense::Bad)
    }
}

/// Parses an expression. The error has the expression that users of other tools mean.
pub(super) fn parse(text: &str, sense: Sense) -> Result<Expression, ExpressionError> {
    let wrong = |problem| ExpressionError { expression: text.to_owned(), problem };
    let expression = parse_own(text).map_err(|problem| wrong(answer(text, sense, problem)))?;
    expression.check_bound().map_err(wrong)?;
    Ok(expression)
}

/// What to do about `text`, whose `problem` is the one of an expression.
fn answer(text: &str, sense: Sense, problem: String) -> String {
    if peers::is_several(text) {
        return "give one comparison at a time: the flag can be repeated".to_owned();
    }
    // Then the problem names the remedy, which is smaller.
    let is_only_comma = typed::ungrouped(text).is_err_and(|comma| parse_own(comma.meant()).is_ok());
    // It may stand between the digits of a percentile.
    let with_point = text.replacen(',', ".", 1);
    if problem == NO_COMPARISON && text.contains(',') && parse_own(&with_point).is_ok() {
        return format!("a fraction has a point, not a comma: write `{with_point}`");
    }
    let is_valid = |meant: &str| parse_own(meant).is_ok_and(|expression| expression.check_bound().is_ok());
    match peers::translate(text, sense) {
        _ if is_only_comma => problem,
        Some(Answer::Meant(meant)) if is_valid(&meant) && sense == Sense::Bad => {
            format!("here that is `{meant}`: say what is bad")
        }
        Some(Answer::Meant(meant)) if is_valid(&meant) => format!("here that is `{meant}`"),
        Some(Answer::Unclear(advice)) => advice,
        _ if problem == NO_COMPARISON => {
            let sign = if sense == Sense::Bad { '>' } else { '<' };
            format!(
                "{problem}: write a figure, a comparison and a value, such as `p99{sign}250ms`, in quotes, because a \
                 shell takes `{sign}` for itself"
            )
        }
        _ => problem,
    }
}

/// A measure whose unit is only known from its value.
enum Named {
    Time(Time),
    Count(Count),
    Throughput,
}

fn parse_own(text: &str) -> Result<Expression, String> {
    let mut rest = Rest(text.trim());
    let begin = rest.0;
    let (of, named, window_ns) = rest.figure()?;
    let name = begin[..begin.len() - rest.0.len()].trim();
    let comparison = rest.comparison()?;
    let (quantity, value) = value(named, rest.0.trim())?;
    let figure = Subject { of, quantity, window_ns };
    figure.check(name)?;
    Ok(Expression { text: text.to_owned(), figure, comparison, value })
}

/// The text that is still to be parsed.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn figure(&mut self) -> Result<(Scope, Named, Option<u64>), String> {
        if self.word_before_parenthesis() != Some("worst") {
            return self.simple_figure().map(|(of, named)| (of, named, None));
        }
        self.0 = &self.0["worst".len()..];
        let wrong = "write a figure and a length of time in it, such as `worst(p99, 10s)`";
        self.expect('(', wrong)?;
        let (of, named) = self.simple_figure()?;
        self.expect(',', wrong)?;
        let (length, rest) = self.0.split_once(')').ok_or(wrong)?;
        self.0 = rest;
        let length = typed::duration(&ungrouped(length.trim())?).ok().filter(|length| !length.is_zero());
        let window_ns = length.and_then(|length| u64::try_from(length.as_nanos()).ok()).ok_or(wrong)?;
        Ok((of, named, Some(window_ns)))
    }

    fn simple_figure(&mut self) -> Result<(Scope, Named), String> {
        let scope = match self.word_before_parenthesis() {
            Some("result") => Scope::Result(self.name("result")?),
            Some("span") => Scope::Span(self.name("span")?),
            _ => {
                let word = self.word();
                return match word.split_once('.') {
                    Some(("http", "requests")) => Ok((Scope::Http, Named::Count(Count::All))),
                    Some(("http", figure)) => Ok((Scope::Http, measure(figure)?)),
                    Some(("ok", figure)) => Ok((Scope::Ok, measure(figure)?)),
                    Some(("service", time)) => Ok((Scope::Service, measure(time)?)),
                    Some(("lag", time)) => Ok((Scope::Lag, measure(time)?)),
                    _ => Ok((Scope::Run, measure(word)?)),
                };
            }
        };
        match (self.0.strip_prefix('.'), &scope) {
            (Some(rest), _) => {
                self.0 = rest;
                let word = self.word();
                Ok((scope, measure(word)?))
            }
            (None, Scope::Span(name)) => {
                Err(format!("`span({name})` is not a figure: write `span({name}).p99` or `span({name}).failed`"))
            }
            (None, _) => Ok((scope, Named::Count(Count::All))),
        }
    }

    /// The text in parentheses after `word`.
    fn name(&mut self, word: &str) -> Result<String, String> {
        let wrong =
            || format!("`{word}(` is not closed: write `{word}(NAME)`, or `{word}(\"NAME\")` for a name with `)`");
        self.0 = self.0[word.len()..].trim_start();
        self.expect('(', "")?;
        let Some(quoted) = self.0.trim_start().strip_prefix('"') else {
            let (name, rest) = self.0.split_once(')').ok_or_else(wrong)?;
            self.0 = rest;
            return Ok(name.trim().to_owned());
        };
        let (mut name, mut characters) = (String::new(), quoted.chars());
        loop {
            match characters.next().ok_or_else(wrong)? {
                '"' => break,
                '\\' => name.extend(characters.next()),
                other => name.push(other),
            }
        }
        self.0 = characters.as_str().trim_start().strip_prefix(')').ok_or_else(wrong)?;
        Ok(name)
    }

    fn comparison(&mut self) -> Result<Operator, String> {
        let comparisons =
            [(">=", Operator::AtLeast), (">", Operator::Above), ("<=", Operator::AtMost), ("<", Operator::Below)];
        let rest = self.0.trim_start();
        let found = comparisons.iter().find_map(|(sign, comparison)| Some((rest.strip_prefix(sign)?, *comparison)));
        let (rest, comparison) = found.ok_or(NO_COMPARISON)?;
        self.0 = rest;
        Ok(comparison)
    }

    /// Takes a word up to the first character that cannot be part of one.
    fn word(&mut self) -> &'a str {
        let text = self.0.trim_start();
        let end = text.find(['<', '>', '(', ')', ',']).unwrap_or(text.len());
        self.0 = &text[end..];
        text[..end].trim()
    }

    fn word_before_parenthesis(&mut self) -> Option<&'a str> {
        self.0 = self.0.trim_start();
        let word = self.0.split_once('(')?.0.trim();
        word.chars().all(|c| c.is_ascii_alphabetic()).then_some(word)
    }

    fn expect(&mut self, character: char, otherwise: &str) -> Result<(), String> {
        self.0 = self.0.trim_start().strip_prefix(character).ok_or(otherwise)?;
        Ok(())
    }
}

/// `text` without the signs that group digits.
fn ungrouped(text: &str) -> Result<String, String> {
    typed::ungrouped(text).map_err(|comma| comma.to_string())
}

fn measure(word: &str) -> Result<Named, String> {
    let percentile = || {
        let percent: f64 = word.strip_prefix('p')?.parse().ok()?;
        (0.0..=100.0).contains(&percent).then_some(Time::Quantile(percent / 100.0))
    };
    let count = || COUNTS.iter().find(|(name, _)| *name == word);
    match word {
        "min" => Ok(Named::Time(Time::Min)),
        "mean" | "avg" => Ok(Named::Time(Time::Mean)),
        "max" | "p100" => Ok(Named::Time(Time::Max)),
        "throughput" => Ok(Named::Throughput),
        _ => match (percentile(), count()) {
            (Some(percentile), _) => Ok(Named::Time(percentile)),
            (_, Some((_, count))) => Ok(Named::Count(*count)),
            _ => Err(format!("`{word}` is not a figure: there are {FIGURES}")),
        },
    }
}

/// The measure and the value that it is compared with.
fn value(named: Named, text: &str) -> Result<(Quantity, f64), String> {
    let text = ungrouped(text)?;
    let text = text.as_str();
    let number = |text: &str| typed::decimal(text).ok();
    match named {
        Named::Time(time) => {
            let parsed =
                typed::duration(text).map_err(|_| format!("`{text}` is not a duration: write `250ms` or `1s`"))?;
            Ok((Quantity::Time(time), parsed.as_nanos() as f64))
        }
        Named::Count(count) => {
            let parsed = match text.strip_suffix('%') {
                Some(percent) => {
                    number(percent).map(|percent| (Quantity::Counted(count, CountedAs::Share), percent / 100.0))
                }
                None => number(text).map(|operations| (Quantity::Counted(count, CountedAs::Number), operations)),
            };
            parsed.ok_or_else(|| format!("`{text}` is neither a share nor a number: write `0.1%` or `5`"))
        }
        Named::Throughput => {
            let parsed = typed::rate(text);
            let parsed = parsed.map_err(|_| format!("`{text}` is not a rate: write `500`, `500/s` or `500/m`"))?;
            Ok((Quantity::Throughput, parsed))
        }
    }
}

impl Subject {
    /// Rejects figures that can be written, as `name`, but do not exist.
    fn check(&self, name: &str) -> Result<(), String> {
        let Self { of, quantity, window_ns } = self;
        let is_time = matches!(quantity, Quantity::Time(_));
        let can_be_had = match of {
            Scope::Run => true,
            Scope::Ok => is_time || *quantity == Quantity::Throughput,
            Scope::Http => {
                is_time || matches!(quantity, Quantity::Throughput | Quantity::Counted(Count::All | Count::Failed, _))
            }
            Scope::Result(_) => is_time || matches!(quantity, Quantity::Throughput | Quantity::Counted(Count::All, _)),
            Scope::Span(_) => is_time || matches!(quantity, Quantity::Counted(Count::Failed, _)),
            Scope::Service | Scope::Lag => is_time,
        };
        if !can_be_had {
            let there_are = match of {
                Scope::Http => "the times of requests, `http.failed`, `http.throughput` and `http.requests`",
                Scope::Ok => "their times, their throughput, and their count as `ok`",
                Scope::Result(_) => "its times, its throughput, and its count as `result(NAME)`",
                Scope::Span(_) => "its times and `failed`",
                _ => "only times, such as its p99",
            };
            return Err(format!("`{name}` does not exist: there are {there_are}"));
        }
        let in_windows = match of {
            Scope::Run => {
                is_time || matches!(quantity, Quantity::Throughput | Quantity::Counted(Count::Failed | Count::Ok, _))
            }
            Scope::Ok => *quantity == Quantity::Throughput,
            Scope::Result(_) => matches!(quantity, Quantity::Counted(..)),
            Scope::Span(_) | Scope::Service | Scope::Lag | Scope::Http => false,
        };
        match window_ns {
            Some(_) if !in_windows => Err(format!(
                "`{name}` does not exist: per interval there are times, throughput, `ok` and `failed` of all operations, \
                 `ok.throughput`, and the count of a result, such as `worst(result(500), 10s)`"
            )),
            _ => Ok(()),
        }
    }
}
