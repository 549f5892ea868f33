//! The benchmark of `slope2`: simulated designs in files, work to do on them, and processes that do it.
//!
//! A measuring process, ours or a peer's in Python, reads a design from a folder, does one piece of work for each line it
//! reads, and answers with process CPU time, wall time and memory. Coefficients come back in a file, and the duality gap is
//! computed from them by [`slope2::certify`] alone, whoever found them.

pub mod choose;
pub mod data;
pub mod peers;
pub mod simulate;
pub mod work;
pub mod worker;

use std::time::Duration;

/// The gap that every solution must have: the true one, over all features, relative to the objective.
pub const GAP: f64 = 1e-6;

/// How long one piece of work may take before it is given up.
pub const LIMIT: Duration = Duration::from_secs(300);
