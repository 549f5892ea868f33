//! Private training steps with filters: points, private gradient, filter, optimizer and descent in their order.

use dp_core::hyfree::{HyFreeState, HyFreeStep, HyFreeUpdate};
use dp_core::{Charge, Drawn, PrivateStep, StepKey};
use tensor_tree::{
    Chain, Collective, PerSampleDifferentiable, ProbePoint, Rates, Result as TreeResult, Transform,
    Tree,
};

use crate::disk::{self, Disk, DiskState};
use crate::error::Result;
use crate::low_pass::{FilteredAdam, LowPass};
use crate::per_group::PerGroup;

/// A transformation that says where the gradients that it is given are to be taken.
///
/// A chain asks its first link; a link behind another one sees what that one makes, not gradients of samples. So [`Disk`] belongs in the
/// first place of a chain. [`PerGroup`] has one gradient for all of its groups, so it takes only transformations that are [`AtParams`].
///
/// # Examples
/// ```
/// # use dp_core::PrivateStep;
/// # use dp_filters::{Disk, FilteredStep, LowPass, PerGroup, Recipe};
/// # use tensor_tree::{Groups, Transform, Tree};
/// # fn run(step: PrivateStep, groups: Groups, params: &Tree) -> Result<(), Box<dyn std::error::Error>> {
/// let slow = PerGroup::new(groups, vec![LowPass::new(Recipe::DoublePole.filter())])?;
/// FilteredStep { step, chain: Disk::default().then(slow) }.init(params)?;
/// # Ok(())
/// # }
/// ```
///
/// In a group nobody would ask DiSK:
/// ```compile_fail,E0599
/// # use dp_core::PrivateStep;
/// # use dp_filters::{Disk, FilteredStep, LowPass, PerGroup, Recipe};
/// # use tensor_tree::{Groups, Transform, Tree};
/// # fn run(step: PrivateStep, groups: Groups, params: &Tree) -> Result<(), Box<dyn std::error::Error>> {
/// let slow = PerGroup::new(groups, vec![Disk::default()])?;
/// FilteredStep { step, chain: slow.then(LowPass::new(Recipe::None.filter())) }.init(params)?;
/// # Ok(())
/// # }
/// ```
pub trait TakesPoints: Transform {
    /// The points of the next step, with weights by which the gradients of each sample are combined before clipping.
    ///
    /// # Privacy
    /// Functions of released values. All points belong in one call of a [`PrivateStep`].
    ///
    /// # Errors
    /// If the parameters do not fit the state.
    fn points(&self, params: &Tree, state: &mut Self::State) -> TreeResult<Vec<ProbePoint>> {
        let _ = state;
        Ok(ProbePoint::single(params).to_vec())
    }
}

/// A transformation that takes its gradients at the parameters themselves, so that it may stand anywhere in a chain and in a [`PerGroup`].
/// For one of your own, leave [`TakesPoints::points`] as it is.
pub trait AtParams: TakesPoints {}

impl TakesPoints for LowPass {}
impl TakesPoints for FilteredAdam {}
impl TakesPoints for tensor_tree::Identity {}
impl TakesPoints for tensor_tree::Sgd {}
impl TakesPoints for tensor_tree::Momentum {}
impl TakesPoints for tensor_tree::AdamW {}
impl<T: AtParams> TakesPoints for PerGroup<T> {}

impl AtParams for LowPass {}
impl AtParams for FilteredAdam {}
impl AtParams for tensor_tree::Identity {}
impl AtParams for tensor_tree::Sgd {}
impl AtParams for tensor_tree::Momentum {}
impl AtParams for tensor_tree::AdamW {}
impl<T: AtParams> AtParams for PerGroup<T> {}
impl<A: AtParams, B: AtParams> AtParams for Chain<A, B> {}

impl TakesPoints for Disk {
    fn points(&self, params: &Tree, state: &mut DiskState) -> TreeResult<Vec<ProbePoint>> {
        Disk::points(self, params, state)
    }
}

impl<A: TakesPoints, B: Transform> TakesPoints for Chain<A, B> {
    fn points(&self, params: &Tree, state: &mut Self::State) -> TreeResult<Vec<ProbePoint>> {
        self.first.points(params, &mut state.0)
    }
}

/// A private step followed by a chain of filters and an optimizer.
///
/// # Privacy
/// One release of the [`PrivateStep`] for each step, charged before its noise is drawn; everything the chain does is post-processing. The
/// ledger of a run with filters is that of the run without.
///
/// # Examples
/// The README of this crate has a complete run.
#[derive(Clone, Debug)]
pub struct FilteredStep<T> {
    /// Clipping, noise and charge.
    pub step: PrivateStep,
    /// Filters, then an optimizer.
    pub chain: T,
}

/// What a step did. All of it may be shown.
#[derive(Clone, Debug)]
pub struct Update {
    /// The parameters after it.
    pub params: Tree,
    /// The private gradient, before any filter.
    pub grads: Tree,
    /// What was descended: what the chain made of it.
    pub direction: Tree,
}

impl<T: TakesPoints> FilteredStep<T> {
    /// Memory before the first step. The chain takes two steps for trial first, without gradients and without a charge.
    ///
    /// # Errors
    /// Those of the chain, and [`tensor_tree::Error::OutOfOrder`] if a [`Disk`] in it stands where nobody asks it for points.
    pub fn init(&self, params: &Tree) -> Result<T::State> {
        rehearse(&self.chain, params)?;
        Ok(self.chain.init(params)?)
    }

    /// One step on a batch that may be cut in micro-batches. On an error the state is as it was.
    ///
    /// # Privacy
    /// One release of [`PrivateStep::run_in_parts`]; the rest is post-processing.
    ///
    /// # Errors
    /// As [`PrivateStep::run_in_parts`], and those of the chain. The charge may have been made.
    #[allow(clippy::too_many_arguments, reason = "those of the private step, rates and the state")]
    pub fn run<O: PerSampleDifferentiable>(
        &self,
        objective: &O,
        params: &Tree,
        parts: impl Drawn<Vec<O::Batch>>,
        rates: &Rates,
        key: StepKey,
        group: &impl Collective,
        ledger: &mut impl Charge,
        state: &mut T::State,
    ) -> Result<Update> {
        let mut next = state.clone();
        let points = self.chain.points(params, &mut next)?;
        let grads = self.step.run_in_parts(objective, &points, parts, key, group, ledger)?;
        let direction = self.chain.update(grads.clone(), params, &mut next)?;
        let params = params.descend(&direction, rates)?;
        *state = next;
        Ok(Update { params, grads, direction })
    }
}

/// The same with rates from private losses: one step of a [`HyFreeStep`] whose gradient is taken where its chain wants it.
///
/// Losses are probed along what the filters made of the gradient.
///
/// # Privacy
/// One release of [`PrivateStep::run_with_losses`]; the rest is post-processing. Where one gradient at a point beside the parameters is
/// enough, the loss at the parameters themselves costs a forward pass more, and no more privacy.
///
/// # Errors
/// As [`HyFreeStep::run_at`], and those of the chain. On an error the state is as it was; the charge may have been made. A [`Disk`] that
/// stands where nobody asks it for points is refused before the first charge.
#[allow(clippy::too_many_arguments, reason = "those of the driver's own step")]
pub fn hyfree_step<T: TakesPoints, O: PerSampleDifferentiable>(
    driver: &HyFreeStep<T>,
    objective: &O,
    params: &Tree,
    parts: impl Drawn<Vec<O::Batch>>,
    key: StepKey,
    group: &impl Collective,
    ledger: &mut impl Charge,
    state: &mut HyFreeState<T::State>,
) -> Result<HyFreeUpdate> {
    if state.rates.step() == 0 {
        rehearse(&driver.chain, params)?;
    }
    let mut next = state.clone();
    let points = driver.chain.points(params, &mut next.chain)?;
    let update = driver.run_at(objective, params, &points, parts, key, group, ledger, &mut next)?;
    *state = next;
    Ok(update)
}

/// Two steps of the chain with gradients of zeros at parameters that move, to find a [`Disk`] that is not asked for points before
/// something is charged. Other errors come in their own time.
fn rehearse<T: TakesPoints>(chain: &T, params: &Tree) -> TreeResult<()> {
    let steps = || -> TreeResult<()> {
        let zeros = params.zeros_like()?;
        let ones = zeros.map(|_, leaf| Ok((leaf + 1.0)?))?;
        let mut state = chain.init(&zeros)?;
        for at in [&zeros, &ones] {
            chain.points(at, &mut state)?;
            chain.update(zeros.clone(), at, &mut state)?;
        }
        Ok(())
    };
    steps().or_else(|error| if disk::was_not_asked(&error) { Err(error) } else { Ok(()) })
}
