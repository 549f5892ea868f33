//! Results of single runs, kept so that a stopped task goes on.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::jobs::worker;
use crate::error::{Error, Result};
use crate::machine;
use crate::session::Session;

/// Finished units by name.
#[derive(Debug)]
pub(super) struct Store<T> {
    file: PathBuf,
    commit: String,
    known: BTreeMap<String, T>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Unit<T> {
    name: String,
    commit: String,
    values: T,
}

/// A list of numbers, of which some may not be finite.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Numbers(#[serde(with = "crate::number")] Vec<f64>);

impl<T: Clone + Serialize + DeserializeOwned> Store<T> {
    /// With `--resume` the results of the same commit, else none; none of sources that are not committed.
    pub(super) fn open(session: &Session, task: &str) -> Result<Self> {
        let file = session.path(&format!("runs/{task}.jsonl"));
        let mut known = BTreeMap::new();
        let is_known = machine::says_what(&session.commit);
        if session.resume && !is_known {
            session.progress.note(format!(
                "{task}: sources at {} are not committed: results of earlier calls are not used",
                session.commit
            ));
        }
        if session.resume && is_known {
            // Results of other commits may have had other fields.
            let units = report::json_lines::read_or_empty::<Unit<Value>>(&file)?.values;
            for unit in units.into_iter().filter(|unit| unit.commit == session.commit) {
                let values = serde_json::from_value(unit.values).map_err(|e| worker(&e))?;
                known.insert(unit.name, values);
            }
        }
        Ok(Store { file, commit: session.commit.clone(), known })
    }

    /// What is known of a unit.
    pub(super) fn get(&self, name: &str) -> Option<&T> {
        self.known.get(name)
    }

    /// Keeps the result of a unit.
    pub(super) fn put(&mut self, name: &str, values: T) -> Result<()> {
        let unit = Unit { name: name.to_owned(), commit: self.commit.clone(), values };
        report::json_lines::append(&self.file, &unit)?;
        self.known.insert(unit.name, unit.values);
        Ok(())
    }
}

impl Store<Numbers> {
    /// What is known of a unit, as numbers.
    pub(super) fn known_values(&self, name: &str) -> Option<&[f64]> {
        self.get(name).map(|Numbers(values)| values.as_slice())
    }

    /// The values of a unit: known ones, or those that `work` gives, which are kept.
    pub(super) fn values(
        &mut self,
        session: &Session,
        name: &str,
        work: impl FnOnce() -> Result<Vec<f64>>,
    ) -> Result<Vec<f64>> {
        if let Some(values) = self.known_values(name) {
            return Ok(values.to_vec());
        }
        if session.interrupt.is_set() {
            return Err(Error::Interrupted);
        }
        let values = work()?;
        self.put(name, Numbers(values.clone()))?;
        Ok(values)
    }
}
