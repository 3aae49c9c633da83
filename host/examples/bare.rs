//! A bare wasmtime loop, to measure gorgon against: the same engine, one instance, one call after the other.
//!
//! `bare TASK.wasm N [clock]` prints the nanoseconds that one call took on average; with `clock`, each call is enclosed
//! by two readings of the clock that gorgon uses.

use std::time::Instant;

use gorgon::clock::Clock;
use gorgon::task::Purpose;
use wasmtime::Store;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

struct Guest {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

fn main() -> wasmtime::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let [_, task, n, clocked @ ..] = args.as_slice() else { wasmtime::bail!("usage: bare TASK.wasm N [clock]") };
    let n: u64 = n.parse()?;

    let engine = gorgon::task::engine(Purpose::Multiply)?;
    let mut linker = Linker::new(&engine);
    wasmtime_wasi::p2::add_to_linker_sync(&mut linker)?;
    let component = Component::from_file(&engine, task)?;
    let mut store = Store::new(&engine, Guest { wasi: WasiCtx::builder().build(), table: ResourceTable::new() });
    store.set_epoch_deadline(1 << 40);
    let instance = linker.instantiate(&mut store, &component)?;
    let operation = instance.get_typed_func::<(u64,), (String,)>(&mut store, "operation")?;

    let clock = Clock::new();
    let begin = Instant::now();
    match clocked {
        [] => {
            for i in 0..n {
                std::hint::black_box(operation.call(&mut store, (i,))?);
            }
        }
        _ => {
            for i in 0..n {
                let start_ns = clock.elapsed_ns();
                let returned = operation.call(&mut store, (i,))?;
                std::hint::black_box((returned, clock.elapsed_ns() - start_ns));
            }
        }
    }
    println!("{}", begin.elapsed().as_nanos() as f64 / n as f64);
    Ok(())
}
