//! Losses, one per sample, with the weight each sample's sum is to be divided by.

mod positions;

use std::sync::Arc;

use candle_core::{DType, Tensor};
use tensor_tree::Losses;
use tensor_tree::host::{Host, Real, from_vec};

use crate::context::{Context, Leaf, tape_of};
use crate::error::{Error, Result};
use crate::graph::{Value, node};
use crate::head::{Labels, SoftmaxHead};
use crate::kernel::product::Threads;
use crate::kernel::softmax::{log_sum_exp, softmax_into};
use crate::kernel::{for_pieces, map_indices};
use crate::layer::{Linear, batch_positions_width, by_dtype, is_host};
use crate::record::Record;

pub use positions::of_positions;

/// Cross-entropy of logits against labels: per sample the sum over its positions, and how many counted.
///
/// # Shapes
/// `logits` is `[batch, .., classes]`, `labels` (integers) `[batch, ..]`. A position whose label equals
/// `ignore` counts neither in the sum nor in the weight. The results are `[batch]`.
///
/// # Errors
/// [`Error::OutOfRange`] for a label that is no class and not `ignore`, or if the shapes do not fit.
pub fn cross_entropy(logits: &Tensor, labels: &Tensor, ignore: Option<i64>) -> Result<Losses> {
    let n_classes = logits.dims().last().copied().unwrap_or(0);
    let (batch, positions) = batch_positions_width("cross-entropy", logits, n_classes)?;
    let labels = Labels::read(labels, batch, positions, n_classes, ignore)?;
    let sum = if is_host(logits) {
        by_dtype!("cross-entropy", logits, fused::<T>(logits, &labels))?
    } else {
        composed(logits, &labels)?
    };
    Ok(Losses { weight: labels.weights(sum.dtype(), sum.device())?, sum })
}

/// Cross-entropy of `head(x)` against labels as one operation.
///
/// The logits are turned into their own gradient in place, so that one buffer of `batch x positions x
/// outputs` is all there is; without a tape, or on a tape [`crate::Tape::with_two_pass_heads`], only a few rows exist
/// at a time.
///
/// # Shapes
/// `x` is `[batch, .., inputs]`, the rest as in [`cross_entropy`].
///
/// # Errors
/// As [`cross_entropy`] and [`Linear::forward`].
pub fn linear_cross_entropy(
    cx: &Context<'_>,
    head: &Linear,
    x: &Tensor,
    labels: &Tensor,
    ignore: Option<i64>,
) -> Result<Losses> {
    if !is_host(x) || head.has_adapter() {
        return cross_entropy(&head.forward(cx, x)?, labels, ignore);
    }
    let (batch, positions) = batch_positions_width(head.weight().name(), x, head.inputs())?;
    let labels = Labels::read(labels, batch, positions, head.outputs(), ignore)?;
    let weight = cx.leaf(head.weight())?;
    let bias = cx.optional(head.bias())?;
    let weights = labels.weights(x.dtype(), x.device())?;
    let head = SoftmaxHead {
        x: x.detach().reshape((batch, positions, head.inputs()))?,
        weight: weight.tensor.clone(),
        bias: bias.as_ref().map(|b| b.tensor.clone()),
        labels,
    };
    let leaves = (&weight, bias.as_ref());
    let sum = by_dtype!("cross-entropy", x, fused_head::<T>(head, x, leaves, cx.two_pass_heads()))?;
    Ok(Losses { sum, weight: weights })
}

fn fused<T: Real>(logits: &Tensor, labels: &Labels) -> Result<Tensor> {
    let width = logits.dims().last().copied().unwrap_or(1);
    let host = Host::of(logits)?;
    let view = host.view();
    let x = view.slice::<T>()?;
    let rows: Vec<(f64, f64)> = map_indices(labels.classes.len(), |row| {
        let x = &x[row * width..(row + 1) * width];
        match labels.classes[row] {
            Some(class) => {
                let lse = log_sum_exp(x);
                (lse, lse - x[class].double())
            }
            None => (0.0, 0.0),
        }
    });
    let sums = labels.sample_sums::<T>(|row| rows[row].1);
    let value = Value::host(sums, labels.batch);
    if !logits.track_op() {
        return Ok(value.plain()?);
    }
    let lse: Vec<f64> = rows.into_iter().map(|(lse, _)| lse).collect();
    let (labels, input) = (labels.clone(), logits.detach());
    let backward = move |grad: &Tensor| {
        let seeds = grad.to_dtype(DType::F64)?.to_vec1::<f64>()?;
        let host = Host::of(&input).map_err(Error::from)?;
        let view = host.view();
        let x = view.slice::<T>().map_err(Error::from)?;
        let mut out = vec![T::default(); x.len()];
        for_pieces(&mut out, width, |row, out| {
            if let Some(class) = labels.classes[row] {
                let seed = T::of(seeds[row / labels.positions.max(1)]);
                softmax_into(out, &x[row * width..(row + 1) * width], T::of(lse[row]), seed);
                out[class] -= seed;
            }
        });
        Ok([Some(from_vec(out, input.shape()).map_err(Error::from)?)])
    };
    Ok(node("cross_entropy", logits, None, value, backward)?)
}

fn fused_head<T: Real>(
    head: SoftmaxHead,
    x: &Tensor,
    (weight, bias): (&Leaf, Option<&Leaf>),
    two_pass: bool,
) -> Result<Tensor> {
    let tape = tape_of([Some(weight), bias]);
    let n = head.n_samples();
    if tape.is_none() && !x.track_op() {
        let losses = head.losses::<T>()?;
        return Ok(from_vec(head.labels.sample_sums::<T>(|row| losses[row]), n)?);
    }
    // The gradient of each row's own loss with respect to its logits, made where the logits stood; or later, twice.
    let (gradient, losses) = if two_pass {
        (None, head.losses::<T>()?)
    } else {
        let (gradient, losses) = head.gradient::<T>(0..n, Threads::All)?;
        (Some(from_vec(gradient, (n, head.positions(), head.classes()))?), losses)
    };
    let value = Value::host(head.labels.sample_sums::<T>(|row| losses[row]), n);
    let (wanted, bias) = (weight.wanted(), bias.and_then(Leaf::wanted));
    let (needs_input, shape) = (x.track_op(), x.shape().clone());
    let anchor = tape.as_ref().map(|t| t.anchor().clone());
    let backward = move |grad: &Tensor| {
        let seeds = Arc::new(grad.to_dtype(DType::F64)?.to_vec1::<f64>()?);
        let dx = match needs_input {
            true => {
                let dx = head.input_gradient::<T>(gradient.as_ref(), &seeds)?;
                Some(from_vec(dx, shape).map_err(Error::from)?)
            }
            false => None,
        };
        if let Some(tape) = &tape {
            let x = wanted.is_some().then(|| head.x.clone());
            let (weight, scale) = (wanted, Some(seeds));
            tape.push(match gradient {
                Some(g) => Record::Linear { weight, bias, x, g, scale },
                None => Record::Head { weight, bias, head: Arc::new(head), scale },
            })?;
        }
        Ok([dx])
    };
    Ok(node("linear_cross_entropy", x, anchor.as_ref(), value, backward)?)
}

/// The same from candle's operations, for other devices and types.
fn composed(logits: &Tensor, labels: &Labels) -> Result<Tensor> {
    let width = logits.dims().last().copied().unwrap_or(1);
    let rows = labels.classes.len();
    let device = logits.device();
    let x = logits.reshape((rows, width))?.to_dtype(DType::F32)?;
    let shift = x.detach().max_keepdim(1)?;
    let shifted = x.broadcast_sub(&shift)?;
    let lse = shifted.exp()?.sum_keepdim(1)?.log()?;
    let classes: Vec<u32> =
        labels.classes.iter().map(|c| u32::try_from(c.unwrap_or(0)).unwrap_or(0)).collect();
    let picked = shifted.gather(&Tensor::from_vec(classes, (rows, 1), device)?, 1)?;
    let counts: Vec<f32> =
        labels.classes.iter().map(|c| f32::from(u8::from(c.is_some()))).collect();
    let mask = Tensor::from_vec(counts, (rows, 1), device)?;
    let losses = ((lse - picked)? * mask)?;
    Ok(losses.reshape((labels.batch, labels.positions))?.sum(1)?)
}

#[cfg(test)]
mod tests;
