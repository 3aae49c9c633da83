//! Counts what a component would make, before it is compiled: some lines of a component can ask for millions of
//! instances.

use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind, ComponentTypeRef, Encoding,
    Instance, Parser, Payload,
};

/// How many instances a component may have. An instance of the task makes all of them. Real ones have up to some
/// hundred; wasmtime's own limit is the same.
const MOST_INSTANCES: u64 = 10_000;

/// How many types, and how many functions, all its modules may have together. Python's interpreter has 20,000
/// functions.
const MOST_ITEMS: u64 = 1_000_000;

/// A component whose end has not come yet.
#[derive(Default)]
struct Open {
    /// For each component that it can name: how many instances one of it has.
    components: Vec<u64>,
    instances: u64,
}

/// What a component has too many of, in words. What cannot be parsed is left to the compiler.
pub(super) fn excess(wasm: &[u8]) -> Option<String> {
    let Counted { instances, types, functions } = count(wasm).unwrap_or_default();
    let too_many = |what: &str, has, most: &str| format!("it has {has} {what}, and gorgon runs tasks of up to {most}");
    match () {
        () if instances > MOST_INSTANCES => Some(too_many("instances", instances, "10,000")),
        () if types > MOST_ITEMS => Some(too_many("types", types, "1,000,000")),
        () if functions > MOST_ITEMS => Some(too_many("functions", functions, "1,000,000")),
        () => None,
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Counted {
    instances: u64,
    types: u64,
    functions: u64,
}

fn count(wasm: &[u8]) -> wasmparser::Result<Counted> {
    let mut counted = Counted::default();
    // Modules have nothing to count per instance. Their place keeps the ends in order.
    let mut open: Vec<Option<Open>> = Vec::new();
    // A component that comes out of an instance is one of those that were defined.
    let mut largest = 1;
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload?;
        if let Payload::Version { encoding, .. } = payload {
            open.push((encoding == Encoding::Component).then(Open::default));
            continue;
        }
        if let Payload::End(_) = payload {
            let Some(Some(ended)) = open.pop() else { continue };
            largest = largest.max(ended.instances);
            counted.instances = ended.instances;
            if let Some(Some(outer)) = open.last_mut() {
                outer.components.push(ended.instances.saturating_add(1));
            }
            continue;
        }
        match &payload {
            Payload::TypeSection(types) => counted.types += u64::from(types.count()),
            Payload::CoreTypeSection(types) => counted.types += u64::from(types.count()),
            Payload::ComponentTypeSection(types) => counted.types += u64::from(types.count()),
            Payload::FunctionSection(functions) => counted.functions += u64::from(functions.count()),
            _ => instantiate(payload, &mut open, largest)?,
        }
    }
    Ok(counted)
}

/// Counts the instances that a section of the innermost component makes, and the components that it names.
fn instantiate(section: Payload<'_>, open: &mut [Option<Open>], largest: u64) -> wasmparser::Result<()> {
    let Some((Some(component), outer)) = open.split_last_mut() else { return Ok(()) };
    let add = |component: &mut Open, more: u64| component.instances = component.instances.saturating_add(more);
    match section {
        Payload::InstanceSection(instances) => {
            for instance in instances {
                let is_made = matches!(instance?, Instance::Instantiate { .. });
                add(component, u64::from(is_made));
            }
        }
        Payload::ComponentInstanceSection(instances) => {
            for instance in instances {
                if let ComponentInstance::Instantiate { component_index, .. } = instance? {
                    let of_it = component.components.get(component_index as usize).copied().unwrap_or(1);
                    add(component, of_it);
                }
            }
        }
        Payload::ComponentAliasSection(aliases) => {
            for alias in aliases {
                match alias? {
                    ComponentAlias::Outer { kind: ComponentOuterAliasKind::Component, count, index } => {
                        let named = match (count as usize).checked_sub(1) {
                            None => Some(&*component),
                            Some(out) => outer.iter().rev().nth(out).and_then(Option::as_ref),
                        };
                        let of_it = named.and_then(|named| named.components.get(index as usize)).copied();
                        component.components.push(of_it.unwrap_or(largest));
                    }
                    ComponentAlias::InstanceExport { kind: ComponentExternalKind::Component, .. } => {
                        component.components.push(largest);
                    }
                    _ => {}
                }
            }
        }
        Payload::ComponentImportSection(imports) => {
            for import in imports {
                if let ComponentTypeRef::Component(_) = import?.ty {
                    component.components.push(largest);
                }
            }
        }
        Payload::ComponentExportSection(exports) => {
            for export in exports {
                let export = export?;
                if export.kind == ComponentExternalKind::Component {
                    let of_it = component.components.get(export.index as usize).copied();
                    component.components.push(of_it.unwrap_or(largest));
                }
            }
        }
        _ => {}
    }
    Ok(())
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
    fn instances_multiply() {
        let counted = count(&bomb(2, 30)).unwrap();
        // 900 instances of the module, and one of each component around them.
        assert!((1_800..2_000).contains(&counted.instances), "{counted:?}");
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
    fn components_that_come_from_elsewhere_count_as_the_largest() {
        let wat = format!(
            "(component
                (component $big (core module $m) {})
                (component $box (export \"c\" (component $big)))
                (instance $boxed (instantiate $box (with \"x\" (component $big))))
                (alias export $boxed \"c\" (component $out))
                {})",
            "(core instance (instantiate $m))".repeat(200),
            "(instance (instantiate $out))".repeat(100),
        );
        let wat = wat.replace("(component $box", "(component $box (import \"x\" (component $big))");
        assert!(excess(&wat::parse_str(&wat).unwrap_or_default()).is_some() || wat::parse_str(&wat).is_err());
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
