//! A network with cross-entropy on its logits.

use candle_core::Tensor;
use tensor_tree::{Losses, Tree};

use crate::context::Context;
use crate::error::Result;
use crate::loss::cross_entropy;
use crate::net::Network;
use crate::objective::TapeLoss;

/// Inputs with their labels.
#[derive(Clone, Debug)]
pub struct LabeledBatch {
    /// `[batch, ..]`.
    pub inputs: Tensor,
    /// Classes as integers, `[batch]` or one for each position.
    pub labels: Tensor,
    /// The samples' numbers in the data set, which key their dropout masks; needed to train with dropout.
    pub sample_ids: Option<Vec<u64>>,
}

impl LabeledBatch {
    /// A batch without sample numbers.
    #[must_use]
    pub fn new(inputs: Tensor, labels: Tensor) -> Self {
        LabeledBatch { inputs, labels, sample_ids: None }
    }

    /// The same with the samples' numbers in the data set.
    #[must_use]
    pub fn with_sample_ids(self, ids: impl IntoIterator<Item = u64>) -> Self {
        LabeledBatch { sample_ids: Some(ids.into_iter().collect()), ..self }
    }
}

/// A network trained as a classifier; put it in [`crate::Taped`] for its gradients.
#[derive(Clone, Debug)]
pub struct Classifier<N> {
    network: N,
    frozen: Tree,
}

impl<N: Network> Classifier<N> {
    /// All parameters of `network` are trainable.
    #[must_use]
    pub fn new(network: N) -> Self {
        Self::with_frozen(network, Tree::new())
    }

    /// The parameters in `frozen` are not trained.
    #[must_use]
    pub fn with_frozen(network: N, frozen: Tree) -> Self {
        Classifier { network, frozen }
    }

    /// The network.
    pub fn network(&self) -> &N {
        &self.network
    }

    /// The logits of a batch, nothing recorded.
    ///
    /// # Errors
    /// As [`Network::forward`].
    pub fn logits(&self, params: &Tree, inputs: &Tensor) -> Result<Tensor> {
        self.network.forward(&Context::eval(params, &self.frozen), inputs)
    }

    /// How many inputs get the largest logit at their label.
    ///
    /// # Errors
    /// As [`Network::forward`].
    pub fn n_correct(&self, params: &Tree, batch: &LabeledBatch) -> Result<usize> {
        let best = self.logits(params, &batch.inputs)?.argmax(candle_core::D::Minus1)?;
        let labels = batch.labels.to_dtype(best.dtype())?;
        let equal = best.eq(&labels)?.flatten_all()?.to_vec1::<u8>()?;
        Ok(equal.into_iter().map(usize::from).sum())
    }
}

impl<N: Network> TapeLoss for Classifier<N> {
    type Batch = LabeledBatch;

    fn losses(&self, cx: &Context<'_>, batch: &LabeledBatch) -> Result<Losses> {
        let inputs = cx.input(&batch.inputs)?;
        cross_entropy(&self.network.forward(cx, &inputs)?, &batch.labels, None)
    }

    fn frozen(&self) -> &Tree {
        &self.frozen
    }

    fn n_samples(&self, batch: &LabeledBatch) -> usize {
        batch.inputs.dims().first().copied().unwrap_or(0)
    }

    fn sample_ids<'b>(&self, batch: &'b LabeledBatch) -> Option<&'b [u64]> {
        batch.sample_ids.as_deref()
    }
}
