//! Runs that do nothing, or the opposite of what they are for.

use serde::{Deserialize, Serialize};
use tensor_tree::Tree;

use super::check::Check;
use crate::Result;

/// A change of the forget loss below this part of it is none.
const SEEN: f64 = 1e-4;

/// A run that did not forget, and why it seems so.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum NoOp {
    /// No parameter has another value than before.
    Unchanged,
    /// Parameters moved by less than their precision, by this part of their norm: most of each step was rounded away.
    Rounded {
        /// Norm of the change over that of the parameters.
        relative: f64,
    },
    /// The loss on what is to be forgotten fell: the run learned it.
    Learned {
        /// The change of the forget loss, in nats for each token.
        change: f64,
    },
    /// Parameters moved, but the loss on what is to be forgotten did not.
    LossUnchanged {
        /// The change of the forget loss, in nats for each token.
        change: f64,
    },
}

impl std::fmt::Display for NoOp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NoOp::Unchanged => f.write_str("no parameter has changed"),
            NoOp::Rounded { relative } => write!(
                f,
                "parameters moved by {relative:.1e} of their norm, which is below their precision: raise the rate"
            ),
            NoOp::Learned { change } => write!(
                f,
                "the forget loss fell by {:.1e} nats: what was to be forgotten was learned",
                -change
            ),
            NoOp::LossUnchanged { change } => write!(
                f,
                "parameters moved, but the forget loss changed by {change:.1e} nats alone: raise the rate or the number of steps"
            ),
        }
    }
}

impl NoOp {
    /// What a run left undone, if it did.
    pub(super) fn between(
        (start, end): (&Tree, &Tree),
        (first, last): (&Check, &Check),
    ) -> Result<Option<NoOp>> {
        let (moved, norm) = (end.add_scaled(-1.0, start)?.norm()?, start.norm()?);
        if moved == 0.0 {
            return Ok(Some(NoOp::Unchanged));
        }
        let change = last.forget - first.forget;
        let seen = SEEN * first.forget.abs().max(1.0) < change.abs();
        if seen && change < 0.0 {
            return Ok(Some(NoOp::Learned { change }));
        }
        // Half the precision of singles.
        if !seen && moved < 6e-8 * norm {
            return Ok(Some(NoOp::Rounded { relative: moved / norm }));
        }
        Ok((!seen).then_some(NoOp::LossUnchanged { change }))
    }
}
