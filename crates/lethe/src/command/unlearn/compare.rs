//! `lethe unlearn compare`: findings of several exams in one table.

use std::path::{Path, PathBuf};

use clap::Args;
use unlearn::exam::Findings;

use super::numbers::{Named, Numbers};
use super::page::{self, Contents};
use super::run::short;
use super::{findings, folder, plots};
use crate::command::Outcome;
use crate::command::write::Folder;
use crate::error::Result;

/// Flags of `lethe unlearn compare`.
#[derive(Debug, Args)]
pub struct Flags {
    /// Findings, or folders with findings.json.
    #[arg(required = true)]
    findings: Vec<PathBuf>,
    /// Findings about a model that never saw the forget set: distances are to it.
    #[arg(long, value_name = "FILE|FOLDER")]
    gold: Option<PathBuf>,
    /// Findings about the model before unlearning, three quarters of whose accuracy must be left: the gate of the shared task.
    #[arg(long, value_name = "FILE|FOLDER")]
    before: Option<PathBuf>,
    /// Folder for report.html; it must be empty. Without it nothing is written.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

impl Flags {
    pub(super) fn outcome(&self) -> Result<Outcome> {
        if let Some(out) = &self.out {
            folder::empty(out)?;
        }
        let mut models: Vec<(String, Findings)> = Vec::new();
        for path in &self.findings {
            models.push((name(path, &models, self.before.is_some()), findings::read(path)?));
        }
        let gold = self.gold.as_deref().map(findings::read).transpose()?;
        let before = self.before.as_deref().map(findings::read).transpose()?;
        let mut named: Vec<Named<'_>> = before.iter().map(|before| ("before", before)).collect();
        named.extend(models.iter().map(|(name, f)| (name.as_str(), f)));
        if let Some(gold) = &gold {
            named.push(("gold", gold));
        }
        let numbers = Numbers::new(&named, gold.as_ref(), before.as_ref())?;
        let mut outcome = Outcome { stdout: numbers.text(), ..Outcome::default() };
        if let Some(out) = &self.out {
            let pareto = plots::pareto(&named)?;
            let mut folder = Folder::named(out.clone());
            if let Some(picture) = &pareto {
                folder.add(picture.name, picture.svg.as_str());
            }
            let lines: Vec<(String, String)> = models
                .iter()
                .zip(&self.findings)
                .map(|((name, _), path)| (name.clone(), path.display().to_string()))
                .chain(self.before.iter().map(|path| ("before".into(), path.display().to_string())))
                .chain(self.gold.iter().map(|path| ("gold".into(), path.display().to_string())))
                .collect();
            let contents = Contents {
                title: "Exams compared",
                lines: &lines,
                warnings: &[],
                models: &named,
                numbers: Some(&numbers),
                pareto: pareto.as_ref(),
                trajectory: &[],
            };
            folder.add("report.html", page::html(&contents));
            let (written, files) = folder.finish();
            outcome.stdout += &format!("\n{written}");
            outcome.files = files;
        }
        Ok(outcome)
    }
}

/// The folder that the findings are of; numbered where there was one of that name.
fn name(path: &Path, others: &[(String, Findings)], has_before: bool) -> String {
    let of_folder = path.file_name().is_some_and(|name| name == findings::FILE);
    let name = match path.parent().filter(|_| of_folder) {
        Some(folder) if folder.file_name().is_some() => short(folder),
        _ => short(path),
    };
    let is_taken = |name: &str| {
        name == "gold"
            || has_before && name == "before"
            || others.iter().any(|(other, _)| other == name)
    };
    if !is_taken(&name) {
        return name;
    }
    let numbered = (2..).map(|n| format!("{name} ({n})"));
    numbered.into_iter().find(|name| !is_taken(name)).unwrap_or(name)
}
