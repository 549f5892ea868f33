//! What optimizers, filters and curvature probes see of a model: losses and gradients at a tree of parameters.

use candle_core::Tensor;

use crate::error::Result;
use crate::groups::Groups;
use crate::key::Key;
use crate::tree::Tree;

/// One loss per sample with its weight; the caller names the reduction.
///
/// # Shapes
/// Both `[batch]`: for language models the sum over the sample's tokens, and how many tokens counted.
#[derive(Clone, Debug)]
pub struct Losses {
    /// Sum of the losses of each sample.
    pub sum: Tensor,
    /// What to divide by for the mean of each sample.
    pub weight: Tensor,
}

impl Losses {
    /// The mean loss of each sample, `sum / weight`; zero where the weight is zero.
    ///
    /// # Errors
    /// From the back-end.
    pub fn per_sample(&self) -> Result<Tensor> {
        let safe = self.weight.eq(0.0)?.to_dtype(self.weight.dtype())?.add(&self.weight)?;
        Ok(self.sum.div(&safe)?)
    }

    /// The mean over samples of each sample's own mean.
    ///
    /// # Errors
    /// From the back-end.
    pub fn mean(&self) -> Result<f64> {
        let per_sample = self.per_sample()?.to_dtype(candle_core::DType::F64)?.to_vec1::<f64>()?;
        if per_sample.is_empty() {
            return Ok(0.0);
        }
        Ok(per_sample.iter().sum::<f64>() / per_sample.len() as f64)
    }
}

/// Whether layers that behave differently in training do so.
#[derive(Clone, Copy, Debug)]
pub enum Pass {
    /// No dropout.
    Eval,
    /// Dropout masks keyed by this key, the layer's name and the sample's number.
    Train {
        /// The key of the step.
        key: Key,
    },
}

/// How per-sample gradients are put together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reduction {
    /// Sum over samples of each sample's mean loss.
    Sum,
    /// Mean over samples of each sample's mean loss.
    Mean,
    /// Sum of all losses divided by the sum of all weights: the usual mean over tokens. Couples samples,
    /// so it is not for private training.
    WeightedMean,
}

/// A loss that can be evaluated at any parameters.
pub trait Objective {
    /// What a batch is.
    type Batch;
    /// The losses of the batch at `params`, outside any graph.
    ///
    /// # Errors
    /// If the parameters or the batch do not fit the model.
    fn losses(&self, params: &Tree, batch: &Self::Batch, pass: Pass) -> Result<Losses>;
}

/// An objective with gradients.
pub trait Differentiable: Objective {
    /// The gradient of the reduced loss with respect to `params`, with the losses it came from.
    ///
    /// # Errors
    /// As [`Objective::losses`], or if a leaf of `params` takes no part in the loss.
    fn value_and_grad(
        &self,
        params: &Tree,
        batch: &Self::Batch,
        pass: Pass,
        reduction: Reduction,
    ) -> Result<(Losses, Tree)>;

    /// The gradient alone.
    ///
    /// # Errors
    /// As [`Differentiable::value_and_grad`].
    fn grad(
        &self,
        params: &Tree,
        batch: &Self::Batch,
        pass: Pass,
        reduction: Reduction,
    ) -> Result<Tree> {
        Ok(self.value_and_grad(params, batch, pass, reduction)?.1)
    }
}

/// An objective with a gradient for each sample.
pub trait PerSampleDifferentiable: Differentiable {
    /// The per-sample gradients of one batch.
    type PerSample: PerSample;
    /// Per sample the weighted sum of the gradients of its mean loss at `points`, with the losses at
    /// the first point.
    ///
    /// # Errors
    /// As [`Differentiable::value_and_grad`], or for layers that couple samples.
    fn per_sample(
        &self,
        points: &[ProbePoint],
        batch: &Self::Batch,
        pass: Pass,
    ) -> Result<(Losses, Self::PerSample)>;
}

/// What clipping needs of per-sample gradients, whether they exist as tensors or only as a tape.
pub trait PerSample {
    /// Number of samples.
    fn n_samples(&self) -> usize;
    /// Squared Euclidean norm of each sample's gradient within each group.
    ///
    /// # Shapes
    /// `[group][batch]`. An entry is NaN or infinite if the sample's gradient is not finite.
    ///
    /// # Errors
    /// If a leaf is in no group.
    fn squared_norms(&self, groups: &Groups) -> Result<Vec<Vec<f64>>>;
    /// `sum_i factors[group of leaf][i] * g_i` for each leaf, of its type, or in `f32` where that is a half: sums of halves would
    /// be rounded by more than one sample adds. A sample whose factors are all zero contributes nothing, even if its
    /// gradient is not finite.
    ///
    /// # Errors
    /// If the factors have the wrong shape.
    fn weighted_sum(self, groups: &Groups, factors: &[Vec<f64>]) -> Result<Tree>;
}

/// A point at which a method wants gradients taken before clipping.
#[derive(Clone, Debug)]
pub struct ProbePoint {
    /// The parameters.
    pub params: Tree,
    /// The weight of the gradient taken there.
    pub weight: f64,
}

impl ProbePoint {
    /// One point of weight one: what most methods ask for.
    #[must_use]
    pub fn single(params: &Tree) -> [ProbePoint; 1] {
        [ProbePoint { params: params.clone(), weight: 1.0 }]
    }
}
