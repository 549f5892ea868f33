//! Randomness as a value: keys, and streams derived from them by typed labels.

mod normal;

use candle_core::{DType, Tensor};
use chacha20::ChaCha20Rng;
use hmac::{Hmac, KeyInit, Mac};
use rand::SeedableRng;
use sha2::Sha256;

use crate::error::{Error, Result};
use crate::host::{Real, from_vec};

/// A secret from which random streams are derived. `Debug` does not show it, and no checkpoint can hold it.
#[derive(Clone, Copy)]
pub struct Key([u8; 32]);

/// What a child key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Label<'a> {
    /// A kind of use.
    For(Purpose),
    /// A step of training.
    Step(u64),
    /// A leaf of a tree or a layer, by name.
    Leaf(&'a str),
    /// A process of a group.
    Rank(u32),
    /// A sample, by its number in the data set.
    Sample(u64),
}

/// The uses of randomness in training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Purpose {
    /// Noise on gradients.
    Noise,
    /// Noise on released losses.
    LossNoise,
    /// Drawing batches.
    Sampling,
    /// Dropout masks.
    Dropout,
    /// Initial parameters.
    Init,
    /// Text generation.
    Generation,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

impl Key {
    /// A key that everyone who knows `seed` can make: for experiments and tests.
    ///
    /// # Privacy
    /// Noise from such a key protects nothing; a run that uses one can claim no epsilon.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        derive(b"lethe key from seed, version 1", 0, &seed.to_le_bytes())
    }

    /// A key from the operating system's generator: for private releases.
    ///
    /// # Errors
    /// [`Error::Entropy`] if the system gives none.
    pub fn from_entropy() -> Result<Self> {
        let mut bytes = [0u8; 32];
        getrandom::fill(&mut bytes).map_err(|e| Error::Entropy(e.to_string()))?;
        Ok(Key(bytes))
    }

    /// The key of these bytes: how a key that processes share arrives.
    ///
    /// # Privacy
    /// The bytes are the key. They must come from a secret source, be seen by nobody else and be kept nowhere.
    #[must_use]
    pub fn from_secret_bytes(bytes: [u8; 32]) -> Self {
        Key(bytes)
    }

    /// The child key under `label`: HMAC-SHA-256 of the label's kind and content under this key.
    ///
    /// Streams are ChaCha20 under the key itself, children come from a different function, and the
    /// kind of label is part of the input, so no two paths share bytes.
    #[must_use]
    pub fn child(self, label: Label<'_>) -> Self {
        match label {
            Label::For(purpose) => derive(&self.0, 1, &[purpose as u8]),
            Label::Step(t) => derive(&self.0, 2, &t.to_le_bytes()),
            Label::Leaf(name) => derive(&self.0, 3, name.as_bytes()),
            Label::Rank(r) => derive(&self.0, 4, &r.to_le_bytes()),
            Label::Sample(i) => derive(&self.0, 5, &i.to_le_bytes()),
        }
    }

    /// The stream of this key.
    #[must_use]
    pub fn rng(self) -> ChaCha20Rng {
        ChaCha20Rng::from_seed(self.0)
    }

    /// Eight bytes by which processes can check that they share a key without showing it.
    #[must_use]
    pub fn fingerprint(self) -> u64 {
        let Key(bytes) = derive(&self.0, 6, &[]);
        u64::from_le_bytes([
            bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7],
        ])
    }

    /// Independent standard normals in the shape, type and place of `leaf`.
    ///
    /// The value at position `i` depends on the key and `i` alone: not on the number of threads, the
    /// instruction set or the device. Made on the CPU (`f32`; `f64` for an `f64` leaf) and moved.
    ///
    /// # Errors
    /// From the back-end.
    pub fn normal_like(self, leaf: &Tensor) -> Result<Tensor> {
        let n = leaf.elem_count();
        let made = if leaf.dtype() == DType::F64 {
            let mut out = vec![0f64; n];
            self.fill_normal(&mut out);
            from_vec(out, leaf.shape())?
        } else {
            let mut out = vec![0f32; n];
            self.fill_normal(&mut out);
            from_vec(out, leaf.shape())?
        };
        Ok(made.to_dtype(leaf.dtype())?.to_device(leaf.device())?)
    }

    /// `leaf + std * normal` in one pass, with the normals of [`Key::normal_like`].
    ///
    /// # Errors
    /// From the back-end.
    pub fn add_normal(self, leaf: &Tensor, std: f64) -> Result<Tensor> {
        match (leaf.dtype(), leaf.device().is_cpu()) {
            (DType::F32, true) => self.add_normal_host::<f32>(leaf, std),
            (DType::F64, true) => self.add_normal_host::<f64>(leaf, std),
            _ => Ok((leaf + (self.normal_like(leaf)? * std)?)?),
        }
    }

    fn add_normal_host<T: normal::Normal>(self, leaf: &Tensor, std: f64) -> Result<Tensor> {
        let host = crate::host::Host::of(leaf)?;
        let view = host.view();
        let values = view.slice::<T>()?;
        let mut out = vec![T::default(); values.len()];
        let std = T::of(std);
        T::fill(&self.words(), &mut out, |start, chunk| {
            let len = chunk.len();
            for (o, v) in chunk.iter_mut().zip(&values[start..start + len]) {
                *o = *v + *o * std;
            }
        });
        from_vec(out, leaf.shape())
    }

    /// Fills `out` with independent standard normals; see [`Key::normal_like`].
    pub fn fill_normal<T: Normal>(self, out: &mut [T]) {
        T::fill(&self.words(), out, |_, _| {});
    }

    /// Fills `out` with independent uniforms on `[0, 1)` of 24 (`f32`) or 53 (`f64`) bits.
    pub fn fill_uniform<T: Real>(self, out: &mut [T]) {
        use rand::Rng;
        let mut rng = self.rng();
        for o in out {
            *o = if T::DTYPE == DType::F64 {
                T::of((rng.next_u64() >> 11) as f64 * 2f64.powi(-53))
            } else {
                T::of(f64::from(rng.next_u32() >> 8) * 2f64.powi(-24))
            };
        }
    }

    #[cfg(test)]
    pub(crate) fn words_for_tests(self) -> [u32; 8] {
        self.words()
    }

    fn words(self) -> [u32; 8] {
        let mut words = [0u32; 8];
        for (word, bytes) in words.iter_mut().zip(self.0.chunks_exact(4)) {
            *word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        words
    }
}

pub use normal::Normal;

fn derive(secret: &[u8], kind: u8, content: &[u8]) -> Key {
    // HMAC takes secrets of any length, so this cannot fail; an all-zero key is never returned silently.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else {
        unreachable!("HMAC accepts secrets of every length");
    };
    mac.update(&[kind]);
    mac.update(content);
    Key(mac.finalize().into_bytes().into())
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;

    #[test]
    fn the_first_draws_of_a_key_are_pinned() {
        let key = Key::from_seed(7);
        let mut rng = key.child(Label::For(Purpose::Noise)).child(Label::Step(3)).rng();
        let first = (rng.next_u64(), key.fingerprint());
        let mut normals = [0f32; 4];
        key.fill_normal(&mut normals);
        let mut doubles = [0f64; 2];
        key.fill_normal(&mut doubles);
        assert_eq!(
            (first, normals.map(f32::to_bits), doubles.map(f64::to_bits)),
            (PINNED_WORDS, PINNED_F32, PINNED_F64),
            "streams changed: every seeded result changes with them"
        );
    }
    const PINNED_WORDS: (u64, u64) = (12_271_739_323_001_381_410, 6_418_110_488_916_164_436);
    const PINNED_F32: [u32; 4] = [3_210_171_700, 3_197_970_388, 3_200_269_116, 1_061_955_106];
    const PINNED_F64: [u64; 2] = [4_599_984_792_724_259_278, 4_601_619_713_313_875_253];

    #[test]
    fn different_labels_give_different_children() {
        let key = Key::from_seed(1);
        let labels = [
            Label::For(Purpose::Noise),
            Label::For(Purpose::Sampling),
            Label::Step(0),
            Label::Step(1),
            Label::Sample(0),
            Label::Rank(0),
            Label::Leaf(""),
            Label::Leaf("\0\0\0\0\0\0\0\0"),
        ];
        let prints: std::collections::BTreeSet<u64> =
            labels.iter().map(|l| key.child(*l).fingerprint()).collect();
        assert_eq!(prints.len(), labels.len());
    }

    #[test]
    fn a_key_does_not_show_itself() {
        assert_eq!(format!("{:?}", Key::from_seed(5)), "Key(..)");
    }

    #[test]
    fn keys_from_the_system_differ() -> Result<()> {
        assert_ne!(Key::from_entropy()?.fingerprint(), Key::from_entropy()?.fingerprint());
        Ok(())
    }
}
