//! Filters from a cut-off frequency: where the power of an oscillation is halved (-3 dB).
//!
//! Frequencies are in cycles per step, so 0.05 means that what changes over twenty steps or faster is damped. All are normalised last, so
//! they have gain 1 at frequency zero but for one rounding. A cut-off below 1e-5 is refused: the poles come so near to 1 that
//! rounded coefficients no longer hold it.

use std::f64::consts::{FRAC_1_SQRT_2, PI, SQRT_2};

use crate::error::{Result, check};
use crate::filter::{Filter, MARGIN};

const CUT_OFF: &str = "cut-off frequency";
const OPEN: &str = "in [1e-5, 0.5) cycles per step";
const CLOSED: &str = "in [1e-5, 0.5] cycles per step";

/// A period of 100,000 steps. At second order rounding moves the gain by about `f64::EPSILON / (2 pi cut_off)^2`, here by 1e-7.
const LOWEST: f64 = 1e-5;

impl Filter {
    /// The exponential average `m_t = decay m_{t-1} + (1 - decay) g_t`. With bias correction it is momentum as Adam has it. Its
    /// noise power gain is `(1 - decay) / (1 + decay)`.
    ///
    /// # Errors
    /// [`crate::Error::InvalidSetting`] unless the decay is in `[0, 1 - 1e-12)`: no computation in doubles tells a pole that is nearer to 1
    /// from 1.
    pub fn ema(decay: f64) -> Result<Self> {
        check("decay", "in [0, 1 - 1e-12)", decay, (0.0..1.0 - MARGIN).contains(&decay))?;
        Filter::new(vec![-decay], vec![1.0 - decay])
    }

    /// The exponential average that halves the power at `cut_off`.
    ///
    /// # Errors
    /// [`crate::Error::InvalidSetting`] unless the frequency is in `[1e-5, 0.5]`.
    pub fn ema_with_cut_off(cut_off: f64) -> Result<Self> {
        check(CUT_OFF, CLOSED, cut_off, (LOWEST..=0.5).contains(&cut_off))?;
        let rest = rest_of_pole(cut_off, 0.5);
        Ok(Filter::new(vec![rest - 1.0], vec![rest])?.normalized())
    }

    /// Two equal exponential averages, one after the other, that together halve the power at `cut_off`.
    ///
    /// # Errors
    /// [`crate::Error::InvalidSetting`] unless the frequency is in `[1e-5, 0.5]`.
    pub fn double_pole_with_cut_off(cut_off: f64) -> Result<Self> {
        check(CUT_OFF, CLOSED, cut_off, (LOWEST..=0.5).contains(&cut_off))?;
        let rest = rest_of_pole(cut_off, FRAC_1_SQRT_2);
        let pole = 1.0 - rest;
        Ok(Filter::new(vec![-2.0 * pole, pole * pole], vec![rest * rest])?.normalized())
    }

    /// Butterworth's filter of first order, by the bilinear transform with the cut-off frequency in its place.
    ///
    /// # Errors
    /// [`crate::Error::InvalidSetting`] unless the frequency is in `[1e-5, 0.5)`.
    pub fn butterworth_1(cut_off: f64) -> Result<Self> {
        let k = warped(cut_off)?;
        let b = k / (1.0 + k);
        Ok(Filter::new(vec![(k - 1.0) / (k + 1.0)], vec![b, b])?.normalized())
    }

    /// Butterworth's filter of second order, likewise: flattest where it passes.
    ///
    /// # Errors
    /// [`crate::Error::InvalidSetting`] unless the frequency is in `[1e-5, 0.5)`.
    pub fn butterworth_2(cut_off: f64) -> Result<Self> {
        let k = warped(cut_off)?;
        let whole = 1.0 + SQRT_2 * k + k * k;
        let b = k * k / whole;
        let a = vec![2.0 * (k * k - 1.0) / whole, (1.0 - SQRT_2 * k + k * k) / whole];
        Ok(Filter::new(a, vec![b, 2.0 * b, b])?.normalized())
    }
}

/// `tan(pi f)`: the analogue frequency that the bilinear transform carries to `f`.
fn warped(cut_off: f64) -> Result<f64> {
    check(CUT_OFF, OPEN, cut_off, (LOWEST..0.5).contains(&cut_off))?;
    Ok((PI * cut_off).tan())
}

/// `1 - p` for the real pole `p` with `(1-p)^2 / |1 - p z^-1|^2 = power` at the frequency.
fn rest_of_pole(frequency: f64, power: f64) -> f64 {
    // p = 1 + d - sqrt(d (2 + d)), with 1 - cos(w) = 2 sin(w/2)^2 so that nothing cancels.
    let d = 2.0 * (PI * frequency).sin().powi(2) * power / (1.0 - power);
    (d * (2.0 + d)).sqrt() - d
}
