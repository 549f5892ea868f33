#![doc = include_str!("../README.md")]
#![cfg_attr(
    test,
    allow(
        clippy::float_cmp,
        clippy::cast_possible_truncation,
        reason = "tests compare exact promises exactly, and their numbers are small"
    )
)]

mod classifier;
mod context;
mod error;
pub mod generate;
mod graph;
mod head;
mod kernel;
pub mod layer;
pub mod load;
pub mod loss;
pub mod net;
mod objective;
mod param;
pub mod rebuilt;
mod record;
pub mod select;
mod tape;
#[cfg(test)]
mod testing;

pub use classifier::{Classifier, LabeledBatch};
pub use context::Context;
pub use error::{Error, Result};
pub use kernel::activation::Activation;
pub use layer::Linears;
pub use layer::lora::{self, Adapter, LoraConfig};
pub use layer::{
    Attention, LayerNorm, MultiHeadAttention, MultiHeadConfig, RmsNorm, Rotary, RotaryOrder,
    layer_norm, layer_norm_no_bias, multi_head_attention, rms_norm, swiglu,
};
pub use layer::{
    BagMode, Dropout, Embedding, EmbeddingBag, Linear, PositionTable, embedding, embedding_bag,
    linear, linear_no_bias, position_table,
};
pub use layer::{
    Channels, Conv1d, Conv2d, ConvConfig, GroupNorm, avg_pool2d, conv_norm_relu_pool, conv1d,
    conv1d_no_bias, conv2d, conv2d_no_bias, global_mean_pool, group_norm, instance_norm,
    max_pool2d, to_channels_first, to_channels_last,
};
pub use layer::{Direction, Gru, Lstm, RecurrentConfig, gru, lstm};
pub use objective::{MixedPrecision, TapeLoss, Taped, TwoPass};
pub use param::{Builder, Param};
pub use record::TapeGrads;
pub use tape::Tape;
