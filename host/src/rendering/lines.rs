//! Breaks text into lines that fit a terminal.

/// The width of a terminal that everybody has.
const WIDTH: usize = 80;

/// Units, which stay on the line of their number.
const UNITS: [&str; 6] = ["%", "ns", "µs", "ms", "s", "points"];

/// `text` in lines of at most 80 columns, broken at spaces; further lines, and what the caller prints before the first
/// one, take `indent` columns. A longer word stays whole.
pub(super) fn wrapped(text: &str, indent: usize) -> String {
    let mut words: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match words.last_mut() {
            Some(number) if UNITS.contains(&word.trim_end_matches([',', ';', ':', ')'])) => {
                number.extend([" ", word]);
            }
            _ => words.push(word.to_owned()),
        }
    }
    let mut wrapped = String::new();
    let mut column = indent;
    for word in words {
        let width = word.chars().count();
        if column > indent && column + 1 + width > WIDTH {
            wrapped.push('\n');
            wrapped.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        }
        if column > indent {
            wrapped.push(' ');
            column += 1;
        }
        wrapped.push_str(&word);
        column += width;
    }
    wrapped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_and_keep_every_word() {
        let text = "one two ".repeat(30) + &"long".repeat(30) + " end";
        for indent in [0, 3] {
            let wrapped = wrapped(&text, indent);
            assert_eq!(wrapped.split_whitespace().collect::<Vec<_>>(), text.split_whitespace().collect::<Vec<_>>());
            let too_wide = wrapped.lines().enumerate().filter(|(i, line)| {
                line.len() + if *i == 0 { indent } else { 0 } > WIDTH && !line.trim().starts_with("long")
            });
            assert_eq!(too_wide.count(), 0, "{wrapped}");
            assert!(wrapped.lines().skip(1).all(|line| line.starts_with(&" ".repeat(indent))), "{wrapped}");
        }
        assert_eq!(super::wrapped("", 2), "");
        let figures = "somewhere between 28.0 % and 67.6 %, ".repeat(9);
        assert!(wrapped(&figures, 0).lines().all(|line| !line.starts_with('%')), "{figures}");
    }
}
