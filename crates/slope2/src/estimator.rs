//! One face for everything: settings in, a fit out, coefficients for the columns as they are given.

mod engine;
mod fit;
mod fitted;
#[cfg(feature = "serde")]
mod saved;
mod settings;

use crate::datafit::LossScale;
use crate::design::{Center, Design, Scale};
use crate::error::{Error, Result, number};
use crate::grid::{Grid, GridSettings};
use crate::observations::{Observations, Preparation};
use crate::path::{Path, PathSettings};
use crate::progress::{Progress, Silent};
use engine::Engine;
use fit::Fit;
pub use fitted::{Fitted, FittedPenalty, NoiseRounds};
use settings::Shaped;
pub use settings::{FamilyKind, FoldPlan, Method, PenaltyForm, Rule, Strength};

/// An estimator: settings alone, ready to be fitted to any data.
///
/// # Examples
/// ```
/// use slope2::{Design, Slope2, estimator::{PenaltyForm, Strength}};
///
/// let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 0.3, -0.2, 0.5, -0.4, 0.1, 0.2];
/// let design = Design::from_columns(&x[..], 6, 2)?;
/// let slope = Slope2::builder()
///     .penalty(PenaltyForm::TwoLevel { ratio: 0.5, share: 0.5 })
///     .strength(Strength::Relative(0.1))
///     .build()?;
/// let fit = slope.fit(&design, &[2.1, 4.3, 5.8, 8.3, 9.7, 12.4])?;
/// assert!((fit.predict(&design)?[5] - 12.4).abs() < 1.0);
/// # Ok::<(), slope2::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Slope2 {
    penalty: PenaltyForm,
    family: FamilyKind,
    strength: Strength,
    preparation: Preparation,
    engine: Engine,
}

/// Settings of a [`Slope2`] that are not yet complete.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Builder(Slope2);

impl Builder {
    /// The shape of the penalty. Default: two levels, ratio 1/2, a fifth of the coefficients at the higher one.
    pub fn penalty(mut self, penalty: PenaltyForm) -> Self {
        self.0.penalty = penalty;
        self
    }

    /// The family of the response. Default: Gaussian.
    pub fn family(mut self, family: FamilyKind) -> Self {
        self.0.family = family;
        self
    }

    /// The strength, or how it is chosen. Default: a tenth of the smallest at which all coefficients are zero.
    pub fn strength(mut self, strength: Strength) -> Self {
        self.0.strength = strength;
        self
    }

    /// How columns are centered and scaled. Default: to mean 0 and population standard deviation 1.
    pub fn standardize(mut self, center: Center, scale: Scale) -> Self {
        (self.0.preparation.center, self.0.preparation.scale) = (center, scale);
        self
    }

    /// Whether there is an intercept. Default: yes.
    pub fn intercept(mut self, intercept: bool) -> Self {
        self.0.preparation.intercept = intercept;
        self
    }

    /// The factor of the loss. Default: the mean.
    pub fn loss_scale(mut self, scale: LossScale) -> Self {
        self.0.preparation.loss_scale = scale;
        self
    }

    /// The solver. Default: the one that suits the penalty and the design.
    pub fn method(mut self, method: Method) -> Self {
        self.0.engine.method = method;
        self
    }

    /// The relative duality gap to stop at. Default: 1e-8.
    pub fn tolerance(mut self, tolerance: f64) -> Self {
        self.0.engine.tolerance = tolerance;
        self
    }

    /// Most outer steps of each fit. Default: 1000.
    pub fn max_iters(mut self, max_iters: usize) -> Self {
        self.0.engine.max_iters = max_iters;
        self
    }

    /// The estimator.
    ///
    /// # Errors
    /// [`Error::InvalidNumber`] for a number that cannot be meant; [`Error::Settings`] for a grid without cross-validation.
    pub fn build(self) -> Result<Slope2> {
        let slope = self.0;
        let tolerance = slope.engine.tolerance;
        let holds = |x: f64| x.is_finite() && 0.0 <= x;
        number("tolerance", "finite and not negative", holds(tolerance), tolerance)?;
        match slope.strength {
            Strength::Alpha(a) => number("alpha", "finite and not negative", holds(a), a)?,
            Strength::Relative(a) => {
                number("relative alpha", "finite and not negative", holds(a), a)?
            }
            _ => {}
        }
        let is_grid = matches!(slope.penalty, PenaltyForm::TwoLevelGrid { .. });
        if is_grid && !matches!(slope.strength, Strength::CrossValidated { .. }) {
            return Err(Error::Settings("a grid of penalties is for cross-validation"));
        }
        if let PenaltyForm::Sequence(lambda) = &slope.penalty {
            crate::SortedL1::new(lambda.clone())?;
        }
        if let PenaltyForm::TwoLevel { ratio, share } = slope.penalty {
            number("ratio", "between 0 and 1", (0.0..=1.0).contains(&ratio), ratio)?;
            number("share", "between 0 and 1", (0.0..=1.0).contains(&share), share)?;
        }
        Ok(slope)
    }
}

impl Slope2 {
    /// Defaults, to be changed.
    pub fn builder() -> Builder {
        Builder(Slope2 {
            penalty: PenaltyForm::TwoLevel { ratio: 0.5, share: 0.2 },
            family: FamilyKind::default(),
            strength: Strength::Relative(0.1),
            preparation: Preparation::default(),
            engine: Engine::default(),
        })
    }

    /// Fits the columns of `x` as they are stored; its own centers and scales are not looked at.
    ///
    /// # Errors
    /// Entries that are not finite or unknown to the family, sizes that do not fit, and those of the parts that are used.
    /// Not reaching the gap is no error: see [`Fitted::converged`].
    pub fn fit(&self, x: &Design<'_>, y: &[f64]) -> Result<Fitted> {
        self.fit_with(x, y, None, &Silent)
    }

    /// As [`Slope2::fit`], with weights of the rows, of any sum, and with progress.
    ///
    /// # Errors
    /// As [`Slope2::fit`]; [`Error::Cancelled`] if `progress` asks for it.
    pub fn fit_with(
        &self,
        x: &Design<'_>,
        y: &[f64],
        weights: Option<&[f64]>,
        progress: &dyn Progress,
    ) -> Result<Fitted> {
        let observations = self.observations(x, y, weights);
        observations.with_problem(&self.preparation, |problem| {
            let fit = Fit { slope: self, observations, problem, progress };
            match self.penalty.shape(x.n_rows(), problem.design.n_cols())? {
                Shaped::Two(shape) => fit.shaped(shape),
                Shaped::Sorted(shape) => fit.shaped(shape),
                Shaped::Grid { ratios, shares } => fit.grid(&ratios, &shares),
            }
        })
    }

    /// The whole path of the penalty's strengths; the estimator's own strength is not looked at.
    ///
    /// # Errors
    /// As [`Slope2::fit_with`]; [`Error::Settings`] for a grid of penalties.
    pub fn fit_path(
        &self,
        x: &Design<'_>,
        y: &[f64],
        weights: Option<&[f64]>,
        settings: &PathSettings,
        progress: &dyn Progress,
    ) -> Result<Path> {
        self.observations(x, y, weights).with_problem(&self.preparation, |problem| {
            match self.penalty.shape(x.n_rows(), problem.design.n_cols())? {
                Shaped::Two(shape) => {
                    settings.fit(&self.engine, &problem.with_penalty(shape), progress)
                }
                Shaped::Sorted(shape) => {
                    settings.fit(&self.engine, &problem.with_penalty(shape), progress)
                }
                Shaped::Grid { .. } => {
                    Err(Error::Settings("a grid of penalties is for cross-validation"))
                }
            }
        })
    }

    /// All cells of a grid of two levels; the estimator's own penalty and strength are not looked at.
    ///
    /// # Errors
    /// As [`Slope2::fit_with`] and [`GridSettings::fit`].
    pub fn fit_grid(
        &self,
        x: &Design<'_>,
        y: &[f64],
        weights: Option<&[f64]>,
        settings: &GridSettings,
        progress: &dyn Progress,
    ) -> Result<Grid> {
        self.observations(x, y, weights).with_problem(&self.preparation, |problem| {
            settings.fit(&self.engine, problem, progress)
        })
    }

    fn observations<'a>(
        &self,
        design: &'a Design<'a>,
        y: &'a [f64],
        weights: Option<&'a [f64]>,
    ) -> Observations<'a> {
        Observations { design, y, weights, loss: self.family.loss(y) }
    }
}
