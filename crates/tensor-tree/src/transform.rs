//! Gradient transformations: optimizers and filters as chains of small functions with visible memory.

use crate::checkpoint::{Checkpoint, StateReader, StateWriter};
use crate::error::Result;
use crate::tree::Tree;

/// Maps gradients to gradients. Settings live in `self`, memory in `State`.
///
/// A chain turns *gradients to descend* into a *direction to descend*; the learning rate is applied
/// outside, by [`Tree::descend`].
pub trait Transform {
    /// Memory between steps.
    type State: Checkpoint + Clone;

    /// Memory before the first step.
    ///
    /// # Errors
    /// From the back-end.
    fn init(&self, params: &Tree) -> Result<Self::State>;

    /// One step. On `Err` the state is as it was before the call.
    ///
    /// # Errors
    /// If the trees do not fit the state.
    fn update(&self, grads: Tree, params: &Tree, state: &mut Self::State) -> Result<Tree>;

    /// This transformation followed by `next`.
    fn then<T: Transform>(self, next: T) -> Chain<Self, T>
    where
        Self: Sized,
    {
        Chain { first: self, second: next }
    }
}

/// Two transformations, one after the other.
#[derive(Clone, Debug, PartialEq)]
pub struct Chain<A, B> {
    /// Sees the gradients.
    pub first: A,
    /// Sees what the first returns.
    pub second: B,
}

impl<A: Transform, B: Transform> Transform for Chain<A, B> {
    type State = (A::State, B::State);

    fn init(&self, params: &Tree) -> Result<Self::State> {
        Ok((self.first.init(params)?, self.second.init(params)?))
    }

    fn update(&self, grads: Tree, params: &Tree, state: &mut Self::State) -> Result<Tree> {
        let mut first = state.0.clone();
        let grads = self.first.update(grads, params, &mut first)?;
        let update = self.second.update(grads, params, &mut state.1)?;
        state.0 = first; // only now: an error above left both states alone
        Ok(update)
    }
}

/// A transformation paired with its state, for call sites that choose at run time.
pub trait Stage {
    /// One step of the transformation.
    ///
    /// # Errors
    /// As [`Transform::update`]; the state is then unchanged.
    fn apply(&mut self, grads: Tree, params: &Tree) -> Result<Tree>;
    /// Writes the state.
    ///
    /// # Errors
    /// If a name is written twice.
    fn save(&self, out: &mut StateWriter) -> Result<()>;
    /// Replaces the state by a saved one.
    ///
    /// # Errors
    /// If the saved state is of another kind; the state is then unchanged.
    fn load(&mut self, from: &mut StateReader<'_>) -> Result<()>;
}

/// A [`Transform`] with its state.
#[derive(Clone, Debug)]
pub struct Running<T: Transform> {
    transform: T,
    state: T::State,
}

impl<T: Transform> Running<T> {
    /// Starts at the initial state.
    ///
    /// # Errors
    /// As [`Transform::init`].
    pub fn new(transform: T, params: &Tree) -> Result<Self> {
        let state = transform.init(params)?;
        Ok(Running { transform, state })
    }

    /// The memory as it is now.
    pub fn state(&self) -> &T::State {
        &self.state
    }
}

impl<T: Transform> Stage for Running<T> {
    fn apply(&mut self, grads: Tree, params: &Tree) -> Result<Tree> {
        self.transform.update(grads, params, &mut self.state)
    }

    fn save(&self, out: &mut StateWriter) -> Result<()> {
        self.state.save(out)
    }

    fn load(&mut self, from: &mut StateReader<'_>) -> Result<()> {
        self.state = T::State::load(from)?;
        Ok(())
    }
}

/// Returns gradients as they come.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Identity;

impl Transform for Identity {
    type State = ();

    fn init(&self, _params: &Tree) -> Result<()> {
        Ok(())
    }

    fn update(&self, grads: Tree, params: &Tree, _state: &mut ()) -> Result<Tree> {
        params.check_like(&grads)?;
        Ok(grads)
    }
}
