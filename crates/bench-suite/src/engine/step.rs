//! One complete step, with the time of its parts.

use serde::{Deserialize, Serialize};
use std::time::Instant;

use candle_core::{Device, Tensor};
use dp_core::{ClipFunction, ClipNorm, ClipStyle, Clipping};
use tape_nn::{Context, Tape, TapeLoss};
use tensor_tree::{Key, Label, PerSample, Rates, Tree};

use crate::error::Result;

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Forward, backward, summed gradients, update.
    Plain,
    /// Forward, backward, per-sample norms, clipped sums, update: everything of a private step but the noise.
    Clipped,
    /// The complete private step.
    Private,
    /// The complete private step, with the gradient of a language model's logits made twice instead of kept.
    PrivateTwoPass,
}

impl Mode {
    /// Whether noise is added.
    fn is_private(self) -> bool {
        matches!(self, Mode::Private | Mode::PrivateTwoPass)
    }
}

/// Seconds of wall time spent in each part of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Parts {
    /// Losses.
    pub forward: f64,
    /// Gradients of activations; in a plain step the weight gradients too.
    pub backward: f64,
    /// Per-sample norms and clip factors.
    pub norms: f64,
    /// Clipped sums.
    pub sums: f64,
    /// Noise.
    pub noise: f64,
    /// The update of the parameters.
    pub optimizer: f64,
}

impl Parts {
    /// The parts with their names.
    #[must_use]
    pub fn named(&self) -> [(&'static str, f64); 6] {
        [
            ("forward", self.forward),
            ("backward", self.backward),
            ("norms", self.norms),
            ("sums", self.sums),
            ("noise", self.noise),
            ("optimizer", self.optimizer),
        ]
    }
}

/// Runs one step from `params` and returns the new parameters and the parts' times.
pub(crate) fn step<L: TapeLoss>(
    loss: &L,
    params: &Tree,
    batch: &L::Batch,
    mode: Mode,
    index: u64,
) -> Result<(Tree, Parts)> {
    let mut parts = Parts::default();
    let mut last = Instant::now();
    let mut lap = || {
        let now = Instant::now();
        let elapsed = (now - last).as_secs_f64();
        last = now;
        elapsed
    };
    let tape = match mode {
        Mode::Plain => Tape::summing(&Device::Cpu)?,
        _ => Tape::recording(&Device::Cpu)?.with_two_pass_heads(mode == Mode::PrivateTwoPass),
    };
    let cx = Context::recording(params, loss.frozen(), &tape);
    let losses = loss.losses(&cx, batch)?;
    let weights = losses.weight.to_dtype(candle_core::DType::F64)?.to_vec1::<f64>()?;
    let n = weights.len();
    let seeds: Vec<f32> = weights
        .iter()
        .map(|w| {
            let mean = if mode == Mode::Plain { n as f64 } else { 1.0 };
            #[allow(clippy::cast_possible_truncation, reason = "rounding is the purpose")]
            let seed = (1.0 / (w * mean)) as f32;
            seed
        })
        .collect();
    let total = (losses.sum * Tensor::from_vec(seeds, n, &Device::Cpu)?)?.sum_all()?;
    parts.forward = lap();
    total.backward()?;
    drop(total);
    let grads = if mode == Mode::Plain {
        let grads = tape.into_sum(params)?;
        parts.backward = lap();
        grads
    } else {
        parts.backward = lap();
        let per_sample = tape.into_grads(params, n)?;
        let clipping =
            Clipping::new(ClipFunction::default(), &ClipStyle::Flat, params, ClipNorm::new(1.0)?)?;
        let factors = clipping.factors(&per_sample.squared_norms(clipping.groups())?)?;
        parts.norms = lap();
        let sum = per_sample.weighted_sum(clipping.groups(), &factors)?;
        parts.sums = lap();
        let sum = if mode.is_private() {
            let key = Key::from_seed(3).child(Label::Step(index));
            sum.map(|name, leaf| key.child(Label::Leaf(name)).add_normal(leaf, 1.0))?
        } else {
            sum
        };
        parts.noise = lap();
        sum
    };
    let rate = match mode {
        Mode::Plain => 1e-4,
        _ => 1e-4 / n as f64,
    };
    let params = params.descend(&grads, &Rates::uniform(rate))?;
    parts.optimizer = lap();
    Ok((params, parts))
}
