//! Per-sample gradients that exist as one tensor.

use candle_core::Tensor;
use tensor_tree::host::{Host, Real};

use super::rows::add_rows;
use crate::error::Result;

/// `out += sum_i f_i g_i`.
pub(super) fn add<T: Real>(out: &mut [T], grads: &Tensor, factors: Option<&[f64]>) -> Result<()> {
    let (n, size) = (grads.dims()[0], out.len());
    let host = Host::of(grads)?;
    let view = host.view();
    let g = view.slice::<T>()?;
    let rows: Vec<&[T]> = (0..n).map(|i| &g[i * size..(i + 1) * size]).collect();
    add_rows(out, &rows, factors);
    Ok(())
}
