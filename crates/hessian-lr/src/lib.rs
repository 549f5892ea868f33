#![doc = include_str!("../README.md")]
#![cfg_attr(
    test,
    allow(
        clippy::float_cmp,
        clippy::cast_possible_truncation,
        reason = "tests compare exact promises exactly, and their numbers are small"
    )
)]

pub mod adapeft;
pub mod controller;
pub mod criterion;
pub mod decision;
#[cfg(feature = "tensor")]
pub mod driver;
mod error;
pub mod fit;
pub mod grouping;
pub mod horizon;
pub mod influence;
#[cfg(feature = "tensor")]
pub mod rival;
pub mod select;
pub mod trace;

pub use error::{Error, Result};
