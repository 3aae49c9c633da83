//! End-to-end tests: the real binary, real worker processes, real guests.

#![expect(clippy::unwrap_used, reason = "helpers belong to the tests, and a failure in one fails its test")]

mod architecture;
mod attacks;
mod boxes;
mod browser;
mod calls;
mod cli;
mod compare;
mod components;
mod debug;
mod docs;
mod embedded;
mod exact;
mod faults;
mod find;
mod grants;
mod homes;
mod hooks;
mod hostile;
mod input;
mod languages;
mod limits;
mod misbehave;
mod network;
mod open;
mod otlp;
mod outcomes;
mod outputs;
mod platforms;
mod servers;
mod stop;
mod stopped;
mod support;
mod terminal;
