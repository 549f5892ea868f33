//! Distributions of a coefficient: finite mixtures of points and normal distributions.

use crate::error::{Error, Result, number};

/// One part of a mixture: `N(mean, variance)`, or the point `mean` if `variance` is 0.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Component {
    /// Probability of the part.
    pub weight: f64,
    /// Its mean.
    pub mean: f64,
    /// Its variance.
    pub variance: f64,
}

impl Component {
    /// The point `at`.
    #[must_use]
    pub fn point(weight: f64, at: f64) -> Self {
        Component { weight, mean: at, variance: 0.0 }
    }

    /// The normal distribution `N(mean, variance)`.
    #[must_use]
    pub fn gaussian(weight: f64, mean: f64, variance: f64) -> Self {
        Component { weight, mean, variance }
    }

    /// Whether the part is the point 0.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.mean == 0.0 && self.variance == 0.0
    }
}

/// The distribution `B` of a coefficient.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Prior {
    components: Vec<Component>,
}

/// How far weights may be from adding up to one.
const WEIGHT_TOLERANCE: f64 = 1e-9;

impl Prior {
    /// `(1 - eps)` at zero and `eps N(0, variance)`.
    ///
    /// # Errors
    /// [`Error::InvalidNumber`] unless `0 < eps <= 1` and `variance` is positive and finite.
    pub fn bernoulli_gaussian(eps: f64, variance: f64) -> Result<Self> {
        positive("variance", variance)?;
        Self::sparse(eps, &[Component::gaussian(1.0, 0.0, variance)])
    }

    /// `(1 - eps)` at zero and `eps / 2` at each of `magnitude` and `-magnitude`.
    ///
    /// # Errors
    /// [`Error::InvalidNumber`] unless `0 < eps <= 1` and `magnitude` is positive and finite.
    pub fn symmetric_two_point(eps: f64, magnitude: f64) -> Result<Self> {
        positive("magnitude", magnitude)?;
        Self::sparse(eps, &[Component::point(0.5, -magnitude), Component::point(0.5, magnitude)])
    }

    /// `(1 - eps)` at zero and `eps` times the mixture `slab`.
    ///
    /// # Errors
    /// As [`Prior::mixture`]; [`Error::InvalidNumber`] unless `0 < eps <= 1`.
    pub fn sparse(eps: f64, slab: &[Component]) -> Result<Self> {
        number("eps", "above 0 and at most 1", 0.0 < eps && eps <= 1.0, eps)?;
        let part = |c: &Component| Component { weight: eps * c.weight, ..*c };
        let zero = Component::point(1.0 - eps, 0.0);
        Self::mixture(std::iter::once(zero).chain(slab.iter().map(part)))
    }

    /// Any finite mixture of points and normal distributions. Parts of weight zero are left out.
    ///
    /// # Errors
    /// [`Error::InvalidEntry`] unless weights and variances are finite and not negative and means are finite;
    /// [`Error::InvalidNumber`] unless the weights add up to 1 and some part is not the point 0.
    pub fn mixture(components: impl IntoIterator<Item = Component>) -> Result<Self> {
        let mut components: Vec<Component> = components.into_iter().collect();
        for (i, c) in components.iter().enumerate() {
            let entry = |name, must, holds, got| {
                if holds {
                    Ok(())
                } else {
                    Err(Error::InvalidEntry { name, place: i.to_string(), must, got })
                }
            };
            let must = "finite and not negative";
            entry("weights", must, c.weight.is_finite() && 0.0 <= c.weight, c.weight)?;
            entry("variances", must, c.variance.is_finite() && 0.0 <= c.variance, c.variance)?;
            entry("means", "finite", c.mean.is_finite(), c.mean)?;
        }
        let sum: f64 = components.iter().map(|c| c.weight).sum();
        number("sum of weights", "1", (sum - 1.0).abs() <= WEIGHT_TOLERANCE, sum)?;
        components.retain(|c| 0.0 < c.weight);
        let prior = Prior { components };
        let eps = prior.nonzero_share();
        number("probability of a non-zero coefficient", "positive", 0.0 < eps, eps)?;
        Ok(prior)
    }

    /// The parts.
    #[must_use]
    pub fn components(&self) -> &[Component] {
        &self.components
    }

    /// `P(B != 0)`.
    #[must_use]
    pub fn nonzero_share(&self) -> f64 {
        self.components.iter().filter(|c| !c.is_zero()).map(|c| c.weight).sum()
    }

    /// `E B`.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.components.iter().map(|c| c.weight * c.mean).sum()
    }

    /// `E B^2`.
    #[must_use]
    pub fn second_moment(&self) -> f64 {
        self.components.iter().map(|c| c.weight * (c.mean * c.mean + c.variance)).sum()
    }
}

fn positive(name: &'static str, got: f64) -> Result<()> {
    number(name, "positive and finite", got.is_finite() && 0.0 < got, got)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_mixture() {
        let prior = Prior::mixture([
            Component::point(0.5, 0.0),
            Component::point(0.2, -3.0),
            Component::gaussian(0.3, 1.0, 4.0),
        ])
        .unwrap();
        assert!((prior.nonzero_share() - 0.5).abs() < 1e-15);
        assert!((prior.mean() - (-0.6 + 0.3)).abs() < 1e-15);
        assert!((prior.second_moment() - (1.8 + 1.5)).abs() < 1e-15);
    }

    #[test]
    fn what_is_no_distribution_is_refused() {
        assert!(Prior::bernoulli_gaussian(0.0, 1.0).is_err());
        assert!(Prior::bernoulli_gaussian(0.5, f64::NAN).is_err());
        assert!(Prior::symmetric_two_point(1.5, 1.0).is_err());
        assert!(Prior::mixture([Component::point(1.0, 0.0)]).is_err());
        assert!(Prior::mixture([Component::point(0.7, 1.0)]).is_err());
        let bad = [Component::point(1.5, 1.0), Component::point(-0.5, 0.0)];
        assert!(matches!(Prior::mixture(bad), Err(Error::InvalidEntry { name: "weights", .. })));
    }
}
