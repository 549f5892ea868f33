//! The two-sample Kolmogorov-Smirnov test, two-sided.

mod one_sample;
mod paths;

use super::auc::sorted;
use crate::error::{Error, Result};

/// The largest distance between the empirical distribution functions of two samples.
///
/// # Source
/// J. L. Hodges, The significance probability of the Smirnov two-sample test, Arkiv foer Matematik 3 (1958). p-values are
/// those of SciPy's `ks_2samp`.
///
/// # Examples
/// ```
/// use unlearn::metric::ks::{Ks, Method};
///
/// let ks = Ks::new(&[0.1, 0.2, 0.3], &[0.4, 0.5, 0.6])?;
/// assert_eq!(ks.statistic(), 1.0);
/// assert!((ks.p_value(Method::Auto)?.value() - 0.1).abs() < 1e-15); // 2 / C(6, 3)
/// # Ok::<(), unlearn::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ks {
    n: usize,
    m: usize,
    /// The statistic times `n m`, a whole number.
    distance: u128,
}

/// How a p-value is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// [`Method::Exact`] if neither sample has more than 10000 values, else [`Method::Asymptotic`].
    Auto,
    /// The distribution under random order of all values, none of them equal. Takes time in proportion to `n m`.
    /// Where the p-value is too small for an `f64`, logarithms take some ten times as long: seconds for twice 10000 values.
    Exact,
    /// The exact distribution of the one-sample statistic for `n m / (n + m)` values, rounded to even.
    Asymptotic,
}

/// The most values of a sample for which [`Method::Auto`] is exact.
const MOST_EXACT: usize = 10_000;

/// A probability that may be too small for an `f64`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PValue {
    ln: f64,
    value: f64,
}

impl PValue {
    /// The probability, in `[0, 1]`; 0 if it is below the least `f64`.
    #[must_use]
    pub fn value(self) -> f64 {
        self.value
    }

    /// Its logarithm to base 10; finite for an exact p-value however small.
    #[must_use]
    pub fn log10(self) -> f64 {
        self.ln / std::f64::consts::LN_10
    }

    fn new(value: f64) -> Self {
        let value = value.clamp(0.0, 1.0);
        PValue { ln: value.ln(), value }
    }
}

impl Ks {
    /// Compares two samples. Infinite values are ordered like others.
    ///
    /// # Errors
    /// [`Error::Empty`] if one is empty, [`Error::OneOutOfRange`] if it holds a NaN.
    pub fn new(x: &[f64], y: &[f64]) -> Result<Self> {
        let x = sorted("value of the first sample", x)?;
        let y = sorted("value of the second sample", y)?;
        let (n, m) = (x.len(), y.len());
        let (mut i, mut j, mut distance) = (0, 0, 0);
        while i < n && j < m {
            let least = x[i].min(y[j]);
            while i < n && x[i] <= least {
                i += 1;
            }
            while j < m && y[j] <= least {
                j += 1;
            }
            distance = distance.max((i as u128 * m as u128).abs_diff(j as u128 * n as u128));
        }
        Ok(Ks { n, m, distance })
    }

    /// The distance, in `[0, 1]`.
    #[must_use]
    pub fn statistic(self) -> f64 {
        self.distance as f64 / (self.n as f64 * self.m as f64)
    }

    /// The probability of a distance at least as large if both samples come from one distribution. Equal values enter
    /// through the statistic alone.
    ///
    /// # Errors
    /// [`Error::SmallSamples`] for an asymptotic p-value of samples whose `n m / (n + m)` rounds to 0.
    pub fn p_value(self, method: Method) -> Result<PValue> {
        let exact = match method {
            Method::Auto => self.n.max(self.m) <= MOST_EXACT,
            Method::Exact => true,
            Method::Asymptotic => false,
        };
        if exact {
            return Ok(paths::p_value(self.n, self.m, self.distance));
        }
        let (n, m) = (self.n as f64, self.m as f64);
        let effective = (n * m / (n + m)).round_ties_even();
        if effective < 1.0 {
            return Err(Error::SmallSamples { n: self.n, m: self.m });
        }
        Ok(PValue::new(one_sample::survival(effective, self.statistic())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_jumps_over_ties_at_once() {
        assert_eq!(Ks::new(&[1.0, 1.0, 2.0], &[1.0, 1.0, 2.0]).unwrap().distance, 0);
        assert_eq!(Ks::new(&[0.0], &[-0.0]).unwrap().distance, 0);
        assert_eq!(Ks::new(&[1.0, 2.0], &[1.0, 3.0, 4.0]).unwrap().distance, 4); // 1 - 1/3
        let far = Ks::new(&[f64::NEG_INFINITY], &[f64::INFINITY]).unwrap();
        assert_eq!(far.statistic(), 1.0);
    }

    #[test]
    fn bad_samples_are_refused() {
        assert!(matches!(Ks::new(&[], &[1.0]), Err(Error::Empty { .. })));
        let error = Ks::new(&[1.0], &[2.0, f64::NAN]).unwrap_err();
        assert!(matches!(error, Error::OneOutOfRange { index: 1, .. }), "{error}");
        let tiny = Ks::new(&[1.0], &[2.0]).unwrap();
        assert!(matches!(
            tiny.p_value(Method::Asymptotic),
            Err(Error::SmallSamples { n: 1, m: 1 })
        ));
    }

    #[test]
    fn an_asymptotic_p_value_does_not_know_which_sample_is_first() {
        let ramp = |n: usize, at: f64| -> Vec<f64> { (0..n).map(|i| i as f64 + at).collect() };
        for (n, m) in [(45, 105), (3, 5), (20, 12), (63, 27)] {
            let (x, y) = (ramp(n, 0.0), ramp(m, 0.5));
            let of = |x, y| Ks::new(x, y).unwrap().p_value(Method::Asymptotic).unwrap();
            assert_eq!(of(&x, &y), of(&y, &x), "{n} and {m}");
        }
        // 45 * 105 / 150 is 31.5, which rounds to 32; D = 1 / 3 there.
        let ks = Ks { n: 45, m: 105, distance: 45 * 105 / 3 };
        let p = ks.p_value(Method::Asymptotic).unwrap().value();
        assert_eq!(p, one_sample::survival(32.0, ks.statistic()));
        assert!(p < one_sample::survival(31.0, ks.statistic()));
    }

    #[test]
    fn auto_is_exact_up_to_ten_thousand() {
        let ramp = |n: usize, at: f64| -> Vec<f64> { (0..n).map(|i| i as f64 + at).collect() };
        let y = ramp(3, 5000.5);
        let large = Ks::new(&ramp(10_000, 0.0), &y).unwrap();
        assert_eq!(large.p_value(Method::Auto).unwrap(), large.p_value(Method::Exact).unwrap());
        let larger = Ks::new(&ramp(10_001, 0.0), &y).unwrap();
        assert_eq!(
            larger.p_value(Method::Auto).unwrap(),
            larger.p_value(Method::Asymptotic).unwrap()
        );
    }
}
