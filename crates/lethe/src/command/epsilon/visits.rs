//! In how many of a phase's batches one record may be.

/// How often a record takes part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Visits {
    /// It may be in every batch.
    Every,
    /// The batches of an epoch are disjoint: it is in one of them.
    Epochs {
        /// Epochs that were begun.
        epochs: u64,
        /// Whole batches of an epoch; the last, smaller one may be left out or not.
        batches: u64,
    },
}

impl Visits {
    /// So many passes over shuffled records, in batches that are this part of them.
    pub(super) fn of_epochs(epochs: f64, rate: f64) -> Self {
        Visits::Epochs { epochs: whole(epochs.ceil()), batches: whole_batches(1.0 / rate) }
    }

    /// So many steps in batches of this size. If the smaller last batch is left out, epochs are short and there are more of them.
    pub(super) fn of_steps(steps: u64, samples: u64, batch: f64) -> Self {
        let batches = whole_batches(samples as f64 / batch);
        Visits::Epochs { epochs: steps.div_ceil(batches), batches }
    }

    /// In how many of the first `steps` batches of a phase that begins an epoch a record may be.
    pub(super) fn among(self, steps: u64) -> u64 {
        match self {
            Visits::Every => steps,
            Visits::Epochs { epochs, batches } => epochs.min(steps.div_ceil(batches)),
        }
    }

    /// How many steps have no more than so many visits.
    pub(super) fn steps_within(self, visits: u64) -> u64 {
        match self {
            Visits::Every => visits,
            Visits::Epochs { batches, .. } => visits.saturating_mul(batches),
        }
    }
}

/// Rounded down, but not because of the last digit of the quotient.
fn whole_batches(in_epoch: f64) -> u64 {
    whole((in_epoch * (1.0 + 1e-12)).floor())
}

/// At least 1, as whoever calls has checked up to rounding.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts saturate")]
fn whole(x: f64) -> u64 {
    (x as u64).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_in_one_batch_of_each_epoch_that_was_begun() {
        let visits = |epochs| Visits::of_epochs(epochs, 256.0 / 60_000.0).among(u64::MAX);
        assert_eq!([visits(10.0), visits(10.01), visits(0.3)], [10, 11, 1]);
        // 234 whole batches of 256; the rest of 96 records may be left out.
        for (steps, epochs) in [(1, 1), (234, 1), (235, 2), (468, 2), (2344, 11)] {
            let visits = Visits::of_steps(steps, 60_000, 256.0);
            assert_eq!(visits.among(steps), epochs, "{steps}");
            assert!(steps <= visits.steps_within(epochs));
        }
        assert_eq!(Visits::of_steps(7, 100, 100.0).among(7), 7);
        assert_eq!(Visits::Every.among(7), 7);
    }

    #[test]
    fn visits_of_a_part_of_a_run_are_never_more_than_those_of_all() {
        let visits = Visits::of_epochs(3.0, 0.01);
        assert_eq!([1, 100, 101, 250, 300, 301].map(|n| visits.among(n)), [1, 1, 2, 3, 3, 3]);
    }
}
