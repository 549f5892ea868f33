//! Says before training which parameters cannot be trained privately, why, and what to do instead.

use tensor_tree::{Groups, Pass, PerSample, PerSampleDifferentiable, ProbePoint, Tree};

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

/// Checks every leaf of `params` on a probe batch.
///
/// `together` is a batch, `alone` the same samples in batches of one, in the same order. A sample's gradient must be the
/// same in both, up to `1e-3` relative.
///
/// # Privacy
/// Looks at gradients without noise: use made-up or public samples.
///
/// # Errors
/// [`Error::NothingToTrain`] if there is no trainable element; [`Error::Untrainable`] with every problem found; any other
/// error of the objective.
pub fn validate<O: PerSampleDifferentiable>(
    objective: &O,
    params: &Tree,
    together: &O::Batch,
    alone: &[O::Batch],
) -> Result<()> {
    if params.n_elements() == 0 {
        return Err(Error::NothingToTrain);
    }
    let mut problems: Vec<Problem> = params
        .iter()
        .filter_map(|(name, leaf)| {
            let last = name.rsplit('.').next().unwrap_or(name);
            let statistic = ["running_mean", "running_var", "num_batches_tracked"].contains(&last);
            let reason = match (statistic, leaf.elem_count()) {
                (true, _) => Reason::BatchStatistic,
                (false, 0) => Reason::Empty,
                _ => return None,
            };
            Some(Problem { leaf: name.to_owned(), reason })
        })
        .collect();
    match norms(objective, params, together) {
        Err(Error::Tree(tensor_tree::Error::NotDifferentiated { leaves })) => {
            for leaf in leaves {
                if problems.iter().all(|p| p.leaf != leaf) {
                    problems.push(Problem { leaf, reason: Reason::NotRecorded });
                }
            }
        }
        Err(other) => return Err(other),
        Ok(joint) => {
            let single: Vec<Vec<Vec<f64>>> =
                alone.iter().map(|batch| norms(objective, params, batch)).collect::<Result<_>>()?;
            for (group, name) in Groups::per_leaf(params).names().iter().enumerate() {
                if let Some(reason) = compare(&joint[group], &single, group) {
                    problems.push(Problem { leaf: name.clone(), reason });
                }
            }
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(Error::Untrainable { problems }) }
}

fn norms<O: PerSampleDifferentiable>(
    objective: &O,
    params: &Tree,
    batch: &O::Batch,
) -> Result<Vec<Vec<f64>>> {
    let (_, grads) = objective.per_sample(&ProbePoint::single(params), batch, Pass::Eval)?;
    Ok(grads.squared_norms(&Groups::per_leaf(params))?)
}

fn compare(joint: &[f64], single: &[Vec<Vec<f64>>], group: usize) -> Option<Reason> {
    if joint.iter().any(|norm| !norm.is_finite()) {
        return Some(Reason::NotFinite);
    }
    let alone = single.iter().map(|norms| norms[group].first().copied().unwrap_or(0.0));
    let differs =
        |(a, b): (&f64, f64)| 1e-3 * (a.sqrt() + b.sqrt()) + 1e-12 < (a.sqrt() - b.sqrt()).abs();
    joint.iter().zip(alone).any(differs).then_some(Reason::CouplesSamples)
}
