//! A rival paired with its state, for loops that choose the method at run time.

use tensor_tree::{Checkpoint, StateReader, StateWriter, Tree};

use super::{Move, Rival, Trial};
use crate::error::{Error, Result};

/// A [`Rival`] with its state behind one small face.
pub trait Contender {
    /// As [`Rival::train_params`].
    ///
    /// # Errors
    /// As there.
    fn train_params(&self, params: &Tree) -> Result<Tree>;

    /// As [`Rival::step`]; a question is given as the point at which the loss is needed. A question that was open is
    /// dropped.
    ///
    /// # Errors
    /// As there.
    fn step(&mut self, grads: Tree, loss: f64, params: &Tree) -> Result<Move<Tree>>;

    /// As [`Rival::answer`], for the question that is open.
    ///
    /// # Errors
    /// As there, or [`Error::NothingAsked`].
    fn answer(&mut self, loss: f64) -> Result<Move<Tree>>;

    /// As [`Rival::eval_params`].
    ///
    /// # Errors
    /// As there.
    fn eval_params(&self, params: &Tree) -> Result<Tree>;

    /// As [`Rival::rate`].
    fn rate(&self) -> Option<f64>;

    /// Writes the state as it is between steps.
    ///
    /// # Errors
    /// [`Error::OpenQuestion`] in the middle of a step, or if a name is written twice.
    fn save(&self, out: &mut StateWriter) -> Result<()>;

    /// Replaces the state by a saved one.
    ///
    /// # Errors
    /// If the saved state is of another kind; the state is then unchanged.
    fn load(&mut self, from: &mut StateReader<'_>) -> Result<()>;
}

/// A [`Rival`] with its state.
#[derive(Clone, Debug)]
pub struct Running<R: Rival> {
    rival: R,
    state: R::State,
    open: Option<R::Trial>,
}

impl<R: Rival> Running<R> {
    /// Starts at the initial state.
    ///
    /// # Errors
    /// As [`Rival::init`].
    pub fn new(rival: R, params: &Tree) -> Result<Self> {
        let state = rival.init(params)?;
        Ok(Running { rival, state, open: None })
    }

    /// The memory as it is now.
    pub fn state(&self) -> &R::State {
        &self.state
    }

    fn show(&mut self, next: Move<R::Trial>) -> Move<Tree> {
        match next {
            Move::To(params) => Move::To(params),
            Move::Try(trial) => {
                let at = trial.params().clone();
                self.open = Some(trial);
                Move::Try(at)
            }
        }
    }
}

impl<R: Rival> Contender for Running<R> {
    fn train_params(&self, params: &Tree) -> Result<Tree> {
        self.rival.train_params(params, &self.state)
    }

    fn step(&mut self, grads: Tree, loss: f64, params: &Tree) -> Result<Move<Tree>> {
        let next = self.rival.step(grads, loss, params, &mut self.state)?;
        self.open = None;
        Ok(self.show(next))
    }

    fn answer(&mut self, loss: f64) -> Result<Move<Tree>> {
        let trial = self.open.clone().ok_or(Error::NothingAsked)?;
        let next = self.rival.answer(trial, loss, &mut self.state)?;
        self.open = None;
        Ok(self.show(next))
    }

    fn eval_params(&self, params: &Tree) -> Result<Tree> {
        self.rival.eval_params(params, &self.state)
    }

    fn rate(&self) -> Option<f64> {
        self.rival.rate(&self.state)
    }

    fn save(&self, out: &mut StateWriter) -> Result<()> {
        // A trial is not saved: a run that resumes takes the whole step again.
        if self.open.is_some() {
            return Err(Error::OpenQuestion);
        }
        Ok(self.state.save(out)?)
    }

    fn load(&mut self, from: &mut StateReader<'_>) -> Result<()> {
        self.state = R::State::load(from)?;
        self.open = None;
        Ok(())
    }
}
