//! An objective whose losses and gradients are written by hand, for tests of methods against numbers made elsewhere.

use candle_core::{DType, Device, Tensor};

use crate::{
    Differentiable, Groups, Losses, Objective, Pass, PerSample, PerSampleDifferentiable,
    ProbePoint, Reduction, Result, Tree,
};

/// Losses `(x - c_i)' H_i (x - c_i) / 2 + quartic/4 sum_j (x - c_i)_j^4`, one for each sample, in one leaf `x`.
///
/// A batch is a list of sample numbers. Gradients are taken in doubles, whatever the type of `x`.
#[derive(Clone, Debug)]
pub struct Polynomial {
    /// `[sample][d * d]`.
    pub hessians: Vec<Vec<f64>>,
    /// `[sample][d]`.
    pub centers: Vec<Vec<f64>>,
    /// Factor of the fourth powers.
    pub quartic: f64,
    /// Added to each loss.
    pub offset: f64,
}

/// The gradient of each sample, and its length.
#[derive(Clone, Debug)]
pub struct Rows(Vec<Vec<f64>>, usize);

/// A tree of the one leaf `x`.
///
/// # Errors
/// From the back-end.
pub fn leaf(values: &[f64]) -> Result<Tree> {
    Tree::from_leaves([("x", Tensor::from_slice(values, values.len(), &Device::Cpu)?)])
}

/// The numbers of the one leaf `x`.
///
/// # Errors
/// If it is not there.
pub fn values(tree: &Tree) -> Result<Vec<f64>> {
    Ok(tree.leaf("x")?.to_dtype(DType::F64)?.to_vec1()?)
}

impl Polynomial {
    /// `curvature |x|^2 / 2` for each of `n` samples.
    #[must_use]
    pub fn bowl(n: usize, d: usize, curvature: f64) -> Self {
        let hessian = (0..d * d).map(|i| if i % (d + 1) == 0 { curvature } else { 0.0 }).collect();
        Polynomial {
            hessians: vec![hessian; n],
            centers: vec![vec![0.0; d]; n],
            quartic: 0.0,
            offset: 0.0,
        }
    }

    /// The loss of one sample.
    #[must_use]
    pub fn loss(&self, sample: usize, x: &[f64]) -> f64 {
        let u: Vec<f64> = x.iter().zip(&self.centers[sample]).map(|(x, c)| x - c).collect();
        let square: f64 = u.iter().zip(self.times(sample, &u)).map(|(u, h)| u * h).sum();
        let fourth: f64 = u.iter().map(|u| u.powi(4)).sum();
        self.offset + 0.5 * square + 0.25 * self.quartic * fourth
    }

    /// The gradient of one sample's loss.
    #[must_use]
    pub fn gradient(&self, sample: usize, x: &[f64]) -> Vec<f64> {
        let u: Vec<f64> = x.iter().zip(&self.centers[sample]).map(|(x, c)| x - c).collect();
        let linear = self.times(sample, &u);
        linear.iter().zip(&u).map(|(h, u)| h + self.quartic * u.powi(3)).collect()
    }

    fn times(&self, sample: usize, u: &[f64]) -> Vec<f64> {
        let rows = self.hessians[sample].chunks(u.len());
        rows.map(|row| row.iter().zip(u).map(|(h, u)| h * u).sum()).collect()
    }

    fn all(&self, params: &Tree, batch: &[usize]) -> Result<Losses> {
        let x = values(params)?;
        let sum: Vec<f64> = batch.iter().map(|i| self.loss(*i, &x)).collect();
        let weight = Tensor::ones(sum.len(), DType::F64, &Device::Cpu)?;
        Ok(Losses { sum: Tensor::from_vec(sum, weight.shape(), &Device::Cpu)?, weight })
    }
}

impl Objective for Polynomial {
    type Batch = Vec<usize>;
    fn losses(&self, params: &Tree, batch: &Vec<usize>, _: Pass) -> Result<Losses> {
        self.all(params, batch)
    }
}

impl Differentiable for Polynomial {
    fn value_and_grad(
        &self,
        params: &Tree,
        batch: &Vec<usize>,
        pass: Pass,
        _: Reduction,
    ) -> Result<(Losses, Tree)> {
        let (losses, rows) = self.per_sample(&ProbePoint::single(params), batch, pass)?;
        let groups = Groups::one(params);
        let sum = rows.weighted_sum(&groups, &[vec![1.0; batch.len()]])?;
        Ok((losses, sum))
    }
}

impl PerSampleDifferentiable for Polynomial {
    type PerSample = Rows;
    fn per_sample(
        &self,
        points: &[ProbePoint],
        batch: &Vec<usize>,
        _: Pass,
    ) -> Result<(Losses, Rows)> {
        let Some(first) = points.first() else {
            return Err(crate::Error::EmptyTree { what: "per-sample gradients" });
        };
        let d = first.params.n_elements();
        let mut rows = vec![vec![0.0; d]; batch.len()];
        for point in points {
            let x = values(&point.params)?;
            for (row, i) in rows.iter_mut().zip(batch) {
                let gradient = self.gradient(*i, &x);
                row.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += point.weight * g);
            }
        }
        Ok((self.all(&first.params, batch)?, Rows(rows, d)))
    }
}

impl PerSample for Rows {
    fn n_samples(&self) -> usize {
        self.0.len()
    }

    fn squared_norms(&self, _: &Groups) -> Result<Vec<Vec<f64>>> {
        Ok(vec![self.0.iter().map(|row| row.iter().map(|g| g * g).sum()).collect()])
    }

    fn weighted_sum(self, _: &Groups, factors: &[Vec<f64>]) -> Result<Tree> {
        let d = self.1;
        let factors = factors.first().map_or(&[][..], Vec::as_slice);
        let part = |j: usize| self.0.iter().zip(factors).map(|(row, f)| f * row[j]).sum();
        let sum: Vec<f64> = (0..d).map(part).collect();
        Tree::from_leaves([("x", Tensor::from_vec(sum, d, &Device::Cpu)?)])
    }
}
