//! Gorgon multiplies a task.
//!
//! A task is a WebAssembly component that exports `operation: func(n: u64) -> string`. Gorgon calls it many times, over
//! worker processes and their threads, each time with a number that no other call of the run gets, times every call,
//! groups the calls by what they returned, and reports.
//!
//! ARCHITECTURE.md says what each module owns, and which modules it may use.

#![deny(unsafe_code)]

pub mod calls;
pub mod cli;
pub mod component;
pub mod plan;

pub mod fault;
pub mod guest_text;
pub mod halt;
pub mod hook;
pub mod journal;
pub mod lane;
pub mod metrics;
pub mod network;
pub mod numbers;
pub mod pace;
pub mod proposals;
pub mod record;
pub mod resolve;
pub mod trace;
pub mod typed;
pub mod wit;

pub mod binary;
pub mod capability;
pub mod clock;
pub mod input;
pub mod machine;
pub mod memory_watch;
pub mod rows;
pub mod scratch;
pub mod system;
pub mod task;
pub mod terminal;
pub mod timers;

pub mod agent;
pub mod cluster;
pub mod controller;
pub mod transport;
pub mod wire;
pub mod worker;

pub mod judging;
pub mod rendering;
pub mod report;

pub mod demo;
pub mod live;
pub mod otlp;
pub mod progress;
pub mod serve;
pub mod signals;
