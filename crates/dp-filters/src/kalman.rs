//! The Kalman filter of one number: gains from the variances of process and observation.

use crate::error::{Result, check};

/// Largest sum of the variances: sums of a few still fit.
pub(crate) const LARGEST_VARIANCE: f64 = 1e300;

/// Gains `kappa_t` of the scalar Kalman filter, for a quantity that moves by steps of variance `process` and is observed with noise of
/// variance `observation`:
///
/// ```text
/// p^-_t = p_{t-1} + process,   kappa_t = p^-_t / (p^-_t + observation),   p_t = (1 - kappa_t) p^-_t
/// ```
///
/// They move from the first one to [`ScalarKalman::stationary_gain`], downwards where the initial variance is above its stationary value.
/// Only the ratios of the three variances matter.
///
/// # Privacy
/// Gains are functions of the three variances alone, which are public: take for the observation what is known of the noise
/// ([`dp_core::PrivateStep::noise_std`] squared) and a guess, never a measurement on gradients without noise.
///
/// # Examples
/// ```
/// use dp_filters::ScalarKalman;
///
/// let kalman = ScalarKalman::new(1.0, 0.05, 0.5)?;
/// let last = kalman.gains(100)[99].gain;
/// assert!((last - kalman.stationary_gain()).abs() < 1e-12);
/// # Ok::<(), dp_filters::Error>(())
/// ```
///
/// # Source
/// Kalman's filter; arXiv 2410.03883 with its gain matrix replaced by a multiple of the identity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScalarKalman {
    initial: f64,
    process: f64,
    observation: f64,
}

/// One step of a [`ScalarKalman`].
///
/// # Privacy
/// A function of the three variances and of the number of steps alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KalmanStep {
    /// `kappa_t`, in `(0, 1)`: the weight of the new observation.
    pub gain: f64,
    /// `p_t`: variance of the estimate after it.
    pub variance: f64,
}

impl ScalarKalman {
    /// Gains for these variances: of the estimate before the first observation, of a step of the process, of an observation.
    ///
    /// # Errors
    /// [`crate::Error::InvalidSetting`] unless all are finite and together 1e300 at most, the observation's is positive, the others are not
    /// negative, and one of them is positive. Only ratios matter, so larger ones may be scaled down.
    pub fn new(initial: f64, process: f64, observation: f64) -> Result<Self> {
        let range = 0.0..f64::INFINITY;
        let must = "finite and not negative";
        check("initial variance", must, initial, range.contains(&initial))?;
        check("process variance", must, process, range.contains(&process))?;
        let ok = 0.0 < observation && observation.is_finite();
        check("observation variance", "finite and positive", observation, ok)?;
        let sum = initial + process;
        check("initial and process variance together", "positive", sum, 0.0 < sum)?;
        let sum = sum + observation;
        let must = "1e300 at most (only their ratios matter: scale them down)";
        check("sum of the variances", must, sum, sum <= LARGEST_VARIANCE)?;
        Ok(ScalarKalman { initial, process, observation })
    }

    /// The step after one that left an estimate of this variance.
    #[must_use]
    pub fn after(&self, variance: f64) -> KalmanStep {
        let before = variance + self.process;
        let gain = before / (before + self.observation);
        // (1 - gain) * before, without the difference.
        KalmanStep { gain, variance: gain * self.observation }
    }

    /// The first step.
    #[must_use]
    pub fn first(&self) -> KalmanStep {
        self.after(self.initial)
    }

    /// The first `n` steps.
    #[must_use]
    pub fn gains(&self, n: usize) -> Vec<KalmanStep> {
        std::iter::successors(Some(self.first()), |step| Some(self.after(step.variance)))
            .take(n)
            .collect()
    }

    /// The limit of the gains: `p / (p + observation)`, `p = (process + sqrt(process^2 + 4 process observation)) / 2`. It is 0 without
    /// a process.
    #[must_use]
    pub fn stationary_gain(&self) -> f64 {
        let (q, r) = (self.process, self.observation);
        // A product of roots, since squares of large variances do not fit.
        let p = 0.5 * (q + q.sqrt() * (q + 4.0 * r).sqrt());
        p / (p + r)
    }

    /// Variance of a step of the process.
    #[must_use]
    pub fn process_variance(&self) -> f64 {
        self.process
    }

    /// Variance of an observation.
    #[must_use]
    pub fn observation_variance(&self) -> f64 {
        self.observation
    }
}
