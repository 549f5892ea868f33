#![doc = include_str!("../README.md")]

pub mod config;
pub mod data;
pub mod engine;
mod error;
pub mod interrupt;
pub mod machine;
pub mod outcome;
pub mod peers;
pub mod problem;
pub mod session;
pub mod task;
pub mod train;

pub use error::{Error, Result};
