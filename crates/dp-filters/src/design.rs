//! Filters from a cut-off frequency: where the power of an oscillation is halved (-3 dB).
//!
//! Frequencies are in cycles per step, so 0.05 means that what changes over twenty steps or faster is damped. All have
//! gain 1 at frequency zero.

use std::f64::consts::{FRAC_1_SQRT_2, PI, SQRT_2};

use crate::error::{Result, check};
use crate::filter::Filter;

const CUT_OFF: &str = "cut-off frequency";
const OPEN: &str = "in (0, 0.5) cycles per step";

impl Filter {
    /// The exponential average `m_t = decay m_{t-1} + (1 - decay) g_t`. With bias correction it is momentum as Adam has it. Its
    /// noise power gain is `(1 - decay) / (1 + decay)`.
    ///
    /// # Errors
    /// [`crate::Error::InvalidSetting`] unless the decay is in `[0, 1)`.
    pub fn ema(decay: f64) -> Result<Self> {
        check("decay", "in [0, 1)", decay, (0.0..1.0).contains(&decay))?;
        Filter::new(vec![-decay], vec![1.0 - decay])
    }

    /// The exponential average that halves the power at `cut_off`.
    ///
    /// # Errors
    /// [`crate::Error::InvalidSetting`] unless the frequency is in `(0, 0.5]`.
    pub fn ema_with_cut_off(cut_off: f64) -> Result<Self> {
        let must = "in (0, 0.5] cycles per step";
        check(CUT_OFF, must, cut_off, 0.0 < cut_off && cut_off <= 0.5)?;
        let rest = rest_of_pole(cut_off, 0.5);
        Filter::new(vec![rest - 1.0], vec![rest])
    }

    /// Two equal exponential averages, one after the other, that together halve the power at `cut_off`.
    ///
    /// # Errors
    /// [`crate::Error::InvalidSetting`] unless the frequency is in `(0, 0.5]`.
    pub fn double_pole_with_cut_off(cut_off: f64) -> Result<Self> {
        let must = "in (0, 0.5] cycles per step";
        check(CUT_OFF, must, cut_off, 0.0 < cut_off && cut_off <= 0.5)?;
        let rest = rest_of_pole(cut_off, FRAC_1_SQRT_2);
        let pole = 1.0 - rest;
        Filter::new(vec![-2.0 * pole, pole * pole], vec![rest * rest])
    }

    /// Butterworth's filter of first order, by the bilinear transform with the cut-off frequency in its place.
    ///
    /// # Errors
    /// [`crate::Error::InvalidSetting`] unless the frequency is in `(0, 0.5)`.
    pub fn butterworth_1(cut_off: f64) -> Result<Self> {
        let k = warped(cut_off)?;
        let b = k / (1.0 + k);
        Filter::new(vec![(k - 1.0) / (k + 1.0)], vec![b, b])
    }

    /// Butterworth's filter of second order, likewise: flattest where it passes.
    ///
    /// # Errors
    /// [`crate::Error::InvalidSetting`] unless the frequency is in `(0, 0.5)`.
    pub fn butterworth_2(cut_off: f64) -> Result<Self> {
        let k = warped(cut_off)?;
        let whole = 1.0 + SQRT_2 * k + k * k;
        let b = k * k / whole;
        let a = vec![2.0 * (k * k - 1.0) / whole, (1.0 - SQRT_2 * k + k * k) / whole];
        Filter::new(a, vec![b, 2.0 * b, b])
    }
}

/// `tan(pi f)`: the analogue frequency that the bilinear transform carries to `f`.
fn warped(cut_off: f64) -> Result<f64> {
    check(CUT_OFF, OPEN, cut_off, 0.0 < cut_off && cut_off < 0.5)?;
    Ok((PI * cut_off).tan())
}

/// `1 - p` for the real pole `p` with `(1-p)^2 / |1 - p z^-1|^2 = power` at the frequency.
fn rest_of_pole(frequency: f64, power: f64) -> f64 {
    // p = 1 + d - sqrt(d (2 + d)), with 1 - cos(w) = 2 sin(w/2)^2 so that nothing cancels.
    let d = 2.0 * (PI * frequency).sin().powi(2) * power / (1.0 - power);
    (d * (2.0 + d)).sqrt() - d
}
