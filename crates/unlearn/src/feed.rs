//! Which rows a step sees: the order of the anchor, and the partners of its rows.

use tensor_tree::{Key, Label, Purpose};

use crate::{Error, Result};

/// The set whose passes are epochs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Anchor {
    /// Rows to forget: an epoch is one pass over them, and most rows to keep may never be seen.
    #[default]
    Forget,
    /// Rows to keep.
    Retain,
}

/// How rows of the other set are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Pairing {
    /// Uniformly, with replacement, as in OpenUnlearning.
    #[default]
    Random,
    /// The row of the same number, shifted at random, modulo the size of the set, as in TOFU's code.
    Shifted,
    /// The row of the same number, modulo the size of the set, as in MUSE's code.
    Cyclic,
}

/// Draws batches of both sets, of equal size. What a step sees follows from the seed and the number of the step alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feed {
    /// Rows to forget.
    pub n_forget: usize,
    /// Rows to keep.
    pub n_retain: usize,
    /// Rows of each set in a step.
    pub batch: usize,
    /// The set whose passes are epochs.
    pub anchor: Anchor,
    /// How rows of the other set are chosen.
    pub pairing: Pairing,
    /// Of the order and the pairs.
    pub seed: u64,
}

/// Numbers of rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// To forget.
    pub forget: Vec<usize>,
    /// To keep.
    pub retain: Vec<usize>,
}

impl Feed {
    /// Whether there is something to draw.
    ///
    /// # Errors
    /// [`Error::Empty`] for an empty set, [`Error::OutOfRange`] for a batch of no rows.
    pub fn check(&self) -> Result<()> {
        for (n, what) in [(self.n_forget, "rows to forget"), (self.n_retain, "rows to keep")] {
            if n == 0 {
                return Err(Error::Empty { what });
            }
        }
        if self.batch == 0 {
            return Err(Error::OutOfRange {
                name: "rows of a batch",
                must: "at least 1",
                got: 0.0,
            });
        }
        Ok(())
    }

    /// Steps of so many passes over the anchor, the last one begun included.
    #[must_use]
    pub fn steps(&self, epochs: f64) -> u64 {
        let (n, _) = self.sizes();
        let steps = (epochs * n as f64 / self.batch.max(1) as f64).ceil();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        let steps = steps as u64;
        steps
    }

    /// The rows of a step. Anchors come in a new order in each epoch, without gaps between them.
    #[must_use]
    pub fn rows(&self, step: u64) -> Rows {
        let (n, m) = self.sizes();
        let key = Key::from_seed(self.seed).child(Label::For(Purpose::Sampling));
        let mut draws = vec![0f64; self.batch];
        key.child(Label::Step(step)).child(Label::Leaf("partners")).fill_uniform(&mut draws);
        let mut order: Option<(u64, Vec<usize>)> = None;
        let (mut anchors, mut partners) = (Vec::new(), Vec::new());
        for (i, draw) in draws.into_iter().enumerate() {
            let place = step * self.batch as u64 + i as u64;
            let epoch = place / n as u64;
            let within = usize::try_from(place % n as u64).unwrap_or(0);
            if order.as_ref().is_none_or(|(of, _)| *of != epoch) {
                order = Some((epoch, permutation(key.child(Label::Sample(epoch)), n)));
            }
            let anchor = order.as_ref().map_or(within, |(_, order)| order[within]);
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below m")]
            let random = ((draw * m as f64) as usize).min(m - 1);
            anchors.push(anchor);
            partners.push(match self.pairing {
                Pairing::Random => random,
                Pairing::Shifted => (anchor + random) % m,
                Pairing::Cyclic => anchor % m,
            });
        }
        match self.anchor {
            Anchor::Forget => Rows { forget: anchors, retain: partners },
            Anchor::Retain => Rows { forget: partners, retain: anchors },
        }
    }

    /// Rows of the anchor and of the other set.
    fn sizes(&self) -> (usize, usize) {
        let (f, r) = (self.n_forget.max(1), self.n_retain.max(1));
        match self.anchor {
            Anchor::Forget => (f, r),
            Anchor::Retain => (r, f),
        }
    }
}

/// Two draws of a standard normal for a step.
pub(crate) fn normals(seed: u64, step: u64) -> [f64; 2] {
    let key = Key::from_seed(seed).child(Label::For(Purpose::Sampling)).child(Label::Step(step));
    let mut draws = [0f64; 2];
    key.child(Label::Leaf("weights")).fill_normal(&mut draws);
    draws
}

/// A random order of `n` numbers.
pub(crate) fn permutation(key: Key, n: usize) -> Vec<usize> {
    let mut draws = vec![0f64; n];
    key.fill_uniform(&mut draws);
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|a, b| draws[*a].total_cmp(&draws[*b]).then(a.cmp(b)));
    order
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn an_epoch_sees_every_anchor_once(
            n_forget in 1usize..30,
            n_retain in 1usize..30,
            batch in 1usize..9,
            seed in 0u64..1000,
            retain in any::<bool>(),
            pairing in prop_oneof![Just(Pairing::Random), Just(Pairing::Shifted), Just(Pairing::Cyclic)],
        ) {
            let anchor = if retain { Anchor::Retain } else { Anchor::Forget };
            let feed = Feed { n_forget, n_retain, batch, anchor, pairing, seed };
            feed.check().unwrap();
            let (n, m) = feed.sizes();
            let rows: Vec<Rows> = (0..feed.steps(2.0)).map(|t| feed.rows(t)).collect();
            let all: Vec<usize> = rows
                .iter()
                .flat_map(|r| if retain { r.retain.clone() } else { r.forget.clone() })
                .collect();
            let others: Vec<usize> = rows
                .iter()
                .flat_map(|r| if retain { r.forget.clone() } else { r.retain.clone() })
                .collect();
            prop_assert!(2 * n <= all.len() && others.iter().all(|i| *i < m));
            for epoch in all.chunks(n).take(2) {
                let mut seen = epoch.to_vec();
                seen.sort_unstable();
                prop_assert_eq!(seen, (0..n).collect::<Vec<_>>());
            }
            // Nothing is remembered between steps.
            prop_assert_eq!(feed.rows(1), feed.rows(1));
        }
    }

    #[test]
    fn empty_sets_are_refused_and_pairs_follow_their_rule() {
        let feed = Feed {
            n_forget: 5,
            n_retain: 3,
            batch: 5,
            anchor: Anchor::Forget,
            pairing: Pairing::Cyclic,
            seed: 1,
        };
        let rows = feed.rows(0);
        assert!(rows.forget.iter().zip(&rows.retain).all(|(f, r)| f % 3 == *r));
        assert_ne!(feed.rows(0).forget, feed.rows(1).forget);
        assert!(matches!(Feed { n_forget: 0, ..feed }.check(), Err(Error::Empty { .. })));
        assert!(matches!(Feed { n_retain: 0, ..feed }.check(), Err(Error::Empty { .. })));
        assert!(matches!(Feed { batch: 0, ..feed }.check(), Err(Error::OutOfRange { .. })));
    }
}
