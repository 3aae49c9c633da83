//! Makes a component from a core module, for languages whose compilers produce only modules.
//!
//! Derives a module's world from its imports and exports (`borders.rs`), and says what no component can be made of
//! (`misfit.rs`). Does not know how a component is run: no wasmtime here.

mod borders;
mod misfit;
mod returned;

use std::collections::BTreeSet;

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasmparser::{Parser, Payload, Validator};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, WorldId};

use crate::proposals;
use crate::wit::{TASK_WIT, WASI_VERSION, WASI_WIT};
use borders::{Borders, Kind};

/// The export by which a host allocates memory for what it passes.
const ALLOCATOR: &str = "cabi_realloc";

/// What older bindings call it.
const OTHER_ALLOCATORS: [&str; 3] = ["canonical_abi_realloc", "_cabi_realloc", "_canonical_abi_realloc"];

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
    /// It has what no component can have, or lacks what it needs; with the remedy.
    #[error("{0}")]
    Unfit(String),
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
    let misfit = |error: anyhow::Error| ComponentError::Misfit(misfit::in_short(&error));
    let mut borders = Borders::of(module)?;
    let renamed = with_usual_names(module, &borders);
    let mut module = renamed.unwrap_or_else(|| module.to_vec());
    if let Ok(usual) = Borders::of(&module) {
        borders = usual;
    }
    if let Some(unfit) = misfit::find(&borders) {
        return Err(ComponentError::Unfit(unfit));
    }
    // What makes components takes more than what runs them.
    if let Err(error) = Validator::new().validate_all(&module) {
        let why = proposals::remedy(error.message()).map_or_else(
            || format!("is broken: {}; build it again", error.message()),
            |remedy| format!("cannot be run: {remedy}"),
        );
        return Err(ComponentError::Unfit(why));
    }
    if !borders.has_world {
        let (resolve, world) = resolve(&world(&borders, returns), &versions(&borders)).map_err(misfit)?;
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

/// Whether the operation of a module seems to return `result<string, string>`, although the module does not say so.
pub fn seems_fallible(module: &[u8]) -> bool {
    !Borders::of(module).is_ok_and(|borders| borders.has_world) && returned::seems_fallible(module)
}

/// What runs and may surprise its authors: what of the module is never called.
pub fn oddity(module: &[u8]) -> Option<&'static str> {
    Borders::of(module).ok().as_ref().and_then(misfit::oddity)
}

/// The world of a module with these borders, as WIT.
fn world(borders: &Borders, returns: Returns) -> String {
    let operation = match returns {
        Returns::Text => "task",
        Returns::Fallible => "fallible-task",
    };
    let imports = borders.interfaces().into_iter().map(|interface| format!("import {interface}; "));
    let hooks = HOOKS.into_iter().filter(|hook| borders.has(hook));
    let hooks = hooks.map(|hook| format!("include gorgon:task/with-{hook}@0.1.0; "));
    let includes: String = imports.chain(hooks).collect();
    format!("package made:task; world made {{ {includes}include gorgon:task/{operation}@0.1.0; }}")
}

/// The versions of WASI from which a module with these borders imports. They differ in what was added, and a host that
/// has the last one has all.
fn versions(borders: &Borders) -> BTreeSet<&str> {
    let wasi = borders.interfaces().into_iter().filter(|interface| interface.starts_with("wasi:"));
    wasi.filter_map(|interface| Some(interface.split_once('@')?.1)).filter(|version| is_wasi_0_2(version)).collect()
}

/// Whether a version is one of WASI 0.2, and no preview of it.
fn is_wasi_0_2(version: &str) -> bool {
    version.strip_prefix("0.2.").is_some_and(|patch| patch.parse::<u16>().is_ok())
}

/// The names of the interfaces of a package of WASI.
fn interfaces_of(package: &str) -> Vec<&'static str> {
    let text =
        WASI_WIT.iter().find(|(file, _)| file.strip_suffix(".wit") == Some(package)).map_or("", |(_, text)| text);
    let name = |line: &'static str| line.trim().strip_prefix("interface ")?.split([' ', '{']).next();
    text.lines().filter_map(name).collect()
}

/// The module with the usual names of its memory and of what allocates in it, if it has others: older bindings and some
/// linkers have their own.
fn with_usual_names(module: &[u8], borders: &Borders) -> Option<Vec<u8>> {
    let memories: Vec<&str> = borders
        .exports
        .iter()
        .filter(|export| export.kind == Kind::Memory)
        .map(|export| export.name.as_str())
        .collect();
    let memory = match memories[..] {
        [only] if only != "memory" && !borders.has("memory") => Some(only),
        _ => None,
    };
    let allocator = OTHER_ALLOCATORS.into_iter().find(|name| borders.has(name) && !borders.has(ALLOCATOR));
    let usual = |name: &str| match name {
        name if Some(name) == memory => "memory".to_owned(),
        name if Some(name) == allocator => ALLOCATOR.to_owned(),
        name => name.to_owned(),
    };
    memory.or(allocator)?;
    let mut renamed = wasm_encoder::Module::new();
    for payload in Parser::new(0).parse_all(module) {
        match payload.ok()? {
            Payload::ExportSection(exports) => {
                let mut section = wasm_encoder::ExportSection::new();
                for export in exports {
                    let export = export.ok()?;
                    section.export(&usual(export.name), export.kind.into(), export.index);
                }
                renamed.section(&section);
            }
            payload => {
                if let Some((id, range)) = payload.as_section() {
                    renamed.section(&wasm_encoder::RawSection { id, data: module.get(range)? });
                }
            }
        }
    }
    Some(renamed.finish())
}

fn resolve(world: &str, versions: &BTreeSet<&str>) -> anyhow::Result<(Resolve, WorldId)> {
    let mut resolve = Resolve::default();
    for version in versions {
        for (name, text) in WASI_WIT {
            let text = text.replace(WASI_VERSION, version).replace("version = 0.2.1)", "version = 0.2.0)");
            resolve.push_str(name, &text)?;
        }
    }
    resolve.push_str("task.wit", TASK_WIT)?;
    let package = resolve.push_str("made.wit", world)?;
    let world = resolve.select_world(&[package], None)?;
    Ok((resolve, world))
}
