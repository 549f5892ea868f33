//! Files of golden values, for tests: numbers that independent implementations gave.
//!
//! A test stops at what it cannot read, so these functions panic. What is absent from a folder that [`FOLDER`] names is skipped, with a
//! line that names it; what is absent from the repository's own folder is a failure, or a test could pass without checking anything.

#![allow(clippy::print_stderr, reason = "a test says what it skips")]

use std::path::{Path, PathBuf};

use serde_json::Value;

/// Environment variable that names the folder with the files, in place of the repository's own.
pub const FOLDER: &str = "GOLDEN_DIR";

/// The parsed file `name` of the folder that [`FOLDER`] names, else of `own`; none if it is not there.
///
/// # Panics
/// If the file is there and cannot be read, or is not there and no folder was named.
#[must_use]
pub fn file(own: impl AsRef<Path>, name: &str) -> Option<Value> {
    let folder = std::env::var_os(FOLDER).map_or_else(|| own.as_ref().to_owned(), PathBuf::from);
    let path = folder.join(name);
    if !path.exists() {
        skip(&format!("no file {}", path.display()));
        return None;
    }
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    Some(serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display())))
}

/// The cases of a section; none if it is not there.
///
/// # Panics
/// If the section is no list, or is not there and no folder was named.
#[must_use]
pub fn section<'a>(file: &'a Value, name: &str) -> Option<&'a [Value]> {
    let section = part(file, name)?;
    Some(section.as_array().unwrap_or_else(|| panic!("section `{name}` is not a list")))
}

/// A section of any kind; none if it is not there.
///
/// # Panics
/// If it is not there and no folder was named.
#[must_use]
pub fn part<'a>(file: &'a Value, name: &str) -> Option<&'a Value> {
    let part = file.get(name);
    if part.is_none() {
        skip(&format!("no section `{name}`"));
    }
    part
}

fn skip(what: &str) {
    assert!(std::env::var_os(FOLDER).is_some(), "{what} among the repository's own golden values");
    eprintln!("skipped: {what}");
}

/// A number, where infinities are text; none if it is missing or null.
///
/// # Panics
/// If it is something else.
#[must_use]
pub fn optional(case: &Value, pointer: &str) -> Option<f64> {
    match case.pointer(pointer)? {
        Value::Null => None,
        Value::Number(number) => number.as_f64(),
        Value::String(text) if text == "inf" => Some(f64::INFINITY),
        Value::String(text) if text == "-inf" => Some(f64::NEG_INFINITY),
        other => panic!("`{pointer}` is not a number: {other}"),
    }
}

/// A number that must be there.
///
/// # Panics
/// If it is not.
#[must_use]
pub fn number(case: &Value, pointer: &str) -> f64 {
    optional(case, pointer).unwrap_or_else(|| panic!("`{pointer}` is missing in {case}"))
}

/// A whole number that must be there.
///
/// # Panics
/// If it is not.
#[must_use]
pub fn count(case: &Value, pointer: &str) -> usize {
    let count = case.pointer(pointer).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
    count.unwrap_or_else(|| panic!("`{pointer}` is no count in {case}"))
}

/// A text that must be there.
///
/// # Panics
/// If it is not.
#[must_use]
pub fn text<'a>(case: &'a Value, pointer: &str) -> &'a str {
    let text = case.pointer(pointer).and_then(Value::as_str);
    text.unwrap_or_else(|| panic!("`{pointer}` is no text in {case}"))
}

/// The elements of a list.
///
/// # Panics
/// If it is none.
#[must_use]
pub fn array(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("not a list: {value}"))
}

/// The numbers of a list.
///
/// # Panics
/// If it is none.
#[must_use]
pub fn numbers(value: &Value) -> Vec<f64> {
    let number = |v: &Value| v.as_f64().unwrap_or_else(|| panic!("not a number: {v}"));
    array(value).iter().map(number).collect()
}
