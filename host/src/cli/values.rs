//! Parses values of flags: `30s`, `64MiB`, `K=V`.

use std::env::VarError;
use std::num::NonZeroU64;
use std::str::FromStr;
use std::time::Duration;

use crate::input;
use crate::judging::verdict::Missing;
use crate::plan::{PlanError, Stage};
use crate::typed::{self, Mistyped};

/// A duration such as `250ms`, `30s` or `1m 30s`; `0` is zero.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    typed::duration(text).map_err(|error| match error {
        Mistyped::Comma(comma) => comma.to_string(),
        error => format!("{error}; write a duration with its unit, such as `250ms`, `30s` or `1m30s`"),
    })
}

/// A duration as [`duration`] reads it.
pub(super) fn time(time: Duration) -> String {
    humantime::format_duration(time).to_string().replace(' ', "")
}

/// `K=V`.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".into()),
    }
}

/// The duration of a run. `-d` is a body elsewhere.
pub(super) fn run_duration(text: &str) -> Result<Duration, String> {
    if text.starts_with(['{', '[', '"', '@']) || text.contains(['=', '&']) {
        return Err("this is the duration of the run: gorgon http sends a body by --body or --json-body".into());
    }
    duration(text)
}

/// A whole number. Zero is accepted; the plan rejects it with a better message.
pub(super) fn number<T: TryFrom<u64>>(text: &str) -> Result<T, String> {
    let number = typed::whole(text).map_err(|error| match error {
        Mistyped::Comma(_) => "a comma only groups three digits: write a whole number, such as `4000` or `4,000`",
        _ => "write a whole number, such as `4000`",
    })?;
    T::try_from(number).map_err(|_| "it is too large".into())
}

/// A whole number from 1 up.
pub(super) fn positive<T: TryFrom<NonZeroU64>>(text: &str) -> Result<T, String> {
    let number = match typed::whole(text) {
        Err(Mistyped::Comma(_)) => number::<u64>(text)?,
        number => number.unwrap_or_default(),
    };
    let number = NonZeroU64::new(number).and_then(|number| T::try_from(number).ok());
    number.ok_or_else(|| "write a whole number from 1 up, such as `10`".into())
}

/// Stages such as `10s:100/s,30s:1,000/s`. A comma between digits of a rate does not end a stage.
#[derive(Clone, Debug)]
pub(super) struct Stages(pub(super) Vec<Stage>);

impl FromStr for Stages {
    type Err = PlanError;

    fn from_str(text: &str) -> Result<Self, PlanError> {
        let mut stages: Vec<String> = Vec::new();
        for part in text.split(',') {
            match stages.last_mut() {
                // Without a colon, it is the rest of a number.
                Some(stage) if !part.contains(':') || !stage.contains(':') => *stage = format!("{stage},{part}"),
                _ => stages.push(part.to_owned()),
            }
        }
        Ok(Self(stages.iter().map(|stage| stage.trim().parse()).collect::<Result<_, _>>()?))
    }
}

/// A percentage such as `3%`, as a share.
pub(super) fn percent(text: &str) -> Result<f64, String> {
    let given = typed::ungrouped(text).map_err(|comma| comma.to_string())?;
    let share = given.trim().strip_suffix('%').and_then(|percent| typed::decimal(percent).ok());
    let share = share.filter(|percent| (0.1..100.0).contains(percent));
    share.map(|percent| percent / 100.0).ok_or_else(|| "write a percentage from 0.1% up, such as `3%`".into())
}

/// A size such as `64MiB` or `1GB`, in bytes.
pub(super) fn size(text: &str) -> Result<u64, String> {
    match typed::bytes(text) {
        Err(Mistyped::Comma(comma)) => Err(comma.to_string()),
        Ok(bytes) if bytes > 0 => Ok(bytes),
        Ok(_) => Err("nothing runs without memory: write a size, such as `64MiB`, or leave the flag out".into()),
        Err(_) => Err("write a size with its unit, such as `64MiB`".into()),
    }
}

/// What becomes of an expression about something that never occurred.
pub(super) fn missing(text: &str) -> Result<Missing, String> {
    match text {
        "fail" => Ok(Missing::Fail),
        "pass" => Ok(Missing::Pass),
        _ => Err("write `fail` or `pass`".into()),
    }
}

/// An environment variable as `K=V`; `K` alone takes the value from Gorgon's environment.
pub(super) fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some(("", _)) => Err("write NAME=VALUE".into()),
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => match input::variable(text) {
            Ok(value) => Ok((text.to_owned(), value)),
            Err(VarError::NotPresent) => Err("it is not set: set it, or write NAME=VALUE".into()),
            Err(VarError::NotUnicode(_)) => Err("its value is not UTF-8, which a task's variables are".into()),
        },
    }
}

/// A port, for a flag that needs no value.
pub(super) fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| "it is not a port: write a number up to 65535, or the flag behind everything else".into())
}

/// `HOST:PORT`.
pub(super) fn host_and_port(text: &str) -> Result<String, String> {
    let is_one = text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if is_one { Ok(text.to_owned()) } else { Err("write HOST:PORT, such as 127.0.0.1:9464".into()) }
}

/// The public key of a user of a NATS server.
pub(super) fn public_key(text: &str) -> Result<String, String> {
    let is_one = crate::cluster::seal::is_public_key(text);
    if is_one { Ok(text.to_owned()) } else { Err("it is not a public key: write U and 55 more characters".into()) }
}

/// A label of a box as `K=V`.
pub(super) fn label(text: &str) -> Result<String, String> {
    let is_one = text.split_once('=').is_some_and(|(key, value)| !key.is_empty() && !value.is_empty());
    match text {
        _ if !is_one => Err("write NAME=VALUE, such as zone=a".into()),
        _ if text.len() > 256 => Err("it is too long: 256 bytes at most".into()),
        _ => Ok(text.to_owned()),
    }
}

/// A regular expression. The error message is one line and names the position.
pub(super) fn expect(pattern: &str) -> Result<crate::plan::Expect, String> {
    pattern.parse().map_err(|error: regex::Error| {
        let text = error.to_string();
        let cause = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        let place = text.lines().find_map(|line| line.find('^'));
        // regex indents the pattern by four columns.
        let place = place.map_or_else(String::new, |column| format!(" at character {}", column.saturating_sub(3)));
        format!("{cause}{place}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_have_units() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        assert!(duration("250").is_err_and(|error| error.contains("such as `250ms`")));
        assert_eq!(size("64MiB"), Ok(64 << 20));
        assert_eq!(size("1GB"), Ok(1_000_000_000));
        assert!(size("much").is_err() && size("0").is_err());
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1_500)));
        let meant = |meant: &str| format!("does not group three digits: write `{meant}`");
        assert!(duration("1,5s").is_err_and(|error| error.ends_with(&meant("1.5s"))));
        assert!(size("1,5GiB").is_err_and(|error| error.ends_with(&meant("1.5GiB"))));
        assert!(percent("0,5%").is_err_and(|error| error.ends_with(&meant("0.5%"))));
    }

    #[test]
    fn digits_may_be_grouped() {
        let number = number::<u64>;
        assert_eq!((number("4000"), number("1,000,000"), number("1_000")), (Ok(4_000), Ok(1_000_000), Ok(1_000)));
        assert!(
            number("ten").is_err_and(|error| error.contains("`4000`")) && number("").is_err() && number("-1").is_err()
        );
        for text in ["1,5", "0,5", "10,00", "1,0000"] {
            assert!(number(text).is_err_and(|error| error.contains("only groups three digits")), "{text}");
        }
        assert_eq!(super::number::<u32>("5,000,000,000"), Err("it is too large".into()));
        assert_eq!(positive("1,000"), Ok(NonZeroU64::new(1_000).unwrap()));
        assert!(positive::<NonZeroU64>("0").is_err_and(|error| error.contains("from 1 up")));
        assert!(positive::<std::num::NonZeroU32>("5000000000").is_err());
    }

    #[test]
    fn stages_are_told_from_groups_of_digits() {
        let stages = |text: &str| {
            let stages = text.parse::<Stages>().map_err(|error| error.to_string())?;
            Ok(stages.0.iter().map(|stage| (stage.duration.as_millis(), stage.to.get())).collect::<Vec<_>>())
        };
        assert_eq!(stages("10s:100/s,30s:1,000/s, 1m:0"), Ok(vec![(10_000, 100.0), (30_000, 1_000.0), (60_000, 0.0)]));
        let refused = |given: &str, meant: &str| {
            Err(format!("the comma in `{given}` does not group three digits: write `{meant}`"))
        };
        assert_eq!(stages("10s:0,5/s,30s:1/s"), refused("10s:0,5/s", "10s:0.5/s"));
        assert_eq!(stages("1,5s:10/s"), refused("1,5s:10/s", "1.5s:10/s"));
        assert!(stages("10s:100/s,").is_err_and(|error| error.contains("`100/s,` is not a rate")));
    }

    #[test]
    fn variables_and_patterns() {
        assert_eq!(variable("A=b=c"), Ok(("A".into(), "b=c".into())));
        assert!(variable("GORGON_NO_SUCH").is_err() && variable("=b").is_err());
        assert_eq!(variable("PATH"), Ok(("PATH".into(), std::env::var("PATH").unwrap())));
        let error = expect("ab(c").map(|expect| expect.as_str().to_owned()).unwrap_err();
        assert_eq!(error, "unclosed group at character 3");
    }
}
