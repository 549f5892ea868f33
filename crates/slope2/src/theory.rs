//! What the fit does when there are many coefficients: state evolution, trade-offs, tuning by formula.
//!
//! The setting throughout: `X` has independent entries `N(0, 1/n)`, `y = X b + w` with independent `w ~ N(0, std^2)`,
//! `n / p -> delta`, the entries of `b` follow a [`Prior`], and the criterion is `|y - X b|^2 / 2 + J(b)` without a factor
//! `1/n`. In the limit each coefficient is seen as `Y = B + tau Z` and estimated by a scalar [`Shrinkage`] of `Y`, and
//! every quantity below is a sum of truncated normal moments: nothing is simulated. Real designs are not like this;
//! what is proposed here starts a search on them and does not end one.

mod amp;
mod best_mse;
mod calibration;
mod designer;
mod normal;
mod prior;
mod root;
mod shrinkage;
mod simplex;
mod state_evolution;
mod trade_off;
mod two_level_curve;

pub use amp::{Amp, AmpOutcome, AmpRun, AmpStep, DistinctMagnitudes, Products};
pub use best_mse::{best_lasso_mse, best_two_level_mse};
pub use calibration::{alpha_for_lambda, lambda_for_alpha};
pub use designer::{Design, Designer};
pub use normal::{density, distribution, quantile, truncated_moments, upper_tail};
pub use prior::{Component, Prior};
pub use shrinkage::Shrinkage;
pub use state_evolution::{FixedPoint, Levels, Setting, state_evolution, trajectory};
pub use trade_off::{DonohoTanner, donoho_tanner, lasso_fdp, lasso_threshold, slope_upper_fdp};
pub use two_level_curve::{TwoLevelPoint, two_level_fdp};
