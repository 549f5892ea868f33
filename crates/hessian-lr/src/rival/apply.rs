//! Transformations as rivals: with the rate they bring, or with a rate that was chosen.

use tensor_tree::{Rates, Schedule, Transform, Tree};

use super::check::{finite_grads, finite_params, of_init, of_step, paced};
use super::counted::Counted;
use super::{Move, NoTrial, Rival};
use crate::error::Result;

/// A transformation whose direction contains the rate already: it is applied with rate one.
///
/// Such a transformation refuses gradients that are not finite ([`tensor_tree::Error::InvalidSetting`] that names the
/// number; its state stays), since one of them would stay in its estimate of the rate for ever.
///
/// # Examples
/// ```
/// # use candle_core::{Device, Tensor};
/// use hessian_lr::rival::Prodigy;
/// use tensor_tree::{ClipByNorm, Rates, Transform, Tree};
///
/// # let leaf = Tensor::new(&[3.0, -1.0], &Device::Cpu).map_err(tensor_tree::Error::from)?;
/// let params = Tree::from_leaves([("w", leaf)])?;
/// let chain = ClipByNorm { max_norm: 1.0 }.then(Prodigy::default());
/// let mut state = chain.init(&params)?;
/// let grads = params.clone(); // of half the squared norm
/// let step = chain.update(grads, &params, &mut state)?;
/// let params = params.descend(&step, &Rates::uniform(1.0))?;
/// # Ok::<(), tensor_tree::Error>(())
/// ```
pub trait SelfPaced: Transform {
    /// As [`Rival::rate`].
    fn rate(&self, state: &Self::State) -> Option<f64>;
}

/// A [`SelfPaced`] transformation, applied with rate one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Paced<T>(
    /// The transformation.
    pub T,
);

impl<T: SelfPaced> Rival for Paced<T> {
    type State = T::State;
    type Trial = NoTrial;

    fn init(&self, params: &Tree) -> Result<T::State> {
        self.0.init(params).map_err(of_init)
    }

    fn step(
        &self,
        grads: Tree,
        _loss: f64,
        params: &Tree,
        state: &mut T::State,
    ) -> Result<Move<NoTrial>> {
        let mut next = state.clone();
        let direction = self.0.update(grads, params, &mut next).map_err(of_step)?;
        let params = finite_params(params.descend(&direction, &Rates::uniform(1.0))?)?;
        *state = next;
        Ok(Move::To(params))
    }

    fn answer(&self, trial: NoTrial, _: f64, _: &mut T::State) -> Result<Move<NoTrial>> {
        match trial {}
    }

    fn rate(&self, state: &T::State) -> Option<f64> {
        self.0.rate(state)
    }
}

/// A transformation with a peak rate and its course: what the rivals want to do without.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scheduled<T> {
    /// Gives the direction.
    pub transform: T,
    /// Peak rate; finite and positive.
    pub rate: f64,
    /// Factor of the peak rate at each step.
    pub schedule: Schedule,
}

impl<T: Transform> Rival for Scheduled<T> {
    type State = Counted<T::State>;
    type Trial = NoTrial;

    fn init(&self, params: &Tree) -> Result<Self::State> {
        paced(self.rate, self.schedule).map_err(of_init)?;
        Ok(Counted::new(self.transform.init(params).map_err(of_init)?))
    }

    fn step(
        &self,
        grads: Tree,
        _loss: f64,
        params: &Tree,
        state: &mut Self::State,
    ) -> Result<Move<NoTrial>> {
        finite_grads(&grads, params)?;
        let mut inner = state.inner.clone();
        let direction = self.transform.update(grads, params, &mut inner).map_err(of_step)?;
        let rate = self.rate * self.schedule.factor(state.step);
        let params = finite_params(params.descend(&direction, &Rates::uniform(rate))?)?;
        *state = Counted { inner, step: state.step + 1 };
        Ok(Move::To(params))
    }

    fn answer(&self, trial: NoTrial, _: f64, _: &mut Self::State) -> Result<Move<NoTrial>> {
        match trial {}
    }

    fn rate(&self, state: &Self::State) -> Option<f64> {
        Some(self.rate * self.schedule.factor(state.step))
    }
}
