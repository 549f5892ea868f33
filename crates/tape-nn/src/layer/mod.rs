//! Layers: they keep names and shapes, take parameters from the [`crate::Context`], and write on its tape.

mod attention;
mod bag;
mod channels;
mod conv;
mod dropout;
mod embedding;
mod gated;
mod group_norm;
pub(crate) mod linear;
pub mod lora;
mod multi_head;
mod norm;
mod pool;
mod recurrent;
mod rotary;

pub use attention::Attention;
pub use bag::{BagMode, EmbeddingBag, embedding_bag};
pub use channels::{Channels, to_channels_first, to_channels_last};
pub use conv::{
    Conv1d, Conv2d, ConvConfig, conv_norm_relu_pool, conv1d, conv1d_no_bias, conv2d, conv2d_no_bias,
};
pub use dropout::Dropout;
pub use embedding::{Embedding, PositionTable, embedding, position_table};
pub use gated::swiglu;
pub use group_norm::{GroupNorm, group_norm, instance_norm};
pub use linear::{Linear, linear, linear_no_bias};
pub use multi_head::{MultiHeadAttention, MultiHeadConfig, multi_head_attention};
pub use norm::{LayerNorm, RmsNorm, layer_norm, layer_norm_no_bias, rms_norm};
pub use pool::{avg_pool2d, global_mean_pool, max_pool2d};
pub use recurrent::{Direction, Gru, Lstm, RecurrentConfig, gru, lstm};
pub use rotary::{Rotary, RotaryOrder, Turn};

/// A model that shows its linear layers, so that adapters can be attached to them.
pub trait Linears {
    /// Calls `f` on each linear layer.
    fn linears_mut(&mut self, f: &mut dyn FnMut(&mut Linear));
}

use candle_core::{DType, Tensor};

use crate::error::{Error, Result};

/// Batch size, positions (product of the middle axes) and width of an input `[batch, ..., width]`.
pub(crate) fn batch_positions_width(
    layer: &str,
    x: &Tensor,
    width: usize,
) -> Result<(usize, usize)> {
    let dims = x.dims();
    if dims.len() < 2 || dims[dims.len() - 1] != width {
        return Err(Error::InputShape {
            layer: layer.to_owned(),
            expected: format!("[batch, .., {width}]"),
            got: dims.to_vec(),
        });
    }
    Ok((dims[0], dims[1..dims.len() - 1].iter().product()))
}

/// Refuses sizes of zero.
pub(crate) fn positive(what: &str, sizes: &[usize]) -> Result<()> {
    if sizes.contains(&0) {
        return Err(Error::InvalidSetting {
            name: what.to_owned(),
            must: "positive",
            got: format!("{sizes:?}"),
        });
    }
    Ok(())
}

/// Whether the fused kernels serve this tensor.
pub(crate) fn is_host(x: &Tensor) -> bool {
    x.device().is_cpu() && matches!(x.dtype(), DType::F32 | DType::F64)
}

/// Calls a function generic over the element type with the type of a host tensor.
macro_rules! by_dtype {
    ($what:literal, $tensor:expr, $f:ident :: <T> ($($arg:expr),* $(,)?)) => {
        match $tensor.dtype() {
            candle_core::DType::F32 => $f::<f32>($($arg),*),
            candle_core::DType::F64 => $f::<f64>($($arg),*),
            other => Err($crate::error::Error::UnsupportedDType { what: $what, got: format!("{other:?}") }),
        }
    };
}
pub(crate) use by_dtype;
