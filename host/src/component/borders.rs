//! What a core module imports and exports, and by which types.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use wasmparser::{CompositeInnerType, Encoding, ExternalKind, FuncType, MemoryType, Parser, Payload, TypeRef};

use super::ComponentError;

/// What a module says about its world.
#[derive(Default)]
pub(super) struct Borders {
    pub(super) imports: Vec<Import>,
    pub(super) exports: Vec<Export>,
    /// Its memories: first those that it imports.
    pub(super) memories: Vec<MemoryType>,
    /// Whether the module brings its world.
    pub(super) has_world: bool,
    /// Whether it is not linked.
    pub(super) is_object: bool,
    /// Whether it is to be linked when it is loaded.
    pub(super) is_shared_library: bool,
}

/// Something that a module imports.
pub(super) struct Import {
    pub(super) module: String,
    pub(super) name: String,
    pub(super) kind: Kind,
}

/// Something that a module exports.
pub(super) struct Export {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// The type of a function, for people.
    pub(super) signature: Option<String>,
}

/// What is imported or exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Function,
    Memory,
    Tag,
    Other,
}

impl Borders {
    pub(super) fn of(module: &[u8]) -> Result<Self, ComponentError> {
        let broken = |error: wasmparser::BinaryReaderError| ComponentError::NotAModule(error.message().to_owned());
        if !module.starts_with(b"\0asm") {
            let is_text = module.trim_ascii_start().starts_with(b"(");
            let what = if is_text {
                "it is WebAssembly as text: assemble it first (`wat2wasm`)"
            } else {
                "it does not begin with `\\0asm`"
            };
            return Err(ComponentError::NotAModule(what.into()));
        }
        let mut borders = Self::default();
        // The types of the module, and which of them each function has.
        let (mut types, mut functions): (Vec<Option<FuncType>>, Vec<u32>) = (Vec::new(), Vec::new());
        for payload in Parser::new(0).parse_all(module) {
            match payload.map_err(broken)? {
                Payload::Version { encoding: Encoding::Component, .. } => return Err(ComponentError::Already),
                Payload::TypeSection(section) => {
                    for group in section {
                        types.extend(group.map_err(broken)?.into_types().map(|of| match of.composite_type.inner {
                            CompositeInnerType::Func(function) => Some(function),
                            _ => None,
                        }));
                    }
                }
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        let import = import.map_err(broken)?;
                        let kind = match import.ty {
                            TypeRef::Func(of) | TypeRef::FuncExact(of) => {
                                functions.push(of);
                                Kind::Function
                            }
                            TypeRef::Memory(memory) => {
                                borders.memories.push(memory);
                                Kind::Memory
                            }
                            TypeRef::Tag(_) => Kind::Tag,
                            TypeRef::Table(_) | TypeRef::Global(_) => Kind::Other,
                        };
                        let (module, name) = (import.module.to_owned(), import.name.to_owned());
                        borders.imports.push(Import { module, name, kind });
                    }
                }
                Payload::FunctionSection(section) => {
                    for of in section {
                        functions.push(of.map_err(broken)?);
                    }
                }
                Payload::MemorySection(section) => {
                    for memory in section {
                        borders.memories.push(memory.map_err(broken)?);
                    }
                }
                Payload::ExportSection(exports) => {
                    for export in exports {
                        let export = export.map_err(broken)?;
                        let of = |at: u32| functions.get(at as usize).and_then(|of| types.get(*of as usize)?.as_ref());
                        let (kind, signature) = match export.kind {
                            ExternalKind::Func | ExternalKind::FuncExact => {
                                (Kind::Function, of(export.index).map(signature))
                            }
                            ExternalKind::Memory => (Kind::Memory, None),
                            ExternalKind::Tag => (Kind::Tag, None),
                            ExternalKind::Table | ExternalKind::Global => (Kind::Other, None),
                        };
                        borders.exports.push(Export { name: export.name.to_owned(), kind, signature });
                    }
                }
                Payload::CustomSection(section) => {
                    borders.has_world |= section.name().starts_with("component-type");
                    borders.is_object |= section.name() == "linking";
                    borders.is_shared_library |= section.name().starts_with("dylink");
                }
                _ => {}
            }
        }
        Ok(borders)
    }

    /// Whether it exports something of that name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.exports.iter().any(|export| export.name == name)
    }

    /// The interfaces from which it imports. Names without a colon belong to WASI's first preview, which the adapter
    /// handles.
    pub(super) fn interfaces(&self) -> BTreeSet<&str> {
        self.imports.iter().map(|import| import.module.as_str()).filter(|module| module.contains(':')).collect()
    }
}

/// A type as people write it: `(i64) -> (i32)`.
fn signature(of: &FuncType) -> String {
    let list = |types: &[wasmparser::ValType]| types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let mut text = format!("({})", list(of.params()));
    if !of.results().is_empty() {
        // Writing to a string cannot fail.
        let _ = write!(text, " -> {}", list(of.results()));
    }
    text
}
