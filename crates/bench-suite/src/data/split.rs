//! Shuffled splits in training and test samples that depend on a seed alone.

use chacha20::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};

use crate::error::{Error, Result};

/// Two disjoint lists of sample indices that together hold each sample once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Samples to train on, in shuffled order.
    pub train: Vec<usize>,
    /// Samples held out, in shuffled order.
    pub test: Vec<usize>,
}

/// The numbers below `n_samples` in an order that depends on the seed alone.
///
/// The order is part of the promise of this function: it is the Fisher-Yates shuffle from the
/// last position down, fed by ChaCha20, and does not change between versions or machines. Splits
/// are not secret: a seed that everyone may know is right here, also for private training.
pub fn shuffled_indices(n_samples: usize, seed: u64) -> Vec<usize> {
    let mut rng = rng(seed);
    let mut indices: Vec<usize> = (0..n_samples).collect();
    for last in (1..n_samples).rev() {
        indices.swap(last, at_most(last, &mut rng));
    }
    indices
}

/// Shuffles `n_samples` samples and holds the last `n_test` of them out.
///
/// Of the same number of samples and the same seed, a smaller test part is the end of a larger one.
///
/// # Errors
/// [`Error::Setting`] unless both parts get a sample.
pub fn shuffled_split(n_samples: usize, n_test: usize, seed: u64) -> Result<Split> {
    if n_test == 0 || n_samples <= n_test {
        return Err(Error::Setting {
            name: "number of test samples",
            must: "at least 1 and less than the number of samples",
            got: n_test as f64,
        });
    }
    let mut train = shuffled_indices(n_samples, seed);
    let test = train.split_off(n_samples - n_test);
    Ok(Split { train, test })
}

/// The stream of a seed; the other 24 bytes of the key keep it apart from other uses of the seed.
fn rng(seed: u64) -> ChaCha20Rng {
    let mut key = *b"seed....bench-suite data shuffle";
    key[..8].copy_from_slice(&seed.to_le_bytes());
    ChaCha20Rng::from_seed(key)
}

/// A uniform number from 0 to `max`, by rejection of the incomplete last block.
fn at_most(max: usize, rng: &mut impl Rng) -> usize {
    let n_values = max as u64 + 1;
    let limit = u64::MAX - u64::MAX % n_values;
    loop {
        let word = rng.next_u64();
        if word < limit {
            // At most `max`, so it fits.
            return usize::try_from(word % n_values).unwrap_or(max);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_a_seed_is_pinned() {
        // From an independent implementation of ChaCha20 and the shuffle.
        assert_eq!(shuffled_indices(10, 0), [7, 9, 4, 2, 0, 6, 3, 1, 5, 8]);
        assert_eq!(shuffled_indices(10_000, 0)[..5], [6482, 110, 2842, 1211, 297]);
        assert_eq!(shuffled_indices(10_000, 1)[..5], [8217, 59, 1778, 1776, 242]);
    }

    #[test]
    fn a_shuffle_holds_each_index_once_and_is_uniform() {
        let mut first = [0; 7];
        for seed in 0..7_000 {
            let mut order = shuffled_indices(7, seed);
            first[order[0]] += 1;
            order.sort_unstable();
            assert_eq!(order, [0, 1, 2, 3, 4, 5, 6]);
        }
        // 7000 draws of probability 1/7: std = sqrt(7000 * 1/7 * 6/7) = 29.3; 5 std = 146.
        assert!(first.iter().all(|count| (854..=1146).contains(count)), "{first:?}");
        assert!(shuffled_indices(0, 3).is_empty());
    }

    #[test]
    fn a_split_needs_both_parts() {
        let split = shuffled_split(5, 2, 9).unwrap();
        assert_eq!([split.train, split.test].concat(), shuffled_indices(5, 9));
        for n_test in [0, 5, 6] {
            assert!(matches!(shuffled_split(5, n_test, 9), Err(Error::Setting { .. })));
        }
    }
}
