#![doc = include_str!("../README.md")]
#![cfg_attr(
    test,
    allow(
        clippy::float_cmp,
        clippy::cast_possible_truncation,
        reason = "tests compare exact promises exactly, and their numbers are small"
    )
)]

// Of numbers and texts alone.
pub mod auto_rate;
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
pub mod whp;

// Of models.
#[cfg(feature = "tensor")]
pub mod batch;
#[cfg(feature = "tensor")]
pub mod exam;
#[cfg(feature = "tensor")]
pub mod feed;
#[cfg(feature = "tensor")]
pub mod loss;
#[cfg(feature = "tensor")]
pub mod method;
#[cfg(feature = "tensor")]
pub mod prepare;
#[cfg(feature = "tensor")]
pub mod robust;
#[cfg(feature = "tensor")]
pub mod run;
#[cfg(feature = "tensor")]
pub mod task_vector;
#[cfg(feature = "tensor")]
pub mod text;
#[cfg(feature = "tensor")]
pub mod total;
#[cfg(feature = "tensor")]
pub mod trained;

pub use error::{Error, Result};
pub use score::{Definition, Score};
