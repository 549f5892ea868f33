//! Private training steps whose rates come from private losses: for any objective and any chain of transformations.

use tensor_tree::{
    Checkpoint, Collective, PerSampleDifferentiable, ProbePoint, Rates, Result as TreeResult,
    StateReader, StateWriter, Transform, Tree,
};

use super::{HyFree, Line, State};
use crate::{Charge, Drawn, PrivateStep, Result, StepKey};

/// What there is besides settings and state of a run: the private gradient, what directions come of it, and who chooses rates.
#[derive(Clone, Debug)]
pub struct HyFreeStep<T> {
    /// Gradients and losses, their noise and their charge.
    pub step: PrivateStep,
    /// Chooses the rates.
    pub controller: HyFree,
    /// Turns private gradients into directions: filters, optimizers.
    pub chain: T,
}

/// Memory of [`HyFreeStep`].
#[derive(Clone, Debug)]
pub struct HyFreeState<M> {
    /// Of the controller.
    pub rates: State,
    /// Of the chain.
    pub chain: M,
}

/// What a step did. All of it may be shown.
#[derive(Clone, Debug)]
pub struct HyFreeUpdate {
    /// The parameters after it.
    pub params: Tree,
    /// The private gradient.
    pub grads: Tree,
    /// The rate that was used.
    pub rate: f64,
    /// Losses that were released for it.
    pub n_losses: u64,
}

impl<T: Transform> HyFreeStep<T> {
    /// Memory before the first step.
    ///
    /// # Errors
    /// Those of the chain.
    pub fn init(&self, params: &Tree) -> Result<HyFreeState<T::State>> {
        Ok(HyFreeState { rates: self.controller.init(), chain: self.chain.init(params)? })
    }

    /// One step on a batch that may be cut in micro-batches: private gradient, direction, private losses along it, descent.
    ///
    /// Losses are taken on the batch of the gradient, with its dropout masks. They touch neither the parameters nor the memory of the
    /// chain, which advances once, and their noise is not that of the gradient. On an error the state is as it was.
    ///
    /// # Privacy
    /// One release of [`crate::PrivateStep::run_with_losses`], charged to `ledger` before any noise is drawn; the rest is
    /// post-processing.
    ///
    /// # Errors
    /// As [`crate::PrivateStep::run_with_losses`]; [`crate::Error::InvalidScalar`] for a direction that is not finite; those of the chain
    /// and of the controller. The charge may have been made.
    #[allow(clippy::too_many_arguments, reason = "those of the private step, and the state")]
    pub fn run<O: PerSampleDifferentiable>(
        &self,
        objective: &O,
        params: &Tree,
        parts: impl Drawn<Vec<O::Batch>>,
        key: StepKey,
        group: &impl Collective,
        ledger: &mut impl Charge,
        state: &mut HyFreeState<T::State>,
    ) -> Result<HyFreeUpdate> {
        let points = ProbePoint::single(params);
        self.run_at(objective, params, &points, parts, key, group, ledger, state)
    }

    /// The same with the gradient taken at `points`, as filters ask for.
    ///
    /// # Privacy
    /// As [`HyFreeStep::run`].
    ///
    /// # Errors
    /// As [`HyFreeStep::run`].
    #[allow(clippy::too_many_arguments, reason = "those of the private step, and the state")]
    pub fn run_at<O: PerSampleDifferentiable>(
        &self,
        objective: &O,
        params: &Tree,
        points: &[ProbePoint],
        parts: impl Drawn<Vec<O::Batch>>,
        key: StepKey,
        group: &impl Collective,
        ledger: &mut impl Charge,
        state: &mut HyFreeState<T::State>,
    ) -> Result<HyFreeUpdate> {
        let HyFreeState { mut rates, mut chain } = state.clone();
        let allowed = self.controller.n_losses(&rates);
        let (grads, mut losses) =
            self.step.run_with_losses(objective, points, parts, allowed, key, group, ledger)?;
        let direction = self.chain.update(grads.clone(), params, &mut chain)?;
        let length = if allowed == 0 { 0.0 } else { params.norm()? };
        self.controller.begin(Line::new(length, direction.norm()?)?, &mut rates)?;
        while let Some(query) = self.controller.ask(&rates) {
            let mut told = Vec::with_capacity(query.distances.len());
            for distance in &query.distances {
                // No copy at distance 0: the parameters themselves.
                let there = params.descend(&direction, &Rates::uniform(*distance))?;
                told.push(losses.release(objective, &there, query.clip, group)?);
            }
            self.controller.tell(&told, &mut rates)?;
        }
        let rate = self.controller.rate(&rates)?;
        let params = params.descend(&direction, &Rates::uniform(rate))?;
        self.controller.stepped(&mut rates)?;
        *state = HyFreeState { rates, chain };
        Ok(HyFreeUpdate { params, grads, rate, n_losses: allowed - losses.left() })
    }
}

impl<M: Checkpoint> Checkpoint for HyFreeState<M> {
    fn save(&self, out: &mut StateWriter) -> TreeResult<()> {
        out.part("rates", &self.rates)?;
        out.part("chain", &self.chain)
    }

    fn load(from: &mut StateReader<'_>) -> TreeResult<Self> {
        Ok(HyFreeState { rates: from.part("rates")?, chain: from.part("chain")? })
    }
}
