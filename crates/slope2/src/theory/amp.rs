//! Approximate message passing for SLOPE on dense designs with independent entries.

use faer::MatRef;

use crate::error::{Result, length, number};
use crate::kernel::{axpy, dot};
use crate::penalty::{L1, Penalty, SortedL1, TwoLevel};

/// A design seen through its two products.
pub trait Products {
    /// Rows and columns.
    fn shape(&self) -> (usize, usize);
    /// `out = X b`.
    fn times(&self, b: &[f64], out: &mut [f64]);
    /// `out = X' r`.
    fn transpose_times(&self, r: &[f64], out: &mut [f64]);
}

impl Products for MatRef<'_, f64> {
    fn shape(&self) -> (usize, usize) {
        (self.nrows(), self.ncols())
    }

    fn times(&self, b: &[f64], out: &mut [f64]) {
        out.fill(0.0);
        for (j, b) in b.iter().enumerate().filter(|(_, b)| **b != 0.0) {
            match self.col(j).try_as_col_major() {
                Some(column) => axpy(*b, column.as_slice(), out),
                None => out.iter_mut().zip(self.col(j).iter()).for_each(|(o, x)| *o += b * x),
            }
        }
    }

    fn transpose_times(&self, r: &[f64], out: &mut [f64]) {
        for (j, out) in out.iter_mut().enumerate() {
            *out = match self.col(j).try_as_col_major() {
                Some(column) => dot(column.as_slice(), r),
                None => self.col(j).iter().zip(r).map(|(x, r)| x * r).sum(),
            };
        }
    }
}

/// A penalty whose proximal map has a known divergence: the number of distinct non-zero magnitudes of its result.
///
/// # Source
/// arXiv 1907.07502, on the divergence of the proximal map.
pub trait DistinctMagnitudes: Penalty {
    /// As [`Penalty::prox`], and returns the divergence there.
    ///
    /// # Errors
    /// As [`Penalty::prox`].
    fn prox_with_divergence(&self, v: &mut [f64], step: f64) -> Result<usize>;
}

impl DistinctMagnitudes for SortedL1 {
    fn prox_with_divergence(&self, v: &mut [f64], step: f64) -> Result<usize> {
        self.prox(v, step)?;
        // Members of a block are one number to the last bit.
        let mut magnitudes: Vec<u64> =
            v.iter().map(|b| b.abs()).filter(|b| 0.0 < *b).map(f64::to_bits).collect();
        magnitudes.sort_unstable();
        magnitudes.dedup();
        Ok(magnitudes.len())
    }
}

impl DistinctMagnitudes for TwoLevel {
    /// Entries outside the cluster move on their own, those inside as one.
    fn prox_with_divergence(&self, v: &mut [f64], step: f64) -> Result<usize> {
        let height = self.prox_with_height(v, step, 0.0)?;
        let rounding = 1e-14 * (step * self.lambda1() + height);
        let flat = |b: f64| 0.0 < height && (b - height).abs() <= rounding;
        let nonzero = v.iter().filter(|b| **b != 0.0).count();
        let members = v.iter().filter(|b| **b != 0.0 && flat(b.abs())).count();
        Ok(nonzero - members + members.min(1))
    }
}

impl DistinctMagnitudes for L1 {
    /// Number of non-zero entries: equal ones move on their own.
    fn prox_with_divergence(&self, v: &mut [f64], step: f64) -> Result<usize> {
        self.prox(v, step)?;
        Ok(v.iter().filter(|b| **b != 0.0).count())
    }
}

/// Approximate message passing with thresholds `alpha |z| / sqrt(n)`, `alpha` being the weights of the penalty given to
/// [`Amp::run`].
///
/// ```text
/// b+ = prox_theta(X' z + b),   z+ = y - X b+ + z K(b+) / n,   theta = alpha |z| / sqrt(n)
/// ```
///
/// The limit minimizes `|y - X b|^2 / 2 + J_lambda(b)` with `lambda = theta (1 - K / n)`, whatever the design, but on
/// designs other than independent entries `N(0, 1/n)` there may be no limit: then the outcome says so.
///
/// # Source
/// arXiv 1907.07502, the algorithm for SLOPE, with the size of the noise measured as `|z| / sqrt(n)` in place of its limit.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Amp {
    /// Iterations at most.
    pub max_iters: usize,
    /// The run ends when an iteration moves the coefficients and the noise by less than this share of their size, or when
    /// the noise is below this share of its start.
    pub tolerance: f64,
}

impl Default for Amp {
    fn default() -> Self {
        Amp { max_iters: 200, tolerance: 1e-10 }
    }
}

/// One iteration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AmpStep {
    /// `|z| / sqrt(n)` that set the thresholds.
    pub tau: f64,
    /// Distinct non-zero magnitudes of the new coefficients.
    pub distinct: usize,
    /// `|b+ - b| / |b+|`.
    pub change: f64,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AmpOutcome {
    /// The coefficients stand still, or fit the response without residual.
    Converged,
    /// The iterations were used up.
    MaxIters,
    /// The noise grew without bound or became no number. The coefficients are those before.
    Diverged,
}

/// The result of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct AmpRun {
    /// The coefficients.
    pub beta: Vec<f64>,
    /// How the run ended.
    pub outcome: AmpOutcome,
    /// All iterations in order.
    pub history: Vec<AmpStep>,
    /// `tau (1 - K / n)` of the last iteration: times `alpha`, the penalties whose minimizer the limit is.
    pub lambda_per_alpha: f64,
}

impl Amp {
    /// Runs from zero.
    ///
    /// # Errors
    /// [`crate::Error::Length`] if sizes do not fit; [`crate::Error::InvalidNumber`] unless `tolerance` is positive.
    pub fn run<P: DistinctMagnitudes>(
        &self,
        x: &impl Products,
        y: &[f64],
        alpha: &P,
    ) -> Result<AmpRun> {
        let (n, p) = x.shape();
        length("response", n, y.len())?;
        length("penalty", p, alpha.len())?;
        number("tolerance", "positive", 0.0 < self.tolerance, self.tolerance)?;
        let rows = n as f64;
        let mut run = AmpRun {
            beta: vec![0.0; p],
            outcome: AmpOutcome::MaxIters,
            history: Vec::new(),
            lambda_per_alpha: 0.0,
        };
        let (mut z, mut next, mut fitted) = (y.to_vec(), vec![0.0; p], vec![0.0; n]);
        let mut tau = norm(&z) / rows.sqrt();
        let start = tau;
        for _ in 0..self.max_iters {
            x.transpose_times(&z, &mut next);
            axpy(1.0, &run.beta, &mut next);
            let Ok(distinct) = alpha.prox_with_divergence(&mut next, tau) else {
                run.outcome = AmpOutcome::Diverged;
                return Ok(run);
            };
            x.times(&next, &mut fitted);
            let memory = distinct as f64 / rows;
            for ((z, y), f) in z.iter_mut().zip(y).zip(&fitted) {
                *z = y - f + memory * *z;
            }
            let moved: f64 = next.iter().zip(&run.beta).map(|(a, b)| (a - b).powi(2)).sum();
            let size = norm(&next);
            let change = if moved == 0.0 { 0.0 } else { moved.sqrt() / size };
            run.history.push(AmpStep { tau, distinct, change });
            let noise = norm(&z) / rows.sqrt();
            if !(noise <= EXPLODED * start && size.is_finite()) {
                run.outcome = AmpOutcome::Diverged;
                return Ok(run);
            }
            run.beta.copy_from_slice(&next);
            run.lambda_per_alpha = tau * (1.0 - memory);
            let still = change <= self.tolerance && (noise - tau).abs() <= self.tolerance * tau;
            if still || noise <= self.tolerance * start {
                run.outcome = AmpOutcome::Converged;
                return Ok(run);
            }
            tau = noise;
        }
        Ok(run)
    }
}

/// Growth of the noise over its start that no run recovers from.
const EXPLODED: f64 = 1e6;

fn norm(v: &[f64]) -> f64 {
    dot(v, v).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_a_cluster_count_once() {
        // At height 1.5: 0.7 - 0.5 = 0.2 below, two members, 5 - 2 above, one zero.
        let v = [0.7, -2.3, 2.7, 5.0, 0.1];
        let two = TwoLevel::new(2.0, 0.5, 2, 5).unwrap();
        assert_eq!(two.prox_with_divergence(&mut v.clone(), 1.0), Ok(3));
        let sorted = SortedL1::new(two.sequence()).unwrap();
        assert_eq!(sorted.prox_with_divergence(&mut v.clone(), 1.0), Ok(3));
        let l1 = L1::new(0.5, 5).unwrap();
        assert_eq!(l1.prox_with_divergence(&mut [2.0, 2.0, -1.0, 0.3, 0.0], 1.0), Ok(3));
        assert_eq!(two.prox_with_divergence(&mut [0.0; 5], 1.0), Ok(0));
    }

    #[test]
    fn products_do_not_depend_on_the_layout() {
        let columns = faer::Mat::from_fn(3, 4, |i, j| (i * 4 + j) as f64);
        let rows = columns.transpose().to_owned();
        let (b, r) = ([1.0, 0.0, -2.0, 0.5], [0.5, -1.0, 2.0]);
        let (mut one, mut two) = (vec![0.0; 3], vec![0.0; 3]);
        columns.as_ref().times(&b, &mut one);
        rows.transpose().times(&b, &mut two);
        assert_eq!(one, two);
        let (mut one, mut two) = (vec![0.0; 4], vec![0.0; 4]);
        columns.as_ref().transpose_times(&r, &mut one);
        rows.transpose().transpose_times(&r, &mut two);
        assert_eq!(one, two);
    }
}
