//! Settings of a run.

use hessian_lr::controller::Gen;
use tensor_tree::Schedule;

use super::optimizer::Optimizer;
use crate::feed::{Anchor, Pairing};
use crate::method::Method;
use crate::{Error, Result};

/// How far a step goes.
#[derive(Clone, Debug, PartialEq)]
pub enum Rate {
    /// A rate with its course.
    Fixed {
        /// The peak rate.
        rate: f64,
        /// Its course over the steps.
        schedule: Schedule,
    },
    /// From the curvature of the retain loss along the step, on the rows to keep of that step: see [`crate::auto_rate`].
    Auto(Gen),
}

/// Beyond which loss on rows to forget a run has over-unlearned.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Ceiling {
    /// The loss of a random guess, the logarithm of the number of tokens.
    #[default]
    RandomGuess,
    /// This one, in nats for each token: that of a model that never saw the rows, where it is known.
    Nats(f64),
    /// None.
    None,
}

/// When a run ends by itself. Time and interruptions are its caller's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stop {
    /// Most steps.
    pub steps: u64,
    /// The least utility: `exp(-(rise of the retain loss))`, the part of the probability of each token to keep that is left, a geometric
    /// mean. None never stops.
    pub utility_floor: Option<f64>,
    /// Where forgetting ends.
    pub forget_ceiling: Ceiling,
    /// Steps in a row that may be skipped.
    pub most_skipped: u64,
}

impl Stop {
    /// After so many steps, or at the loss of a random guess.
    #[must_use]
    pub fn after(steps: u64) -> Self {
        Stop { steps, utility_floor: None, forget_ceiling: Ceiling::RandomGuess, most_skipped: 5 }
    }
}

/// Which parameters a run ends with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Keep {
    /// Those of the last step, as in papers.
    #[default]
    Last,
    /// Those of the check with the best quality.
    Best,
}

/// Everything that can be set.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The method.
    pub method: Method,
    /// What turns its directions into steps.
    pub optimizer: Optimizer,
    /// Bound of the norm of the direction, if any.
    pub max_norm: Option<f64>,
    /// How far a step goes.
    pub rate: Rate,
    /// Rows of each set in a step.
    pub batch: usize,
    /// Most rows of a pass; a step adds up as many passes as it takes, which changes memory and rounding alone.
    pub micro_batch: usize,
    /// The set whose passes are epochs.
    pub anchor: Anchor,
    /// How rows of the other set are chosen.
    pub pairing: Pairing,
    /// When the run ends.
    pub stop: Stop,
    /// Steps between two checks on rows of both sets.
    pub check_every: u64,
    /// Which parameters the run ends with.
    pub keep: Keep,
    /// Of orders, pairs and random weights.
    pub seed: u64,
}

impl Settings {
    /// AdamW with a constant rate, batches of 32 rows in passes of 8, checks each tenth of the steps.
    #[must_use]
    pub fn new(method: Method, rate: f64, steps: u64) -> Self {
        Settings {
            method,
            optimizer: Optimizer::default(),
            max_norm: None,
            rate: Rate::Fixed { rate, schedule: Schedule::Constant },
            batch: 32,
            micro_batch: 8,
            anchor: Anchor::default(),
            pairing: Pairing::default(),
            stop: Stop::after(steps),
            check_every: (steps / 10).max(1),
            keep: Keep::default(),
            seed: 0,
        }
    }

    /// Plain learning of the rows to keep, which are the anchor: without a ceiling, since a model that is new to the other rows begins above
    /// it. The rows to forget are looked at in checks alone.
    ///
    /// # Errors
    /// None: `retain` is a method.
    pub fn learning(rate: f64, steps: u64) -> Result<Self> {
        let method = Method::named("retain")?;
        Ok(Settings {
            anchor: Anchor::Retain,
            stop: Stop { forget_ceiling: Ceiling::None, ..Stop::after(steps) },
            ..Settings::new(method, rate, steps)
        })
    }

    pub(super) fn check(&self) -> Result<()> {
        self.method.check()?;
        let number = |name: &'static str, must: &'static str, got: f64, holds: bool| {
            if holds { Ok(()) } else { Err(Error::OutOfRange { name, must, got }) }
        };
        if let Rate::Fixed { rate, schedule } = self.rate {
            number("rate", "finite and positive", rate, 0.0 < rate && rate.is_finite())?;
            schedule.check()?;
        } else {
            self.method.allows_automatic_rate()?;
        }
        let counts = [
            ("rows of a batch", self.batch as u64),
            ("rows of a pass", self.micro_batch as u64),
            ("steps", self.stop.steps),
            ("steps between checks", self.check_every),
        ];
        for (name, count) in counts {
            number(name, "at least 1", count as f64, 1 <= count)?;
        }
        if let Some(floor) = self.stop.utility_floor {
            number("utility floor", "in [0, 1]", floor, (0.0..=1.0).contains(&floor))?;
        }
        if let Ceiling::Nats(nats) = self.stop.forget_ceiling {
            number("forget ceiling", "positive", nats, 0.0 < nats)?;
        }
        Ok(())
    }
}
