//! What language models have in common.

use candle_core::Tensor;
use candle_nn::{Init, VarBuilder};
use tensor_tree::Tree;

use super::Cache;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::layer::{Linear, Linears};
use crate::param::Param;

/// A causal language model: a stream of vectors, one for each token, that blocks add to.
///
/// # Shapes
/// Ids are integers `[batch, t]`.
pub trait LanguageModel: Linears + Send + Sync {
    /// Number of tokens.
    fn vocab_size(&self) -> usize;

    /// Most positions that a text may have.
    fn positions(&self) -> usize;

    /// Number of blocks.
    fn n_blocks(&self) -> usize;

    /// The linear map from hidden states to logits, for losses that fuse it.
    fn head(&self) -> &Linear;

    /// The stream `[batch, t, width]` after the embedding and the first `n_blocks` blocks.
    ///
    /// With a cache, the ids follow the cached ones, and each block hands its keys and values to
    /// [`Cache::extend`]; the cache counts them only once its user says so.
    ///
    /// # Errors
    /// If ids are no tokens, there are too many, or a parameter is missing.
    fn stream(
        &self,
        cx: &Context<'_>,
        ids: &Tensor,
        n_blocks: usize,
        cache: Option<&mut Cache>,
    ) -> Result<Tensor>;

    /// The last norm, which makes hidden states of the stream.
    ///
    /// # Errors
    /// If the shape does not fit or a parameter is missing.
    fn last_norm(&self, cx: &Context<'_>, stream: &Tensor) -> Result<Tensor>;

    /// The hidden states `[batch, t, width]` that the head reads.
    ///
    /// # Errors
    /// As [`LanguageModel::stream`].
    fn hidden(&self, cx: &Context<'_>, ids: &Tensor) -> Result<Tensor> {
        self.last_norm(cx, &self.stream(cx, ids, self.n_blocks(), None)?)
    }

    /// The logits `[batch, t, vocab_size]`.
    ///
    /// # Errors
    /// As [`LanguageModel::stream`].
    fn logits(&self, cx: &Context<'_>, ids: &Tensor) -> Result<Tensor> {
        self.head().forward(cx, &self.hidden(cx, ids)?)
    }

    /// An empty cache for this model.
    fn cache(&self) -> Cache {
        Cache::new(self.n_blocks())
    }

    /// Reads ids that follow those in the cache, and gives the logits `[batch, vocab_size]` of the last one.
    ///
    /// # Errors
    /// As [`LanguageModel::stream`], and if there are no ids or the batch is another than before. The cache is
    /// then as before.
    fn step(
        &self,
        trainable: &Tree,
        frozen: &Tree,
        ids: &Tensor,
        cache: &mut Cache,
    ) -> Result<Tensor> {
        let cx = Context::eval(trainable, frozen);
        let (_, t) = batch_and_length("language model", ids)?;
        if t == 0 {
            return Err(Error::InputShape {
                layer: "language model".into(),
                expected: "[batch, t] with at least one id".into(),
                got: ids.dims().to_vec(),
            });
        }
        let stream = self.stream(&cx, ids, self.n_blocks(), Some(cache))?;
        let last = self.last_norm(&cx, &stream.narrow(1, t - 1, 1)?.contiguous()?)?;
        let logits = self.head().forward(&cx, &last)?.squeeze(1)?;
        cache.advance(t);
        Ok(logits)
    }
}

impl<M: Linears + ?Sized> Linears for Box<M> {
    fn linears_mut(&mut self, f: &mut dyn FnMut(&mut Linear)) {
        (**self).linears_mut(f);
    }
}

impl<M: LanguageModel + ?Sized> LanguageModel for Box<M> {
    fn vocab_size(&self) -> usize {
        (**self).vocab_size()
    }

    fn positions(&self) -> usize {
        (**self).positions()
    }

    fn n_blocks(&self) -> usize {
        (**self).n_blocks()
    }

    fn head(&self) -> &Linear {
        (**self).head()
    }

    fn stream(
        &self,
        cx: &Context<'_>,
        ids: &Tensor,
        n_blocks: usize,
        cache: Option<&mut Cache>,
    ) -> Result<Tensor> {
        (**self).stream(cx, ids, n_blocks, cache)
    }

    fn last_norm(&self, cx: &Context<'_>, stream: &Tensor) -> Result<Tensor> {
        (**self).last_norm(cx, stream)
    }
}

/// Batch size and length of ids.
pub(super) fn batch_and_length(layer: &str, ids: &Tensor) -> Result<(usize, usize)> {
    match *ids.dims() {
        [batch, t] => Ok((batch, t)),
        _ => Err(Error::InputShape {
            layer: layer.to_owned(),
            expected: "[batch, t]".into(),
            got: ids.dims().to_vec(),
        }),
    }
}

/// A linear map whose weight starts as normals of deviation `std` and whose bias starts at zero.
pub(super) fn normal_linear(
    sizes: (usize, usize),
    biased: bool,
    std: f64,
    vb: &VarBuilder<'_>,
) -> Result<Linear> {
    let (inputs, outputs) = sizes;
    let init = Init::Randn { mean: 0.0, stdev: std };
    let weight = Param::new(vb, "weight", &[outputs, inputs], init)?;
    let bias =
        if biased { Some(Param::new(vb, "bias", &[outputs], Init::Const(0.0))?) } else { None };
    Ok(Linear::new(weight, bias))
}

/// Refuses sizes of zero and sizes whose products could overflow.
pub(super) fn check_sizes(sizes: &[(&str, usize)]) -> Result<()> {
    match sizes.iter().find(|(_, size)| !(1..=1 << 24).contains(size)) {
        None => Ok(()),
        Some((name, size)) => Err(Error::InvalidSetting {
            name: (*name).to_owned(),
            must: "between 1 and 2^24",
            got: size.to_string(),
        }),
    }
}
