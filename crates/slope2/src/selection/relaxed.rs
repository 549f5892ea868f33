//! The relaxed fit: between the penalized solution and the fit without a penalty that has the same pattern.

use super::refit::refit;
use crate::error::{Result, length, number};
use crate::pattern::clusters;
use crate::problem::{Problem, Solution};

/// A relaxed fit, for the columns as they were fitted.
#[derive(Clone, Debug, PartialEq)]
pub struct Relaxed {
    /// The intercept, 0 if there is none.
    pub intercept: f64,
    /// The coefficients.
    pub coefficients: Vec<f64>,
    /// Whether the fit without a penalty was found. Without it, as for classes that a plane separates, coefficients may be of
    /// any size.
    pub settled: bool,
}

/// `gamma b + (1 - gamma) b_free`: each cluster of `solution` is one column, the sum of its members with their signs, and
/// `b_free` fits these columns without a penalty.
///
/// # Errors
/// [`crate::Error::InvalidNumber`] unless `gamma` is between 0 and 1; [`crate::Error::Length`] if the solution is not one of
/// this problem; [`crate::Error::NeedsColumns`] for a design known by its products; [`crate::Error::Response`] for several classes.
///
/// # Source
/// Meinshausen 2007, in the form of Hastie et al., arXiv 1707.08692, applied to clusters.
pub fn relaxed<P>(problem: &Problem<'_, P>, solution: &Solution, gamma: f64) -> Result<Relaxed> {
    number("gamma", "between 0 and 1", (0.0..=1.0).contains(&gamma), gamma)?;
    let (n, p) = (problem.design.n_rows(), problem.design.n_cols());
    length("coefficients", p, solution.coefficients.len())?;
    if !problem.design.has_columns() {
        return Err(crate::Error::NeedsColumns);
    }
    if 1 < problem.datafit.n_predictors() {
        return Err(crate::Error::Response("a relaxed fit has one linear predictor"));
    }
    let clusters = clusters(&solution.coefficients);
    let mut columns: Vec<Vec<f64>> = clusters
        .iter()
        .map(|cluster| {
            let mut column = vec![0.0; n];
            problem.design.add_columns(cluster.members.iter().copied(), &mut column);
            column
        })
        .collect();
    if problem.intercept {
        columns.push(vec![1.0; n]);
    }
    let free = refit(&problem.datafit, &columns);
    let mix = |penalized: f64, free: f64| gamma * penalized + (1.0 - gamma) * free;
    let mut coefficients = vec![0.0; p];
    for (cluster, height) in clusters.iter().zip(&free.coefficients) {
        for (j, sign) in &cluster.members {
            coefficients[*j] = mix(solution.coefficients[*j], sign * height);
        }
    }
    let free_intercept = free.coefficients.get(clusters.len()).copied().unwrap_or(0.0);
    let intercept = mix(solution.intercept(), free_intercept);
    Ok(Relaxed { intercept, coefficients, settled: free.settled })
}
