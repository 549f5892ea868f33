//! Rows of a table: sums by scattering, norms by grouping positions of the same row.

use std::collections::BTreeMap;

use candle_core::Tensor;
use tensor_tree::host::{Host, Real};

use crate::error::Result;
use crate::kernel::gram::{accumulate, inner};
use crate::kernel::map_indices;

/// `out[row_t] += f_i g_it` for every position that is not padding.
pub(super) fn add<T: Real>(
    out: &mut [T],
    rows: &[u32],
    padding: Option<u32>,
    g: &Tensor,
    factors: Option<&[f64]>,
) -> Result<()> {
    let n = g.dims()[0];
    let width = g.dims().last().copied().unwrap_or(1);
    let t = rows.len() / n.max(1);
    let host = Host::of(g)?;
    let view = host.view();
    let g = view.slice::<T>()?;
    for (position, row) in rows.iter().enumerate() {
        let f = factors.map_or(1.0, |f| f[position / t.max(1)]);
        if Some(*row) == padding || f == 0.0 {
            continue;
        }
        let at = *row as usize * width;
        accumulate(
            &mut out[at..at + width],
            T::of(f),
            &g[position * width..(position + 1) * width],
        );
    }
    Ok(())
}

/// One use of a table by one sample: row numbers and gradients.
pub(super) struct Lookup<'a, T> {
    pub(super) rows: &'a [u32],
    pub(super) padding: Option<u32>,
    pub(super) g: &'a [T],
}

impl<T: Real> Lookup<'_, T> {
    /// Adds the gradient of this use to the whole table.
    pub(super) fn add_to(&self, out: &mut [T], width: usize) {
        for (row, g) in self.rows.iter().zip(self.g.chunks_exact(width)) {
            if Some(*row) != self.padding {
                let at = *row as usize * width;
                accumulate(&mut out[at..at + width], T::ONE, g);
            }
        }
    }
}

/// Squared norm of the gradient of a table that a sample used in all these ways.
pub(super) fn squared_norm<T: Real>(lookups: &[Lookup<'_, T>], width: usize) -> f64 {
    let mut sums: BTreeMap<u32, Vec<T>> = BTreeMap::new();
    for lookup in lookups {
        for (row, g) in lookup.rows.iter().zip(lookup.g.chunks_exact(width)) {
            if Some(*row) != lookup.padding {
                let sum = sums.entry(*row).or_insert_with(|| vec![T::default(); width]);
                accumulate(sum, T::ONE, g);
            }
        }
    }
    sums.values().map(|sum| inner(sum, sum)).sum()
}

/// `<table gradient, g^T x>` of one sample: `sum_{t,s} (e_t . x_s) g_s[row_t]`.
pub(super) fn cross<T: Real>(
    lookup: &Lookup<'_, T>,
    x: &[T],
    g: &[T],
    width: usize,
    n_rows: usize,
) -> f64 {
    let mut sum = 0.0;
    for (row, e) in lookup.rows.iter().zip(lookup.g.chunks_exact(width)) {
        if Some(*row) == lookup.padding {
            continue;
        }
        for (x, g) in x.chunks_exact(width).zip(g.chunks_exact(n_rows)) {
            sum += inner(e, x) * g[*row as usize].double();
        }
    }
    sum
}

/// Squared norms of a table used once, all samples.
pub(super) fn squared_norms<T: Real>(
    uses: &[(&[u32], Option<u32>, &[T])],
    n: usize,
    width: usize,
) -> Vec<f64> {
    map_indices(n, |i| {
        let lookups: Vec<Lookup<'_, T>> = uses
            .iter()
            .map(|(rows, padding, g)| {
                let t = rows.len() / n;
                Lookup {
                    rows: &rows[i * t..(i + 1) * t],
                    padding: *padding,
                    g: &g[i * t * width..(i + 1) * t * width],
                }
            })
            .collect();
        squared_norm(&lookups, width)
    })
}
