//! Weighted gradient sums of weights and biases.

use std::sync::Arc;

use candle_core::Tensor;
use tensor_tree::host::{Host, Real};

use super::{combined, runs};
use crate::error::Result;
use crate::kernel::for_pieces;
use crate::kernel::gram::{accumulate, scaled};
use crate::kernel::product::{Mat, MatMut, Threads, product};

/// `out = keep * out + sum_i f_i g_i^T x_i`, one product per run of samples; the narrower side is scaled.
pub(super) fn add_weight<T: Real>(
    out: &mut [T],
    keep: bool,
    x: &Tensor,
    g: &Tensor,
    scale: Option<&Arc<Vec<f64>>>,
    factors: Option<&[f64]>,
) -> Result<()> {
    let n = g.dims()[0];
    let (d, p) = (last(x), last(g));
    let t = g.elem_count() / (n * p).max(1);
    let (hx, hg) = (Host::of(x)?, Host::of(g)?);
    let (vx, vg) = (hx.view(), hg.view());
    let (x, g) = (vx.slice::<T>()?, vg.slice::<T>()?);
    let factors = combined(n, factors, scale);
    let mut keep = keep;
    for run in runs(n, factors.as_deref()) {
        let rows = run.len() * t;
        let xs = &x[run.start * t * d..run.end * t * d];
        let gs = &g[run.start * t * p..run.end * t * p];
        let mut buffer = Vec::new();
        let (xs, gs) = match &factors {
            None => (xs, gs),
            Some(f) => {
                let f = &f[run];
                if d <= p {
                    buffer = scaled_samples(xs, t * d, f);
                    (buffer.as_slice(), gs)
                } else {
                    buffer = scaled_samples(gs, t * p, f);
                    (xs, buffer.as_slice())
                }
            }
        };
        product(
            MatMut::new(out, p, d),
            keep,
            Mat::new(gs, rows, p).t(),
            Mat::new(xs, rows, d),
            T::ONE,
            Threads::All,
        );
        drop(buffer);
        keep = true;
    }
    if !keep {
        out.fill(T::default());
    }
    Ok(())
}

/// `out += sum_i f_i sum_t g_it`.
pub(super) fn add_bias<T: Real>(
    out: &mut [T],
    g: &Tensor,
    scale: Option<&Arc<Vec<f64>>>,
    factors: Option<&[f64]>,
) -> Result<()> {
    let n = g.dims()[0];
    let size = g.elem_count() / n.max(1);
    let host = Host::of(g)?;
    let view = host.view();
    let g = view.slice::<T>()?;
    let factors = combined(n, factors, scale);
    for i in 0..n {
        let f = factors.as_ref().map_or(1.0, |f| f[i]);
        if f != 0.0 {
            for row in g[i * size..(i + 1) * size].chunks_exact(out.len()) {
                accumulate(out, T::of(f), row);
            }
        }
    }
    Ok(())
}

fn scaled_samples<T: Real>(data: &[T], size: usize, factors: &[f64]) -> Vec<T> {
    let mut out = vec![T::default(); data.len()];
    for_pieces(&mut out, size, |i, piece| {
        scaled(piece, T::of(factors[i]), &data[i * size..(i + 1) * size]);
    });
    out
}

fn last(t: &Tensor) -> usize {
    t.dims().last().copied().unwrap_or(1)
}
