//! The check that must come before any training: gradients that are there, and right.

use candle_core::DType;
use tensor_tree::{Key, Label, Losses, Objective, Pass, Purpose, Tree};

use super::{Rebuilt, VarModel, grads};
use crate::error::{Error, Result};

/// Operations that record no backward pass.
const CUTS: &str = "candle_nn::ops::{softmax_last_dim, layer_norm, rms_norm} (candle_nn::LayerNorm and RmsNorm use them on contiguous input), candle_nn::rotary_emb::{rope, rope_i, rope_thd}, fused attention, Tensor::detach";

/// Operations with a wrong backward pass.
const WRONG: &str = "max_pool2d (reshape to [.., h/2, 2, w/2, 2] and take the maximum over both short axes, or use tape_nn's pooling)";

/// Steps of differences, as fractions of a leaf's norm, and the relative error that is accepted.
struct Precision {
    steps: [f64; 3],
    tolerance: f64,
    /// Relative rounding of a loss.
    rounding: f64,
}

impl Precision {
    fn of(params: &Tree) -> Precision {
        if params.iter().all(|(_, leaf)| leaf.dtype() == DType::F64) {
            Precision { steps: [1e-5, 1e-6, 1e-4], tolerance: 1e-4, rounding: 1e-14 }
        } else {
            Precision { steps: [3e-3, 3e-4, 3e-2], tolerance: 0.03, rounding: 1e-6 }
        }
    }
}

pub(super) fn check<M: VarModel>(
    objective: &Rebuilt<M>,
    params: &Tree,
    batch: &M::Batch,
    key: Key,
) -> Result<()> {
    if params.is_empty() {
        return Err(tensor_tree::Error::EmptyTree { what: "the probe batch" }.into());
    }
    if objective.model.n_samples(batch) == 0 {
        return Err(Error::InvalidSetting {
            name: "the probe batch".into(),
            must: "one with samples",
            got: "an empty one".into(),
        });
    }
    let asked = objective.built(params, false)?.asked;
    let unused = || params.names().filter(|name| !asked.contains(*name));
    refuse(unused().map(str::to_owned).collect(), "is not used by the model")?;
    let mut present = Tree::new();
    let mut sum = grads::Sum::new(params);
    let losses = objective.each_gradient(params, batch, Pass::Eval, |_, _, grads| {
        for (name, leaf) in grads.iter() {
            if present.get(name).is_none() {
                present.insert(name, leaf.clone())?;
            }
        }
        sum.add(1.0, &grads)
    })?;
    let missing = params.names().filter(|name| present.get(name).is_none());
    refuse(missing.map(str::to_owned).collect(), "has no gradient")?;
    let grad = sum.finish()?;
    let (mut zero, mut infinite) = (Vec::new(), Vec::new());
    for (name, leaf) in grad.iter() {
        let norm = Tree::from_leaves([(name, leaf.clone())])?.norm()?;
        if !norm.is_finite() {
            infinite.push(name.to_owned());
        } else if norm == 0.0 {
            zero.push(name.to_owned());
        }
    }
    refuse(infinite, "has a gradient that is not finite")?;
    refuse(zero, "has a gradient of zero")?;
    let (_, size) = total(&losses)?;
    differences(objective, params, batch, &grad, size, key)
}

/// Names what is wrong with the first of these leaves, if there is one.
fn refuse(mut names: Vec<String>, problem: &'static str) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let name = names.remove(0);
    Err(Error::CutGradient { name, others: names, problem, known: CUTS })
}

/// Sum of all losses, and of their absolute values.
fn total(losses: &Losses) -> Result<(f64, f64)> {
    let sums = losses.sum.to_dtype(DType::F64)?.to_vec1::<f64>()?;
    Ok((sums.iter().sum(), sums.iter().map(|x| x.abs()).sum()))
}

/// Compares with differences of the loss: of each leaf along its own gradient, which shows wrong factors
/// with the leaf's name, and along one random direction of all leaves, which shows missing parts.
fn differences<M: VarModel>(
    objective: &Rebuilt<M>,
    params: &Tree,
    batch: &M::Batch,
    grad: &Tree,
    size: f64,
    key: Key,
) -> Result<()> {
    let precision = Precision::of(params);
    let key = key.child(Label::For(Purpose::Init));
    let mut random = Tree::new();
    for (name, leaf) in params.iter() {
        let own = grad.leaf(name)?;
        let (norm, n) = (norm(leaf)?, leaf.elem_count() as f64);
        // A leaf of zeros, such as a new bias, still needs a step.
        let scale = if norm == 0.0 { 0.1 * n.sqrt() } else { norm };
        let along = Tree::from_leaves([(name, own.clone())])?.scale(scale / self::norm(own)?)?;
        random.insert(
            name,
            (key.child(Label::Leaf(name)).normal_like(leaf)? * (scale / n.sqrt()))?,
        )?;
        let at = |step: f64| {
            params.map(|other, value| {
                if other != name {
                    return Ok(value.clone());
                }
                let one = Tree::from_leaves([(name, value.clone())])?;
                Ok(one.add_scaled(step, &along)?.leaf(name)?.clone())
            })
        };
        let claimed = scale * self::norm(own)?;
        let seen = slope(objective, batch, claimed, claimed.abs(), size, &precision, at)?;
        if let Some(difference) = seen {
            let name = format!("trainable parameter `{name}`");
            return Err(Error::WrongGradient { name, gradient: claimed, difference, known: WRONG });
        }
    }
    let mut typical = 0.0;
    for (name, leaf) in grad.iter() {
        let scale = norm(random.leaf(name)?)? / (leaf.elem_count() as f64).sqrt();
        typical += (scale * norm(leaf)?).powi(2);
    }
    let claimed = grad.dot(&random)?;
    let at = |step: f64| params.add_scaled(step, &random);
    let seen = slope(objective, batch, claimed, typical.sqrt(), size, &precision, at)?;
    match seen {
        None => Ok(()),
        Some(difference) => Err(Error::WrongGradient {
            name: "a random direction of all trainable parameters".into(),
            gradient: claimed,
            difference,
            known: WRONG,
        }),
    }
}

fn norm(leaf: &candle_core::Tensor) -> Result<f64> {
    Ok(Tree::from_leaves([("", leaf.clone())])?.norm()?)
}

/// `None` if some step's difference agrees with the claimed slope, else the difference at the first step.
///
/// A step tells nothing where rounding alone could make up the slope. If that holds for every step, the slope
/// is too small to be seen in the loss, and only a difference that is clearly larger is held against it.
fn slope<M: VarModel>(
    objective: &Rebuilt<M>,
    batch: &M::Batch,
    claimed: f64,
    typical: f64,
    size: f64,
    precision: &Precision,
    at: impl Fn(f64) -> tensor_tree::Result<Tree>,
) -> Result<Option<f64>> {
    let mut first = None;
    let mut told = false;
    for step in precision.steps {
        let loss = |step: f64| -> Result<f64> {
            Ok(total(&objective.losses(&at(step)?, batch, Pass::Eval)?)?.0)
        };
        let seen = (loss(step)? - loss(-step)?) / (2.0 * step);
        let noise = precision.rounding * size / step;
        let large = typical.max(claimed.abs()).max(seen.abs());
        let error = (seen - claimed).abs();
        first.get_or_insert(seen);
        if noise < 0.25 * large {
            told = true;
            if error <= precision.tolerance * large + noise {
                return Ok(None);
            }
        }
    }
    Ok(if told { first } else { None })
}
