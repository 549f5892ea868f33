//! Counts of clipped samples on the batch of a private gradient, paid for together with it.

use candle_core::{DType, Device, Tensor};
use tensor_tree::{
    Checkpoint, Collective, Key, Result as TreeResult, StateReader, StateWriter, Tree,
};

use crate::clip::{Clipping, Measured};
use crate::{Error, NeighboringRelation, NoiseMultiplier, QuantileClip, Result};

/// The thresholds of the next step, one for each group. All of it may be shown.
#[derive(Clone, Debug, PartialEq)]
pub struct ClipThresholds {
    thresholds: Vec<f64>,
}

impl ClipThresholds {
    /// Those of a clipping, before the first step.
    #[must_use]
    pub fn of(clipping: &Clipping) -> Self {
        ClipThresholds { thresholds: clipping.thresholds().to_vec() }
    }

    /// The threshold of each group.
    #[must_use]
    pub fn thresholds(&self) -> &[f64] {
        &self.thresholds
    }
}

impl Checkpoint for ClipThresholds {
    fn save(&self, out: &mut StateWriter) -> TreeResult<()> {
        out.count("groups", self.thresholds.len() as u64)?;
        let number = |(i, r): (usize, &f64)| out.number(&format!("threshold {i}"), *r);
        self.thresholds.iter().enumerate().try_for_each(number)
    }

    fn load(from: &mut StateReader<'_>) -> TreeResult<Self> {
        let n = from.count("groups")?;
        let mut thresholds = Vec::new();
        for i in 0..n {
            let name = format!("threshold {i}");
            let r = from.number(&name)?;
            if !(r.is_finite() && 0.0 < r) {
                let reason = format!("{name} must be finite and positive, got {r}");
                return Err(tensor_tree::Error::Checkpoint { path: None, reason });
            }
            thresholds.push(r);
        }
        Ok(ClipThresholds { thresholds })
    }
}

/// Centred counts of one batch.
///
/// # Privacy
/// Sensitive until noise was added; only [`Counts::release`] reads it.
pub(super) struct Counts {
    rule: QuantileClip,
    thresholds: Vec<f64>,
    sums: Vec<f64>,
}

impl Counts {
    /// Those of no samples.
    pub(super) fn empty(rule: QuantileClip, thresholds: &[f64]) -> Self {
        Counts { rule, thresholds: thresholds.to_vec(), sums: vec![0.0; thresholds.len()] }
    }

    /// Adds the samples of a micro-batch.
    pub(super) fn add(&mut self, measured: &Measured) {
        let groups = self.sums.iter_mut().zip(&self.thresholds).zip(&measured.squared_norms);
        for ((sum, threshold), norms) in groups {
            let part = |squared: &f64| self.rule.part(squared.max(0.0).sqrt(), *threshold);
            // The maximum would turn NaN into 0.
            let norms = norms.iter().map(|x| if x.is_nan() { f64::INFINITY } else { *x });
            *sum += norms.map(|x| part(&x)).sum::<f64>();
        }
    }

    /// The thresholds of the next step, from counts with noise.
    pub(super) fn release(
        self,
        (sigma, relation): (NoiseMultiplier, NeighboringRelation),
        divisor: f64,
        noise: Key,
        group: &impl Collective,
    ) -> Result<ClipThresholds> {
        let n = self.sums.len();
        let tensor = Tensor::from_vec(self.sums, n, &Device::Cpu);
        let own = Tree::from_leaves([("counts", tensor.map_err(tensor_tree::Error::from)?)])?;
        let all = if group.world_size() == 1 { own } else { group.all_reduce_sum(own)? };
        let std = sigma.get() * self.rule.sensitivity(n, relation);
        let counts = all.leaf("counts")?.to_dtype(DType::F64).map_err(tensor_tree::Error::from)?;
        let noised = if 0.0 < std { noise.add_normal(&counts, std)? } else { counts };
        let noised = noised.to_vec1::<f64>().map_err(tensor_tree::Error::from)?;
        let shares: Vec<f64> = noised.iter().map(|count| count / divisor).collect();
        Ok(ClipThresholds { thresholds: self.rule.moved(&self.thresholds, &shares)? })
    }
}

/// The clipping of one step.
pub(super) fn with_thresholds(clipping: &Clipping, state: &ClipThresholds) -> Result<Clipping> {
    clipping.clone().with_thresholds(state.thresholds.clone())
}

/// What a plan without noise for counts says.
pub(super) fn missing() -> Error {
    Error::PlanMissing { field: "the noise of clip counts" }
}
