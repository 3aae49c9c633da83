//! A task with a thousand distinct results: what is left of its memory is the books kept on them.

#[gorgon_guest::operation]
fn results(n: u64) -> String {
    format!("result {}", n % 1_000)
}
