//! Findings of exams as files.

use std::path::Path;

use serde::{Deserialize, Serialize};
use unlearn::exam::Findings;

use crate::command::write;
use crate::error::{Error, Result};

/// The file of findings in a folder of results.
pub(super) const FILE: &str = "findings.json";

const FORMAT: &str = "lethe-unlearn-findings";
/// How findings are measured. Since 2 whole texts are read to their end, and answers know their variants and how the model was asked.
pub(super) const VERSION: u32 = 2;

/// Findings with what the file is.
#[derive(Serialize, Deserialize)]
struct Saved {
    format: String,
    version: u32,
    #[serde(flatten)]
    findings: Findings,
}

/// What a file says it is.
#[derive(Deserialize)]
struct Head {
    format: String,
    version: u32,
}

/// As the text of a file.
pub(super) fn to_text(findings: &Findings) -> Result<String> {
    let (format, findings) = (FORMAT.to_owned(), findings.clone());
    write::json(&Saved { format, version: VERSION, findings })
}

/// Reads a file of findings, or that of a folder, without the divergence: the file does not say from which gold model it is.
///
/// # Errors
/// [`Error::File`] if there is none or it is something else.
pub(super) fn read(path: &Path) -> Result<Findings> {
    let file = if path.is_dir() { path.join(FILE) } else { path.to_owned() };
    let text = std::fs::read_to_string(&file).map_err(|e| Error::file(&file, e))?;
    let wrong = |e| Error::file(&file, format!("expected findings of `lethe unlearn eval`: {e}"));
    let Head { format, version } = serde_json::from_str(&text).map_err(wrong)?;
    if format != FORMAT || version != VERSION {
        let older = if format == FORMAT && version < VERSION {
            ": examine the model again, what was measured before is not the same"
        } else {
            ""
        };
        let what = format!(
            "expected `{FORMAT}` of version {VERSION}, got `{format}` of version {version}{older}"
        );
        return Err(Error::file(&file, what));
    }
    let Saved { findings, .. } = serde_json::from_str(&text).map_err(wrong)?;
    Ok(Findings { divergence: None, ..findings })
}
