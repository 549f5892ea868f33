//! Less memory for large heads.

use tensor_tree::{Losses, Tree};

use super::TapeLoss;
use crate::context::Context;
use crate::error::Result;

/// The same loss in less memory: the gradient of the logits is made twice instead of kept.
///
/// Clipping needs the gradients of all layers' outputs until each sample's norm is known. Of a language model's, that of the
/// logits, `batch x positions x vocabulary`, is the largest by far. Here a first pass over the head makes it for a few samples at a
/// time, for the gradient of the head's input and for norms, and drops it; a second one makes it again for the clipped sum. The
/// other layers keep theirs. Logits never exist as a whole, whether or not the head is trained, under adapters or tied to the
/// token table, and for ordinary gradients too.
///
/// Costs one more product of the head for each time: two for ordinary gradients, three for private ones, one where the head is
/// frozen. Results agree up to rounding. It serves [`crate::loss::linear_cross_entropy`] on the host in single and double
/// precision, which language models use; elsewhere it changes nothing.
///
/// # Examples
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use tape_nn::net::{Gpt, GptConfig, NextToken, Texts};
/// use tape_nn::{Builder, Taped, TwoPass};
/// use tensor_tree::{Differentiable, Key, Pass, Reduction, Tree};
///
/// let builder = Builder::init(Key::from_seed(1), DType::F32, &Device::Cpu);
/// let model = Gpt::new(&GptConfig::new(50, 16, 8, 1, 2), builder.vb())?;
/// let params = builder.into_tree()?;
/// let batch = Texts::from_windows(&Tensor::new(&[[1u32, 7, 3], [4, 4, 9]], &Device::Cpu)?)?;
/// let objective = Taped(TwoPass(NextToken { model, frozen: Tree::new() }));
/// let grad = objective.grad(&params, &batch, Pass::Eval, Reduction::Mean)?;
/// assert!(grad.is_finite()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Source
/// The two backward passes of arXiv 2110.05679, for the head alone.
#[derive(Clone, Debug)]
pub struct TwoPass<L>(pub L);

impl<L: TapeLoss> TapeLoss for TwoPass<L> {
    type Batch = L::Batch;

    fn losses(&self, cx: &Context<'_>, batch: &L::Batch) -> Result<Losses> {
        self.0.losses(cx, batch)
    }

    fn frozen(&self) -> &Tree {
        self.0.frozen()
    }

    fn n_samples(&self, batch: &L::Batch) -> usize {
        self.0.n_samples(batch)
    }

    fn sample_ids<'b>(&self, batch: &'b L::Batch) -> Option<&'b [u64]> {
        self.0.sample_ids(batch)
    }

    fn two_pass_heads(&self) -> bool {
        true
    }

    fn loss_scale(&self) -> Option<f64> {
        self.0.loss_scale()
    }
}

#[cfg(test)]
mod tests;
