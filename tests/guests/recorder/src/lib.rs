//! A task for end-to-end tests: in its teardown each instance prints the numbers it was called with, and how many of
//! them the host called a warm-up.
//!
//! It only computes and imports nothing to wait with, so the host runs it in the compute lane. `sleeper` is the same
//! task in the I/O lane.

use std::cell::Cell;

mod seen;

thread_local! {
    static WARM: Cell<u64> = const { Cell::new(0) };
}

#[gorgon_guest::operation]
fn operation(n: u64) -> &'static str {
    seen::record(n);
    if gorgon_guest::is_warmup() {
        WARM.set(WARM.get() + 1);
    }
    "ok"
}

#[gorgon_guest::teardown]
fn teardown() {
    print!("{}warm {}\nteardown is warm: {}\n", seen::report(), WARM.get(), gorgon_guest::is_warmup());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_each_range_in_the_order_of_the_calls() {
        for n in [5, 6, 7, 0, 1, 9, 9] {
            assert_eq!(operation(n), "ok");
        }
        gorgon_guest::testing::set_warmup(true);
        assert_eq!((operation(1 << 63), WARM.get()), ("ok", 1));
        assert_eq!(seen::report(), "saw 5-7\nsaw 0-1\nsaw 9-9\nsaw 9-9\nsaw 9223372036854775808-9223372036854775808\n");
    }
}
