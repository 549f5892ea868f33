//! Two levels over a grid of strengths, ratios and shares. Most cells share the solution of a LASSO and need no fit.
//!
//! For each `lambda1` the LASSO is solved once. With its gradient `g`, let
//! `N(lambda2) = sum_j (|g_j| - lambda2)_+ / (lambda1 - lambda2)`. Every cell with `k >= N(lambda2)` has exactly that solution;
//! the others are solved one after the other, `k` falling, each from the best of the solution before it, the LASSO's, and its own at
//! the stronger penalty.
//!
//! Source: derived from the optimality conditions of two levels.

use crate::certificate::{Certificate, Intercept, Point, certificate_at, certify_with_point};
use crate::error::{Error, Result, number};
use crate::path::{Alphas, Null, solve_at};
use crate::penalty::{DualNorm, L1, Penalty, TwoLevel};
use crate::problem::{Problem, Solution};
use crate::progress::{Progress, tell};
use crate::solver::{Solver, Start};

/// The cells of a grid.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct GridSettings {
    /// The higher levels. A geometric grid starts where all cells are zero.
    pub lambda1: Alphas,
    /// `lambda2 / lambda1`, each between 0 and 1.
    pub ratios: Vec<f64>,
    /// Shares at the higher level, each between 0 and 1. A share above 0 has at least one coefficient.
    pub shares: Vec<f64>,
}

impl Default for GridSettings {
    fn default() -> Self {
        GridSettings {
            lambda1: Alphas::Geometric { n_points: 50, ratio: None },
            ratios: vec![0.0, 0.1, 0.25, 0.5, 0.75, 1.0],
            shares: vec![0.01, 0.05, 0.1, 0.2, 0.4, 0.6],
        }
    }
}

/// One penalty of a grid with its solution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cell {
    /// The penalty.
    pub penalty: TwoLevel,
    /// `lambda2 / lambda1` as it was asked for.
    pub ratio: f64,
    /// The share as it was asked for.
    pub share: f64,
    /// Which of the grid's solutions is this cell's.
    pub solution: usize,
    /// What is proven about that solution for this cell's penalty.
    pub certificate: Certificate,
}

/// All cells of a grid.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grid {
    /// The cells: `lambda1` from large to small, in it the ratios, in them the shares, both in their given order.
    pub cells: Vec<Cell>,
    /// The distinct solutions.
    pub solutions: Vec<Solution>,
    /// How often a LASSO was solved, once for each `lambda1` at which it is not zero.
    pub n_lasso_fits: usize,
    /// How many cells needed a fit of their own.
    pub n_cell_fits: usize,
}

impl Grid {
    /// The solution of a cell.
    #[must_use]
    pub fn solution(&self, cell: usize) -> Option<&Solution> {
        self.cells.get(cell).and_then(|cell| self.solutions.get(cell.solution))
    }
}

/// Cells with one `lambda1` and one ratio, `k` falling. Equal `k` are one family with several places.
struct Row {
    ratio: f64,
    by_k: Vec<(usize, Vec<usize>)>,
}

impl GridSettings {
    /// Solves every cell; `problem` has any penalty, which is not looked at. Solutions are those of separate fits.
    ///
    /// A cell takes the LASSO's solution if its own gap there is at most the LASSO's, which is what `k >= N(lambda2)` says,
    /// up to rounding.
    ///
    /// # Errors
    /// Those of [`Alphas::values`] and of the solver; [`Error::InvalidNumber`] for a ratio or share that is not between 0
    /// and 1; [`Error::NoAlphaMax`] for cells without a penalty; [`Error::Length`] for none; [`Error::Cancelled`] if
    /// `progress` asks for it.
    pub fn fit<P>(
        &self,
        solver: &impl Solver<TwoLevel>,
        problem: &Problem<'_, P>,
        progress: &dyn Progress,
    ) -> Result<Grid> {
        let mut grid = Grid::default();
        self.fit_each(solver, problem, progress, &mut |_, part| {
            grid.append(part);
            Ok(())
        })?;
        Ok(grid)
    }

    /// The higher levels, from large to small, that this grid has for a problem.
    ///
    /// # Errors
    /// As [`GridSettings::fit`].
    pub fn strengths<P>(&self, problem: &Problem<'_, P>) -> Result<Vec<f64>> {
        let (n, p) = (problem.design.n_rows(), problem.design.n_cols());
        let lasso = problem.with_penalty(L1::new(1.0, p)?);
        let start = start_of(&self.rows(p)?, &lasso.checked_null_gradient()?, p)?;
        let explained = Null::of(&lasso)?.deviance == 0.0;
        self.lambda1.values(if explained { 0.0 } else { start }, n, p)
    }

    /// The penalty of a cell.
    pub(crate) fn penalty(lambda1: f64, ratio: f64, share: f64, p: usize) -> Result<TwoLevel> {
        let k = TwoLevel::with_share(1.0, 1.0, share, p)?.k();
        let k = if 0.0 < share { k.max(1).min(p) } else { k };
        TwoLevel::new(lambda1, ratio * lambda1, k, p)
    }

    /// As [`GridSettings::fit`], and hands over the cells of one `lambda1` after the other, with the number of cells before
    /// them.
    pub(crate) fn fit_each<P>(
        &self,
        solver: &impl Solver<TwoLevel>,
        problem: &Problem<'_, P>,
        progress: &dyn Progress,
        visit: &mut dyn FnMut(usize, Grid) -> Result<()>,
    ) -> Result<()> {
        let p = problem.design.n_cols();
        let rows = self.rows(p)?;
        let lambda1 = self.strengths(problem)?;
        let lasso = problem.with_penalty(TwoLevel::new(1.0, 1.0, p, p)?);
        let lasso_max = Null::of(&lasso)?.alpha_max;
        let per_strength = self.ratios.len() * self.shares.len();
        let total = lambda1.len() * per_strength;
        let mut start = Start { intercepts: lasso.null_intercepts(), ..Start::default() };
        let mut session = solver.session(&lasso);
        // What each cell that needed a fit was for the stronger penalty.
        let mut before: Vec<Option<Solution>> = vec![None; per_strength];
        for (i, lambda) in lambda1.into_iter().enumerate() {
            let base = solve_at(&mut *session, &lasso, lambda, lasso_max, &start)?;
            let mut grid = Grid::default();
            if lambda < lasso_max {
                grid.n_lasso_fits = 1;
                start = Start::at(&base);
            }
            let intercept = Intercept::Best(&base.intercepts);
            let (_, point) = certify_with_point(&lasso, intercept, &base.coefficients)?;
            grid.solutions.push(base);
            let mut cells: Vec<Option<Cell>> = vec![None; per_strength];
            for row in &rows {
                let (mut shared, mut last) = (true, 0);
                for (k, places) in &row.by_k {
                    let penalty = TwoLevel::new(lambda, row.ratio * lambda, *k, p)?;
                    let problem = problem.with_penalty(penalty);
                    // N does not depend on k: below the first k that needs a fit, all do.
                    let proof = if shared { grid.proof(&problem, &point) } else { None };
                    let (solution, certificate) = if let Some(certificate) = proof {
                        (0, certificate)
                    } else {
                        shared = false;
                        let value = |s: &Solution| s.loss + penalty.value(&s.coefficients);
                        let (own, other) = (&before[places[0]], &grid.solutions[last]);
                        let own = own.as_ref().filter(|own| value(own) < value(other));
                        let fit = session.solve(&penalty, &Start::at(own.unwrap_or(other)))?;
                        before[places[0]] = Some(fit.clone());
                        let certificate = fit.certificate;
                        grid.n_cell_fits += 1;
                        grid.solutions.push(fit);
                        last = grid.solutions.len() - 1;
                        (last, certificate)
                    };
                    for place in places {
                        let share = self.shares[place % self.shares.len()];
                        let ratio = row.ratio;
                        cells[*place] = Some(Cell { penalty, ratio, share, solution, certificate });
                    }
                    tell(progress, i * per_strength + cells.iter().flatten().count(), total)?;
                }
            }
            grid.cells.extend(cells.into_iter().flatten());
            visit(i * per_strength, grid)?;
        }
        Ok(())
    }

    /// The cells of one `lambda1`, by ratio and falling `k`.
    fn rows(&self, p: usize) -> Result<Vec<Row>> {
        for (name, values) in [("ratios", &self.ratios), ("shares", &self.shares)] {
            if values.is_empty() {
                return Err(Error::Length { name, expected: 1, got: 0 });
            }
            for value in values {
                number(name, "between 0 and 1", (0.0..=1.0).contains(value), *value)?;
            }
        }
        let row = |(r, ratio): (usize, &f64)| {
            let mut by_k: Vec<(usize, Vec<usize>)> = Vec::new();
            for (s, share) in self.shares.iter().enumerate() {
                let k = Self::penalty(1.0, *ratio, *share, p)?.k();
                let place = r * self.shares.len() + s;
                match by_k.iter_mut().find(|(other, _)| *other == k) {
                    Some((_, places)) => places.push(place),
                    None => by_k.push((k, vec![place])),
                }
            }
            by_k.sort_by_key(|(k, _)| std::cmp::Reverse(*k));
            Ok(Row { ratio: *ratio, by_k })
        };
        self.ratios.iter().enumerate().map(row).collect()
    }
}

impl Grid {
    fn append(&mut self, part: Grid) {
        let before = self.solutions.len();
        let cells = part.cells.into_iter();
        self.cells.extend(cells.map(|cell| Cell { solution: before + cell.solution, ..cell }));
        self.solutions.extend(part.solutions);
        self.n_lasso_fits += part.n_lasso_fits;
        self.n_cell_fits += part.n_cell_fits;
    }

    /// The certificate of the first solution, a LASSO's, for another penalty, if it is as good as the LASSO's own.
    fn proof(&self, problem: &Problem<'_, TwoLevel>, point: &Point) -> Option<Certificate> {
        let base = self.solutions.first()?;
        let certificate = certificate_at(problem, point, &base.coefficients);
        let enough = base.certificate.gap().max(1e-13 * base.certificate.primal.abs());
        (certificate.gap() <= enough).then_some(certificate)
    }
}

/// The smallest `lambda1` at which all cells are zero.
fn start_of(rows: &[Row], gradient: &[f64], p: usize) -> Result<f64> {
    let mut start = 0.0f64;
    for row in rows {
        for (k, _) in &row.by_k {
            let top = TwoLevel::new(1.0, row.ratio, *k, p)?.dual_norm(gradient);
            if !top.is_finite() {
                return Err(Error::NoAlphaMax);
            }
            start = start.max(top);
        }
    }
    Ok(start)
}
