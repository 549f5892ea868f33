//! Several directions at once, one per group of parameters.

use faer::linalg::solvers::Solve;
use faer::{Mat, Side};

use crate::error::{Error, Result};

/// Steps for each group on its own, the others at rest: a row of zeros, then `multipliers[j] * scales[k]` in place `k` for each
/// group and each multiplier but 0.
///
/// Parabolas along these are exact for every quadratic loss, whatever couples the groups.
///
/// # Shapes
/// `[1 + K m][K]` for `K` groups and `m` multipliers.
///
/// # Source
/// Our reading of arXiv 2501.06954, which counts `4 K + 1` forward passes and does not say where they are: the multipliers
/// -2, -1, 1, 2.
#[must_use]
pub fn axis_probes(scales: &[f64], multipliers: &[f64]) -> Vec<Vec<f64>> {
    let mut probes = vec![vec![0.0; scales.len()]];
    for (k, scale) in scales.iter().enumerate() {
        for multiplier in multipliers.iter().filter(|m| **m != 0.0) {
            let mut probe = vec![0.0; scales.len()];
            probe[k] = multiplier * scale;
            probes.push(probe);
        }
    }
    probes
}

/// The four corners `(+-scales[k], +-scales[l])` of each pair `k < l`: `2 K (K - 1)` steps, in the order `++, +-, -+, --`.
#[must_use]
pub fn corner_probes(scales: &[f64]) -> Vec<Vec<f64>> {
    let mut probes = Vec::new();
    for k in 0..scales.len() {
        for l in k + 1..scales.len() {
            for (a, b) in [(1.0, 1.0), (1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0)] {
                let mut probe = vec![0.0; scales.len()];
                probe[k] = a * scales[k];
                probe[l] = b * scales[l];
                probes.push(probe);
            }
        }
    }
    probes
}

/// A quadratic model without coupling, fitted to steps in any direction.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagonal {
    /// Slopes, one for each group.
    pub slope: Vec<f64>,
    /// Curvatures.
    pub curvature: Vec<f64>,
    /// Largest over smallest singular value of the scaled equations.
    pub condition: f64,
}

/// Least squares of `differences[j] ~ sum_k -b_k x_jk + a_k x_jk^2 / 2` over steps `x_j`; differences are those from the loss at 0.
///
/// What couples groups is taken for noise: with it the answer can be far from the curvatures, and is exact only without.
///
/// # Errors
/// [`Error::Length`] if lists do not fit together; [`Error::RankDeficient`] with the groups that the steps do not tell apart.
///
/// # Source
/// arXiv 2501.06954, first version: `4 K` perturbations and a diagonal quadratic.
pub fn fit_diagonal(probes: &[Vec<f64>], differences: &[f64]) -> Result<Diagonal> {
    let equations = Equations::of(probes, differences, false)?;
    let (solved, condition) = equations.solve()?;
    let k = equations.scales.len();
    Ok(Diagonal { slope: solved[..k].to_vec(), curvature: solved[k..2 * k].to_vec(), condition })
}

/// The same with all products of two groups.
///
/// # Errors
/// As [`fit_diagonal`].
pub fn fit_full(probes: &[Vec<f64>], differences: &[f64]) -> Result<Quadratic> {
    let equations = Equations::of(probes, differences, true)?;
    let (solved, _) = equations.solve()?;
    let k = equations.scales.len();
    let mut curvature = vec![vec![0.0; k]; k];
    for (([i, j], _), value) in equations.columns.iter().zip(&solved).skip(k) {
        curvature[*i][*j] = *value;
        curvature[*j][*i] = *value;
    }
    Ok(Quadratic { slope: solved[..k].to_vec(), curvature })
}

/// Linear equations for slopes, curvatures and couplings of steps that are scaled by group.
struct Equations {
    matrix: Mat<f64>,
    right: Vec<f64>,
    scales: Vec<f64>,
    /// The groups of each column, and what its solution is multiplied by.
    columns: Vec<([usize; 2], f64)>,
}

impl Equations {
    fn of(probes: &[Vec<f64>], differences: &[f64], coupled: bool) -> Result<Self> {
        let n = probes.len();
        if n != differences.len() {
            return Err(Error::Length {
                name: "probe losses",
                expected: n,
                got: differences.len(),
            });
        }
        let k = probes.first().map_or(0, Vec::len);
        if let Some(bad) = probes.iter().find(|probe| probe.len() != k) {
            return Err(Error::Length { name: "rates of a probe", expected: k, got: bad.len() });
        }
        let scales: Vec<f64> =
            (0..k).map(|k| probes.iter().fold(0.0f64, |h, x| h.max(x[k].abs()))).collect();
        let safe = |k: usize| if 0.0 < scales[k] { scales[k] } else { 1.0 };
        let mut columns: Vec<([usize; 2], f64)> = (0..k).map(|i| ([i, i], 1.0 / safe(i))).collect();
        columns.extend((0..k).map(|i| ([i, i], 1.0 / safe(i) / safe(i))));
        if coupled {
            let pairs = (0..k).flat_map(|i| (i + 1..k).map(move |j| [i, j]));
            columns.extend(pairs.map(|[i, j]| ([i, j], 1.0 / safe(i) / safe(j))));
        }
        let matrix = Mat::from_fn(n, columns.len(), |row, column| {
            let u = |k: usize| probes[row][k] / safe(k);
            let [i, j] = columns[column].0;
            match column {
                _ if column < k => -u(i),
                _ if column < 2 * k => 0.5 * u(i) * u(i),
                _ => u(i) * u(j),
            }
        });
        Ok(Equations { matrix, right: differences.to_vec(), scales, columns })
    }

    /// The least-squares solution, and the condition of the equations.
    fn solve(&self) -> Result<(Vec<f64>, f64)> {
        /// Singular values below this, relative to the largest, tell nothing.
        const TELLS: f64 = 1e-12;
        let (n, m) = (self.matrix.nrows(), self.matrix.ncols());
        if m == 0 {
            return Ok((Vec::new(), 1.0));
        }
        let deficient = |rank: usize, groups: Vec<usize>| {
            Err(Error::RankDeficient { rank, columns: m, groups })
        };
        if n < m {
            return deficient(n, (0..self.scales.len()).collect());
        }
        let Ok(svd) = self.matrix.thin_svd() else {
            return deficient(0, (0..self.scales.len()).collect());
        };
        let values: Vec<f64> = svd.S().column_vector().iter().copied().collect();
        let top = values.first().copied().unwrap_or(0.0);
        let rank = values.iter().filter(|s| TELLS * top < **s).count();
        if rank < m {
            // The groups that the null directions touch.
            let mut groups: Vec<usize> = (rank..m)
                .flat_map(|null| (0..m).map(move |column| (column, null)))
                .filter(|(column, null)| 0.05 < svd.V()[(*column, *null)].abs())
                .flat_map(|(column, _)| self.columns[column].0)
                .collect();
            groups.sort_unstable();
            groups.dedup();
            return deficient(rank, groups);
        }
        let projected: Vec<f64> = (0..m)
            .map(|s| (0..n).map(|i| svd.U()[(i, s)] * self.right[i]).sum::<f64>() / values[s])
            .collect();
        let solution = (0..m).map(|column| {
            let value: f64 = (0..m).map(|s| svd.V()[(column, s)] * projected[s]).sum();
            value * self.columns[column].1
        });
        Ok((solution.collect(), top / values[m - 1]))
    }
}

/// A quadratic model of the loss in the rates of `K` groups: `-b'x + x'A x / 2`.
#[derive(Clone, Debug, PartialEq)]
pub struct Quadratic {
    /// `b`, the slopes.
    pub slope: Vec<f64>,
    /// `A`, symmetric: row after row.
    pub curvature: Vec<Vec<f64>>,
}

impl Quadratic {
    /// How far the model falls at these rates; negative where it rises.
    #[must_use]
    pub fn decrease(&self, rates: &[f64]) -> f64 {
        let (linear, square) = self.along(rates);
        linear - 0.5 * square
    }

    /// `b'x` and `x'A x`.
    fn along(&self, x: &[f64]) -> (f64, f64) {
        let dot = |a: &[f64]| a.iter().zip(x).map(|(a, x)| a * x).sum::<f64>();
        let rows: Vec<f64> = self.curvature.iter().map(|row| dot(row)).collect();
        (dot(&self.slope), dot(&rows))
    }

    /// The rates that minimize the model with `damping` times its diagonal added, `(A + damping diag A)^-1 b`; none unless that
    /// is positive definite, with a row of `K` for each slope.
    #[must_use]
    pub fn minimizer(&self, damping: f64) -> Option<Vec<f64>> {
        let k = self.slope.len();
        if self.curvature.len() != k || self.curvature.iter().any(|row| row.len() != k) {
            return None;
        }
        // In units in which the diagonal is 1: rates of groups differ by orders of magnitude.
        let roots: Vec<f64> = (0..k).map(|i| self.curvature[i][i].sqrt()).collect();
        if roots.iter().any(|root| !(0.0 < *root && root.is_finite())) {
            return None;
        }
        let scaled = Mat::from_fn(k, k, |i, j| {
            let own = if i == j { damping } else { 0.0 };
            self.curvature[i][j] / roots[i] / roots[j] + own
        });
        let factor = scaled.llt(Side::Lower).ok()?;
        // A singular matrix passes the factorization by rounding alone.
        let pivots = (0..k).map(|i| factor.L()[(i, i)]);
        if pivots.fold(f64::INFINITY, f64::min) < 1e-7 {
            return None;
        }
        let right = Mat::from_fn(k, 1, |i, _| self.slope[i] / roots[i]);
        let solved = factor.solve(&right);
        Some((0..k).map(|i| solved[(i, 0)] / roots[i]).collect())
    }

    /// One rate for all groups, `sum b / sum A`; none unless the curvature along all of them is positive.
    #[must_use]
    pub fn uniform(&self) -> Option<f64> {
        let (linear, square) = self.along(&vec![1.0; self.slope.len()]);
        (0.0 < square).then(|| linear / square)
    }

    /// `b_k / A_kk` for each group; none where either is not positive.
    #[must_use]
    pub fn diagonal(&self) -> Vec<Option<f64>> {
        let own = self.slope.iter().zip(self.curvature.iter().enumerate());
        own.map(|(b, (k, row))| {
            let curvature = row.get(k).copied().filter(|a| 0.0 < *a && 0.0 < *b);
            curvature.map(|a| b / a)
        })
        .collect()
    }

    /// What all rates together are to be multiplied by, `b'x / x'A x`; none unless both are positive.
    #[must_use]
    pub fn joint_scale(&self, rates: &[f64]) -> Option<f64> {
        let (linear, square) = self.along(rates);
        (0.0 < linear && 0.0 < square).then(|| linear / square)
    }
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;

    use super::*;

    #[test]
    fn steps_that_do_not_tell_groups_apart_are_refused_by_name() {
        // Groups 1 and 2 always move together.
        let probes: Vec<Vec<f64>> = (1..12)
            .map(|i| {
                let x = f64::from(i);
                vec![x.sin(), x.cos(), x.cos()]
            })
            .collect();
        match fit_diagonal(&probes, &[1.0; 11]) {
            Err(Error::RankDeficient { rank: 4, columns: 6, groups }) => assert_eq!(groups, [1, 2]),
            other => panic!("{other:?}"),
        }
        let few = fit_diagonal(&probes[..5], &[1.0; 5]);
        assert!(matches!(few, Err(Error::RankDeficient { rank: 5, .. })));
        // A group that no step moves.
        let still: Vec<Vec<f64>> = axis_probes(&[1.0, 0.0], &[-1.0, 1.0, 2.0]);
        match fit_diagonal(&still, &[0.0; 7]) {
            Err(Error::RankDeficient { groups, .. }) => assert_eq!(groups, [1]),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn axes_and_corners_recover_a_coupled_quadratic_at_scales_that_differ() {
        let model = Quadratic {
            slope: vec![3.0, 2e4, 1e-3],
            curvature: vec![vec![2.0, 5e3, 1e-4], vec![5e3, 4e8, -3.0], vec![1e-4, -3.0, 1e-6]],
        };
        let scales = [1.0, 1e-4, 1e3];
        let mut probes = axis_probes(&scales, &[-1.0, 0.0, 1.0]);
        probes.extend(corner_probes(&scales));
        assert_eq!(probes.len(), 1 + 2 * 3 + 2 * 3 * 2);
        let differences: Vec<f64> = probes.iter().map(|x| -model.decrease(x)).collect();
        let found = fit_full(&probes, &differences).unwrap();
        for i in 0..3 {
            assert_relative_eq!(found.slope[i], model.slope[i], max_relative = 1e-9);
            for j in 0..3 {
                let (a, b) = (found.curvature[i][j], model.curvature[i][j]);
                assert!((a - b).abs() * scales[i] * scales[j] < 1e-9, "{i} {j}: {a} {b}");
            }
        }
    }

    #[test]
    fn a_singular_model_has_no_minimizer_without_damping() {
        let model = Quadratic { slope: vec![1.0; 3], curvature: vec![vec![2.0; 3]; 3] };
        assert_eq!(model.minimizer(0.0), None);
        let damped = model.minimizer(1e-3).unwrap();
        assert_relative_eq!(damped.iter().sum::<f64>(), 0.5, max_relative = 1e-3);
    }
}
