//! What the attributes say to a function they cannot use. After a change: `TRYBUILD=overwrite cargo test …`.

#[test]
fn each_mistake_is_one_sentence_that_says_what_to_write() {
    trybuild::TestCases::new().compile_fail("tests/mistakes/*.rs");
}
