//! Gradient descent, plain and with momentum.

use crate::checkpoint::{Checkpoint, StateReader, StateWriter};
use crate::error::{Error, Result};
use crate::transform::Transform;
use crate::tree::Tree;

/// The gradient itself, plus `weight_decay * params`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sgd {
    /// Coefficient of the parameters added to the direction (decoupled decay; 0 for none).
    pub weight_decay: f64,
}

impl Transform for Sgd {
    type State = ();

    fn init(&self, _params: &Tree) -> Result<()> {
        Ok(())
    }

    fn update(&self, grads: Tree, params: &Tree, _state: &mut ()) -> Result<Tree> {
        params.check_like(&grads)?;
        if self.weight_decay == 0.0 {
            return Ok(grads);
        }
        grads.add_scaled(self.weight_decay, params)
    }
}

/// Heavy-ball momentum: `m <- decay * m + (1 - damping) * g`; the direction is `m`, or with `nesterov`
/// `g + decay * m`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Momentum {
    /// Factor of the old momentum, in `[0, 1)`.
    pub decay: f64,
    /// Part of the gradient that is left out of the momentum.
    pub damping: f64,
    /// Whether to look ahead.
    pub nesterov: bool,
}

impl Default for Momentum {
    fn default() -> Self {
        Momentum { decay: 0.9, damping: 0.0, nesterov: false }
    }
}

/// Memory of [`Momentum`].
#[derive(Clone, Debug)]
pub struct MomentumState {
    /// The momentum.
    pub momentum: Tree,
}

impl Transform for Momentum {
    type State = MomentumState;

    fn init(&self, params: &Tree) -> Result<MomentumState> {
        if !(0.0 <= self.decay && self.decay < 1.0) {
            return Err(Error::InvalidSetting {
                name: "momentum decay",
                must: "in [0, 1)",
                got: self.decay,
            });
        }
        Ok(MomentumState { momentum: params.zeros_like()? })
    }

    fn update(&self, grads: Tree, params: &Tree, state: &mut MomentumState) -> Result<Tree> {
        params.check_like(&grads)?;
        let old = state.momentum.beside(&grads)?;
        let momentum = old.lin_comb(self.decay, 1.0 - self.damping, &grads)?;
        let direction =
            if self.nesterov { grads.add_scaled(self.decay, &momentum)? } else { momentum.clone() };
        state.momentum = momentum;
        Ok(direction)
    }
}

impl Checkpoint for MomentumState {
    fn save(&self, out: &mut StateWriter) -> Result<()> {
        out.tree("momentum", &self.momentum)
    }

    fn load(from: &mut StateReader<'_>) -> Result<Self> {
        Ok(MomentumState { momentum: from.tree("momentum")? })
    }
}
