//! End-to-end tests: the real binary, real worker processes, real guests.

// Everything here is a test, helpers included: what fails there is to fail the test.
#![allow(clippy::unwrap_used)]

mod browser;
mod cli;
mod compare;
mod debug;
mod docs;
mod embedded;
mod exact;
mod faults;
mod find;
mod hooks;
mod input;
mod languages;
mod limits;
mod misbehave;
mod network;
mod open;
mod outcomes;
mod outputs;
mod stop;
mod support;
mod terminal;
