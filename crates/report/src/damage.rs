//! Damaged bytes, for tests of readers.

/// A seeded source of damage (SplitMix64).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The source of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Dice(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number below `n`, or 0.
    pub fn below(&mut self, n: usize) -> usize {
        let n = n.max(1) as u64;
        usize::try_from(self.next() % n).unwrap_or(0)
    }

    fn byte(&mut self) -> u8 {
        // Values at which parsers turn, and any other.
        let special = *b"\x00\x01\x08\x7f\x80\xff\x1f\x8b,:#\n\r\t\"-.eEnN019 q";
        match self.below(2) {
            0 => special[self.below(special.len())],
            _ => self.next().to_le_bytes()[0],
        }
    }

    /// One to four changes, mostly near the beginning, where headers are.
    pub fn damaged(&mut self, input: &[u8]) -> Vec<u8> {
        let mut bytes = input.to_vec();
        for _ in 0..=self.below(4) {
            let reach = match self.below(2) {
                0 => bytes.len().min(24),
                _ => bytes.len(),
            };
            let at = self.below(reach);
            let end = (at + 1 + self.below(8)).min(bytes.len());
            match self.below(8) {
                0 | 1 if at < bytes.len() => bytes[at] = self.byte(),
                2 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                3 => bytes.truncate(at),
                4 => bytes.insert(at, self.byte()),
                5 if at < end => drop(bytes.drain(at..end)),
                6 if at < end => {
                    let copy = bytes[at..end].to_vec();
                    let to = self.below(bytes.len());
                    bytes.splice(to..to, copy);
                }
                _ => {
                    let word = [[0, 0, 0, 0], [255; 4], [127, 255, 255, 255], [0, 0, 0, 1]];
                    let word = word[self.below(4)];
                    for (byte, new) in bytes.iter_mut().skip(at).zip(word) {
                        *byte = new;
                    }
                }
            }
        }
        bytes
    }
}
