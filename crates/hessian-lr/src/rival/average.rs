//! Averages of the iterates of any rival, with weights that grow polynomially.

use tensor_tree::{Checkpoint, StateReader, StateWriter, Tree};

use super::check::{not_negative, of_init, precise};
use super::counted::Counted;
use super::fuse::beside;
use super::{Move, Rival};
use crate::error::Result;

/// A rival that is evaluated at an average of its iterates.
///
/// ```text
/// c_t = (1 + gamma) / (t + gamma),    xbar_t = (1 - c_t) xbar_{t-1} + c_t x_t,    t = 1, 2, ...
/// ```
///
/// Training is that of the inner rival; only [`Rival::eval_params`] changes. Before the first step that is the start.
///
/// # Source
/// Polynomial-decay averaging of Shamir and Zhang (2013) as used by arXiv 2302.12022, where `gamma` is 8; `t` counts steps, `x_t` is the iterate after step `t` as in the authors' averager.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Averaged<R> {
    /// Makes the iterates.
    pub rival: R,
    /// How fast old iterates are forgotten: 0 is the plain mean. Finite and at least 0.
    pub gamma: f64,
}

impl<R> Averaged<R> {
    /// With the exponent of the paper, 8.
    pub fn new(rival: R) -> Self {
        Averaged { rival, gamma: 8.0 }
    }
}

/// Memory of [`Averaged`].
#[derive(Clone, Debug)]
pub struct AveragedState<S> {
    /// Memory of the inner rival, and the number of steps.
    pub counted: Counted<S>,
    /// The average so far; the start before the first step.
    pub average: Tree,
}

impl<R: Rival> Rival for Averaged<R> {
    type State = AveragedState<R::State>;
    type Trial = R::Trial;

    fn init(&self, params: &Tree) -> Result<Self::State> {
        precise(params).map_err(of_init)?;
        not_negative("gamma of the average", self.gamma).map_err(of_init)?;
        Ok(AveragedState {
            counted: Counted::new(self.rival.init(params)?),
            average: params.clone(),
        })
    }

    fn train_params(&self, params: &Tree, state: &Self::State) -> Result<Tree> {
        self.rival.train_params(params, &state.counted.inner)
    }

    fn step(
        &self,
        grads: Tree,
        loss: f64,
        params: &Tree,
        state: &mut Self::State,
    ) -> Result<Move<R::Trial>> {
        let mut inner = state.counted.inner.clone();
        let next = self.rival.step(grads, loss, params, &mut inner)?;
        self.follow(next, inner, state)
    }

    fn answer(
        &self,
        trial: R::Trial,
        loss: f64,
        state: &mut Self::State,
    ) -> Result<Move<R::Trial>> {
        let mut inner = state.counted.inner.clone();
        let next = self.rival.answer(trial, loss, &mut inner)?;
        self.follow(next, inner, state)
    }

    fn eval_params(&self, params: &Tree, state: &Self::State) -> Result<Tree> {
        Ok(beside(&state.average, params)?)
    }

    fn rate(&self, state: &Self::State) -> Option<f64> {
        self.rival.rate(&state.counted.inner)
    }
}

impl<R: Rival> Averaged<R> {
    #[allow(clippy::cast_precision_loss, reason = "steps stay below 2^53")]
    fn follow(
        &self,
        next: Move<R::Trial>,
        inner: R::State,
        state: &mut AveragedState<R::State>,
    ) -> Result<Move<R::Trial>> {
        let Move::To(params) = &next else {
            state.counted.inner = inner;
            return Ok(next);
        };
        let step = state.counted.step + 1;
        let c = (1.0 + self.gamma) / (step as f64 + self.gamma);
        // What the inner rival evaluates is what is averaged: its iterates, for those that change nothing there.
        let seen = self.rival.eval_params(params, &inner)?;
        let average = beside(&state.average, params)?.lin_comb(1.0 - c, c, &seen)?;
        *state = AveragedState { counted: Counted { inner, step }, average };
        Ok(next)
    }
}

impl<S: Checkpoint> Checkpoint for AveragedState<S> {
    fn save(&self, out: &mut StateWriter) -> tensor_tree::Result<()> {
        out.part("counted", &self.counted)?;
        out.tree("average", &self.average)
    }

    fn load(from: &mut StateReader<'_>) -> tensor_tree::Result<Self> {
        Ok(AveragedState { counted: from.part("counted")?, average: from.tree("average")? })
    }
}
