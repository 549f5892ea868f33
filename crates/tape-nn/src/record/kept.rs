//! Per-sample gradients that exist as tensors.

use candle_core::Tensor;
use tensor_tree::host::{CHUNK, Host, Real};

use crate::error::Result;
use crate::kernel::for_pieces;
use crate::kernel::gram::accumulate;

/// `out += sum_i f_i g_i`, a chunk of the leaf at a time so that it stays in cache.
pub(super) fn add<T: Real>(out: &mut [T], grads: &Tensor, factors: Option<&[f64]>) -> Result<()> {
    let n = grads.dims()[0];
    let size = out.len();
    let host = Host::of(grads)?;
    let view = host.view();
    let g = view.slice::<T>()?;
    for_pieces(out, CHUNK / 4, |piece, o| {
        let start = piece * (CHUNK / 4);
        for i in 0..n {
            let f = factors.map_or(1.0, |f| f[i]);
            if f != 0.0 {
                let from = i * size + start;
                accumulate(o, T::of(f), &g[from..from + o.len()]);
            }
        }
    });
    Ok(())
}
