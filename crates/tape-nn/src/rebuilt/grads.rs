//! Per-sample gradients that are trees of their own.

use std::collections::BTreeMap;

use candle_core::Tensor;
use tensor_tree::{Groups, PerSample, Tree};

use crate::error::Result;

/// The gradient of each sample, as a tree.
#[derive(Clone, Debug)]
pub struct SampleGrads {
    grads: Vec<Tree>,
    /// Names and shapes.
    like: Tree,
}

impl SampleGrads {
    pub(super) fn new(grads: Vec<Tree>, like: &Tree) -> Self {
        SampleGrads { grads, like: like.clone() }
    }

    /// The gradients, one tree per sample.
    #[must_use]
    pub fn trees(&self) -> &[Tree] {
        &self.grads
    }
}

impl PerSample for SampleGrads {
    fn n_samples(&self) -> usize {
        self.grads.len()
    }

    fn squared_norms(&self, groups: &Groups) -> tensor_tree::Result<Vec<Vec<f64>>> {
        let mut out = vec![vec![0.0; self.grads.len()]; groups.len()];
        for name in self.like.names() {
            let norms = &mut out[groups.of(name)?];
            for (norm, grads) in norms.iter_mut().zip(&self.grads) {
                let leaf = Tree::from_leaves([(name, grads.leaf(name)?.clone())])?;
                *norm += leaf.dot(&leaf)?;
            }
        }
        Ok(out)
    }

    fn weighted_sum(self, groups: &Groups, factors: &[Vec<f64>]) -> tensor_tree::Result<Tree> {
        let n = self.grads.len();
        if factors.len() != groups.len() || factors.iter().any(|f| f.len() != n) {
            return Err(tensor_tree::Error::Groups {
                reason: format!(
                    "clip factors for {} groups, expected {} groups of {n} samples",
                    factors.len(),
                    groups.len(),
                ),
            });
        }
        let mut sum = Sum::new(&self.like);
        for (place, grads) in self.grads.iter().enumerate() {
            for (name, leaf) in grads.iter() {
                sum.add_leaf(name, factors[groups.of(name)?][place], leaf)?;
            }
        }
        Ok(sum.finish()?)
    }
}

/// A weighted sum of trees that may lack leaves, in `f32` where they are in halves.
pub(super) struct Sum {
    like: Tree,
    sums: BTreeMap<String, Tree>,
}

impl Sum {
    pub(super) fn new(like: &Tree) -> Self {
        Sum { like: like.clone(), sums: BTreeMap::new() }
    }

    pub(super) fn add(&mut self, factor: f64, grads: &Tree) -> Result<()> {
        grads.iter().try_for_each(|(name, leaf)| self.add_leaf(name, factor, leaf))
    }

    /// A factor of zero adds nothing, whatever the gradient.
    fn add_leaf(&mut self, name: &str, factor: f64, leaf: &Tensor) -> Result<()> {
        if factor == 0.0 {
            return Ok(());
        }
        let leaf = Tree::from_leaves([(name, leaf.clone())])?.widen()?;
        let sum = match self.sums.get(name) {
            Some(sum) => sum.add_scaled(factor, &leaf)?,
            None => leaf.scale(factor)?,
        };
        self.sums.insert(name.to_owned(), sum);
        Ok(())
    }

    /// The sum, zero where nothing was added.
    pub(super) fn finish(self) -> Result<Tree> {
        Ok(self
            .like
            .map(|name, leaf| match self.sums.get(name) {
                Some(sum) => Ok(sum.leaf(name)?.clone()),
                None => Ok(leaf.zeros_like()?),
            })?
            .widen()?)
    }
}
