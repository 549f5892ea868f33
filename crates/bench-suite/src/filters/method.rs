//! Filters and optimizers, as values.

use dp_filters::{Disk, Filter, LookAhead, LowPass, Recipe, TakesPoints};
use serde::{Deserialize, Serialize};
use tensor_tree::{AdamW, Identity, Sgd, Transform};

use crate::budget::Budget;
use crate::config::ClipConfig;
use crate::error::Result;

/// What stands between private gradients and the optimizer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Filtering {
    /// Nothing.
    None,
    /// DOPPLER: the exponential average with decay 0.9.
    FirstOrder,
    /// DOPPLER: two exponential averages with decay 0.8.
    SecondOrder,
    /// DiSK with a constant gain.
    Disk {
        /// The gain.
        kappa: f64,
        /// Where the second gradient is taken; none for one gradient at the place that makes one enough.
        gamma: Option<f64>,
    },
    /// DiSK with gain 0.5 and one gradient, then DOPPLER of first order.
    Both,
}

impl Filtering {
    /// Those that are compared.
    pub const ALL: [Filtering; 7] = [
        Filtering::None,
        Filtering::FirstOrder,
        Filtering::SecondOrder,
        Filtering::Disk { kappa: 0.7, gamma: Some(0.5) },
        Filtering::Disk { kappa: 0.5, gamma: Some(0.7) },
        Filtering::Disk { kappa: 0.3, gamma: None },
        Filtering::Both,
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Filtering::None => "no filter".into(),
            Filtering::FirstOrder => "DOPPLER, first order".into(),
            Filtering::SecondOrder => "DOPPLER, second order".into(),
            Filtering::Disk { kappa, gamma: Some(gamma) } => {
                format!("DiSK, kappa {kappa}, gamma {gamma}")
            }
            Filtering::Disk { kappa, gamma: None } => format!("DiSK, kappa {kappa}, one gradient"),
            Filtering::Both => "DiSK, kappa 0.5, then DOPPLER".into(),
        }
    }

    /// Its name in figures.
    #[must_use]
    pub fn key(self) -> String {
        match self {
            Filtering::None => "none".into(),
            Filtering::FirstOrder => "first-order".into(),
            Filtering::SecondOrder => "second-order".into(),
            Filtering::Disk { kappa, .. } => format!("disk-{kappa}"),
            Filtering::Both => "both".into(),
        }
    }

    /// Calls `f` with the filter.
    ///
    /// # Errors
    /// That of `f`; for a gain or a distance out of range.
    pub(crate) fn with<R>(self, f: impl WithFilter<R>) -> Result<R> {
        let low_pass = |recipe: Recipe| LowPass::new(recipe.filter());
        match self {
            Filtering::None => f.call(Identity),
            Filtering::FirstOrder => f.call(low_pass(Recipe::FirstOrder)),
            Filtering::SecondOrder => f.call(low_pass(Recipe::DoublePole)),
            Filtering::Disk { kappa, gamma } => {
                f.call(Disk::new(kappa, gamma.map_or(LookAhead::Auto, LookAhead::Fixed))?)
            }
            Filtering::Both => {
                f.call(Disk::new(0.5, LookAhead::Auto)?.then(low_pass(Recipe::FirstOrder)))
            }
        }
    }

    /// The linear filter that it is where the parameters do not move.
    ///
    /// # Errors
    /// For a gain out of range.
    pub fn at_rest(self) -> Result<Filter> {
        let disk = |kappa: f64| Filter::ema(1.0 - kappa);
        Ok(match self {
            Filtering::None => Recipe::None.filter(),
            Filtering::FirstOrder => Recipe::FirstOrder.filter(),
            Filtering::SecondOrder => Recipe::DoublePole.filter(),
            Filtering::Disk { kappa, .. } => disk(kappa)?,
            Filtering::Both => {
                // One behind the other: numerators and denominators are multiplied.
                let (first, second) = (disk(0.5)?, Recipe::FirstOrder.filter());
                let (p, q) = (first.a()[0], second.a()[0]);
                Filter::new(vec![p + q, p * q], vec![first.b()[0] * second.b()[0]])?
            }
        })
    }
}

/// What descends the estimate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Base {
    /// The estimate itself.
    Sgd,
    /// AdamW without decay of the weights.
    AdamW,
}

impl Base {
    /// Both.
    pub const ALL: [Base; 2] = [Base::Sgd, Base::AdamW];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Base::Sgd => "SGD",
            Base::AdamW => "AdamW",
        }
    }

    /// Its name in figures.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Base::Sgd => "sgd",
            Base::AdamW => "adamw",
        }
    }

    /// Calls `f` with the optimizer.
    pub(super) fn with<R>(self, f: impl WithOptimizer<R>) -> R {
        match self {
            Base::Sgd => f.call(Sgd::default()),
            Base::AdamW => f.call(AdamW::default()),
        }
    }
}

/// A function of a filter of any kind.
pub(crate) trait WithFilter<R> {
    fn call<F: TakesPoints + 'static>(self, filter: F) -> Result<R>;
}

/// A function of an optimizer of any kind.
pub(super) trait WithOptimizer<R> {
    fn call<T: Transform>(self, optimizer: T) -> R;
}

/// What is measured along a training; it costs passes over all records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Watch {
    /// Nothing.
    Nothing,
    /// Every tenth step the distance of the estimate from the true gradient.
    Errors,
    /// That, and in the middle how the true gradients of consecutive steps resemble each other.
    ErrorsAndCorrelation,
}

/// A private training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// What stands before the optimizer.
    pub filtering: Filtering,
    /// The optimizer.
    pub base: Base,
    /// The constant rate.
    pub rate: f64,
    /// How gradients are clipped.
    pub clipping: ClipConfig,
    /// What it may spend.
    pub epsilon: f64,
    /// Expected records of a batch.
    pub batch_size: f64,
    /// Steps.
    pub steps: u64,
    /// Of first parameters, batches and noise.
    pub seed: u64,
    /// What is measured on the way.
    pub watch: Watch,
}

impl Training {
    /// Sizes without epsilon.
    pub(crate) fn budget(&self) -> Budget {
        let Training { clipping, batch_size, steps, .. } = *self;
        Budget { clipping, batch_size, steps }
    }
}
