//! Controllers of rates: they ask for losses along the update, and the caller answers.
//!
//! A controller owns no model, no tensor and no closure. Between the computation of a direction and the step along it, the
//! caller asks [`RateController::ask`] what the controller wants to know, evaluates the loss there on one batch, and tells it,
//! until nothing is asked; then takes [`RateController::rates`] and says that the step was taken.

mod first;
mod merge;
mod settings;
mod state;
mod update;

use crate::error::Result;
pub use first::{FirstOutcome, FirstReport};
pub use settings::{EmaOf, FirstRate, Gen, HiDlr, Merge, Settings, Solve, Uphill};
pub use state::{Axis, AxisReport, FitReport, Joint, State};

/// One rate per group of parameters: the step is `w - sum_k rate_k d_k`.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct GroupRates(pub Vec<f64>);

/// What a controller wants to know before the next step.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// The losses at these rates along the current direction, all on the same samples.
    Losses(Vec<GroupRates>),
    /// Nothing: the rates are ready.
    Nothing,
}

/// Losses at the points that were asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    losses: Vec<Vec<f64>>,
    rounding: f64,
    magnitude: f64,
}

impl Observed {
    /// The loss of each sample at each point.
    ///
    /// # Shapes
    /// `[point][sample]`, the same samples in the same order at each.
    #[must_use]
    pub fn per_sample(losses: Vec<Vec<f64>>) -> Self {
        Observed { losses, rounding: 0.5 * f64::EPSILON, magnitude: 0.0 }
    }

    /// One loss at each point, as where only released means are known. Nothing is then known of the noise between samples.
    #[must_use]
    pub fn means(losses: &[f64]) -> Self {
        Self::per_sample(losses.iter().map(|loss| vec![*loss]).collect())
    }

    /// With the unit roundoff of the numbers that losses were computed in (2^-24 for singles), and the largest magnitude of
    /// what cancels in them beside the loss itself: of logits, or 0 where it is not known.
    #[must_use]
    pub fn computed_in(mut self, unit_roundoff: f64, magnitude: f64) -> Self {
        (self.rounding, self.magnitude) = (unit_roundoff, magnitude);
        self
    }
}

/// Chooses rates from losses along the update.
pub trait RateController {
    /// Memory between steps, which resumes bit by bit.
    type State: Clone + serde::Serialize + serde::de::DeserializeOwned;

    /// Memory before the first step.
    ///
    /// # Errors
    /// [`crate::Error::InvalidSetting`]; [`crate::Error::Length`] without groups.
    fn init(&self, n_groups: usize) -> Result<Self::State>;

    /// What to evaluate before the next step.
    fn ask(&self, state: &Self::State) -> Ask;

    /// The losses at the points of the last [`Self::ask`]. On an error the state is as it was.
    ///
    /// # Errors
    /// [`crate::Error::Length`] unless there are as many points, each with as many samples.
    fn tell(&self, observed: &Observed, state: &mut Self::State) -> Result<()>;

    /// The rates of the next step.
    ///
    /// # Errors
    /// [`crate::Error::StillAsking`] while something is asked.
    fn rates(&self, state: &Self::State) -> Result<GroupRates>;

    /// The step was taken.
    ///
    /// # Errors
    /// [`crate::Error::StillAsking`] while something is asked.
    fn stepped(&self, state: &mut Self::State) -> Result<()>;
}
