//! One fit: from the settings to the strength, and from the strength to the solution.

use chacha20::ChaCha20Rng;
use rand::SeedableRng;

use super::Slope2;
use super::engine::Engine;
use super::fitted::{Fitted, FittedPenalty, NoiseRounds};
use super::settings::{FoldPlan, Rule, Strength, per_noise};
use crate::error::{Error, Result};
use crate::grid::GridSettings;
use crate::observations::Observations;
use crate::path::{Null, PathSettings, solve_at};
use crate::penalty::Shape;
use crate::problem::Problem;
use crate::progress::{Progress, Silent};
use crate::selection::{
    Candidates, CrossValidation, Folds, GridCandidates, NoiseFit, PathCandidates, Score,
    UnknownNoise, Validated,
};
use crate::solver::{Solver, Start};

/// One fit under way.
pub(super) struct Fit<'a, 'b> {
    pub(super) slope: &'a Slope2,
    pub(super) observations: Observations<'a>,
    pub(super) problem: &'a Problem<'b, ()>,
    pub(super) progress: &'a dyn Progress,
}

impl Fit<'_, '_> {
    /// The fit of one shape, with its strength as the settings say.
    pub(super) fn shaped<P>(&self, shape: P) -> Result<Fitted>
    where
        P: Shape + Sync + Into<FittedPenalty>,
        Engine: Solver<P>,
    {
        let engine = self.slope.engine;
        let problem = self.problem.with_penalty(shape.clone());
        let alpha_max = Null::of(&problem)?.alpha_max;
        let alpha = match &self.slope.strength {
            Strength::Alpha(alpha) => *alpha,
            Strength::Relative(part) => {
                if !alpha_max.is_finite() {
                    return Err(Error::NoAlphaMax);
                }
                part * alpha_max
            }
            Strength::Noise => {
                let unit = per_noise(self.slope.preparation.loss_scale, self.observations.y.len());
                let problem = problem.with_penalty(shape.scaled(unit)?);
                let found = UnknownNoise::default().fit(&engine, &problem, self.progress)?;
                let NoiseFit { noise_std, solution, history, end } = found;
                let alpha = unit * noise_std;
                let penalty = shape.scaled(alpha)?;
                let mut fitted = self.finish(penalty.into(), alpha, &solution, None);
                fitted.noise = Some(NoiseRounds { noise_std, history, end });
                return Ok(fitted);
            }
            Strength::Criterion { path, criterion } => {
                let path = path.fit(&engine, &problem, self.progress)?;
                let chosen = criterion.along(&path, &problem, None)?.best;
                let point = &path.points[chosen];
                let penalty = shape.scaled(point.alpha)?;
                return Ok(self.finish(penalty.into(), point.alpha, &point.solution, None));
            }
            Strength::CrossValidated { alphas, .. } => {
                let settings = PathSettings { alphas: alphas.clone(), ..PathSettings::default() };
                let path = settings.fit(&engine, &problem, &Silent)?;
                let alphas = path.points.iter().map(|point| point.alpha).collect();
                let candidates = PathCandidates { shape: shape.clone(), alphas, solver: engine };
                let (chosen, found) = self.validate(&candidates)?;
                let point = &path.points[chosen];
                let penalty = shape.scaled(point.alpha)?;
                return Ok(self.finish(penalty.into(), point.alpha, &point.solution, Some(found)));
            }
        };
        let start = Start { intercepts: problem.null_intercepts(), ..Start::default() };
        let solution =
            solve_at(&mut *engine.session(&problem), &problem, alpha, alpha_max, &start)?;
        Ok(self.finish(shape.scaled(alpha)?.into(), alpha, &solution, None))
    }

    /// The fit of the cell that cross-validation chooses.
    pub(super) fn grid(&self, ratios: &[f64], shares: &[f64]) -> Result<Fitted> {
        let Strength::CrossValidated { alphas, .. } = &self.slope.strength else {
            return Err(Error::Settings("a grid of penalties is for cross-validation"));
        };
        let (lambda1, ratios, shares) = (alphas.clone(), ratios.to_vec(), shares.to_vec());
        let settings = GridSettings { lambda1, ratios, shares };
        let candidates = GridCandidates::new(&settings, self.problem, self.slope.engine)?;
        let (chosen, found) = self.validate(&candidates)?;
        let solution = candidates.fit_one(self.problem, chosen)?;
        let (lambda1, ratio, share) = candidates.cell(chosen).unwrap_or((0.0, 1.0, 1.0));
        let penalty = GridSettings::penalty(lambda1, ratio, share, self.problem.design.n_cols())?;
        Ok(self.finish(penalty.into(), lambda1, &solution, Some(found)))
    }

    fn validate(&self, candidates: &dyn Candidates) -> Result<(usize, Validated)> {
        let Strength::CrossValidated { folds, score, rule, .. } = &self.slope.strength else {
            return Err(Error::Settings("folds are for cross-validation"));
        };
        let (loss, y) = (self.observations.loss, self.observations.y);
        let folds = match folds {
            FoldPlan::Seeded { n_folds, n_repeats, seed } => {
                let make = |rng: &mut ChaCha20Rng| match self.slope.family {
                    family if family.has_classes() => Folds::stratified(y, *n_folds, rng),
                    _ => Folds::k_fold(y.len(), *n_folds, rng),
                };
                Folds::repeated(*n_repeats, make, &mut ChaCha20Rng::seed_from_u64(*seed))?
            }
            FoldPlan::Grouped { groups, n_folds, seed } => {
                Folds::grouped(groups, *n_folds, &mut ChaCha20Rng::seed_from_u64(*seed))?
            }
            FoldPlan::Given(folds) => Folds::given(folds)?,
        };
        let score = score.unwrap_or_else(|| Score::usual(loss));
        let validation = CrossValidation { folds, score };
        let preparation = &self.slope.preparation;
        let found = validation.run(&self.observations, preparation, candidates, self.progress)?;
        let chosen = match rule {
            Rule::Best => found.best,
            Rule::OneStandardError => found.one_standard_error,
        };
        Ok((chosen, found))
    }
}
