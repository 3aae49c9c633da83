//! What a task may import, one file per capability.
//!
//! A capability has three moments: it is linked once per process, it has a state per instance, and that state is made
//! from the run's grants. With `task/` the only room that names wasmtime.

pub mod current;
pub mod guest;
pub mod http;
pub mod limits;
pub mod network;
pub mod output;
pub mod run;
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
