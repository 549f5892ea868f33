#![doc = include_str!("../README.md")]

mod context;
mod error;
mod graph;
mod kernel;
pub mod layer;
pub mod loss;
mod objective;
mod param;
mod record;
mod tape;

pub use context::Context;
pub use error::{Error, Result};
pub use kernel::activation::Activation;
pub use layer::{
    Dropout, Embedding, Linear, PositionTable, embedding, linear, linear_no_bias, position_table,
};
pub use objective::{TapeLoss, Taped};
pub use param::{Builder, Param};
pub use record::TapeGrads;
pub use tape::Tape;
