//! Gradients that are hidden among those of a trainer: each has one entry, at a place of its own.

use candle_core::{DType, Tensor};
use rand::RngExt;
use tensor_tree::{
    Differentiable, Groups, Key, Losses, Objective, Pass, PerSample, PerSampleDifferentiable,
    ProbePoint, Reduction, Tree,
};

use crate::{Error, Result};

/// Canary gradients: one coordinate each, all of one size, no two at the same place.
///
/// Beside ordinary gradients, which spread over all coordinates, these are the records that betray most; the noise of a
/// Gaussian mechanism protects every direction alike, so no other canary betrays more of a correct trainer.
///
/// # Source
/// Steinke, Nasr, Jagielski, arXiv 2305.08846, section 6 ("Dirac canary").
#[derive(Clone, Debug)]
pub struct Canaries {
    /// Name of the leaf and position in it, row by row.
    places: Vec<(String, usize)>,
    size: f64,
}

impl Canaries {
    /// `n` canaries of norm `size` before clipping, at random coordinates of `params`.
    ///
    /// # Errors
    /// [`Error::InvalidScalar`] if there are none, more than coordinates, or a size that is not finite and positive.
    pub fn place(params: &Tree, n: usize, size: f64, key: Key) -> Result<Self> {
        if !(size.is_finite() && 0.0 < size) {
            let must = "finite and positive";
            return Err(Error::InvalidScalar { name: "size of canaries", must, got: size });
        }
        let all = params.n_elements();
        if n == 0 || all < n {
            return Err(Error::InvalidScalar {
                name: "number of canaries",
                must: "positive and at most that of the coordinates",
                got: n as f64,
            });
        }
        // The first n of a shuffle, by Fisher and Yates.
        let mut rng = key.rng();
        let mut order: Vec<usize> = (0..all).collect();
        for i in 0..n {
            let j = rng.random_range(i..all);
            order.swap(i, j);
        }
        order.truncate(n);
        let ends: Vec<(usize, &str)> = params
            .iter()
            .scan(0, |end, (name, leaf)| {
                let start = *end;
                *end += leaf.elem_count();
                Some((start, name))
            })
            .collect();
        let place = |at: usize| {
            let leaf = ends.partition_point(|(start, _)| *start <= at) - 1;
            (ends[leaf].1.to_owned(), at - ends[leaf].0)
        };
        Ok(Canaries { places: order.into_iter().map(place).collect(), size })
    }

    /// How many there are.
    #[must_use]
    pub fn n_canaries(&self) -> usize {
        self.places.len()
    }

    /// What one released gradient says of each canary: the entry at its place. Add the scores of several steps.
    ///
    /// # Errors
    /// If a leaf is missing or has another number of entries than the one the canaries were placed in.
    pub fn scores(&self, grads: &Tree) -> Result<Vec<f64>> {
        let mut leaves: Vec<(&str, Vec<f64>)> = Vec::new();
        for (name, leaf) in grads.iter() {
            leaves.push((name, flat(leaf)?));
        }
        let score = |(name, at): &(String, usize)| {
            let leaf = leaves.binary_search_by(|(other, _)| (*other).cmp(name.as_str()));
            leaf.ok().and_then(|leaf| leaves[leaf].1.get(*at)).copied().ok_or_else(|| {
                let what = format!("canary at entry {at} of leaf `{name}`");
                Error::Malformed { what: "gradient", why: format!("no place for the {what}") }
            })
        };
        self.places.iter().map(score).collect()
    }
}

/// An objective some of whose samples are canaries.
#[derive(Clone, Debug)]
pub struct WithCanaries<O> {
    /// The objective of the other samples.
    pub objective: O,
    /// The canaries.
    pub canaries: Canaries,
}

/// A batch with canaries in it.
#[derive(Clone, Debug)]
pub struct CanaryBatch<B> {
    /// The other samples; may be empty.
    pub records: B,
    /// Numbers of the canaries.
    pub canaries: Vec<usize>,
}

impl<O: Objective> Objective for WithCanaries<O> {
    type Batch = CanaryBatch<O::Batch>;

    /// Canaries have the loss zero.
    fn losses(
        &self,
        params: &Tree,
        batch: &Self::Batch,
        pass: Pass,
    ) -> tensor_tree::Result<Losses> {
        let losses = self.objective.losses(params, &batch.records, pass)?;
        with_zeros(&losses, batch.canaries.len())
    }
}

impl<O: Differentiable> Differentiable for WithCanaries<O> {
    fn value_and_grad(
        &self,
        params: &Tree,
        batch: &Self::Batch,
        pass: Pass,
        reduction: Reduction,
    ) -> tensor_tree::Result<(Losses, Tree)> {
        let (losses, grads) =
            self.objective.value_and_grad(params, &batch.records, pass, Reduction::Sum)?;
        let losses = with_zeros(&losses, batch.canaries.len())?;
        let factors = vec![self.canaries.size; batch.canaries.len()];
        let sum = self.canaries.add_to(grads, &batch.canaries, &factors)?;
        let n = losses.sum.elem_count().max(1) as f64;
        let scale = if reduction == Reduction::Sum { 1.0 } else { 1.0 / n };
        Ok((losses, sum.scale(scale)?))
    }
}

impl<O: PerSampleDifferentiable> PerSampleDifferentiable for WithCanaries<O> {
    type PerSample = PerSampleWithCanaries<O::PerSample>;

    fn per_sample(
        &self,
        points: &[ProbePoint],
        batch: &Self::Batch,
        pass: Pass,
    ) -> tensor_tree::Result<(Losses, Self::PerSample)> {
        let (losses, records) = self.objective.per_sample(points, &batch.records, pass)?;
        let losses = with_zeros(&losses, batch.canaries.len())?;
        let size = self.canaries.size * points.iter().map(|point| point.weight).sum::<f64>();
        let canaries = Canaries { size, ..self.canaries.clone() };
        Ok((losses, PerSampleWithCanaries { records, canaries, numbers: batch.canaries.clone() }))
    }
}

/// Per-sample gradients of the other samples, then those of the canaries.
#[derive(Clone, Debug)]
pub struct PerSampleWithCanaries<P> {
    records: P,
    canaries: Canaries,
    numbers: Vec<usize>,
}

impl<P: PerSample> PerSample for PerSampleWithCanaries<P> {
    fn n_samples(&self) -> usize {
        self.records.n_samples() + self.numbers.len()
    }

    fn squared_norms(&self, groups: &Groups) -> tensor_tree::Result<Vec<Vec<f64>>> {
        let mut norms = self.records.squared_norms(groups)?;
        for number in &self.numbers {
            let own = groups.of(&self.canaries.place_of(*number)?.0)?;
            for (group, norms) in norms.iter_mut().enumerate() {
                norms.push(if group == own { self.canaries.size.powi(2) } else { 0.0 });
            }
        }
        Ok(norms)
    }

    fn weighted_sum(self, groups: &Groups, factors: &[Vec<f64>]) -> tensor_tree::Result<Tree> {
        let n = self.records.n_samples();
        let head = |factors: &Vec<f64>| factors.get(..n).unwrap_or(factors).to_vec();
        let first: Vec<Vec<f64>> = factors.iter().map(head).collect();
        let mut sizes = Vec::with_capacity(self.numbers.len());
        for (i, number) in self.numbers.iter().enumerate() {
            let own = groups.of(&self.canaries.place_of(*number)?.0)?;
            let factor = factors.get(own).and_then(|factors| factors.get(n + i)).copied();
            let factor = factor.ok_or_else(|| tensor_tree::Error::Groups {
                reason: format!("group {own} has no factor for sample {}", n + i),
            })?;
            sizes.push(factor * self.canaries.size);
        }
        let sum = self.records.weighted_sum(groups, &first)?;
        self.canaries.add_to(sum, &self.numbers, &sizes)
    }
}

impl Canaries {
    fn place_of(&self, number: usize) -> tensor_tree::Result<&(String, usize)> {
        self.places.get(number).ok_or_else(|| tensor_tree::Error::Groups {
            reason: format!("canary {number} of {}", self.places.len()),
        })
    }

    /// Adds an entry of the given size at the place of each of these canaries.
    fn add_to(&self, sum: Tree, numbers: &[usize], sizes: &[f64]) -> tensor_tree::Result<Tree> {
        let mut places = Vec::with_capacity(numbers.len());
        for (number, size) in numbers.iter().zip(sizes) {
            places.push((self.place_of(*number)?, *size));
        }
        sum.map(|name, leaf| {
            let mut here = places.iter().filter(|((leaf, _), _)| leaf == name).peekable();
            if here.peek().is_none() {
                return Ok(leaf.clone());
            }
            let mut values = flat(leaf)?;
            for ((_, at), size) in here {
                if let Some(value) = values.get_mut(*at) {
                    *value += size;
                }
            }
            Ok(Tensor::from_vec(values, leaf.shape(), leaf.device())?.to_dtype(leaf.dtype())?)
        })
    }
}

fn flat(leaf: &Tensor) -> tensor_tree::Result<Vec<f64>> {
    Ok(leaf.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>()?)
}

fn with_zeros(losses: &Losses, n: usize) -> tensor_tree::Result<Losses> {
    if n == 0 {
        return Ok(losses.clone());
    }
    let zeros = Tensor::zeros(n, losses.sum.dtype(), losses.sum.device())?;
    let ones = Tensor::ones(n, losses.weight.dtype(), losses.weight.device())?;
    Ok(Losses {
        sum: Tensor::cat(&[&losses.sum, &zeros], 0)?,
        weight: Tensor::cat(&[&losses.weight, &ones], 0)?,
    })
}
