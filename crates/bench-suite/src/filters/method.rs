//! Filters and optimizers, as values.

use dp_filters::{AdamMode, Disk, Filter, FilteredAdam, LookAhead, LowPass, Recipe, TakesPoints};
use serde::{Deserialize, Serialize};
use tensor_tree::{AdamW, Identity, Sgd, Transform};

use crate::budget::Budget;
use crate::config::ClipConfig;
use crate::error::Result;

/// What is done to private gradients on their way into the optimizer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Filtering {
    /// Nothing.
    None,
    /// DOPPLER: the exponential average with decay 0.9; with Adam in the place of its first moment, which then is Adam.
    FirstOrder,
    /// DOPPLER: two exponential averages with decay 0.8; with Adam in the place of its first moment.
    SecondOrder,
    /// The first before Adam, as Adam's gradient.
    FirstOrderBefore,
    /// The second before Adam.
    SecondOrderBefore,
    /// DiSK with a constant gain.
    Disk {
        /// The gain.
        kappa: f64,
        /// Where the second gradient is taken; none for one gradient at the place that makes one enough.
        gamma: Option<f64>,
    },
    /// DiSK with gain 0.5 and one gradient, then DOPPLER of second order, with Adam in the place of its first moment.
    Both,
}

/// The gain of DiSK where DOPPLER follows.
const KAPPA_OF_BOTH: f64 = 0.5;

impl Filtering {
    /// Those that are compared with this optimizer.
    #[must_use]
    pub fn all(base: Base) -> Vec<Filtering> {
        let mut all = vec![Filtering::None, Filtering::FirstOrder, Filtering::SecondOrder];
        if base == Base::AdamW {
            all.extend([Filtering::FirstOrderBefore, Filtering::SecondOrderBefore]);
        }
        all.extend([
            Filtering::Disk { kappa: 0.7, gamma: Some(0.5) },
            Filtering::Disk { kappa: 0.5, gamma: Some(0.7) },
            Filtering::Disk { kappa: 0.3, gamma: None },
            Filtering::Both,
        ]);
        all
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Filtering::None => "no filter".into(),
            Filtering::FirstOrder => "DOPPLER, first order".into(),
            Filtering::SecondOrder => "DOPPLER, second order".into(),
            Filtering::FirstOrderBefore => "DOPPLER, first order, before Adam".into(),
            Filtering::SecondOrderBefore => "DOPPLER, second order, before Adam".into(),
            Filtering::Disk { kappa, gamma: Some(gamma) } => {
                format!("DiSK, kappa {kappa}, gamma {gamma}")
            }
            Filtering::Disk { kappa, gamma: None } => format!("DiSK, kappa {kappa}, one gradient"),
            Filtering::Both => "DiSK, kappa 0.5, then DOPPLER, second order".into(),
        }
    }

    /// Its name in figures.
    #[must_use]
    pub fn key(self) -> String {
        match self {
            Filtering::None => "none".into(),
            Filtering::FirstOrder => "first-order".into(),
            Filtering::SecondOrder => "second-order".into(),
            Filtering::FirstOrderBefore => "first-order-before".into(),
            Filtering::SecondOrderBefore => "second-order-before".into(),
            Filtering::Disk { kappa, .. } => format!("disk-{kappa}"),
            Filtering::Both => "both".into(),
        }
    }

    /// Calls `f` with the filter and the optimizer behind it.
    ///
    /// # Errors
    /// That of `f`; for a gain or a distance out of range.
    pub(crate) fn with<R>(self, base: Base, f: impl WithChain<R>) -> Result<R> {
        let disk = |kappa: f64, gamma: Option<f64>| {
            Disk::new(kappa, gamma.map_or(LookAhead::Auto, LookAhead::Fixed))
        };
        let first = || LowPass::new(Recipe::FirstOrder.filter());
        let second = || LowPass::new(Recipe::DoublePole.filter());
        let adam = |filter: LowPass| FilteredAdam::new(filter, AdamMode::ReplaceFirstMoment);
        match base {
            Base::Sgd => {
                let sgd = Sgd::default();
                match self {
                    Filtering::None => f.call(Identity, sgd),
                    Filtering::FirstOrder | Filtering::FirstOrderBefore => f.call(first(), sgd),
                    Filtering::SecondOrder | Filtering::SecondOrderBefore => f.call(second(), sgd),
                    Filtering::Disk { kappa, gamma } => f.call(disk(kappa, gamma)?, sgd),
                    Filtering::Both => f.call(disk(KAPPA_OF_BOTH, None)?.then(second()), sgd),
                }
            }
            Base::AdamW => match self {
                Filtering::None => f.call(Identity, AdamW::default()),
                Filtering::FirstOrder => f.call(Identity, adam(first())?),
                Filtering::SecondOrder => f.call(Identity, adam(second())?),
                Filtering::FirstOrderBefore => f.call(first(), AdamW::default()),
                Filtering::SecondOrderBefore => f.call(second(), AdamW::default()),
                Filtering::Disk { kappa, gamma } => f.call(disk(kappa, gamma)?, AdamW::default()),
                Filtering::Both => f.call(disk(KAPPA_OF_BOTH, None)?, adam(second())?),
            },
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
            Filtering::FirstOrder | Filtering::FirstOrderBefore => Recipe::FirstOrder.filter(),
            Filtering::SecondOrder | Filtering::SecondOrderBefore => Recipe::DoublePole.filter(),
            Filtering::Disk { kappa, .. } => disk(kappa)?,
            Filtering::Both => {
                // One behind the other: numerators and denominators are multiplied.
                let (first, second) = (disk(KAPPA_OF_BOTH)?, Recipe::DoublePole.filter());
                let p = first.a()[0];
                let (q, r) = (second.a()[0], second.a()[1]);
                let b = first.b()[0] * second.b()[0];
                Filter::new(vec![p + q, p * q + r, p * r], vec![b])?
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
}

/// A function of a filter and an optimizer of any kind.
pub(crate) trait WithChain<R> {
    fn call<F: TakesPoints + 'static, T: Transform + 'static>(
        self,
        filter: F,
        optimizer: T,
    ) -> Result<R>;
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
