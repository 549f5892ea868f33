//! Draws from the stream of a seed.

use std::collections::BTreeSet;

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};

use super::words::entries;

/// A stream of ChaCha20, and what must not be drawn again. What it gives is a promise: no part of it is left to a crate whose
/// algorithms may change.
pub(super) struct Draw {
    rng: ChaCha20Rng,
    given: BTreeSet<String>,
}

impl Draw {
    pub(super) fn new(seed: u64) -> Self {
        let mut key = *b"seed....unlearn made documents 1";
        key[..8].copy_from_slice(&seed.to_le_bytes());
        Draw { rng: ChaCha20Rng::from_seed(key), given: BTreeSet::new() }
    }

    /// A uniform number below `n`, which is positive, by rejection of the incomplete last block.
    pub(super) fn below(&mut self, n: usize) -> usize {
        let n_values = n.max(1) as u64;
        let limit = u64::MAX - u64::MAX % n_values;
        loop {
            let word = self.rng.next_u64();
            if word < limit {
                // Below `n`, so it fits.
                return usize::try_from(word % n_values).unwrap_or(0);
            }
        }
    }

    /// A uniform number of a range.
    pub(super) fn from(&mut self, first: usize, last: usize) -> usize {
        first + self.below(last - first + 1)
    }

    pub(super) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(super) fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }

    /// An entry of a list of words.
    pub(super) fn word(&mut self, list: &'static str) -> &'static str {
        self.pick(&entries(list))
    }

    /// All orders are equally likely.
    pub(super) fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            list.swap(last, self.below(last + 1));
        }
    }

    /// Draws until something comes that was not drawn before.
    pub(super) fn new_one(&mut self, mut draw: impl FnMut(&mut Self) -> String) -> String {
        loop {
            let drawn = draw(self);
            if self.given.insert(drawn.clone()) {
                return drawn;
            }
        }
    }

    /// A random UUID of version 4.
    pub(super) fn uuid(&mut self) -> String {
        self.new_one(|draw| {
            let (high, low) = (draw.rng.next_u64(), draw.rng.next_u64());
            let (version, variant) = (high & 0xfff | 0x4000, low >> 48 & 0x3fff | 0x8000);
            let (first, second) = (high >> 32, high >> 16 & 0xffff);
            format!(
                "{first:08x}-{second:04x}-{version:04x}-{variant:04x}-{:012x}",
                low & 0xffff_ffff_ffff
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_below_are_uniform() {
        let mut draw = Draw::new(3);
        let mut counts = [0; 7];
        (0..7_000).for_each(|_| counts[draw.below(7)] += 1);
        // 7000 draws of probability 1/7: std = sqrt(7000 * 1/7 * 6/7) = 29.3; 5 std = 146.
        assert!(counts.iter().all(|count| (854..=1146).contains(count)), "{counts:?}");
        assert!((0..100).all(|_| (3..=5).contains(&draw.from(3, 5))));
        assert_eq!(draw.below(1), 0);
    }

    #[test]
    fn nothing_new_comes_twice() {
        let mut draw = Draw::new(3);
        let mut all: Vec<String> =
            (0..50).map(|_| draw.new_one(|draw| draw.below(50).to_string())).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 50);
    }

    #[test]
    fn a_uuid_is_one() {
        let uuid = Draw::new(3).uuid();
        let parts: Vec<usize> = uuid.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
        assert_eq!(&uuid[14..15], "4");
        assert!("89ab".contains(&uuid[19..20]), "{uuid}");
    }
}
