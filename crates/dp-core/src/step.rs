//! One step of private training, from the batch to the gradient that may be used freely.

mod losses;
mod quantile;

use candle_core::DType;
use tensor_tree::{Collective, Key, Label, Pass, PerSampleDifferentiable, ProbePoint, Tree};

use crate::clip::{ClipDiagnostics, ClippedSum, Clipping, clip_and_measure};
use crate::losses::LossMechanism;
use crate::mechanism::GaussianMechanism;
use crate::plan::losses::release;
use crate::sampling::{Draw, Drawn, StepKey};
use crate::validate::Validated;
use crate::{
    Charge, DpEvent, Error, ExpectedBatchSize, Ledger, Mark, NoiseMultiplier, PrivacyPlan,
    QuantileClip, Result, SampleRate, UnitOfPrivacy,
};
pub use losses::PrivateLosses;
use losses::{First, Terms, each};
pub use quantile::ClipThresholds;
use quantile::Counts;

/// What clipping in single precision may exceed its bound by, taken off beforehand.
const F32_MARGIN: f64 = 1e-6;

/// Points whose weights add up to more than this would need a margin that is more than a thousandth.
const MOST_WEIGHT: f64 = 1000.0;

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
    losses: Option<NoiseMultiplier>,
    clip_counts: Option<NoiseMultiplier>,
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

/// What a step does beside its gradient.
enum Extra<'a> {
    None,
    Losses(u64),
    Counts(Counts, &'a Clipping),
    Diagnostics(&'a mut StepDiagnostics),
}

/// A gradient, and what releases of losses on its batch need.
struct Made<B> {
    grads: Tree,
    /// Where the next step is to clip, if the step counted.
    thresholds: Option<ClipThresholds>,
    parts: Vec<B>,
    first: Vec<f64>,
    pass: Pass,
    noise: Key,
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
            losses: plan.losses().map(|losses| losses.noise_multiplier()),
            clip_counts: plan.clip_count_noise(),
            unit: plan.unit().clone(),
            expected_batch_size: plan.expected_batch_size(),
            dropout: false,
            validated: None,
        })
    }

    /// The same with dropout masks drawn from the step's key. The proof that samples are not coupled must then be one of passes in
    /// training ([`Validated::covers_training`]), or ledgers are marked.
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

    /// Standard deviation of the noise in each coordinate of the private gradient: noise multiplier times sensitivity over expected batch
    /// size. A public number. Under [`PrivateStep::run_adapting`] it follows the thresholds and is another one.
    #[must_use]
    pub fn noise_std(&self) -> f64 {
        let relation = self.mechanism.relation();
        let sensitivity = relation.sensitivity(self.clipping.total());
        self.mechanism.noise_multiplier().get() * sensitivity / self.expected_batch_size.get()
    }

    /// The private gradient of one batch at `points` (one point of weight one for most methods).
    ///
    /// In single precision, rounding of gradients that are combined with large weights is taken off the bound: a millionth for each
    /// unit of the sum of their absolute weights.
    ///
    /// # Privacy
    /// One Poisson-subsampled Gaussian release, or one Gaussian release if the batch is [`crate::Unsampled`], charged to
    /// `ledger` first.
    ///
    /// # Errors
    /// [`Error::LedgerOfAnotherPlan`], [`Error::BatchOfAnotherStep`], [`Error::BatchOfAnotherProcess`] and [`Error::KeysDiffer`]
    /// before anything is computed; or
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
        Ok(self.go(objective, points, batch, key, group, ledger, Extra::None)?.grads)
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
        let batch = Batch { parts, draw };
        Ok(self.go(objective, points, batch, key, group, ledger, Extra::None)?.grads)
    }

    /// As [`PrivateStep::run_in_parts`], with the right to `n_losses` losses of the same batch.
    ///
    /// # Privacy
    /// One Poisson-subsampled joint release of the gradient and of `n_losses` losses with the noise of the plan, charged to `ledger`
    /// before anything is drawn, whether or not all of the losses are asked for. Where [`crate::validate()`] saw that a loss
    /// depends on other samples than its own, the ledger is marked.
    ///
    /// # Errors
    /// As [`PrivateStep::run`]; [`Error::PlanMissing`] if losses are asked for and the plan has none.
    #[allow(clippy::too_many_arguments, reason = "those of `run`, and the number of losses")]
    pub fn run_with_losses<O: PerSampleDifferentiable>(
        &self,
        objective: &O,
        points: &[ProbePoint],
        parts: impl Drawn<Vec<O::Batch>>,
        n_losses: u64,
        key: StepKey,
        group: &impl Collective,
        ledger: &mut impl Charge,
    ) -> Result<(Tree, PrivateLosses<O::Batch>)> {
        let (parts, draw) = parts.open();
        let batch = Batch { parts, draw };
        let extra = Extra::Losses(n_losses);
        let Made { grads, parts, first, pass, noise, .. } =
            self.go(objective, points, batch, key, group, ledger, extra)?;
        let Some(params) = points.first().map(|point| point.params.clone()) else {
            return Err(Error::NothingToTrain);
        };
        // Without losses in the plan none was charged, and the noise multiplier is never used.
        let sigma = self.losses.unwrap_or(self.mechanism.noise_multiplier());
        let terms = Terms {
            pass,
            mechanism: LossMechanism::new(sigma, self.mechanism.relation()),
            divisor: self.expected_batch_size,
            noise,
            charged: n_losses,
        };
        Ok((grads, PrivateLosses::new(parts, First { params, losses: first }, terms)))
    }

    /// As [`PrivateStep::run_in_parts`], clipping at thresholds that follow a quantile of the norms and are moved by this step.
    ///
    /// # Privacy
    /// One Poisson-subsampled joint release of the gradient and of the counts of clipped samples, with the noise of the plan, charged to
    /// `ledger` before anything is drawn. The bound on one unit's part, and with it the noise, is the root of the sum of squares of the
    /// thresholds of this step.
    ///
    /// # Errors
    /// As [`PrivateStep::run`], and then the thresholds are as they were; [`Error::PlanMissing`] if the plan has no noise for counts;
    /// [`Error::InvalidScalar`] for thresholds of other groups.
    #[allow(clippy::too_many_arguments, reason = "those of `run`, the rule and its state")]
    pub fn run_adapting<O: PerSampleDifferentiable>(
        &self,
        objective: &O,
        points: &[ProbePoint],
        parts: impl Drawn<Vec<O::Batch>>,
        rule: &QuantileClip,
        thresholds: &mut ClipThresholds,
        key: StepKey,
        group: &impl Collective,
        ledger: &mut impl Charge,
    ) -> Result<Tree> {
        let (parts, draw) = parts.open();
        let batch = Batch { parts, draw };
        let clipping = quantile::with_thresholds(&self.clipping, thresholds)?;
        let extra = Extra::Counts(Counts::empty(*rule, clipping.thresholds()), &clipping);
        let made = self.go(objective, points, batch, key, group, ledger, extra)?;
        *thresholds = made.thresholds.ok_or_else(quantile::missing)?;
        Ok(made.grads)
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
        let extra = Extra::Diagnostics(&mut shown);
        let grads = self.go(objective, points, batch, key, group, ledger, extra)?.grads;
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
        mut extra: Extra<'_>,
    ) -> Result<Made<O::Batch>> {
        let Some(first) = points.first() else { return Err(Error::NothingToTrain) };
        let n_losses = if let Extra::Losses(n) = extra { n } else { 0 };
        let counted = match extra {
            Extra::Counts(..) => Some(self.clip_counts.ok_or_else(quantile::missing)?),
            _ => None,
        };
        let event = release(self.mechanism.noise_multiplier(), counted, n_losses, self.losses)?;
        self.clipping.groups().check(&first.params)?;
        self.check_ledger(ledger.ledger())?;
        if let Some(draw) = batch.draw {
            if !draw.belongs_to(&key) {
                return Err(Error::BatchOfAnotherStep);
            }
            if draw.rank() != group.rank() {
                return Err(Error::BatchOfAnotherProcess {
                    drawn: draw.rank(),
                    here: group.rank(),
                });
            }
        }
        if let Extra::Diagnostics(_) = extra {
            ledger.mark(Mark::DiagnosticsReleased)?;
        }
        let clipping = match extra {
            Extra::Counts(_, clipping) => clipping,
            _ => &self.clipping,
        };
        let clipping = with_margin(clipping, points)?;
        let noise = key.noise();
        if !group.agree_on(self.fingerprint(noise, &clipping, batch.rate(), (n_losses, counted)))? {
            return Err(Error::KeysDiffer);
        }
        let pass = if self.dropout { Pass::Train { key: key.dropout() } } else { Pass::Eval };
        let mut sum = ClippedSum::empty(&first.params, &clipping)?;
        let mut at_first = Vec::new();
        for part in &batch.parts {
            let (losses, grads) = objective.per_sample(points, part, pass)?;
            let (clipped, measured) = clip_and_measure(grads, &clipping)?;
            sum = sum.merge(clipped)?;
            match &mut extra {
                Extra::None | Extra::Losses(0) => {}
                Extra::Losses(_) => at_first.extend(each(&losses)?),
                Extra::Counts(counts, _) => counts.add(&measured),
                Extra::Diagnostics(shown) => {
                    shown.losses.extend(each(&losses)?);
                    shown.clip.norms.extend(measured.norms());
                    shown.clip.factors.resize(measured.factors.len(), Vec::new());
                    for (all, new) in shown.clip.factors.iter_mut().zip(measured.factors) {
                        all.extend(new);
                    }
                }
            }
        }
        let sum = sum.all_reduce(group)?;
        self.mark_unproven(points, n_losses, ledger)?;
        self.charge(event, batch.rate(), key.is_seeded(), ledger)?;
        let grads = self.noised_mean(sum, noise)?;
        let thresholds = match (extra, counted) {
            (Extra::Counts(counts, _), Some(sigma)) => {
                let mechanism = (sigma, self.mechanism.relation());
                let divisor = self.expected_batch_size.get();
                Some(counts.release(mechanism, divisor, key.clip_count_noise(), group)?)
            }
            _ => None,
        };
        let noise = key.loss_noise();
        Ok(Made { grads, thresholds, parts: batch.parts, first: at_first, pass, noise })
    }

    fn mark_unproven(
        &self,
        points: &[ProbePoint],
        n_losses: u64,
        ledger: &mut impl Charge,
    ) -> Result<()> {
        if !self.is_validated(points) {
            return ledger.mark(Mark::NotValidated);
        }
        if 0 < n_losses && !self.validated.as_ref().is_some_and(Validated::covers_losses) {
            let reason = "the loss of a sample depends on the rest of its batch";
            return ledger.mark(Mark::Custom(reason.to_owned()));
        }
        Ok(())
    }

    fn is_validated(&self, points: &[ProbePoint]) -> bool {
        let covers = |proof: &Validated| {
            (!self.dropout || proof.covers_training())
                && points.iter().all(|point| proof.covers(&point.params))
        };
        self.validated.as_ref().is_some_and(covers)
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
    fn fingerprint(
        &self,
        noise: Key,
        clipping: &Clipping,
        rate: Option<SampleRate>,
        (n_losses, counted): (u64, Option<NoiseMultiplier>),
    ) -> Key {
        let numbers = [
            self.mechanism.noise_multiplier().get(),
            self.expected_batch_size.get(),
            clipping.margin(),
            rate.map_or(-1.0, SampleRate::get),
            self.losses.map_or(-1.0, NoiseMultiplier::get),
            counted.map_or(-1.0, NoiseMultiplier::get),
        ];
        let bits: Vec<u64> =
            numbers.iter().chain(clipping.thresholds()).map(|x| x.to_bits()).collect();
        let settings = format!("{:?} {bits:x?} {n_losses}", self.mechanism.relation());
        noise.child(Label::Leaf(&settings))
    }

    fn charge(
        &self,
        event: DpEvent,
        rate: Option<SampleRate>,
        seeded: bool,
        ledger: &mut impl Charge,
    ) -> Result<()> {
        if seeded {
            ledger.mark(Mark::SeededNoise)?;
        }
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
}

/// With at least the margin for rounding where gradients are not in double precision. Gradients at several points are rounded before
/// they are combined, so that it grows with their weights.
fn with_margin(clipping: &Clipping, points: &[ProbePoint]) -> Result<Clipping> {
    let weight: f64 = points.iter().map(|point| point.weight.abs()).sum();
    let doubles =
        |point: &ProbePoint| point.params.iter().all(|(_, leaf)| leaf.dtype() == DType::F64);
    let all_doubles = points.iter().all(doubles);
    let most = if all_doubles { f64::MAX } else { MOST_WEIGHT };
    if !(0.0..=most).contains(&weight) {
        return Err(Error::InvalidScalar {
            name: "sum of the absolute weights of the points of a step",
            must: "finite, and at most 1000 in single precision, whose rounding it multiplies",
            got: weight,
        });
    }
    if all_doubles {
        return Ok(clipping.clone());
    }
    let margin = clipping.margin().max(F32_MARGIN * weight.max(1.0));
    clipping.clone().with_margin(margin)
}
