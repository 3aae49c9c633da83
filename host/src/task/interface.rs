//! What follows from a component's exports and imports: the operation's type, the hooks, the lane.

use wasmtime::Engine;
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, ComponentExportIndex, Type};

use super::TaskError;
use crate::guest_text::brief;
use crate::hook::Hook;
use crate::lane::Lane;
use crate::plan::{DEFAULT_OPERATION, Grants};
use crate::wit;

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
    /// The operation's name and type, for people.
    pub(super) described: String,
    pub(super) operation: ComponentExportIndex,
    pub(super) operation_type: OperationType,
    hooks: Vec<(Hook, ComponentExportIndex)>,
}

impl Interface {
    pub(super) fn of(engine: &Engine, component: &Component, operation: &str) -> Result<Self, TaskError> {
        let all = functions(engine, component);
        let at = place(&all, operation).map_err(TaskError::Interface)?;
        let (instance, _, function_type) = &all[at];
        let described = format!("{}: {}", full_name(&all[at]), describe(function_type));
        let index = |of: &Exported| match &of.0 {
            None => component.get_export_index(None, &of.1),
            Some(interface) => {
                let instance = component.get_export_index(None, interface)?;
                component.get_export_index(Some(&instance), &of.1)
            }
        };
        let Some(operation_index) = index(&all[at]) else {
            return Err(TaskError::Interface(format!("exports `{operation}`, and it cannot be found")));
        };
        let Some(operation_type) = operation_type(function_type) else {
            return Err(TaskError::Interface(format!(
                "exports `{operation}` as {}: it must be func(u64) -> string or func(u64) -> result<string, string>",
                describe(function_type)
            )));
        };
        let mut hooks = Vec::new();
        for hook in Hook::ALL {
            // Beside the operation, or by itself.
            let is_it = |wanted: &Option<String>, of: &Exported| of.1 == hook.name() && of.0 == *wanted;
            let found = all.iter().find(|of| is_it(instance, of)).or_else(|| all.iter().find(|of| is_it(&None, of)));
            let Some((of, index)) = found.and_then(|of| Some((of, index(of)?))) else { continue };
            if !is_of_type(hook, &of.2) {
                return Err(TaskError::Interface(format!(
                    "exports `{hook}` as {}: it must be {}",
                    describe(&of.2),
                    hook.signature()
                )));
            }
            hooks.push((hook, index));
        }
        Ok(Self { described, operation: operation_index, operation_type, hooks })
    }

    pub(super) fn hook(&self, wanted: Hook) -> Option<&ComponentExportIndex> {
        self.hooks.iter().find(|(hook, _)| *hook == wanted).map(|(_, index)| index)
    }
}

/// A function that a component exports: the interface that it is in, its name, and its type.
pub(super) type Exported = (Option<String>, String, ComponentFunc);

/// The functions that a component exports, also those of its interfaces.
pub(super) fn functions(engine: &Engine, component: &Component) -> Vec<Exported> {
    let mut all = Vec::new();
    for (name, item) in component.component_type().exports(engine) {
        match item.ty {
            ComponentItem::ComponentFunc(function) => all.push((None, name.to_owned(), function)),
            ComponentItem::ComponentInstance(instance) => {
                all.extend(instance.exports(engine).filter_map(|(function, item)| match item.ty {
                    ComponentItem::ComponentFunc(of) => Some((Some(name.to_owned()), function.to_owned(), of)),
                    _ => None,
                }));
            }
            _ => {}
        }
    }
    all
}

/// A function as `--operation-name` has it: `operation`, or `my:pkg/task#operation`.
pub(super) fn full_name((interface, name, _): &Exported) -> String {
    interface.as_ref().map_or_else(|| name.clone(), |interface| format!("{interface}#{name}"))
}

/// The same, as short as a list needs it.
fn short_name(of: &Exported) -> String {
    brief(&full_name(of))
}

/// The place of the function that is meant by `operation`: that of the component itself, or else the only one of that
/// name in its interfaces. The error says what there is.
fn place(all: &[Exported], operation: &str) -> Result<usize, String> {
    // The version of an interface need not be named.
    let is_meant = |of: &Exported| match operation.rsplit_once('#') {
        Some((interface, name)) => {
            of.1 == name && of.0.as_deref().is_some_and(|own| own == interface || unversioned(own) == interface)
        }
        None => of.1 == operation,
    };
    let meant: Vec<usize> = (0..all.len()).filter(|&i| is_meant(&all[i])).collect();
    if let Some(own) = meant.iter().find(|&&i| all[i].0.is_none() || meant.len() == 1) {
        return Ok(*own);
    }
    let listed = |names: Vec<String>| {
        let more = names.len().saturating_sub(MOST_LISTED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let shown: Vec<_> = names.iter().take(MOST_LISTED).map(|name| format!("`{name}`")).collect();
        if shown.is_empty() { "no function".to_owned() } else { shown.join(", ") + &more }
    };
    if all.is_empty() {
        let bindings = "exports no function: a build for wasm32-wasip2 needs bindings, such as the SDK's (`gorgon new` \
                        makes a project); without them, build for wasm32-wasip1, then use `gorgon component`";
        return Err(bindings.to_owned());
    }
    if meant.is_empty() && all.iter().all(|of| of.0.as_deref().map(unversioned) == Some("wasi:cli/run")) {
        return Err(format!(
            "is a command, which runs once: build a reactor, a library that exports `{operation}: func(n: u64) -> \
             string` (`gorgon new` makes a project; clang: -mexec-model=reactor)"
        ));
    }
    if meant.is_empty() {
        let found = listed(all.iter().map(short_name).collect());
        let remedy = match operation {
            DEFAULT_OPERATION => {
                "export `operation: func(n: u64) -> string`, or name another function by --operation-name"
            }
            _ if all.iter().any(|of| of.1 == DEFAULT_OPERATION) => "leave out --operation-name, or name one of these",
            _ => "name one of these by --operation-name",
        };
        return Err(format!("has no function `{}`, it exports {found}: {remedy}", brief(operation)));
    }
    let several = listed(meant.iter().map(|&i| short_name(&all[i])).collect());
    Err(format!("has more than one function `{operation}`: name one by --operation-name ({several})"))
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
const MOST_TYPES: usize = 16;

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

/// Why a component does not link, for the author of the task: every import that nothing provides, or the one whose type
/// is another.
pub(super) fn unlinked(error: &wasmtime::Error, engine: &Engine, component: &Component) -> String {
    let missing = missing(engine, component);
    let Some(first) = missing.first() else {
        // wasmtime's message names the interface, then the function in it, and then parts of its type.
        let text = format!("{error:#}");
        let names: Vec<_> = text.split('`').skip(1).step_by(2).take(2).collect();
        let cause = error.root_cause().to_string();
        if cause.contains("implementation is missing") {
            return format!(
                "imports `{}`, which nothing here provides: build the task without that",
                brief(&names.join("."))
            );
        }
        return format!(
            "imports `{}` as another type than the one here ({cause}): generate its bindings from the WIT of WASI 0.2, \
             and of `gorgon:task`",
            names.join(".")
        );
    };
    let listed: Vec<_> = missing.iter().take(MOST_LISTED).map(|import| format!("`{}`", brief(import))).collect();
    let more = missing.len() - listed.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("imports {}{more}, which nothing here provides: {}", listed.join(", "), remedy(first))
}

/// The most missing imports that are listed.
const MOST_LISTED: usize = 8;

/// What a component imports and nothing provides.
fn missing(engine: &Engine, component: &Component) -> Vec<String> {
    let mut missing = Vec::new();
    for (import, item) in component.component_type().imports(engine) {
        let ComponentItem::ComponentInstance(instance) = item.ty else {
            missing.push(import.to_owned());
            continue;
        };
        let mut exports = instance.exports(engine).filter(|(_, item)| !matches!(item.ty, ComponentItem::Type(_)));
        match wit::provided(import) {
            Some(names) => {
                let lacks = |(name, _): &(&str, _)| !names.iter().any(|known| known == name);
                missing.extend(exports.filter(lacks).map(|(name, _)| format!("{import}.{name}")));
            }
            // An interface of types alone needs nobody.
            None if exports.next().is_none() => {}
            None => missing.push(import.to_owned()),
        }
    }
    missing
}

/// What to do about an import that nothing provides.
fn remedy(import: &str) -> String {
    let (interface, version) = import.split_once('@').unwrap_or((import, ""));
    let package = interface.split('/').next().unwrap_or_default();
    let is_preview = version.contains('-');
    let version: String = version.split('.').take(2).collect::<Vec<_>>().join(".");
    match package {
        package if wit::is_package(package) && is_preview => {
            "that is of a preview of WASI: build the task for WASI 0.2 with a toolchain of today".into()
        }
        "gorgon:task" => {
            "this gorgon has version 0.1.0 of it: build the task with that SDK, or take a newer gorgon".into()
        }
        package if wit::is_package(package) && !version.is_empty() && version != "0.2" => {
            format!("that is WASI {version}, and gorgon has WASI 0.2: build the task for wasm32-wasip2")
        }
        package if wit::is_package(package) => "WASI 0.2 does not have that: build the task with its WIT".into(),
        _ => "build the task without that, or put a component beside it that provides that (`wac plug`)".into(),
    }
}
