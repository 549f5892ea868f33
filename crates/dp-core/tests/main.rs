//! Tests through the public face of the crate: golden values and properties.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    reason = "a test may stop, and says so when it has nothing to check"
)]

#[cfg(feature = "tensor")]
mod audit;
#[cfg(feature = "tensor")]
mod battery;
mod brackets;
mod golden;
#[cfg(feature = "tensor")]
mod hyfree;
#[cfg(all(unix, feature = "tensor"))]
mod kill;
#[cfg(feature = "tensor")]
mod mechanism;
mod oracle;
mod properties;
#[cfg(feature = "tensor")]
mod steps;
#[cfg(feature = "tensor")]
mod validation;
