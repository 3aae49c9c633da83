//! A simulated world that drives the controller's machine, from a seed and in virtual time.
//!
//! Workers boot, draw, count and end at random speeds. Messages come late. Workers die, hang, and come back after they
//! were given up. Boxes die and leave, links are cut, the server is gone or full. People stop the run at any moment.
//! Controllers die and are rebuilt from the entries, and the old ones may not know it. After each step the books are
//! compared with an independent account (`account.rs`), which tracks every single number.
//!
//! `cargo xtask simulate` runs more seeds than the tests do, and prints the story of a seed that fails.

mod account;
mod job;
mod misfortunes;
#[cfg(test)]
mod tests;
mod worker;
mod world;

use world::{Telling, run};
