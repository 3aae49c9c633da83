//! Where a guest was when it trapped.

use wasmtime::WasmBacktrace;

/// A guest function that was running when its operation trapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its name, as the source has it where that is known.
    pub function: String,
    /// Where in the source, as `file:line:column`; `None` in a component without debug information.
    pub place: Option<String>,
}

/// The functions behind a trap; none where the engine keeps none.
pub(super) fn frames(error: &wasmtime::Error) -> Vec<Frame> {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return Vec::new() };
    let unnamed = |index: u32| format!("function {index}");
    let frames = backtrace.frames().iter().flat_map(|frame| {
        // Several, where functions were inlined.
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

/// A function's name as its source has it.
fn demangled(name: &str) -> String {
    if let Ok(rust) = rustc_demangle::try_demangle(name) {
        // Without the hashes that tell crates and instances apart.
        return format!("{rust:#}");
    }
    let mut other = String::new();
    match wasmtime_environ::demangle_function_name(&mut other, name) {
        Ok(()) => other,
        Err(_) => name.to_owned(),
    }
}
