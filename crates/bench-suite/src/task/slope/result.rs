//! What was measured in one case, as a file.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::slope::GAP;

/// One case with all libraries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct CaseResult {
    /// Commit of the sources.
    pub(super) commit: String,
    /// Whether peers were asked.
    pub(super) with_peers: bool,
    /// By name of the library; `slope2` is ours.
    pub(super) rows: BTreeMap<String, Row>,
}

/// One library.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Row {
    /// Process CPU seconds.
    pub(super) cpu_s: Vec<f64>,
    /// Wall seconds.
    pub(super) wall_s: Vec<f64>,
    /// The library's own tolerance.
    pub(super) tolerance: f64,
    /// The worst true gap at it.
    pub(super) gap: Option<f64>,
    /// Why there is no time, or no better gap.
    pub(super) trouble: Option<String>,
    /// Versions.
    pub(super) versions: BTreeMap<String, String>,
}

impl Row {
    pub(super) fn cpu(&self) -> f64 {
        median(&self.cpu_s)
    }

    /// Whether every solution has the gap that is asked for.
    pub(super) fn is_certified(&self) -> bool {
        self.gap.is_some_and(|gap| gap <= GAP) && !self.cpu_s.is_empty()
    }
}

impl CaseResult {
    pub(super) fn ours(&self) -> Option<&Row> {
        self.rows.get("slope2")
    }

    /// The fastest of `names` among those with the gap.
    pub(super) fn fastest<'a>(&'a self, names: &[&'a str]) -> Option<(&'a str, &'a Row)> {
        let rows = names.iter().filter_map(|name| Some((*name, self.rows.get(*name)?)));
        rows.filter(|(_, row)| row.is_certified()).min_by(|a, b| a.1.cpu().total_cmp(&b.1.cpu()))
    }

    pub(super) fn write(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_string(self)
            .map_err(|e| Error::Outcome { file: file.to_owned(), reason: e.to_string() })?;
        Ok(report::atomic::write(file, text)?)
    }

    /// Reads what was written; `None` if there is nothing.
    pub(super) fn read(file: &Path) -> Result<Option<Self>> {
        match std::fs::read_to_string(file) {
            Ok(text) => serde_json::from_str(&text)
                .map(Some)
                .map_err(|e| Error::Outcome { file: file.to_owned(), reason: e.to_string() }),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Read { file: file.to_owned(), source }),
        }
    }
}

/// The middle value, of an even number the mean of the two in the middle; NaN of none.
pub(in crate::task) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => 0.5 * (sorted[n / 2 - 1] + sorted[n / 2]),
    }
}
