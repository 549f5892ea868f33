//! Tests through the public face of the crate: golden values and properties.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::float_cmp,
    clippy::cast_possible_truncation,
    reason = "a test may stop, and says so when it has nothing to check"
)]

mod data;
mod golden;
mod made;
mod membership;
mod properties;
#[cfg(feature = "tensor")]
mod real;
