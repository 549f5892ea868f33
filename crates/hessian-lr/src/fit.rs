//! Parabolas through losses along a direction, from forward passes alone.
//!
//! For a step of length `x` along a direction `d` that is subtracted,
//!
//! ```text
//! L(w - x d) - L(w)  ~  -slope x + curvature x^2 / 2,    slope = G'd,  curvature = d'Hd
//! ```

mod groups;
mod line;

pub use groups::{Diagonal, Quadratic, axis_probes, corner_probes, fit_diagonal, fit_full};
pub use line::{Evidence, Intercept, Parabola, fit};
