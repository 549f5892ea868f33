//! Rates from private losses.

#![allow(clippy::float_cmp, reason = "exact promises are compared exactly")]

mod budget;
mod controller;
mod driver;
mod guarantee;
mod normals;
pub(crate) mod polynomial;
