//! Gradients of whole models: one forward and one backward pass, on a tape.

mod mixed;
mod two_pass;

use candle_core::{DType, Tensor};
use tensor_tree::{
    Differentiable, Losses, Objective, Pass, PerSampleDifferentiable, ProbePoint, Reduction, Tree,
};

use crate::context::Context;
use crate::error::{Error, Result};
use crate::record::TapeGrads;
use crate::tape::Tape;

pub use mixed::MixedPrecision;
pub use two_pass::TwoPass;

/// A model with its loss, written in layers of this crate.
pub trait TapeLoss {
    /// What a batch is.
    type Batch;

    /// The loss and the weight of each sample, in the graph.
    ///
    /// # Errors
    /// If the batch does not fit the model.
    fn losses(&self, cx: &Context<'_>, batch: &Self::Batch) -> Result<Losses>;

    /// Parameters that are not trained.
    fn frozen(&self) -> &Tree;

    /// Number of samples.
    fn n_samples(&self, batch: &Self::Batch) -> usize;

    /// The samples' numbers in the data set, which key their dropout masks: one for each sample of the batch.
    /// Without them, a pass in training is an error in every layer that drops something.
    fn sample_ids<'b>(&self, _batch: &'b Self::Batch) -> Option<&'b [u64]> {
        None
    }

    /// Whether the gradient of a head's logits is made twice instead of kept; see [`TwoPass`].
    fn two_pass_heads(&self) -> bool {
        false
    }

    /// What the backward pass multiplies losses by, so that small gradients do not vanish in half precision, if by anything. It is
    /// taken out of every result: a power of two, or results are rounded once more. See [`MixedPrecision`].
    fn loss_scale(&self) -> Option<f64> {
        None
    }
}

/// Gives a [`TapeLoss`] the gradients that optimizers and private steps ask for.
#[derive(Clone, Debug)]
pub struct Taped<L>(pub L);

impl<L: TapeLoss> Taped<L> {
    fn pass<'c>(
        &'c self,
        params: &'c Tree,
        tape: Option<&Tape>,
        batch: &'c L::Batch,
        pass: Pass,
    ) -> Result<Losses> {
        let cx = match tape {
            Some(tape) => Context::recording(params, self.0.frozen(), tape),
            None => Context::eval(params, self.0.frozen()),
        };
        let losses = self.0.losses(&cx.in_pass(pass, self.0.sample_ids(batch)), batch)?;
        let n = self.0.n_samples(batch);
        for (layer, got) in [("losses", &losses.sum), ("weights of losses", &losses.weight)] {
            if got.dims() != [n] {
                let (layer, got) = (layer.to_owned(), got.dims().to_vec());
                return Err(Error::InputShape { layer, expected: format!("[{n}]"), got });
            }
        }
        Ok(losses)
    }
}

/// Losses of an empty batch.
fn no_losses() -> tensor_tree::Result<Losses> {
    let empty = Tensor::zeros(0, DType::F32, &candle_core::Device::Cpu)?;
    Ok(Losses { sum: empty.clone(), weight: empty })
}

fn weights(losses: &Losses) -> tensor_tree::Result<Vec<f64>> {
    let weights = losses.weight.to_device(&candle_core::Device::Cpu)?;
    Ok(weights.to_dtype(DType::F64)?.to_vec1::<f64>()?)
}

/// What each sample's loss sum is multiplied by before the total is differentiated.
fn coefficients(losses: &Losses, reduction: Reduction) -> tensor_tree::Result<Tensor> {
    let weights = weights(losses)?;
    let n = weights.len() as f64;
    let total: f64 = weights.iter().sum();
    let inverse = |w: f64| if w == 0.0 { 0.0 } else { 1.0 / w };
    let values: Vec<f64> = weights
        .into_iter()
        .map(|w| match reduction {
            Reduction::Sum => inverse(w),
            Reduction::Mean => inverse(w) / n,
            Reduction::WeightedMean => inverse(total),
        })
        .collect();
    let n = values.len();
    let values = Tensor::from_vec(values, n, &candle_core::Device::Cpu)?;
    Ok(values.to_dtype(losses.sum.dtype())?.to_device(losses.sum.device())?)
}

/// Whether any sample counts. Where none does, every gradient is zero, and no backward pass could show it:
/// candle drops what is added to a tensor without elements from its graph.
fn any_counts(losses: &Losses) -> tensor_tree::Result<bool> {
    Ok(weights(losses)?.into_iter().any(|weight| weight != 0.0))
}

fn detached(losses: &Losses) -> Losses {
    Losses { sum: losses.sum.detach(), weight: losses.weight.detach() }
}

impl<L: TapeLoss> Objective for Taped<L> {
    type Batch = L::Batch;

    fn losses(&self, params: &Tree, batch: &L::Batch, pass: Pass) -> tensor_tree::Result<Losses> {
        if self.0.n_samples(batch) == 0 {
            return no_losses();
        }
        Ok(detached(&self.pass(params, None, batch, pass)?))
    }
}

impl<L: TapeLoss> Differentiable for Taped<L> {
    fn value_and_grad(
        &self,
        params: &Tree,
        batch: &L::Batch,
        pass: Pass,
        reduction: Reduction,
    ) -> tensor_tree::Result<(Losses, Tree)> {
        if self.0.n_samples(batch) == 0 {
            return Ok((no_losses()?, params.zeros_like()?));
        }
        let tape = Tape::summing(device_of(params)?)?;
        let tape = tape.with_two_pass_heads(self.0.two_pass_heads());
        let losses = self.pass(params, Some(&tape), batch, pass)?;
        let kept = detached(&losses);
        if !any_counts(&losses)? {
            return Ok((kept, params.zeros_like()?));
        }
        let scale = self.0.loss_scale();
        let seeds = (coefficients(&losses, reduction)? * scale.unwrap_or(1.0))?;
        let total = (&losses.sum * seeds)?.sum_all()?;
        drop(losses);
        total.backward()?;
        drop(total);
        let grads = tape.into_sum(params)?;
        match scale {
            Some(scale) => Ok((kept, grads.scale(1.0 / scale)?)),
            None => Ok((kept, grads)),
        }
    }
}

impl<L: TapeLoss> PerSampleDifferentiable for Taped<L> {
    type PerSample = TapeGrads;

    fn per_sample(
        &self,
        points: &[ProbePoint],
        batch: &L::Batch,
        pass: Pass,
    ) -> tensor_tree::Result<(Losses, TapeGrads)> {
        let Some(first) = points.first() else {
            return Err(tensor_tree::Error::EmptyTree { what: "per-sample gradients" });
        };
        let n = self.0.n_samples(batch);
        if n == 0 {
            return Ok((no_losses()?, TapeGrads::zeros(&first.params, 0)));
        }
        let mut parts = Vec::with_capacity(points.len());
        let mut at_first = None;
        for point in points {
            let tape = Tape::recording(device_of(&point.params)?)?;
            let tape = tape.with_two_pass_heads(self.0.two_pass_heads());
            let losses = self.pass(&point.params, Some(&tape), batch, pass)?;
            if !any_counts(&losses)? {
                at_first.get_or_insert(detached(&losses));
                continue;
            }
            let seeds = point.weight * self.0.loss_scale().unwrap_or(1.0);
            let seeds = (coefficients(&losses, Reduction::Sum)? * seeds)?;
            at_first.get_or_insert(detached(&losses));
            let total = (&losses.sum * seeds)?.sum_all()?;
            drop(losses);
            total.backward()?;
            parts.push(tape.take_records());
        }
        let losses = match at_first {
            Some(losses) => losses,
            None => no_losses()?,
        };
        let grads = match parts.is_empty() {
            true => TapeGrads::zeros(&first.params, n),
            false => TapeGrads::join(parts, &first.params, n)?,
        };
        let grads = grads.with_unit(self.0.loss_scale().map(|scale| 1.0 / scale));
        Ok((losses, grads))
    }
}

fn device_of(params: &Tree) -> tensor_tree::Result<&candle_core::Device> {
    match params.iter().next() {
        Some((_, leaf)) => Ok(leaf.device()),
        None => Err(tensor_tree::Error::EmptyTree { what: "gradients" }),
    }
}

#[cfg(test)]
mod tests;
