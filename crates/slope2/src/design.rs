//! The design matrix: dense, sparse or known by its products only; centered and scaled without being changed.

mod columns;
mod standardize;

use std::borrow::Cow;

use faer::MatRef;
use rayon::prelude::*;

use crate::error::{Error, Result, length};
use crate::kernel::{STREAMS, axpy, dot, dots, shifted_axpy};
use columns::{Dense, Sparse};
pub use standardize::{Center, Scale};

/// A matrix that is known by its products.
pub trait Operator: Sync {
    /// Number of rows.
    fn n_rows(&self) -> usize;
    /// Number of columns.
    fn n_cols(&self) -> usize;
    /// `out = X b`.
    fn apply(&self, b: &[f64], out: &mut [f64]);
    /// `out = X' r`.
    fn adjoint(&self, r: &[f64], out: &mut [f64]);
}

/// A design of `n` rows (observations) and `p` columns (features), and all products with it.
///
/// Column `j` of what is fitted is `(x_j - center_j) / scale_j`. Neither dense nor sparse data are copied or changed for
/// that: the products account for it.
pub struct Design<'a> {
    entries: Entries<'a>,
    /// Empty where columns are not centered.
    centers: Vec<f64>,
    /// Empty where columns are not scaled.
    scales: Vec<f64>,
    /// Columns that are constant and centered: zeros, whatever rounding says. Empty where there is none.
    constant: Vec<bool>,
    /// How often the columns stand along the diagonal.
    copies: usize,
    /// Whether products stay on the calling thread.
    serial: bool,
}

enum Entries<'a> {
    Dense(Dense<'a>),
    Sparse(Sparse<'a>),
    Operator(&'a dyn Operator),
}

impl std::fmt::Debug for Design<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match &self.entries {
            Entries::Dense(_) => "dense",
            Entries::Sparse(_) => "sparse",
            Entries::Operator(_) => "operator",
        };
        write!(f, "Design({kind}, {} x {}", self.n_rows(), self.n_cols())?;
        if self.copies == 1 { write!(f, ")") } else { write!(f, " in {} blocks)", self.copies) }
    }
}

impl<'a> Design<'a> {
    /// A dense design. Columns that are contiguous are borrowed; other layouts are copied.
    #[must_use]
    pub fn dense(x: MatRef<'a, f64>) -> Self {
        Self::of(Entries::Dense(Dense::new(x)))
    }

    /// A dense design from its columns, one after the other.
    ///
    /// # Errors
    /// [`Error::Length`] unless there are `n * p` entries.
    pub fn from_columns(data: impl Into<Cow<'a, [f64]>>, n: usize, p: usize) -> Result<Self> {
        let data = data.into();
        length("entries of the design", n * p, data.len())?;
        Ok(Self::of(Entries::Dense(Dense { data, n, p })))
    }

    /// A sparse design in compressed columns: column `j` has the rows `row_idx[col_ptr[j]..col_ptr[j + 1]]`, increasing.
    ///
    /// # Errors
    /// [`Error::Length`] or [`Error::SparseStructure`] if the parts do not fit together.
    pub fn sparse(
        n: usize,
        col_ptr: &'a [usize],
        row_idx: &'a [usize],
        values: &'a [f64],
    ) -> Result<Self> {
        let parts = (Cow::Borrowed(col_ptr), Cow::Borrowed(row_idx), Cow::Borrowed(values));
        Ok(Self::of(Entries::Sparse(Sparse::new(n, parts.0, parts.1, parts.2)?)))
    }

    /// A design known by its products. Only solvers that need no single column take it.
    #[must_use]
    pub fn operator(operator: &'a dyn Operator) -> Self {
        Self::of(Entries::Operator(operator))
    }

    /// The same columns as they are stored, without copying them: not centered, not scaled, one block.
    #[must_use]
    pub fn stored(&self) -> Design<'_> {
        let entries = match &self.entries {
            Entries::Dense(x) => Entries::Dense(x.view()),
            Entries::Sparse(x) => Entries::Sparse(x.view()),
            Entries::Operator(x) => Entries::Operator(*x),
        };
        Design { serial: self.serial, ..Design::of(entries) }
    }

    /// The given rows of the columns as they are stored: not centered, not scaled, one block.
    ///
    /// # Errors
    /// [`Error::InvalidNumber`] unless rows increase and exist; [`Error::NeedsColumns`] for a design known by its products.
    pub fn stored_rows(&self, rows: &[usize]) -> Result<Design<'static>> {
        let n = self.block_rows();
        let bad = (0..rows.len()).find(|i| n <= rows[*i] || (0 < *i && rows[*i] <= rows[i - 1]));
        if let Some(i) = bad {
            let must = "increasing and below the number of rows";
            return Err(Error::InvalidNumber { name: "rows", must, got: rows[i] as f64 });
        }
        match &self.entries {
            Entries::Dense(x) => Ok(Design::of(Entries::Dense(x.rows(rows)))),
            Entries::Sparse(x) => Ok(Design::of(Entries::Sparse(x.rows(rows)))),
            Entries::Operator(_) => Err(Error::NeedsColumns),
        }
    }

    /// The same with products that stay on the calling thread, for work that is on all threads already.
    pub(crate) fn serial(mut self) -> Self {
        self.serial = true;
        self
    }

    fn of(entries: Entries<'a>) -> Self {
        Design {
            entries,
            centers: Vec::new(),
            scales: Vec::new(),
            constant: Vec::new(),
            copies: 1,
            serial: false,
        }
    }

    /// The same design for each of several linear predictors, as for classes: a matrix of blocks with these columns along the
    /// diagonal, and zeros elsewhere. It has `copies` times as many rows and columns, the first block first.
    #[must_use]
    pub fn in_blocks(mut self, copies: usize) -> Self {
        self.copies *= copies.max(1);
        self
    }

    /// Number of blocks along the diagonal.
    #[must_use]
    pub fn n_blocks(&self) -> usize {
        self.copies
    }

    /// Number of rows: of observations, times that of blocks.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        self.copies * self.block_rows()
    }

    /// Number of columns: of features, times that of blocks.
    #[must_use]
    pub fn n_cols(&self) -> usize {
        self.copies * self.block_cols()
    }

    fn block_rows(&self) -> usize {
        match &self.entries {
            Entries::Dense(x) => x.n,
            Entries::Sparse(x) => x.n,
            Entries::Operator(x) => x.n_rows(),
        }
    }

    fn block_cols(&self) -> usize {
        match &self.entries {
            Entries::Dense(x) => x.p,
            Entries::Sparse(x) => x.n_cols(),
            Entries::Operator(x) => x.n_cols(),
        }
    }

    /// The feature that a column holds.
    fn feature(&self, j: usize) -> usize {
        if self.copies == 1 { j } else { j % self.block_cols() }
    }

    /// The rows of the block that a column is in.
    pub(crate) fn rows_of(&self, j: usize) -> std::ops::Range<usize> {
        let n = self.block_rows();
        let first = if self.copies == 1 { 0 } else { j / self.block_cols() * n };
        first..first + n
    }

    /// What is taken off each column before scaling; 0 where columns are not centered.
    #[must_use]
    pub fn center(&self, j: usize) -> f64 {
        if self.centers.is_empty() { 0.0 } else { self.centers[self.feature(j)] }
    }

    /// What each column is divided by; 1 where columns are not scaled.
    #[must_use]
    pub fn scale(&self, j: usize) -> f64 {
        if self.scales.is_empty() { 1.0 } else { self.scales[self.feature(j)] }
    }

    /// What a column is multiplied by: one over its scale, and 0 for a constant column that is centered.
    pub(crate) fn factor(&self, j: usize) -> f64 {
        if self.constant.get(self.feature(j)).copied().unwrap_or(false) {
            0.0
        } else {
            1.0 / self.scale(j)
        }
    }

    /// Whether single columns can be had.
    #[must_use]
    pub fn has_columns(&self) -> bool {
        !matches!(self.entries, Entries::Operator(_))
    }

    /// Whether most entries are not stored.
    #[must_use]
    pub fn is_sparse(&self) -> bool {
        matches!(self.entries, Entries::Sparse(_))
    }

    /// `out = X b`.
    pub fn apply(&self, b: &[f64], out: &mut [f64]) {
        if let Entries::Operator(x) = &self.entries {
            let (n, p) = (self.block_rows().max(1), self.block_cols().max(1));
            for (b, out) in b.chunks(p).zip(out.chunks_mut(n)) {
                let scaled: Vec<f64> =
                    b.iter().enumerate().map(|(j, b)| b * self.factor(j)).collect();
                let shift = self.shift(scaled.iter().copied().enumerate());
                x.apply(&scaled, out);
                out.iter_mut().for_each(|o| *o -= shift);
            }
            return;
        }
        out.fill(0.0);
        self.add_columns(b.iter().copied().enumerate().filter(|(_, b)| *b != 0.0), out);
    }

    /// `out += sum_j a_j x_j` over the given columns. A design known by its products adds nothing.
    pub(crate) fn add_columns(
        &self,
        columns: impl Iterator<Item = (usize, f64)> + Clone,
        out: &mut [f64],
    ) {
        if self.copies == 1 {
            return self.add_features(columns, out);
        }
        let (n, p) = (self.block_rows().max(1), self.block_cols());
        for (block, out) in out.chunks_mut(n).enumerate() {
            let own = columns.clone().filter(|(j, _)| j / p == block).map(|(j, a)| (j % p, a));
            self.add_features(own, out);
        }
    }

    /// The same within one block.
    fn add_features(&self, columns: impl Iterator<Item = (usize, f64)> + Clone, out: &mut [f64]) {
        let scaled = columns.map(|(j, a)| (j, a * self.factor(j)));
        // Centers are taken off first: of columns far from zero little else would be left than rounding.
        let mut shift = 0.0;
        for (j, a) in scaled {
            let center = if self.centers.is_empty() { 0.0 } else { self.centers[j] };
            match &self.entries {
                Entries::Dense(x) if center == 0.0 => axpy(a, x.column(j), out),
                Entries::Dense(x) => shifted_axpy(a, x.column(j), center, out),
                Entries::Sparse(x) if center == 0.0 => x.add(j, a, 0.0, out),
                Entries::Sparse(x) if x.is_full(j) => x.add(j, a, center, out),
                Entries::Sparse(x) => {
                    x.add(j, a, 0.0, out);
                    shift += a * center;
                }
                Entries::Operator(_) => {}
            }
        }
        if shift != 0.0 {
            out.iter_mut().for_each(|o| *o -= shift);
        }
    }

    fn shift(&self, scaled: impl Iterator<Item = (usize, f64)>) -> f64 {
        if self.centers.is_empty() {
            return 0.0;
        }
        scaled.map(|(j, a)| a * self.centers[j]).sum()
    }

    /// `x_j' v` with features as they are fitted, from `v` and its sum, both within a block. Centers are taken off first.
    fn fitted_dots(&self, feature: impl Fn(usize) -> usize, v: &[f64], sum: f64, out: &mut [f64]) {
        let center = |j: usize| if self.centers.is_empty() { 0.0 } else { self.centers[j] };
        match &self.entries {
            Entries::Dense(x) => {
                let column = |i: usize| (x.column(feature(i)), center(feature(i)));
                dots(column, !self.centers.is_empty(), v, out);
            }
            Entries::Sparse(x) => {
                for (i, out) in out.iter_mut().enumerate() {
                    let j = feature(i);
                    *out = match center(j) {
                        0.0 => x.dot(j, v),
                        center => x.shifted_dot(j, center, v, sum),
                    };
                }
            }
            Entries::Operator(_) => out.fill(0.0),
        }
        out.iter_mut().enumerate().for_each(|(i, out)| *out *= self.factor(feature(i)));
    }

    fn sum_if_centered(&self, v: &[f64]) -> f64 {
        if self.centers.is_empty() { 0.0 } else { v.iter().sum() }
    }

    /// `out = X' v`, columns shared out among threads; each is summed by one thread.
    pub fn adjoint(&self, v: &[f64], out: &mut [f64]) {
        let (n, p) = (self.block_rows().max(1), self.block_cols().max(1));
        for (v, out) in v.chunks(n).zip(out.chunks_mut(p)) {
            let sum = self.sum_if_centered(v);
            match &self.entries {
                Entries::Operator(x) => {
                    x.adjoint(v, out);
                    let whole = out.iter_mut().enumerate();
                    whole.for_each(|(j, o)| *o = (*o - self.center(j) * sum) * self.factor(j));
                }
                _ => self.shared_out(out, |first, out| {
                    self.fitted_dots(|i| first + i, v, sum, out);
                }),
            }
        }
    }

    /// `out[i] = x_j' v` for the i-th of `columns`. A design known by its products gives zeros.
    pub(crate) fn adjoint_of(&self, columns: &[usize], v: &[f64], out: &mut [f64]) {
        let n = self.block_rows().max(1);
        let sums: Vec<f64> = v.chunks(n).map(|v| self.sum_if_centered(v)).collect();
        self.shared_out(out, |first, out| {
            let mut columns = &columns[first..first + out.len()];
            let mut out = out;
            // Those of one block at a time.
            while let Some(j) = columns.first() {
                let rows = self.rows_of(*j);
                let alike = columns.iter().take_while(|j| self.rows_of(**j) == rows).count();
                let (own, others) = columns.split_at(alike);
                let (filled, rest) = out.split_at_mut(alike);
                let sum = sums[rows.start / n];
                self.fitted_dots(|i| self.feature(own[i]), &v[rows], sum, filled);
                (columns, out) = (others, rest);
            }
        });
    }

    /// `x_j' v` with a stored feature, within a block. A design known by its products gives 0.
    fn feature_dot(&self, feature: usize, v: &[f64]) -> f64 {
        match &self.entries {
            Entries::Dense(x) => dot(x.column(feature), v),
            Entries::Sparse(x) => x.dot(feature, v),
            Entries::Operator(_) => 0.0,
        }
    }

    /// Fills `out`, in parallel where the work pays for it: shares of it, each told with its first position.
    fn shared_out(&self, out: &mut [f64], fill: impl Fn(usize, &mut [f64]) + Sync) {
        const SHARE: usize = 64 * 1024;
        let work = match &self.entries {
            Entries::Sparse(x) => x.n_stored() / x.n_cols().max(1),
            _ => self.block_rows(),
        };
        let columns = (SHARE / work.max(1)).max(1).next_multiple_of(STREAMS);
        if self.serial || out.len() <= columns || rayon::current_num_threads() == 1 {
            return fill(0, out);
        }
        let shares = out.par_chunks_mut(columns).enumerate();
        shares.for_each(|(share, out)| fill(share * columns, out));
    }

    /// `out += a x_j` for one column as it is fitted, written out.
    pub(crate) fn column_into(&self, j: usize, out: &mut [f64]) {
        out.fill(0.0);
        self.add_columns(std::iter::once((j, 1.0)), out);
    }

    /// Rows within its block of a stored column of a dense design; of others none.
    pub(crate) fn stored_entries(&self, j: usize, rows: std::ops::Range<usize>) -> &[f64] {
        match &self.entries {
            Entries::Dense(x) => &x.column(self.feature(j))[rows],
            _ => &[],
        }
    }

    /// `x_j' v` with the stored column. A design known by its products gives 0.
    pub(crate) fn stored_dot(&self, j: usize, v: &[f64]) -> f64 {
        self.feature_dot(self.feature(j), &v[self.rows_of(j)])
    }

    /// Number of stored entries of a column.
    pub(crate) fn n_stored_in(&self, j: usize) -> usize {
        match &self.entries {
            Entries::Sparse(x) => x.column(self.feature(j)).0.len(),
            _ => self.block_rows(),
        }
    }

    /// Visits the stored entries of a column of a sparse design, each with its row.
    pub(crate) fn scatter(&self, j: usize, mut visit: impl FnMut(usize, f64)) {
        if let Entries::Sparse(x) = &self.entries {
            let (rows, values) = x.column(self.feature(j));
            let first = self.rows_of(j).start;
            rows.iter().zip(values).for_each(|(row, x)| visit(first + *row, *x));
        }
    }

    /// The first entry that is not finite, as an error.
    pub(crate) fn find_bad_entry(&self) -> Option<Error> {
        let (row, column, got) = match &self.entries {
            Entries::Dense(x) => x.bad_entry()?,
            Entries::Sparse(x) => x.bad_entry()?,
            Entries::Operator(_) => return None,
        };
        let place = format!("row {row}, column {column}");
        Some(Error::InvalidEntry { name: "design", place, must: "finite", got })
    }
}
