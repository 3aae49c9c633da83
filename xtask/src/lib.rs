//! What a fresh machine needs, for `cargo xtask` and for the tests alike.

pub mod languages;
