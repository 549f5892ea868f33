//! Networks made of the layers of this crate.

use candle_core::Tensor;

use crate::context::Context;
use crate::error::Result;

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
