#![doc = include_str!("../README.md")]
#![cfg_attr(
    test,
    allow(
        clippy::float_cmp,
        clippy::cast_possible_truncation,
        reason = "tests compare exact promises exactly, and their numbers are small"
    )
)]

pub mod data;
pub mod direction;
mod error;
mod line;
pub mod made;
pub mod metric;
pub mod multiple_choice;
pub mod objective;
pub mod row;
pub mod score;

pub use error::{Error, Result};
pub use score::{Definition, Score};
