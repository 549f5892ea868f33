//! The column that is to be explained, as numbers or as classes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::error::{Error, Result, shown};

/// A column of texts: what is to be explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    pub(super) file: PathBuf,
    pub(super) name: String,
    pub(super) texts: Vec<String>,
    /// The line of each.
    pub(super) lines: Vec<u64>,
}

/// A column as classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classes {
    /// The classes: in the order of numbers if all are numbers, else in that of texts.
    pub names: Vec<String>,
    /// The class of each row, counted from 0.
    pub of_rows: Vec<usize>,
}

impl Labels {
    /// The file it was read from.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The column's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The texts, row by row.
    #[must_use]
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// The line of a row, counted from 1.
    #[must_use]
    pub fn line(&self, row: usize) -> Option<u64> {
        self.lines.get(row).copied()
    }

    /// The column as numbers that `holds`.
    ///
    /// # Errors
    /// [`Error::Cell`] for the first that is no finite number or does not hold; `must` says what was expected.
    pub fn numbers(&self, must: &str, holds: impl Fn(f64) -> bool) -> Result<Vec<f64>> {
        let each = self.texts.iter().enumerate();
        each.map(|(row, text)| match finite(text) {
            Some(number) if holds(number) => Ok(number),
            _ => Err(self.refused(row, must)),
        })
        .collect()
    }

    /// The column as classes. Equal numbers are one class, however they are written.
    ///
    /// # Errors
    /// [`Error::Cell`] for a missing value.
    pub fn classes(&self) -> Result<Classes> {
        let missing = |text: &str| {
            let text = text.to_ascii_lowercase();
            ["", "na", "nan", "null", "none", "?"].contains(&text.as_str())
        };
        if let Some(row) = self.texts.iter().position(|text| missing(text)) {
            return Err(self.refused(row, "a class (missing values are not filled in)"));
        }
        let numbers: Option<Vec<f64>> = self.texts.iter().map(|text| finite(text)).collect();
        Ok(match numbers {
            // Adding 0 makes one zero of both.
            Some(numbers) => numbered(numbers.into_iter().map(|x| Ordered(x + 0.0))),
            None => numbered(self.texts.iter().cloned()),
        })
    }

    /// The error of one row.
    #[must_use]
    pub fn refused(&self, row: usize, must: &str) -> Error {
        Error::Cell {
            file: self.file.clone(),
            line: self.lines.get(row).copied().unwrap_or(0),
            column: self.name.clone(),
            must: must.to_owned(),
            got: shown(self.texts.get(row).map_or(b"".as_slice(), |text| text.as_bytes())),
        }
    }
}

/// A finite number with an order.
#[derive(Clone, Copy, Debug)]
struct Ordered(f64);

impl Ord for Ordered {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ordered {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Ordered {}

impl std::fmt::Display for Ordered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

fn numbered<T: Ord + Clone + std::fmt::Display>(values: impl Iterator<Item = T>) -> Classes {
    let values: Vec<T> = values.collect();
    let mut place: BTreeMap<&T, usize> = values.iter().map(|value| (value, 0)).collect();
    place.values_mut().enumerate().for_each(|(i, place)| *place = i);
    let of_rows = values.iter().map(|value| place.get(value).copied().unwrap_or(0)).collect();
    Classes { names: place.keys().map(ToString::to_string).collect(), of_rows }
}

/// The number in a text, if it is finite.
pub(super) fn finite(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|x| x.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(texts: &[&str]) -> Labels {
        let texts: Vec<String> = texts.iter().map(ToString::to_string).collect();
        let lines = (2..).take(texts.len()).collect();
        Labels { file: "t.csv".into(), name: "y".into(), texts, lines }
    }

    #[test]
    fn classes_are_sorted_as_numbers_or_as_texts() {
        let classes = labels(&["10", "-1.0", "9", "-1", "1e1"]).classes().unwrap();
        assert_eq!(classes.names, ["-1", "9", "10"]);
        assert_eq!(classes.of_rows, [2, 0, 1, 0, 2]);
        let classes = labels(&["yes", "no", "10"]).classes().unwrap();
        assert_eq!(
            (classes.names, classes.of_rows),
            (vec!["10".into(), "no".into(), "yes".into()], vec![2, 1, 0])
        );
        assert_eq!(labels(&["0", "-0"]).classes().unwrap().names, ["0"]);
    }

    #[test]
    fn what_is_missing_or_no_number_is_named() {
        let refused = labels(&["a", "NA"]).classes().unwrap_err().to_string();
        assert_eq!(
            refused,
            "t.csv, line 3, column `y`: expected a class (missing values are not filled in), got `NA`"
        );
        let refused = labels(&["1", "inf"]).numbers("a finite number", |_| true).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "t.csv, line 3, column `y`: expected a finite number, got `inf`"
        );
        assert!(labels(&["1", "-1"]).numbers("a count", |x| 0.0 <= x).is_err());
    }
}
