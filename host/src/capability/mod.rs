//! What a task may import, one file per capability.
//!
//! A capability has three moments: it is linked once per process, it has a state per instance, and that state is made
//! from the run's grants. With `task/` the only room that names wasmtime.

pub mod current;
pub mod http;
pub mod network;
pub mod output;
pub mod resolve;
pub mod run;
pub mod wasi;
