//! Makes a component from a core module, for languages whose compilers produce only modules.
//!
//! Owns the WIT of tasks and of WASI, and derives a module's world from its imports and exports. Does not know how a
//! component is run: no wasmtime here.

use std::collections::BTreeSet;

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasmparser::{Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, WorldId};

/// The interface between Gorgon and its tasks, as WIT.
pub const TASK_WIT: &str = include_str!("../wit/task.wit");

/// WASI as WIT: the packages, each after the ones that it uses.
pub const WASI_WIT: [(&str, &str); 7] = [
    ("io.wit", include_str!("../wit/deps/io.wit")),
    ("clocks.wit", include_str!("../wit/deps/clocks.wit")),
    ("random.wit", include_str!("../wit/deps/random.wit")),
    ("filesystem.wit", include_str!("../wit/deps/filesystem.wit")),
    ("sockets.wit", include_str!("../wit/deps/sockets.wit")),
    ("cli.wit", include_str!("../wit/deps/cli.wit")),
    ("http.wit", include_str!("../wit/deps/http.wit")),
];

/// The exports that a module may have besides its operation. The WIT has a world for each.
const HOOKS: [&str; 4] = ["setup", "teardown", "prepare", "cleanup"];

/// What an operation returns. A module does not say so itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returns {
    /// `string`.
    Text,
    /// `result<string, string>`.
    Fallible,
}

/// Why a file cannot be made into a component.
#[derive(Debug, thiserror::Error)]
pub enum ComponentError {
    /// It is a component.
    #[error("is a component already: run it as it is")]
    Already,
    /// It is not WebAssembly, or it is broken.
    #[error("is not a core WebAssembly module: {0}")]
    NotAModule(String),
    /// It has no operation.
    #[error(
        "exports no `operation`, but {0}: export a function of that name, and build a reactor, not a command \
         (`-mexec-model=reactor`, `-buildmode=c-shared`)"
    )]
    NoOperation(String),
    /// Its imports or exports do not follow the canonical ABI.
    #[error("does not fit its interface: {0}")]
    Misfit(String),
}

/// Makes a component from a core module that was built for `wasm32-wasip1` or for no particular system.
///
/// Its functions follow the canonical ABI: `operation` takes an `i64` and returns a pointer to a string's address and
/// length. The world follows from what the module imports of `gorgon:task` and WASI, and from the hooks that it
/// exports. A module that brings a world, from generated bindings, keeps it.
pub fn make(module: &[u8], returns: Returns) -> Result<Vec<u8>, ComponentError> {
    let misfit = |error: anyhow::Error| ComponentError::Misfit(format!("{error:#}").replace('\n', " "));
    let borders = Borders::of(module)?;
    if !borders.exports.contains("operation") {
        let names: Vec<_> = borders.exports.iter().map(|name| format!("`{name}`")).collect();
        let found = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
        return Err(ComponentError::NoOperation(found));
    }
    let mut module = module.to_vec();
    if !borders.has_world {
        let (resolve, world) = resolve(&borders.world(returns)).map_err(misfit)?;
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).map_err(misfit)?;
    }
    ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .and_then(|encoder| {
            encoder.adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)
        })
        .and_then(|mut encoder| encoder.encode())
        .map_err(misfit)
}

/// What a module says about its world.
#[derive(Default)]
struct Borders {
    /// The interfaces from which it imports.
    interfaces: BTreeSet<String>,
    exports: BTreeSet<String>,
    /// Whether the module brings its world.
    has_world: bool,
}

impl Borders {
    fn of(module: &[u8]) -> Result<Self, ComponentError> {
        let broken = |error: wasmparser::BinaryReaderError| ComponentError::NotAModule(error.message().to_owned());
        if !module.starts_with(b"\0asm") {
            return Err(ComponentError::NotAModule("it does not begin with `\\0asm`".into()));
        }
        let mut borders = Self::default();
        for payload in Parser::new(0).parse_all(module) {
            match payload.map_err(broken)? {
                Payload::Version { encoding: wasmparser::Encoding::Component, .. } => {
                    return Err(ComponentError::Already);
                }
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        borders.interfaces.insert(import.map_err(broken)?.module.to_owned());
                    }
                }
                Payload::ExportSection(exports) => {
                    for export in exports {
                        borders.exports.insert(export.map_err(broken)?.name.to_owned());
                    }
                }
                Payload::CustomSection(section) => borders.has_world |= section.name().starts_with("component-type"),
                _ => {}
            }
        }
        // Names with a colon are interfaces. The rest belong to WASI's first preview, which the adapter handles.
        borders.interfaces.retain(|interface| interface.contains(':'));
        Ok(borders)
    }

    /// The world, as WIT.
    fn world(&self, returns: Returns) -> String {
        let operation = match returns {
            Returns::Text => "task",
            Returns::Fallible => "fallible-task",
        };
        let imports = self.interfaces.iter().map(|interface| format!("import {interface}; "));
        let hooks = HOOKS.into_iter().filter(|hook| self.exports.contains(*hook));
        let hooks = hooks.map(|hook| format!("include gorgon:task/with-{hook}@0.1.0; "));
        let includes: String = imports.chain(hooks).collect();
        format!("package made:task; world made {{ {includes}include gorgon:task/{operation}@0.1.0; }}")
    }
}

fn resolve(world: &str) -> anyhow::Result<(Resolve, WorldId)> {
    let mut resolve = Resolve::default();
    for (name, text) in WASI_WIT {
        resolve.push_str(name, text)?;
    }
    resolve.push_str("task.wit", TASK_WIT)?;
    let package = resolve.push_str("made.wit", world)?;
    let world = resolve.select_world(&[package], None)?;
    Ok((resolve, world))
}
