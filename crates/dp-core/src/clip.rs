//! Per-sample clipping: functions, styles, and the sum that only a mechanism can open.

use candle_core::DType;
use tensor_tree::{Collective, Groups, PerSample, Tree};

use crate::{ClipNorm, Error, NeighboringRelation, Result};

/// The factor by which a sample's gradient of norm `nu` is multiplied, for a threshold `R`.
///
/// # Source
/// arXiv 1607.00133 (`Abadi`), arXiv 2206.07136 (`AutoV`, `AutoS`).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum ClipFunction {
    /// `min(1, R / (nu + stability))`: leaves small gradients alone.
    Abadi {
        /// Added to the norm; 0 for the exact form, 1e-6 in some libraries.
        stability: f64,
    },
    /// `R / nu`: every gradient gets norm `R`, a zero gradient stays zero.
    AutoV,
    /// `R / (nu + gamma)`: norms below `R` strictly, in the order of the unclipped ones.
    AutoS {
        /// Positive; 0.01 in the paper.
        gamma: f64,
    },
    /// 1 if `nu <= R`, else 0.
    Global,
}

/// Factors below or above these are zeros: products with them would lose digits or overflow in single
/// precision, and with them the bound.
const FACTORS: std::ops::Range<f64> = 1e-30..1e24;

impl Default for ClipFunction {
    fn default() -> Self {
        ClipFunction::Abadi { stability: 0.0 }
    }
}

impl ClipFunction {
    /// Automatic clipping with the paper's constant.
    #[must_use]
    pub fn automatic() -> Self {
        ClipFunction::AutoS { gamma: 0.01 }
    }

    /// The factor for a sample of norm `norm`; times `norm` it is at most `clip`. Zero for a norm that is
    /// not finite.
    #[must_use]
    pub fn factor(self, norm: f64, clip: f64) -> f64 {
        if !norm.is_finite() {
            return 0.0;
        }
        match self {
            ClipFunction::Abadi { stability } => {
                let bound = norm + stability;
                if bound <= clip { 1.0 } else { clip / bound }
            }
            ClipFunction::AutoV => {
                if norm == 0.0 {
                    0.0
                } else {
                    clip / norm
                }
            }
            ClipFunction::AutoS { gamma } => clip / (norm + gamma),
            ClipFunction::Global => f64::from(u8::from(norm <= clip)),
        }
    }

    fn check(self) -> Result<()> {
        let (name, value, positive) = match self {
            ClipFunction::Abadi { stability } => ("stability constant", stability, false),
            ClipFunction::AutoS { gamma } => ("automatic clipping's gamma", gamma, true),
            ClipFunction::AutoV | ClipFunction::Global => return Ok(()),
        };
        let ok = value.is_finite() && if positive { 0.0 < value } else { 0.0 <= value };
        if ok {
            return Ok(());
        }
        let must = if positive { "finite and positive" } else { "finite and not negative" };
        Err(Error::InvalidScalar { name, must, got: value })
    }
}

/// Which parameters are clipped by a common norm.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClipStyle {
    /// All together.
    #[default]
    Flat,
    /// Weight and bias of a layer together.
    PerLayer,
    /// Each tensor for itself.
    PerParam,
    /// Lists of leaf names that together are all leaves.
    Blocks(Vec<Vec<String>>),
}

/// How per-sample gradients are clipped: function, groups, and a threshold for each group.
///
/// The thresholds satisfy `sum_k R_k^2 = R^2`, so the sum over groups has sensitivity `R`.
#[derive(Clone, Debug, PartialEq)]
pub struct Clipping {
    function: ClipFunction,
    groups: Groups,
    thresholds: Vec<f64>,
    total: ClipNorm,
    margin: f64,
}

impl Clipping {
    /// Clipping of the leaves of `params` with the threshold `total / sqrt(K)` for each of the `K` groups.
    ///
    /// # Errors
    /// [`Error::NothingToTrain`] if there are no leaves, [`Error::InvalidScalar`] for constants out of range, or
    /// if blocks are not a partition of the leaves.
    pub fn new(
        function: ClipFunction,
        style: &ClipStyle,
        params: &Tree,
        total: ClipNorm,
    ) -> Result<Self> {
        function.check()?;
        if params.n_elements() == 0 {
            return Err(Error::NothingToTrain);
        }
        let groups = match style {
            ClipStyle::Flat => Groups::one(params),
            ClipStyle::PerLayer => Groups::per_layer(params),
            ClipStyle::PerParam => Groups::per_leaf(params),
            ClipStyle::Blocks(lists) => Groups::from_lists(params, lists)?,
        };
        let each = total.get() / (groups.len() as f64).sqrt();
        let thresholds = vec![each; groups.len()];
        Ok(Clipping { function, groups, thresholds, total, margin: 0.0 })
    }

    /// The same with thresholds of one's own; the total becomes the root of their sum of squares.
    ///
    /// # Errors
    /// [`Error::InvalidScalar`] unless there is a finite positive threshold for each group.
    pub fn with_thresholds(self, thresholds: Vec<f64>) -> Result<Self> {
        if thresholds.len() != self.groups.len() {
            return Err(Error::InvalidScalar {
                name: "number of clip thresholds",
                must: "that of the groups",
                got: thresholds.len() as f64,
            });
        }
        for threshold in &thresholds {
            ClipNorm::new(*threshold)?;
        }
        let total = ClipNorm::new(thresholds.iter().map(|r| r * r).sum::<f64>().sqrt())?;
        Ok(Clipping { thresholds, total, ..self })
    }

    /// The same with every factor multiplied by `1 - margin`, so that rounding of the products cannot carry a
    /// sample's part over the bound. `1e-6` is right for `f32`; a private step takes at least that by itself.
    ///
    /// # Errors
    /// [`Error::InvalidScalar`] unless `0 <= margin < 1`.
    pub fn with_margin(self, margin: f64) -> Result<Self> {
        if !(0.0..1.0).contains(&margin) {
            return Err(Error::InvalidScalar {
                name: "clip margin",
                must: "in [0, 1)",
                got: margin,
            });
        }
        Ok(Clipping { margin, ..self })
    }

    /// The margin for rounding.
    #[must_use]
    pub fn margin(&self) -> f64 {
        self.margin
    }

    /// The bound on the norm of one sample's part of the sum.
    #[must_use]
    pub fn total(&self) -> ClipNorm {
        self.total
    }

    /// The groups.
    #[must_use]
    pub fn groups(&self) -> &Groups {
        &self.groups
    }

    /// The threshold of each group.
    #[must_use]
    pub fn thresholds(&self) -> &[f64] {
        &self.thresholds
    }

    /// The factors for squared norms `[group][batch]`, in the same shape.
    ///
    /// A sample with a norm that is not finite in any group gets zeros in all: the decision depends on that
    /// sample alone. So do factors outside `1e-30..1e24`, which single precision would round away.
    ///
    /// # Errors
    /// [`Error::InvalidScalar`] unless there are norms for each group, and of as many samples in one as in another.
    pub fn factors(&self, squared_norms: &[Vec<f64>]) -> Result<Vec<Vec<f64>>> {
        let wrong =
            |name, must, got: usize| Err(Error::InvalidScalar { name, must, got: got as f64 });
        if squared_norms.len() != self.thresholds.len() {
            let must = "that of the groups";
            return wrong("number of lists of squared norms", must, squared_norms.len());
        }
        let n = squared_norms.first().map_or(0, Vec::len);
        if let Some(other) = squared_norms.iter().find(|norms| norms.len() != n) {
            let must = "that of the first group";
            return wrong("number of samples of a group", must, other.len());
        }
        let usable: Vec<bool> =
            (0..n).map(|i| squared_norms.iter().all(|norms| norms[i].is_finite())).collect();
        let factors = squared_norms
            .iter()
            .zip(&self.thresholds)
            .map(|(norms, threshold)| {
                let factor = |(norm, usable): (&f64, &bool)| {
                    if !usable {
                        return 0.0;
                    }
                    let factor = self.function.factor(norm.max(0.0).sqrt(), *threshold);
                    if FACTORS.contains(&factor) { (1.0 - self.margin) * factor } else { 0.0 }
                };
                norms.iter().zip(&usable).map(factor).collect()
            })
            .collect();
        Ok(factors)
    }
}

/// A sum of clipped per-sample gradients.
///
/// # Privacy
/// Sensitive: only the mechanism and the transport between trusted processes see its tensors. No `Clone`, no
/// accessor, and `Debug` does not show them.
///
/// ```compile_fail,E0277
/// fn twice<T: Clone>() {}
/// twice::<dp_core::ClippedSum>();
/// ```
///
/// ```compile_fail,E0616
/// fn look(clipped: dp_core::ClippedSum) -> tensor_tree::Tree {
///     clipped.sum
/// }
/// ```
///
/// ```compile_fail,E0624
/// fn look(clipped: dp_core::ClippedSum) -> tensor_tree::Tree {
///     clipped.into_sum()
/// }
/// ```
#[must_use = "a clipped sum is worth nothing until a mechanism has added noise"]
pub struct ClippedSum {
    sum: Tree,
    clip: ClipNorm,
}

impl std::fmt::Debug for ClippedSum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClippedSum(..)")
    }
}

/// Norms and factors of the samples of one batch.
///
/// # Privacy
/// A release of these is not covered by any noise: for public data, or where the ledger is marked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClipDiagnostics {
    /// Norm of each sample's gradient over all groups.
    pub norms: Vec<f64>,
    /// `[group][batch]`.
    pub factors: Vec<Vec<f64>>,
}

/// Clips each sample's gradient as `clipping` says and adds the results.
///
/// ```text
/// sum_i  C_ik g_ik
/// ```
///
/// # Privacy
/// L2 sensitivity `clipping.total()` under add-or-remove-one, twice that under replace-one. Releases nothing and charges
/// nothing by itself. The bound holds if each sample's gradient depends on that sample alone, which nobody checks here:
/// [`crate::validate()`] does.
///
/// # Errors
/// If the groups do not cover the leaves; [`Error::HalfPrecisionSum`]. A sample with NaN or infinity contributes exactly zero.
///
/// # Source
/// arXiv 1607.00133, Algorithm 1; arXiv 2210.00038 for the single backward pass.
pub fn clip_and_sum(grads: impl PerSample, clipping: &Clipping) -> Result<ClippedSum> {
    Ok(clip_and_measure(grads, clipping)?.0)
}

/// What clipping saw: private, every number of it.
pub(crate) struct Measured {
    /// `[group][batch]`.
    pub(crate) squared_norms: Vec<Vec<f64>>,
    /// `[group][batch]`.
    pub(crate) factors: Vec<Vec<f64>>,
}

impl Measured {
    /// Norm of each sample's gradient over all groups.
    pub(crate) fn norms(&self) -> impl Iterator<Item = f64> + '_ {
        let n = self.squared_norms.first().map_or(0, Vec::len);
        (0..n).map(|i| self.squared_norms.iter().map(|g| g[i]).sum::<f64>().sqrt())
    }
}

/// As [`clip_and_sum`], with what was seen.
pub(crate) fn clip_and_measure(
    grads: impl PerSample,
    clipping: &Clipping,
) -> Result<(ClippedSum, Measured)> {
    let squared_norms = grads.squared_norms(&clipping.groups)?;
    let factors = clipping.factors(&squared_norms)?;
    let sum = grads.weighted_sum(&clipping.groups, &factors)?;
    if let Some((name, _)) =
        sum.iter().find(|(_, leaf)| matches!(leaf.dtype(), DType::F16 | DType::BF16))
    {
        return Err(Error::HalfPrecisionSum { name: name.to_owned() });
    }
    Ok((ClippedSum { sum, clip: clipping.total }, Measured { squared_norms, factors }))
}

impl ClippedSum {
    /// The sum over no samples.
    ///
    /// # Errors
    /// From the back-end.
    pub fn empty(params: &Tree, clipping: &Clipping) -> Result<Self> {
        Ok(ClippedSum { sum: params.zeros_like()?.widen()?, clip: clipping.total })
    }

    /// The most by which the sum can change between neighboring data sets, in L2 norm.
    #[must_use]
    pub fn sensitivity(&self, relation: NeighboringRelation) -> f64 {
        relation.sensitivity(self.clip)
    }

    /// The sum over both sets of samples, which must be disjoint: micro-batches of one batch.
    ///
    /// # Errors
    /// [`Error::InvalidScalar`] if the two were clipped to different norms, or if the leaves differ.
    pub fn merge(self, other: ClippedSum) -> Result<ClippedSum> {
        #[allow(clippy::float_cmp, reason = "the same number or another one")]
        if self.clip.get() != other.clip.get() {
            return Err(Error::InvalidScalar {
                name: "clip norm of a micro-batch",
                must: "that of the others",
                got: other.clip.get(),
            });
        }
        Ok(ClippedSum { sum: self.sum.add_scaled(1.0, &other.sum)?, clip: self.clip })
    }

    /// The sum over the samples of all processes, which must hold disjoint data.
    ///
    /// # Errors
    /// If the transport fails.
    pub fn all_reduce(self, group: &impl Collective) -> Result<ClippedSum> {
        Ok(ClippedSum { sum: group.all_reduce_sum(self.sum)?, clip: self.clip })
    }

    pub(crate) fn into_sum(self) -> Tree {
        self.sum
    }
}

#[cfg(test)]
mod tests;
