//! A task that does nothing, so that the remaining time is Gorgon's.

#[gorgon_guest::operation]
fn noop(_n: u64) -> &'static str {
    ""
}
