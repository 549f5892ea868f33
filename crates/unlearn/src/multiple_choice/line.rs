//! One line of a file of questions.

use serde_json::{Map, Value};

use super::Question;
use crate::error::{Error, Result};

/// A line and its number, counted from 1.
pub(super) struct Line {
    number: usize,
    fields: Map<String, Value>,
}

impl Line {
    pub(super) fn parse(number: usize, text: &str) -> Result<Self> {
        let whole = |expected, got| {
            Err(Error::Line { line: number, field: "line".to_string(), expected, got })
        };
        match serde_json::from_str(text) {
            Ok(Value::Object(fields)) => Ok(Line { number, fields }),
            Ok(other) => whole("a JSON object", kind(&other).to_string()),
            Err(_) if text.trim().is_empty() => whole("a JSON object", "an empty line".to_string()),
            Err(error) => whole("a JSON object", format!("none: {error}")),
        }
    }

    pub(super) fn question(&self) -> Result<Question> {
        self.only(&["subject", "question", "options", "answer"])?;
        let options = self.options()?;
        let answer = self.field("answer", INDEX)?;
        let index = answer.as_u64().and_then(|index| usize::try_from(index).ok());
        let Some(answer) = index.filter(|index| *index < options.len()) else {
            return Err(self.wrong("answer", INDEX, &answer.to_string()));
        };
        Ok(Question {
            subject: self.text("subject")?,
            text: self.text("question")?,
            options,
            answer,
        })
    }

    fn options(&self) -> Result<Vec<String>> {
        let expected = "a list of at least two different texts";
        let value = self.field("options", expected)?;
        let texts: Option<Vec<String>> = value.as_array().and_then(|list| {
            let text = |option: &Value| {
                option.as_str().filter(|text| !text.trim().is_empty()).map(String::from)
            };
            list.iter().map(text).collect()
        });
        let Some(texts) = texts else {
            return Err(self.wrong("options", expected, &value.to_string()));
        };
        let mut different = texts.clone();
        different.sort();
        different.dedup();
        if texts.len() < 2 || different.len() < texts.len() {
            return Err(self.wrong("options", expected, &value.to_string()));
        }
        Ok(texts)
    }

    /// No other fields than these.
    pub(super) fn only(&self, known: &[&str]) -> Result<()> {
        match self.fields.keys().find(|field| !known.contains(&field.as_str())) {
            None => Ok(()),
            Some(field) => Err(self.wrong(field, "no field of this name", "one")),
        }
    }

    pub(super) fn is(&self, field: &str, want: &Value, expected: &'static str) -> Result<()> {
        let got = self.field(field, expected)?;
        if got == want { Ok(()) } else { Err(self.wrong(field, expected, &got.to_string())) }
    }

    /// A text that is not empty.
    pub(super) fn text(&self, field: &str) -> Result<String> {
        let value = self.field(field, TEXT)?;
        match value.as_str().filter(|text| !text.trim().is_empty()) {
            Some(text) => Ok(text.to_string()),
            None => Err(self.wrong(field, TEXT, &value.to_string())),
        }
    }

    fn field(&self, field: &str, expected: &'static str) -> Result<&Value> {
        self.fields.get(field).ok_or_else(|| self.wrong(field, expected, "no such field"))
    }

    fn wrong(&self, field: &str, expected: &'static str, got: &str) -> Error {
        let got = if got.chars().count() <= 60 {
            got.to_string()
        } else {
            got.chars().take(60).chain("..".chars()).collect()
        };
        Error::Line { line: self.number, field: field.to_string(), expected, got }
    }
}

const TEXT: &str = "a text that is not empty";
const INDEX: &str = "the index of an option, counted from 0";

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
