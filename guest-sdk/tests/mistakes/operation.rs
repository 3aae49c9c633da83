//! Operations that are none.

use gorgon_guest::operation;

#[operation]
fn no_number() -> String {
    String::new()
}

#[operation]
fn wrong_number(n: u32) -> String {
    n.to_string()
}

#[operation]
fn two_numbers(n: u64, m: u64) -> String {
    (n + m).to_string()
}

#[operation]
fn no_result(n: u64) {
    let _ = n;
}

#[operation]
async fn waits(n: u64) -> String {
    n.to_string()
}

#[operation]
fn generic<T>(n: u64) -> String {
    n.to_string()
}

#[operation(fast)]
fn with_arguments(n: u64) -> String {
    n.to_string()
}

#[operation]
struct NotEvenAFunction;

fn main() {}
