//! One step of private training, from the batch to the gradient that may be used freely.

use candle_core::DType;
use tensor_tree::{Collective, Key, Label, Pass, PerSampleDifferentiable, ProbePoint, Tree};

use crate::clip::{ClipDiagnostics, ClippedSum, Clipping, clip_and_measure};
use crate::mechanism::GaussianMechanism;
use crate::sampling::{Draw, Drawn, StepKey};
use crate::validate::Validated;
use crate::{
    Charge, DpEvent, Error, ExpectedBatchSize, Ledger, Mark, PrivacyPlan, Result, SampleRate,
    UnitOfPrivacy,
};

/// What clipping in single precision may exceed its bound by, taken off beforehand.
const F32_MARGIN: f64 = 1e-6;

/// Clipping, noise and accounting of one plan.
///
/// # Privacy
/// [`PrivateStep::run`] charges the ledger before noise is drawn, and no way through this type leads to a gradient around
/// the charge. Its parts, [`crate::clip_and_sum`] and [`GaussianMechanism::privatize`], charge nothing by themselves. The
/// result is `(sum of clipped gradients + noise) / expected batch size`; the size of the batch that was drawn is private and
/// never used. The ledger must have the relation and the unit of the plan.
///
/// The bound on one unit's part holds only if a sample's gradient depends on that sample alone. [`crate::validate()`] looks for
/// the contrary; a step without its proof for the leaves it trains marks the ledger [`Mark::NotValidated`].
#[derive(Clone, Debug)]
pub struct PrivateStep {
    clipping: Clipping,
    mechanism: GaussianMechanism,
    unit: UnitOfPrivacy,
    expected_batch_size: ExpectedBatchSize,
    dropout: bool,
    validated: Option<Validated>,
}

/// One batch in its parts, and what is known about how it was drawn.
struct Batch<B> {
    parts: Vec<B>,
    draw: Option<Draw>,
}

impl<B> Batch<B> {
    fn rate(&self) -> Option<SampleRate> {
        self.draw.map(Draw::rate)
    }
}

/// What a step would show of private data, for data that are public.
#[derive(Clone, Debug, Default)]
pub struct StepDiagnostics {
    /// Norms and clip factors, micro-batches one after the other.
    pub clip: ClipDiagnostics,
    /// Mean loss of each sample.
    pub losses: Vec<f64>,
}

impl PrivateStep {
    /// The step of `plan` with the given clipping.
    ///
    /// # Errors
    /// [`Error::InvalidScalar`] if the clipping's total is not the plan's clip norm.
    pub fn new(plan: &PrivacyPlan, clipping: Clipping) -> Result<Self> {
        let (total, planned) = (clipping.total().get(), plan.clip_norm().get());
        if 1e-12 * planned < (total - planned).abs() {
            return Err(Error::InvalidScalar {
                name: "total clip norm of the groups",
                must: "the plan's clip norm",
                got: total,
            });
        }
        Ok(PrivateStep {
            clipping,
            mechanism: GaussianMechanism::new(plan.noise_multiplier(), plan.relation()),
            unit: plan.unit().clone(),
            expected_batch_size: plan.expected_batch_size(),
            dropout: false,
            validated: None,
        })
    }

    /// The same with dropout masks drawn from the step's key.
    #[must_use]
    pub fn with_dropout(self) -> Self {
        PrivateStep { dropout: true, ..self }
    }

    /// The same with the proof that the samples of the objective are not coupled.
    ///
    /// # Privacy
    /// `validated` must come from the objective that this step will be run with.
    #[must_use]
    pub fn with_validated(self, validated: Validated) -> Self {
        PrivateStep { validated: Some(validated), ..self }
    }

    /// How gradients are clipped.
    #[must_use]
    pub fn clipping(&self) -> &Clipping {
        &self.clipping
    }

    /// The private gradient of one batch at `points` (one point of weight one for most methods).
    ///
    /// # Privacy
    /// One Poisson-subsampled Gaussian release, or one Gaussian release if the batch is [`crate::Unsampled`], charged to
    /// `ledger` first.
    ///
    /// # Errors
    /// [`Error::LedgerOfAnotherPlan`], [`Error::BatchOfAnotherStep`] and [`Error::KeysDiffer`] before anything is computed; or
    /// if the objective fails, the trees do not fit, or the charge cannot be recorded. After an error no gradient exists;
    /// the charge may.
    pub fn run<O: PerSampleDifferentiable>(
        &self,
        objective: &O,
        points: &[ProbePoint],
        batch: impl Drawn<O::Batch>,
        key: StepKey,
        group: &impl Collective,
        ledger: &mut impl Charge,
    ) -> Result<Tree> {
        let (batch, draw) = batch.open();
        let batch = Batch { parts: vec![batch], draw };
        self.go(objective, points, batch, key, group, ledger, None)
    }

    /// As [`PrivateStep::run`] for a batch that was cut in micro-batches: the clipped sums are added, noise comes once.
    ///
    /// # Errors
    /// As [`PrivateStep::run`].
    pub fn run_in_parts<O: PerSampleDifferentiable>(
        &self,
        objective: &O,
        points: &[ProbePoint],
        parts: impl Drawn<Vec<O::Batch>>,
        key: StepKey,
        group: &impl Collective,
        ledger: &mut impl Charge,
    ) -> Result<Tree> {
        let (parts, draw) = parts.open();
        self.go(objective, points, Batch { parts, draw }, key, group, ledger, None)
    }

    /// As [`PrivateStep::run_in_parts`], and shows norms, clip factors and losses.
    ///
    /// # Privacy
    /// The diagnostics are un-noised queries. For public data only: the ledger is marked and will refuse a
    /// statement.
    ///
    /// # Errors
    /// As [`PrivateStep::run`].
    pub fn run_showing_diagnostics<O: PerSampleDifferentiable>(
        &self,
        objective: &O,
        points: &[ProbePoint],
        parts: impl Drawn<Vec<O::Batch>>,
        key: StepKey,
        group: &impl Collective,
        ledger: &mut impl Charge,
    ) -> Result<(Tree, StepDiagnostics)> {
        let (parts, draw) = parts.open();
        let mut shown = StepDiagnostics::default();
        let batch = Batch { parts, draw };
        let grads = self.go(objective, points, batch, key, group, ledger, Some(&mut shown))?;
        Ok((grads, shown))
    }

    #[allow(clippy::too_many_arguments, reason = "the one place where everything meets")]
    fn go<O: PerSampleDifferentiable>(
        &self,
        objective: &O,
        points: &[ProbePoint],
        batch: Batch<O::Batch>,
        key: StepKey,
        group: &impl Collective,
        ledger: &mut impl Charge,
        mut shown: Option<&mut StepDiagnostics>,
    ) -> Result<Tree> {
        let Some(first) = points.first() else { return Err(Error::NothingToTrain) };
        self.clipping.groups().check(&first.params)?;
        self.check_ledger(ledger.ledger())?;
        if batch.draw.is_some_and(|draw| !draw.belongs_to(&key)) {
            return Err(Error::BatchOfAnotherStep);
        }
        if shown.is_some() {
            ledger.mark(Mark::DiagnosticsReleased)?;
        }
        let clipping = self.clipping_for(&first.params)?;
        let noise = key.noise();
        if !group.agree_on(self.fingerprint(noise, &clipping, batch.rate()))? {
            return Err(Error::KeysDiffer);
        }
        let pass = if self.dropout { Pass::Train { key: key.dropout() } } else { Pass::Eval };
        let mut sum = ClippedSum::empty(&first.params, &clipping)?;
        for part in &batch.parts {
            let (losses, grads) = objective.per_sample(points, part, pass)?;
            let (clipped, diagnostics) = clip_and_measure(grads, &clipping)?;
            sum = sum.merge(clipped)?;
            if let Some(shown) = shown.as_deref_mut() {
                let losses = losses.per_sample()?.to_dtype(DType::F64);
                shown.losses.extend(
                    losses.and_then(|l| l.to_vec1::<f64>()).map_err(tensor_tree::Error::from)?,
                );
                shown.clip.norms.extend(diagnostics.norms);
                shown.clip.factors.resize(diagnostics.factors.len(), Vec::new());
                for (all, new) in shown.clip.factors.iter_mut().zip(diagnostics.factors) {
                    all.extend(new);
                }
            }
        }
        let sum = sum.all_reduce(group)?;
        if !self.is_validated(points) {
            ledger.mark(Mark::NotValidated)?;
        }
        self.charge(batch.rate(), key.is_seeded(), ledger)?;
        self.noised_mean(sum, noise)
    }

    fn is_validated(&self, points: &[ProbePoint]) -> bool {
        let proof = self.validated.as_ref();
        proof.is_some_and(|proof| points.iter().all(|point| proof.covers(&point.params)))
    }

    /// Noise for one relation under a statement about another would be a wrong claim.
    fn check_ledger(&self, ledger: &Ledger) -> Result<()> {
        let differs = |what, found: String, expected: String| {
            Err(Error::LedgerOfAnotherPlan { what, found, expected })
        };
        let (found, expected) = (ledger.relation(), self.mechanism.relation());
        if found != expected {
            return differs("relation", found.to_string(), expected.to_string());
        }
        if ledger.unit() != &self.unit {
            return differs("unit", ledger.unit().to_string(), self.unit.to_string());
        }
        Ok(())
    }

    /// A key that processes share exactly if they share `noise` and everything else on which the guarantee rests:
    /// the noise of each process must cover the samples of all.
    fn fingerprint(&self, noise: Key, clipping: &Clipping, rate: Option<SampleRate>) -> Key {
        let numbers = [
            self.mechanism.noise_multiplier().get(),
            self.expected_batch_size.get(),
            clipping.margin(),
            rate.map_or(-1.0, SampleRate::get),
        ];
        let bits: Vec<u64> =
            numbers.iter().chain(clipping.thresholds()).map(|x| x.to_bits()).collect();
        let settings = format!("{:?} {bits:x?}", self.mechanism.relation());
        noise.child(Label::Leaf(&settings))
    }

    fn charge(
        &self,
        rate: Option<SampleRate>,
        seeded: bool,
        ledger: &mut impl Charge,
    ) -> Result<()> {
        if seeded {
            ledger.mark(Mark::SeededNoise)?;
        }
        let event = self.mechanism.event();
        let event = match rate {
            Some(rate) => DpEvent::PoissonSampled { rate, event: Box::new(event) },
            None => event,
        };
        ledger.charge(&event)
    }

    fn noised_mean(&self, sum: ClippedSum, noise: Key) -> Result<Tree> {
        let (noised, _) = self.mechanism.privatize(sum, noise)?;
        Ok(noised.scale(1.0 / self.expected_batch_size.get())?)
    }

    /// With at least the margin for rounding where gradients are not in double precision.
    fn clipping_for(&self, params: &Tree) -> Result<Clipping> {
        let clipping = self.clipping.clone();
        if params.iter().all(|(_, leaf)| leaf.dtype() == DType::F64) {
            return Ok(clipping);
        }
        let margin = clipping.margin().max(F32_MARGIN);
        clipping.with_margin(margin)
    }
}
