//! A task for end-to-end tests: in its teardown each instance prints the numbers it was called with.
//!
//! It only computes and imports nothing to wait with, so the host runs it in the compute lane. `sleeper` is the same
//! task in the I/O lane.

mod seen;

#[gorgon_guest::operation]
fn operation(n: u64) -> &'static str {
    seen::record(n);
    "ok"
}

#[gorgon_guest::teardown]
fn teardown() {
    print!("{}", seen::report());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_each_range_in_the_order_of_the_calls() {
        for n in [5, 6, 7, 0, 1, 9, 9] {
            assert_eq!(operation(n), "ok");
        }
        assert_eq!(seen::report(), "saw 5-7\nsaw 0-1\nsaw 9-9\nsaw 9-9\n");
    }
}
