//! From a core module to a component, for languages whose compilers stop at the module.
//!
//! Owns the WIT of tasks and of WASI, and how a module's imports and exports name the world that it was written for.
//! Knows nothing of running a component; no wasmtime here.

use std::collections::BTreeSet;

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasmparser::{Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, WorldId};

/// The interface between Gorgon and its tasks, as WIT.
pub const TASK_WIT: &str = include_str!("../wit/task.wit");

/// WASI as WIT: the packages, each after those that it uses.
pub const WASI_WIT: [(&str, &str); 7] = [
    ("io.wit", include_str!("../wit/deps/io.wit")),
    ("clocks.wit", include_str!("../wit/deps/clocks.wit")),
    ("random.wit", include_str!("../wit/deps/random.wit")),
    ("filesystem.wit", include_str!("../wit/deps/filesystem.wit")),
    ("sockets.wit", include_str!("../wit/deps/sockets.wit")),
    ("cli.wit", include_str!("../wit/deps/cli.wit")),
    ("http.wit", include_str!("../wit/deps/http.wit")),
];

/// Exports of a module beside its operation, each with a world of its own.
const HOOKS: [&str; 4] = ["setup", "teardown", "prepare", "cleanup"];

/// What an operation returns; a module does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returns {
    /// `string`.
    Text,
    /// `result<string, string>`.
    Fallible,
}

/// Why no component can be made of a file.
#[derive(Debug, thiserror::Error)]
pub enum ComponentError {
    /// It is a component.
    #[error("is a component already: run it as it is")]
    Already,
    /// It is no WebAssembly, or broken.
    #[error("is not a core WebAssembly module: {0}")]
    NotAModule(String),
    /// It has no operation.
    #[error(
        "exports no `operation`, but {0}: export a function of that name, and build a reactor, not a command \
         (`-mexec-model=reactor`, `-buildmode=c-shared`)"
    )]
    NoOperation(String),
    /// Its imports or exports are not as the canonical ABI has them.
    #[error("does not fit its interface: {0}")]
    Misfit(String),
}

/// A component of a core module that was built for `wasm32-wasip1` or for nothing in particular.
///
/// Its functions follow the canonical ABI: `operation` takes an `i64` and returns the address of a string's address and
/// length. The world is read off the module: what it imports of `gorgon:task` and WASI, and which hooks it exports. A
/// module that brings its own world, from bindings, keeps it.
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

/// What a module says of its world.
#[derive(Default)]
struct Borders {
    /// The interfaces from which it imports.
    interfaces: BTreeSet<String>,
    exports: BTreeSet<String>,
    /// Whether it brings a world of its own.
    has_world: bool,
}

impl Borders {
    fn of(module: &[u8]) -> Result<Self, ComponentError> {
        let broken = |error: wasmparser::BinaryReaderError| ComponentError::NotAModule(error.message().to_owned());
        if !module.starts_with(b"\0asm") {
            return Err(ComponentError::NotAModule("it has another beginning".into()));
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
        // What stands between colons is an interface; the rest is WASI's first preview, for the adapter.
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
