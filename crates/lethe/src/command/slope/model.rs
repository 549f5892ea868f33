//! Fitted models as files: what is written about one, and how it is read back.

use std::collections::HashSet;
use std::path::Path;

use report::number::significant;
use report::table::Table;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use slope2::estimator::Fitted;

use super::flags::Penalty;
use super::statement::{
    Statement, certificate_json, certificate_words, penalty_json, penalty_words,
};
use crate::command::write;
use crate::error::{Error, Result};

pub(super) const FORMAT: &str = "lethe-slope-model";
pub(super) const VERSION: u64 = 1;

/// A fit with everything that is said about it.
pub(super) struct Model<'a> {
    pub(super) statement: &'a Statement<'a>,
    pub(super) penalty: &'a Penalty,
    pub(super) fitted: &'a Fitted,
    /// How the strength was found.
    pub(super) strength: Words,
    /// What was compared, if the strength was chosen.
    pub(super) selection: Option<Value>,
    /// The seed of the folds, if there were some.
    pub(super) seed: Option<u64>,
}

/// The same for people and for programs.
#[derive(Clone, Debug)]
pub(super) struct Words {
    pub(super) text: String,
    pub(super) json: Value,
}

/// Version 1 as it is written. A promise: fields are not changed, a new version is added.
#[derive(Serialize)]
struct Written<'a> {
    format: &'static str,
    version: u64,
    columns: Vec<String>,
    response: &'a str,
    classes: Option<&'a [String]>,
    statement: Value,
    penalty: Value,
    strength: &'a Value,
    seed: Option<u64>,
    certificate: Value,
    converged: bool,
    clusters: Value,
    selection: &'a Option<Value>,
    fit: Value,
}

/// A model that was read back.
#[derive(Debug)]
pub(super) struct Saved {
    pub(super) columns: Vec<String>,
    pub(super) response: String,
    pub(super) classes: Option<Vec<String>>,
    pub(super) statement: Value,
    pub(super) penalty: Value,
    pub(super) certificate: Value,
    pub(super) fitted: Fitted,
}

/// What every version begins with.
#[derive(Deserialize)]
struct Header {
    format: String,
    version: Value,
}

/// Version 1 as it is read. What predictions do not need is handed on as it is.
#[derive(Deserialize)]
struct Read {
    columns: Vec<String>,
    response: String,
    classes: Option<Vec<String>>,
    #[serde(default)]
    statement: Value,
    #[serde(default)]
    penalty: Value,
    #[serde(default)]
    certificate: Value,
    fit: Value,
}

impl Saved {
    /// Reads a model.
    pub(super) fn load(file: &Path) -> Result<Saved> {
        let refused = |what: String| Error::file(file, what);
        let text =
            std::fs::read_to_string(file).map_err(|e| refused(format!("cannot be read: {e}")))?;
        let malformed = |e: serde_json::Error| {
            refused(format!("expected a model that `lethe slope fit` wrote: {e}"))
        };
        let header: Header = serde_json::from_str(&text).map_err(malformed)?;
        if header.format != FORMAT {
            return Err(refused(format!("expected format `{FORMAT}`, got `{}`", header.format)));
        }
        if header.version.as_u64() != Some(VERSION) {
            return Err(refused(format!("expected version {VERSION}, got {}", header.version)));
        }
        let read: Read = serde_json::from_str(&text).map_err(malformed)?;
        let fitted =
            Fitted::from_json(&read.fit.to_string()).map_err(|e| refused(e.to_string()))?;
        let (expected, got) = (fitted.n_features(), read.columns.len());
        if expected != got {
            return Err(refused(format!("expected {expected} names of columns, got {got}")));
        }
        let classes = read.classes.as_deref().unwrap_or_default();
        let (expected, got) = (n_classes(&fitted), classes.len());
        if expected != got {
            return Err(refused(format!("expected {expected} names of classes, got {got}")));
        }
        for (what, names) in [("columns", &read.columns[..]), ("classes", classes)] {
            if let Some(name) = repeated(names) {
                return Err(refused(format!("expected names of {what} that differ, got `{name}`")));
            }
        }
        let Read { columns, response, classes, statement, penalty, certificate, .. } = read;
        Ok(Saved { columns, response, classes, statement, penalty, certificate, fitted })
    }
}

/// Number of classes of a response; 0 for one without.
fn n_classes(fitted: &Fitted) -> usize {
    if fitted.family().has_classes() { fitted.n_predictors() + 1 } else { 0 }
}

/// The first name that stands there a second time.
fn repeated(names: &[String]) -> Option<&str> {
    let mut known = HashSet::new();
    names.iter().map(String::as_str).find(|name| !known.insert(*name))
}

impl Model<'_> {
    fn n_coefficients(&self) -> usize {
        self.statement.input.n_coefficients()
    }

    /// The model file.
    pub(super) fn json(&self) -> Result<String> {
        let input = self.statement.input;
        let fit = serde_json::from_str(&self.fitted.to_json()?).map_err(write::no_json)?;
        let written = Written {
            format: FORMAT,
            version: VERSION,
            columns: input.table.names(),
            response: &input.response,
            classes: input.classes.as_deref(),
            statement: self.statement.json(),
            penalty: penalty_json(self.penalty, Some(self.fitted.penalty())),
            strength: &self.strength.json,
            seed: self.seed,
            certificate: certificate_json(self.fitted.certificate()),
            converged: self.fitted.converged(),
            clusters: self.clusters(),
            selection: &self.selection,
            fit,
        };
        write::json(&written)
    }

    fn clusters(&self) -> Value {
        let input = self.statement.input;
        let member = |(coefficient, sign): &(usize, f64)| {
            let (column, predictor) = input.place(*coefficient);
            let mut all = json!({ "column": input.table.name(column), "sign": sign });
            if let Some(class) = input.class_of(predictor) {
                all["class"] = json!(class);
            }
            all
        };
        let cluster = |cluster: &slope2::Cluster| {
            let members: Vec<Value> = cluster.members.iter().map(member).collect();
            json!({ "magnitude": cluster.magnitude, "members": members })
        };
        self.fitted.clusters().iter().map(cluster).collect()
    }

    /// Everything in words.
    pub(super) fn lines(&self) -> Vec<(String, String)> {
        let mut lines = self.statement.lines();
        let fitted = self.fitted;
        let p = self.n_coefficients();
        lines.push(("penalty".into(), penalty_words(self.penalty, fitted.penalty(), p)));
        lines.push(("strength".into(), self.strength.text.clone()));
        lines.push(("certificate".into(), certificate_words(fitted.certificate())));
        let clusters = fitted.clusters();
        let n_nonzero: usize = clusters.iter().map(|c| c.members.len()).sum();
        let n_shared = clusters.iter().filter(|c| 1 < c.members.len()).count();
        lines.push((
            "coefficients".into(),
            format!(
                "{n_nonzero} of {p} are not zero, in {} magnitudes, of which {n_shared} are shared",
                clusters.len()
            ),
        ));
        lines
    }

    /// The coefficients that are not zero, by magnitude; at most `most` of them, and how many there are.
    pub(super) fn table(&self, most: usize) -> (Table, usize) {
        let (input, fitted) = (self.statement.input, self.fitted);
        let original = fitted.coefficients();
        let mut table = Table::new(["cluster", "column", "coefficient", "on scaled columns"]);
        for (k, intercept) in fitted.intercepts().iter().enumerate() {
            let scaled = significant(fitted.standardized_intercepts()[k], 6);
            let name = input.class_of(k).map(|class| format!("(intercept), {class}"));
            let name = name.unwrap_or_else(|| "(intercept)".into());
            table.push_row([String::new(), name, significant(*intercept, 6), scaled]);
        }
        let mut n = 0;
        for (c, cluster) in fitted.clusters().iter().enumerate() {
            let size = cluster.members.len();
            let label =
                if 1 < size { format!("{}, shared by {size}", c + 1) } else { (c + 1).to_string() };
            for (i, (j, sign)) in cluster.members.iter().enumerate() {
                n += 1;
                if n <= most {
                    let label = if i == 0 { label.clone() } else { String::new() };
                    let scaled = significant(sign * cluster.magnitude, 6);
                    let name = input.name(*j);
                    table.push_row([label, name, significant(original[*j], 6), scaled]);
                }
            }
        }
        (table, n)
    }

    /// All coefficients.
    pub(super) fn coefficients_csv(&self) -> Result<Vec<u8>> {
        let (input, fitted) = (self.statement.input, self.fitted);
        let mut cluster = vec![String::new(); self.n_coefficients()];
        for (c, members) in fitted.clusters().iter().enumerate() {
            members.members.iter().for_each(|(j, _)| cluster[*j] = (c + 1).to_string());
        }
        let (intercepts, original) = (fitted.intercepts(), fitted.coefficients());
        let header =
            ["column", "class", "coefficient", "scaled_coefficient", "cluster", "center", "scale"];
        let class = |k: usize| input.class_of(k).unwrap_or_default().to_owned();
        let first = intercepts.iter().zip(fitted.standardized_intercepts()).enumerate();
        let first = first.map(|(k, (intercept, scaled))| {
            let mut row = vec!["(intercept)".to_owned(), class(k)];
            row.extend([intercept.to_string(), scaled.to_string()]);
            row.resize(header.len(), String::new());
            row
        });
        let rows = (0..self.n_coefficients()).map(|j| {
            let (column, predictor) = input.place(j);
            vec![
                input.table.name(column).into_owned(),
                class(predictor),
                original[j].to_string(),
                fitted.standardized_coefficients()[j].to_string(),
                cluster[j].clone(),
                fitted.centers()[column].to_string(),
                fitted.scales()[column].to_string(),
            ]
        });
        write::csv(&header, first.chain(rows))
    }
}
