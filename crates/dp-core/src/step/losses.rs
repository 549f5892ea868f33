//! Noisy losses on the batch of a private gradient, paid for together with it.

use candle_core::{DType, Device, Tensor};
use tensor_tree::{Collective, Key, Label, Losses, Objective, Pass, Tree};

use crate::losses::{ClippedLosses, LossClip, LossMechanism};
use crate::{Error, ExpectedBatchSize, Result};

/// The right to so many noisy losses on one batch, at parameters that may be chosen after its gradient and after each other.
///
/// [`crate::PrivateStep::run_with_losses`] makes it, after it has charged all of these losses and the gradient as one event.
///
/// # Privacy
/// Holds the batch and the losses of its samples; shows neither. The objective must be that of the step: its losses, like its
/// gradients, may depend on one sample each. The bound of the losses may depend on everything that was released before,
/// since the noise is scaled with it.
///
/// ```compile_fail,E0277
/// fn twice<T: Clone>() {}
/// twice::<dp_core::PrivateLosses<()>>();
/// ```
///
/// ```compile_fail,E0616
/// fn look(losses: &dp_core::PrivateLosses<()>) -> &[f64] {
///     &losses.first.losses
/// }
/// ```
pub struct PrivateLosses<B> {
    parts: Vec<B>,
    first: First,
    pass: Pass,
    mechanism: LossMechanism,
    divisor: ExpectedBatchSize,
    noise: Key,
    charged: u64,
    released: u64,
}

/// What the gradient left behind: losses of all samples at its first point.
pub(super) struct First {
    pub(super) params: Tree,
    pub(super) losses: Vec<f64>,
}

/// How losses of one batch are released.
pub(super) struct Terms {
    pub(super) pass: Pass,
    pub(super) mechanism: LossMechanism,
    pub(super) divisor: ExpectedBatchSize,
    pub(super) noise: Key,
    pub(super) charged: u64,
}

impl<B> std::fmt::Debug for PrivateLosses<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PrivateLosses").field("left", &self.left()).finish_non_exhaustive()
    }
}

impl<B> PrivateLosses<B> {
    pub(super) fn new(parts: Vec<B>, first: First, terms: Terms) -> Self {
        let Terms { pass, mechanism, divisor, noise, charged } = terms;
        PrivateLosses { parts, first, pass, mechanism, divisor, noise, charged, released: 0 }
    }

    /// How many more may be released.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.charged - self.released
    }

    /// The private loss of the batch at `params`: the sum of its clipped losses and noise, over the expected batch size.
    ///
    /// At the tensors that the gradient was taken at first, losses are at hand and nothing is computed. Dropout has the masks of the
    /// gradient.
    ///
    /// # Privacy
    /// One of the losses that were charged with the gradient. Each has noise of its own.
    ///
    /// # Errors
    /// [`Error::LossesSpent`] if all have been released; those of the objective, after which the loss may be asked for again.
    ///
    /// # Source
    /// arXiv 2503.00703, the privatized loss.
    pub fn release<O: Objective<Batch = B>>(
        &mut self,
        objective: &O,
        params: &Tree,
        clip: LossClip,
        group: &impl Collective,
    ) -> Result<f64> {
        if self.left() == 0 {
            return Err(Error::LossesSpent { charged: self.charged });
        }
        let mut sum = ClippedLosses::empty(clip);
        if params.shares_tensors(&self.first.params) {
            sum = sum.with(&self.first.losses);
        } else {
            for part in &self.parts {
                sum = sum.with(&each(&objective.losses(params, part, self.pass)?)?);
            }
        }
        let sum = sum.all_reduce(group)?;
        let noise = self.noise.child(Label::Step(self.released));
        self.released += 1;
        Ok(self.mechanism.privatize(sum, standard_normal(noise)?)? / self.divisor.get())
    }
}

fn standard_normal(key: Key) -> tensor_tree::Result<f64> {
    let like = Tensor::zeros(1, DType::F64, &Device::Cpu)?;
    Ok(key.normal_like(&like)?.to_vec1::<f64>()?.iter().sum())
}

/// The mean loss of each sample.
pub(super) fn each(losses: &Losses) -> Result<Vec<f64>> {
    let each = losses.per_sample()?.to_dtype(DType::F64).and_then(|each| each.to_vec1::<f64>());
    Ok(each.map_err(tensor_tree::Error::from)?)
}
