//! Tests of the program: what it writes, what it refuses, and what it leaves behind.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::float_cmp,
    reason = "a test may stop, and says so when it has nothing to check"
)]

mod bad_input;
mod edges;
mod epsilon;
mod expression;
mod fits;
mod golden;
mod kills;
mod predictions;
mod program;
mod readme;
mod resuming;
mod tradeoff;
mod train;
mod unlearn;
