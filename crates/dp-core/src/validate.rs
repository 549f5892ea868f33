//! Says before training which parameters cannot be trained privately, why, and what to do instead.

use std::collections::BTreeMap;

use candle_core::{DType, Tensor};
use tensor_tree::{Groups, Key, Pass, PerSample, PerSampleDifferentiable, ProbePoint, Tree};

use crate::{Error, Result};

/// One parameter that cannot be trained privately as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Leaf name.
    pub leaf: String,
    /// What is wrong.
    pub reason: Reason,
}

/// Why a parameter cannot be trained privately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// Its gradient never reaches the tape.
    NotRecorded,
    /// A sample's gradient depends on the other samples of its batch.
    CouplesSamples,
    /// The gradient on the probe batch is NaN or infinite.
    NotFinite,
    /// It is a statistic over batches and not a parameter.
    BatchStatistic,
    /// It has no elements.
    Empty,
}

impl Reason {
    /// What to do instead.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            Reason::NotRecorded => {
                "use it in a layer of tape-nn, or freeze it by moving it to the frozen tree"
            }
            Reason::CouplesSamples => {
                "replace batch normalisation by GroupNorm or LayerNorm, normalise each sample's loss by its own \
                 weight or a public constant, and avoid losses between samples"
            }
            Reason::NotFinite => {
                "lower the learning rate or the initial scale, or use f64 for the probe"
            }
            Reason::BatchStatistic => "replace batch normalisation by GroupNorm or LayerNorm",
            Reason::Empty => "remove it from the trainable tree",
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let why = match self.reason {
            Reason::NotRecorded => "its gradient is not recorded",
            Reason::CouplesSamples => "a sample's gradient depends on the rest of the batch",
            Reason::NotFinite => "its gradient on the probe batch is not finite",
            Reason::BatchStatistic => "it is a statistic over batches",
            Reason::Empty => "it has no elements",
        };
        write!(f, "`{}` cannot be trained privately: {why}; {}", self.leaf, self.reason.remedy())
    }
}

/// The proof that [`validate`] found nothing wrong with some leaves. Only `validate` makes one.
///
/// ```compile_fail,E0451
/// let unseen = dp_core::Validated { leaves: Default::default(), losses: true, training: true };
/// ```
///
/// # Privacy
/// It holds the names and shapes of the leaves, not the objective: hand it to the step of the objective that was probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validated {
    leaves: BTreeMap<String, Vec<usize>>,
    losses: bool,
    training: bool,
}

impl Validated {
    fn of(params: &Tree, losses: bool, training: bool) -> Self {
        let leaf = |(name, leaf): (&str, &Tensor)| (name.to_owned(), leaf.dims().to_vec());
        Validated { leaves: params.iter().map(leaf).collect(), losses, training }
    }

    /// Whether passes in training were looked at too, which a step with dropout needs: what a model does there can couple samples
    /// although it does not in evaluation. They were unless the probe batches allow none, as without the numbers that key dropout masks.
    #[must_use]
    pub fn covers_training(&self) -> bool {
        self.training
    }

    /// Whether the loss of each sample was seen to depend on that sample alone too, which a release of losses needs. A loss can
    /// depend on its batch where its gradient does not.
    #[must_use]
    pub fn covers_losses(&self) -> bool {
        self.losses
    }

    /// Whether `params` has the leaves that were looked at, no others, and in the same shapes.
    #[must_use]
    pub fn covers(&self, params: &Tree) -> bool {
        let same = |(name, leaf): (&str, &Tensor)| {
            self.leaves.get(name).is_some_and(|shape| shape == leaf.dims())
        };
        params.len() == self.leaves.len() && params.iter().all(same)
    }
}

/// Checks every leaf of `params` on a probe batch.
///
/// `together` is a batch, `alone` the same samples (with the same numbers) in batches of one, in the same order. A sample's gradient
/// must be the same in both, up to `1e-3` relative, in evaluation and, if the batches allow one, in a pass of training with fixed
/// dropout masks; whether its loss is too, the proof says. Takes two backward passes of the whole batch for each sample, so a few
/// samples are enough. Their values must differ, and no gradient should vanish at `params`: what is equal or zero hides a coupling.
///
/// # Privacy
/// Looks at gradients without noise: use made-up or public samples. A step without the proof marks its ledger
/// [`crate::Mark::NotValidated`].
///
/// # Errors
/// [`Error::NothingToTrain`] if there is no trainable element; [`Error::InvalidScalar`] if there are fewer than two samples
/// or the batches do not fit together; [`Error::Untrainable`] with every problem found; any other error of the objective.
pub fn validate<O: PerSampleDifferentiable>(
    objective: &O,
    params: &Tree,
    together: &O::Batch,
    alone: &[O::Batch],
) -> Result<Validated> {
    if params.n_elements() == 0 {
        return Err(Error::NothingToTrain);
    }
    must_be("number of single samples", "at least two", 2 <= alone.len(), alone.len())?;
    let mut problems: Vec<Problem> = params.iter().filter_map(by_name_and_size).collect();
    let leaves = Groups::per_leaf(params);
    let probe = Probe { objective, params, leaves: &leaves, pass: Pass::Eval };
    match probe.norms(together) {
        Err(Error::Tree(tensor_tree::Error::NotDifferentiated { leaves })) => {
            for leaf in leaves {
                if problems.iter().all(|p| p.leaf != leaf) {
                    problems.push(Problem { leaf, reason: Reason::NotRecorded });
                }
            }
        }
        Err(other) => return Err(other),
        Ok(joint) => problems.extend(probe.compare(&joint, together, alone)?),
    }
    if !problems.is_empty() {
        return Err(Error::Untrainable { problems });
    }
    let mut losses = probe.has_losses_alone(together, alone)?;
    // One key for all batches: masks then depend on the sample alone.
    let training = Probe { pass: Pass::Train { key: Key::from_seed(0) }, ..probe };
    let covered = match training.norms(together) {
        Err(_) => false,
        Ok(joint) => {
            let problems = training.compare(&joint, together, alone)?;
            if !problems.is_empty() {
                return Err(Error::Untrainable { problems });
            }
            losses = losses && training.has_losses_alone(together, alone)?;
            true
        }
    };
    Ok(Validated::of(params, losses, covered))
}

/// What can be said of a leaf without a gradient.
fn by_name_and_size((name, leaf): (&str, &Tensor)) -> Option<Problem> {
    let last = name.rsplit('.').next().unwrap_or(name);
    let statistic = ["running_mean", "running_var", "num_batches_tracked"].contains(&last);
    let reason = match (statistic, leaf.elem_count()) {
        (true, _) => Reason::BatchStatistic,
        (false, 0) => Reason::Empty,
        _ => return None,
    };
    Some(Problem { leaf: name.to_owned(), reason })
}

struct Probe<'a, O> {
    objective: &'a O,
    params: &'a Tree,
    leaves: &'a Groups,
    pass: Pass,
}

impl<O: PerSampleDifferentiable> Probe<'_, O> {
    fn per_sample(&self, batch: &O::Batch) -> Result<O::PerSample> {
        let points = ProbePoint::single(self.params);
        Ok(self.objective.per_sample(&points, batch, self.pass)?.1)
    }

    /// Squared norms, `[leaf][sample]`.
    fn norms(&self, batch: &O::Batch) -> Result<Vec<Vec<f64>>> {
        Ok(self.per_sample(batch)?.squared_norms(self.leaves)?)
    }

    /// The gradient of one sample.
    fn gradient(&self, batch: &O::Batch, sample: usize, n_samples: usize) -> Result<Tree> {
        let mut factors = vec![vec![0.0; n_samples]; self.leaves.len()];
        factors.iter_mut().for_each(|f| f[sample] = 1.0);
        Ok(self.per_sample(batch)?.weighted_sum(self.leaves, &factors)?)
    }

    /// Whether each loss in the batch is that of its sample alone.
    fn has_losses_alone(&self, together: &O::Batch, alone: &[O::Batch]) -> Result<bool> {
        let of = |batch: &O::Batch| -> Result<Vec<f64>> {
            let losses = self.objective.losses(self.params, batch, self.pass)?.per_sample()?;
            let losses = losses.to_dtype(DType::F64).and_then(|losses| losses.to_vec1::<f64>());
            Ok(losses.map_err(tensor_tree::Error::from)?)
        };
        let joint = of(together)?;
        let mut single = Vec::with_capacity(joint.len());
        for batch in alone {
            single.extend(of(batch)?);
        }
        // A NaN on either side is not an agreement.
        let same = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-3 * (a.abs() + b.abs()) + 1e-12;
        Ok(joint.len() == single.len() && joint.iter().zip(&single).all(same))
    }

    fn compare(
        &self,
        joint: &[Vec<f64>],
        together: &O::Batch,
        alone: &[O::Batch],
    ) -> Result<Vec<Problem>> {
        let n = joint.first().map_or(0, Vec::len);
        must_be("number of single samples", "that of the batch", alone.len() == n, alone.len())?;
        let mut reasons: Vec<Option<Reason>> = joint
            .iter()
            .map(|norms| norms.iter().any(|x| !x.is_finite()).then_some(Reason::NotFinite))
            .collect();
        for (i, single) in alone.iter().enumerate() {
            let norms = self.norms(single)?;
            let size = norms.first().map_or(0, Vec::len);
            must_be("size of a single sample's batch", "one", size == 1, size)?;
            let own = self.gradient(single, 0, 1)?;
            let difference = self.gradient(together, i, n)?.add_scaled(-1.0, &own)?;
            for (leaf, reason) in reasons.iter_mut().enumerate() {
                let name = &self.leaves.names()[leaf];
                let leaf_alone = Tree::from_leaves([(name, difference.leaf(name)?.clone())])?;
                let distance = leaf_alone.norm()?;
                let size = joint[leaf][i].sqrt() + norms[leaf][0].sqrt();
                // A NaN on either side is not an agreement.
                let same = distance <= 1e-3 * size + 1e-12;
                if reason.is_none() && !same {
                    *reason = Some(Reason::CouplesSamples);
                }
            }
        }
        let problem = |(leaf, reason): (&String, Option<Reason>)| {
            reason.map(|reason| Problem { leaf: leaf.clone(), reason })
        };
        Ok(self.leaves.names().iter().zip(reasons).filter_map(problem).collect())
    }
}

fn must_be(name: &'static str, must: &'static str, holds: bool, got: usize) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::InvalidScalar { name, must, got: got as f64 }) }
}
