//! `gorgon:task/run`: what `prepare` returned, the rows of the data file, and whether this is the warm-up.

use std::sync::Arc;

use wasmtime::component::Linker;

use crate::capability::guest::Guest;
use crate::plan::FIRST_UNCOUNTED;
use crate::rows::Rows;

/// What a run gives its operations; shared by all instances of a process.
#[derive(Debug, Default)]
pub struct Given {
    /// What `prepare` returned.
    pub prepared: String,
    /// The rows of the data file.
    pub data: Rows,
}

/// Links `gorgon:task/run`.
pub fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut run = linker.instance("gorgon:task/run@0.1.0")?;
    run.func_wrap("prepared", |store, (): ()| Ok((store.data().given.prepared.clone(),)))?;
    run.func_wrap("rows", |store, (): ()| Ok((store.data().given.data.count(),)))?;
    run.func_wrap("columns", |store, (): ()| Ok((store.data().given.data.columns().to_vec(),)))?;
    run.func_wrap("row", |store, (i,): (u64,)| {
        let given: &Arc<Given> = &store.data().given;
        let rows = &given.data;
        match rows.row(i)? {
            Some(row) => Ok((row,)),
            None => {
                let warmup = if i >= FIRST_UNCOUNTED { "; clear bit 63 of a number of the warm-up" } else { "" };
                let rows = rows.count();
                Err(wasmtime::format_err!("there is no row {i}: the data has {rows} rows, counted from 0{warmup}"))
            }
        }
    })?;
    run.func_wrap("is-warmup", |store, (): ()| Ok((store.data().number >= FIRST_UNCOUNTED,)))?;
    Ok(())
}
