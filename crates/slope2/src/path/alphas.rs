//! The strengths of a path.

use crate::error::{Error, Result, entries, number};

/// The strengths at which a path is solved.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Alphas {
    /// Equal steps of the logarithm from the smallest strength at which all coefficients are zero down to `ratio` times
    /// that. Without a ratio it is `1e-4` for more rows than columns, else `1e-2`.
    Geometric {
        /// Number of strengths.
        n_points: usize,
        /// Last strength over first, above 0 and at most 1.
        ratio: Option<f64>,
    },
    /// These, in any order; solved from the largest to the smallest, all of them.
    Given(Vec<f64>),
}

impl Default for Alphas {
    fn default() -> Self {
        Alphas::Geometric { n_points: 100, ratio: None }
    }
}

impl Alphas {
    /// The strengths from large to small, for `n` rows and `p` columns. Where `alpha_max` is 0 there is nothing to explain,
    /// and a geometric grid is this one point.
    ///
    /// # Errors
    /// [`Error::NoAlphaMax`] for a geometric grid from an infinite `alpha_max`; [`Error::InvalidEntry`] for given strengths
    /// that are not finite or negative, [`Error::InvalidNumber`] for a ratio outside of `(0, 1]`; [`Error::Length`] for no
    /// points.
    pub fn values(&self, alpha_max: f64, n: usize, p: usize) -> Result<Vec<f64>> {
        let none = Error::Length { name: "strengths", expected: 1, got: 0 };
        match self {
            Alphas::Given(alphas) if alphas.is_empty() => Err(none),
            Alphas::Given(alphas) => {
                let holds = |a: f64| a.is_finite() && 0.0 <= a;
                entries("strengths", "finite and not negative", alphas, holds)?;
                let mut alphas = alphas.clone();
                alphas.sort_by(|a, b| b.total_cmp(a));
                Ok(alphas)
            }
            Alphas::Geometric { n_points: 0, .. } => Err(none),
            Alphas::Geometric { n_points, ratio } => {
                let ratio = ratio.unwrap_or(if p < n { 1e-4 } else { 1e-2 });
                let holds = 0.0 < ratio && ratio <= 1.0;
                number("last strength over first", "above 0 and at most 1", holds, ratio)?;
                if !alpha_max.is_finite() {
                    return Err(Error::NoAlphaMax);
                }
                if alpha_max == 0.0 {
                    return Ok(vec![0.0]);
                }
                let steps = (n_points - 1).max(1) as f64;
                Ok((0..*n_points).map(|i| alpha_max * ratio.powf(i as f64 / steps)).collect())
            }
        }
    }

    /// Whether a path may end before the last strength.
    pub(crate) fn may_stop(&self) -> bool {
        matches!(self, Alphas::Geometric { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn geometric_strengths_fall_by_one_factor_and_given_ones_are_sorted() {
        let alphas = Alphas::default().values(3.0, 20, 10).unwrap();
        assert_eq!((alphas.len(), alphas[0]), (100, 3.0));
        assert!((alphas[99] / 3.0 - 1e-4).abs() < 1e-16);
        let factor = alphas[1] / alphas[0];
        assert!(alphas.windows(2).all(|a| (a[1] / a[0] - factor).abs() < 1e-14));
        let wide = Alphas::default().values(3.0, 10, 20).unwrap();
        assert!((wide[99] / 3.0 - 1e-2).abs() < 1e-16);
        let given = Alphas::Given(vec![0.1, 2.0, 0.5, 2.0]).values(f64::NAN, 1, 1).unwrap();
        assert_eq!(given, [2.0, 2.0, 0.5, 0.1]);
        let one = Alphas::Geometric { n_points: 1, ratio: None };
        assert_eq!(one.values(2.0, 5, 5).unwrap(), [2.0]);
    }

    #[test]
    fn strengths_that_cannot_be_meant_are_named() {
        let bad = Alphas::Given(vec![1.0, f64::NAN]).values(1.0, 5, 5);
        assert!(matches!(bad, Err(Error::InvalidEntry { place, .. }) if place == "1"));
        assert_eq!(Alphas::default().values(f64::INFINITY, 5, 5), Err(Error::NoAlphaMax));
        assert!(Alphas::Given(Vec::new()).values(1.0, 5, 5).is_err());
        let ratio = Alphas::Geometric { n_points: 5, ratio: Some(0.0) };
        assert!(matches!(ratio.values(1.0, 5, 5), Err(Error::InvalidNumber { .. })));
    }
}
