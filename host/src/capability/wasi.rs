//! WASI 0.2: always linked, but it can reach only what the run grants.

use std::sync::Arc;

use wasmtime::component::Linker;
use wasmtime_wasi::{FsPerms, WasiCtx};

use super::http;
use super::network::{self, Network};
use super::output::{GuestOutput, GuestStream};
use super::timers;
use crate::capability::guest::Guest;
use crate::lane::Lane;
use crate::plan::{Access, Grants};

/// Links WASI for a lane. A single async host function would make every sync call of the compute lane fail.
pub fn link(linker: &mut Linker<Guest>, lane: Lane) -> wasmtime::Result<()> {
    match lane {
        Lane::Compute => wasmtime_wasi::p2::add_to_linker_sync(linker),
        Lane::Io => {
            wasmtime_wasi::p2::add_to_linker_async(linker)?;
            timers::link(linker)?;
            network::link(linker)?;
            http::link(linker)
        }
    }
}

/// The state of one instance: its arguments, environment and directories; stdin is empty, stdout and stderr go to
/// `output`. Also returns its stderr.
pub(super) fn context(
    grants: &Grants,
    output: &GuestOutput,
    network: &Arc<Network>,
    max_passed: usize,
) -> wasmtime::Result<(WasiCtx, GuestStream)> {
    let mut wasi = WasiCtx::builder();
    let stderr = output.stream_with_last_words();
    wasi.stdout(output.stream()).stderr(stderr.clone()).max_random_size(max_passed as u64);
    // A program expects its name before its arguments.
    wasi.arg("task").args(&grants.args).envs(&grants.env);
    for dir in &grants.dirs {
        let access = match dir.access {
            Access::ReadOnly => FsPerms::ReadOnly,
            Access::ReadWrite => FsPerms::ReadWrite,
        };
        wasi.preopened_dir(&dir.host, &dir.guest, access)?;
    }
    network::configure(&mut wasi, network);
    Ok((wasi.build(), stderr))
}
