//! A linear map to classes with its cross-entropy: logits, losses, and the gradient of the logits, for any rows.

mod labels;

use std::ops::Range;

use candle_core::{DType, Tensor};
use tensor_tree::host::{Host, Real};

use crate::error::Result;
use crate::kernel::product::{Mat, MatMut, Threads, fresh_product, product};
use crate::kernel::softmax::{log_sum_exp, softmax_in_place};
use crate::kernel::{for_pieces, map_indices};

pub(crate) use labels::Labels;

/// Bytes of logits that exist at a time where they need not stay.
const PIECE_BYTES: usize = 16 << 20;

/// Rows of logits of so many classes that exist at a time where they need not stay.
pub(crate) fn rows_at_a_time(classes: usize, dtype: DType) -> usize {
    (PIECE_BYTES / (classes * dtype.size_in_bytes()).max(1)).max(1)
}

/// What logits and their gradient are made of: `logits = x w^T + b`, and per position
/// `softmax(logits) - onehot(label)`, zero where the label does not count.
#[derive(Clone, Debug)]
pub(crate) struct SoftmaxHead {
    /// `[batch, positions, inputs]`, detached.
    pub(crate) x: Tensor,
    /// `[classes, inputs]`.
    pub(crate) weight: Tensor,
    /// `[classes]`.
    pub(crate) bias: Option<Tensor>,
    pub(crate) labels: Labels,
}

impl SoftmaxHead {
    pub(crate) fn n_samples(&self) -> usize {
        self.labels.batch
    }

    pub(crate) fn positions(&self) -> usize {
        self.labels.positions
    }

    pub(crate) fn dtype(&self) -> DType {
        self.x.dtype()
    }

    pub(crate) fn classes(&self) -> usize {
        self.weight.dims().first().copied().unwrap_or(0)
    }

    fn inputs(&self) -> usize {
        self.weight.dims().last().copied().unwrap_or(0)
    }

    /// Samples whose logits exist at a time.
    pub(crate) fn step(&self) -> usize {
        let bytes = self.positions() * self.classes() * self.dtype().size_in_bytes();
        (PIECE_BYTES / bytes.max(1)).max(1)
    }

    /// The logits of these rows, `[rows, classes]`; rows are the positions of one sample after the other.
    fn logits<T: Real>(&self, rows: Range<usize>, threads: Threads) -> Result<Vec<T>> {
        let (d, p, n) = (self.inputs(), self.classes(), rows.len());
        let (hx, hw) = (Host::of(&self.x)?, Host::of(&self.weight)?);
        let (vx, vw) = (hx.view(), hw.view());
        let x = Mat::new(&vx.slice::<T>()?[rows.start * d..rows.end * d], n, d);
        let w = Mat::new(vw.slice::<T>()?, p, d).t();
        let Some(bias) = &self.bias else { return Ok(fresh_product(x, w, T::ONE, threads)) };
        let host = Host::of(bias)?;
        let view = host.view();
        let bias = view.slice::<T>()?;
        let mut out = Vec::with_capacity(n * p);
        (0..n).for_each(|_| out.extend_from_slice(bias));
        product(MatMut::new(&mut out, n, p), true, x, w, T::ONE, threads);
        Ok(out)
    }

    /// The loss of each position, a few rows of logits at a time.
    pub(crate) fn losses<T: Real>(&self) -> Result<Vec<f64>> {
        let rows = self.labels.classes.len();
        let (p, mut losses) = (self.classes(), Vec::with_capacity(rows));
        let step = rows_at_a_time(p, self.dtype());
        for from in (0..rows).step_by(step) {
            let piece = from..(from + step).min(rows);
            let logits = self.logits::<T>(piece.clone(), Threads::All)?;
            losses.extend(map_indices(piece.len(), |r| match self.labels.classes[from + r] {
                Some(class) => {
                    let row = &logits[r * p..(r + 1) * p];
                    log_sum_exp(row) - row[class].double()
                }
                None => 0.0,
            }));
        }
        Ok(losses)
    }

    /// The gradient of the losses of these samples with respect to their logits, `[samples * positions, classes]`, and
    /// the loss of each row.
    pub(crate) fn gradient<T: Real>(
        &self,
        samples: Range<usize>,
        threads: Threads,
    ) -> Result<(Vec<T>, Vec<f64>)> {
        let t = self.positions();
        let rows = samples.start * t..samples.end * t;
        let mut out = self.logits::<T>(rows.clone(), threads)?;
        let mut losses = vec![0.0; rows.len()];
        let one = |row: usize, out: &mut [T], loss: &mut f64| match self.labels.classes[row] {
            Some(class) => {
                let lse = log_sum_exp(out);
                *loss = lse - out[class].double();
                softmax_in_place(out, T::of(lse), T::ONE);
                out[class] -= T::ONE;
            }
            None => out.fill(T::default()),
        };
        let p = self.classes().max(1);
        let pieces = out.chunks_mut(p).zip(&mut losses);
        if threads == Threads::One || rayon::current_num_threads() == 1 {
            pieces.enumerate().for_each(|(i, (out, loss))| one(rows.start + i, out, loss));
        } else {
            use rayon::prelude::*;
            let pieces: Vec<(&mut [T], &mut f64)> = pieces.collect();
            pieces
                .into_par_iter()
                .enumerate()
                .for_each(|(i, (out, loss))| one(rows.start + i, out, loss));
        }
        Ok((out, losses))
    }

    /// `seeds[i]` times the gradient of the loss of sample `i` with respect to its `x`, for all samples: from gradients of
    /// logits that are at hand, or made a few samples at a time.
    pub(crate) fn input_gradient<T: Real>(
        &self,
        at_hand: Option<&Tensor>,
        seeds: &[f64],
    ) -> Result<Vec<T>> {
        let (n, t, d, p) = (self.n_samples(), self.positions(), self.inputs(), self.classes());
        let host = Host::of(&self.weight)?;
        let view = host.view();
        let w = Mat::new(view.slice::<T>()?, p, d);
        let mut out = vec![T::default(); n * t * d];
        if let Some(gradient) = at_hand {
            let host = Host::of(gradient)?;
            let view = host.view();
            let g = Mat::new(view.slice::<T>()?, n * t, p);
            product(MatMut::new(&mut out, n * t, d), false, g, w, T::ONE, Threads::All);
        } else {
            for from in (0..n).step_by(self.step()) {
                let samples = from..(from + self.step()).min(n);
                let rows = samples.len() * t;
                let (g, _) = self.gradient::<T>(samples.clone(), Threads::All)?;
                let out = &mut out[samples.start * t * d..samples.end * t * d];
                let g = Mat::new(&g, rows, p);
                product(MatMut::new(out, rows, d), false, g, w, T::ONE, Threads::All);
            }
        }
        for_pieces(&mut out, (t * d).max(1), |i, piece| {
            let seed = T::of(seeds[i]);
            piece.iter_mut().for_each(|x| *x = seed * *x);
        });
        Ok(out)
    }
}
