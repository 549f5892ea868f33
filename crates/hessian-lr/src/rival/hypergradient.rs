//! Hypergradient descent: gradient descent on the rate itself.

use tensor_tree::{AdamW, Checkpoint, Result, Sgd, StateReader, StateWriter, Transform, Tree};

use super::apply::SelfPaced;
use super::check::{finite, not_negative, positive, precise, squared_norm};
use super::fuse::beside;

/// Any transformation with a rate that follows the derivative of the loss with respect to it.
///
/// ```text
/// h_t = <g_t, u_{t-1}>          u: the direction of the transformation
/// additive:        alpha_t = alpha_{t-1} + beta h_t
/// multiplicative:  alpha_t = alpha_{t-1} (1 + beta h_t / (|g_t| |u_{t-1}|))
/// x <- x - alpha_t u_t
/// ```
///
/// # Source
/// arXiv 1703.04782: SGD-HD, SGDN-HD (over [`Momentum`](tensor_tree::Momentum)) and Adam-HD with the additive rule, and
/// the multiplicative rule of the same paper. Adam is that of the paper, `eps` beside the corrected second moment and one
/// `h` for all leaves; the authors' code has `eps` beside the other, and leaves step while `h` is still being added up.
/// As in the paper nothing keeps an additive rate from falling below zero. Where a norm is zero, the multiplicative rule
/// leaves the rate alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hypergradient<T> {
    /// Gives the direction.
    pub transform: T,
    /// First rate; finite and positive.
    pub rate: f64,
    /// Rate `beta` of the rate; finite and at least 0.
    pub meta_rate: f64,
    /// How the rate moves.
    pub rule: MetaRule,
}

/// How the rate of [`Hypergradient`] moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetaRule {
    /// By a multiple of the derivative: `beta` has the unit of the rate squared over that of the loss.
    Additive,
    /// By a part of itself in proportion to a cosine: `beta` has no unit, and below one the rate stays positive.
    Multiplicative,
}

impl Hypergradient<Sgd> {
    /// SGD-HD.
    #[must_use]
    pub fn sgd(rate: f64, meta_rate: f64, rule: MetaRule) -> Self {
        Hypergradient { transform: Sgd::default(), rate, meta_rate, rule }
    }
}

impl Hypergradient<AdamW> {
    /// Adam-HD.
    #[must_use]
    pub fn adam(rate: f64, meta_rate: f64, rule: MetaRule) -> Self {
        Hypergradient { transform: AdamW::default(), rate, meta_rate, rule }
    }
}

/// Memory of [`Hypergradient`].
#[derive(Clone, Debug)]
pub struct HypergradientState<S> {
    /// Memory of the transformation.
    pub inner: S,
    /// The rate of the last step.
    pub rate: f64,
    /// The direction of the last step, without the rate; zero before the first.
    pub direction: Tree,
}

impl<T: Transform> Transform for Hypergradient<T> {
    type State = HypergradientState<T::State>;

    fn init(&self, params: &Tree) -> Result<Self::State> {
        precise(params)?;
        positive("rate", self.rate)?;
        not_negative("meta rate", self.meta_rate)?;
        Ok(HypergradientState {
            inner: self.transform.init(params)?,
            rate: self.rate,
            direction: params.zeros_like()?,
        })
    }

    fn update(&self, grads: Tree, params: &Tree, state: &mut Self::State) -> Result<Tree> {
        params.check_like(&grads)?;
        let last = beside(&state.direction, &grads)?;
        let squares = squared_norm("squared norm of the gradient", &grads)?;
        let slope = finite("hypergradient", grads.dot(&last)?)?;
        let rate = match self.rule {
            MetaRule::Additive => state.rate + self.meta_rate * slope,
            MetaRule::Multiplicative => {
                let norms = squares.sqrt() * last.norm()?;
                let cosine = if norms == 0.0 { 0.0 } else { slope / norms };
                state.rate * (1.0 + self.meta_rate * cosine)
            }
        };
        let rate = finite("rate of hypergradient descent", rate)?;
        let mut inner = state.inner.clone();
        let direction = self.transform.update(grads, params, &mut inner)?;
        let step = direction.scale(rate)?;
        *state = HypergradientState { inner, rate, direction };
        Ok(step)
    }
}

impl<T: Transform> SelfPaced for Hypergradient<T> {
    fn rate(&self, state: &Self::State) -> Option<f64> {
        Some(state.rate)
    }
}

impl<S: Checkpoint> Checkpoint for HypergradientState<S> {
    fn save(&self, out: &mut StateWriter) -> Result<()> {
        out.part("inner", &self.inner)?;
        out.number("rate", self.rate)?;
        out.tree("direction", &self.direction)
    }

    fn load(from: &mut StateReader<'_>) -> Result<Self> {
        Ok(HypergradientState {
            inner: from.part("inner")?,
            rate: from.number("rate")?,
            direction: from.tree("direction")?,
        })
    }
}
