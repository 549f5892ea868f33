#![doc = include_str!("../README.md")]
#![cfg_attr(
    test,
    allow(
        clippy::float_cmp,
        clippy::cast_possible_truncation,
        reason = "tests compare exact promises exactly, and their numbers are small"
    )
)]

mod error;
#[cfg(feature = "tensor")]
pub mod rival;
pub mod select;

pub use error::{Error, Result};
