//! Checks on fixed rows of both sets, and how good a point is.

use candle_core::Device;
use serde::{Deserialize, Serialize};
use tape_nn::net::LanguageModel;
use tensor_tree::{Key, Label, Purpose, Tree};

use super::settings::Ceiling;
use crate::Result;
use crate::batch::{Batch, Item};
use crate::feed::permutation;
use crate::loss::{Loss, Objective};

/// The rows of checks, in passes.
#[derive(Clone, Debug)]
pub struct Checks {
    /// Rows to forget.
    pub forget: Vec<Batch>,
    /// Rows to keep; better others than steps see, where there are many.
    pub retain: Vec<Batch>,
}

impl Checks {
    /// All of these rows, in passes of at most so many.
    ///
    /// # Errors
    /// From the back-end.
    pub fn new(
        (forget, retain): (&[Item], &[Item]),
        micro_batch: usize,
        device: &Device,
    ) -> Result<Self> {
        let of = |items: &[Item]| Batch::passes(items.to_vec(), micro_batch, device);
        Ok(Checks { forget: of(forget)?, retain: of(retain)? })
    }

    /// Which of `n` rows are checked where at most `most` are to be, in their order: all, or some that are drawn, the same each time. Rows
    /// of documents repeat their kinds in turn, and evenly spaced ones may all be of one kind.
    #[must_use]
    pub fn drawn(n: usize, most: usize) -> Vec<usize> {
        let key = Key::from_seed(0).child(Label::For(Purpose::Sampling));
        let mut chosen = permutation(key, n);
        chosen.truncate(most);
        chosen.sort_unstable();
        chosen
    }
}

/// Both losses at a point.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Steps taken before it.
    pub step: u64,
    /// The mean `-log p` of tokens to forget, in nats.
    pub forget: f64,
    /// The same of tokens to keep.
    pub retain: f64,
    /// `exp(-(rise of the retain loss since step 0))`, at most 1.
    pub utility: f64,
    /// The part of the way from the first forget loss to the ceiling, in [0, 1]. Without a ceiling to the loss of a random guess.
    pub progress: f64,
    /// The harmonic mean of utility and progress: what the best point has most of.
    pub quality: f64,
}

impl Check {
    pub(super) fn of<M: LanguageModel + ?Sized>(
        (model, frozen): (&M, &Tree),
        params: &Tree,
        checks: &Checks,
        (step, first): (u64, Option<&Check>),
        ceiling: Ceiling,
    ) -> Result<Check> {
        let objective = Objective { model, frozen, loss: Loss::NextToken };
        let forget = objective.value(params, &checks.forget)?.nll;
        let retain = objective.value(params, &checks.retain)?.nll;
        let (forget0, retain0) = first.map_or((forget, retain), |c| (c.forget, c.retain));
        let to =
            nats(ceiling, model.vocab_size()).unwrap_or_else(|| random_guess(model.vocab_size()));
        let utility = (retain0 - retain).exp().min(1.0);
        let way = to - forget0;
        let progress = if way <= 0.0 { 1.0 } else { ((forget - forget0) / way).clamp(0.0, 1.0) };
        let sum = utility + progress;
        let quality = if 0.0 < sum { 2.0 * utility * progress / sum } else { 0.0 };
        Ok(Check { step, forget, retain, utility, progress, quality })
    }
}

/// The ceiling in nats, if there is one.
pub(super) fn nats(ceiling: Ceiling, vocab_size: usize) -> Option<f64> {
    match ceiling {
        Ceiling::RandomGuess => Some(random_guess(vocab_size)),
        Ceiling::Nats(nats) => Some(nats),
        Ceiling::None => None,
    }
}

fn random_guess(vocab_size: usize) -> f64 {
    (vocab_size as f64).ln()
}

#[cfg(test)]
mod tests {
    use super::Checks;

    #[test]
    fn a_check_sees_rows_of_every_kind() {
        // Documents of so many rows, as those of LUME and its generator have.
        for period in [2, 5, 6] {
            let seen = Checks::drawn(130, 48);
            assert_eq!(seen.len(), 48);
            for kind in 0..period {
                let n = seen.iter().filter(|row| **row % period == kind).count();
                assert!(48 / period / 2 <= n, "{n} of kind {kind} of {period}");
            }
        }
    }

    #[test]
    fn few_rows_are_all_checked_and_others_once_in_their_order() {
        assert_eq!(Checks::drawn(5, 5), [0, 1, 2, 3, 4]);
        assert_eq!(Checks::drawn(5, usize::MAX), [0, 1, 2, 3, 4]);
        let some = Checks::drawn(50, 30);
        assert!(some.len() == 30 && some.iter().all(|row| *row < 50));
        assert!(some.windows(2).all(|pair| pair[0] < pair[1]), "{some:?}");
        assert_eq!(Checks::drawn(50, 30), some);
        assert!(Checks::drawn(0, 3).is_empty() && Checks::drawn(3, 0).is_empty());
    }
}
