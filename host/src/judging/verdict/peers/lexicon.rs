//! The words in the names of figures, from all tools, and what they say together.

/// Words that add nothing: they say of what a figure is.
const FILLERS: [&str; 12] =
    ["all", "by", "current", "global", "in", "iteration", "of", "overall", "per", "stats", "total", "vusers"];

/// What a throughput counts.
const REQUESTS: [&str; 4] = ["req", "request", "requests", "response"];

/// What a word or a name is about.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// A time, by its name here.
    Time(String),
    Failures,
    Successes,
    /// Operations per second.
    Throughput,
    /// A count of k6, of which there are a number and a rate.
    Counter,
    /// What is bad and has a name here.
    Bad(&'static str),
    /// A status of HTTP, whose operations are a result here.
    Status(u16),
}

/// Words that say in which form a figure is.
#[derive(Debug, Default)]
struct Marks {
    is_share: bool,
    in_percent: bool,
    is_number: bool,
    is_http: bool,
    is_status: bool,
    is_time: bool,
    of_requests: bool,
    in_seconds: bool,
    in_milliseconds: bool,
}

/// A name, understood.
#[derive(Debug, PartialEq)]
pub(super) struct Name {
    pub(super) meaning: Meaning,
    /// Whether it is of requests, and not of operations.
    pub(super) is_http: bool,
}

/// What all words of a name say together.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Meaning {
    /// A time by its name here, and the unit of a number without one, if the name tells.
    Time(String, Option<&'static str>),
    Throughput,
    /// HTTP requests.
    Requests,
    /// What is counted, and in which form.
    Counted(Kind, Form),
    /// A number or a rate: the name does not say which.
    NumberOrRate,
    /// Some rate: the name does not say of what.
    SomeRate,
    /// Some time: the name does not say which.
    SomeTime,
}

/// The form of what is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The name does not say.
    Unknown,
    Number,
    /// A share of one.
    Share,
    Percent,
}

/// What all words of `text` together name.
pub(super) fn name(text: &str) -> Option<Name> {
    let (mut kind, mut marks): (Option<Kind>, _) = (None, Marks::default());
    let words = words(text);
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        if marks.take(word) {
            continue;
        }
        let found = match word {
            "p" | "percentile" | "pct" | "quantile" => Kind::Time(percentile(words.next()?)?),
            _ => known(word)?,
        };
        kind = match (kind, found) {
            // "dropped iterations" are not a counter.
            (Some(known), Kind::Counter) => Some(known),
            (None | Some(Kind::Counter), found) => Some(found),
            (Some(known), found) if known == found => Some(known),
            _ => return None,
        };
    }
    // A number of three digits is only a status if a word says so.
    let is_bare = matches!(&kind, Some(Kind::Status(status)) if !marks.is_status && text.trim() != status.to_string());
    let meaning = if is_bare { None } else { marks.meaning(kind) };
    Some(Name { meaning: meaning?, is_http: marks.is_http })
}

impl Marks {
    /// Whether `word` is one of them.
    fn take(&mut self, word: &str) -> bool {
        match word {
            "rate" | "ratio" | "share" => self.is_share = true,
            "percent" | "percentage" => self.in_percent = true,
            "count" | "number" => self.is_number = true,
            "http" => self.is_http = true,
            "status" | "code" | "codes" | "result" => self.is_status = true,
            "duration" | "latency" | "latencies" | "time" | "times" => self.is_time = true,
            "s" | "sec" | "secs" | "second" | "seconds" => self.in_seconds = true,
            "ms" | "milliseconds" => self.in_milliseconds = true,
            _ if REQUESTS.contains(&word) => self.of_requests = true,
            _ => return FILLERS.contains(&word),
        }
        true
    }

    fn meaning(&self, kind: Option<Kind>) -> Option<Meaning> {
        let form = match (self.is_share, self.in_percent, self.is_number) {
            (_, true, false) => Form::Percent,
            (true, false, false) => Form::Share,
            (false, false, true) => Form::Number,
            (false, false, false) => Form::Unknown,
            _ => return None,
        };
        match kind {
            Some(Kind::Time(name)) if form == Form::Unknown => {
                let unit = if self.in_seconds { Some("s") } else { self.in_milliseconds.then_some("ms") };
                Some(Meaning::Time(name, unit))
            }
            Some(Kind::Throughput) if matches!(form, Form::Unknown | Form::Share) => Some(Meaning::Throughput),
            Some(Kind::Counter) if form == Form::Share || self.in_seconds => Some(Meaning::Throughput),
            Some(Kind::Counter) if self.is_http && form == Form::Number => Some(Meaning::Requests),
            Some(Kind::Counter) if form == Form::Unknown => Some(Meaning::NumberOrRate),
            Some(Kind::Time(_) | Kind::Throughput | Kind::Counter) => None,
            // Failures per second have no figure here.
            Some(_) if self.in_seconds => None,
            // k6 has a rate of those per second.
            Some(Kind::Bad("dropped")) if form == Form::Share => None,
            Some(kind) => Some(Meaning::Counted(kind, form)),
            None if self.in_seconds && self.of_requests && form == Form::Unknown => Some(Meaning::Throughput),
            None if form == Form::Share && (self.of_requests || self.is_http) => Some(Meaning::Throughput),
            None if form == Form::Share => Some(Meaning::SomeRate),
            None if form == Form::Number && self.is_http && self.of_requests => Some(Meaning::Requests),
            None if form == Form::Unknown && self.is_time => Some(Meaning::SomeTime),
            None => None,
        }
    }
}

fn known(word: &str) -> Option<Kind> {
    let time = |name: &str| Some(Kind::Time(name.to_owned()));
    match word {
        "avg" | "average" | "mean" => time("mean"),
        "med" | "median" => time("p50"),
        "max" | "maximum" | "slowest" => time("max"),
        "min" | "minimum" | "fastest" => time("min"),
        "fail" | "fails" | "failed" | "failure" | "failures" | "err" | "error" | "errors" | "ko" | "kos"
        | "exceptions" => Some(Kind::Failures),
        "ok" | "oks" | "success" | "successes" | "successful" | "check" | "checks" | "passed" => Some(Kind::Successes),
        "throughput" | "rps" | "qps" | "tps" | "ops" => Some(Kind::Throughput),
        "reqs" | "iterations" | "hits" => Some(Kind::Counter),
        "dropped" => Some(Kind::Bad("dropped")),
        "lost" => Some(Kind::Bad("lost")),
        "timeout" | "timeouts" | "timed" | "out" => Some(Kind::Bad("timed_out")),
        "trap" | "traps" | "trapped" | "crashes" | "panics" => Some(Kind::Bad("trapped")),
        _ => status(word).or_else(|| {
            let figure = word.trim_end_matches("th").trim_start_matches('p');
            if figure == word { None } else { percentile(figure).map(Kind::Time) }
        }),
    }
}

fn status(word: &str) -> Option<Kind> {
    word.parse().ok().filter(|status| (100..600).contains(status)).map(Kind::Status)
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
