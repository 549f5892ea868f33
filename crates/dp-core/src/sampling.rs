//! Random batches, and values that carry the proof of how they were drawn.

use rand::Rng;

use tensor_tree::{Collective, Key, Label, Purpose};

use crate::{Error, PrivacyPlan, Result, SampleRate};

/// The source of a run's secret randomness.
///
/// # Privacy
/// A private run draws its key from the operating system at every start of the process, and the key is never
/// saved; steps done again after a crash therefore see new noise, and are charged again. A seeded run repeats bit for bit and can
/// claim no epsilon.
///
/// No saved state can hold a key: none can be written to a checkpoint, and none is serialized.
///
/// ```compile_fail,E0277
/// fn saved<T: tensor_tree::Checkpoint>() {}
/// saved::<dp_core::RunKey>();
/// ```
///
/// ```compile_fail,E0277
/// fn saved<T: tensor_tree::Checkpoint>() {}
/// saved::<dp_core::StepKey>();
/// ```
///
/// ```compile_fail,E0277
/// fn saved<T: tensor_tree::Checkpoint>() {}
/// saved::<tensor_tree::Key>();
/// ```
///
/// ```compile_fail,E0277
/// let key = dp_core::RunKey::seeded(1, 0);
/// let _ = serde_json::to_string(&key);
/// ```
///
/// ```compile_fail,E0277
/// let key = dp_core::RunKey::seeded(1, 0).next_step();
/// let _ = serde_json::to_string(&key);
/// ```
///
/// ```compile_fail,E0277
/// let key = tensor_tree::Key::from_seed(1);
/// let _ = serde_json::to_string(&key);
/// ```
///
/// The same lines compile for what may be saved:
///
/// ```
/// fn saved<T: tensor_tree::Checkpoint>() {}
/// saved::<tensor_tree::Tree>();
/// let _ = serde_json::to_string(&1);
/// let _ = dp_core::RunKey::seeded(1, 0).next_step();
/// ```
#[derive(Debug)]
pub struct RunKey {
    key: Key,
    seeded: bool,
    next: u64,
}

/// The randomness of one step. Consumed by the step, so that no key masks two sums; hence no `Clone`.
///
/// ```compile_fail,E0277
/// fn twice<T: Clone>() {}
/// twice::<dp_core::StepKey>();
/// ```
///
/// ```compile_fail,E0277
/// fn twice<T: Clone>() {}
/// twice::<dp_core::RunKey>();
/// ```
#[derive(Debug)]
pub struct StepKey {
    key: Key,
    seeded: bool,
}

impl RunKey {
    /// Fresh secret randomness.
    ///
    /// # Errors
    /// If the operating system gives none.
    pub fn private() -> Result<Self> {
        Ok(RunKey { key: Key::from_entropy()?, seeded: false, next: 0 })
    }

    /// Fresh secret randomness that all processes of `group` share. Each of them must call this.
    ///
    /// # Privacy
    /// Process 0 draws the key and broadcasts it. The transport must be secret: who sees the key can subtract the noise.
    ///
    /// # Errors
    /// If the operating system gives no randomness or the transport fails; [`Error::KeysDiffer`] if the processes did not
    /// get the same key.
    pub fn shared(group: &impl Collective) -> Result<Self> {
        let mut bytes = [0; 32];
        if group.rank() == 0 {
            // The stream of a fresh key: no key shows its own bytes.
            Key::from_entropy()?.rng().fill_bytes(&mut bytes);
        }
        group.broadcast(&mut bytes)?;
        let key = Key::from_secret_bytes(bytes);
        if !group.agree_on(key)? {
            return Err(Error::KeysDiffer);
        }
        Ok(RunKey { key, seeded: false, next: 0 })
    }

    /// Randomness that can be repeated, from step `first` on: for experiments, tests and resumed experiments.
    #[must_use]
    pub fn seeded(seed: u64, first: u64) -> Self {
        RunKey { key: Key::from_seed(seed), seeded: true, next: first }
    }

    /// Whether the noise can be repeated by anyone who knows the seed.
    #[must_use]
    pub fn is_seeded(&self) -> bool {
        self.seeded
    }

    /// The randomness of the next step. No two steps of a run have the same.
    pub fn next_step(&mut self) -> StepKey {
        let key = self.key.child(Label::Step(self.next));
        match self.next.checked_add(1) {
            Some(next) => self.next = next,
            // After the last number, numbers begin again under another key.
            None => {
                self.key = self.key.child(Label::Rank(0));
                self.next = 0;
            }
        }
        StepKey { key, seeded: self.seeded }
    }
}

impl StepKey {
    /// The key of this step's noise.
    pub(crate) fn noise(&self) -> Key {
        self.key.child(Label::For(Purpose::Noise))
    }

    /// The key of the noise of this step's losses.
    pub(crate) fn loss_noise(&self) -> Key {
        self.key.child(Label::For(Purpose::LossNoise))
    }

    /// The key of the noise on this step's counts of clipped samples.
    pub(crate) fn clip_count_noise(&self) -> Key {
        self.key.child(Label::For(Purpose::Noise)).child(Label::For(Purpose::LossNoise))
    }

    /// The key of this step's dropout masks.
    #[must_use]
    pub fn dropout(&self) -> Key {
        self.key.child(Label::For(Purpose::Dropout))
    }

    fn sampling(&self, rank: u32) -> Key {
        self.key.child(Label::For(Purpose::Sampling)).child(Label::Rank(rank))
    }

    fn fingerprint(&self) -> u64 {
        self.key.fingerprint()
    }

    pub(crate) fn is_seeded(&self) -> bool {
        self.seeded
    }
}

/// Takes each of `n_samples` records with the same probability, independently of the others.
///
/// # Source
/// arXiv 1607.00133, section 3: "Lot". The batch may be empty; it is used all the same.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PoissonSampler {
    n_samples: usize,
    rate: SampleRate,
}

impl PrivacyPlan {
    /// The sampler of this plan, over the records `0..n_samples`.
    ///
    /// # Errors
    /// [`Error::EmptyData`] if the plan's number of samples is none that this machine can count.
    pub fn sampler(&self) -> Result<PoissonSampler> {
        let n_samples = usize::try_from(self.n_samples()).map_err(|_| Error::EmptyData)?;
        PoissonSampler::new(n_samples, self.sample_rate())
    }
}

impl PoissonSampler {
    /// A sampler over the records `0..n_samples`.
    ///
    /// # Errors
    /// [`Error::EmptyData`] if there are none.
    pub fn new(n_samples: usize, rate: SampleRate) -> Result<Self> {
        if n_samples == 0 {
            return Err(Error::EmptyData);
        }
        Ok(PoissonSampler { n_samples, rate })
    }

    /// The record numbers of one batch, in increasing order: the same whenever it is drawn with the same key.
    ///
    /// # Privacy
    /// The batch belongs to the step of this key; [`crate::PrivateStep`] refuses it with any other, and consumes the key: no batch is
    /// trained on twice. Amplification holds for batches that nobody chose: whoever looks at a batch must use it, also if it is
    /// empty, and neither throws the key away nor draws with another one.
    pub fn draw(&self, key: &StepKey) -> Sampled<Vec<usize>> {
        self.draw_as(key, 0)
    }

    /// The share of process `rank`, which has records of its own.
    ///
    /// # Privacy
    /// Each process draws with its own rank, and [`crate::PrivateStep`] refuses any other. With the same one for all, a record would
    /// join a batch together with those of the same number on other processes, and not independently of them.
    pub fn draw_as(&self, key: &StepKey, rank: u32) -> Sampled<Vec<usize>> {
        let mut rng = key.sampling(rank).rng();
        let rate = self.rate.get();
        let batch = (0..self.n_samples).filter(|_| below(rate, || rng.next_u64())).collect();
        Sampled { batch, draw: Draw { rate: self.rate, step: key.fingerprint(), rank } }
    }
}

/// Whether a uniform number on `[0, 1)`, made of as many random bits as the comparison needs, lies below
/// `rate`. Exact for every rate that is a double, those below `2^-53` included.
fn below(mut rate: f64, mut words: impl FnMut() -> u64) -> bool {
    while 0.0 < rate {
        // Multiplying by a power of two and taking the integer part away lose no bit.
        let scaled = rate * 2f64.powi(53);
        let whole = scaled.floor();
        let bits = (words() >> 11) as f64;
        if bits < whole || whole < bits {
            return bits < whole;
        }
        rate = scaled - whole;
    }
    false
}

/// A batch that a [`PoissonSampler`] drew. Only samplers make one.
///
/// ```compile_fail,E0451
/// use dp_core::{SampleRate, Sampled};
/// let rate = SampleRate::new(1e-6).unwrap();
/// let all = Sampled { batch: vec![0, 1, 2], rate };
/// ```
#[derive(Debug)]
pub struct Sampled<B> {
    batch: B,
    draw: Draw,
}

/// How a batch was drawn: at which rate, and for which step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Draw {
    rate: SampleRate,
    step: u64,
    rank: u32,
}

impl Draw {
    /// The probability with which each record was taken.
    #[must_use]
    pub fn rate(self) -> SampleRate {
        self.rate
    }

    /// The process that the batch was drawn for.
    #[must_use]
    pub fn rank(self) -> usize {
        self.rank as usize
    }

    /// Whether the batch was drawn with this key.
    #[must_use]
    pub fn belongs_to(self, key: &StepKey) -> bool {
        self.step == key.fingerprint()
    }
}

impl<B> Sampled<B> {
    /// What was drawn.
    pub fn batch(&self) -> &B {
        &self.batch
    }

    /// Loads the records that were drawn.
    ///
    /// # Privacy
    /// `load` must return those records and no others, each treated for itself.
    pub fn map<C>(self, load: impl FnOnce(B) -> C) -> Sampled<C> {
        Sampled { batch: load(self.batch), draw: self.draw }
    }

    /// As [`Sampled::map`], for a loader that can fail.
    ///
    /// # Errors
    /// That of `load`.
    pub fn try_map<C, E>(
        self,
        load: impl FnOnce(B) -> std::result::Result<C, E>,
    ) -> std::result::Result<Sampled<C>, E> {
        Ok(Sampled { batch: load(self.batch)?, draw: self.draw })
    }
}

/// A batch that came some other way; no amplification is claimed for it.
///
/// # Privacy
/// Each unit of privacy must be in the batch once at most.
#[derive(Debug)]
pub struct Unsampled<B>(pub B);

/// A batch with what is known about how it was drawn. There are no others than [`Sampled`] and [`Unsampled`].
///
/// ```compile_fail,E0277
/// use dp_core::{Draw, Drawn};
/// struct Claimed(Vec<usize>, Draw);
/// impl Drawn<Vec<usize>> for Claimed {
///     fn open(self) -> (Vec<usize>, Option<Draw>) {
///         (self.0, Some(self.1))
///     }
/// }
/// ```
pub trait Drawn<B>: closed::Drawn {
    /// The batch, and how it was drawn if that was by Poisson sampling.
    fn open(self) -> (B, Option<Draw>);
}

mod closed {
    /// Closes [`super::Drawn`] to other types: a batch cannot claim a rate at which nobody drew it.
    pub trait Drawn {}
    impl<B> Drawn for super::Sampled<B> {}
    impl<B> Drawn for super::Unsampled<B> {}
}

impl<B> Drawn<B> for Sampled<B> {
    fn open(self) -> (B, Option<Draw>) {
        (self.batch, Some(self.draw))
    }
}

impl<B> Drawn<B> for Unsampled<B> {
    fn open(self) -> (B, Option<Draw>) {
        (self.0, None)
    }
}

#[cfg(test)]
mod tests;
