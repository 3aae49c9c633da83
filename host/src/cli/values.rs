//! Parses values of flags: `30s`, `64MiB`, `K=V`.

use std::num::NonZeroU64;
use std::time::Duration;

/// A duration such as `250ms`, `30s` or `1m 30s`; `0` is zero.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}; write a duration with its unit, such as `250ms`, `30s` or `1m30s`"))
}

/// A whole number. Zero is accepted; the plan rejects it with a better message.
pub(super) fn number(text: &str) -> Result<u64, String> {
    text.replace(['_', ','], "").parse().map_err(|_| "write a whole number, such as `4000`".into())
}

/// A whole number from 1 up.
pub(super) fn positive<T: TryFrom<NonZeroU64>>(text: &str) -> Result<T, String> {
    let number = number(text).ok().and_then(NonZeroU64::new).and_then(|number| T::try_from(number).ok());
    number.ok_or_else(|| "write a whole number from 1 up, such as `10`".into())
}

/// A percentage such as `3%`, as a share.
pub(super) fn percent(text: &str) -> Result<f64, String> {
    let share = text.trim().strip_suffix('%').and_then(|percent| percent.trim().parse::<f64>().ok());
    let share = share.filter(|percent| percent.is_finite() && (0.1..100.0).contains(percent));
    share.map(|percent| percent / 100.0).ok_or_else(|| "write a percentage from 0.1% up, such as `3%`".into())
}

/// A size such as `64MiB` or `1GB`, in bytes.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let size = text.parse::<bytesize::ByteSize>().ok().filter(|size| size.0 > 0);
    size.map(|size| size.0).ok_or_else(|| "write a size with its unit, such as `64MiB`".into())
}

/// An environment variable as `K=V`; `K` alone takes the value from Gorgon's environment.
pub(super) fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some(("", _)) => Err("write NAME=VALUE".into()),
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => match std::env::var(text) {
            Ok(value) => Ok((text.to_owned(), value)),
            Err(_) => Err("it is not set: set it, or write NAME=VALUE".into()),
        },
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
    }

    #[test]
    fn digits_may_be_grouped() {
        assert_eq!((number("4000"), number("1,000,000"), number("1_000")), (Ok(4_000), Ok(1_000_000), Ok(1_000)));
        assert!(
            number("ten").is_err_and(|error| error.contains("`4000`")) && number("").is_err() && number("-1").is_err()
        );
        assert_eq!(positive("1,000"), Ok(NonZeroU64::new(1_000).unwrap()));
        assert!(positive::<NonZeroU64>("0").is_err_and(|error| error.contains("from 1 up")));
        assert!(positive::<std::num::NonZeroU32>("5000000000").is_err());
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
