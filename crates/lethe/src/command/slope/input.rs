//! The data of a command.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use slope2::Observations;
use slope2::data::{Csv, Delimiter, Labels, SvmLight, Table, csv, svmlight, tensors};
use slope2::estimator::FamilyKind;

use super::flags::Family;
use crate::error::{Error, Result};

/// The most columns of an svmlight file that may be asked for.
const MOST_COLUMNS: usize = 1 << 27;

/// How a table is read.
#[derive(Debug, Args)]
#[command(next_help_heading = "Data")]
pub(super) struct TableFlags {
    /// The table: CSV, svmlight or safetensors, plain or gzip-compressed.
    pub(super) file: PathBuf,
    /// The format [default: by the name: .svm, .svmlight, .libsvm, .safetensors; else csv].
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// What stands between cells: one character, `tab`, or `space` for any number of spaces [default: a comma; a tab for .tsv].
    #[arg(long, value_name = "CHARACTER")]
    delimiter: Option<String>,
    /// The first row holds values; columns are called x1, x2, ...
    #[arg(long)]
    no_header: bool,
    /// Lines before the table that are not looked at [default: 0].
    #[arg(long, value_name = "N")]
    skip_lines: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Csv,
    Svmlight,
    Safetensors,
}

impl Format {
    fn name(self) -> &'static str {
        match self {
            Format::Csv => "CSV",
            Format::Svmlight => "svmlight",
            Format::Safetensors => "safetensors",
        }
    }
}

/// Which columns are what.
#[derive(Debug, Args)]
#[command(next_help_heading = "Data")]
pub(super) struct DataFlags {
    #[command(flatten)]
    pub(super) table: TableFlags,
    /// The column to explain, by name or by number counted from 1.
    #[arg(long, value_name = "COLUMN")]
    response: Option<String>,
    /// A file that holds the response, in its only column or in the one that --response names.
    #[arg(long, value_name = "FILE")]
    response_file: Option<PathBuf>,
    /// The family of the response.
    #[arg(long, value_enum, default_value_t = Family::Gaussian)]
    family: Family,
    /// The column with the weights of the rows.
    #[arg(long, value_name = "COLUMN")]
    weights: Option<String>,
    /// A column to leave out; may be repeated.
    #[arg(long, value_name = "COLUMN")]
    ignore: Vec<String>,
    /// svmlight: how many columns there are [default: the largest index, unless that is out of proportion to the entries].
    #[arg(long, value_name = "N")]
    columns: Option<usize>,
}

/// A table with its response.
#[derive(Clone, Debug)]
pub(super) struct Input {
    pub(super) table: Table,
    pub(super) y: Vec<f64>,
    pub(super) family: FamilyKind,
    pub(super) response: String,
    /// The classes, in the order of their numbers.
    pub(super) classes: Option<Vec<String>>,
    pub(super) weights: Option<String>,
}

impl TableFlags {
    pub(super) fn format(&self) -> Format {
        self.format.unwrap_or_else(|| match extension(&self.file).as_str() {
            "svm" | "svmlight" | "libsvm" => Format::Svmlight,
            "safetensors" => Format::Safetensors,
            _ => Format::Csv,
        })
    }

    /// Refuses flags that say how CSV is read, for another format.
    pub(super) fn refuse_csv_flags(&self, format: Format) -> Result<()> {
        let flags = [
            ("--delimiter", self.delimiter.is_some()),
            ("--no-header", self.no_header),
            ("--skip-lines", self.skip_lines.is_some()),
        ];
        only_csv(format, &flags)
    }

    pub(super) fn csv(&self) -> Result<Csv> {
        let delimiter = match &self.delimiter {
            Some(name) => Delimiter::named(name).ok_or_else(|| {
                let must = "one character of ASCII, `tab` or `space`";
                Error::Usage(format!("--delimiter: expected {must}, got `{name}`"))
            })?,
            None if extension(&self.file) == "tsv" => Delimiter::Byte(b'\t'),
            None => Delimiter::Byte(b','),
        };
        let (header, skip_lines) = (!self.no_header, self.skip_lines.unwrap_or(0));
        Ok(Csv { delimiter, header, skip_lines, ..Csv::default() })
    }
}

/// Refuses the first of these flags that is set.
fn only_csv(format: Format, flags: &[(&str, bool)]) -> Result<()> {
    match flags.iter().find(|(_, is_set)| *is_set) {
        Some((flag, _)) => {
            Err(Error::Usage(format!("{flag} is for CSV, not for {}", format.name())))
        }
        None => Ok(()),
    }
}

/// The ending of a name, in small letters, that of the compression left away.
fn extension(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    name.rsplit_once('.').map_or(String::new(), |(_, ending)| ending.to_owned())
}

/// The name of a file without its endings.
pub(super) fn stem(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    name.rsplit_once('.').map_or(name, |(stem, _)| stem).to_owned()
}

impl DataFlags {
    /// Reads the data; `groups` is a column that folds keep together.
    pub(super) fn read(&self, groups: Option<&str>) -> Result<Input> {
        let format = self.table.format();
        if self.columns.is_some() && format != Format::Svmlight {
            return Err(Error::Usage(format!(
                "--columns is for svmlight, not for {}",
                format.name()
            )));
        }
        if let Some(n) = self.columns.filter(|n| MOST_COLUMNS < *n) {
            let must = format!("at most {MOST_COLUMNS}");
            return Err(Error::Usage(format!("--columns: expected {must}, got {n}")));
        }
        let table = match format {
            Format::Csv => self.csv(groups)?,
            format => self.fixed(format, groups)?,
        };
        let family = self.family.kind();
        let labels = table.response()?.clone();
        let (y, classes) = response(&labels, family)?;
        // A file of its own without a header names the response itself.
        let response = match (&self.response_file, self.table.no_header) {
            (Some(file), true) => stem(file),
            _ => labels.name().to_owned(),
        };
        let weights = self.weights.clone();
        if table.n_columns() == 0 {
            return Err(Error::file(table.file(), "no column is left to explain the response by"));
        }
        Ok(Input { table, y, family, response, classes, weights })
    }

    /// A format in which the roles of columns are fixed.
    fn fixed(&self, format: Format, groups: Option<&str>) -> Result<Table> {
        self.table.refuse_csv_flags(format)?;
        let flags = [
            ("--weights", self.weights.is_some()),
            ("--ignore", !self.ignore.is_empty()),
            ("--response-file", self.response_file.is_some()),
        ];
        only_csv(format, &flags)?;
        let name = format.name();
        let response = if format == Format::Svmlight { "label" } else { "y" };
        if let Some(other) = self.response.as_deref().filter(|name| *name != response) {
            let must = format!("nothing or `{response}`, the response of {name}");
            return Err(Error::Usage(format!("--response: expected {must}, got `{other}`")));
        }
        let known = if format == Format::Svmlight { "qid" } else { "" };
        if let Some(other) = groups.filter(|name| *name != known) {
            return Err(Error::Usage(format!("--groups: {name} has no groups `{other}`")));
        }
        if format == Format::Svmlight {
            let settings = SvmLight { n_columns: self.columns, ..SvmLight::default() };
            return Ok(svmlight::open(&self.table.file, &settings)?);
        }
        let table = tensors::open(&self.table.file)?;
        if table.response().is_err() {
            return Err(Error::file(table.file(), "expected a tensor `y`, the response"));
        }
        Ok(table)
    }

    fn csv(&self, groups: Option<&str>) -> Result<Table> {
        let plain = self.table.csv()?;
        let settings = Csv {
            weights: self.weights.clone(),
            groups: groups.map(ToOwned::to_owned),
            ignored: self.ignore.clone(),
            ..plain.clone()
        };
        let Some(file) = &self.response_file else {
            let Some(response) = self.response.clone() else {
                let must = "--response COLUMN or --response-file FILE";
                return Err(Error::Usage(format!("expected {must}: what is to be explained?")));
            };
            let settings = Csv { response: Some(response), ..settings };
            return Ok(csv::open(&self.table.file, &settings)?);
        };
        let table = csv::open(&self.table.file, &settings)?;
        let column = self.response.clone().unwrap_or_else(|| "1".into());
        let settings = Csv { response: Some(column), features: Some(Vec::new()), ..plain };
        Ok(table.with_response_of(&csv::open(file, &settings)?)?)
    }
}

/// The response as numbers, and the classes that they stand for.
fn response(labels: &Labels, family: FamilyKind) -> Result<(Vec<f64>, Option<Vec<String>>)> {
    match family {
        FamilyKind::Binomial | FamilyKind::Multinomial => {
            let classes = labels.classes()?;
            let (n, several) = (classes.names.len(), family == FamilyKind::Multinomial);
            if n < 2 || (!several && 2 < n) {
                let must = if several {
                    "at least two classes for a multinomial response"
                } else {
                    "two classes for a binomial response"
                };
                let shown = classes.names.iter().take(5).map(|name| format!("`{name}`"));
                let shown = shown.collect::<Vec<String>>().join(", ");
                let more = if 5 < n { ", ..." } else { "" };
                let column = labels.name();
                let what = format!("column `{column}`: expected {must}, got {n}: {shown}{more}");
                return Err(Error::file(labels.file(), what));
            }
            let y = classes.of_rows.iter().map(|class| *class as f64).collect();
            Ok((y, Some(classes.names)))
        }
        FamilyKind::Poisson => {
            let must = "a finite number that is not negative, for a poisson response";
            Ok((labels.numbers(must, |y| 0.0 <= y)?, None))
        }
        _ => {
            let must = "a finite number (for classes, --family binomial)";
            Ok((labels.numbers(must, |_| true)?, None))
        }
    }
}

impl Input {
    /// Number of linear predictors: of classes but one for a multinomial response, else 1.
    pub(super) fn n_predictors(&self) -> usize {
        self.family.loss(&self.y).n_predictors()
    }

    /// Number of coefficients: one for each column and linear predictor.
    pub(super) fn n_coefficients(&self) -> usize {
        self.table.n_columns() * self.n_predictors()
    }

    /// The class of a linear predictor, if there are several.
    pub(super) fn class_of(&self, predictor: usize) -> Option<&str> {
        let classes = self.classes.as_ref().filter(|_| self.family == FamilyKind::Multinomial);
        classes.and_then(|names| names.get(predictor)).map(String::as_str)
    }

    /// The column and the linear predictor of a coefficient.
    pub(super) fn place(&self, coefficient: usize) -> (usize, usize) {
        let p = self.table.n_columns().max(1);
        (coefficient % p, coefficient / p)
    }

    /// The column of a coefficient, and its class where there are several.
    pub(super) fn name(&self, coefficient: usize) -> String {
        let (column, predictor) = self.place(coefficient);
        let column = self.table.name(column);
        match self.class_of(predictor) {
            Some(class) => format!("{column}, {class}"),
            None => column.into_owned(),
        }
    }

    /// What the estimator looks at.
    pub(super) fn observations<'a>(&'a self, design: &'a slope2::Design<'a>) -> Observations<'a> {
        let (y, weights) = (self.y.as_slice(), self.table.weights());
        Observations { design, y, weights, loss: self.family.loss(y) }
    }
}
