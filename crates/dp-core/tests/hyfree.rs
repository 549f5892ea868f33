//! Rates from private losses.

#![allow(clippy::float_cmp, reason = "exact promises are compared exactly")]

mod budget;
mod controller;
#[cfg(feature = "tensor")]
mod driver;
#[cfg(feature = "tensor")]
mod guarantee;
mod normals;
#[cfg(feature = "tensor")]
pub(crate) mod polynomial;
