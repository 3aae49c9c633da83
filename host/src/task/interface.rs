//! What follows from a component's exports and imports: the operation's type, the hooks, the lane.

use wasmtime::Engine;
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, ComponentExportIndex, Type};

use super::TaskError;
use crate::hook::Hook;
use crate::lane::Lane;
use crate::plan::Grants;

/// The two types that an operation may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OperationType {
    /// `func(u64) -> string`.
    Plain,
    /// `func(u64) -> result<string, string>`.
    Fallible,
}

/// A task's exports, looked up once.
pub(super) struct Interface {
    pub(super) operation: ComponentExportIndex,
    pub(super) operation_type: OperationType,
    hooks: Vec<(Hook, ComponentExportIndex)>,
}

impl Interface {
    pub(super) fn of(engine: &Engine, component: &Component, operation: &str) -> Result<Self, TaskError> {
        let component_type = component.component_type();
        let function = |name: &str| match component_type.get_export(engine, name)?.ty {
            ComponentItem::ComponentFunc(function) => Some(function),
            _ => None,
        };
        let index = |name: &str| component.get_export_index(None, name);

        let exported = function(operation).zip(index(operation));
        let Some((function_type, operation_index)) = exported else {
            let names: Vec<_> = component_type.exports(engine).map(|(name, _)| format!("`{name}`")).collect();
            let found = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
            return Err(TaskError::Interface(format!(
                "has no function `{operation}`, it exports {found}: export `operation: func(n: u64) -> string`, or name \
                 another function by --operation-name"
            )));
        };
        let Some(operation_type) = operation_type(&function_type) else {
            return Err(TaskError::Interface(format!(
                "exports `{operation}` as {}: it must be func(u64) -> string or func(u64) -> result<string, string>",
                describe(&function_type)
            )));
        };
        let mut hooks = Vec::new();
        for hook in Hook::ALL {
            let Some((function_type, index)) = function(hook.name()).zip(index(hook.name())) else { continue };
            if !is_of_type(hook, &function_type) {
                return Err(TaskError::Interface(format!(
                    "exports `{hook}` as {}: it must be {}",
                    describe(&function_type),
                    hook.signature()
                )));
            }
            hooks.push((hook, index));
        }
        Ok(Self { operation: operation_index, operation_type, hooks })
    }

    pub(super) fn hook(&self, wanted: Hook) -> Option<&ComponentExportIndex> {
        self.hooks.iter().find(|(hook, _)| *hook == wanted).map(|(_, index)| index)
    }
}

fn operation_type(function: &ComponentFunc) -> Option<OperationType> {
    if !matches!(params(function)[..], [Type::U64]) {
        return None;
    }
    match &results(function)[..] {
        [Type::String] => Some(OperationType::Plain),
        [Type::Result(result)] if is_string(result.ok()) && is_string(result.err()) => Some(OperationType::Fallible),
        _ => None,
    }
}

fn is_of_type(hook: Hook, function: &ComponentFunc) -> bool {
    let params_fit = match hook {
        Hook::Cleanup => matches!(params(function)[..], [Type::String]),
        _ => params(function).is_empty(),
    };
    let result_fits = match &results(function)[..] {
        [Type::Result(result)] => {
            is_string(result.err())
                && match hook {
                    Hook::Prepare => is_string(result.ok()),
                    _ => result.ok().is_none(),
                }
        }
        _ => false,
    };
    params_fit && result_fits
}

fn params(function: &ComponentFunc) -> Vec<Type> {
    function.params().map(|(_, ty)| ty).collect()
}

fn results(function: &ComponentFunc) -> Vec<Type> {
    function.results().collect()
}

fn is_string(ty: Option<Type>) -> bool {
    matches!(ty, Some(Type::String))
}

/// A function's type in WIT, in as much detail as an error message needs.
pub(super) fn describe(function: &ComponentFunc) -> String {
    let mut budget = MOST_TYPES;
    let params = list(function.params().map(|(_, ty)| ty), &mut budget);
    let returned = list(function.results(), &mut budget);
    let prefix = if function.async_() { "async " } else { "" };
    let arrow = if returned.is_empty() { "" } else { " -> " };
    format!("{prefix}func({params}){arrow}{returned}")
}

/// The most types in a function's type that are shown. A few lines of a component can make types of millions.
const MOST_TYPES: usize = 64;

/// Types with commas between them, as long as `budget` lasts.
fn list(types: impl Iterator<Item = Type>, budget: &mut usize) -> String {
    let mut names = Vec::new();
    for ty in types {
        if *budget == 0 {
            names.push("…".to_owned());
            break;
        }
        names.push(name(&ty, budget));
    }
    names.join(", ")
}

fn name(ty: &Type, budget: &mut usize) -> String {
    if *budget == 0 {
        return "…".into();
    }
    *budget -= 1;
    match ty {
        Type::Bool => "bool".into(),
        Type::S8 => "s8".into(),
        Type::U8 => "u8".into(),
        Type::S16 => "s16".into(),
        Type::U16 => "u16".into(),
        Type::S32 => "s32".into(),
        Type::U32 => "u32".into(),
        Type::S64 => "s64".into(),
        Type::U64 => "u64".into(),
        Type::Float32 => "f32".into(),
        Type::Float64 => "f64".into(),
        Type::Char => "char".into(),
        Type::String => "string".into(),
        Type::List(list) => format!("list<{}>", name(&list.ty(), budget)),
        Type::Option(option) => format!("option<{}>", name(&option.ty(), budget)),
        Type::Result(result) => {
            let mut side = |ty: Option<Type>| ty.map_or("_".to_owned(), |ty| name(&ty, budget));
            format!("result<{}, {}>", side(result.ok()), side(result.err()))
        }
        Type::Tuple(tuple) => format!("tuple<{}>", list(tuple.types(), budget)),
        Type::Record(_) => "record".into(),
        Type::Variant(_) => "variant".into(),
        Type::Enum(_) => "enum".into(),
        Type::Flags(_) => "flags".into(),
        _ => "another type".into(),
    }
}

/// The first import of a component that can wait in the host. If there is one, the component runs in the I/O lane.
///
/// Functions that every guest imports (`wasi:io`, `wasi:cli`, reading a clock, random numbers) do not count: without
/// one of the imports below they have nothing to wait for.
pub(super) fn waits(engine: &Engine, component: &Component, grants: &Grants) -> Option<String> {
    let is_async = |item: &ComponentItem| matches!(item, ComponentItem::ComponentFunc(function) if function.async_());
    component.component_type().imports(engine).find_map(|(import, item)| match item.ty {
        ComponentItem::ComponentInstance(instance) => {
            let interface = unversioned(import);
            let mut functions = instance.exports(engine);
            let waits = functions.find(|(function, item)| is_async(&item.ty) || can_wait(interface, function, grants));
            waits.map(|(function, _)| format!("{interface}.{function}"))
        }
        item => is_async(&item).then(|| import.to_owned()),
    })
}

/// The lane of a task, given its first import that can wait in the host.
pub(super) fn lane(waits: Option<&str>) -> Lane {
    if waits.is_some() { Lane::Io } else { Lane::Compute }
}

/// An interface's name without its version.
pub(super) fn unversioned(interface: &str) -> &str {
    interface.split_once('@').map_or(interface, |(interface, _)| interface)
}

fn can_wait(interface: &str, function: &str, grants: &Grants) -> bool {
    match interface {
        "wasi:clocks/monotonic-clock" => function.starts_with("subscribe-"),
        // Reading a FIFO in a granted directory blocks, and in the compute lane no deadline could end that.
        "wasi:filesystem/types" => !grants.dirs.is_empty(),
        "wasi:sockets/tcp"
        | "wasi:sockets/udp"
        | "wasi:sockets/tcp-create-socket"
        | "wasi:sockets/udp-create-socket"
        | "wasi:sockets/ip-name-lookup" => true,
        _ => interface.starts_with("wasi:http/"),
    }
}

/// The message for an import that nothing provides, for the author of the task.
pub(super) fn unlinked(error: &wasmtime::Error) -> String {
    // wasmtime's message names the interface, then the function in it, each in backticks.
    let text = format!("{error:#}");
    let names: Vec<_> = text.split('`').skip(1).step_by(2).collect();
    let import = if names.is_empty() { text } else { names.join(".") };
    format!("imports `{import}`, which nothing here provides ({}): build it without that import", error.root_cause())
}
