//! A task with a thousand distinct results, or as many as its first argument says. The memory it takes is mostly that
//! of Gorgon's records of them.

use std::sync::LazyLock;

static RESULTS: LazyLock<u64> =
    LazyLock::new(|| std::env::args().nth(1).and_then(|number| number.parse().ok()).unwrap_or(1_000));

#[gorgon_guest::operation]
fn results(n: u64) -> String {
    format!("result {}", n % *RESULTS)
}
