//! The tests of the public face, in one binary.

// Helpers of tests fail by panicking, and say on stderr which data they did not find.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod autorate;
mod data;
mod filters;
mod forgetting;
mod hyfree;
mod train;
