//! Columns as they are stored.

use std::borrow::Cow;

use faer::MatRef;

use crate::error::{Error, Result, length};

/// Columns of `n` entries, one after the other.
pub(super) struct Dense<'a> {
    pub(super) data: Cow<'a, [f64]>,
    pub(super) n: usize,
    pub(super) p: usize,
}

impl<'a> Dense<'a> {
    pub(super) fn new(x: MatRef<'a, f64>) -> Self {
        let (n, p) = (x.nrows(), x.ncols());
        let contiguous =
            x.try_as_col_major().filter(|x| isize::try_from(n).is_ok_and(|n| x.col_stride() == n));
        let data = match contiguous {
            Some(whole) if 0 < n * p => {
                let first = whole.as_ptr();
                #[allow(unsafe_code)]
                // SAFETY: rows are contiguous and the distance of columns is their length, so that the `n p`
                // entries of the borrowed matrix lie one after the other from its first.
                Cow::Borrowed(unsafe { std::slice::from_raw_parts(first, n * p) })
            }
            _ => {
                let entries = (0..p).flat_map(|j| (0..n).map(move |i| x[(i, j)]));
                Cow::Owned(entries.collect())
            }
        };
        Dense { data, n, p }
    }

    pub(super) fn view(&self) -> Dense<'_> {
        Dense { data: Cow::Borrowed(&self.data), n: self.n, p: self.p }
    }

    /// The given rows of all columns, in that order.
    pub(super) fn rows(&self, rows: &[usize]) -> Dense<'static> {
        let entries = (0..self.p).flat_map(|j| {
            let column = self.column(j);
            rows.iter().map(|i| column[*i])
        });
        Dense { data: Cow::Owned(entries.collect()), n: rows.len(), p: self.p }
    }

    pub(super) fn column(&self, j: usize) -> &[f64] {
        &self.data[j * self.n..(j + 1) * self.n]
    }

    pub(super) fn bad_entry(&self) -> Option<(usize, usize, f64)> {
        let at = self.data.iter().position(|x| !x.is_finite())?;
        Some((at % self.n, at / self.n, self.data[at]))
    }
}

/// Compressed columns.
pub(super) struct Sparse<'a> {
    pub(super) n: usize,
    col_ptr: Cow<'a, [usize]>,
    row_idx: Cow<'a, [usize]>,
    values: Cow<'a, [f64]>,
}

impl<'a> Sparse<'a> {
    pub(super) fn new(
        n: usize,
        col_ptr: Cow<'a, [usize]>,
        row_idx: Cow<'a, [usize]>,
        values: Cow<'a, [f64]>,
    ) -> Result<Self> {
        length("values of the sparse design", row_idx.len(), values.len())?;
        let wrong = |what: &'static str, at: usize| Err(Error::SparseStructure { what, at });
        if col_ptr.first() != Some(&0) || col_ptr.last() != Some(&row_idx.len()) {
            return wrong("column pointers run from 0 to the number of values", 0);
        }
        for (j, ends) in col_ptr.windows(2).enumerate() {
            if ends[1] < ends[0] || row_idx.len() < ends[1] {
                return wrong("column pointers do not fall", j);
            }
            let rows = &row_idx[ends[0]..ends[1]];
            if rows.windows(2).any(|r| r[1] <= r[0]) || rows.last().is_some_and(|r| n <= *r) {
                return wrong("rows of a column increase and lie below the number of rows", j);
            }
        }
        Ok(Sparse { n, col_ptr, row_idx, values })
    }

    pub(super) fn view(&self) -> Sparse<'_> {
        Sparse {
            n: self.n,
            col_ptr: Cow::Borrowed(&self.col_ptr),
            row_idx: Cow::Borrowed(&self.row_idx),
            values: Cow::Borrowed(&self.values),
        }
    }

    /// The given rows of all columns, in increasing order of `rows`.
    pub(super) fn rows(&self, rows: &[usize]) -> Sparse<'static> {
        let mut place = vec![None; self.n];
        rows.iter().enumerate().for_each(|(to, from)| place[*from] = Some(to));
        let (mut col_ptr, mut row_idx, mut values) = (vec![0], Vec::new(), Vec::new());
        for j in 0..self.n_cols() {
            let (from, entries) = self.column(j);
            for (i, x) in from.iter().zip(entries) {
                if let Some(to) = place[*i] {
                    row_idx.push(to);
                    values.push(*x);
                }
            }
            col_ptr.push(row_idx.len());
        }
        let (col_ptr, row_idx) = (Cow::Owned(col_ptr), Cow::Owned(row_idx));
        Sparse { n: rows.len(), col_ptr, row_idx, values: Cow::Owned(values) }
    }

    pub(super) fn n_cols(&self) -> usize {
        self.col_ptr.len() - 1
    }

    pub(super) fn n_stored(&self) -> usize {
        self.values.len()
    }

    pub(super) fn column(&self, j: usize) -> (&[usize], &[f64]) {
        let range = self.col_ptr[j]..self.col_ptr[j + 1];
        (&self.row_idx[range.clone()], &self.values[range])
    }

    /// `(x_j - shift)' v`, given the sum of `v`.
    pub(super) fn shifted_dot(&self, j: usize, shift: f64, v: &[f64], sum: f64) -> f64 {
        let (rows, values) = self.column(j);
        let (mut product, mut stored) = (0.0, 0.0);
        for (i, x) in rows.iter().zip(values) {
            product += (x - shift) * v[*i];
            stored += v[*i];
        }
        // Rows that are not stored have minus `shift`.
        if rows.len() == v.len() { product } else { product - shift * (sum - stored) }
    }

    pub(super) fn dot(&self, j: usize, v: &[f64]) -> f64 {
        let (rows, values) = self.column(j);
        rows.iter().zip(values).map(|(i, x)| x * v[*i]).sum()
    }

    /// Whether every row of a column is stored.
    pub(super) fn is_full(&self, j: usize) -> bool {
        self.column(j).0.len() == self.n
    }

    /// `out += a (x_j - shift)` in the stored rows.
    pub(super) fn add(&self, j: usize, a: f64, shift: f64, out: &mut [f64]) {
        let (rows, values) = self.column(j);
        for (i, x) in rows.iter().zip(values) {
            out[*i] += a * (x - shift);
        }
    }

    pub(super) fn bad_entry(&self) -> Option<(usize, usize, f64)> {
        let at = self.values.iter().position(|x| !x.is_finite())?;
        let column = self.col_ptr.partition_point(|end| *end <= at) - 1;
        Some((self.row_idx[at], column, self.values[at]))
    }
}
