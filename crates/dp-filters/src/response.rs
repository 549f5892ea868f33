//! What filters do to frequencies and to noise.

use crate::error::{Result, check};
use crate::filter::{Filter, Gain};

/// A filter's answer to one frequency.
///
/// # Privacy
/// A function of the coefficients alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Response {
    /// Cycles per step, from 0 to 0.5.
    pub frequency: f64,
    /// What an oscillation of that frequency is multiplied by.
    pub magnitude: f64,
    /// By how much of a cycle it is shifted, in radians in `(-pi, pi]`; negative for a delay.
    pub phase: f64,
}

impl Response {
    /// The magnitude in decibels, `20 log10`.
    #[must_use]
    pub fn decibels(&self) -> f64 {
        20.0 * self.magnitude.log10()
    }
}

impl Filter {
    /// The answer to an oscillation of `frequency` cycles per step, after many steps and without bias correction: `B(z) / A(z)` at
    /// `z = exp(2 pi i frequency)`.
    ///
    /// # Errors
    /// [`crate::Error::InvalidSetting`] unless the frequency is in `[0, 0.5]`.
    pub fn response(&self, frequency: f64) -> Result<Response> {
        let in_range = (0.0..=0.5).contains(&frequency);
        check("frequency", "in [0, 0.5] cycles per step", frequency, in_range)?;
        let angle = std::f64::consts::TAU * frequency;
        // x_0 + x_1 z^-1 + ...: real and imaginary part.
        let at = |x: &mut dyn Iterator<Item = f64>| {
            x.zip(0u32..).fold((0.0, 0.0), |(re, im), (x, r)| {
                let (sin, cos) = (angle * f64::from(r)).sin_cos();
                (re + x * cos, im - x * sin)
            })
        };
        let (b_re, b_im) = at(&mut self.b().iter().copied());
        let (a_re, a_im) = at(&mut std::iter::once(1.0).chain(self.a().iter().copied()));
        let magnitude = b_re.hypot(b_im) / a_re.hypot(a_im);
        let phase = (b_im * a_re - b_re * a_im).atan2(b_re * a_re + b_im * a_im);
        Ok(Response { frequency, magnitude, phase })
    }

    /// The answers to `n` frequencies from 0 to 0.5 at equal distances.
    ///
    /// # Errors
    /// [`crate::Error::InvalidSetting`] unless there are two at least.
    pub fn frequency_response(&self, n: usize) -> Result<Vec<Response>> {
        check("number of frequencies", "at least 2", n as f64, 2 <= n)?;
        (0..n).map(|i| self.response(0.5 * i as f64 / (n - 1) as f64)).collect()
    }

    /// Gains of the first `n` steps: impulse response, step response, noise power.
    #[must_use]
    pub fn first_gains(&self, n: usize) -> Vec<Gain> {
        let mut gains = self.gains();
        (0..n).map(|_| gains.next(self)).collect()
    }

    /// The first `n` terms of the impulse response: the weights of the newest gradient, the one before it and so on.
    #[must_use]
    pub fn impulse_response(&self, n: usize) -> Vec<f64> {
        self.first_gains(n).iter().map(|gain| gain.impulse_response).collect()
    }

    /// What the variance of white noise is multiplied by at step `t`, counted from 0, where bias is corrected: `sum_r khat_r^2`. It
    /// takes `t` steps to compute.
    #[must_use]
    pub fn noise_power_gain_at(&self, t: u64) -> f64 {
        let mut gains = self.gains();
        let mut gain = gains.next(self);
        for _ in 0..t {
            gain = gains.next(self);
        }
        gain.corrected_noise_power()
    }
}
