//! What users of k6, Locust, Gatling, Artillery, oha and others write, and the expression that they mean.
//!
//! Their thresholds say what is good, in milliseconds and in shares of one: `p(95)<200`, `http_req_failed<0.01`. Only
//! text that is not an expression gets here, and only text whose every word is known gets an answer.

use super::Sense;
use crate::typed;

/// Comparisons of all tools; none contains one that is after it. What they say does not matter: the sense does.
const COMPARISONS: [&str; 17] =
    ["<=", ">=", "==", "!=", "=<", "=>", "≤", "≥", "<", ">", "=", ".lte(", ".gte(", ".lt(", ".gt(", ".is(", ":"];

/// Words that add nothing: they say of what a figure is, or in which unit.
const FILLERS: [&str; 25] = [
    "all",
    "by",
    "count",
    "current",
    "duration",
    "global",
    "in",
    "iteration",
    "latencies",
    "latency",
    "ms",
    "number",
    "of",
    "overall",
    "per",
    "req",
    "request",
    "requests",
    "response",
    "stats",
    "sum",
    "time",
    "times",
    "total",
    "vusers",
];

/// Words for figures, and for the kind that each of them is.
const WORDS: [(&str, Kind); 52] = [
    ("avg", Kind::Time("mean")),
    ("average", Kind::Time("mean")),
    ("mean", Kind::Time("mean")),
    ("med", Kind::Time("p50")),
    ("median", Kind::Time("p50")),
    ("max", Kind::Time("max")),
    ("maximum", Kind::Time("max")),
    ("slowest", Kind::Time("max")),
    ("min", Kind::Time("min")),
    ("minimum", Kind::Time("min")),
    ("fastest", Kind::Time("min")),
    ("fail", Kind::Failures),
    ("fails", Kind::Failures),
    ("failed", Kind::Failures),
    ("failure", Kind::Failures),
    ("failures", Kind::Failures),
    ("err", Kind::Failures),
    ("error", Kind::Failures),
    ("errors", Kind::Failures),
    ("ko", Kind::Failures),
    ("kos", Kind::Failures),
    ("exceptions", Kind::Failures),
    ("ok", Kind::Successes),
    ("oks", Kind::Successes),
    ("success", Kind::Successes),
    ("successes", Kind::Successes),
    ("successful", Kind::Successes),
    ("check", Kind::Successes),
    ("checks", Kind::Successes),
    ("passed", Kind::Successes),
    ("throughput", Kind::Rate),
    ("rps", Kind::Rate),
    ("qps", Kind::Rate),
    ("tps", Kind::Rate),
    ("ops", Kind::Rate),
    ("reqs", Kind::Rate),
    ("iterations", Kind::Rate),
    ("hits", Kind::Rate),
    ("s", Kind::Rate),
    ("sec", Kind::Rate),
    ("second", Kind::Rate),
    ("dropped", Kind::Number("dropped")),
    ("lost", Kind::Number("lost")),
    ("timeout", Kind::Number("timed_out")),
    ("timeouts", Kind::Number("timed_out")),
    ("timed", Kind::Number("timed_out")),
    ("out", Kind::Number("timed_out")),
    ("trap", Kind::Number("trapped")),
    ("traps", Kind::Number("trapped")),
    ("trapped", Kind::Number("trapped")),
    ("crashes", Kind::Number("trapped")),
    ("panics", Kind::Number("trapped")),
];

/// What a word is about.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Time(&'static str),
    Failures,
    Successes,
    Rate,
    Number(&'static str),
}

/// A figure, named as here, and the way in which it gets bad.
#[derive(Debug)]
struct Figure {
    name: String,
    kind: Kind,
    /// Whether its value is in percent, even without the sign.
    in_percent: bool,
    /// Whether the name says that it is a share.
    is_share: bool,
    /// Whether it is of requests, and not of operations.
    is_http: bool,
}

/// The expression that is meant by `text`, with the given sense.
pub(super) fn translate(text: &str, sense: Sense) -> Option<String> {
    let plain: String = without_tags(text).chars().filter(|c| !"[]'\"".contains(*c)).collect();
    if text.matches('(').count() != text.matches(')').count() {
        return None;
    }
    let (left, right) = COMPARISONS.iter().find_map(|sign| plain.split_once(sign))?;
    // Some write the value first.
    let is_name = |text: &str| text.trim().starts_with(char::is_alphabetic);
    let is_turned = !is_name(left) && is_name(right) && figure(left).is_none();
    let (name, value) = if is_turned { (right, left) } else { (left, right) };
    let figure = figure(name)?;
    let (name, value) = figure.meant(value.trim().trim_end_matches([')', ';']).trim())?;
    let scope = if figure.is_http && !name.starts_with("result") { "http." } else { "" };
    let (more, less) = if value == "0" { (">", "<=") } else { (">", "<") };
    let is_bad_above = name != "throughput";
    let sign = if is_bad_above == (sense == Sense::Bad) { more } else { less };
    Some(format!("{scope}{name}{sign}{value}"))
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

/// The figure that all words of `text` together name.
fn figure(text: &str) -> Option<Figure> {
    let mut figure: Option<(String, Kind)> = None;
    let (mut in_percent, mut is_share, mut is_status, mut is_time) = (false, false, false, false);
    let mut is_http = false;
    let words = words(text);
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        let found = match word {
            "p" | "percentile" | "pct" | "quantile" => Some((percentile(words.next()?)?, Kind::Time(""))),
            "rate" | "ratio" | "share" => {
                is_share = true;
                continue;
            }
            "percent" | "percentage" => {
                in_percent = true;
                continue;
            }
            "status" | "code" | "codes" | "result" => {
                is_status = true;
                continue;
            }
            "http" => {
                is_http = true;
                continue;
            }
            _ if FILLERS.contains(&word) => {
                is_time |= ["duration", "latency", "latencies", "time", "times"].contains(&word);
                continue;
            }
            _ => known(word).or_else(|| status(word)).or_else(|| {
                let figure = word.trim_end_matches("th").trim_start_matches('p');
                (figure != word).then(|| percentile(figure)).flatten().map(|name| (name, Kind::Time("")))
            }),
        };
        let found = found?;
        match &figure {
            // "dropped iterations" are not a rate, and neither are "failures per second".
            Some((_, known)) if *known != Kind::Rate && found.1 == Kind::Rate => {}
            Some((_, known)) if *known != Kind::Rate && figure.as_ref() != Some(&found) => return None,
            _ => figure = Some(found),
        }
    }
    let (name, kind) = match figure {
        Some((name, Kind::Number(""))) if !is_status && text.trim() != words_of_status(&name) => return None,
        Some(figure) => figure,
        None if is_time => ("p99".to_owned(), Kind::Time("")),
        None if is_share => ("throughput".to_owned(), Kind::Rate),
        None => return None,
    };
    Some(Figure { name, kind, in_percent, is_share, is_http })
}

fn words_of_status(name: &str) -> &str {
    name.trim_start_matches("result(").trim_end_matches(')')
}

fn known(word: &str) -> Option<(String, Kind)> {
    let (_, kind) = WORDS.iter().find(|(known, _)| *known == word)?;
    let name = match *kind {
        Kind::Time(name) | Kind::Number(name) => name,
        Kind::Failures | Kind::Successes => "failed",
        Kind::Rate => "throughput",
    };
    Some((name.to_owned(), *kind))
}

/// A status of HTTP, whose operations are a result here.
fn status(word: &str) -> Option<(String, Kind)> {
    let is_status = word.parse::<u16>().is_ok_and(|status| (100..600).contains(&status));
    is_status.then(|| (format!("result({word})"), Kind::Number("")))
}

/// `95`, `99.9`, and `999`, which is Artillery's 99.9.
fn percentile(figure: &str) -> Option<String> {
    let is_short = figure.len() > 2 && figure.bytes().all(|byte| byte == b'9');
    let figure = if is_short { format!("{}.{}", &figure[..2], &figure[2..]) } else { figure.to_owned() };
    let percent: f64 = figure.parse().ok()?;
    (0.0..=100.0).contains(&percent).then(|| format!("p{figure}"))
}

/// The words of a name in lower case, whether they are joined by signs or by capitals. A dot within a number stays.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word) = (Vec::new(), String::new());
    let mut characters = text.chars().peekable();
    let mut before = ' ';
    while let Some(c) = characters.next() {
        let is_point = c == '.' && before.is_ascii_digit() && characters.peek().is_some_and(char::is_ascii_digit);
        let begins = c.is_uppercase() && before.is_lowercase();
        if (begins || !(c.is_alphanumeric() || is_point)) && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if c == '%' {
            words.push("percent".to_owned());
        } else if c.is_alphanumeric() || is_point {
            word.extend(c.to_lowercase());
        }
        before = c;
    }
    words.extend(Some(word).filter(|word| !word.is_empty()));
    words
}

impl Figure {
    /// The name and value as they are written here.
    fn meant(&self, value: &str) -> Option<(&str, String)> {
        let (percent, number) = match value.strip_suffix('%') {
            Some(number) => (true, number.trim()),
            None => (self.in_percent, value),
        };
        let share = |share: f64| {
            let percent = (share * 1e8).round() / 1e6;
            if percent == 0.0 { "0".to_owned() } else { format!("{percent}%") }
        };
        let meant = match self.kind {
            Kind::Time(_) => match typed::decimal(number) {
                // Other tools mean milliseconds.
                Ok(_) => format!("{number}ms"),
                Err(_) => typed::duration(value).ok().map(|_| value.replace(' ', ""))?,
            },
            Kind::Rate => {
                let figure = number.trim_end_matches(|c: char| c.is_alphabetic() || c == '/').trim();
                let rate = typed::decimal(figure).ok()?;
                // A bare rate below one is a share of failures in k6.
                if self.is_share && number == figure && rate < 1.0 {
                    return Some(("failed", share(rate)));
                }
                figure.to_owned()
            }
            Kind::Failures | Kind::Successes => {
                let figure = typed::decimal(number).ok()?;
                let part = match () {
                    () if percent => figure / 100.0,
                    () if figure <= 1.0 && (self.is_share || number.contains('.')) => figure,
                    // A number of successes cannot be turned into one of failures.
                    () if self.kind == Kind::Successes => return None,
                    () => return Some((&self.name, number.to_owned())),
                };
                share(if self.kind == Kind::Successes { 1.0 - part } else { part })
            }
            Kind::Number(_) if percent => share(typed::decimal(number).ok()? / 100.0),
            Kind::Number(_) => typed::decimal(number).ok().map(|_| number.to_owned())?,
        };
        Some((&self.name, meant))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_peers_are_understood() {
        for (tool, text, meant) in [
            ("k6", "p(95)<200", "p95>200ms"),
            ("k6", "p(99.9) < 1500", "p99.9>1500ms"),
            ("k6", "avg<200", "mean>200ms"),
            ("k6", "med<200", "p50>200ms"),
            ("k6", "rate<0.01", "failed>1%"),
            ("k6", "rate>100", "throughput<100"),
            ("k6", "http_req_failed<0.01", "http.failed>1%"),
            ("k6", "http_req_failed: ['rate<0.005']", "http.failed>0.5%"),
            ("k6", "http_req_duration{status:200}: p(95)<200", "http.p95>200ms"),
            ("k6", "checks>0.95", "failed>5%"),
            ("k6", "checks: rate==1", "failed>0"),
            ("k6", "http_reqs: rate>100", "http.throughput<100"),
            ("k6", "iterations>100", "throughput<100"),
            ("k6", "dropped_iterations==0", "dropped>0"),
            ("k6", "iteration_duration p(90)<1s", "p90>1s"),
            ("Locust", "fail_ratio > 0.01", "failed>1%"),
            ("Locust", "error_rate<1%", "failed>1%"),
            ("Locust", "avg_response_time<500", "mean>500ms"),
            ("Locust", "median_response_time < 500", "p50>500ms"),
            ("Locust", "total_rps>100", "throughput<100"),
            ("Gatling", "global.responseTime.max.lt(5000)", "max>5000ms"),
            ("Gatling", "global.responseTime.percentile(99).lt(800)", "p99>800ms"),
            ("Gatling", "global.successfulRequests.percent.gt(95)", "failed>5%"),
            ("Gatling", "global.failedRequests.count.is(0)", "failed>0"),
            ("Gatling", "global.requestsPerSec.gt(100)", "throughput<100"),
            ("Artillery", "http.response_time.p95: 200", "http.p95>200ms"),
            ("Artillery", "p999<300", "p99.9>300ms"),
            ("Artillery", "http.request_rate > 1000", "http.throughput<1000"),
            ("Artillery", "http.codes.500 == 0", "result(500)>0"),
            ("Artillery", "vusers.failed == 0", "failed>0"),
            ("oha", "success_rate<0.99", "failed>1%"),
            ("oha", "Success rate: 99.5%", "failed>0.5%"),
            ("oha", "requests/sec<100", "throughput<100"),
            ("oha", "slowest<1s", "max>1s"),
            ("hey", "99th percentile", ""),
            ("vegeta", "latencies.95th < 50 ms", "p95>50ms"),
            ("ours, without a unit", "p95>200", "p95>200ms"),
            ("ours, as others compare", "failed==0", "failed>0"),
            ("ours, as others compare", "result(500)=0", "result(500)>0"),
            ("ours, turned", "200ms<p95", "p95>200ms"),
            ("words", "latency<250", "p99>250ms"),
            ("words", "rps>=1,000", "throughput<1,000"),
            ("words", "error_rate<0.1", "failed>10%"),
            ("words", "errors<5", "failed>5"),
            ("words", "timeouts==0", "timed_out>0"),
            ("words", "status 503 < 1%", "result(503)>1%"),
        ] {
            assert_eq!(translate(text, Sense::Bad).unwrap_or_default(), meant, "{tool}: {text}");
        }
        assert_eq!(translate("p(95)<200", Sense::Good).as_deref(), Some("p95<200ms"));
        assert_eq!(translate("rps>100", Sense::Good).as_deref(), Some("throughput>100"));
        assert_eq!(translate("error_rate==0", Sense::Good).as_deref(), Some("failed<=0"));
    }

    #[test]
    fn what_is_not_understood_gets_no_answer() {
        for text in [
            "http_req_connecting<5",
            "span(login)>1s",
            "p101<5",
            "p<5",
            "p95",
            "p95<fast",
            "failed>-1",
            "checks>100",
            "result(200).p99==1s",
            "service.failed>1%",
            "ok and failed",
            "<5",
            "",
            "worst(p99)>1s",
            "95<200",
            "result(500>1%",
            "{",
            "=",
        ] {
            assert_eq!(translate(text, Sense::Bad), None, "{text}");
        }
    }
}
