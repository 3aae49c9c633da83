//! Formats figures for people. Each kind of figure is formatted here and nowhere else.

use super::Unit;

/// Changes below this come from floating point: a logarithm and its inverse turn two equal figures into such a
/// difference.
const NO_CHANGE: f64 = 1e-12;

/// A duration in the unit that fits it, to three significant digits: `163 ns`, `1.23 ms`, `2 m 05 s`.
pub fn duration(ns: u64) -> String {
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..999_500 => format!("{} µs", significant(ns as f64 / 1e3)),
        999_500..999_500_000 => format!("{} ms", significant(ns as f64 / 1e6)),
        999_500_000..99_950_000_000 => format!("{} s", significant(ns as f64 / 1e9)),
        _ => {
            let seconds = ns.saturating_add(500_000_000) / 1_000_000_000;
            match ns {
                0..7_200_000_000_000 => format!("{} m {:02} s", seconds / 60, seconds % 60),
                _ => format!("{} h {:02} m", count(seconds / 3_600), seconds / 60 % 60),
            }
        }
    }
}

/// A count with its thousands separated.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut grouped = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A count of things: `1 operation`, `2 operations`.
pub fn counted(n: u64, thing: &str) -> String {
    format!("{} {thing}{}", count(n), if n == 1 { "" } else { "s" })
}

/// A rate per second: three significant digits, whole numbers from 100 up.
pub fn rate(per_second: f64) -> String {
    if per_second < 100.0 { significant(per_second) } else { count(per_second.round() as u64) }
}

/// A share between 0 and 1, in percent. Only exactly nothing reads as 0, and only exactly everything as 100.
pub fn percent(share: f64) -> String {
    match share * 100.0 {
        percent if percent <= 0.0 => "0 %".into(),
        percent if percent < 0.01 => "<0.01 %".into(),
        percent if percent < 10.0 => format!("{percent:.2} %"),
        percent if percent >= 100.0 => "100 %".into(),
        percent if percent >= 99.95 => ">99.9 %".into(),
        percent => format!("{percent:.1} %"),
    }
}

/// The difference of a figure as a signed share, in percent. Only no difference reads as 0.
pub fn change(share: f64) -> String {
    let sign = if share < 0.0 { "-" } else { "+" };
    match share.abs() * 100.0 {
        _ if share.abs() < NO_CHANGE => "0 %".into(),
        percent if percent < 0.001 => format!("{sign}{percent:.*} %", (-percent.log10()).ceil() as usize),
        percent if percent < 0.1 => format!("{sign}{percent:.3} %"),
        percent if percent < 1.0 => format!("{sign}{percent:.2} %"),
        percent if percent < 999.95 => format!("{sign}{percent:.1} %"),
        percent if percent < 999_999.5 => format!("{sign}{} %", count(percent.round() as u64)),
        _ => format!("{sign}>999,999 %"),
    }
}

/// The same without its sign, for sentences that name the direction.
pub fn difference(share: f64) -> String {
    change(share.abs()).trim_start_matches('+').to_owned()
}

/// A figure with its unit, or the bare number if the unit is unknown.
pub fn figure(value: f64, unit: Option<Unit>) -> String {
    match unit {
        Some(Unit::Nanoseconds) => duration(value as u64),
        Some(Unit::Share) => percent(value),
        Some(Unit::Operations) => count(value as u64),
        Some(Unit::PerSecond) => format!("{}/s", rate(value)),
        None => value.to_string(),
    }
}

/// A figure, or a dash if it does not exist.
pub fn or_dash<T>(figure: Option<T>, show: impl FnOnce(T) -> String) -> String {
    figure.map_or_else(|| "–".to_owned(), show)
}

/// A count of bytes: `45 kB`.
pub fn bytes(bytes: u64) -> String {
    bytesize::ByteSize(bytes).display().si().to_string()
}

/// Three significant digits, for figures below 1,000; two digits between a tenth and one.
fn significant(figure: f64) -> String {
    match figure {
        _ if figure > 0.0 && figure < 0.0995 => {
            let decimals = 2 - figure.log10().floor() as i32;
            format!("{figure:.*}", decimals.clamp(0, 12) as usize)
        }
        _ if figure < 9.995 => format!("{figure:.2}"),
        _ if figure < 99.95 => format!("{figure:.1}"),
        _ => format!("{figure:.0}"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn durations() {
        for (ns, text) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_000, "1.00 µs"),
            (12_345, "12.3 µs"),
            (999_499, "999 µs"),
            (999_500, "1.00 ms"),
            (83_100_000, "83.1 ms"),
            (999_499_999, "999 ms"),
            (999_500_000, "1.00 s"),
            (99_940_000_000, "99.9 s"),
            (99_950_000_000, "1 m 40 s"),
            (125_000_000_000, "2 m 05 s"),
            (119_500_000_000, "2 m 00 s"),
            (3_600_000_000_000, "60 m 00 s"),
            (9_000_000_000_000, "2 h 30 m"),
            (u64::MAX, "5,124,095 h 34 m"),
        ] {
            assert_eq!(super::duration(ns), text, "{ns}");
        }
    }

    #[test]
    fn shares() {
        for (share, text) in [
            (0.0, "0 %"),
            (0.000_001, "<0.01 %"),
            (0.0123, "1.23 %"),
            (0.5, "50.0 %"),
            (0.999_9, ">99.9 %"),
            (1.0, "100 %"),
        ] {
            assert_eq!(super::percent(share), text, "{share}");
        }
    }

    #[test]
    fn changes() {
        for (share, text) in [
            (0.0, "0 %"),
            (-1e-16, "0 %"),
            (0.000_001, "+0.0001 %"),
            (-0.000_000_043, "-0.000004 %"),
            (-0.000_5, "-0.050 %"),
            (0.005, "+0.50 %"),
            (-0.1, "-10.0 %"),
            (1.5, "+150.0 %"),
            (9.9994, "+999.9 %"),
            (9.9996, "+1,000 %"),
            (21.034, "+2,103 %"),
            (1e300, "+>999,999 %"),
        ] {
            assert_eq!(super::change(share), text, "{share}");
        }
        assert_eq!(super::difference(-0.000_001), "0.0001 %");
    }

    #[test]
    fn counts_and_rates() {
        assert_eq!(super::count(0), "0");
        assert_eq!(super::count(999), "999");
        assert_eq!(super::count(1_000_003), "1,000,003");
        assert_eq!(super::rate(0.0), "0.00");
        assert_eq!(super::rate(1.0 / 3600.0), "0.000278");
        assert_eq!(super::rate(1.0 / 60.0), "0.0167");
        assert_eq!(super::rate(0.5), "0.50");
        assert_eq!(super::rate(99.96), "100");
        assert_eq!(super::rate(4_812_345.6), "4,812,346");
    }
}
