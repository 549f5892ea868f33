//! What is timed: fits, paths, grids, cross-validation and proximal maps, in terms that all libraries share.

use chacha20::ChaCha20Rng;
use rand::SeedableRng;
use serde::{Deserialize, Serialize};
use slope2::selection::{CrossValidation, Folds, PathCandidates, Score};
use slope2::{
    Alphas, Gaussian, GridSettings, Observations, Path, PathSettings, Penalty, Preparation,
    Problem, Silent, Solver, SortedL1, Start, TwoLevel, ZoneDescent, certify,
};

use super::simulate::normal;
use crate::error::{Error, Result};

/// One piece of work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "work", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Work {
    /// One fit from zero.
    Fit {
        /// The penalty up to its strength.
        shape: Shape,
        /// The strength is the largest that is useful, divided by this.
        part: f64,
    },
    /// A geometric path, all of it.
    Path {
        /// The penalty up to its strength.
        shape: Shape,
        /// Number of strengths.
        n_points: usize,
        /// First strength over last.
        part: f64,
    },
    /// Two levels with several shares and ratios, the higher level alike for all of them.
    Grid {
        /// Shares at the higher level.
        shares: Vec<f64>,
        /// Lower level over higher level.
        ratios: Vec<f64>,
        /// Number of higher levels.
        n_points: usize,
        /// First over last.
        part: f64,
    },
    /// Cross-validation of a geometric path.
    CrossValidation {
        /// The penalty up to its strength.
        shape: Shape,
        /// Number of folds.
        n_folds: usize,
        /// Number of strengths.
        n_points: usize,
        /// First strength over last.
        part: f64,
    },
    /// The proximal map of levels 2 and 1 on normal numbers of standard deviation 2.
    Prox {
        /// Number of coefficients.
        p: usize,
        /// By the sorted-L1 norm of any sequence and not by two levels.
        general: bool,
    },
}

/// A two-level penalty up to its strength; a LASSO if both levels are equal.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// Share of the coefficients at the higher level.
    pub share: f64,
    /// Lower level over higher level.
    pub ratio: f64,
}

impl Shape {
    /// One level for all.
    pub const LASSO: Shape = Shape { share: 1.0, ratio: 1.0 };

    /// Whether it is a LASSO.
    #[must_use]
    pub fn is_lasso(self) -> bool {
        1.0 <= self.ratio
    }

    /// The penalty of strength 1.
    fn penalty(self, p: usize) -> Result<TwoLevel> {
        let k = TwoLevel::with_share(1.0, 1.0, self.share, p)?.k().max(1).min(p);
        Ok(TwoLevel::new(1.0, self.ratio, k, p)?)
    }
}

/// One penalty with falling strengths, each solution the start of the next.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Chain {
    /// The higher level at strength 1.
    pub lambda1: f64,
    /// The lower level at strength 1.
    pub lambda2: f64,
    /// Number of coefficients at the higher level.
    pub k: usize,
    /// The strengths.
    pub alphas: Vec<f64>,
}

impl Chain {
    fn of(penalty: &TwoLevel, alphas: Vec<f64>) -> Self {
        Chain { lambda1: penalty.lambda1(), lambda2: penalty.lambda2(), k: penalty.k(), alphas }
    }

    fn penalty(&self, p: usize) -> Result<TwoLevel> {
        Ok(TwoLevel::new(self.lambda1, self.lambda2, self.k, p)?)
    }
}

/// Falling strengths from `first` to `first / part`.
fn geometric(first: f64, n_points: usize, part: f64) -> Vec<f64> {
    let steps = n_points.saturating_sub(1).max(1) as f64;
    (0..n_points).map(|i| first * part.powf(-(i as f64) / steps)).collect()
}

impl Work {
    /// The penalties and strengths of this work on a problem; none for a proximal map.
    ///
    /// # Errors
    /// If the work asks for a penalty that does not exist.
    pub fn chains(&self, problem: &Problem<'_, ()>) -> Result<Vec<Chain>> {
        let p = problem.design.n_cols();
        let along = |shape: Shape, alphas: &dyn Fn(f64) -> Vec<f64>| -> Result<Vec<Chain>> {
            let penalty = shape.penalty(p)?;
            let alpha_max = problem.with_penalty(penalty).alpha_max();
            Ok(vec![Chain::of(&penalty, alphas(alpha_max))])
        };
        match self {
            Work::Fit { shape, part } => along(*shape, &|top| vec![top / part]),
            Work::Path { shape, n_points, part }
            | Work::CrossValidation { shape, n_points, part, .. } => {
                along(*shape, &|top| geometric(top, *n_points, *part))
            }
            Work::Grid { shares, ratios, n_points, part } => {
                let lambda1 = Alphas::Geometric { n_points: *n_points, ratio: Some(1.0 / part) };
                let settings =
                    GridSettings { lambda1, ratios: ratios.clone(), shares: shares.clone() };
                let alphas = settings.strengths(problem)?;
                let cells = ratios.iter().flat_map(|ratio| shares.iter().map(|s| (*s, *ratio)));
                cells
                    .map(|(share, ratio)| {
                        Ok(Chain::of(&Shape { share, ratio }.penalty(p)?, alphas.clone()))
                    })
                    .collect()
            }
            Work::Prox { .. } => Ok(Vec::new()),
        }
    }
}

/// The largest relative gap of the coefficients of all `chains`, one solution after the other in `coefficients`.
///
/// # Errors
/// If a number of coefficients is missing or there are more.
pub fn worst_gap(problem: &Problem<'_, ()>, chains: &[Chain], coefficients: &[f64]) -> Result<f64> {
    let p = problem.design.n_cols();
    let n_fits: usize = chains.iter().map(|chain| chain.alphas.len()).sum();
    if coefficients.len() != n_fits * p {
        let reason = format!("{} coefficients of {n_fits} fits", coefficients.len());
        return Err(Error::Worker { reason });
    }
    let mut fits = coefficients.chunks_exact(p.max(1));
    let mut worst = 0.0f64;
    for chain in chains {
        for (alpha, fit) in chain.alphas.iter().zip(&mut fits) {
            let problem = problem.with_penalty(chain.penalty(p)?.scaled(*alpha)?);
            let gap = certify(&problem, &[0.0], fit)?.relative_gap();
            worst = if gap.is_nan() { f64::INFINITY } else { worst.max(gap) };
        }
    }
    Ok(worst)
}

/// Work that is ready to be timed.
pub(super) struct Prepared<'a> {
    work: &'a Work,
    problem: &'a Problem<'a, ()>,
    chains: &'a [Chain],
    solver: ZoneDescent,
    vector: Vec<f64>,
}

impl<'a> Prepared<'a> {
    pub(super) fn new(
        work: &'a Work,
        problem: &'a Problem<'a, ()>,
        chains: &'a [Chain],
        tolerance: f64,
    ) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(3);
        let p = if let Work::Prox { p, .. } = work { *p } else { 0 };
        let vector = (0..p).map(|_| 2.0 * normal(&mut rng)).collect();
        let solver = ZoneDescent { tolerance, ..ZoneDescent::default() };
        Prepared { work, problem, chains, solver, vector }
    }

    /// Does the work between two calls of `lap`, and returns the coefficients of all chains; none for work without.
    pub(super) fn run(&mut self, lap: &mut dyn FnMut()) -> Result<Vec<f64>> {
        let p = self.problem.design.n_cols();
        match (self.work, self.chains) {
            (Work::Fit { .. }, [chain]) => {
                let alpha = chain.alphas.first().copied().unwrap_or(0.0);
                let problem = self.problem.with_penalty(chain.penalty(p)?.scaled(alpha)?);
                lap();
                let fit = self.solver.solve(&problem, &Start::default())?;
                lap();
                Ok(fit.coefficients)
            }
            (Work::Path { .. }, [chain]) => {
                let problem = self.problem.with_penalty(chain.penalty(p)?);
                let alphas = Alphas::Given(chain.alphas.clone());
                let settings = PathSettings { alphas, ..PathSettings::default() };
                lap();
                let path: Path = settings.fit(&self.solver, &problem, &Silent)?;
                lap();
                Ok(path.points.into_iter().flat_map(|point| point.solution.coefficients).collect())
            }
            (Work::Grid { shares, ratios, .. }, [first, ..]) => {
                let lambda1 = Alphas::Given(first.alphas.clone());
                let settings =
                    GridSettings { lambda1, ratios: ratios.clone(), shares: shares.clone() };
                lap();
                let grid = settings.fit(&self.solver, self.problem, &Silent)?;
                lap();
                let (per_strength, n) = (self.chains.len(), first.alphas.len());
                let cells =
                    (0..per_strength).flat_map(|c| (0..n).map(move |i| i * per_strength + c));
                let fits = cells.filter_map(|cell| grid.solution(cell));
                Ok(fits.flat_map(|fit| fit.coefficients.iter().copied()).collect())
            }
            (Work::CrossValidation { n_folds, .. }, [chain]) => {
                let design = self.problem.design.stored();
                let y = self.problem.datafit.y();
                let observations =
                    Observations { design: &design, y, weights: None, loss: (&Gaussian).into() };
                let preparation = Preparation { intercept: false, ..Preparation::default() };
                let mut rng = ChaCha20Rng::seed_from_u64(5);
                let folds = Folds::k_fold(y.len(), *n_folds, &mut rng)?;
                let cv = CrossValidation { folds, score: Score::SquaredError };
                let (shape, solver) = (chain.penalty(p)?, self.solver);
                let candidates = PathCandidates { shape, alphas: chain.alphas.clone(), solver };
                lap();
                cv.run(&observations, &preparation, &candidates, &Silent)?;
                lap();
                Ok(Vec::new())
            }
            (Work::Prox { p, general }, _) => {
                let penalty = TwoLevel::with_share(2.0, 1.0, 0.02, *p)?;
                let mut v = self.vector.clone();
                if *general {
                    let penalty = SortedL1::new(penalty.sequence())?;
                    lap();
                    penalty.prox(&mut v, 1.0)?;
                    lap();
                } else {
                    lap();
                    penalty.prox(&mut v, 1.0)?;
                    lap();
                }
                std::hint::black_box(v);
                Ok(Vec::new())
            }
            _ => Err(Error::Worker { reason: "work without its penalties".into() }),
        }
    }
}
