//! The last words of a guest that traps: what it printed to stderr during its last call says why, in the manner of its
//! language.

use std::collections::VecDeque;
use std::time::Instant;

/// How many lines are kept. A traceback may be longer, but its last line says what is wrong.
const MOST_LINES: usize = 40;

/// The lines that a guest printed last, each with the time.
#[derive(Debug, Default)]
pub(super) struct LastWords(VecDeque<(Instant, String)>);

impl LastWords {
    /// Notes a line.
    pub(super) fn hear(&mut self, line: &[u8]) {
        if self.0.len() == MOST_LINES {
            self.0.pop_front();
        }
        self.0.push_back((Instant::now(), String::from_utf8_lossy(line).into_owned()));
    }

    /// Why the guest has trapped, as far as it has said so since `began`.
    pub(super) fn why(&self, began: Instant) -> Option<String> {
        let of_call: Vec<&str> =
            self.0.iter().filter(|(at, _)| *at >= began).map(|(_, line)| line.trim_end()).collect();
        reason(&of_call)
    }
}

/// The reason that the lines of a panic, an exception or an assertion give; the last line of anything else.
fn reason(lines: &[&str]) -> Option<String> {
    // Rust: "thread 'x' panicked at src/lib.rs:11:9:", the message, and a note.
    if let Some(at) = lines.iter().rposition(|line| line.contains(" panicked at ")) {
        let place = lines[at].split(" panicked at ").nth(1).unwrap_or_default();
        let message = lines[at + 1..].iter().take_while(|line| !is_aside(line)).copied().collect::<Vec<_>>().join(" ");
        return Some(match (place.strip_suffix(':'), message.as_str()) {
            (Some(place), "") => format!("panicked at {place}"),
            (Some(place), message) => format!("{message} ({place})"),
            // Before Rust 1.73 the message stood before the place.
            (None, _) => format!("panicked at {place}"),
        });
    }
    // Go: "panic: the message", and goroutines with their places.
    let is_go = |line: &&&str| line.starts_with("panic: ") || line.starts_with("fatal error: ");
    if let Some(line) = lines.iter().rfind(is_go) {
        return Some((*line).to_owned());
    }
    // Of a stack the frames are indented, and the message is not: before them in JavaScript, after them in Python.
    let says = |line: &&&str| !line.trim().is_empty() && !line.starts_with([' ', '\t']) && !is_aside(line);
    let any = |line: &&&str| !line.trim().is_empty();
    lines.iter().rfind(says).or_else(|| lines.iter().rfind(any)).map(|line| line.trim().to_owned())
}

/// A line that is about the report, and not about what is wrong.
fn is_aside(line: &str) -> bool {
    line.starts_with("note: ")
        || line.starts_with("stack backtrace:")
        || line == "Stack:"
        || line.starts_with("Redirecting call to abort()")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_what_the_language_says_last() {
        let of = |text: &str| reason(&text.lines().collect::<Vec<_>>());
        let rust = "hello\n\nthread '<unnamed>' (1) panicked at src/lib.rs:11:9:\nno user 7\n\
                    note: run with `RUST_BACKTRACE=1`";
        for (printed, expected) in [
            (rust, Some("no user 7 (src/lib.rs:11:9)")),
            (
                "thread 'main' panicked at src/a.rs:1:1:\nassertion `left == right` failed\n  left: 1\n right: 2",
                Some("assertion `left == right` failed   left: 1  right: 2 (src/a.rs:1:1)"),
            ),
            ("thread 'main' panicked at 'old', src/a.rs:1:1", Some("panicked at 'old', src/a.rs:1:1")),
            (
                "Error: no user 7\nStack:\n  operation@task.js:3:9\nRedirecting call to abort() to mozalloc_abort\n",
                Some("Error: no user 7"),
            ),
            ("panic: index out of range\n\ngoroutine 1 [running]:\nmain.run(...)", Some("panic: index out of range")),
            (
                "Traceback (most recent call last):\n  File \"app.py\", line 3, in operation\n    1 / 0\n\
                 ZeroDivisionError: division by zero",
                Some("ZeroDivisionError: division by zero"),
            ),
            ("Error: no such user\n    at operation (task.js:3:9)", Some("Error: no such user")),
            (
                "Assertion failed: n < 3 (task.c: operation: 9)\n",
                Some("Assertion failed: n < 3 (task.c: operation: 9)"),
            ),
            ("  indented only", Some("indented only")),
            ("\n \n", None),
        ] {
            assert_eq!(of(printed).as_deref(), expected, "{printed}");
        }
    }

    #[test]
    fn only_the_last_call_has_last_words() {
        let (mut words, before) = (LastWords::default(), Instant::now());
        words.hear(b"before\n");
        assert_eq!(words.why(before).as_deref(), Some("before"));
        assert_eq!(words.why(Instant::now()), None);
        (0..100).for_each(|i| words.hear(format!("line {i}\n").as_bytes()));
        assert_eq!((words.0.len(), words.why(before).as_deref()), (MOST_LINES, Some("line 99")));
    }
}
