//! Rates from private losses.

mod budget;
mod controller;
#[cfg(feature = "tensor")]
mod driver;
#[cfg(feature = "tensor")]
mod guarantee;
mod normals;
#[cfg(feature = "tensor")]
pub(crate) mod polynomial;
