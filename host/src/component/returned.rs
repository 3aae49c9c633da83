//! What the operation of a module returns, as far as its code shows.

use wasmparser::{DataKind, ExternalKind, Operator, Parser, Payload, TypeRef};

/// The export that is looked at.
const OPERATION: &str = "operation";

/// Whether the operation seems to return `result<string, string>`: at the constant address that it returns stands a
/// tag, which a string does not have. A module whose address is no constant tells nothing.
pub(super) fn seems_fallible(module: &[u8]) -> bool {
    look(module).unwrap_or(false)
}

/// `None` if the module is not as it is expected.
fn look(module: &[u8]) -> Option<bool> {
    let (mut imported, mut bodies) = (0_u32, 0_u32);
    let (mut operation, mut data, mut body) = (None, Vec::new(), None);
    for payload in Parser::new(0).parse_all(module) {
        match payload.ok()? {
            Payload::ImportSection(imports) => {
                let functions = imports.into_imports().filter_map(Result::ok);
                imported +=
                    functions.filter(|of| matches!(of.ty, TypeRef::Func(_) | TypeRef::FuncExact(_))).count() as u32;
            }
            Payload::ExportSection(exports) => {
                let mut exports = exports.into_iter().filter_map(Result::ok);
                operation = exports.find(|of| of.name == OPERATION && of.kind == ExternalKind::Func).map(|of| of.index);
            }
            Payload::CodeSectionEntry(of) => {
                if Some(imported + bodies) == operation {
                    body = Some(of);
                }
                bodies += 1;
            }
            Payload::DataSection(segments) => data.extend(segments.into_iter().filter_map(Result::ok)),
            _ => {}
        }
    }
    let (mut last, mut tagged, mut written) = (None, Vec::new(), Vec::new());
    for operator in body?.get_operators_reader().ok()? {
        match operator.ok()? {
            Operator::I32Const { value } => last = Some(value as u32),
            // Compilers write to a fixed address as an offset from zero.
            Operator::I32Store8 { memarg } => tagged.push(memarg.offset),
            Operator::I32Store { memarg } | Operator::I64Store { memarg } => written.push(memarg.offset),
            Operator::End | Operator::Return => {}
            _ => last = None,
        }
    }
    let address = last?;
    if tagged.contains(&u64::from(address)) {
        return Some(true);
    }
    if written.contains(&u64::from(address)) {
        return Some(false);
    }
    // The result may stand in the data of the module.
    let found = data.iter().find_map(|segment| {
        let DataKind::Active { offset_expr, .. } = &segment.kind else { return None };
        let Operator::I32Const { value } = offset_expr.get_operators_reader().read().ok()? else { return None };
        let at = address.checked_sub(value as u32)? as usize;
        segment.data.get(at..at + 12)
    })?;
    let word = |i: usize| found[4 * i..4 * i + 4].try_into().map_or(0, u32::from_le_bytes);
    // A text at such an address would begin where nothing is.
    Some(word(0) <= 1 && word(1) > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_with_a_tag_is_told_from_a_string() {
        for (what, expected) in [
            // Data: tag, address, length; or address, length.
            (
                r#"(data (i32.const 16) "\00\00\00\00\08\00\00\00\07\00\00\00")
                (func (export "operation") (param i64) (result i32) i32.const 16)"#,
                true,
            ),
            (
                r#"(data (i32.const 16) "\08\00\00\00\07\00\00\00\00\00\00\00")
                (func (export "operation") (param i64) (result i32) i32.const 16)"#,
                false,
            ),
            // An empty string has no address.
            (
                r#"(data (i32.const 16) "\01\00\00\00\00\00\00\00\00\00\00\00")
                (func (export "operation") (param i64) (result i32) i32.const 16)"#,
                false,
            ),
            // Code that writes them.
            (
                r#"(func (export "operation") (param i64) (result i32)
                i32.const 0 i32.const 1 i32.store8 offset=2048
                i32.const 0 i32.const 8 i32.store offset=2052
                i32.const 0 i32.const 7 i32.store offset=2056 i32.const 2048)"#,
                true,
            ),
            (
                r#"(func (export "operation") (param i64) (result i32)
                i32.const 0 i32.const 8 i32.store offset=2048
                i32.const 0 i32.const 7 i32.store offset=2052 i32.const 2048)"#,
                false,
            ),
            // An address that was computed tells nothing.
            (r#"(func (export "operation") (param i64) (result i32) local.get 0 i32.wrap_i64)"#, false),
        ] {
            let module = wat::parse_str(format!(r#"(module (memory (export "memory") 1) {what})"#)).unwrap();
            assert_eq!(seems_fallible(&module), expected, "{what}");
        }
        assert!(!seems_fallible(b"no module"));
    }
}
