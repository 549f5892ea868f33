//! What makes two configurations one run: the keys and values that its steps depend on, as they are written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::write;
use crate::error::{Error, Result};

/// Keys that decide which others there are: where they differ they are named first.
const DECIDING: [&str; 2] = ["data.format", "model.kind"];

/// Keys with their values. For a private run no digest of records is among them: it would be an answer without noise about them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub(crate) struct Identity(BTreeMap<String, Value>);

impl Identity {
    /// Of a configuration as it is written, without the keys that are free to change.
    pub(crate) fn of(config: &impl Serialize, free: &[&str]) -> Result<Self> {
        let mut all = BTreeMap::new();
        flatten(String::new(), serde_json::to_value(config).map_err(write::no_json)?, &mut all);
        all.retain(|key, _| !free.contains(&key.as_str()));
        Ok(Identity(all))
    }

    /// The same with one key more.
    pub(crate) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.insert(key.to_owned(), value.into());
        self
    }

    /// Adds the digest of a file that may be known, beside its name.
    pub(crate) fn add_contents(&mut self, key: &str, file: &Path) -> Result<()> {
        let bytes = std::fs::read(file).map_err(|e| Error::file(file, e))?;
        let digest: String = Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
        self.0.insert(format!("sha256 of {key}"), digest.into());
        Ok(())
    }

    /// As one line.
    pub(crate) fn to_text(&self) -> Result<String> {
        serde_json::to_string(self).map_err(write::no_json)
    }

    /// Of a line; none if it is not of this form.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The first key that differs, with its value here and there.
    pub(crate) fn difference(&self, there: &Self) -> Option<(String, String, String)> {
        let keys: BTreeSet<&str> =
            self.0.keys().chain(there.0.keys()).map(String::as_str).collect();
        let key =
            DECIDING.into_iter().chain(keys).find(|key| self.0.get(*key) != there.0.get(*key))?;
        let said = |of: &Self| of.0.get(key).map_or("not given".to_owned(), Value::to_string);
        Some((key.to_owned(), said(self), said(there)))
    }
}

/// Keys of tables within tables are joined by dots; what is not given is left out.
fn flatten(key: String, value: Value, all: &mut BTreeMap<String, Value>) {
    match value {
        Value::Null => {}
        Value::Object(fields) => {
            for (name, value) in fields {
                let key = if key.is_empty() { name } else { format!("{key}.{name}") };
                flatten(key, value, all);
            }
        }
        value => drop(all.insert(key, value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(text: &str) -> Identity {
        Identity::from_text(text).unwrap()
    }

    #[test]
    fn the_first_key_that_differs_is_named_and_deciding_ones_before_others() {
        let a = identity(r#"{"model.hidden": [8], "model.kind": "mlp", "training.steps": 40}"#);
        let b = identity(r#"{"model.hidden": [8], "model.kind": "mlp", "training.steps": 50}"#);
        let c = identity(r#"{"model.kind": "linear", "training.steps": 50}"#);
        let said = |a: &Identity, b| {
            a.difference(b).map(|(key, here, there)| format!("{key}: {here}, {there}"))
        };
        assert_eq!(said(&a, &a), None);
        assert_eq!(said(&a, &b).unwrap(), "training.steps: 40, 50");
        assert_eq!(said(&b, &c).unwrap(), "model.kind: \"mlp\", \"linear\"");
        assert_eq!(Identity::from_text("8b1e"), None);
    }

    #[test]
    fn tables_become_dotted_keys_without_what_is_not_given() {
        let mut all = BTreeMap::new();
        let value = serde_json::json!({ "a": { "b": 1, "c": null, "d": { "e": [2] } } });
        flatten(String::new(), value, &mut all);
        assert_eq!(Identity(all), identity(r#"{"a.b": 1, "a.d.e": [2]}"#));
    }
}
