//! From a target back to noise, steps or rate: inversions of a monotone accountant.

use crate::{Accountant, Delta, DpEvent, Epsilon, Error, NoiseMultiplier, Result, SampleRate};

/// Noise multipliers are searched between these.
pub const NOISE_MULTIPLIER_LIMITS: (f64, f64) = (1e-2, 1e6);
/// Sample rates are searched between these.
pub const SAMPLE_RATE_LIMITS: (f64, f64) = (1e-9, 1.0);
/// Width of the last bracket, relative to the value.
const TOLERANCE: f64 = 5e-7;

/// What must not be exceeded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    /// The epsilon.
    pub epsilon: Epsilon,
    /// The delta.
    pub delta: Delta,
}

impl Target {
    /// Checks both.
    ///
    /// # Errors
    /// [`Error::InvalidScalar`].
    pub fn new(epsilon: f64, delta: f64) -> Result<Self> {
        Ok(Target { epsilon: Epsilon::new(epsilon)?, delta: Delta::new(delta)? })
    }
}

/// The smallest noise multiplier, to 1e-6 relative, whose history stays within the target.
///
/// `history` maps a noise multiplier to everything that will be released; epsilon must fall as it rises.
/// Anything of that kind can be searched for, also the noise of one of several answers.
///
/// # Privacy
/// The value returned is one at which the accountant was asked, and its epsilon there is at most the target.
///
/// # Errors
/// [`Error::CalibrationLimit`] if the answer lies outside [`NOISE_MULTIPLIER_LIMITS`], with the limit that
/// was met; [`Error::EstimateOnly`]; what `history` and the accountant return.
///
/// # Examples
/// ```
/// use dp_core::calibrate::{self, Target};
/// use dp_core::{DpEvent, RdpAccountant};
///
/// let target = Target::new(1.0, 1e-5)?;
/// let sigma = calibrate::noise_multiplier(&RdpAccountant::new(), target, |sigma| {
///     Ok(DpEvent::gaussian(sigma.get())?.sampled(0.01)?.repeated(1000))
/// })?;
/// assert!((sigma.get() - 1.513).abs() < 1e-3);
/// # Ok::<(), dp_core::Error>(())
/// ```
pub fn noise_multiplier(
    accountant: &dyn Accountant,
    target: Target,
    history: impl Fn(NoiseMultiplier) -> Result<DpEvent>,
) -> Result<NoiseMultiplier> {
    search_noise_multiplier(accountant, target, &history)
}

fn search_noise_multiplier(
    accountant: &dyn Accountant,
    target: Target,
    history: &dyn Fn(NoiseMultiplier) -> Result<DpEvent>,
) -> Result<NoiseMultiplier> {
    let epsilon = |ln_sigma: f64| {
        let event = history(NoiseMultiplier::new(ln_sigma.exp())?)?;
        epsilon_of(accountant, &event, target.delta)
    };
    let (low, high) = NOISE_MULTIPLIER_LIMITS;
    let seed = accountant.seed().map(|seed| search_noise_multiplier(seed, target, history));
    let seed = seed.and_then(Result::ok).map(|sigma| -sigma.get().ln());
    // Falls with ln sigma: search in -ln sigma for the largest that fits.
    let found =
        largest(|x| epsilon(-x), target.epsilon.get(), (-high.ln(), -low.ln()), start(seed, 0.0))?;
    match found {
        Largest::Within(x) => NoiseMultiplier::new((-x).exp()),
        Largest::None(at) => Err(limit("noise multiplier", high, at, target)),
        Largest::All(at) => Err(limit("noise multiplier", low, at, target)),
    }
}

/// The largest sample rate, to 1e-6 relative, whose history stays within the target; 1 if all do.
///
/// # Errors
/// [`Error::CalibrationLimit`] if not even the lowest of [`SAMPLE_RATE_LIMITS`] fits;
/// [`Error::EstimateOnly`]; what `history` and the accountant return.
pub fn sample_rate(
    accountant: &dyn Accountant,
    target: Target,
    history: impl Fn(SampleRate) -> Result<DpEvent>,
) -> Result<SampleRate> {
    search_sample_rate(accountant, target, &history)
}

fn search_sample_rate(
    accountant: &dyn Accountant,
    target: Target,
    history: &dyn Fn(SampleRate) -> Result<DpEvent>,
) -> Result<SampleRate> {
    let (low, high) = SAMPLE_RATE_LIMITS;
    let epsilon = |ln_rate: f64| {
        let event = history(SampleRate::new(ln_rate.exp().min(1.0))?)?;
        epsilon_of(accountant, &event, target.delta)
    };
    let seed = accountant.seed().map(|seed| search_sample_rate(seed, target, history));
    let seed = seed.and_then(Result::ok).map(|rate| rate.get().ln());
    let found = largest(epsilon, target.epsilon.get(), (low.ln(), high.ln()), start(seed, -4.0))?;
    match found {
        Largest::Within(x) => SampleRate::new(x.exp().min(1.0)),
        Largest::All(_) => SampleRate::new(high),
        Largest::None(at) => Err(limit("sample rate", low, at, target)),
    }
}

/// The largest number of repetitions of `step` that stays within the target; 0 if not even one does.
///
/// # Errors
/// As [`steps_of`].
pub fn steps(accountant: &dyn Accountant, target: Target, step: &DpEvent) -> Result<u64> {
    steps_of(accountant, target, |n| Ok(step.clone().repeated(n)))
}

/// The largest number of steps whose history stays within the target; 0 if not even one does.
///
/// `history` maps a number of steps, at least 1, to everything that will be released; epsilon must rise with it.
///
/// # Errors
/// [`Error::CalibrationLimit`] if every number that 64 bits can hold fits; [`Error::EstimateOnly`]; what `history` and the
/// accountant return.
pub fn steps_of(
    accountant: &dyn Accountant,
    target: Target,
    history: impl Fn(u64) -> Result<DpEvent>,
) -> Result<u64> {
    search_steps(accountant, target, &history)
}

fn search_steps(
    accountant: &dyn Accountant,
    target: Target,
    history: &dyn Fn(u64) -> Result<DpEvent>,
) -> Result<u64> {
    let wanted = target.epsilon.get();
    let epsilon = |n: u64| epsilon_of(accountant, &history(n)?, target.delta);
    let over = |value: f64| wanted < value;
    // A step may hold several equal events: their number overflows first.
    let epsilon = |n: u64| match epsilon(n) {
        Err(Error::CountOverflow { .. }) => Ok(f64::INFINITY),
        other => other,
    };
    let seed = accountant.seed().map(|seed| search_steps(seed, target, history));
    let seed = seed.and_then(Result::ok).unwrap_or(0).max(1);
    // Enclose the answer by growing strides from the seed, upwards or downwards.
    let at_seed = epsilon(seed)?;
    let mut stride = (seed / 16).max(1);
    let (mut fits, mut at_fits) = (0_u64, 0.0);
    let (mut too_many, mut at_too_many);
    if over(at_seed) {
        (too_many, at_too_many) = (seed, at_seed);
        while 1 < too_many {
            let n = too_many.saturating_sub(stride).max(1);
            let value = epsilon(n)?;
            if !over(value) {
                (fits, at_fits) = (n, value);
                break;
            }
            (too_many, at_too_many, stride) = (n, value, stride.saturating_mul(2));
        }
    } else {
        (fits, at_fits) = (seed, at_seed);
        loop {
            if fits == u64::MAX {
                return Err(limit("number of steps", u64::MAX as f64, at_fits, target));
            }
            let n = fits.saturating_add(stride);
            let value = epsilon(n)?;
            if over(value) {
                (too_many, at_too_many) = (n, value);
                break;
            }
            (fits, at_fits, stride) = (n, value, stride.saturating_mul(2));
        }
    }
    let mut round = 0;
    while 1 < too_many - fits {
        round += 1;
        let gap = too_many - fits;
        // Epsilon is nearly straight over a short stretch; every third round halves.
        let share = (wanted - at_fits) / (at_too_many - at_fits);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below the gap")]
        let by_line = if share.is_finite() && round % 3 != 0 {
            (share.clamp(0.0, 1.0) * gap as f64) as u64
        } else {
            gap / 2
        };
        let n = fits + by_line.clamp(1, gap - 1);
        let value = epsilon(n)?;
        if over(value) {
            (too_many, at_too_many) = (n, value);
        } else {
            (fits, at_fits) = (n, value);
        }
    }
    Ok(fits)
}

/// Where a search starts and its first stride: near the answer of a cheaper accountant, or at a usual value.
fn start(seed: Option<f64>, usual: f64) -> (f64, f64) {
    seed.map_or((usual, std::f64::consts::LN_2), |seed| (seed, 0.1))
}

fn epsilon_of(accountant: &dyn Accountant, event: &DpEvent, delta: Delta) -> Result<f64> {
    let bound = accountant.epsilon(event, delta)?;
    let upper = bound.guarantee().ok_or(Error::EstimateOnly { accountant: accountant.name() })?;
    Ok(if upper.is_nan() { f64::INFINITY } else { upper })
}

fn limit(what: &'static str, limit: f64, epsilon: f64, target: Target) -> Error {
    Error::CalibrationLimit { what, limit, epsilon, target: target.epsilon.get() }
}

enum Largest {
    /// A point that fits, less than the tolerance below one that does not.
    Within(f64),
    /// Even the low end does not fit; the value there.
    None(f64),
    /// Even the high end fits; the value there.
    All(f64),
}

/// The largest `x` with `f(x) <= wanted` for rising `f`: doubling strides to enclose it, then false
/// position in the logarithm of `f` guarded by bisection. Only points where `f` was evaluated are returned.
fn largest(
    f: impl Fn(f64) -> Result<f64>,
    wanted: f64,
    (low, high): (f64, f64),
    (start, stride): (f64, f64),
) -> Result<Largest> {
    let excess = |value: f64| value.ln() - wanted.ln();
    let mut stride = stride;
    let mut x = start;
    let mut value = f(x)?;
    let fits = value <= wanted;
    let mut previous = (x, value);
    while (value <= wanted) == fits {
        let end = if fits { high } else { low };
        if (fits && end <= x) || (!fits && x <= end) {
            return Ok(if fits { Largest::All(value) } else { Largest::None(value) });
        }
        previous = (x, value);
        x = if fits { (x + stride).min(end) } else { (x - stride).max(end) };
        stride *= 2.0;
        value = f(x)?;
    }
    let ((mut a, fa), (mut b, fb)) =
        if fits { (previous, (x, value)) } else { ((x, value), previous) };
    // `a` fits, `b` does not.
    let (mut ga, mut gb) = (excess(fa), excess(fb));
    let mut side = 0;
    for round in 0..200 {
        if b - a <= TOLERANCE {
            break;
        }
        let secant = a + (b - a) * ga / (ga - gb);
        let middle = 0.5 * (a + b);
        let nudge = 0.4 * TOLERANCE;
        // Every third round halves, so that a bad secant costs little; else step just over the root.
        let mut x = if round % 3 == 2 || !secant.is_finite() { middle } else { secant };
        x = if x - a < b - x { x + nudge } else { x - nudge };
        if !(a < x && x < b) {
            x = middle;
        }
        let value = f(x)?;
        if value <= wanted {
            (a, ga) = (x, excess(value));
            if side == 1 {
                gb /= 2.0;
            }
            side = 1;
        } else {
            (b, gb) = (x, excess(value));
            if side == -1 {
                ga /= 2.0;
            }
            side = -1;
        }
    }
    Ok(Largest::Within(a))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::{DeltaBound, EpsilonBound, RdpAccountant};

    fn history(sigma: NoiseMultiplier) -> Result<DpEvent> {
        Ok(DpEvent::gaussian(sigma.get())?.sampled(0.02)?.repeated(500))
    }

    #[test]
    fn the_noise_multiplier_meets_the_target_and_hardly_more() {
        let accountant = RdpAccountant::new();
        for epsilon in [1e-3, 0.1, 1.0, 10.0, 300.0] {
            let target = Target::new(epsilon, 1e-6).unwrap();
            let sigma = noise_multiplier(&accountant, target, history).unwrap();
            let at = |sigma: f64| {
                let event = history(NoiseMultiplier::new(sigma).unwrap()).unwrap();
                accountant.epsilon(&event, target.delta).unwrap().value()
            };
            assert!(at(sigma.get()) <= epsilon);
            assert!(epsilon < at(sigma.get() * (1.0 - 2e-6)), "{epsilon}");
        }
    }

    #[test]
    fn a_calibration_needs_few_evaluations() {
        struct Counting(Cell<u32>);
        impl Accountant for Counting {
            fn name(&self) -> &'static str {
                "counting"
            }
            fn epsilon(&self, event: &DpEvent, delta: Delta) -> Result<EpsilonBound> {
                self.0.set(self.0.get() + 1);
                RdpAccountant.epsilon(event, delta)
            }
            fn delta(&self, event: &DpEvent, epsilon: Epsilon) -> Result<DeltaBound> {
                RdpAccountant.delta(event, epsilon)
            }
        }
        let accountant = Counting(Cell::new(0));
        noise_multiplier(&accountant, Target::new(1.0, 1e-6).unwrap(), history).unwrap();
        assert!(accountant.0.get() <= 16, "{}", accountant.0.get());
    }

    #[test]
    fn the_limit_that_was_met_is_named() {
        let accountant = RdpAccountant::new();
        let one = |sigma: NoiseMultiplier| DpEvent::gaussian(sigma.get());
        let tight = noise_multiplier(&accountant, Target::new(1e-9, 1e-15).unwrap(), one);
        assert!(matches!(tight, Err(Error::CalibrationLimit { limit, .. }) if limit > 1e5));
        let loose = noise_multiplier(&accountant, Target::new(1e9, 1e-5).unwrap(), one);
        assert!(matches!(loose, Err(Error::CalibrationLimit { limit, .. }) if limit < 0.1));
        let impossible = noise_multiplier(&accountant, Target::new(1.0, 0.0).unwrap(), one);
        assert!(
            matches!(impossible, Err(Error::CalibrationLimit { epsilon, .. }) if epsilon.is_infinite())
        );
    }

    #[test]
    fn one_step_more_exceeds_the_target() {
        let accountant = RdpAccountant::new();
        let step = DpEvent::gaussian(1.1).unwrap().sampled(0.01).unwrap();
        let target = Target::new(2.0, 1e-5).unwrap();
        let n = steps(&accountant, target, &step).unwrap();
        let at = |n| accountant.epsilon(&step.clone().repeated(n), target.delta).unwrap().value();
        assert!(at(n) <= 2.0 && 2.0 < at(n + 1), "{n}");
        assert_eq!(steps(&accountant, Target::new(0.01, 1e-9).unwrap(), &step).unwrap(), 0);
        assert!(steps(&accountant, target, &DpEvent::NoOp).is_err());
    }

    #[test]
    fn a_slightly_larger_rate_exceeds_the_target() {
        let accountant = RdpAccountant::new();
        let history =
            |rate: SampleRate| Ok(DpEvent::gaussian(1.0)?.sampled(rate.get())?.repeated(1000));
        let target = Target::new(2.0, 1e-5).unwrap();
        let rate = sample_rate(&accountant, target, history).unwrap().get();
        let at = |rate| {
            let event = history(SampleRate::new(rate).unwrap()).unwrap();
            accountant.epsilon(&event, target.delta).unwrap().value()
        };
        assert!(at(rate) <= 2.0 && 2.0 < at(rate * (1.0 + 2e-6)), "{rate}");
        let all = sample_rate(&accountant, Target::new(1e6, 1e-5).unwrap(), history).unwrap();
        assert!(1.0 <= all.get());
    }

    #[test]
    fn an_estimate_is_not_calibrated_to() {
        struct Guess;
        impl Accountant for Guess {
            fn name(&self) -> &'static str {
                "guess"
            }
            fn epsilon(&self, _: &DpEvent, _: Delta) -> Result<EpsilonBound> {
                Ok(EpsilonBound::Estimate(1.0))
            }
            fn delta(&self, _: &DpEvent, _: Epsilon) -> Result<DeltaBound> {
                Ok(DeltaBound::Estimate { ln: -1.0 })
            }
        }
        let found = noise_multiplier(&Guess, Target::new(1.0, 1e-5).unwrap(), history);
        assert!(matches!(found, Err(Error::EstimateOnly { .. })));
    }
}
