//! Models made of candle-nn's own layers: correct per-sample gradients, one sample and one backward pass at a
//! time.

mod grads;
mod probe;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Device, Shape, Tensor, Var};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use tensor_tree::{
    Differentiable, Key, Losses, Objective, Pass, PerSampleDifferentiable, ProbePoint, Reduction,
    Tree,
};

use crate::error::{Error, Result};

pub use grads::SampleGrads;

/// A model written for candle-nn, with its loss.
///
/// The loss function sees one sample and nothing else, so no layer can mix samples.
pub trait VarModel {
    /// What a batch is.
    type Batch;
    /// What one sample of a batch is.
    type Sample;
    /// The model, made anew for each tree of parameters.
    type Model;

    /// Makes the model from a builder over the tree's leaves.
    ///
    /// # Errors
    /// If a parameter is missing or has another shape.
    fn build(&self, vb: VarBuilder<'_>) -> candle_core::Result<Self::Model>;

    /// Number of samples.
    fn n_samples(&self, batch: &Self::Batch) -> usize;

    /// The sample at a place in the batch.
    ///
    /// # Errors
    /// From the back-end.
    fn sample(&self, batch: &Self::Batch, place: usize) -> candle_core::Result<Self::Sample>;

    /// The loss of one sample, in the graph. Dropout of candle-nn cannot be seeded: a model that drops
    /// something must draw its masks from the key in `pass`.
    ///
    /// # Errors
    /// If the sample does not fit the model.
    fn loss(
        &self,
        model: &Self::Model,
        sample: &Self::Sample,
        pass: Pass,
    ) -> candle_core::Result<SampleLoss>;
}

/// The loss of one sample: a tensor of one element, and what to divide it by for the sample's mean.
#[derive(Clone, Debug)]
pub struct SampleLoss {
    /// Sum of the sample's losses.
    pub sum: Tensor,
    /// How many were added, or 1.
    pub weight: f64,
}

impl SampleLoss {
    /// A loss of weight one.
    #[must_use]
    pub fn one(sum: Tensor) -> Self {
        SampleLoss { sum, weight: 1.0 }
    }
}

/// Gives a [`VarModel`] the gradients that optimizers and private steps ask for.
///
/// This is the slower path, for models that exist: a batch costs one forward and one backward pass per sample,
/// and per-sample gradients are kept as tensors, so memory grows by one set of parameters per sample (use
/// micro-batches). Models written in the layers of this crate need neither.
///
/// Several operations of candle-nn give no gradient, and one a wrong one, without any error. So a probe batch
/// comes first, and nothing can be trained without it: [`Rebuilt::new`] refuses the model if a trainable leaf
/// gets no gradient there, one that is zero or not finite, or one that disagrees with differences of the loss.
///
/// # Examples
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use candle_nn::{Linear, Module, VarBuilder};
/// use tape_nn::rebuilt::{Rebuilt, SampleLoss, VarModel};
/// use tensor_tree::{Differentiable, Key, Pass, Reduction, Tree};
///
/// struct Regression;
/// impl VarModel for Regression {
///     type Batch = (Tensor, Tensor);
///     type Sample = (Tensor, Tensor);
///     type Model = Linear;
///     fn build(&self, vb: VarBuilder<'_>) -> candle_core::Result<Linear> {
///         candle_nn::linear(3, 1, vb.pp("fc"))
///     }
///     fn n_samples(&self, batch: &Self::Batch) -> usize { batch.0.dims()[0] }
///     fn sample(&self, batch: &Self::Batch, place: usize) -> candle_core::Result<Self::Sample> {
///         Ok((batch.0.narrow(0, place, 1)?, batch.1.narrow(0, place, 1)?))
///     }
///     fn loss(&self, fc: &Linear, (x, y): &Self::Sample, _: Pass) -> candle_core::Result<SampleLoss> {
///         Ok(SampleLoss::one((fc.forward(x)? - y)?.sqr()?.sum_all()?))
///     }
/// }
/// let params = Tree::from_leaves([
///     ("fc.weight", Tensor::new(&[[0.1f64, -0.2, 0.3]], &Device::Cpu)?),
///     ("fc.bias", Tensor::new(&[0.5f64], &Device::Cpu)?),
/// ])?;
/// let batch = (Tensor::ones((2, 3), DType::F64, &Device::Cpu)?, Tensor::zeros((2, 1), DType::F64, &Device::Cpu)?);
/// let objective = Rebuilt::new(Regression, Tree::new(), &params, &batch, Key::from_seed(1))?;
/// let grad = objective.grad(&params, &batch, Pass::Eval, Reduction::Mean)?;
/// assert!((grad.leaf("fc.bias")?.to_vec1::<f64>()?[0] - 1.4).abs() < 1e-12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Rebuilt<M> {
    model: M,
    frozen: Tree,
}

impl<M: VarModel> Rebuilt<M> {
    /// Checks the gradients of `params` on the probe batch. `key` chooses a random direction for the comparison
    /// with differences; one seed serves all.
    ///
    /// # Errors
    /// [`Error::CutGradient`] with the leaves whose gradient is missing, zero or not finite;
    /// [`Error::WrongGradient`] with the leaf whose gradient disagrees with differences of the loss;
    /// whatever the model returns.
    pub fn new(model: M, frozen: Tree, params: &Tree, probe: &M::Batch, key: Key) -> Result<Self> {
        let rebuilt = Rebuilt { model, frozen };
        probe::check(&rebuilt, params, probe, key)?;
        Ok(rebuilt)
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &M {
        &self.model
    }

    /// Parameters that are not trained.
    #[must_use]
    pub fn frozen(&self) -> &Tree {
        &self.frozen
    }

    /// The model at `params`: as variables if gradients are wanted.
    fn built(&self, params: &Tree, track: bool) -> Result<Built<M::Model>> {
        let Some((_, first)) = params.iter().next().or_else(|| self.frozen.iter().next()) else {
            return Err(tensor_tree::Error::EmptyTree { what: "a rebuilt model" }.into());
        };
        let (dtype, device) = (first.dtype(), first.device().clone());
        let mut leaves = BTreeMap::new();
        for (name, leaf) in params.iter() {
            let leaf = if track { Var::from_tensor(leaf)?.into_inner() } else { leaf.clone() };
            leaves.insert(name.to_owned(), leaf);
        }
        let asked = Arc::new(Mutex::new(BTreeSet::new()));
        let backend =
            Leaves { trainable: leaves.clone(), frozen: self.frozen.clone(), asked: asked.clone() };
        let model = self.model.build(VarBuilder::from_backend(Box::new(backend), dtype, device))?;
        let asked = std::mem::take(&mut *asked.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(Built { model, leaves, asked })
    }

    /// The loss of one sample, checked.
    fn loss(
        &self,
        model: &M::Model,
        batch: &M::Batch,
        place: usize,
        pass: Pass,
    ) -> Result<SampleLoss> {
        let sample = self.model.sample(batch, place)?;
        let loss = self.model.loss(model, &sample, pass)?;
        if loss.sum.elem_count() != 1 {
            return Err(Error::InputShape {
                layer: "loss of a sample".into(),
                expected: "one element".into(),
                got: loss.sum.dims().to_vec(),
            });
        }
        if !(loss.weight.is_finite() && 0.0 <= loss.weight) {
            return Err(Error::InvalidSetting {
                name: "weight of a sample".into(),
                must: "finite and at least zero",
                got: loss.weight.to_string(),
            });
        }
        Ok(SampleLoss { sum: loss.sum.reshape(())?, weight: loss.weight })
    }

    /// Hands the gradient of each sample's loss sum to `take`, with the sample's place and weight. Leaves that
    /// a sample did not use are missing in its tree and count as zeros, even if no sample used them: that the model
    /// uses every leaf was seen on the probe batch, and one sample must not decide whether a step fails. A leaf that
    /// the model does not ask for when it is built is an error.
    fn each_gradient(
        &self,
        params: &Tree,
        batch: &M::Batch,
        pass: Pass,
        mut take: impl FnMut(usize, f64, Tree) -> Result<()>,
    ) -> Result<Losses> {
        let built = self.built(params, true)?;
        let unknown = built.leaves.keys().filter(|name| !built.asked.contains(*name));
        let names: Vec<String> = unknown.cloned().collect();
        if !names.is_empty() {
            return Err(Error::NotRecorded { names });
        }
        let n = self.model.n_samples(batch);
        let mut losses = Vec::with_capacity(n);
        for place in 0..n {
            let loss = self.loss(&built.model, batch, place, pass)?;
            let mut store = loss.sum.backward()?;
            let mut grads = Tree::new();
            for (name, var) in &built.leaves {
                if let Some(grad) = store.remove(var) {
                    grads.insert(name.as_str(), grad)?;
                }
            }
            losses.push(SampleLoss { sum: loss.sum.detach(), weight: loss.weight });
            take(place, loss.weight, grads)?;
        }
        put_together(&losses)
    }
}

/// A model and the tensors it was built over.
struct Built<M> {
    model: M,
    leaves: BTreeMap<String, Tensor>,
    /// Names the model asked for.
    asked: BTreeSet<String>,
}

/// What the builder takes parameters from.
struct Leaves {
    trainable: BTreeMap<String, Tensor>,
    frozen: Tree,
    asked: Arc<Mutex<BTreeSet<String>>>,
}

impl SimpleBackend for Leaves {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        _: Init,
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        let leaf = self.get_unchecked(name, dtype, device)?;
        if leaf.shape() == &shape {
            return Ok(leaf);
        }
        let (expected, got) = (shape.dims().to_vec(), leaf.dims().to_vec());
        Err(Error::ParamShape { name: name.into(), expected, got }.into())
    }

    fn get_unchecked(
        &self,
        name: &str,
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        let leaf = self.trainable.get(name).or_else(|| self.frozen.get(name));
        let leaf = leaf.ok_or_else(|| Error::MissingParam { name: name.into() })?;
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
        leaf.to_dtype(dtype)?.to_device(device)
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.trainable.contains_key(name) || self.frozen.get(name).is_some()
    }
}

fn put_together(losses: &[SampleLoss]) -> Result<Losses> {
    let Some(first) = losses.first() else {
        let empty = Tensor::zeros(0, DType::F32, &Device::Cpu)?;
        return Ok(Losses { sum: empty.clone(), weight: empty });
    };
    let sums: Vec<&Tensor> = losses.iter().map(|loss| &loss.sum).collect();
    let weights: Vec<f64> = losses.iter().map(|loss| loss.weight).collect();
    let sum = Tensor::stack(&sums, 0)?.detach();
    let weight = Tensor::from_vec(weights, losses.len(), first.sum.device())?;
    Ok(Losses { weight: weight.to_dtype(sum.dtype())?, sum })
}

/// `1 / weight`, zero for a sample without weight.
fn inverse(weight: f64) -> f64 {
    if weight == 0.0 { 0.0 } else { 1.0 / weight }
}

impl<M: VarModel> Objective for Rebuilt<M> {
    type Batch = M::Batch;

    fn losses(&self, params: &Tree, batch: &M::Batch, pass: Pass) -> tensor_tree::Result<Losses> {
        let n = self.model.n_samples(batch);
        let built = self.built(params, false)?;
        let losses = (0..n).map(|place| self.loss(&built.model, batch, place, pass));
        Ok(put_together(&losses.collect::<Result<Vec<_>>>()?)?)
    }
}

impl<M: VarModel> Differentiable for Rebuilt<M> {
    fn value_and_grad(
        &self,
        params: &Tree,
        batch: &M::Batch,
        pass: Pass,
        reduction: Reduction,
    ) -> tensor_tree::Result<(Losses, Tree)> {
        let mut sum = grads::Sum::new(params);
        let mut total = 0.0;
        let losses = self.each_gradient(params, batch, pass, |_, weight, grads| {
            total += weight;
            let factor = match reduction {
                Reduction::Sum | Reduction::Mean => inverse(weight),
                Reduction::WeightedMean => 1.0,
            };
            sum.add(factor, &grads)
        })?;
        let n = self.model.n_samples(batch) as f64;
        let scale = match reduction {
            Reduction::Sum => 1.0,
            Reduction::Mean => inverse(n),
            Reduction::WeightedMean => inverse(total),
        };
        let sum = sum.finish()?.scale(scale)?;
        Ok((losses, sum.zip_map(params, |sum, leaf| Ok(sum.to_dtype(leaf.dtype())?))?))
    }
}

impl<M: VarModel> PerSampleDifferentiable for Rebuilt<M> {
    type PerSample = SampleGrads;

    fn per_sample(
        &self,
        points: &[ProbePoint],
        batch: &M::Batch,
        pass: Pass,
    ) -> tensor_tree::Result<(Losses, SampleGrads)> {
        let Some(first) = points.first() else {
            return Err(tensor_tree::Error::EmptyTree { what: "per-sample gradients" });
        };
        let n = self.model.n_samples(batch);
        let mut sums: Vec<grads::Sum> = (0..n).map(|_| grads::Sum::new(&first.params)).collect();
        let mut at_first = None;
        for point in points {
            first.params.check_like(&point.params)?;
            let losses =
                self.each_gradient(&point.params, batch, pass, |place, weight, grads| {
                    sums[place].add(point.weight * inverse(weight), &grads)
                })?;
            at_first.get_or_insert(losses);
        }
        let grads = sums.into_iter().map(grads::Sum::finish).collect::<Result<_>>()?;
        let losses = match at_first {
            Some(losses) => losses,
            None => put_together(&[])?,
        };
        Ok((losses, SampleGrads::new(grads, &first.params)))
    }
}

#[cfg(test)]
mod tests;
