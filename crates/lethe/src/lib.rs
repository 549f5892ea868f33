#![doc = include_str!("../README.md")]

pub mod command;
mod error;

pub use error::{Error, Result};
