//! What a task may import, one file per capability.
//!
//! A capability is linked once per process and has a state per instance, which is made from the run's grants. Only this
//! module and `task/` use wasmtime (`machine.rs` reads its version).

pub mod current;
pub mod guest;
pub mod http;
mod last_words;
pub mod limits;
pub mod network;
pub mod output;
pub mod run;
pub mod timers;
pub mod tracing;
pub mod wasi;

use wasmtime::Engine;
use wasmtime::component::Linker;

use crate::lane::Lane;
use guest::Guest;

/// Everything that a task may import, as its lane needs it.
pub fn linker(engine: &Engine, lane: Lane) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    wasi::link(&mut linker, lane)?;
    current::link(&mut linker)?;
    run::link(&mut linker)?;
    Ok(linker)
}
