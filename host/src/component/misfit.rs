//! What is wrong with a module, and what mends it: the misfits of the compilers that people use.

use super::HOOKS;
use super::borders::{Borders, Export, Import, Kind};
use crate::guest_text::brief;
use crate::wit::{WASI_WIT, provided};

/// The type of an operation in a core module.
const OPERATION: &str = "(i64) -> i32";

/// The most names that a sentence lists.
const MOST_LISTED: usize = 8;

/// The first preview of WASI, which the adapter handles.
const PREVIEW_1: &str = "wasi_snapshot_preview1";

/// Why no component can be made of a module with these borders, and the remedy; `None` if nothing is known.
pub(super) fn find(borders: &Borders) -> Option<String> {
    object(borders)
        .or_else(|| memory(borders))
        .or_else(|| imports(borders))
        .or_else(|| operation(borders))
        .or_else(|| exported_memory(borders))
        .or_else(|| hook(borders))
}

/// What a compiler leaves to a linker.
fn object(borders: &Borders) -> Option<String> {
    borders.is_object.then(|| "is an object file: link it (the compiler without `-c`, or wasm-ld)".to_owned())
}

/// What runs, and not as its authors expect.
pub(super) fn oddity(borders: &Borders) -> Option<&'static str> {
    (borders.has("_start") && !borders.has("_initialize")).then_some(
        "exports `_start`, as a command does, and gorgon does not call that: constructors and a runtime's start do not \
         run; build a reactor (`-mexec-model=reactor`, `-buildmode=c-shared`)",
    )
}

/// What all of a module's imports together tell of the compiler.
fn compiler(import: &Import, borders: &Borders) -> Option<&'static str> {
    let is_of = |starts: &[&str]| {
        let mut functions = borders.imports.iter().filter(|of| matches!(of.module.as_str(), "env" | "gojs"));
        functions.any(|of| starts.iter().any(|start| of.name.starts_with(start)))
    };
    match import.module.as_str() {
        "env" | "gojs" if is_of(&["syscall/js.", "runtime.ticks", "runtime.sleepTicks", "time.resetTimer"]) => {
            Some("as TinyGo does for browsers: build it with `-target=wasip2`, or `-target=wasip1 -buildmode=c-shared`")
        }
        "env" if is_of(&["emscripten_", "_emscripten", "invoke_", "__syscall_", "_abort_js", "__cxa_throw"]) => {
            Some("which emscripten's JavaScript provides: build it with `-sSTANDALONE_WASM --no-entry`")
        }
        "env" | "GOT.mem" | "GOT.func" if borders.is_shared_library => {
            Some("as a shared library does: link it statically, without `-shared` or `-sSIDE_MODULE`")
        }
        _ => None,
    }
}

/// Memories that no component has.
fn memory(borders: &Borders) -> Option<String> {
    if borders.memories.iter().any(|memory| memory.shared) {
        return Some(
            "has a memory that threads share, which no instance of a task has: build it without threads (for C without \
             `-pthread`, for Rust without the features atomics and bulk-memory of `wasm32-wasip1-threads`)"
                .into(),
        );
    }
    if borders.memories.iter().any(|memory| memory.memory64) {
        return Some("has a memory of 64 bits, which the canonical ABI does not know: build it for wasm32".into());
    }
    None
}

/// What nobody provides: the remedy for the first, and the names of the others.
fn imports(borders: &Borders) -> Option<String> {
    let mut unfit = borders.imports.iter().filter_map(|of| Some((of, import(of, borders)?)));
    let (_, first) = unfit.next()?;
    let others: Vec<_> = unfit.map(|(of, _)| format!("`{}::{}`", brief(&of.module), brief(&of.name))).collect();
    let more = others.len().saturating_sub(MOST_LISTED);
    let shown = others[..others.len() - more].join(", ");
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Some(if others.is_empty() { first } else { format!("{first}; also unfit: {shown}{more}") })
}

/// What nobody provides.
fn import(import: &Import, borders: &Borders) -> Option<String> {
    let Import { module, name, kind } = import;
    let what = format!("imports `{}::{}`", brief(module), brief(name));
    let told = |why: &str| Some(format!("{what}, {why}"));
    if let Some(compiler) = compiler(import, borders) {
        return told(compiler);
    }
    match (module.as_str(), name.as_str(), kind) {
        (_, _, Kind::Other) => told(
            "a table or a global, from its host: link it statically, without `--import-table`, `-shared` and the like",
        ),
        (_, _, Kind::Memory) => {
            told("its memory, from its host: link it without `--import-memory` (emcc: without `-sIMPORTED_MEMORY`)")
        }
        (_, _, Kind::Tag) => told(
            "the tag of exceptions that another module would throw: link what throws them into it (for C++ \
             `-fwasm-exceptions` with libunwind and libc++abi, in the encoding with `try_table`)",
        ),
        (PREVIEW_1, name, Kind::Function) if is_of_wasmedge(name) => {
            told("which only WasmEdge provides: use the sockets of WASI 0.2, or gorgon's HTTP")
        }
        (PREVIEW_1, ..) => None,
        ("wasi_unstable", ..) => told(
            "from the preview of WASI before the first one, of 2019: build it with a compiler of today for \
             wasm32-wasip1",
        ),
        ("wasi" | "wasi:thread-spawn", "thread-spawn", _) => told("to start a thread: build it without threads"),
        ("env", "abort", _) => told(
            "as AssemblyScript does unless it is told otherwise: compile it with `--use abort=FILE/FUNCTION`, or with \
             `--use abort=`, which loses the message",
        ),
        ("env", "seed", _) => told(
            "as AssemblyScript does for Math.random: compile it with `--use seed=FILE/FUNCTION`, or leave that out",
        ),
        ("env", name, _) if name == "trace" || name.contains('.') => {
            told("which only JavaScript provides to AssemblyScript: leave it out, or call WASI instead")
        }
        ("env", ..) => told(
            "a function that was declared and not linked: link what defines it, or import it from an interface, such \
             as `gorgon:task/current@0.1.0`",
        ),
        ("gojs" | "go", ..) => {
            told("as Go does for browsers: build it with `GOOS=wasip1 go build -buildmode=c-shared`")
        }
        ("wbg" | "__wbindgen_placeholder__" | "__wbindgen_externref_xform__", ..) => {
            told("as wasm-bindgen does for browsers: build it for wasm32-wasip2, without wasm-bindgen")
        }
        (module, ..) if module.starts_with("./") && module.ends_with(".js") => {
            told("as wasm-bindgen does for browsers: build it for wasm32-wasip2, without wasm-bindgen")
        }
        (module, name, _) if module.len() == 1 && name.len() <= 2 => {
            told("a name that emcc has shortened: build it with `-sSTANDALONE_WASM --no-entry`")
        }
        ("$root", ..) => {
            told("which belongs to no interface: import it from `gorgon:task/current@0.1.0`, or another one")
        }
        (module, ..) if module.starts_with("cm32p2") => told(
            "in a newer spelling that is not known here: use wit-bindgen's bindings, or the names of its interface",
        ),
        (module, name, _) if module.contains(':') => interface(module).or_else(|| function(module, name)),
        _ => told("from no interface: a task can import `gorgon:task/…`, `wasi:…@0.2…`, WASI's first preview"),
    }
}

fn is_of_wasmedge(name: &str) -> bool {
    // The first preview has four functions of sockets.
    name.starts_with("sock_") && !matches!(name, "sock_accept" | "sock_recv" | "sock_send" | "sock_shutdown")
}

/// An interface that is not provided here.
fn interface(module: &str) -> Option<String> {
    let (name, version) = module.split_once('@').unwrap_or((module, ""));
    let (package, own) = name.split_once('/')?;
    let known: Vec<&str> = WASI_WIT.iter().filter_map(|(file, _)| file.strip_suffix(".wit")).collect();
    let shown = brief(module);
    match package.split_once(':')? {
        ("gorgon", "task") if version.is_empty() => {
            Some(format!("imports `{shown}` without its version: write `{name}@0.1.0`"))
        }
        ("gorgon", "task") if provided(module).is_some() => None,
        ("gorgon", "task") if version != "0.1.0" => Some(format!(
            "imports `{shown}`, and this gorgon has 0.1.0 of it: build it with that SDK, or take a newer gorgon"
        )),
        ("wasi", of) if known.contains(&of) => match version {
            "" => Some(format!("imports `{shown}` without its version: write `{name}@0.2.0`")),
            version if super::is_wasi_0_2(version) => {
                let interfaces = super::interfaces_of(of);
                (!interfaces.contains(&own)).then(|| {
                    let nearest = interfaces
                        .iter()
                        .max_by(|a, b| strsim::jaro_winkler(a, own).total_cmp(&strsim::jaro_winkler(b, own)));
                    let nearest = nearest.map(|nearest| format!("; did you mean `wasi:{of}/{nearest}@{version}`?"));
                    format!("imports `{shown}`, which WASI does not have{}", nearest.unwrap_or_default())
                })
            }
            _ => Some(format!("imports `{shown}`, which is not of WASI 0.2: build it for wasm32-wasip2, or for 0.2.x")),
        },
        _ => Some(format!(
            "imports `{shown}`, which nothing here provides: a task can import `gorgon:task/…@0.1.0` and, of WASI \
             0.2, {}",
            known.join(", ")
        )),
    }
}

/// A function that its interface does not have.
fn function(module: &str, name: &str) -> Option<String> {
    let names = provided(module).filter(|names| !names.iter().any(|known| known == name))?;
    let alike = |known: &String| strsim::jaro_winkler(known, name);
    let nearest = names.iter().max_by(|a, b| alike(a).total_cmp(&alike(b)));
    let nearest = nearest.map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default();
    Some(format!("imports `{}` from `{}`, which has no such function{nearest}", brief(name), brief(module)))
}

/// What a library says of a module that does not fit, without what happened inside of it.
pub(super) fn in_short(error: &anyhow::Error) -> String {
    let text = error.root_cause().to_string().replace('\n', " ");
    if text.contains("a function named `cabi_realloc`") {
        return "it exports no `cabi_realloc`, by which it gets memory for the strings that it is given: the bindings \
                of wit-bindgen have one, and so do the examples"
            .into();
    }
    text[..text.rfind(" (at offset 0x").unwrap_or(text.len())].to_owned()
}

/// The operation is missing, or is of another type.
fn operation(borders: &Borders) -> Option<String> {
    let of_name = |name: &str| borders.exports.iter().find(|export| export.name == name);
    if let Some(found) = of_name("operation") {
        let Some(signature) = &found.signature else {
            return Some("exports an `operation` that is no function: export the function of that name".into());
        };
        return (!borders.has_world && signature != OPERATION).then(|| {
            format!(
                "exports `operation` as {signature}: in a core module it is {OPERATION}, which takes `n` and returns \
                 the place of a string's address and length"
            )
        });
    }
    let mangled =
        borders.exports.iter().find(|export| export.name.rsplit_once('#').is_some_and(|(_, name)| name == "operation"));
    if let Some(of) = mangled.filter(|_| !borders.has_world) {
        return Some(format!(
            "exports `{}`, an operation inside an interface, and brings no world that says so: export it as \
             `operation`",
            brief(&of.name)
        ));
    }
    let functions = borders.exports.iter().filter(|export| export.kind == Kind::Function);
    let names: Vec<_> = functions.map(|export| format!("`{}`", brief(&export.name))).collect();
    let more =
        if names.len() > MOST_LISTED { format!(" and {} more", names.len() - MOST_LISTED) } else { String::new() };
    let found = match names.len() {
        0 => String::new(),
        _ => format!(", but {}{more}", names[..names.len().min(MOST_LISTED)].join(", ")),
    };
    let is_alike = |name: &str| {
        let name = name.trim_start_matches('_').to_ascii_lowercase();
        name == "operation" || strsim::jaro_winkler(&name, "operation") > ALIKE
    };
    let alike = borders.exports.iter().find(|export| is_alike(&export.name) && export.kind == Kind::Function);
    let remedy = match alike {
        Some(export) => format!("rename `{}`", brief(&export.name)),
        None if borders.has("_start") => {
            "export a function `operation`, and build a reactor, not a command (`-mexec-model=reactor`, \
             `-buildmode=c-shared`)"
                .to_owned()
        }
        None => {
            "export a function `operation` (C and C++: `__attribute__((export_name(\"operation\")))`; Zig: `export fn` \
             and -rdynamic)"
                .to_owned()
        }
    };
    Some(format!("exports no `operation`{found}: {remedy}"))
}

/// How similar a name must be to the right one, from 0 to 1.
const ALIKE: f64 = 0.9;

/// Its memory has no name, or another one.
fn exported_memory(borders: &Borders) -> Option<String> {
    if borders.has("memory") {
        return None;
    }
    let other = borders.exports.iter().find(|export| export.kind == Kind::Memory);
    Some(match other {
        Some(export) => format!("exports its memory as `{}`: export it as `memory`", brief(&export.name)),
        None if borders.memories.is_empty() => {
            "has no memory, so it cannot return a string: give it one, and export it as `memory`".into()
        }
        None => "does not export its memory: export it as `memory`".into(),
    })
}

/// A hook of another type.
fn hook(borders: &Borders) -> Option<String> {
    let is_hook = |name: &str| HOOKS.contains(&name);
    let type_of = |name: &str| if name == "cleanup" { "(i32, i32) -> i32" } else { "() -> i32" };
    let is_wrong =
        |export: &&Export| is_hook(&export.name) && export.signature.as_deref() != Some(type_of(&export.name));
    let wrong = borders.exports.iter().find(is_wrong).filter(|_| !borders.has_world)?;
    let name = &wrong.name;
    Some(match &wrong.signature {
        None => format!("exports `{name}`, which is the name of a hook, and is no function: name it otherwise"),
        Some(signature) => format!(
            "exports `{name}` as {signature}, which is the name of a hook: in a core module that is {}, which returns \
             the place of a tag, 0 or 1, and of a text's address and length; or name it otherwise",
            type_of(name)
        ),
    })
}
