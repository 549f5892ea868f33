//! One line of a file of JSON lines: its fields, and errors that name line and field.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// The fields of an object and the number of its line, counted from 1.
pub(crate) struct Line {
    number: usize,
    fields: Map<String, Value>,
}

impl Line {
    /// # Errors
    /// [`Error::Line`] if the line is no JSON object, or names a field twice.
    pub(crate) fn parse(number: usize, text: &str) -> Result<Self> {
        match serde_json::from_str(text) {
            Ok(Fields(fields)) => Ok(Line { number, fields }),
            Err(_) if text.trim().is_empty() => Err(whole(number, OBJECT, "an empty line")),
            Err(error) => Err(match serde_json::from_str::<Value>(text) {
                Ok(Value::Object(_)) => whole(number, "each field once", &error.to_string()),
                Ok(other) => whole(number, OBJECT, kind(&other)),
                Err(error) => whole(number, OBJECT, &format!("none: {error}")),
            }),
        }
    }

    pub(crate) fn number(&self) -> usize {
        self.number
    }

    pub(crate) fn has(&self, field: &str) -> bool {
        self.fields.contains_key(field)
    }

    /// The names of all fields, with commas between.
    pub(crate) fn names(&self) -> String {
        self.fields.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
    }

    /// No other fields than these.
    pub(crate) fn only(&self, known: &[&str]) -> Result<()> {
        match self.fields.keys().find(|field| !known.contains(&field.as_str())) {
            None => Ok(()),
            Some(field) => Err(Error::Line {
                line: self.number,
                field: field.clone(),
                expected: "no field of this name",
                got: format!("one beside {}", known.join(", ")),
            }),
        }
    }

    pub(crate) fn is(&self, field: &str, want: &Value, expected: &'static str) -> Result<()> {
        let got = self.field(field, expected)?;
        if got == want { Ok(()) } else { Err(self.wrong(field, expected, &got.to_string())) }
    }

    /// A text that is not empty.
    pub(crate) fn text(&self, field: &str) -> Result<String> {
        let value = self.field(field, TEXT)?;
        match value.as_str().filter(|text| !text.trim().is_empty()) {
            Some(text) => Ok(text.to_string()),
            None => Err(self.wrong(field, TEXT, &value.to_string())),
        }
    }

    /// A text that may be empty.
    pub(crate) fn any_text(&self, field: &str) -> Result<String> {
        let value = self.field(field, "a text")?;
        match value.as_str() {
            Some(text) => Ok(text.to_string()),
            None => Err(self.wrong(field, "a text", &value.to_string())),
        }
    }

    /// A list of at least `least` different texts that are not empty.
    pub(crate) fn texts(
        &self,
        field: &str,
        least: usize,
        expected: &'static str,
    ) -> Result<Vec<String>> {
        let value = self.field(field, expected)?;
        let texts: Option<Vec<String>> = value.as_array().and_then(|list| {
            let text = |item: &Value| {
                item.as_str().filter(|text| !text.trim().is_empty()).map(String::from)
            };
            list.iter().map(text).collect()
        });
        match texts {
            Some(texts) if least <= texts.len() && all_different(&texts) => Ok(texts),
            _ => Err(self.wrong(field, expected, &value.to_string())),
        }
    }

    /// # Errors
    /// [`Error::Line`] if it is not there.
    pub(crate) fn field(&self, field: &str, expected: &'static str) -> Result<&Value> {
        self.fields.get(field).ok_or_else(|| self.wrong(field, expected, "no such field"))
    }

    /// The error that says so; a long value is cut.
    pub(crate) fn wrong(&self, field: &str, expected: &'static str, got: &str) -> Error {
        Error::Line { line: self.number, field: field.to_string(), expected, got: cut(got) }
    }
}

/// The error of a line as a whole.
pub(crate) fn whole(line: usize, expected: &'static str, got: &str) -> Error {
    Error::Line { line, field: "line".to_string(), expected, got: cut(got) }
}

pub(crate) fn all_different(texts: &[String]) -> bool {
    let mut sorted: Vec<&String> = texts.iter().collect();
    sorted.sort();
    sorted.windows(2).all(|pair| pair[0] != pair[1])
}

fn cut(got: &str) -> String {
    if got.chars().count() <= 60 {
        return got.to_string();
    }
    got.chars().take(60).chain("..".chars()).collect()
}

const TEXT: &str = "a text that is not empty";
const OBJECT: &str = "a JSON object";

pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// An object that names no field twice: of two equal names a map would keep the last and say nothing.
struct Fields(Map<String, Value>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor).map(Fields)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(OBJECT)
    }

    fn visit_map<A: MapAccess<'de>>(
        self,
        mut access: A,
    ) -> std::result::Result<Self::Value, A::Error> {
        let mut fields = Map::new();
        while let Some((name, value)) = access.next_entry::<String, Value>()? {
            if fields.contains_key(&name) {
                return Err(A::Error::custom(format_args!("`{name}` twice")));
            }
            fields.insert(name, value);
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_is_named_twice_is_an_error() {
        let error = Line::parse(7, r#"{"a": "x", "b": "y", "a": "z"}"#).err().unwrap().to_string();
        assert!(error.contains("line 7") && error.contains("`a` twice"), "{error}");
        assert!(Line::parse(7, r#"{"a": "x", "b": {"a": 1}}"#).is_ok());
    }

    #[test]
    fn texts_differ_and_are_not_empty() {
        let line =
            Line::parse(1, r#"{"a": ["x", "y"], "b": ["x", "x"], "c": ["x", " "]}"#).unwrap();
        assert_eq!(line.texts("a", 2, "two").unwrap(), ["x", "y"]);
        for (field, least) in [("a", 3), ("b", 2), ("c", 1), ("d", 0)] {
            assert!(matches!(line.texts(field, least, "some"), Err(Error::Line { .. })), "{field}");
        }
        assert_eq!(line.names(), "a, b, c");
    }
}
