//! The real data, brought into columns.

use std::path::{Path, PathBuf};

use slope2::Design;
use slope2::data::{SvmLight, Table, svmlight, tensors};

use crate::data::{Places, file};
use crate::error::{Error, Result};

/// The sets, by name.
pub(super) const NAMES: [&str; 5] = ["diabetes", "colon", "leukemia", "srbct", "spam"];

/// Most bytes of a set.
const LIMIT_BYTES: u64 = 1 << 28;
/// Rows of the mails that are a training set by the order in which they come.
const SPAM_TRAIN: usize = 4800;
const SPAM_BLOCK: usize = 1000;

/// What is predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Response {
    Number,
    Classes(usize),
}

/// The features, made here or as a table has them.
enum Features {
    Made { x: Vec<f64>, p: usize },
    Read(Box<Table>),
}

/// One set.
pub(super) struct RealSet {
    name: &'static str,
    pub(super) about: &'static str,
    pub(super) response: Response,
    /// The response: a number, or the number of the class.
    pub(super) y: Vec<f64>,
    features: Features,
    /// Strengths for each pair of a ratio and a share.
    pub(super) strengths: usize,
    /// First strength over last.
    pub(super) part: f64,
}

impl RealSet {
    pub(super) fn design(&self) -> Result<Design<'_>> {
        Ok(match &self.features {
            Features::Made { x, p } => Design::from_columns(x.as_slice(), self.y.len(), *p)?,
            Features::Read(table) => table.design()?,
        })
    }

    pub(super) fn unit(&self) -> &'static str {
        match self.response {
            Response::Number => "mean squared error",
            Response::Classes(_) => "% wrong",
        }
    }

    /// Splits that come with the data.
    pub(super) fn given_splits(&self, full: bool) -> Option<Vec<(Vec<usize>, Vec<usize>)>> {
        if self.name != "spam" || self.y.len() <= SPAM_TRAIN {
            return None;
        }
        let test: Vec<usize> = (SPAM_TRAIN..self.y.len()).collect();
        let block = |from: usize, to: usize| ((from..to).collect(), test.clone());
        Some(if full {
            vec![block(0, SPAM_TRAIN)]
        } else {
            let starts = (0..SPAM_TRAIN / SPAM_BLOCK).map(|b| b * SPAM_BLOCK);
            starts.map(|from| block(from, from + SPAM_BLOCK)).collect()
        })
    }

    /// Reads a set.
    pub(super) fn open(name: &'static str, places: &Places) -> Result<Self> {
        let expression = |file: &str, level: fn(f64) -> f64| {
            let file = places.folder_of("expression")?.join(file);
            expression(&file, level)
        };
        let set = |about, response, (features, y): (Features, Vec<f64>), strengths, part| RealSet {
            name,
            about,
            response,
            y,
            features,
            strengths,
            part,
        };
        Ok(match name {
            "diabetes" => {
                let about = "diabetes with squares and products, 442 x 64";
                set(about, Response::Number, diabetes(&places.folder_of("uci-small")?)?, 20, 1000.0)
            }
            "colon" => {
                let data = expression("colon_alon.safetensors", f64::ln)?;
                set("colon, 62 x 2000", Response::Classes(2), data, 8, 50.0)
            }
            "leukemia" => {
                let data = expression("leukemia_golub.safetensors", |x| x.max(20.0).ln())?;
                set("leukemia, 72 x 7129", Response::Classes(2), data, 8, 50.0)
            }
            "srbct" => {
                let data = expression("srbct_khan.safetensors", |x| x)?;
                set("SRBCT, 63 x 2308, four classes", Response::Classes(4), data, 8, 50.0)
            }
            _ => {
                let data = spam(&places.folder_of("spam-assassin-bow")?.join("counts.svm.gz"))?;
                set("mails, 14057 words", Response::Classes(2), data, 5, 50.0)
            }
        })
    }
}

fn bad(file: &Path, reason: impl Into<String>) -> Error {
    Error::Config { file: file.to_owned(), reason: reason.into() }
}

/// A table of samples by genes, each entry through `level`.
fn expression(file: &Path, level: fn(f64) -> f64) -> Result<(Features, Vec<f64>)> {
    let table = tensors::open(file)?.mapped(level)?;
    let y = table.response()?.numbers("a number", |_| true)?;
    Ok((Features::Read(Box::new(table)), y))
}

/// Numbers separated by blanks, row by row.
fn numbers(file: &Path) -> Result<Vec<Vec<f64>>> {
    let bytes = file::read(file)?;
    let content = file::content(&bytes, file, LIMIT_BYTES)?;
    let text = std::str::from_utf8(&content).map_err(|e| bad(file, e.to_string()))?;
    let cell = |cell: &str| cell.parse::<f64>().map_err(|e| bad(file, format!("`{cell}`: {e}")));
    text.lines().map(|line| line.split_whitespace().map(cell).collect()).collect()
}

/// Ten covariates, the squares of those with more than two values, and all products of two.
fn diabetes(folder: &Path) -> Result<(Features, Vec<f64>)> {
    let file: PathBuf = folder.join("diabetes_data_raw.csv.gz");
    let rows = numbers(&file)?;
    let y = numbers(&folder.join("diabetes_target.csv.gz"))?.concat();
    let n = rows.len();
    if n != y.len() || rows.iter().any(|row| row.len() != 10) {
        return Err(bad(&file, "expected ten covariates and one target in each row"));
    }
    // Standardized before they are multiplied, as usual, so that products are not their factors once more.
    let column = |j: usize| -> Vec<f64> {
        let mean = rows.iter().map(|row| row[j]).sum::<f64>() / n as f64;
        let square = rows.iter().map(|row| (row[j] - mean).powi(2)).sum::<f64>() / n as f64;
        rows.iter().map(|row| (row[j] - mean) / square.sqrt()).collect()
    };
    let columns: Vec<Vec<f64>> = (0..10).map(column).collect();
    let mut x: Vec<f64> = columns.concat();
    let mut p = columns.len();
    for (j, a) in columns.iter().enumerate() {
        let two_values = distinct(a) == 2;
        for b in columns.iter().skip(j + usize::from(two_values)) {
            x.extend(a.iter().zip(b).map(|(a, b)| a * b));
            p += 1;
        }
    }
    Ok((Features::Made { x, p }, y))
}

fn distinct(values: &[f64]) -> usize {
    let mut bits: Vec<u64> = values.iter().map(|v| v.to_bits()).collect();
    bits.sort_unstable();
    bits.dedup();
    bits.len()
}

/// Logarithms of one plus the counts of words; class 1 is spam.
fn spam(file: &Path) -> Result<(Features, Vec<f64>)> {
    let table = svmlight::open(file, &SvmLight::default())?.mapped(f64::ln_1p)?;
    let y = table.response()?.numbers("a number", |_| true)?;
    let y = y.iter().map(|label| f64::from(0.0 < *label)).collect();
    Ok((Features::Read(Box::new(table)), y))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two samples of one tissue have much the same profile, if rows and columns are not confused.
    #[test]
    fn samples_resemble_each_other() {
        let places = Places::discover().unwrap();
        for name in ["colon", "leukemia", "srbct"] {
            let set = RealSet::open(name, &places).unwrap();
            let design = set.design().unwrap();
            let (n, p) = (design.n_rows(), design.n_cols());
            let samples = [0, 1, 2].map(|i| {
                let (mut at, mut sample) = (vec![0.0; n], vec![0.0; p]);
                at[i] = 1.0;
                design.adjoint(&at, &mut sample);
                sample
            });
            let sample = |i: usize| samples[i].iter();
            let mean = |i: usize| sample(i).sum::<f64>() / p as f64;
            let (a, b) = (mean(0), mean(2));
            let product = |i: usize, k: usize, a: f64, b: f64| -> f64 {
                sample(i).zip(sample(k)).map(|(x, y)| (x - a) * (y - b)).sum()
            };
            let squares = product(0, 0, a, a) * product(2, 2, b, b);
            let correlation = product(0, 2, a, b) / squares.sqrt();
            assert!(0.5 < correlation, "{name}: {correlation}");
        }
    }

    #[test]
    fn the_sets_have_their_sizes() {
        let places = Places::discover().unwrap();
        for (name, n, p) in [
            ("diabetes", 442, 64),
            ("colon", 62, 2000),
            ("leukemia", 72, 7129),
            ("srbct", 63, 2308),
            ("spam", 6046, 14_057),
        ] {
            let set = RealSet::open(name, &places).unwrap();
            let design = set.design().unwrap();
            assert_eq!((design.n_rows(), design.n_cols(), set.y.len()), (n, p, n), "{name}");
        }
        let spam = RealSet::open("spam", &places).unwrap();
        assert!((spam.y.iter().sum::<f64>() - 1896.0).abs() < 0.5);
        assert_eq!(spam.given_splits(false).unwrap().len(), 4);
    }
}
