//! Whether forgetting survives what happens to a model later and what the curious try: relearning from a few documents, rounding of
//! weights, other words, many attempts, membership inference. All but rounding is set beside gold, a model that never saw the forget set.
//!
//! | question | settings | result |
//! | --- | --- | --- |
//! | does a little fine-tuning bring the rest back? | [`Relearning`] | [`Relearned`] |
//! | does a quantized copy know more? | bits, see [`round_to_bits`] | [`Rounding`] |
//! | does it answer in other words? | | [`Paraphrases`] |
//! | does it answer when asked often? | [`BestOf`] | [`Attempts`] |
//! | does it betray what it was trained on? | [`MembershipTest`] | [`Membership`] |
//! | all of these | [`Robustness`] | [`Report`] |

mod attempts;
mod membership;
mod paraphrase;
mod relearn;
mod report;
mod round;
mod rounding;
mod suite;

pub use attempts::{Attempts, BestOf, RowAttempts};
pub use membership::{Attack, AttackResult, Membership, MembershipTest};
pub use paraphrase::{Asked, Paraphrases, Reworded, reworded};
pub use relearn::{Curve, Point, Relearned, Relearning};
pub use report::Report;
pub use round::round_to_bits;
pub use rounding::{Rounded, Rounding};
pub use suite::Robustness;

use serde::{Deserialize, Serialize};

use crate::exam::Subject;
use crate::{Error, Result};

/// The same of the model that was to forget and of gold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Both<T> {
    /// Of the model that was to forget.
    pub unlearned: T,
    /// Of the model that never saw the forget set.
    pub gold: T,
}

/// Models that are compared: of the same sizes, with the same parameters trained, and asked in the same way.
#[derive(Debug)]
pub struct Models<'a, M: ?Sized> {
    /// The model that was to forget.
    pub unlearned: &'a Subject<'a, M>,
    /// The model that never saw the forget set.
    pub gold: &'a Subject<'a, M>,
    /// The model that knows it.
    pub target: &'a Subject<'a, M>,
}

impl<'a, M: ?Sized> Models<'a, M> {
    /// Something of both models.
    fn both<T>(
        &self,
        mut of: impl FnMut(&'a Subject<'a, M>, &'static str) -> Result<T>,
    ) -> Result<Both<T>> {
        Ok(Both { unlearned: of(self.unlearned, "unlearned")?, gold: of(self.gold, "gold")? })
    }
}

/// The error of a caller who does not want to go on.
fn stopped(what: &'static str, done: usize, total: usize) -> Error {
    Error::Model(tape_nn::Error::Stopped { what, done, total })
}

#[cfg(test)]
mod tests;
