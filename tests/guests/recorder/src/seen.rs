//! The numbers that an instance was called with, as the ranges they form in the order of the calls.
//!
//! Shared with `sleeper` as a file: two crates that both export an operation cannot depend on each other.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::ops::RangeInclusive;

thread_local! {
    /// Ranges and not single numbers, so that memory stays flat over a long run.
    static SEEN: RefCell<Vec<RangeInclusive<u64>>> = const { RefCell::new(Vec::new()) };
}

/// Notes a call with this number.
pub(crate) fn record(n: u64) {
    SEEN.with_borrow_mut(|seen| match seen.last_mut() {
        Some(last) if last.end().checked_add(1) == Some(n) => *last = *last.start()..=n,
        _ => seen.push(n..=n),
    });
}

/// One line per range, `saw A-B`, both ends included; `saw nothing` of an instance that was never called.
pub(crate) fn report() -> String {
    SEEN.with_borrow(|seen| {
        if seen.is_empty() {
            return "saw nothing\n".into();
        }
        seen.iter().fold(String::new(), |mut lines, range| {
            let _ = writeln!(lines, "saw {}-{}", range.start(), range.end());
            lines
        })
    })
}
