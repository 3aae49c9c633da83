//! Counts what a component would make, before it is compiled: some lines of a component can ask for millions of
//! instances.

use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind, ComponentTypeRef,
    CompositeInnerType, Encoding, Instance, Parser, Payload,
};

/// How many instances a component may have. An instance of the task makes all of them. Real ones have up to some
/// hundred; wasmtime's own limit is the same.
const MOST_INSTANCES: u64 = 10_000;

/// How many types, and how many functions, all its modules may have together. Python's interpreter has 20,000
/// functions.
const MOST_ITEMS: u64 = 1_000_000;

/// How many functions and other items a component may export, those of the instances in its instances included. Real
/// ones have up to some hundred, and each takes code and memory in every worker.
const MOST_EXPORTS: u64 = 10_000;

/// How much memory all instances of a component may take besides their memories and tables, in bytes. `--max-memory`
/// does not count it. Python's interpreter has less than one MiB.
const MOST_BYTES: u64 = 16 << 20;

/// What an instance takes for each function, global, table, memory, segment and import of its module, at most.
const ITEM_BYTES: u64 = 32;

/// What instances take together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Weight {
    instances: u64,
    bytes: u64,
    /// What each exports, those of the instances that it exports included.
    exports: u64,
}

impl Weight {
    /// One instance of something that has not been seen.
    const UNKNOWN: Self = Self { instances: 1, bytes: 0, exports: 0 };

    fn add(&mut self, more: Self) {
        self.instances = self.instances.saturating_add(more.instances);
        self.bytes = self.bytes.saturating_add(more.bytes);
        // What an instance exports belongs to it, until it is exported again.
    }

    fn max(self, other: Self) -> Self {
        Self {
            instances: self.instances.max(other.instances),
            bytes: self.bytes.max(other.bytes),
            exports: self.exports.max(other.exports),
        }
    }
}

/// A module or a component whose end has not come yet.
#[derive(Default)]
struct Open {
    is_component: bool,
    /// What one instance of each component, and of each module, takes that it can name.
    components: Vec<Weight>,
    modules: Vec<Weight>,
    /// How much each instance of a component exports that it can name.
    instances: Vec<u64>,
    /// What one instance of it takes.
    weight: Weight,
}

/// What a component has too many of, in words. What cannot be parsed is left to the compiler.
pub(super) fn excess(wasm: &[u8]) -> Option<String> {
    let Counted { weight: Weight { instances, bytes, exports }, types, functions, .. } =
        count(wasm).unwrap_or_default();
    let too_many = |what: &str, has, most: &str| format!("it has {has} {what}, and gorgon runs tasks of up to {most}");
    match () {
        () if instances > MOST_INSTANCES => Some(too_many("instances", instances, "10,000")),
        () if bytes > MOST_BYTES => {
            let what = "MiB of functions, globals, segments and the like in all its instances";
            Some(too_many(what, bytes >> 20, "16"))
        }
        () if exports > MOST_EXPORTS => Some(too_many("exports in all its instances", exports, "10,000")),
        () if types > MOST_ITEMS => Some(too_many("types", types, "1,000,000")),
        () if functions > MOST_ITEMS => Some(too_many("functions", functions, "1,000,000")),
        () => None,
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Counted {
    weight: Weight,
    types: u64,
    functions: u64,
    /// Whether a module throws exceptions or makes objects.
    has_objects: bool,
}

/// Whether instances may have a heap of objects, which exceptions are, too. What cannot be parsed has none.
pub(super) fn has_objects(wasm: &[u8]) -> bool {
    count(wasm).is_ok_and(|counted| counted.has_objects)
}

fn count(wasm: &[u8]) -> wasmparser::Result<Counted> {
    let mut counted = Counted::default();
    let mut open: Vec<Open> = Vec::new();
    // What comes out of an instance is one of those that were defined.
    let mut largest = Weight::UNKNOWN;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload? {
            Payload::Version { encoding, .. } => {
                let is_component = encoding == Encoding::Component;
                let weight = if is_component { Weight::default() } else { Weight::UNKNOWN };
                open.push(Open { is_component, weight, ..Open::default() });
            }
            Payload::End(_) => {
                let Some(ended) = open.pop() else { continue };
                counted.weight = ended.weight;
                let mut one = ended.weight;
                if ended.is_component {
                    one.add(Weight::UNKNOWN);
                }
                largest = largest.max(one);
                if let Some(outer) = open.last_mut() {
                    if ended.is_component { outer.components.push(one) } else { outer.modules.push(one) }
                }
            }
            section => {
                counted.count(&section);
                if let Some((inner, outer)) = open.split_last_mut() {
                    let items = items(&section).saturating_mul(ITEM_BYTES);
                    let bytes = if inner.is_component { 0 } else { items };
                    inner.weight.add(Weight { bytes, ..Weight::default() });
                    if inner.is_component {
                        instantiate(section, inner, outer, largest)?;
                    }
                }
            }
        }
    }
    Ok(counted)
}

impl Counted {
    fn count(&mut self, section: &Payload<'_>) {
        match section {
            Payload::TypeSection(types) => {
                self.types += u64::from(types.count());
                let groups = types.clone().into_iter().filter_map(Result::ok);
                let mut types = groups.flat_map(wasmparser::RecGroup::into_types);
                let is_object = |of: &CompositeInnerType| {
                    matches!(of, CompositeInnerType::Array(_) | CompositeInnerType::Struct(_))
                };
                self.has_objects |= types.any(|of| is_object(&of.composite_type.inner));
            }
            Payload::TagSection(tags) => self.has_objects |= tags.count() > 0,
            Payload::CoreTypeSection(types) => self.types += u64::from(types.count()),
            Payload::ComponentTypeSection(types) => self.types += u64::from(types.count()),
            Payload::FunctionSection(functions) => self.functions += u64::from(functions.count()),
            _ => {}
        }
    }
}

/// How many items of a module a section has for which an instance takes memory.
fn items(section: &Payload<'_>) -> u64 {
    u64::from(match section {
        Payload::ImportSection(imports) => imports.count(),
        Payload::FunctionSection(functions) => functions.count(),
        Payload::GlobalSection(globals) => globals.count(),
        Payload::TableSection(tables) => tables.count(),
        Payload::MemorySection(memories) => memories.count(),
        Payload::TagSection(tags) => tags.count(),
        Payload::DataSection(segments) => segments.count(),
        Payload::ElementSection(segments) => segments.count(),
        _ => 0,
    })
}

/// Counts the instances that a section of `component` makes, and the components and modules that it names.
fn instantiate(section: Payload<'_>, component: &mut Open, outer: &[Open], largest: Weight) -> wasmparser::Result<()> {
    let at = |weights: &[Weight], index: u32| weights.get(index as usize).copied().unwrap_or(largest);
    match section {
        Payload::InstanceSection(instances) => {
            for instance in instances {
                if let Instance::Instantiate { module_index, .. } = instance? {
                    component.weight.add(at(&component.modules, module_index));
                }
            }
        }
        Payload::ComponentInstanceSection(instances) => {
            for instance in instances {
                let exports = match instance? {
                    ComponentInstance::Instantiate { component_index, .. } => {
                        let made = at(&component.components, component_index);
                        component.weight.add(made);
                        made.exports
                    }
                    ComponentInstance::FromExports(exports) => exports
                        .iter()
                        .map(|export| exported(export.kind, export.index, component, largest))
                        .fold(0, u64::saturating_add),
                };
                component.instances.push(exports);
            }
        }
        Payload::ComponentAliasSection(aliases) => {
            for alias in aliases {
                alias_of(alias?, component, outer, largest);
            }
        }
        Payload::ComponentImportSection(imports) => {
            for import in imports {
                match import?.ty {
                    ComponentTypeRef::Component(_) => component.components.push(largest),
                    ComponentTypeRef::Module(_) => component.modules.push(largest),
                    ComponentTypeRef::Instance(_) => component.instances.push(largest.exports),
                    _ => {}
                }
            }
        }
        Payload::ComponentExportSection(exports) => {
            for export in exports {
                let export = export?;
                let exports = exported(export.kind, export.index, component, largest);
                component.weight.exports = component.weight.exports.saturating_add(exports);
                match export.kind {
                    ComponentExternalKind::Instance => component.instances.push(exports),
                    ComponentExternalKind::Component => {
                        component.components.push(at(&component.components, export.index));
                    }
                    ComponentExternalKind::Module => component.modules.push(at(&component.modules, export.index)),
                    _ => {}
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// How much an export adds: itself, and what it exports in turn.
fn exported(kind: ComponentExternalKind, index: u32, component: &Open, largest: Weight) -> u64 {
    match kind {
        ComponentExternalKind::Instance => {
            component.instances.get(index as usize).copied().unwrap_or(largest.exports).saturating_add(1)
        }
        _ => 1,
    }
}

fn alias_of(alias: ComponentAlias<'_>, component: &mut Open, outer: &[Open], largest: Weight) {
    match alias {
        ComponentAlias::Outer { kind, count, index } => {
            let named = match (count as usize).checked_sub(1) {
                None => Some(&*component),
                Some(out) => outer.iter().rev().nth(out),
            };
            let of = |weights: fn(&Open) -> &Vec<Weight>| {
                named.and_then(|named| weights(named).get(index as usize)).copied().unwrap_or(largest)
            };
            match kind {
                ComponentOuterAliasKind::Component => {
                    let weight = of(|named| &named.components);
                    component.components.push(weight);
                }
                ComponentOuterAliasKind::CoreModule => {
                    let weight = of(|named| &named.modules);
                    component.modules.push(weight);
                }
                ComponentOuterAliasKind::CoreType | ComponentOuterAliasKind::Type => {}
            }
        }
        ComponentAlias::InstanceExport { kind: ComponentExternalKind::Component, .. } => {
            component.components.push(largest);
        }
        ComponentAlias::InstanceExport { kind: ComponentExternalKind::Module, .. } => component.modules.push(largest),
        // What it has is a part of what the other one has.
        ComponentAlias::InstanceExport { kind: ComponentExternalKind::Instance, instance_index, .. } => {
            let whole = component.instances.get(instance_index as usize).copied().unwrap_or(largest.exports);
            component.instances.push(whole);
        }
        ComponentAlias::InstanceExport { .. } | ComponentAlias::CoreInstanceExport { .. } => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Components that instantiate each other, `times` each, `levels` deep.
    fn bomb(levels: u32, times: usize) -> Vec<u8> {
        let module = "(component $c0 (core module $m (memory 1)) (core instance (instantiate $m)))".to_owned();
        let component = (1..=levels).fold(module, |inner, level| {
            let made = "(instance (instantiate $x))".repeat(times);
            let below = level - 1;
            format!("{inner}(component $c{level} (alias outer 1 $c{below} (component $x)) {made})")
        });
        wat::parse_str(format!("(component {component} (instance (instantiate $c{levels})))")).unwrap()
    }

    #[test]
    fn exceptions_and_objects_have_a_heap() {
        for (module, expected) in [
            ("(module (tag))", true),
            ("(module (type (struct (field i32))))", true),
            ("(module (type (array i8)))", true),
            ("(module (func) (memory 1))", false),
        ] {
            let wasm = wat::parse_str(format!("(component (core {})", &module[1..])).unwrap();
            assert_eq!(has_objects(&wasm), expected, "{module}");
        }
        assert!(!has_objects(b"no component"));
    }

    #[test]
    fn instances_multiply() {
        let counted = count(&bomb(2, 30)).unwrap();
        // 900 instances of the module, and one of each component around them.
        assert!((1_800..2_000).contains(&counted.weight.instances), "{counted:?}");
        assert_eq!(excess(&bomb(2, 30)), None);
        let problem = excess(&bomb(4, 100)).unwrap();
        assert!(
            problem.starts_with("it has 2") && problem.ends_with("instances, and gorgon runs tasks of up to 10,000"),
            "{problem}"
        );
        // Far more than a u64 can count.
        assert!(excess(&bomb(40, 20)).is_some());
    }

    #[test]
    fn what_instances_take_besides_their_memories_is_counted() {
        let module = |items: &str, times: usize| {
            let made = "(core instance (instantiate $m))".repeat(times);
            wat::parse_str(format!("(component (core module $m {}) {made})", items.repeat(1_000))).unwrap()
        };
        for items in ["(data \"\")", "(global i32 (i32.const 0))", "(func)"] {
            assert_eq!(count(&module(items, 10)).unwrap().weight.bytes, 10_000 * ITEM_BYTES, "{items}");
            let problem = excess(&module(items, 600)).unwrap();
            assert!(problem.starts_with("it has 18 MiB of functions, globals, segments"), "{problem}");
        }
    }

    #[test]
    fn exports_of_exported_instances_multiply() {
        let nested = |levels: u32| {
            let first = "(component $c0 (type $t (func)) (import \"f\" (func $f (type $t))) (export \"f\" (func $f)))";
            let component = (1..=levels).fold(first.to_owned(), |inner, level| {
                let below = level - 1;
                let exports: String = (0..8).map(|i| format!("(export \"e{i}\" (instance $i))")).collect();
                let made = "(instance $i (instantiate $x (with \"f\" (func $f))))";
                let import = "(type $t (func)) (import \"f\" (func $f (type $t)))";
                format!(
                    "{inner}(component $c{level} {import} (alias outer 1 $c{below} (component $x)) {made} {exports})"
                )
            });
            let made = format!("(instance $all (instantiate $c{levels} (with \"f\" (func $f))))");
            let import = "(type $t (func)) (import \"f\" (func $f (type $t)))";
            wat::parse_str(format!("(component {component} {import} {made} (export \"all\" (instance $all)))")).unwrap()
        };
        let counted = count(&nested(2)).unwrap();
        assert_eq!(counted.weight.exports, 1 + 8 * (1 + 8 * (1 + 1)));
        assert_eq!(excess(&nested(2)), None);
        let problem = excess(&nested(6)).unwrap();
        assert!(problem.contains("exports in all its instances, and gorgon runs tasks of up to 10,000"), "{problem}");
    }

    #[test]
    fn what_comes_out_of_an_instance_counts_as_the_largest() {
        let made = "(core instance (instantiate $m))".repeat(200);
        let again = "(instance (instantiate $out))".repeat(100);
        let wat = format!(
            "(component
                (component $box
                    (component $big (core module $m) {made})
                    (export \"c\" (component $big)))
                (instance $boxed (instantiate $box))
                (alias export $boxed \"c\" (component $out))
                {again})"
        );
        assert!(excess(&wat::parse_str(&wat).unwrap()).unwrap().contains("instances"));
    }

    #[test]
    fn functions_and_types_of_all_modules_are_counted() {
        let wat = "(component (core module (type (func)) (func) (func)) (core module (func (param i32))))";
        let counted = count(&wat::parse_str(wat).unwrap()).unwrap();
        assert_eq!((counted.functions, counted.types), (3, 2));
    }

    #[test]
    fn what_is_no_component_is_left_to_the_compiler() {
        for bytes in [&b""[..], b"\0asm\x0d\0\x01\0garbage", b"text"] {
            assert_eq!(excess(bytes), None);
        }
    }
}
