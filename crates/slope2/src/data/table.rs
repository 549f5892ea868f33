//! A table as it was read: features, and what stands beside them.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use super::error::{Error, Result};
use super::labels::Labels;
use crate::design::Design;

/// Named columns of finite numbers, with a response, weights and groups where the file has them.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    pub(super) file: PathBuf,
    pub(super) names: Names,
    pub(super) n_rows: usize,
    pub(super) features: Features,
    pub(super) response: Option<Labels>,
    pub(super) weights: Option<Vec<f64>>,
    pub(super) groups: Option<Vec<usize>>,
    pub(super) left_out: Vec<String>,
}

/// Names of columns; `x1`, `x2`, ... where the file has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Names {
    Listed(Vec<String>),
    Numbered(usize),
}

/// The columns.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Features {
    /// One after the other.
    Dense(Vec<f64>),
    /// Compressed.
    Sparse { col_ptr: Vec<usize>, row_idx: Vec<usize>, values: Vec<f64> },
}

impl Table {
    /// The same table with every entry of its features replaced. Entries that a sparse table does not store stay zero.
    ///
    /// # Errors
    /// [`Error::Cell`] for an entry that is not finite then, by its row and column.
    pub fn mapped(mut self, f: impl Fn(f64) -> f64) -> Result<Table> {
        let values = match &mut self.features {
            Features::Dense(values) | Features::Sparse { values, .. } => values,
        };
        values.iter_mut().for_each(|x| *x = f(*x));
        let Some(at) = values.iter().position(|x| !x.is_finite()) else { return Ok(self) };
        let got = values[at].to_string();
        let (row, column) = match &self.features {
            Features::Dense(_) => (at % self.n_rows, at / self.n_rows),
            Features::Sparse { col_ptr, row_idx, .. } => {
                (row_idx[at], col_ptr.partition_point(|end| *end <= at) - 1)
            }
        };
        Err(Error::Cell {
            file: self.file.clone(),
            line: row as u64 + 1,
            column: self.name(column).into_owned(),
            must: "a finite number".into(),
            got,
        })
    }

    /// The file it was read from.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Number of rows; at least 1.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Number of features.
    #[must_use]
    pub fn n_columns(&self) -> usize {
        match &self.names {
            Names::Listed(names) => names.len(),
            Names::Numbered(n) => *n,
        }
    }

    /// The name of a feature.
    #[must_use]
    pub fn name(&self, column: usize) -> Cow<'_, str> {
        match &self.names {
            Names::Listed(names) => names.get(column).map_or("", String::as_str).into(),
            Names::Numbered(_) => numbered(column).into(),
        }
    }

    /// The names of all features.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        (0..self.n_columns()).map(|j| self.name(j).into_owned()).collect()
    }

    /// The entries of a feature row by row, zeros included; none beyond the last.
    #[must_use]
    pub fn column(&self, column: usize) -> Vec<f64> {
        if self.n_columns() <= column {
            return Vec::new();
        }
        match &self.features {
            Features::Dense(values) => {
                values[column * self.n_rows..(column + 1) * self.n_rows].to_vec()
            }
            Features::Sparse { col_ptr, row_idx, values } => {
                let mut entries = vec![0.0; self.n_rows];
                for at in col_ptr[column]..col_ptr[column + 1] {
                    entries[row_idx[at]] = values[at];
                }
                entries
            }
        }
    }

    /// Whether zeros are not stored.
    #[must_use]
    pub fn is_sparse(&self) -> bool {
        matches!(self.features, Features::Sparse { .. })
    }

    /// The features as a design.
    ///
    /// # Errors
    /// None that a table of the readers can have.
    pub fn design(&self) -> crate::Result<Design<'_>> {
        match &self.features {
            Features::Dense(x) => Design::from_columns(&x[..], self.n_rows, self.n_columns()),
            Features::Sparse { col_ptr, row_idx, values } => {
                Design::sparse(self.n_rows, col_ptr, row_idx, values)
            }
        }
    }

    /// The response.
    ///
    /// # Errors
    /// [`Error::Without`] if the file was read without one.
    pub fn response(&self) -> Result<&Labels> {
        let file = self.file.clone();
        self.response.as_ref().ok_or(Error::Without { file, what: "no response was chosen" })
    }

    /// Takes the response from another table: its only column, or the one that was chosen there.
    ///
    /// # Errors
    /// [`Error::Without`] if it has no response, [`Error::Rows`] if it has another number of rows.
    pub fn with_response_of(mut self, other: &Table) -> Result<Table> {
        let response = other.response()?.clone();
        if other.n_rows != self.n_rows {
            let (file, expected, got) = (other.file.clone(), self.n_rows, other.n_rows);
            return Err(Error::Rows { file, expected, got });
        }
        self.response = Some(response);
        Ok(self)
    }

    /// Weights of the rows, not negative; none if no column was chosen.
    #[must_use]
    pub fn weights(&self) -> Option<&[f64]> {
        self.weights.as_deref()
    }

    /// The group of each row, counted from 0 as they appear: the chosen column, or `qid` where every row has one.
    #[must_use]
    pub fn groups(&self) -> Option<&[usize]> {
        self.groups.as_deref()
    }

    /// Columns of the file that are neither features nor anything else.
    #[must_use]
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// Features with one value in all rows.
    #[must_use]
    pub fn constant_columns(&self) -> Vec<usize> {
        let all_equal = |x: &[f64]| x.windows(2).all(|pair| pair[0] == pair[1]);
        let constant = |j: &usize| match &self.features {
            Features::Dense(x) => all_equal(&x[j * self.n_rows..(j + 1) * self.n_rows]),
            Features::Sparse { col_ptr, values, .. } => {
                let stored = &values[col_ptr[*j]..col_ptr[j + 1]];
                stored.is_empty() || (stored.len() == self.n_rows && all_equal(stored))
            }
        };
        (0..self.n_columns()).filter(constant).collect()
    }

    /// A table of svmlight with `n` columns: those beyond are left out, those that the file does not reach are zero. Other
    /// tables stay as they are.
    #[must_use]
    pub fn widened_to(mut self, n: usize) -> Table {
        let before = self.n_columns();
        if let Features::Sparse { col_ptr, row_idx, values } = &mut self.features {
            let stored = values.len();
            let beyond = (n..before).filter(|j| col_ptr[*j] < col_ptr[j + 1]);
            self.left_out.extend(beyond.map(numbered));
            col_ptr.resize(n + 1, stored);
            let stored = col_ptr.last().copied().unwrap_or(0);
            row_idx.truncate(stored);
            values.truncate(stored);
            self.names = Names::Numbered(n);
        }
        self
    }
}

/// The name of a column without one.
pub(super) fn numbered(column: usize) -> String {
    format!("x{}", column + 1)
}
