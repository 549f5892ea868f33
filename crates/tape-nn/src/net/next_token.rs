//! The objective of language models.

use candle_core::Tensor;
use tensor_tree::{Losses, Tree};

use super::LanguageModel;
use super::language::batch_and_length;
use crate::context::Context;
use crate::error::Result;
use crate::loss::linear_cross_entropy;
use crate::objective::TapeLoss;

/// Label of a position that does not count, as in Hugging Face's code.
pub const IGNORED: i64 = -100;

/// A batch of texts.
#[derive(Clone, Debug)]
pub struct Texts {
    /// Tokens read, integers `[batch, t]`.
    pub ids: Tensor,
    /// The token to be predicted at each position, integers `[batch, t]`; [`IGNORED`] where none counts.
    pub labels: Tensor,
    /// The texts' numbers in the data set, which key their dropout masks; needed to train with dropout.
    pub sample_ids: Option<Vec<u64>>,
}

impl Texts {
    /// Each text's first tokens as input and its last ones as labels: windows `[batch, t + 1]` of ids.
    ///
    /// # Errors
    /// If `windows` is not `[batch, t + 1]`.
    pub fn from_windows(windows: &Tensor) -> Result<Self> {
        let (_, length) = batch_and_length("texts", windows)?;
        let t = length.saturating_sub(1);
        let ids = windows.narrow(1, 0, t)?.contiguous()?;
        let labels = windows.narrow(1, length - t, t)?.contiguous()?;
        Ok(Texts { ids, labels, sample_ids: None })
    }

    /// The same with the texts' numbers in the data set.
    #[must_use]
    pub fn with_sample_ids(self, ids: impl IntoIterator<Item = u64>) -> Self {
        Texts { sample_ids: Some(ids.into_iter().collect()), ..self }
    }
}

/// Cross-entropy of a model's next token: per text the sum over its positions, and how many counted.
#[derive(Clone, Debug)]
pub struct NextToken<M> {
    /// The model.
    pub model: M,
    /// Its parameters that are not trained.
    pub frozen: Tree,
}

impl<M: LanguageModel> TapeLoss for NextToken<M> {
    type Batch = Texts;

    fn losses(&self, cx: &Context<'_>, batch: &Texts) -> Result<Losses> {
        let hidden = self.model.hidden(cx, &batch.ids)?;
        linear_cross_entropy(cx, self.model.head(), &hidden, &batch.labels, Some(IGNORED))
    }

    fn frozen(&self) -> &Tree {
        &self.frozen
    }

    fn n_samples(&self, batch: &Texts) -> usize {
        batch.ids.dims().first().copied().unwrap_or(0)
    }

    fn sample_ids<'b>(&self, batch: &'b Texts) -> Option<&'b [u64]> {
        batch.sample_ids.as_deref()
    }
}
