//! Weighted gradient sums of weights and biases.

use std::ops::Range;
use std::sync::Arc;

use candle_core::Tensor;
use tensor_tree::host::{Host, Real};

use super::grad::Grad;
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
    g: Grad<'_>,
    scale: Option<&Arc<Vec<f64>>>,
    factors: Option<&[f64]>,
) -> Result<()> {
    let (n, t) = (g.n_samples(), g.positions());
    let (d, p) = (x.dims().last().copied().unwrap_or(1), g.width());
    let (hx, g) = (Host::of(x)?, g.open()?);
    let (vx, g) = (hx.view(), g.view());
    let x = vx.slice::<T>()?;
    let factors = combined(n, factors, scale);
    let mut keep = keep;
    for run in runs(n, factors.as_deref()).into_iter().flat_map(|run| pieces(run, g.step())) {
        let rows = run.len() * t;
        let xs = &x[run.start * t * d..run.end * t * d];
        let gs = g.rows::<T>(run.clone(), Threads::All)?;
        let mut buffer = Vec::new();
        let (xs, gs) = match &factors {
            None => (xs, &*gs),
            Some(f) => {
                let f = &f[run];
                if d <= p {
                    buffer = scaled_samples(xs, t * d, f);
                    (buffer.as_slice(), &*gs)
                } else {
                    buffer = scaled_samples(&gs, t * p, f);
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
    g: Grad<'_>,
    scale: Option<&Arc<Vec<f64>>>,
    factors: Option<&[f64]>,
) -> Result<()> {
    let (n, size) = (g.n_samples(), g.positions() * g.width());
    let g = g.open()?;
    let g = g.view();
    let factors = combined(n, factors, scale);
    for run in runs(n, factors.as_deref()).into_iter().flat_map(|run| pieces(run, g.step())) {
        let rows = g.rows::<T>(run.clone(), Threads::All)?;
        for (i, sample) in run.zip(rows.chunks_exact(size.max(1))) {
            let f = factors.as_ref().map_or(1.0, |f| f[i]);
            for row in sample.chunks_exact(out.len()) {
                accumulate(out, T::of(f), row);
            }
        }
    }
    Ok(())
}

/// A range in parts of at most `step`.
fn pieces(range: Range<usize>, step: usize) -> impl Iterator<Item = Range<usize>> {
    let end = range.end;
    range.step_by(step).map(move |from| from..from.saturating_add(step).min(end))
}

fn scaled_samples<T: Real>(data: &[T], size: usize, factors: &[f64]) -> Vec<T> {
    let mut out = vec![T::default(); data.len()];
    for_pieces(&mut out, size, |i, piece| {
        scaled(piece, T::of(factors[i]), &data[i * size..(i + 1) * size]);
    });
    out
}
