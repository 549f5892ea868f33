//! Training steps whose rates come from a controller: for any objective, any chain of transformations.
//!
//! The direction is computed once a step. Probes evaluate losses at other parameters than the current ones, which are
//! values: they touch neither these, nor the memory of the optimizer, nor the order of the data, nor the masks of dropout.

use candle_core::DType;
use tensor_tree::{
    Checkpoint, Differentiable, Groups, Losses, Objective, Pass, Rates, Reduction, StateReader,
    StateWriter, Transform, Tree,
};

use crate::controller::{Ask, GroupRates, Observed, RateController};
use crate::error::{Error, Result};

/// Which samples losses are probed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum ProbeData {
    /// Those of the gradient. Cheapest, and too sure of itself: the slope along a gradient of the same samples is too large by
    /// the trace of their covariance over the size of the batch.
    Same,
    /// Those of the batch that comes next.
    #[default]
    Next,
    /// A batch that is kept for it.
    Held,
}

/// The batches of a step.
#[derive(Debug)]
pub struct Batches<'b, B> {
    /// For the gradient.
    pub step: &'b B,
    /// For probes, unless they use that of the gradient: the next batch of the data, or one that is kept.
    pub probe: Option<&'b B>,
}

// By hand, since references are copied whatever they point to.
impl<B> Clone for Batches<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B> Copy for Batches<'_, B> {}

/// What there is besides settings and state of a run: how directions come about, and who chooses their rates.
#[derive(Clone, Debug)]
pub struct AutoRate<C, T> {
    /// Chooses the rates.
    pub controller: C,
    /// Turns gradients into directions.
    pub chain: T,
    /// Which leaves have a rate in common.
    pub groups: Groups,
    /// Which samples losses are probed on.
    pub probe_data: ProbeData,
}

/// Memory of [`AutoRate`].
#[derive(Clone, Debug)]
pub struct AutoRateState<S, M> {
    /// Of the controller.
    pub rates: S,
    /// Of the chain.
    pub chain: M,
}

/// What a step did.
#[derive(Clone, Debug)]
pub struct Step {
    /// The parameters after it.
    pub params: Tree,
    /// The mean loss of the gradient's batch before it, over weights where the reduction is [`Reduction::WeightedMean`].
    pub loss: f64,
    /// The rates that were used.
    pub rates: GroupRates,
    /// Losses that were evaluated for them.
    pub n_probes: usize,
}

impl<C: RateController, T: Transform> AutoRate<C, T> {
    /// Memory before the first step.
    ///
    /// # Errors
    /// [`tensor_tree::Error::Groups`] unless the groups are those of the parameters; those of the controller and the chain.
    pub fn init(&self, params: &Tree) -> Result<AutoRateState<C::State, T::State>> {
        self.groups.check(params)?;
        let rates = self.controller.init(self.groups.len())?;
        Ok(AutoRateState { rates, chain: self.chain.init(params)? })
    }

    /// Whether the next step needs a batch for its probes.
    #[must_use]
    pub fn needs_probe(&self, state: &AutoRateState<C::State, T::State>) -> bool {
        self.probe_data != ProbeData::Same && self.controller.ask(&state.rates) != Ask::Nothing
    }

    /// One step: gradient, direction, rates, descent. Probes run without dropout, and are reduced as the gradient is. On an error the
    /// state is as it was.
    ///
    /// # Errors
    /// [`Error::NonFinite`] for a loss or a direction that is not finite, which would stay in parameters and memory for good;
    /// [`Error::NoProbeBatch`] where [`Self::needs_probe`] says that one is needed and none is given; those of the objective,
    /// the chain and the controller.
    pub fn step<O: Differentiable>(
        &self,
        objective: &O,
        params: &Tree,
        batches: Batches<'_, O::Batch>,
        (pass, reduction): (Pass, Reduction),
        state: &mut AutoRateState<C::State, T::State>,
    ) -> Result<Step> {
        let probe = self.probe_batch(batches, state)?;
        let value = objective.value_and_grad(params, batches.step, pass, reduction)?;
        self.descend(objective, params, probe, value, reduction, state)
    }

    /// The same with losses and gradient of the step's batch that the caller has computed and reduced so.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub fn step_with<O: Objective>(
        &self,
        objective: &O,
        params: &Tree,
        batches: Batches<'_, O::Batch>,
        (losses, grads, reduction): (Losses, Tree, Reduction),
        state: &mut AutoRateState<C::State, T::State>,
    ) -> Result<Step> {
        let probe = self.probe_batch(batches, state)?;
        self.descend(objective, params, probe, (losses, grads), reduction, state)
    }

    /// The batch that losses are probed on.
    fn probe_batch<'b, B>(
        &self,
        batches: Batches<'b, B>,
        state: &AutoRateState<C::State, T::State>,
    ) -> Result<&'b B> {
        match (self.probe_data, batches.probe) {
            (ProbeData::Same, _) => Ok(batches.step),
            (ProbeData::Next | ProbeData::Held, Some(batch)) => Ok(batch),
            _ if self.needs_probe(state) => Err(Error::NoProbeBatch),
            _ => Ok(batches.step),
        }
    }

    fn descend<O: Objective>(
        &self,
        objective: &O,
        params: &Tree,
        probe: &O::Batch,
        (losses, grads): (Losses, Tree),
        reduction: Reduction,
        state: &mut AutoRateState<C::State, T::State>,
    ) -> Result<Step> {
        let each = each(&losses, reduction)?;
        let loss = each.iter().sum::<f64>() / each.len().max(1) as f64;
        if !loss.is_finite() {
            return Err(Error::NonFinite { what: "loss", got: loss });
        }
        let mut chain = state.chain.clone();
        let direction = self.chain.update(grads, params, &mut chain)?;
        if !direction.is_finite()? {
            return Err(Error::NonFinite { what: "direction", got: direction.norm()? });
        }
        let mut rates = state.rates.clone();
        let groups = &self.groups;
        let probes = Probes { objective, params, direction: &direction, groups, reduction };
        let n_probes = probes.settle(&self.controller, &mut rates, probe)?;
        let used = self.controller.rates(&rates)?;
        let params = probes.at(&used)?;
        self.controller.stepped(&mut rates)?;
        *state = AutoRateState { rates, chain };
        Ok(Step { params, loss, rates: used, n_probes })
    }
}

/// Losses along a direction.
#[derive(Debug)]
pub struct Probes<'a, O> {
    /// The loss.
    pub objective: &'a O,
    /// Where the direction starts.
    pub params: &'a Tree,
    /// What is subtracted.
    pub direction: &'a Tree,
    /// Which leaves move together.
    pub groups: &'a Groups,
    /// How losses of samples become one: that of the gradient, or the curve that is fitted is another one than is descended.
    pub reduction: Reduction,
}

impl<O: Objective> Probes<'_, O> {
    /// The parameters a step with these rates away. Leaves of groups at rest are not copied.
    ///
    /// # Errors
    /// [`tensor_tree::Error::Groups`] without a rate for each leaf; those of the back-end.
    pub fn at(&self, rates: &GroupRates) -> Result<Tree> {
        let rates = Rates::grouped(self.groups.clone(), rates.0.clone())?;
        Ok(self.params.descend(self.direction, &rates)?)
    }

    /// The losses of each sample at these rates, without dropout. For [`Reduction::WeightedMean`] each deviates from the weighted mean
    /// in proportion to its weight, so that their mean is that mean, and how they differ tells its error.
    ///
    /// The rounding of losses is that of the coarsest of the types of losses and parameters.
    ///
    /// # Shapes
    /// `[rates][sample]`.
    ///
    /// # Errors
    /// As [`Self::at`], and those of the objective.
    pub fn losses(&self, rates: &[GroupRates], batch: &O::Batch) -> Result<Observed> {
        let mut unit =
            self.params.iter().map(|(_, leaf)| unit_roundoff(leaf.dtype())).fold(0.0, f64::max);
        let mut all = Vec::with_capacity(rates.len());
        for rates in rates {
            let params = self.at(rates)?;
            let losses = self.objective.losses(&params, batch, Pass::Eval)?;
            unit = unit.max(unit_roundoff(losses.sum.dtype()));
            all.push(each(&losses, self.reduction)?);
        }
        Ok(Observed::per_sample(all).computed_in(unit, 0.0))
    }

    /// Answers all that a controller asks. How many losses that took.
    ///
    /// # Errors
    /// As [`Self::losses`], and those of the controller.
    pub fn settle<C: RateController>(
        &self,
        controller: &C,
        state: &mut C::State,
        batch: &O::Batch,
    ) -> Result<usize> {
        let mut n = 0;
        while let Ask::Losses(rates) = controller.ask(state) {
            controller.tell(&self.losses(&rates, batch)?, state)?;
            n += rates.len();
        }
        Ok(n)
    }
}

/// The mean loss of each sample, or what has the weighted mean as its mean. Those in single precision on the host, of which a fit needs
/// many, take a short way to the same bits.
fn each(losses: &Losses, reduction: Reduction) -> tensor_tree::Result<Vec<f64>> {
    let Losses { sum, weight } = losses;
    let mut each =
        if sum.device().is_cpu() && (sum.dtype(), weight.dtype()) == (DType::F32, DType::F32) {
            let (sum, weight) = (sum.to_vec1::<f32>()?, weight.to_vec1::<f32>()?);
            let mean = |(s, w): (&f32, &f32)| f64::from(s / if *w == 0.0 { 1.0 } else { *w });
            sum.iter().zip(&weight).map(mean).collect()
        } else {
            losses.per_sample()?.to_dtype(DType::F64)?.to_vec1::<f64>()?
        };
    if reduction == Reduction::WeightedMean {
        let weights = weight.to_dtype(DType::F64)?.to_vec1::<f64>()?;
        let total: f64 = weights.iter().sum();
        if 0.0 < total {
            let mean = each.iter().zip(&weights).map(|(x, w)| x * w).sum::<f64>() / total;
            let share = each.len() as f64 / total;
            each.iter_mut().zip(&weights).for_each(|(x, w)| *x = mean + w * share * (*x - mean));
        }
    }
    Ok(each)
}

fn unit_roundoff(dtype: DType) -> f64 {
    let single = f64::from(f32::EPSILON) / 2.0;
    match dtype {
        DType::F64 => f64::EPSILON / 2.0,
        DType::F16 => 2f64.powi(-11),
        DType::BF16 => 2f64.powi(-8),
        _ => single,
    }
}

impl Checkpoint for crate::controller::State {
    fn save(&self, out: &mut StateWriter) -> tensor_tree::Result<()> {
        let text = serde_json::to_string(self).map_err(|e| unreadable(&e))?;
        out.text("rates", &text)
    }

    fn load(from: &mut StateReader<'_>) -> tensor_tree::Result<Self> {
        serde_json::from_str(&from.text("rates")?).map_err(|e| unreadable(&e))
    }
}

fn unreadable(error: &serde_json::Error) -> tensor_tree::Error {
    tensor_tree::Error::Checkpoint { path: None, reason: format!("rates: {error}") }
}

impl<S: Checkpoint, M: Checkpoint> Checkpoint for AutoRateState<S, M> {
    fn save(&self, out: &mut StateWriter) -> tensor_tree::Result<()> {
        out.part("rates", &self.rates)?;
        out.part("chain", &self.chain)
    }

    fn load(from: &mut StateReader<'_>) -> tensor_tree::Result<Self> {
        Ok(AutoRateState { rates: from.part("rates")?, chain: from.part("chain")? })
    }
}
