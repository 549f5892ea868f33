//! Networks made of the layers of this crate, under the names that published weights use.

mod cache;
mod cnn;
mod gpt;
mod language;
mod llama;
mod mlp;
mod next_token;
mod token_scores;

pub use cache::Cache;
pub use cnn::{Cnn, CnnConfig};
pub use gpt::{Gpt, GptConfig};
pub use language::LanguageModel;
pub use llama::{Llama, LlamaConfig};
pub use mlp::Mlp;
pub use next_token::{IGNORED, NextToken, Texts};
pub use token_scores::{TokenScore, token_scores};

use candle_core::Tensor;

use crate::context::Context;
use crate::error::{Error, Result};

/// A network from inputs to logits.
pub trait Network: Send + Sync {
    /// The logits of a batch.
    ///
    /// # Shapes
    /// `x` is `[batch, ..]`, the result `[batch, .., classes]`.
    ///
    /// # Errors
    /// If the input does not fit, or a parameter is missing.
    fn forward(&self, cx: &Context<'_>, x: &Tensor) -> Result<Tensor>;
}

impl<N: Network + ?Sized> Network for Box<N> {
    fn forward(&self, cx: &Context<'_>, x: &Tensor) -> Result<Tensor> {
        (**self).forward(cx, x)
    }
}

/// Samples as rows of `width` elements.
fn flattened(what: &str, x: &Tensor, width: usize) -> Result<Tensor> {
    match x.dims() {
        [n, rest @ ..] if !rest.is_empty() && rest.iter().product::<usize>() == width => {
            Ok(x.reshape((*n, width))?)
        }
        dims => Err(Error::InputShape {
            layer: what.into(),
            expected: format!("[batch, ..] with {width} elements a sample"),
            got: dims.to_vec(),
        }),
    }
}

#[cfg(test)]
mod tests;
