//! End-to-end tests: the real binary, real worker processes, real guests.

mod cli;
mod exact;
mod faults;
mod hooks;
mod limits;
mod outcomes;
mod support;
