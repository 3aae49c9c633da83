//! The compiler messages for functions that the attributes cannot use. After a change: `TRYBUILD=overwrite cargo test
//! …`.

#[test]
fn each_mistake_has_a_message_that_says_what_to_write() {
    trybuild::TestCases::new().compile_fail("tests/mistakes/*.rs");
}
