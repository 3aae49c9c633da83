//! Describes a component without running it.

use serde::Serialize;
use wasmtime::Engine;
use wasmtime::component::types::ComponentItem;

use super::interface::{self, Interface};
use super::{Compiled, TaskError, compile};
use crate::capability::linker;
use crate::hook::Hook;
use crate::lane::Lane;
use crate::plan::Grants;

/// What a component exports and imports, and what follows from it.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// The file, as it was named.
    pub path: String,
    /// The file's SHA-256.
    pub sha256: String,
    /// The file's size.
    pub bytes: u64,
    /// The operation's name and type; null if there is none that Gorgon can call.
    pub operation: Option<String>,
    /// Why Gorgon cannot run the component; null if it can.
    pub problem: Option<String>,
    /// The lane in which it runs.
    pub lane: Lane,
    /// Why it runs in that lane.
    pub lane_reason: String,
    /// The hooks it exports.
    pub hooks: Vec<String>,
    /// Everything it exports: functions with their types, interfaces by name.
    pub exports: Vec<String>,
    /// Everything it imports.
    pub imports: Vec<Import>,
    /// What it can use only if it is granted.
    pub grants: Vec<Need>,
}

/// An interface, or a function, that a component imports.
#[derive(Clone, Debug, Serialize)]
pub struct Import {
    /// Its name.
    pub name: String,
    /// The interface's functions that are imported.
    pub functions: Vec<String>,
}

/// Something that has to be granted.
#[derive(Clone, Debug, Serialize)]
pub struct Need {
    /// The flag that grants it.
    pub flag: &'static str,
    /// The import that makes it usable.
    pub import: String,
}

/// Interfaces (without versions) that reach only what is granted. For each: the function without which the interface is
/// useless, and the flag that grants it.
const GRANTED: [(&str, &str, &str); 6] = [
    ("wasi:http/outgoing-handler", "handle", "--allow http://HOST[:PORT]"),
    ("wasi:sockets/tcp-create-socket", "create-tcp-socket", "--allow tcp://HOST:PORT"),
    ("wasi:sockets/udp-create-socket", "create-udp-socket", "--allow udp://HOST:PORT"),
    ("gorgon:task/run", "row", "--data FILE.csv"),
    ("wasi:filesystem/types", "[method]descriptor.open-at", "--dir HOST::GUEST[:rw]"),
    ("wasi:cli/environment", "get-environment", "--env K=V"),
];

/// Inspects a compiled component.
pub fn inspect(engine: &Engine, compiled: &Compiled, operation: &str) -> Result<Inspection, TaskError> {
    let component = compile::map(engine, &compiled.machine_code)?;
    let component_type = component.component_type();
    let exports = interface::functions(engine, &component).into_iter();
    let exports = exports.map(|of| format!("{}: {}", interface::full_name(&of), interface::describe(&of.2)));
    let imports = component_type.imports(engine).map(|(name, item)| {
        let functions = match &item.ty {
            ComponentItem::ComponentInstance(instance) => {
                let functions =
                    instance.exports(engine).filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentFunc(_)));
                functions.map(|(function, _)| function.to_owned()).collect()
            }
            _ => Vec::new(),
        };
        Import { name: name.to_owned(), functions }
    });
    let (exports, imports): (Vec<_>, Vec<_>) = (exports.collect(), imports.collect());
    let waits = interface::waits(engine, &component, &Grants::default());
    let lane = interface::lane(waits.as_deref());
    let interface = Interface::of(engine, &component, operation);
    let linked = linker(engine, lane).and_then(|linker| linker.instantiate_pre(&component));
    let problem = match (&interface, linked) {
        (Err(error), _) => Some(error.to_string()),
        (_, Err(error)) => Some(TaskError::Interface(interface::unlinked(&error, engine, &component)).to_string()),
        _ => None,
    };
    Ok(Inspection {
        path: compiled.path.display().to_string(),
        sha256: compiled.sha256.clone(),
        bytes: compiled.bytes,
        operation: interface.as_ref().ok().map(|interface| interface.described.clone()),
        problem,
        lane,
        lane_reason: match waits {
            Some(import) => format!("it imports {import}, which can wait in the host"),
            None => "nothing that it imports can wait in the host".into(),
        },
        hooks: interface
            .as_ref()
            .map(|interface| Hook::ALL.into_iter().filter(|&hook| interface.hook(hook).is_some()))
            .map(|hooks| hooks.map(|hook| hook.to_string()).collect())
            .unwrap_or_default(),
        grants: needs(&imports),
        exports,
        imports,
    })
}

fn needs(imports: &[Import]) -> Vec<Need> {
    let need = |import: &Import| {
        let interface = interface::unversioned(&import.name);
        let (_, function, flag) = GRANTED.iter().find(|(granted, ..)| *granted == interface)?;
        let used = import.functions.iter().any(|imported| imported == function);
        used.then(|| Need { flag, import: format!("{interface}.{function}") })
    };
    imports.iter().filter_map(need).collect()
}
