//! The guest functions that were running at a trap.

use wasmtime::WasmBacktrace;

/// A guest function that was running when its operation trapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its name, as in the source if that is known.
    pub function: String,
    /// The place in the source, as `file:line:column`; `None` if the component has no debug information.
    pub place: Option<String>,
}

/// The functions behind a trap; empty if the engine keeps none.
pub(super) fn frames(error: &wasmtime::Error) -> Vec<Frame> {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return Vec::new() };
    let unnamed = |index: u32| format!("function {index}");
    let frames = backtrace.frames().iter().flat_map(|frame| {
        // There are several if functions were inlined.
        let symbols = frame.symbols().iter().map(|symbol| Frame {
            function: symbol.name().or(frame.func_name()).map_or_else(|| unnamed(frame.func_index()), demangled),
            place: symbol.file().map(|file| {
                let numbers = [symbol.line(), symbol.column()].into_iter().flatten();
                numbers.fold(file.to_owned(), |place, number| format!("{place}:{number}"))
            }),
        });
        let function = frame.func_name().map_or_else(|| unnamed(frame.func_index()), demangled);
        let bare = frame.symbols().is_empty().then_some(Frame { function, place: None });
        symbols.chain(bare).collect::<Vec<_>>()
    });
    frames.collect()
}

/// A function's name as in its source.
fn demangled(name: &str) -> String {
    if let Ok(rust) = rustc_demangle::try_demangle(name) {
        // The alternate form leaves out the hashes that distinguish crates and instances.
        return format!("{rust:#}");
    }
    let mut other = String::new();
    match wasmtime_environ::demangle_function_name(&mut other, name) {
        Ok(()) => other,
        Err(_) => name.to_owned(),
    }
}
