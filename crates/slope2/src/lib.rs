#![doc = include_str!("../README.md")]
#![allow(
    clippy::float_cmp,
    reason = "zones are exact: a member of the cluster has the very bits of the height"
)]

pub mod certificate;
#[cfg(feature = "data")]
pub mod data;
pub mod datafit;
pub mod design;
pub mod estimator;
pub mod grid;
pub mod observations;
pub mod path;
pub mod pattern;
pub mod penalty;
pub mod problem;
pub mod selection;
pub mod sequence;
pub mod solver;
pub mod theory;

mod error;
mod kernel;
mod progress;

pub use certificate::{Certificate, certify};
pub use datafit::{Binomial, Datafit, Family, Gaussian, Loss, LossScale, Poisson};
pub use design::{Center, Design, Operator, Scale};
pub use error::{Error, FoldPart, Result};
pub use estimator::{Fitted, Slope2};
pub use grid::{Cell, Grid, GridSettings};
pub use observations::{Observations, Preparation};
pub use path::{Alphas, Path, PathEnd, PathPoint, PathSettings};
pub use pattern::{Cluster, clusters, n_clusters};
pub use penalty::{DualNorm, L1, Penalty, Shape, SortedL1, TwoLevel};
pub use problem::{Problem, Report, Solution, Termination};
pub use progress::{Progress, Silent};
pub use solver::{ClusterDescent, Fista, Session, Solver, Start, ZoneDescent};
