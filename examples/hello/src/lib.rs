//! The smallest task: whether the operation's number is even or odd.

#[gorgon_guest::operation]
fn hello(n: u64) -> &'static str {
    if n.is_multiple_of(2) { "even" } else { "odd" }
}

#[cfg(test)]
mod tests {
    #[test]
    fn tells_even_from_odd() {
        assert_eq!([0, 1, 2].map(super::hello), ["even", "odd", "even"]);
    }
}
