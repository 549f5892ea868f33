//! DiSK: the simplified Kalman filter of private gradients, and where it wants gradients taken.

mod state;

pub use state::DiskState;

use tensor_tree::{Error as TreeError, ProbePoint, Result as TreeResult, Transform, Tree};

use crate::error::{Result, check};
use crate::kalman::{KalmanStep, ScalarKalman};

/// A weight so near to 1 counts as 1, and one gradient is enough.
const ONE: f64 = 1e-12;

/// Largest `gamma` and largest `c`: gradients farther out, or combined with larger weights, say nothing about those at the parameters.
const LARGEST: f64 = 1e4;

/// The step that must not come before [`Disk::points`].
const UNASKED: &str = "a gradient for `Disk`, of parameters that have moved,";

/// Whether a [`Disk`] was given gradients without the question where they are to be taken.
pub(crate) fn was_not_asked(error: &TreeError) -> bool {
    matches!(error, TreeError::OutOfOrder { step, .. } if *step == UNASKED)
}

/// How much of each new gradient the estimate takes.
///
/// # Privacy
/// Public numbers, whatever they are: a gain changes neither sensitivity nor noise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum KalmanGain {
    /// The same `kappa` at every step, in `(0, 1]`.
    Constant(f64),
    /// `kappa_t` of a scalar Kalman filter: larger at first, then smaller.
    Scalar(ScalarKalman),
}

/// How far along the last displacement the second gradient is taken, in multiples of it: `gamma`.
///
/// # Privacy
/// Whatever `gamma` and `c` are, combined gradients are clipped to the same norm: noise and epsilon do not change.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum LookAhead {
    /// `gamma_t = (1 - kappa_t) / kappa_t`, so that the weight `c` of the second gradient is 1, that of the first is 0, and one gradient per
    /// step is enough. Refused where `kappa_t` comes so near to 0 that `gamma_t` exceeds 1e4.
    Auto,
    /// This `gamma`, positive and 1e4 at most: `c_t = (1 - kappa_t) / (kappa_t gamma)`, which follows `kappa_t` where the gain is not constant. Below
    /// `(1 - kappa) / kappa` the weights are `c > 1` and `1 - c < 0`, and more samples are clipped. Refused where `c_t` exceeds
    /// 1e4.
    Fixed(f64),
}

/// What the first estimate is.
///
/// # Privacy
/// Both are post-processing of released gradients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Start {
    /// The first private gradient: `s_0 = g_0`. With a [`ScalarKalman`] its variance is that of an observation, whatever the initial
    /// variance is.
    #[default]
    FirstObservation,
    /// Zero before the first step: `s_0 = kappa_0 g_0`. Early steps are too small.
    Zero,
}

/// Estimates the gradient `s_t` from private gradients of this and of earlier steps, corrected for the movement of the parameters.
///
/// With `d_t = w_t - w_{t-1}`, the displacement that the optimizer really made, and `c = (1 - kappa) / (kappa gamma)`:
///
/// ```text
/// for each sample    u_t = (1 - c) grad f(w_t) + c grad f(w_t + gamma d_t)
/// g_t = (sum_i clip(u_t) + noise) / B          s_t = (1 - kappa) s_{t-1} + kappa g_t
/// ```
///
/// The gradients of a sample are combined *before* they are clipped. So the filter comes in two halves: [`Disk::points`] says where the
/// private step is to take gradients and with which weights, and the [`Transform`] makes `s_t` of what the step released. A
/// [`crate::FilteredStep`] does both in turn, and refuses a chain in which it cannot before anything is charged. Whoever calls them apart
/// and forgets the first gets an error ([`TreeError::OutOfOrder`]) as soon as the parameters have moved, when the second step has been
/// charged.
///
/// One point is enough at the first step, where `kappa = 1` (then the filter does nothing), and where `c = 1`
/// ([`LookAhead::Auto`]); else there are two, at twice the cost. On quadratic losses the result does not depend on `gamma`. The noise power
/// gain is `kappa / (2 - kappa)` in the end ([`Disk::noise_power_gain`]). The estimate follows a gradient that changes steadily without lag, unlike [`crate::LowPass`].
///
/// It must be the first link of its chain, and not inside a [`crate::PerGroup`]: only the first link is asked for points. Combinations are
/// differences of gradients at parameters that lie near each other. Where each pass rounds its parameters to a half
/// (`tape_nn::MixedPrecision`), small displacements and with them such differences are lost: there take [`LookAhead::Auto`], which needs one
/// gradient, or compute in `f32`.
///
/// Any optimizer may come after it. The state is two trees of the size of the parameters: `s_{t-1}` and `w_{t-1}`.
///
/// # Privacy
/// Whatever `c` is, the clipped part of one sample has norm `R` at most, so the step has the sensitivity, noise and charge of an ordinary one;
/// the points are functions of released parameters, and the rest is post-processing. Clipping each gradient first and combining then would
/// have sensitivity `(|1 - c| + |c|) R`; no way through this type does that.
///
/// # Examples
/// ```
/// use dp_filters::{Disk, LookAhead};
/// use tensor_tree::{AdamW, Transform};
///
/// let published = Disk::default().then(AdamW::default()); // kappa 0.7, gamma 0.5: two gradients per step
/// let cheap = Disk::new(0.3, LookAhead::Auto)?.then(AdamW::default()); // one
/// # Ok::<(), dp_filters::Error>(())
/// ```
///
/// # Source
/// arXiv 2410.03883, the simplified algorithm. Codes that belong to the paper divide the noise by `sqrt(c^2 + (1-c)^2)`; the
/// combination is clipped, so nothing justifies that, and it is not done here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Disk {
    gain: KalmanGain,
    look_ahead: LookAhead,
    start: Start,
}

impl Default for Disk {
    /// `kappa` 0.7 and `gamma` 0.5.
    fn default() -> Self {
        Disk {
            gain: KalmanGain::Constant(0.7),
            look_ahead: LookAhead::Fixed(0.5),
            start: Start::FirstObservation,
        }
    }
}

impl Disk {
    /// With a constant gain `kappa`.
    ///
    /// # Errors
    /// [`crate::Error::InvalidSetting`] unless `kappa` is in `(0, 1]`, a fixed `gamma` is positive, and `gamma` and `c` are 1e4 at most.
    pub fn new(kappa: f64, look_ahead: LookAhead) -> Result<Self> {
        check("kappa", "in (0, 1]", kappa, 0.0 < kappa && kappa <= 1.0)?;
        Self::with_gain(KalmanGain::Constant(kappa), kappa, look_ahead)
    }

    /// With the gains of a scalar Kalman filter. Both kinds of look-ahead follow `kappa_t`: `c` stays 1 with [`LookAhead::Auto`] and
    /// changes with [`LookAhead::Fixed`].
    ///
    /// # Errors
    /// [`crate::Error::InvalidSetting`] unless the variance of the process is positive (gains fall to 0 without one), a fixed `gamma` is
    /// positive, and `gamma` and `c` are 1e4 at most, for the first gain and for the stationary one. The others lie between them.
    pub fn adaptive(kalman: ScalarKalman, look_ahead: LookAhead) -> Result<Self> {
        let process = kalman.process_variance();
        let must = "positive for DiSK (without a process the gains fall to 0)";
        check("process variance", must, process, 0.0 < process)?;
        let smallest = kalman.first().gain.min(kalman.stationary_gain());
        Self::with_gain(KalmanGain::Scalar(kalman), smallest, look_ahead)
    }

    /// With gains of which this is the smallest.
    fn with_gain(gain: KalmanGain, smallest: f64, look_ahead: LookAhead) -> Result<Self> {
        // Of the smallest gain, gamma for c = 1, and c for gamma = 1.
        let ratio = (1.0 - smallest) / smallest;
        let ok = |x: f64| (0.0..=LARGEST).contains(&x);
        match look_ahead {
            LookAhead::Auto => {
                let must =
                    "1e4 at most (take a larger kappa or process variance, or LookAhead::Fixed)";
                check("gamma = (1 - kappa) / kappa", must, ratio, ok(ratio))?;
            }
            LookAhead::Fixed(gamma) => {
                check("gamma", "positive, and 1e4 at most", gamma, 0.0 < gamma && ok(gamma))?;
                let c = ratio / gamma;
                let must = "1e4 at most (take a larger gamma, kappa or process variance)";
                check("c = (1 - kappa) / (kappa gamma)", must, c, ok(c))?;
            }
        }
        Ok(Disk { gain, look_ahead, start: Start::default() })
    }

    /// The same with another start.
    #[must_use]
    pub fn with_start(self, start: Start) -> Self {
        Disk { start, ..self }
    }

    /// What the variance of white noise is multiplied by in `s_t` after many steps: `kappa / (2 - kappa)`, of the stationary gain where gains
    /// follow a [`ScalarKalman`]. For [`crate::Denominator::noise_free`] behind it.
    ///
    /// # Privacy
    /// A function of the settings alone.
    #[must_use]
    pub fn noise_power_gain(&self) -> f64 {
        let kappa = match self.gain {
            KalmanGain::Constant(kappa) => kappa,
            KalmanGain::Scalar(kalman) => kalman.stationary_gain(),
        };
        kappa / (2.0 - kappa)
    }

    /// `kappa` of the next step after `state`.
    #[must_use]
    pub fn kappa(&self, state: &DiskState) -> f64 {
        self.next(state).gain
    }

    /// `gamma` of the next step after `state`: how far the second gradient is taken.
    #[must_use]
    pub fn gamma(&self, state: &DiskState) -> f64 {
        match self.look_ahead {
            LookAhead::Fixed(gamma) => gamma,
            LookAhead::Auto => {
                let kappa = self.kappa(state);
                (1.0 - kappa) / kappa
            }
        }
    }

    /// `c` of the next step after `state`: the weight of the second gradient.
    #[must_use]
    pub fn weight(&self, state: &DiskState) -> f64 {
        let kappa = self.kappa(state);
        match self.look_ahead {
            _ if 1.0 <= kappa => 0.0,
            LookAhead::Auto => 1.0,
            LookAhead::Fixed(gamma) => (1.0 - kappa) / (kappa * gamma),
        }
    }

    /// Where the gradient of the next step is to be taken, before clipping: at `params`, along the last displacement, or both.
    ///
    /// `params` are those that the optimizer left; they are not changed, and the step that follows must be given the same tensors. May be
    /// called again before that step.
    ///
    /// # Privacy
    /// A function of released parameters. Give all points to one call of a [`dp_core::PrivateStep`], which combines before it clips.
    ///
    /// # Errors
    /// If the parameters do not fit the state.
    pub fn points(&self, params: &Tree, state: &mut DiskState) -> TreeResult<Vec<ProbePoint>> {
        let points = self.points_of(params, state)?;
        state.ask(params);
        Ok(points)
    }

    fn points_of(&self, params: &Tree, state: &DiskState) -> TreeResult<Vec<ProbePoint>> {
        let c = self.weight(state);
        let displacement = if c == 0.0 { None } else { state.displacement(params)? };
        let Some(displacement) = displacement else {
            return Ok(ProbePoint::single(params).to_vec());
        };
        let ahead = params.add_scaled(self.gamma(state), &displacement)?;
        if (c - 1.0).abs() <= ONE {
            return Ok(ProbePoint::single(&ahead).to_vec());
        }
        let here = ProbePoint { params: params.clone(), weight: 1.0 - c };
        Ok(vec![here, ProbePoint { params: ahead, weight: c }])
    }

    /// Gain and variance of the step after `state`.
    fn next(&self, state: &DiskState) -> KalmanStep {
        let is_first = state.step() == 0;
        match (self.gain, self.start) {
            (KalmanGain::Constant(kappa), Start::FirstObservation) if is_first && kappa < 1.0 => {
                // The estimate is the observation, whatever kappa is.
                KalmanStep { gain: 1.0, variance: 0.0 }
            }
            (KalmanGain::Constant(gain), _) => KalmanStep { gain, variance: 0.0 },
            (KalmanGain::Scalar(kalman), Start::FirstObservation) if is_first => {
                KalmanStep { gain: 1.0, variance: kalman.observation_variance() }
            }
            (KalmanGain::Scalar(kalman), Start::Zero) if is_first => kalman.first(),
            (KalmanGain::Scalar(kalman), _) => kalman.after(state.variance()),
        }
    }
}

impl Transform for Disk {
    type State = DiskState;

    fn init(&self, _params: &Tree) -> TreeResult<DiskState> {
        Ok(DiskState::default())
    }

    /// `s_t` from the private gradient that was taken at [`Disk::points`].
    fn update(&self, grads: Tree, params: &Tree, state: &mut DiskState) -> TreeResult<Tree> {
        params.check_like(&grads)?;
        if self.weight(state) != 0.0 && !state.may_correct(params)? {
            return Err(TreeError::OutOfOrder {
                step: UNASKED,
                needs: "the question where it is to be taken (`Disk::points`, with the same tensors); `Disk` must be the first link of a \
                        chain, not in a group, and the chain run by `FilteredStep::run` or `hyfree_step`, which ask, not by `HyFreeStep::run`",
            });
        }
        let KalmanStep { gain, variance } = self.next(state);
        let estimate = match state.estimate() {
            _ if 1.0 <= gain => grads,
            None => grads.scale(gain)?,
            Some(estimate) => estimate.beside(&grads)?.lin_comb(1.0 - gain, gain, &grads)?,
        };
        *state = state.moved(estimate.clone(), params.clone(), variance);
        Ok(estimate)
    }
}
