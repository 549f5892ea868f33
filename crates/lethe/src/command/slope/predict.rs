//! `lethe slope predict`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::Value;
use slope2::data::{Csv, SvmLight, Table, csv, svmlight, tensors};
use slope2::estimator::FamilyKind;

use super::input::{Format, TableFlags};
use super::model::Saved;
use super::write;
use crate::command::{File, Outcome};
use crate::error::{Error, Result};

/// Flags of `predict`.
#[derive(Debug, Args)]
pub struct Flags {
    /// The model.json of `fit` or `grid`.
    model: PathBuf,
    #[command(flatten)]
    table: TableFlags,
    /// What is predicted.
    #[arg(long, value_enum, default_value_t = Kind::Response)]
    kind: Kind,
    /// Write to this file, and not to the terminal.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// JSON instead of CSV.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// The mean: a value, the probability of the second class, or a rate.
    Response,
    /// The linear predictor.
    Link,
    /// The likelier class of a binomial response.
    Class,
}

/// Version 1 of the predictions.
#[derive(Serialize)]
struct Written<'a> {
    format: &'static str,
    version: u64,
    model: String,
    file: String,
    response: &'a str,
    kind: &'a str,
    classes: &'a Option<[String; 2]>,
    statement: &'a Value,
    penalty: &'a Value,
    certificate: &'a Value,
    predictions: Value,
}

impl Flags {
    pub(super) fn outcome(&self) -> Result<Outcome> {
        let model = Saved::load(&self.model)?;
        let table = self.read(&model)?;
        let design = table.design()?;
        let (kind, predictions): (&str, Vec<String>) = match self.kind {
            Kind::Response => ("response", texts(&model.fitted.predict(&design)?)),
            Kind::Link => ("link", texts(&model.fitted.predictor(&design)?)),
            Kind::Class => {
                if model.fitted.family() != FamilyKind::Binomial {
                    return Err(Error::Usage(
                        "--kind class is for models of a binomial response".into(),
                    ));
                }
                let names = model.classes.clone().unwrap_or(["0".into(), "1".into()]);
                let name = |one: &bool| names[usize::from(*one)].clone();
                ("class", model.fitted.classify(&design)?.iter().map(name).collect())
            }
        };
        let text = if self.json {
            let number = |text: &String| text.parse::<f64>().map_or(Value::Null, Value::from);
            let predictions = match self.kind {
                Kind::Class => Value::from(predictions),
                _ => predictions.iter().map(number).collect(),
            };
            write::json(&Written {
                format: "lethe-slope-predictions",
                version: 1,
                model: self.model.display().to_string(),
                file: self.table.file.display().to_string(),
                response: &model.response,
                kind,
                classes: &model.classes,
                statement: &model.statement,
                penalty: &model.penalty,
                certificate: &model.certificate,
                predictions,
            })?
        } else {
            let rows = predictions.into_iter().enumerate();
            let rows = rows.map(|(row, text)| vec![(row + 1).to_string(), text]);
            let bytes = write::csv(&["row", kind], rows)?;
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let mut notes = Vec::new();
        let extra = table.left_out();
        if !extra.is_empty() {
            const SHOWN: usize = 8;
            let names: Vec<String> =
                extra.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
            let more = if SHOWN < extra.len() {
                format!(" and {} more", extra.len() - SHOWN)
            } else {
                String::new()
            };
            notes.push(format!("columns that the model does not use: {}{more}", names.join(", ")));
        }
        Ok(match &self.out {
            Some(path) => {
                let stdout = format!("written to {}\n", path.display());
                let files = vec![File { path: path.clone(), bytes: text.into_bytes() }];
                Outcome { stdout, notes, files, ..Outcome::default() }
            }
            None => Outcome { stdout: text, notes, ..Outcome::default() },
        })
    }

    /// The columns of the model, by name.
    fn read(&self, model: &Saved) -> Result<Table> {
        let format = self.table.format();
        if format == Format::Csv {
            let settings = Csv { features: Some(model.columns.clone()), ..self.table.csv()? };
            return Ok(csv::open(&self.table.file, &settings)?);
        }
        let refused = |what: String| Error::file(&self.table.file, what);
        let numbered = |(j, name): (usize, &String)| *name == format!("x{}", j + 1);
        if !model.columns.iter().enumerate().all(numbered) {
            return Err(refused("its columns have no names, and those of the model have".into()));
        }
        let n = model.columns.len();
        if format == Format::Svmlight {
            let table = svmlight::open(&self.table.file, &SvmLight::default())?;
            return Ok(table.widened_to(n));
        }
        let table = tensors::open(&self.table.file)?;
        if table.n_columns() != n {
            return Err(refused(format!("expected {n} columns, got {}", table.n_columns())));
        }
        Ok(table)
    }
}

fn texts(values: &[f64]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}
