//! Losses, one per sample, with the weight each sample's sum is to be divided by.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use tensor_tree::Losses;
use tensor_tree::host::{Host, Real, from_vec};

use crate::context::{Context, Leaf, tape_of};
use crate::error::{Error, Result};
use crate::graph::{Value, node};
use crate::kernel::product::{Mat, MatMut, Threads, fresh_product, product};
use crate::kernel::softmax::{log_sum_exp, softmax_in_place, softmax_into};
use crate::kernel::{for_pieces, map_indices};
use crate::layer::linear::input_gradient;
use crate::layer::{Linear, batch_positions_width, by_dtype, is_host};
use crate::record::Record;

/// Rows of logits that exist at a time where none need to be kept.
const EVAL_ROWS: usize = 256;

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
/// outputs` is all there is; without a tape only a few rows exist at a time.
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
    let sum = by_dtype!("cross-entropy", x, fused_head::<T>(x, weight, bias, labels))?;
    Ok(Losses { sum, weight: weights })
}

/// Labels of a batch, checked.
#[derive(Clone, Debug)]
struct Labels {
    /// The class of each position; `None` where it does not count.
    classes: Vec<Option<usize>>,
    batch: usize,
    positions: usize,
}

impl Labels {
    fn read(
        labels: &Tensor,
        batch: usize,
        positions: usize,
        n_classes: usize,
        ignore: Option<i64>,
    ) -> Result<Labels> {
        if labels.elem_count() != batch * positions || labels.dims().first() != Some(&batch) {
            return Err(Error::InputShape {
                layer: "cross-entropy".into(),
                expected: format!("labels [{batch}, ..] with {positions} positions per sample"),
                got: labels.dims().to_vec(),
            });
        }
        let values = labels
            .to_dtype(DType::I64)?
            .to_device(&Device::Cpu)?
            .flatten_all()?
            .to_vec1::<i64>()?;
        let classes = values
            .into_iter()
            .enumerate()
            .map(|(position, label)| match usize::try_from(label) {
                _ if Some(label) == ignore => Ok(None),
                Ok(class) if class < n_classes => Ok(Some(class)),
                _ => {
                    Err(Error::OutOfRange { what: "label", got: label, position, limit: n_classes })
                }
            })
            .collect::<Result<_>>()?;
        Ok(Labels { classes, batch, positions })
    }

    fn weights(&self, dtype: DType, device: &Device) -> Result<Tensor> {
        let counts: Vec<f64> =
            (0..self.batch).map(|i| self.of(i).iter().flatten().count() as f64).collect();
        Ok(Tensor::from_vec(counts, self.batch, device)?.to_dtype(dtype)?)
    }

    fn of(&self, sample: usize) -> &[Option<usize>] {
        &self.classes[sample * self.positions..(sample + 1) * self.positions]
    }
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
    let sums = sample_sums::<T>(labels, |row| rows[row].1);
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

/// Adds up per sample in doubles.
fn sample_sums<T: Real>(labels: &Labels, loss: impl Fn(usize) -> f64) -> Vec<T> {
    (0..labels.batch)
        .map(|i| T::of((0..labels.positions).map(|t| loss(i * labels.positions + t)).sum()))
        .collect()
}

fn fused_head<T: Real>(
    x: &Tensor,
    weight: Leaf,
    bias: Option<Leaf>,
    labels: Labels,
) -> Result<Tensor> {
    let (p, d) = (weight.tensor.dims()[0], weight.tensor.dims()[1]);
    let rows = labels.classes.len();
    let tape = tape_of([Some(&weight), bias.as_ref()]);
    let hosts = (Host::of(x)?, Host::of(&weight.tensor)?);
    let bias_host = bias.as_ref().map(|b| Host::of(&b.tensor)).transpose()?;
    let logits = |from: usize, to: usize, out: &mut [T]| -> Result<()> {
        if let Some(host) = &bias_host {
            let view = host.view();
            let b = view.slice::<T>()?;
            for_pieces(out, p, |_, row| row.copy_from_slice(b));
        }
        let (vx, vw) = (hosts.0.view(), hosts.1.view());
        product(
            MatMut::new(out, to - from, p),
            bias_host.is_some(),
            Mat::new(&vx.slice::<T>()?[from * d..to * d], to - from, d),
            Mat::new(vw.slice::<T>()?, p, d).t(),
            T::ONE,
            Threads::All,
        );
        Ok(())
    };
    if tape.is_none() && !x.track_op() {
        let mut losses = Vec::with_capacity(rows);
        let mut buffer = vec![T::default(); EVAL_ROWS.min(rows) * p];
        for from in (0..rows).step_by(EVAL_ROWS) {
            let to = (from + EVAL_ROWS).min(rows);
            let buffer = &mut buffer[..(to - from) * p];
            logits(from, to, buffer)?;
            losses.extend(map_indices(to - from, |r| match labels.classes[from + r] {
                Some(class) => {
                    let row = &buffer[r * p..(r + 1) * p];
                    log_sum_exp(row) - row[class].double()
                }
                None => 0.0,
            }));
        }
        return Ok(from_vec(sample_sums::<T>(&labels, |row| losses[row]), labels.batch)?);
    }
    // The gradient of each row's own loss with respect to its logits, made where the logits stood.
    let mut buffer = if bias_host.is_some() {
        let mut buffer = vec![T::default(); rows * p];
        logits(0, rows, &mut buffer)?;
        buffer
    } else {
        let (vx, vw) = (hosts.0.view(), hosts.1.view());
        let (x, w) = (vx.slice::<T>()?, vw.slice::<T>()?);
        fresh_product(Mat::new(x, rows, d), Mat::new(w, p, d).t(), T::ONE, Threads::All)
    };
    let mut losses = vec![0.0; rows];
    {
        let pieces: Vec<(&mut [T], &mut f64)> =
            buffer.chunks_mut(p.max(1)).zip(&mut losses).collect();
        let one = |(row, (out, loss)): (usize, (&mut [T], &mut f64))| match labels.classes[row] {
            Some(class) => {
                let lse = log_sum_exp(out);
                *loss = lse - out[class].double();
                softmax_in_place(out, T::of(lse), T::ONE);
                out[class] -= T::ONE;
            }
            None => out.fill(T::default()),
        };
        if rayon::current_num_threads() == 1 {
            pieces.into_iter().enumerate().for_each(one);
        } else {
            use rayon::prelude::*;
            pieces.into_par_iter().enumerate().for_each(one);
        }
    }
    let value = Value::host(sample_sums::<T>(&labels, |row| losses[row]), labels.batch);
    let shape = (labels.batch, labels.positions, p);
    let gradient = from_vec(buffer, shape)?;
    let (needs_input, input) = (x.track_op(), x.detach());
    let anchor = tape.as_ref().map(|t| t.anchor().clone());
    let backward = move |grad: &Tensor| {
        let seeds = Arc::new(grad.to_dtype(DType::F64)?.to_vec1::<f64>()?);
        if let Some(tape) = &tape {
            let wanted = weight.wanted();
            let x = match wanted {
                Some(_) => Some(input.reshape((labels.batch, labels.positions, d))?),
                None => None,
            };
            tape.push(Record::Linear {
                weight: wanted,
                bias: bias.as_ref().and_then(Leaf::wanted),
                x,
                g: gradient.clone(),
                scale: Some(seeds.clone()),
            })?;
        }
        if !needs_input {
            return Ok([None]);
        }
        let dx = input_gradient::<T>(&gradient, &weight.tensor, labels.classes.len())?;
        let host = Host::of(&dx).map_err(Error::from)?;
        let view = host.view();
        let raw = view.slice::<T>().map_err(Error::from)?;
        let mut out = vec![T::default(); raw.len()];
        let size = (labels.positions * d).max(1);
        for_pieces(&mut out, size, |i, piece| {
            crate::kernel::gram::scaled(
                piece,
                T::of(seeds[i]),
                &raw[i * size..i * size + piece.len()],
            );
        });
        Ok([Some(from_vec(out, input.shape()).map_err(Error::from)?)])
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
