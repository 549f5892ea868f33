//! Other ways to have no learning rate to tune, as rivals in the same loop.
//!
//! Two kinds of method stand here.
//!
//! *Transformations that bring their own rate* ([`SelfPaced`]): [`DAdaptSgd`], [`DAdaptAdam`], [`Prodigy`], [`Dog`]
//! and [`Hypergradient`]. Each is a [`Transform`](tensor_tree::Transform) whose direction already contains the rate, so
//! that it is applied with rate one, in a chain of its user or by [`Paced`].
//!
//! *Methods that see more than a gradient*: [`ScheduleFree`] takes it at another point than it evaluates, [`PolyakStep`]
//! needs the loss, [`Armijo`] asks for losses at trial points.
//!
//! [`Rival`] is what they have in common. One loop runs them all:
//!
//! ```
//! # use candle_core::{Device, Tensor};
//! # use hessian_lr::rival::{Armijo, Move, Rival, Trial};
//! # use tensor_tree::Tree;
//! # let loss = |at: &Tree| -> hessian_lr::Result<f64> { Ok(0.5 * at.dot(at)?) };
//! # let gradient = |at: &Tree| at.clone();
//! # let leaf = Tensor::new(&[3.0, -1.0], &Device::Cpu).map_err(tensor_tree::Error::from)?;
//! # let mut params = Tree::from_leaves([("w", leaf)])?;
//! let rival = Armijo::default();
//! let mut state = rival.init(&params)?;
//! for _ in 0..20 {
//!     let at = rival.train_params(&params, &state)?;
//!     let mut next = rival.step(gradient(&at), loss(&at)?, &params, &mut state)?;
//!     while let Move::Try(trial) = next {
//!         let answer = loss(trial.params())?; // same batch, same dropout masks
//!         next = rival.answer(trial, answer, &mut state)?;
//!     }
//!     params = next.done()?;
//! }
//! let evaluated = rival.eval_params(&params, &state)?;
//! assert!(loss(&evaluated)? < 1e-3);
//! # Ok::<(), hessian_lr::Error>(())
//! ```
//!
//! Loops that choose a method at run time hold a `Box<dyn` [`Contender`]`>`.
//!
//! # Numbers that are not finite
//! A gradient, a needed loss or new parameters that are not finite give [`Error::NonFinite`]; the state is as before,
//! so the caller may leave the batch out and go on. Losses that a method does not need are not looked at. Trial losses of
//! [`Armijo`] are the exception: there a loss that is not finite means that the trial went too far.
//!
//! # Precision and devices
//! Scalars are `f64`, trees keep the data type of the parameters. Those with trees in their memory refuse parameters in half
//! precision, in which second moments underflow and distances stand still. Elementwise recursions are computed in `f64` on the
//! host, one pass over the leaves; leaves on other devices are copied there and back.

mod adam;
mod apply;
mod armijo;
mod average;
mod check;
mod contender;
mod counted;
mod dadapt_adam;
mod dadapt_sgd;
mod dog;
mod fuse;
mod hypergradient;
mod polyak;
mod prodigy;
mod schedule_free;

pub use apply::{Paced, Scheduled, SelfPaced};
pub use armijo::{Armijo, ArmijoState, ArmijoTrial, Reset};
pub use average::{Averaged, AveragedState};
pub use contender::{Contender, Running};
pub use counted::Counted;
pub use dadapt_adam::{DAdaptAdam, DAdaptAdamState};
pub use dadapt_sgd::{DAdaptSgd, DAdaptSgdState};
pub use dog::{Dog, DogState};
pub use hypergradient::{Hypergradient, HypergradientState, MetaRule};
pub use polyak::{PolyakState, PolyakStep, RateLimit};
pub use prodigy::{Prodigy, ProdigyState};
pub use schedule_free::{ScheduleFree, ScheduleFreeState};

use tensor_tree::{Checkpoint, Tree};

use crate::error::{Error, Result};

/// A training method that finds its step by itself. Settings live in `self`, memory in `State`.
pub trait Rival {
    /// Memory between steps.
    type State: Checkpoint + Clone;
    /// A question that a step may ask: [`NoTrial`] for methods that never do.
    type Trial: Trial + Clone;

    /// Memory before the first step from `params`.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`], or from the back-end.
    fn init(&self, params: &Tree) -> Result<Self::State>;

    /// Where the next gradient is to be taken: at the parameters themselves, unless the method says otherwise.
    ///
    /// # Errors
    /// If the parameters do not fit the state.
    fn train_params(&self, params: &Tree, state: &Self::State) -> Result<Tree> {
        let _ = state;
        Ok(params.clone())
    }

    /// One step from `params`, given the mean loss of a batch and its gradient, both at [`Rival::train_params`].
    ///
    /// On `Err` the state is as it was before the call.
    ///
    /// # Errors
    /// [`Error::NonFinite`], or if the trees do not fit the state.
    fn step(
        &self,
        grads: Tree,
        loss: f64,
        params: &Tree,
        state: &mut Self::State,
    ) -> Result<Move<Self::Trial>>;

    /// Goes on after a question: `loss` is that of the same batch at [`Trial::params`].
    ///
    /// On `Err` the state is as it was before the call.
    ///
    /// # Errors
    /// As [`Rival::step`].
    fn answer(
        &self,
        trial: Self::Trial,
        loss: f64,
        state: &mut Self::State,
    ) -> Result<Move<Self::Trial>>;

    /// What to evaluate and keep: the parameters themselves, unless the method says otherwise.
    ///
    /// # Errors
    /// If the parameters do not fit the state.
    fn eval_params(&self, params: &Tree, state: &Self::State) -> Result<Tree> {
        let _ = state;
        Ok(params.clone())
    }

    /// The rate of the last step, or of the next where that is known: for curves. `None` where there is none yet, or
    /// several.
    fn rate(&self, state: &Self::State) -> Option<f64>;
}

/// What a step comes to.
#[derive(Clone, Debug)]
#[must_use]
pub enum Move<T> {
    /// The new parameters.
    To(Tree),
    /// The loss at a trial point is needed first.
    Try(T),
}

impl<T> Move<T> {
    /// The new parameters.
    ///
    /// # Errors
    /// [`Error::OpenQuestion`] if a loss is still needed.
    pub fn done(self) -> Result<Tree> {
        match self {
            Move::To(params) => Ok(params),
            Move::Try(_) => Err(Error::OpenQuestion),
        }
    }
}

/// A question of a step.
pub trait Trial {
    /// Where the loss of the batch is needed.
    fn params(&self) -> &Tree;
}

/// The question of methods that ask none: there is no such value.
#[derive(Clone, Copy, Debug)]
pub enum NoTrial {}

impl Trial for NoTrial {
    fn params(&self) -> &Tree {
        match *self {}
    }
}
