//! Passes in half precision over parameters in single precision.

use candle_core::DType;
use tensor_tree::{Losses, Tree};

use super::TapeLoss;
use crate::context::Context;
use crate::error::{Error, Result};

/// The same loss computed in half precision, at parameters that are kept, moved and clipped in single precision.
///
/// The rules, for private and for ordinary training alike:
///
/// - Parameters are `f32` (master weights); each pass rounds them to `dtype`, and inputs with them. Optimizers see only `f32`.
/// - Losses are returned in `f32`, and the gradients that reach the tape are widened to `f32` before anything is added: norms,
///   clip factors, clipped sums over samples and micro-batches, noise and the division by the batch size are `f32` or wider. A
///   sum rounded to a half would change between neighboring data sets by more than the clip norm.
/// - The loss scale is a constant that is taken out of norms and sums exactly, as it is a power of two. It is never adapted: how often
///   something overflowed is a fact about private data.
/// - Gradients at two nearby points, as DiSK combines them (`dp_filters::Disk`), differ by less than the rounding of their parameters where
///   the points lie near: take one point per step (`LookAhead::Auto`) or compute in `f32`.
/// - A sample whose gradient overflows has a norm that is not finite, and clipping leaves it out, whatever the others are.
///
/// # Examples
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use tape_nn::net::Mlp;
/// use tape_nn::{Activation, Builder, Classifier, LabeledBatch, MixedPrecision, Taped};
/// use tensor_tree::{Differentiable, Key, Pass, Reduction};
///
/// let builder = Builder::init(Key::from_seed(1), DType::F32, &Device::Cpu);
/// let mlp = Mlp::new(&[4, 8, 3], Activation::Relu, builder.vb())?;
/// let params = builder.into_tree()?;
/// let objective = Taped(MixedPrecision::new(Classifier::new(mlp), DType::F16)?);
/// let batch = LabeledBatch::new(Tensor::ones((2, 4), DType::F32, &Device::Cpu)?, Tensor::new(&[0u32, 2], &Device::Cpu)?);
/// let grad = objective.grad(&params, &batch, Pass::Eval, Reduction::Mean)?;
/// assert_eq!(grad.leaf("fc1.weight")?.dtype(), DType::F32);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Source
/// arXiv 1710.03740 for master weights and the loss scale.
#[derive(Clone, Debug)]
pub struct MixedPrecision<L> {
    loss: L,
    dtype: DType,
    frozen: Tree,
    scale: f64,
}

impl<L: TapeLoss> MixedPrecision<L> {
    /// `loss` in `dtype`, `F16` or `BF16`; parameters that are not trained are rounded once, here. The loss scale is 1024 for `F16`,
    /// whose smallest numbers are 6e-8, and 1 for `BF16`.
    ///
    /// # Errors
    /// [`Error::UnsupportedDType`] for another type.
    pub fn new(loss: L, dtype: DType) -> Result<Self> {
        let scale = match dtype {
            DType::F16 => 1024.0,
            DType::BF16 => 1.0,
            other => {
                let what = "passes in half precision (F16 or BF16)";
                return Err(Error::UnsupportedDType { what, got: format!("{other:?}") });
            }
        };
        let frozen = loss.frozen().to_dtype(dtype)?;
        Ok(MixedPrecision { loss, dtype, frozen, scale })
    }

    /// The same with another loss scale.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] unless it is a power of two between 1 and 65536.
    pub fn with_loss_scale(self, scale: f64) -> Result<Self> {
        let power = (1.0..=65536.0).contains(&scale) && scale.log2().fract() == 0.0;
        if power {
            return Ok(MixedPrecision { scale, ..self });
        }
        Err(Error::InvalidSetting {
            name: "loss scale".into(),
            must: "a power of two between 1 and 65536",
            got: scale.to_string(),
        })
    }

    /// The loss.
    pub fn get(&self) -> &L {
        &self.loss
    }
}

impl<L: TapeLoss> TapeLoss for MixedPrecision<L> {
    type Batch = L::Batch;

    fn losses(&self, cx: &Context<'_>, batch: &L::Batch) -> Result<Losses> {
        let trainable = cx.trainable().to_dtype(self.dtype)?;
        let on_cpu = trainable.iter().next().is_some_and(|(_, leaf)| leaf.device().is_cpu());
        if on_cpu && self.dtype == DType::BF16 {
            let what = "products on the CPU (F16 is)";
            return Err(Error::UnsupportedDType { what, got: "BF16".into() });
        }
        let losses = self.loss.losses(&cx.at(&trainable, &self.frozen), batch)?;
        let wide = |t: candle_core::Tensor| t.to_dtype(DType::F32);
        Ok(Losses { sum: wide(losses.sum)?, weight: wide(losses.weight)? })
    }

    /// As it was, not rounded.
    fn frozen(&self) -> &Tree {
        self.loss.frozen()
    }

    fn n_samples(&self, batch: &L::Batch) -> usize {
        self.loss.n_samples(batch)
    }

    fn sample_ids<'b>(&self, batch: &'b L::Batch) -> Option<&'b [u64]> {
        self.loss.sample_ids(batch)
    }

    fn two_pass_heads(&self) -> bool {
        self.loss.two_pass_heads()
    }

    fn loss_scale(&self) -> Option<f64> {
        Some(self.scale)
    }
}

#[cfg(test)]
mod tests;
