//! Tests through the public face of the crate: golden values, properties and guarantees.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::float_cmp,
    clippy::cast_possible_truncation,
    reason = "a test may stop, compares exact promises exactly, and its numbers are small"
)]

mod adam;
mod disk;
mod filters;
mod golden;
mod low_pass;
mod networks;
mod noise;
mod resume;
mod sensitivity;
mod support;
