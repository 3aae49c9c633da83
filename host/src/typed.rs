//! Numbers as people type them: `1,000`, `1_000`, `0.5`, `250ms`, `64MiB`. A comma groups three digits; half of the
//! world uses it as the decimal point, so any other comma is refused with the form that is probably meant.

use std::time::Duration;

/// A comma that does not group three digits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the comma in `{given}` does not group three digits: write `{meant}`")]
pub struct Comma {
    given: String,
    meant: String,
}

impl Comma {
    /// The text with the number that is probably meant.
    pub fn meant(&self) -> &str {
        &self.meant
    }
}

/// Why text is not a number of some kind.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Mistyped {
    /// Its comma is not one between groups of digits.
    #[error(transparent)]
    Comma(#[from] Comma),
    /// It is not a duration.
    #[error(transparent)]
    Duration(#[from] humantime::DurationError),
    /// It is anything else.
    #[error("it is not a number")]
    Other,
}

/// A whole number: `4000`, `4,000`.
pub fn whole(text: &str) -> Result<u64, Mistyped> {
    ungrouped(text.trim())?.parse().map_err(|_| Mistyped::Other)
}

/// A number that is not negative: `0.5`, `1,000.25`.
pub fn decimal(text: &str) -> Result<f64, Mistyped> {
    let number = ungrouped(text.trim())?.parse().ok();
    number.filter(|number: &f64| number.is_finite() && *number >= 0.0).ok_or(Mistyped::Other)
}

/// A duration: `250ms`, `1.5s`, `1m 30s`; `0` is zero.
pub fn duration(text: &str) -> Result<Duration, Mistyped> {
    match text.trim() {
        "0" => Ok(Duration::ZERO),
        // There are two signs for micro that look alike.
        text => Ok(humantime::parse_duration(&ungrouped(text)?.replace('\u{3bc}', "µ"))?),
    }
}

/// A rate per second: `500/s`, `30/m`, `100/h`; `500` is per second.
pub fn rate(text: &str) -> Result<f64, Mistyped> {
    let given = ungrouped(text.trim())?;
    let (figure, unit) = given.split_once('/').unwrap_or((&given, "s"));
    let seconds = match unit.trim() {
        "s" | "sec" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3_600.0,
        _ => return Err(Mistyped::Other),
    };
    Ok(decimal(figure)? / seconds)
}

/// A size in bytes: `64MiB`, `1.5GB`.
pub fn bytes(text: &str) -> Result<u64, Mistyped> {
    ungrouped(text.trim())?.parse::<bytesize::ByteSize>().map(|size| size.0).map_err(|_| Mistyped::Other)
}

/// `text` without the signs that group digits.
pub fn ungrouped(text: &str) -> Result<String, Comma> {
    let (mut plain, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(begin) = rest.find(|c: char| c.is_ascii_digit()) {
        plain.push_str(&rest[..begin]);
        let end = number_ends(&rest[begin..]) + begin;
        let number = rest[begin..end].replace('_', "");
        if !is_grouped(&number) {
            let meant = text.replacen(&rest[begin..end], &without_decimal_comma(&number), 1);
            return Err(Comma { given: text.to_owned(), meant });
        }
        plain.push_str(&number.replace(',', ""));
        rest = &rest[end..];
    }
    plain.push_str(rest);
    Ok(plain)
}

/// Where the number at the beginning of `text` ends: signs within it stand between digits.
fn number_ends(text: &str) -> usize {
    let bytes = text.as_bytes();
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let is_part = |at: &usize| is_digit(*at) || matches!(bytes[*at], b',' | b'.' | b'_') && is_digit(at + 1);
    (0..bytes.len()).take_while(is_part).count()
}

/// Whether each comma has three digits behind it, and up to three before the first one. A group never begins with zero.
fn is_grouped(number: &str) -> bool {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let Some((first, groups)) = whole.split_once(',') else { return !fraction.contains(',') };
    let is_first = first.len() <= 3 && !first.starts_with('0');
    is_first && groups.split(',').all(|group| group.len() == 3) && !fraction.contains(',')
}

/// The number that is meant by one whose comma is the decimal point; if it has several, they group nothing.
fn without_decimal_comma(number: &str) -> String {
    match number.split_once(',') {
        Some((whole, fraction)) if !fraction.contains([',', '.']) => format!("{}.{fraction}", whole.replace('.', "")),
        _ => number.replace(',', ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_groups_three_digits() {
        for (text, plain) in [
            ("4000", "4000"),
            ("1,000", "1000"),
            ("12,345,678.25/s", "12345678.25/s"),
            ("1_000", "1000"),
            ("1,000ms", "1000ms"),
            ("10,000s..20,000s", "10000s..20000s"),
            ("a, b", "a, b"),
            ("", ""),
        ] {
            assert_eq!(ungrouped(text).as_deref(), Ok(plain), "{text}");
        }
        for (text, meant) in [
            ("0,5", "0.5"),
            ("0,500", "0.500"),
            ("1,5/s", "1.5/s"),
            ("1,5s", "1.5s"),
            ("10s:0,5/s", "10s:0.5/s"),
            ("1,50%", "1.50%"),
            ("1.000,5", "1000.5"),
            ("1000,5", "1000.5"),
            ("1,00,000", "100000"),
            ("1,000.5,5", "1000.55"),
            ("1,0000", "1.0000"),
            ("1,5MiB", "1.5MiB"),
        ] {
            let comma = Comma { given: text.into(), meant: meant.into() };
            assert_eq!(ungrouped(text), Err(comma), "{text}");
        }
    }

    #[test]
    fn numbers_of_each_kind() {
        assert_eq!((whole("4,000"), whole(" 7 "), whole("ten")), (Ok(4_000), Ok(7), Err(Mistyped::Other)));
        assert_eq!(
            (decimal("1,000.5"), decimal("-1"), decimal("inf")),
            (Ok(1_000.5), Err(Mistyped::Other), Err(Mistyped::Other))
        );
        assert_eq!((duration("1.5s"), duration("0")), (Ok(Duration::from_millis(1_500)), Ok(Duration::ZERO)));
        assert_eq!(
            (duration("1,500ms"), bytes("1.5kB"), bytes("1,024")),
            (Ok(Duration::from_millis(1_500)), Ok(1_500), Ok(1_024))
        );
        assert_eq!((rate("500"), rate("1,500/s"), rate("30/m")), (Ok(500.0), Ok(1_500.0), Ok(0.5)));
        assert_eq!((rate("3,600 / h"), rate("1k"), rate("5/d")), (Ok(1.0), Err(Mistyped::Other), Err(Mistyped::Other)));
        assert!(
            matches!(duration("1,5s"), Err(Mistyped::Comma(_))) && matches!(bytes("1,5MiB"), Err(Mistyped::Comma(_)))
        );
    }
}
