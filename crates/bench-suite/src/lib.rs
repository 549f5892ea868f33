#![doc = include_str!("../README.md")]
#![cfg_attr(
    test,
    allow(clippy::cast_possible_truncation, reason = "the numbers of tests are small")
)]

pub mod accountant;
pub mod autorate;
mod budget;
pub mod config;
pub mod data;
pub mod engine;
mod error;
pub mod filters;
pub mod forgetting;
pub mod hyfree;
pub mod machine;
mod number;
pub mod outcome;
pub mod peers;
pub mod problem;
pub mod session;
pub mod slope;
pub mod task;
pub mod train;

pub use error::{Error, Result};
