#![doc = include_str!("../README.md")]

pub mod penalty;
pub mod theory;

mod error;
mod kernel;

pub use error::{Error, Result};
pub use penalty::{DualNorm, L1, Penalty, SortedL1, TwoLevel};
