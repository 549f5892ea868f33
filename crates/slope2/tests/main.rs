//! Tests through the public face of the crate: golden values and properties.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    clippy::float_cmp,
    reason = "a test may stop, and says so when it has nothing to check"
)]

mod cases;
mod clusters;
mod data;
mod edges;
mod estimator;
mod golden;
mod grids;
mod memory;
mod multinomial;
mod paths;
mod penalties;
mod properties;
#[cfg(feature = "data")]
mod readers;
mod selection;
mod sessions;
mod theory;
mod zones;
