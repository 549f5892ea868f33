//! bench-suite

pub mod data;
mod error;

pub use error::{Error, Result};
