//! Results of single seeds, kept so that a stopped run goes on.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::session::Session;

/// Finished units by name.
#[derive(Debug)]
pub(super) struct Store {
    file: PathBuf,
    commit: String,
    known: BTreeMap<String, Vec<f64>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Unit {
    name: String,
    commit: String,
    #[serde(with = "crate::number")]
    values: Vec<f64>,
}

impl Store {
    /// With `--resume` the results of the same commit, else none.
    pub(super) fn open(session: &Session) -> Result<Self> {
        let file = session.path("runs/slope-claims.jsonl");
        let mut known = BTreeMap::new();
        if session.resume {
            let units = report::json_lines::read_or_empty::<Unit>(&file)?.values;
            let same = units.into_iter().filter(|unit| unit.commit == session.commit);
            known.extend(same.map(|unit| (unit.name, unit.values)));
        }
        Ok(Store { file, commit: session.commit.clone(), known })
    }

    /// The values of a unit: known ones, or those that `work` gives, which are kept.
    pub(super) fn values(
        &mut self,
        session: &Session,
        name: &str,
        work: impl FnOnce() -> Result<Vec<f64>>,
    ) -> Result<Vec<f64>> {
        if let Some(values) = self.known.get(name) {
            return Ok(values.clone());
        }
        if session.interrupt.is_set() {
            return Err(Error::Interrupted);
        }
        let values = work()?;
        let unit =
            Unit { name: name.to_owned(), commit: self.commit.clone(), values: values.clone() };
        report::json_lines::append(&self.file, &unit)?;
        self.known.insert(name.to_owned(), values.clone());
        Ok(values)
    }
}
