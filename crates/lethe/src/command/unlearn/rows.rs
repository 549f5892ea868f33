//! Rows from files, and samples of them.

use std::path::{Path, PathBuf};

use candle_core::Device;
use clap::{Args, ValueEnum};
use serde::Serialize;
use unlearn::batch::{Batch, Item};
use unlearn::data;
use unlearn::prepare::{Prepared, Preparing};
use unlearn::row::{Join, Kind, Row};
use unlearn::run::Checks;
use unlearn::text::{OverLong, Sample};

use super::model::Model;
use crate::command::identity::Identity;
use crate::error::{Error, Result};

/// How rows become samples.
#[derive(Clone, Debug, Args, Serialize)]
#[group(skip)]
pub(super) struct Flags {
    /// How input and output become one text: space, none, question-answer, llama2 or chatml; by default that of the rows' format.
    #[arg(long, value_parser = join, value_name = "JOIN")]
    #[serde(skip)]
    pub(super) join: Option<Join>,
    /// What becomes of rows with more tokens than the model has positions.
    #[arg(long, value_enum, default_value_t = Long::Refuse)]
    pub(super) over_long: Long,
}

/// What becomes of rows that are too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Long {
    /// They are an error that names the row.
    Refuse,
    /// They are cut, which is said.
    Cut,
}

impl From<Long> for OverLong {
    fn from(long: Long) -> Self {
        match long {
            Long::Refuse => OverLong::Refuse,
            Long::Cut => OverLong::Cut,
        }
    }
}

pub(super) fn join(name: &str) -> std::result::Result<Join, String> {
    let known = || Join::ALL.map(|join| join.to_string()).join(", ");
    let found = Join::ALL.into_iter().find(|join| join.to_string() == name);
    found.ok_or_else(|| format!("expected one of {}, got `{name}`", known()))
}

/// How the sets of one command are read: input and output of all of them become one text in the same way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    asked: Option<Join>,
    found: Option<Join>,
}

impl Reading {
    /// With the join that the user asked for, or that of the sets' format.
    pub(super) fn of(asked: Option<Join>) -> Self {
        Reading { asked, found: None }
    }

    /// One more set. Whole texts have no input, and go with every join.
    ///
    /// # Errors
    /// Those of [`data::rows`], with path and line; [`Error::File`] for a format with another join than that of the sets before.
    pub(super) fn read(&mut self, path: &Path) -> Result<Vec<Row>> {
        let rows = data::rows(path)?;
        let of = rows.join();
        let is_joined = rows.rows.iter().any(|row| row.kind != Kind::Text);
        match self.found {
            Some(found) if self.asked.is_none() && is_joined && found != of => {
                let what = format!(
                    "its input and output are joined by `{of}`, those of the files before by `{found}`: say which by --join"
                );
                return Err(Error::file(path, what));
            }
            None if is_joined => self.found = Some(of),
            _ => {}
        }
        Ok(rows.rows)
    }

    /// How input and output become one text.
    pub(super) fn join(self) -> Join {
        self.asked.or(self.found).unwrap_or(Join::Space)
    }
}

/// Reads several files of rows, whose ids may be the same.
pub(super) fn read_all(paths: &[PathBuf], join: Option<Join>) -> Result<(Vec<Row>, Join)> {
    let (mut all, mut reading) = (Vec::new(), Reading::of(join));
    for path in paths {
        all.extend(reading.read(path)?);
    }
    Ok((all, reading.join()))
}

/// Adds digests of what a file, or each file of JSON lines of a folder, holds.
///
/// # Errors
/// [`Error::File`] for a path that cannot be read.
pub(super) fn identify(identity: &mut Identity, key: &str, path: &Path) -> Result<()> {
    if !path.is_dir() {
        return identity.add_contents(key, path);
    }
    let mut files: Vec<PathBuf> = std::fs::read_dir(path)
        .map_err(|e| Error::file(path, e))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|file| file.extension().is_some_and(|e| e == "jsonl"))
        .collect();
    files.sort();
    let mut numbered = files.iter().enumerate();
    numbered.try_for_each(|(number, file)| identity.add_contents(&format!("{key} {number}"), file))
}

/// Samples of rows for this model.
///
/// # Errors
/// [`Error::File`] with the file and the row that does not fit.
pub(super) fn prepare(
    model: &Model,
    (path, rows): (&Path, &[Row]),
    join: Join,
    over_long: Long,
    (refusals, seed): (&[String], u64),
) -> Result<Prepared> {
    let encoder = model.encoder(over_long.into());
    let preparing = Preparing { refusals, seed, ..Preparing::new(encoder, join) };
    preparing.items(rows).map_err(|error| {
        let hint = match (&error, over_long) {
            (unlearn::Error::Row { source, .. }, Long::Refuse)
                if matches!(**source, unlearn::Error::OverLong { .. }) =>
            {
                "; --over-long cut shortens such rows"
            }
            _ => "",
        };
        Error::file(path, format!("{error}{hint}"))
    })
}

/// Passes over at most so many items, drawn among all.
///
/// # Errors
/// From the back-end.
pub(super) fn passes(items: &[Item], most: usize, micro_batch: usize) -> Result<Vec<Batch>> {
    let chosen = Checks::drawn(items.len(), most.max(1));
    let chosen = chosen.into_iter().map(|i| items[i].clone()).collect();
    Ok(Batch::passes(chosen, micro_batch, &Device::Cpu)?)
}

/// Positions of each pass of a check, with their padding.
pub(super) fn positions(checks: &Checks) -> Vec<usize> {
    let passes = checks.forget.iter().chain(&checks.retain);
    passes.map(|batch| batch.texts().ids.elem_count()).collect()
}

/// Positions of the texts of a set, of an answer or its refusal, whichever is longer.
pub(super) fn lengths(items: &[Item]) -> Vec<usize> {
    let of = |item: &Item| {
        let texts = std::iter::once(&item.sample).chain(&item.refusal);
        texts.map(Sample::n_positions).max().unwrap_or(1)
    };
    items.iter().map(of).collect()
}

/// A number of rows, and of the pieces that they became where those are more.
pub(super) fn counted(rows: usize, pieces: usize) -> String {
    let plural = if rows == 1 { "" } else { "s" };
    match pieces > rows {
        true => format!("{rows} row{plural}, {pieces} pieces"),
        false => format!("{rows} row{plural}"),
    }
}

/// What is said of rows that were cut.
pub(super) fn cut_note(set: &str, prepared: &Prepared) -> Option<String> {
    (0 < prepared.n_cut).then(|| {
        let n = prepared.n_cut;
        format!(
            "{n} rows of the {set} set have more tokens than the model has positions and were cut"
        )
    })
}
