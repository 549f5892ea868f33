//! The batteries on least squares, right and with one thing wrong.

use candle_core::{Device, Tensor};

use super::*;
use crate::error::{Error, Result};
use crate::objective::Objective;

/// What is wrong with [`Squares`].
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    Nothing,
    /// The gradient of `b` is half of what it should be.
    HalfBias,
    /// One element of the gradient of `w` is missing.
    MissingElement,
    /// A mean of all samples in place of a sum.
    Mean,
    /// The norm leaves a leaf out.
    Norm,
    /// Factors of zero are taken for one.
    Factors,
    /// Samples see the mean of the batch.
    Coupled,
    /// Factors are not counted.
    Shape,
}

/// `weight * |W x + b|^2 / 2` of each sample, whose weights are 1, 2, ...
struct Squares(Fault);

/// Inputs `[batch, 3]` and weights `[batch]`.
type Batch = (Tensor, Tensor);

fn batch() -> Batch {
    let zero = Tensor::zeros((4, 3), DType::F64, &Device::Cpu).unwrap();
    let x = Key::from_seed(5).normal_like(&zero).unwrap();
    (x, Tensor::new(&[1.0f64, 2.0, 3.0, 4.0], &Device::Cpu).unwrap())
}

fn one((x, weight): &Batch, i: usize) -> Batch {
    (x.narrow(0, i, 1).unwrap(), weight.narrow(0, i, 1).unwrap())
}

fn params() -> Tree {
    let key = Key::from_seed(6);
    let leaf = |name: &str, dims: &[usize]| {
        let zero = Tensor::zeros(dims, DType::F64, &Device::Cpu).unwrap();
        key.child(Label::Leaf(name)).normal_like(&zero).unwrap()
    };
    Tree::from_leaves([("a.w", leaf("w", &[2, 3])), ("b", leaf("b", &[2]))]).unwrap()
}

impl Squares {
    /// Inputs as the samples see them, and outputs.
    fn outputs(&self, params: &Tree, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let x = match self.0 {
            Fault::Coupled => x.broadcast_sub(&x.mean_keepdim(0)?)?,
            _ => x.clone(),
        };
        let y = x.matmul(&params.leaf("a.w")?.t()?)?.broadcast_add(params.leaf("b")?)?;
        Ok((x, y))
    }

    /// The gradient of each sample's mean loss.
    fn gradients(&self, params: &Tree, batch: &Batch) -> Result<Vec<Tree>> {
        let (x, y) = self.outputs(params, &batch.0)?;
        (0..x.dims()[0])
            .map(|i| {
                let (x, y) = (x.narrow(0, i, 1)?, y.narrow(0, i, 1)?);
                let mut w = y.t()?.matmul(&x)?;
                if self.0 == Fault::MissingElement {
                    let mask = Tensor::new(&[[1.0f64, 1.0, 1.0], [1.0, 0.0, 1.0]], &Device::Cpu)?;
                    w = (w * mask)?;
                }
                let b = (y.squeeze(0)? * if self.0 == Fault::HalfBias { 0.5 } else { 1.0 })?;
                Tree::from_leaves([("a.w", w), ("b", b)])
            })
            .collect()
    }
}

impl Objective for Squares {
    type Batch = Batch;

    fn losses(&self, params: &Tree, batch: &Batch, _: Pass) -> Result<Losses> {
        let (_, y) = self.outputs(params, &batch.0)?;
        let means = (y.sqr()?.sum(1)? * 0.5)?;
        Ok(Losses { sum: (means * &batch.1)?, weight: batch.1.clone() })
    }
}

impl Differentiable for Squares {
    fn value_and_grad(
        &self,
        params: &Tree,
        batch: &Batch,
        pass: Pass,
        reduction: Reduction,
    ) -> Result<(Losses, Tree)> {
        let weights = batch.1.to_vec1::<f64>()?;
        let (n, total) = (weights.len() as f64, weights.iter().sum::<f64>());
        let mut sum = params.zeros_like()?;
        for (grad, weight) in self.gradients(params, batch)?.iter().zip(weights) {
            let factor = match reduction {
                Reduction::Sum if self.0 == Fault::Mean => 1.0 / n,
                Reduction::Sum => 1.0,
                Reduction::Mean => 1.0 / n,
                Reduction::WeightedMean => weight / total,
            };
            sum = sum.add_scaled(factor, grad)?;
        }
        Ok((self.losses(params, batch, pass)?, sum))
    }
}

struct Grads(Vec<Tree>, Fault);

impl PerSample for Grads {
    fn n_samples(&self) -> usize {
        self.0.len()
    }

    fn squared_norms(&self, groups: &Groups) -> Result<Vec<Vec<f64>>> {
        let norm = |tree: &Tree, k: usize| {
            let (part, _) = tree.partition(|name| {
                groups.of(name).is_ok_and(|g| g == k) && !(self.1 == Fault::Norm && name == "b")
            });
            part.dot(&part)
        };
        (0..groups.len()).map(|k| self.0.iter().map(|tree| norm(tree, k)).collect()).collect()
    }

    fn weighted_sum(self, groups: &Groups, factors: &[Vec<f64>]) -> Result<Tree> {
        let fits = factors.len() == groups.len() && factors.iter().all(|f| f.len() == self.0.len());
        if !fits && self.1 != Fault::Shape {
            return Err(Error::Groups { reason: "factors".into() });
        }
        let mut sum = self.0[0].zeros_like()?;
        for (i, grad) in self.0.iter().enumerate() {
            let part = grad.map(|name, leaf| {
                let all = factors.get(groups.of(name)?).and_then(|f| f.get(i));
                let factor = *all.unwrap_or(&1.0);
                let factor = if self.1 == Fault::Factors && factor == 0.0 { 1.0 } else { factor };
                Ok((leaf * factor)?)
            })?;
            sum = sum.add_scaled(1.0, &part)?;
        }
        Ok(sum)
    }
}

impl PerSampleDifferentiable for Squares {
    type PerSample = Grads;

    fn per_sample(
        &self,
        points: &[ProbePoint],
        batch: &Batch,
        pass: Pass,
    ) -> Result<(Losses, Grads)> {
        let Some(first) = points.first() else {
            return Err(Error::EmptyTree { what: "points" });
        };
        let mut sums = vec![first.params.zeros_like()?; batch.0.dims()[0]];
        for point in points {
            for (sum, grad) in sums.iter_mut().zip(self.gradients(&point.params, batch)?) {
                *sum = sum.add_scaled(point.weight, &grad)?;
            }
        }
        Ok((self.losses(&first.params, batch, pass)?, Grads(sums, self.0)))
    }
}

fn differentiable(fault: Fault) -> Check {
    check_differentiable(&Squares(fault), &params(), &batch(), Pass::Eval)
}

fn per_sample(fault: Fault) -> Check {
    check_per_sample(&Squares(fault), &params(), &batch(), Pass::Eval, one)
}

#[test]
fn least_squares_conform() {
    differentiable(Fault::Nothing).unwrap();
    per_sample(Fault::Nothing).unwrap();
}

#[test]
fn wrong_gradients_are_caught() {
    for (fault, words) in [
        (Fault::HalfBias, "gradient of `b` along itself"),
        (Fault::MissingElement, "gradient of `a.w` along a random direction"),
        (Fault::Mean, "the Sum gradient"),
    ] {
        let error = differentiable(fault).unwrap_err();
        assert!(error.contains(words), "{fault:?}: {error}");
    }
}

#[test]
fn wrong_norms_and_sums_are_caught() {
    for (fault, words) in [
        (Fault::Norm, "the squared norm of sample 0"),
        (Fault::Factors, "a weighted sum is that of batches of one"),
        (Fault::Coupled, "the squared norm of sample 0"),
        (Fault::Shape, "factors of another shape"),
        (Fault::Mean, "the sum with factors of one"),
    ] {
        let error = per_sample(fault).unwrap_err();
        assert!(error.contains(words), "{fault:?}: {error}");
    }
}
