//! The distribution of the sum of all steps, by one discrete Fourier transform for each distinct step.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use realfft::num_complex::Complex64;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

use super::lattice::Tilted;
use super::window::Window;

/// The sum's distribution over a window; what lies outside is folded in.
#[derive(Clone, Debug)]
pub(super) struct Composed {
    /// The integer of the first weight.
    pub(super) first: i64,
    pub(super) weights: Vec<f64>,
    /// `sum of ln M` of all steps.
    pub(super) ln_moment: f64,
    /// The root of the sum of squares of the errors of weights by rounding is at most this.
    pub(super) rounding: f64,
}

/// Rounding of one stage of a transform, in units in the last place: a complex product (2.3) and a sum (1).
const ERROR_PER_STAGE: f64 = 4.0;
/// Coefficients whose power is below `exp(-this)` are zero.
const NEGLIGIBLE: f64 = 41.0;
/// Distinct losses of one step and of the sum, at most.
pub(super) const POINTS_MAX: u64 = 1 << 21;

/// A transform of one length, there and back.
#[derive(Clone)]
struct Plan {
    forward: Arc<dyn RealToComplex<f64>>,
    inverse: Arc<dyn ComplexToReal<f64>>,
}

/// Plans that a thread keeps from query to query: a plan is a table of roots of unity, which costs more to fill than the
/// transforms that follow, and the next query of a calibration or a curve wants the same length.
const PLANS_KEPT: usize = 4;

thread_local! {
    static PLANS: RefCell<Vec<Plan>> = const { RefCell::new(Vec::new()) };
}

impl Plan {
    /// Of this length. Without features the planner takes the same algorithm on every processor.
    fn new(n: usize) -> Self {
        PLANS.with_borrow_mut(|plans| {
            let known = plans.iter().position(|plan| plan.forward.len() == n);
            let plan = if let Some(at) = known {
                plans.remove(at)
            } else {
                let mut planner = RealFftPlanner::new();
                let (forward, inverse) = (planner.plan_fft_forward(n), planner.plan_fft_inverse(n));
                Plan { forward, inverse }
            };
            plans.truncate(PLANS_KEPT - 1);
            plans.insert(0, plan.clone());
            plan
        })
    }
}

/// Rooms for longer sums than this are given back to the system after a query.
const ROOM_KEPT: usize = 1 << 18;

thread_local! {
    static ROOM: Cell<Option<Transforms>> = const { Cell::new(None) };
}

/// Room for transforms, used again by the next one of about the same length.
#[derive(Default)]
pub(super) struct Transforms {
    /// Weights of sums that nobody needs any more.
    spare: Vec<Vec<f64>>,
    signal: Vec<f64>,
    spectrum: Vec<Complex64>,
    product: Vec<Complex64>,
    amplification: Vec<f64>,
    scratch: Vec<Complex64>,
}

impl Transforms {
    /// The room that an earlier query of this thread left, or a new one.
    pub(super) fn new() -> Self {
        ROOM.take().unwrap_or_default()
    }

    /// Leaves the room for the next query of this thread.
    pub(super) fn keep(self) {
        if self.spectrum.len() <= ROOM_KEPT {
            ROOM.set(Some(self));
        }
    }

    /// Takes back the room of weights.
    pub(super) fn reuse(&mut self, sum: Composed) {
        self.spare.push(sum.weights);
    }

    /// The sum of independent steps. None if the window is too long.
    pub(super) fn compose(&mut self, steps: &[Tilted], window: Window) -> Option<Composed> {
        let n = good_length(window.len())?;
        let Plan { forward, inverse } = Plan::new(n);
        let Transforms { spare, signal: folded, spectrum, product, amplification, scratch } = self;
        let zero = Complex64::new(0.0, 0.0);
        spectrum.resize(forward.complex_len(), zero);
        product.clear();
        product.resize(forward.complex_len(), Complex64::new(1.0, 0.0));
        // sum of T / |F|: how the error of each factor enters the product, relative to it
        amplification.clear();
        amplification.resize(forward.complex_len(), 0.0);
        scratch.resize(forward.get_scratch_len().max(inverse.get_scratch_len()), zero);
        for step in steps {
            folded.clear();
            folded.resize(n, 0.0);
            let n_signed = n as i64;
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below n")]
            let mut at = step.first.rem_euclid(n_signed) as usize;
            for weight in &step.weights {
                folded[at] += weight;
                at += 1;
                if at == n {
                    at = 0;
                }
            }
            forward.process_with_scratch(folded, spectrum, scratch).ok()?;
            let count = step.count as f64;
            let smallest = (-2.0 * NEGLIGIBLE / count).exp();
            for ((product, amplification), factor) in
                product.iter_mut().zip(amplification.iter_mut()).zip(spectrum.iter())
            {
                let square = factor.norm_sqr();
                if square <= smallest {
                    *product = zero;
                } else {
                    *product *= power(*factor, step.count);
                    *amplification += count / square.sqrt();
                }
            }
        }
        // Errors in the sense of the root of the sum of squares over all n coefficients. Each coefficient of a
        // forward transform is off by at most `stage` (the weights sum to 1), its power by T times that, and the
        // inverse transform adds `stage` times the norm; by Parseval the weights' errors have this over root n.
        let stage = ERROR_PER_STAGE * (n as f64).log2() * f64::EPSILON / 2.0;
        let mut dropped = (-NEGLIGIBLE).exp();
        if steps.iter().any(|step| step.count == 1) {
            dropped += stage; // no power makes the error of a coefficient of a single step small
        }
        let mut squares = 0.0;
        for (value, amplification) in product.iter().zip(amplification.iter()) {
            let size = value.norm_sqr().sqrt();
            let error = if 0.0 < size { stage * size * (1.0 + amplification) } else { dropped };
            squares += 2.0 * error * error;
        }
        let rounding = (squares / n as f64).sqrt();

        // The imaginary parts of a real signal's first and last coefficient vanish.
        if let Some(value) = product.first_mut() {
            value.im = 0.0;
        }
        if let (Some(value), true) = (product.last_mut(), n % 2 == 0) {
            value.im = 0.0;
        }
        let mut weights = spare.pop().unwrap_or_default();
        weights.resize(n, 0.0);
        inverse.process_with_scratch(product, &mut weights, scratch).ok()?;
        weights.iter_mut().for_each(|weight| *weight /= n as f64);
        // Index j of the transform stands for every integer that is j modulo n.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below n")]
        weights.rotate_left(window.low.rem_euclid(n as i64) as usize);
        let ln_moment = steps.iter().map(|step| step.count as f64 * step.ln_moment).sum();
        Some(Composed { first: window.low, weights, ln_moment, rounding })
    }
}

/// The power by repeated squaring: relative error about the exponent times a unit in the last place.
fn power(mut base: Complex64, mut exponent: u64) -> Complex64 {
    let mut result = Complex64::new(1.0, 0.0);
    while 0 < exponent {
        if exponent & 1 == 1 {
            result *= base;
        }
        base *= base;
        exponent >>= 1;
    }
    result
}

/// The smallest length `2^a {1, 3, 5, 9, 15}` that holds `needed` points.
fn good_length(needed: u64) -> Option<usize> {
    let needed = needed.max(16);
    if POINTS_MAX < needed {
        return None;
    }
    let length = [1, 3, 5, 9, 15].iter().map(|odd: &u64| {
        let mut length = *odd;
        while length < needed || !length.is_multiple_of(4) {
            length *= 2;
        }
        length
    });
    length.min().and_then(|length| usize::try_from(length).ok())
}

#[cfg(test)]
mod tests {
    use super::super::lattice::Lattice;
    use super::*;

    /// The weight at an integer, if the window holds it.
    fn weight(sum: &Composed, at: i64) -> Option<f64> {
        usize::try_from(at - sum.first).ok().and_then(|i| sum.weights.get(i)).copied()
    }

    #[test]
    fn a_sum_of_coins_is_binomial_within_its_own_bound_of_the_error() {
        let coin = Lattice { first: 0, masses: vec![0.75, 0.25], count: 1000 };
        let steps = [coin.tilt(0.0).unwrap()];
        let window = Window::new(&steps, 34.0).unwrap();
        let sum = Transforms::new().compose(&steps, window).unwrap();
        let mut term = 0.75_f64.powi(1000);
        let (mut mean_error, mut mass) = (0.0_f64, 0.0);
        for k in 0..=1000_i64 {
            if let Some(weight) = weight(&sum, k) {
                mean_error += (weight - term).abs();
                mass += weight;
            }
            term *= (1000 - k) as f64 / (k + 1) as f64 / 3.0;
        }
        let bound = sum.rounding * (sum.weights.len() as f64).sqrt();
        assert!((mass - 1.0).abs() < bound + 1e-13, "{mass}");
        assert!(mean_error < bound + 1e-13 && bound < 1e-9, "{mean_error}");
    }

    #[test]
    fn different_steps_add_up() {
        let a = Lattice { first: -5, masses: vec![0.5, 0.0, 0.5], count: 2 };
        let b = Lattice { first: 7, masses: vec![1.0], count: 3 };
        let steps = [a.tilt(0.1).unwrap(), b.tilt(0.1).unwrap()];
        let window = Window::new(&steps, 40.0).unwrap();
        assert_eq!((window.low, window.high), (11, 15));
        let sum = Transforms::new().compose(&steps, window).unwrap();
        for (at, plain) in [(11, 0.25), (12, 0.0), (13, 0.5), (14, 0.0), (15, 0.25)] {
            let untilted = weight(&sum, at).unwrap() * (sum.ln_moment - 0.1 * at as f64).exp();
            assert!((untilted - plain).abs() < 1e-14, "{at}: {untilted}");
        }
    }

    #[test]
    fn lengths_are_long_enough_and_at_most_a_quarter_too_long() {
        for needed in [1, 16, 17, 100, 1000, 33_333, 1 << 20, 1 << 21] {
            let length = good_length(needed).unwrap() as u64;
            assert!(needed <= length && length <= needed.max(16) * 5 / 4 + 4, "{needed}: {length}");
        }
        assert!(good_length((1 << 21) + 1).is_none());
    }
}
