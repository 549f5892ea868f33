//! Per-sample gradients that exist, each sample's in memory of its own.

use candle_core::{DType, Shape, Tensor};
use tensor_tree::host::{CHUNK, Real, from_vec};

use super::deferred::Deferred;
use crate::error::Result;
use crate::kernel::for_pieces;
use crate::kernel::gram::accumulate;

/// Gradients of one leaf with their squared norms. A buffer for each sample fits into the gaps that the records leave
/// behind that these gradients take the place of; one for the whole batch would not.
#[derive(Debug)]
pub(super) struct Rows<T> {
    pub(super) grads: Vec<Vec<T>>,
    pub(super) norms: Vec<f64>,
    pub(super) leaf: Shape,
}

impl<T: Real> Deferred for Rows<T> {
    fn n_samples(&self) -> usize {
        self.grads.len()
    }
    fn dtype(&self) -> DType {
        T::DTYPE
    }
    fn leaf_shape(&self) -> Shape {
        self.leaf.clone()
    }
    fn squared_norms(&self) -> Result<Vec<f64>> {
        Ok(self.norms.clone())
    }
    fn sum(&self, factors: Option<&[f64]>) -> Result<Tensor> {
        let mut out = vec![T::default(); self.leaf.elem_count()];
        let rows: Vec<&[T]> = self.grads.iter().map(Vec::as_slice).collect();
        add_rows(&mut out, &rows, factors);
        Ok(from_vec(out, self.leaf.clone())?)
    }
}

/// `out += sum_i f_i g_i`, a chunk of the leaf at a time so that it stays in cache.
pub(super) fn add_rows<T: Real>(out: &mut [T], rows: &[&[T]], factors: Option<&[f64]>) {
    const PIECE: usize = CHUNK / 4;
    for_pieces(out, PIECE, |piece, out| {
        let start = piece * PIECE;
        for (i, row) in rows.iter().enumerate() {
            let f = factors.map_or(1.0, |f| f[i]);
            if f != 0.0 {
                accumulate(out, T::of(f), &row[start..start + out.len()]);
            }
        }
    });
}
