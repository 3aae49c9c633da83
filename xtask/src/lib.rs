//! Toolchains for a fresh machine, for `cargo xtask` and for the tests.

pub mod languages;
