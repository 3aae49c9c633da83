//! End-to-end tests: the real binary, real worker processes, real guests.

mod cli;
mod debug;
mod exact;
mod faults;
mod hooks;
mod input;
mod limits;
mod misbehave;
mod outcomes;
mod stop;
mod support;
mod terminal;
