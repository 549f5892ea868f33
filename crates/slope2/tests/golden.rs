//! Files of golden values. Their folder is `GOLDEN_DIR` if set, else the repository's own.

use std::path::PathBuf;

use serde_json::Value;

mod amp;
mod prox;
mod real;
mod solutions;

/// The parsed file; none, with a line that names it, if it is not there. An unreadable file fails.
pub(crate) fn file(name: &str) -> Option<Value> {
    let folder = std::env::var_os("GOLDEN_DIR").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/golden")),
        PathBuf::from,
    );
    let path = folder.join(name);
    if !path.exists() {
        eprintln!("skipped: no file {}", path.display());
        return None;
    }
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    Some(serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display())))
}

/// The cases of a section; none, with a line that names it, if it is not there.
pub(crate) fn section<'a>(file: &'a Value, name: &str) -> Option<&'a [Value]> {
    let Some(section) = file.get(name) else {
        eprintln!("skipped: no section `{name}`");
        return None;
    };
    Some(section.as_array().unwrap_or_else(|| panic!("section `{name}` is not a list")))
}

/// A number; none if it is missing or null.
pub(crate) fn optional(case: &Value, pointer: &str) -> Option<f64> {
    match case.pointer(pointer)? {
        Value::Null => None,
        Value::Number(number) => number.as_f64(),
        other => panic!("`{pointer}` is not a number: {other}"),
    }
}

/// A number that must be there.
pub(crate) fn number(case: &Value, pointer: &str) -> f64 {
    optional(case, pointer).unwrap_or_else(|| panic!("`{pointer}` is missing in {case}"))
}

/// A whole number that must be there.
pub(crate) fn count(case: &Value, pointer: &str) -> usize {
    let count = case.pointer(pointer).and_then(Value::as_u64);
    count.unwrap_or_else(|| panic!("`{pointer}` is no count in {case}")) as usize
}

/// The numbers of a list.
pub(crate) fn numbers(value: &Value) -> Vec<f64> {
    let number = |v: &Value| v.as_f64().unwrap_or_else(|| panic!("not a number: {v}"));
    value.as_array().unwrap_or_else(|| panic!("not a list: {value}")).iter().map(number).collect()
}

/// A text that must be there.
pub(crate) fn text<'a>(case: &'a Value, pointer: &str) -> &'a str {
    let value = case.pointer(pointer).and_then(Value::as_str);
    value.unwrap_or_else(|| panic!("`{pointer}` is missing in {case}"))
}
