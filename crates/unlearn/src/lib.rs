#![doc = include_str!("../README.md")]
#![cfg_attr(
    test,
    allow(
        clippy::float_cmp,
        clippy::cast_possible_truncation,
        reason = "tests compare exact promises exactly, and their numbers are small"
    )
)]

pub mod auto_rate;
#[cfg(feature = "tensor")]
pub mod batch;
pub mod data;
pub mod direction;
mod error;
#[cfg(feature = "tensor")]
pub mod loss;
#[cfg(feature = "tensor")]
pub mod method;
pub mod metric;
pub mod multiple_choice;
pub mod objective;
pub mod score;
#[cfg(feature = "tensor")]
pub mod text;

pub use error::{Error, Result};
pub use score::{Definition, Score};
