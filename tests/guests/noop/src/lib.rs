//! A task that does nothing: what is left of its time is the harness.

#[gorgon_guest::operation]
fn noop(_n: u64) -> &'static str {
    ""
}
