//! Fits without a penalty on a few columns: least squares, and Newton's method with it for other families.

use faer::Mat;

use crate::datafit::Datafit;

/// An unpenalized fit.
#[derive(Clone, Debug)]
pub(super) struct Refit {
    /// One coefficient for each column.
    pub(super) coefficients: Vec<f64>,
    /// `sum_j b_j x_j`.
    pub(super) eta: Vec<f64>,
    /// Number of columns that say something of their own.
    pub(super) rank: usize,
    /// Whether the last step changed nothing any more.
    pub(super) settled: bool,
}

/// Most steps of Newton's method; one suffices for Gaussian responses.
const MOST_STEPS: usize = 100;

/// Minimizes the loss over combinations of `columns`, from zero. Where columns depend on each other, steps are the shortest
/// of all.
///
/// # Source
/// McCullagh and Nelder: iterated reweighted least squares, with halved steps where the loss would rise.
pub(super) fn refit(datafit: &Datafit<'_>, columns: &[Vec<f64>]) -> Refit {
    let n = datafit.y().len();
    let mut fit = Refit {
        coefficients: vec![0.0; columns.len()],
        eta: vec![0.0; n],
        rank: 0,
        settled: false,
    };
    let mut value = datafit.value(&fit.eta);
    let (mut pull, mut omega) = (vec![0.0; n], vec![0.0; n]);
    let quadratic = datafit.loss().is_quadratic();
    for _ in 0..MOST_STEPS {
        datafit.pull(&fit.eta, &mut pull);
        datafit.curvature(&fit.eta, &mut omega);
        let Some((step, rank)) = newton(columns, &pull, &omega) else { return fit };
        fit.rank = rank;
        let mut along = vec![0.0; n];
        for (column, step) in columns.iter().zip(&step) {
            crate::kernel::axpy(*step, column, &mut along);
        }
        let mut length = 1.0;
        let (eta, next) = loop {
            let eta: Vec<f64> = fit.eta.iter().zip(&along).map(|(e, a)| e + length * a).collect();
            let next = datafit.value(&eta);
            // Also true where rounding is all that is left.
            if next <= value + 1e-14 * value.abs() || length < 1e-10 {
                break (eta, next);
            }
            length *= 0.5;
        };
        fit.coefficients.iter_mut().zip(&step).for_each(|(b, s)| *b += length * s);
        fit.eta = eta;
        let fell = value - next;
        value = next;
        if quadratic || fell <= 1e-15 * value.abs() {
            fit.settled = true;
            break;
        }
    }
    fit
}

/// The shortest minimizer of `sum_i omega_i (pull_i / omega_i - (X s)_i)^2`, and the rank of the weighted columns.
fn newton(columns: &[Vec<f64>], pull: &[f64], omega: &[f64]) -> Option<(Vec<f64>, usize)> {
    let (n, m) = (pull.len(), columns.len());
    if m == 0 {
        return Some((Vec::new(), 0));
    }
    let root: Vec<f64> = omega.iter().map(|o| o.sqrt()).collect();
    let weighted = Mat::from_fn(n, m, |i, j| root[i] * columns[j][i]);
    let svd = weighted.thin_svd().ok()?;
    let (u, v) = (svd.U(), svd.V());
    let sizes = svd.S().column_vector();
    let small = sizes[0] * f64::EPSILON * n.max(m) as f64;
    let mut step = vec![0.0; m];
    let mut rank = 0;
    for r in (0..sizes.nrows()).filter(|r| small < sizes[*r]) {
        rank += 1;
        // Rows without weight have no pull.
        let part: f64 =
            (0..n).filter(|i| 0.0 < root[*i]).map(|i| u[(i, r)] * pull[i] / root[i]).sum();
        (0..m).for_each(|j| step[j] += v[(j, r)] * part / sizes[r]);
    }
    Some((step, rank))
}
