//! `lethe slope predict`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::Value;
use slope2::data::{Csv, SvmLight, Table, csv, svmlight, tensors};
use slope2::estimator::FamilyKind;

use super::input::{Format, TableFlags};
use super::model::Saved;
use crate::command::write;
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
    /// The mean: a value, the probability of the second of two classes or of each of several, or a rate.
    Response,
    /// The linear predictor.
    Link,
    /// The likeliest class.
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
    columns: &'a [String],
    classes: &'a Option<Vec<String>>,
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
        let n = table.n_rows();
        let family = model.fitted.family();
        let classes = model.classes.clone().unwrap_or_default();
        // One name for each column of predictions, which come one after the other.
        let several = family == FamilyKind::Multinomial;
        let (kind, names, predictions): (&str, Vec<String>, Vec<Value>) = match self.kind {
            Kind::Response => {
                let names = if several { classes } else { vec!["response".into()] };
                ("response", names, values(&model.fitted.predict(&design)?))
            }
            Kind::Link => {
                let n_predictors = model.fitted.n_predictors();
                let names = classes.into_iter().take(n_predictors).collect();
                let names = if several { names } else { vec!["link".into()] };
                ("link", names, values(&model.fitted.predictor(&design)?))
            }
            Kind::Class => {
                if !family.has_classes() {
                    let must = "--kind class is for models of a binomial or multinomial response";
                    return Err(Error::Usage(must.into()));
                }
                let name = |class: &usize| match classes.get(*class) {
                    Some(name) => Value::from(name.clone()),
                    None => Value::from(*class),
                };
                let found = model.fitted.classify(&design)?.iter().map(name).collect();
                ("class", vec!["class".into()], found)
            }
        };
        let rows = |i: usize| (0..names.len()).map(move |k| i + k * n);
        let text = if self.json {
            let predictions = match names.len() {
                1 => Value::from(predictions),
                _ => (0..n)
                    .map(|i| rows(i).map(|at| predictions[at].clone()).collect::<Value>())
                    .collect(),
            };
            write::json(&Written {
                format: "lethe-slope-predictions",
                version: 1,
                model: self.model.display().to_string(),
                file: self.table.file.display().to_string(),
                response: &model.response,
                kind,
                columns: &names,
                classes: &model.classes,
                statement: &model.statement,
                penalty: &model.penalty,
                certificate: &model.certificate,
                predictions,
            })?
        } else {
            let header: Vec<&str> =
                std::iter::once("row").chain(names.iter().map(String::as_str)).collect();
            let text = |at: usize| match &predictions[at] {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let lines = (0..n).map(|i| {
                std::iter::once((i + 1).to_string()).chain(rows(i).map(text)).collect::<Vec<_>>()
            });
            let bytes = write::csv(&header, lines)?;
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
        self.table.refuse_csv_flags(format)?;
        let refused = |what: String| Error::file(&self.table.file, what);
        let numbered = |(j, name): (usize, &String)| *name == format!("x{}", j + 1);
        if !model.columns.iter().enumerate().all(numbered) {
            return Err(refused("its columns have no names, and those of the model have".into()));
        }
        let n = model.columns.len();
        if format == Format::Svmlight {
            let settings = SvmLight { known_columns: n, ..SvmLight::default() };
            let table = svmlight::open(&self.table.file, &settings)?;
            return Ok(table.widened_to(n));
        }
        let table = tensors::open(&self.table.file)?;
        if table.n_columns() != n {
            return Err(refused(format!("expected {n} columns, got {}", table.n_columns())));
        }
        Ok(table)
    }
}

fn values(numbers: &[f64]) -> Vec<Value> {
    numbers.iter().map(|x| Value::from(*x)).collect()
}
