//! A made-up world that drives the controller's machine: with a seed, in virtual time.
//!
//! Workers boot, draw, count and end at random speeds; what is said comes late; workers die, hang, come back after they
//! were given up; people stop the run at any moment; controllers die and are rebuilt from the entries. After each step
//! the books are held against an account that is kept apart (`account.rs`), which knows each number by itself.
//!
//! `cargo xtask simulate` runs more of it than the tests do, and prints the story of a seed that fails.

mod account;
#[cfg(test)]
mod tests;
mod worker;
mod world;

use world::run;
