//! Losses of language models on samples: to be kept by or to be forgotten by, with gradients over any number of micro-batches.

mod pass;
mod reference;

pub use pass::{Objective, Pass};
pub use reference::Reference;

use crate::batch::Item;
use crate::objective::{ForgetLoss, TokenLoss};
use crate::{Error, Result};

/// What a model is trained on; always descended.
///
/// The mean is over what counts in the whole effective batch: tokens for losses of tokens, samples for those of whole answers.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Loss {
    /// `-log p` of each token of the answer, a mean over tokens: what language models are trained on.
    NextToken,
    /// The same of a refusal in the place of the answer (IdkSFT).
    Refusal,
    /// A loss of whole answers. [`ForgetLoss::Ascent`] is minus [`Loss::NextToken`].
    Answers(ForgetLoss),
    /// A loss of each token.
    Tokens(TokenLoss, Positions),
}

/// Where a loss of tokens counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Positions {
    /// At the tokens of the answer.
    #[default]
    Answer,
    /// At those of the prompt too, as the code of TOFU does for its divergence. That also averages over padding, which depends on the
    /// other samples of a batch and never counts here.
    Text,
}

impl Loss {
    /// What it needs of each sample beside its tokens.
    #[must_use]
    pub fn needs(self) -> Needs {
        let none = Needs::default();
        match self {
            Loss::NextToken => none,
            Loss::Refusal => Needs { refusal: true, ..none },
            Loss::Answers(ForgetLoss::Npo { .. }) => Needs { reference: true, ..none },
            Loss::Answers(ForgetLoss::Dpo { .. }) => {
                Needs { refusal: true, reference: true, ..none }
            }
            Loss::Answers(_) => none,
            Loss::Tokens(loss, _) => Needs { distributions: loss.needs_reference(), ..none },
        }
    }

    /// Whether the loss has a lower bound: without one only a ceiling ends the forgetting.
    #[must_use]
    pub fn is_bounded(self) -> bool {
        match self {
            Loss::Answers(ForgetLoss::Ascent) => false,
            // Without its weight it is gradient ascent.
            Loss::Tokens(
                TokenLoss::Wga { beta: power } | TokenLoss::SatImp { beta1: power, .. },
                _,
            ) => 0.0 < power,
            _ => true,
        }
    }

    /// Whether a token of the sample counts.
    pub(crate) fn check_item(self, item: &Item) -> Result<()> {
        let Loss::Tokens(loss, positions) = self else { return Ok(()) };
        let n = match positions {
            Positions::Answer => item.sample.n_labels(),
            Positions::Text => item.sample.n_positions(),
        };
        if loss.skipped() < n {
            return Ok(());
        }
        Err(missing(self, "a token behind the first one, which does not count,"))
    }

    /// Whether its settings are within their ranges.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] with the setting.
    pub fn check(self) -> Result<()> {
        match self {
            Loss::Answers(loss) => loss.check(),
            Loss::Tokens(loss, _) => loss.check(),
            Loss::NextToken | Loss::Refusal => Ok(()),
        }
    }
}

/// What a loss needs of each sample beside its tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// A refusal to the same prompt.
    pub refusal: bool,
    /// Log-probabilities of answers before unlearning.
    pub reference: bool,
    /// Logits before unlearning.
    pub distributions: bool,
}

impl Needs {
    /// What one of two needs.
    #[must_use]
    pub fn or(self, other: Needs) -> Needs {
        Needs {
            refusal: self.refusal || other.refusal,
            reference: self.reference || other.reference,
            distributions: self.distributions || other.distributions,
        }
    }
}

fn missing(loss: Loss, what: &'static str) -> Error {
    Error::Missing { loss: format!("{loss:?}"), what }
}

#[cfg(test)]
mod tests;
