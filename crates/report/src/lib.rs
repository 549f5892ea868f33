#![doc = include_str!("../README.md")]

pub mod atomic;
#[cfg(feature = "damage")]
pub mod damage;
mod error;
mod escape;
pub mod figures;
#[cfg(feature = "golden")]
pub mod golden;
#[cfg(feature = "heap")]
pub mod heap;
pub mod html;
#[cfg(feature = "interrupt")]
pub mod interrupt;
pub mod json_lines;
pub mod number;
pub mod plot;
pub mod progress;
pub mod table;

pub use error::{Error, Result};
