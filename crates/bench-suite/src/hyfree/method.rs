//! Where rates come from, as values.

use dp_core::hyfree::{Evidence, PaperLike, RatePolicy, Settings};
use serde::{Deserialize, Serialize};

use crate::autorate::Course;
use crate::budget::Budget;
use crate::config::ClipConfig;
use crate::error::Result;

/// What turns private gradients into directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Base {
    /// The gradient.
    Sgd,
    /// Sums of gradients with decay 0.9.
    HeavyBall,
    /// Adam without decay of the weights.
    Adam,
}

/// Decay of the averages of gradients.
const MOMENTUM: f64 = 0.9;

impl Base {
    /// All of them.
    pub const ALL: [Base; 3] = [Base::Sgd, Base::HeavyBall, Base::Adam];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Base::Sgd => "SGD",
            Base::HeavyBall => "heavy ball",
            Base::Adam => "Adam",
        }
    }

    /// Its name in figures.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Base::Sgd => "sgd",
            Base::HeavyBall => "heavy-ball",
            Base::Adam => "adam",
        }
    }

    /// Our rule for it, with a ladder.
    ///
    /// # Errors
    /// None for these decays.
    pub fn evidence(self) -> Result<Evidence> {
        let evidence = Evidence::default();
        Ok(match self {
            Base::Sgd => evidence,
            Base::HeavyBall | Base::Adam => evidence.with_momentum(MOMENTUM)?,
        })
    }
}

/// A rival of [`hessian_lr::rival`] on private gradients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rival {
    /// D-Adaptation of SGD.
    DAdaptSgd,
    /// D-Adaptation of Adam.
    DAdaptAdam,
    /// Prodigy.
    Prodigy,
}

impl Rival {
    /// All of them.
    pub const ALL: [Rival; 3] = [Rival::DAdaptSgd, Rival::DAdaptAdam, Rival::Prodigy];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Rival::DAdaptSgd => "D-Adaptation, SGD",
            Rival::DAdaptAdam => "D-Adaptation, Adam",
            Rival::Prodigy => "Prodigy",
        }
    }

    /// Its name in figures.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Rival::DAdaptSgd => "d-adaptation-sgd",
            Rival::DAdaptAdam => "d-adaptation-adam",
            Rival::Prodigy => "prodigy",
        }
    }
}

/// Where rates come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Method {
    /// A rate that was chosen, fading as told.
    Given {
        /// What is descended.
        base: Base,
        /// The rate at first.
        rate: f64,
        /// How it fades.
        course: Course,
    },
    /// Private losses, paid for.
    HyFree {
        /// What is descended.
        base: Base,
        /// Everything that can be set.
        settings: Settings,
    },
    /// A method that needs gradients alone.
    Rival(Rival),
}

impl Method {
    /// Our rule: from a ladder, or from a given rate.
    ///
    /// # Errors
    /// As [`Base::evidence`].
    pub fn evidence(base: Base, first_rate: Option<f64>) -> Result<Self> {
        let evidence = base.evidence()?;
        let evidence = first_rate.map_or(evidence, |rate| evidence.from_rate(rate));
        Ok(Method::HyFree { base, settings: Settings::evidence(evidence) })
    }

    /// The published rule.
    #[must_use]
    pub fn paper(base: Base, first_rate: f64) -> Self {
        let policy = RatePolicy::PaperLike(PaperLike { first_rate, ..PaperLike::default() });
        Method::HyFree { base, settings: Settings { policy, ..Settings::paper() } }
    }
}

/// A private training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// Where rates come from.
    pub method: Method,
    /// How gradients are clipped.
    pub clipping: ClipConfig,
    /// What it may spend; gradients and losses together.
    pub epsilon: f64,
    /// Expected records of a batch.
    pub batch_size: f64,
    /// Steps.
    pub steps: u64,
    /// Of first parameters, batches and noise.
    pub seed: u64,
}

impl Training {
    /// Sizes without epsilon.
    pub(crate) fn budget(&self) -> Budget {
        let Training { clipping, batch_size, steps, .. } = *self;
        Budget { clipping, batch_size, steps }
    }
}
