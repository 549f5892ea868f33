//! A loss of which everything is known: `L_i(w) = sum_k a_k |w_k - c_k|^2 / 2 + s_i sum w`, one leaf for each group.

use candle_core::{Device, Tensor};
use tensor_tree::{
    Differentiable, Groups, Losses, Objective, Pass, PerSample, PerSampleDifferentiable,
    ProbePoint, Reduction, Result, Tree,
};

/// Curvature and minimum of each leaf.
pub(super) struct Quadratic(pub Vec<(&'static str, f64, Vec<f64>)>);

pub(super) fn tensor(values: &[f64]) -> Tensor {
    Tensor::new(values, &Device::Cpu).unwrap()
}

impl Quadratic {
    fn gradient(&self, params: &Tree, shift: f64) -> Result<Tree> {
        let leaf = |(name, a, c): &(&'static str, f64, Vec<f64>)| {
            Ok((*name, (((params.leaf(name)? - tensor(c))? * *a)? + shift)?))
        };
        Tree::from_leaves(self.0.iter().map(leaf).collect::<Result<Vec<_>>>()?)
    }
}

impl Objective for Quadratic {
    /// `s_i`.
    type Batch = Vec<f64>;

    fn losses(&self, params: &Tree, batch: &Vec<f64>, _: Pass) -> Result<Losses> {
        let (mut loss, mut total) = (0.0, 0.0);
        for (name, a, c) in &self.0 {
            let away = (params.leaf(name)? - tensor(c))?;
            loss += 0.5 * a * away.sqr()?.sum_all()?.to_scalar::<f64>()?;
            total += params.leaf(name)?.sum_all()?.to_scalar::<f64>()?;
        }
        let sums: Vec<f64> = batch.iter().map(|s| loss + s * total).collect();
        Ok(Losses { weight: tensor(&vec![1.0; sums.len()]), sum: tensor(&sums) })
    }
}

impl Differentiable for Quadratic {
    fn value_and_grad(
        &self,
        params: &Tree,
        batch: &Vec<f64>,
        pass: Pass,
        reduction: Reduction,
    ) -> Result<(Losses, Tree)> {
        let n = batch.len() as f64;
        let grad = self.gradient(params, batch.iter().sum::<f64>() / n)?;
        let scale = if reduction == Reduction::Sum { n } else { 1.0 };
        Ok((self.losses(params, batch, pass)?, grad.scale(scale)?))
    }
}

pub(super) struct Samples(Vec<Tree>);

impl PerSample for Samples {
    fn n_samples(&self) -> usize {
        self.0.len()
    }

    fn squared_norms(&self, groups: &Groups) -> Result<Vec<Vec<f64>>> {
        let own = |grad: &Tree, k: usize| -> Result<f64> {
            let (own, _) = grad.partition(|name| groups.of(name).is_ok_and(|g| g == k));
            own.dot(&own)
        };
        (0..groups.len()).map(|k| self.0.iter().map(|grad| own(grad, k)).collect()).collect()
    }

    fn weighted_sum(self, _: &Groups, factors: &[Vec<f64>]) -> Result<Tree> {
        let mut sum = self.0[0].zeros_like()?;
        for (grad, factor) in self.0.iter().zip(&factors[0]) {
            sum = sum.add_scaled(*factor, grad)?;
        }
        Ok(sum)
    }
}

impl PerSampleDifferentiable for Quadratic {
    type PerSample = Samples;

    fn per_sample(
        &self,
        points: &[ProbePoint],
        batch: &Vec<f64>,
        pass: Pass,
    ) -> Result<(Losses, Samples)> {
        let params = &points[0].params;
        let grads = batch.iter().map(|s| self.gradient(params, *s)).collect::<Result<_>>()?;
        Ok((self.losses(params, batch, pass)?, Samples(grads)))
    }
}
