//! One penalty among many by cross-validation, with the same number of candidates for each method.

use slope2::selection::{Candidates, CrossValidation, Folds, PathCandidates, Score};
use slope2::{
    Alphas, ClusterDescent, DualNorm, Observations, Preparation, Progress, SortedL1, TwoLevel,
    ZoneDescent, sequence,
};

use crate::error::{Error, Result};

/// A family of penalties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// One level.
    Lasso,
    /// Two levels, with several ratios and shares.
    TwoLevels,
    /// The sequence of Benjamini and Hochberg, with several rates.
    Slope,
}

impl Method {
    /// All of them.
    pub const ALL: [Method; 3] = [Method::Lasso, Method::TwoLevels, Method::Slope];

    /// The name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Method::Lasso => "LASSO",
            Method::TwoLevels => "two levels",
            Method::Slope => "SLOPE (BH)",
        }
    }

    /// The name in figures.
    #[must_use]
    pub fn figure(self) -> &'static str {
        match self {
            Method::Lasso => "lasso",
            Method::TwoLevels => "two-levels",
            Method::Slope => "slope",
        }
    }
}

/// Lower level over higher level.
pub const RATIOS: [f64; 3] = [0.0, 0.3, 0.6];
/// Shares at the higher level.
pub const SHARES: [f64; 2] = [0.05, 0.25];
/// Rates of the sequence of Benjamini and Hochberg.
pub const RATES: [f64; 6] = [0.01, 0.05, 0.1, 0.2, 0.4, 0.8];

/// How penalties are chosen.
#[derive(Clone, Debug)]
pub struct Choice {
    /// Strengths of each shape. Two levels and SLOPE have six shapes, and the LASSO has six times as many strengths.
    pub strengths: usize,
    /// First strength over last.
    pub part: f64,
    /// The folds.
    pub folds: Folds,
    /// What predictions are judged by.
    pub score: Score,
    /// Relative gap of all fits.
    pub tolerance: f64,
}

/// What was chosen, fitted to all rows.
#[derive(Clone, Debug)]
pub struct Model {
    /// Intercepts for the columns as they are stored, one for each linear predictor.
    pub intercepts: Vec<f64>,
    /// Coefficients of the columns as they are stored, predictor after predictor.
    pub coefficients: Vec<f64>,
    /// Number of penalties it was chosen from.
    pub n_candidates: usize,
}

/// The best candidate of a list, by the mean of its held-out losses.
struct Best {
    loss: f64,
    model: (Vec<f64>, Vec<f64>),
}

impl Best {
    fn keep(best: &mut Option<Best>, found: Best) {
        if best.as_ref().is_none_or(|best| found.loss < best.loss) {
            *best = Some(found);
        }
    }

    fn model(best: Option<Best>) -> slope2::Result<(Vec<f64>, Vec<f64>)> {
        best.map(|best| best.model).ok_or(slope2::Error::NoCandidate { candidate: 0, n: 0 })
    }
}

impl Choice {
    /// Number of candidates of every method.
    #[must_use]
    pub fn n_candidates(&self) -> usize {
        RATIOS.len() * SHARES.len() * self.strengths
    }

    /// Chooses among the candidates of a method.
    ///
    /// # Errors
    /// Those of the fits; [`Error::Interrupted`] if `progress` asks for a stop.
    pub fn choose(
        &self,
        method: Method,
        observations: &Observations<'_>,
        preparation: &Preparation,
        progress: &dyn Progress,
    ) -> Result<Model> {
        self.search(method, observations, preparation, progress).map_err(|error| match error {
            slope2::Error::Cancelled => Error::Interrupted,
            other => other.into(),
        })
    }

    fn search(
        &self,
        method: Method,
        observations: &Observations<'_>,
        preparation: &Preparation,
        progress: &dyn Progress,
    ) -> slope2::Result<Model> {
        let p = observations.design.n_cols() * observations.loss.n_predictors();
        let zone = ZoneDescent { tolerance: self.tolerance, ..ZoneDescent::default() };
        let n_candidates = self.n_candidates();
        let (intercepts, coefficients) = match method {
            Method::Lasso => {
                let shape = TwoLevel::new(1.0, 1.0, p, p)?;
                let alphas = self.alphas(observations, preparation, &shape, n_candidates)?;
                let candidates = PathCandidates { shape, alphas, solver: zone };
                self.best(observations, preparation, &candidates, progress)?.model
            }
            Method::TwoLevels => {
                let mut best: Option<Best> = None;
                for (ratio, share) in RATIOS.iter().flat_map(|r| SHARES.map(|s| (*r, s))) {
                    let k = TwoLevel::with_share(1.0, ratio, share, p)?.k().max(1).min(p);
                    let shape = TwoLevel::new(1.0, ratio, k, p)?;
                    let alphas = self.alphas(observations, preparation, &shape, self.strengths)?;
                    let candidates = PathCandidates { shape, alphas, solver: zone };
                    let found = self.best(observations, preparation, &candidates, progress)?;
                    Best::keep(&mut best, found);
                }
                Best::model(best)?
            }
            Method::Slope => {
                let solver =
                    ClusterDescent { tolerance: self.tolerance, ..ClusterDescent::default() };
                let mut best: Option<Best> = None;
                for q in RATES {
                    let shape = SortedL1::new(sequence::benjamini_hochberg(q, p)?)?;
                    let alphas = self.alphas(observations, preparation, &shape, self.strengths)?;
                    let candidates = PathCandidates { shape, alphas, solver };
                    let found = self.best(observations, preparation, &candidates, progress)?;
                    Best::keep(&mut best, found);
                }
                Best::model(best)?
            }
        };
        Ok(Model { intercepts, coefficients, n_candidates })
    }

    /// Geometric strengths from where all coefficients are zero.
    fn alphas<P: DualNorm + Clone>(
        &self,
        observations: &Observations<'_>,
        preparation: &Preparation,
        shape: &P,
        n_points: usize,
    ) -> slope2::Result<Vec<f64>> {
        let top = observations.with_problem(preparation, |problem| {
            Ok(problem.with_penalty(shape.clone()).alpha_max())
        })?;
        let strengths = Alphas::Geometric { n_points, ratio: Some(1.0 / self.part) };
        strengths.values(top, observations.y.len(), observations.design.n_cols())
    }

    fn best(
        &self,
        observations: &Observations<'_>,
        preparation: &Preparation,
        candidates: &dyn Candidates,
        progress: &dyn Progress,
    ) -> slope2::Result<Best> {
        let validation = CrossValidation { folds: self.folds.clone(), score: self.score };
        let found = validation.run(observations, preparation, candidates, progress)?;
        let loss = self.score.loss(found.scores[found.best].mean);
        let model = observations.with_problem(preparation, |problem| {
            let fit = candidates.fit_one(problem, found.best)?;
            Ok(problem.design.on_original_scale(&fit.intercepts, &fit.coefficients))
        })?;
        Ok(Best { loss, model })
    }
}

#[cfg(test)]
mod tests {
    use chacha20::ChaCha20Rng;
    use rand::SeedableRng;
    use slope2::{Gaussian, Silent};

    use super::super::simulate::{Kind, Simulation};
    use super::*;

    #[test]
    fn every_method_chooses_among_as_many_and_finds_the_signals() {
        let kind = Kind::Autoregression { rho: 0.0 };
        let data = Simulation { n: 120, p: 40, kind, seed: 3 }.draw();
        let design = data.design().unwrap();
        let observations =
            Observations { design: &design, y: &data.y, weights: None, loss: (&Gaussian).into() };
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let folds = Folds::k_fold(120, 4, &mut rng).unwrap();
        let score = Score::SquaredError;
        let choice = Choice { strengths: 8, part: 100.0, folds, score, tolerance: 1e-6 };
        for method in Method::ALL {
            let model =
                choice.choose(method, &observations, &Preparation::default(), &Silent).unwrap();
            assert_eq!(model.n_candidates, 48);
            // Every second coefficient is 1 or -1, the noise of each estimate near sqrt(20 / 9 / 120) = 0.14.
            for (j, b) in model.coefficients.iter().enumerate() {
                let truth = [1.0, 0.0, -1.0, 0.0][j % 4];
                assert!((b - truth).abs() < 0.7, "{}: {j} {b}", method.name());
            }
        }
        let stop = |_: usize, _: usize| std::ops::ControlFlow::Break(());
        let stopped = choice.choose(Method::Slope, &observations, &Preparation::default(), &stop);
        assert!(matches!(stopped, Err(Error::Interrupted)));
    }
}
