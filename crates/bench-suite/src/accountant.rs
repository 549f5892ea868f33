//! The benchmark of accountants: settings to ask about, and processes that answer and say how long it took.

pub mod peers;
pub mod worker;

use std::time::Duration;

use dp_core::{Delta, DpEvent};
use serde::{Deserialize, Serialize};

use crate::error::Result;

/// How long one request may take before it is given up.
pub const LIMIT: Duration = Duration::from_secs(300);

/// So many Gaussian releases on Poisson samples, and the delta at which epsilon is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    /// The sample rate.
    pub q: f64,
    /// The noise multiplier.
    pub noise: f64,
    /// The number of releases.
    pub steps: u64,
    /// The delta.
    pub delta: f64,
}

impl Setting {
    /// The history as an event.
    ///
    /// # Errors
    /// If a number is outside its range.
    pub fn event(&self) -> Result<DpEvent> {
        Ok(DpEvent::gaussian(self.noise)?.sampled(self.q)?.repeated(self.steps))
    }

    /// Its delta, checked.
    ///
    /// # Errors
    /// If it is no probability below 1.
    pub fn delta(&self) -> Result<Delta> {
        Ok(Delta::new(self.delta)?)
    }
}

/// One request, to us and to peers.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Request {
    /// What is asked about.
    #[serde(flatten)]
    pub setting: Setting,
    /// How often.
    pub repeats: usize,
    /// The interval of dp-accounting's distribution, if not its usual one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<f64>,
    /// Ours: a bracket of this width, or the Renyi bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<f64>,
}

/// The answer of all of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Process CPU seconds of each time.
    pub cpu_s: Vec<f64>,
    /// Wall seconds.
    pub wall_s: Vec<f64>,
    /// Epsilon is at least this, if the accountant says so.
    pub lower: Option<f64>,
    /// What it gives as the epsilon.
    pub upper: f64,
}
