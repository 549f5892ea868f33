//! Families of responses: the loss of one observation and what belongs to it.

/// A loss `f(eta, y)`, convex in the linear predictor `eta`.
///
/// # Source
/// McCullagh and Nelder, Generalized Linear Models, with the canonical link; losses up to a constant of `y`.
pub trait Family: Sync {
    /// The family's name.
    fn name(&self) -> &'static str;
    /// What a response must be, in words.
    fn range(&self) -> &'static str;
    /// Whether `y` is such a response.
    fn knows(&self, y: f64) -> bool;
    /// `f(eta, y)`.
    fn loss(&self, eta: f64, y: f64) -> f64;
    /// The mean of the response, so that `y - mean` is minus the derivative of the loss.
    fn mean(&self, eta: f64) -> f64;
    /// The second derivative of the loss.
    fn curvature(&self, eta: f64) -> f64;
    /// The largest second derivative, if there is one.
    fn smoothness(&self) -> Option<f64>;
    /// The term of the dual objective for `theta = y - mean`, minus infinity outside the domain.
    fn dual(&self, theta: f64, y: f64) -> f64;
    /// The infinite predictor that fits a constant response of this mean best, if it is infinite.
    fn saturated(&self, mean: f64) -> Option<f64>;
}

/// `(y - eta)^2 / 2`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gaussian;

/// `log(1 + e^eta) - y eta`, `y` 0 or 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Binomial;

/// `e^eta - y eta`, `y` not negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Poisson;

impl Family for Gaussian {
    fn name(&self) -> &'static str {
        "gaussian"
    }
    fn range(&self) -> &'static str {
        "a number"
    }
    fn knows(&self, _: f64) -> bool {
        true
    }
    fn loss(&self, eta: f64, y: f64) -> f64 {
        0.5 * (y - eta) * (y - eta)
    }
    fn mean(&self, eta: f64) -> f64 {
        eta
    }
    fn curvature(&self, _: f64) -> f64 {
        1.0
    }
    fn smoothness(&self) -> Option<f64> {
        Some(1.0)
    }
    fn dual(&self, theta: f64, y: f64) -> f64 {
        theta * y - 0.5 * theta * theta
    }
    fn saturated(&self, _: f64) -> Option<f64> {
        None
    }
}

/// `u log u`, 0 at 0; NaN below.
pub(super) fn entropy(u: f64) -> f64 {
    if u == 0.0 { 0.0 } else { u * u.ln() }
}

impl Family for Binomial {
    fn name(&self) -> &'static str {
        "binomial"
    }
    fn range(&self) -> &'static str {
        "0 or 1"
    }
    fn knows(&self, y: f64) -> bool {
        y == 0.0 || y == 1.0
    }
    fn loss(&self, eta: f64, y: f64) -> f64 {
        // log(1 + e^eta) without overflow.
        eta.max(0.0) + (-eta.abs()).exp().ln_1p() - y * eta
    }
    fn mean(&self, eta: f64) -> f64 {
        if 0.0 <= eta {
            1.0 / (1.0 + (-eta).exp())
        } else {
            let e = eta.exp();
            e / (1.0 + e)
        }
    }
    fn curvature(&self, eta: f64) -> f64 {
        let e = (-eta.abs()).exp();
        e / ((1.0 + e) * (1.0 + e))
    }
    fn smoothness(&self) -> Option<f64> {
        Some(0.25)
    }
    fn dual(&self, theta: f64, y: f64) -> f64 {
        let u = y - theta;
        if (0.0..=1.0).contains(&u) { -(entropy(u) + entropy(1.0 - u)) } else { f64::NEG_INFINITY }
    }
    fn saturated(&self, mean: f64) -> Option<f64> {
        if mean <= 0.0 {
            Some(f64::NEG_INFINITY)
        } else if 1.0 <= mean {
            Some(f64::INFINITY)
        } else {
            None
        }
    }
}

impl Family for Poisson {
    fn name(&self) -> &'static str {
        "poisson"
    }
    fn range(&self) -> &'static str {
        "not negative"
    }
    fn knows(&self, y: f64) -> bool {
        0.0 <= y
    }
    fn loss(&self, eta: f64, y: f64) -> f64 {
        eta.exp() - y * eta
    }
    fn mean(&self, eta: f64) -> f64 {
        eta.exp()
    }
    fn curvature(&self, eta: f64) -> f64 {
        eta.exp()
    }
    fn smoothness(&self) -> Option<f64> {
        None
    }
    fn dual(&self, theta: f64, y: f64) -> f64 {
        let u = y - theta;
        if 0.0 <= u { u - entropy(u) } else { f64::NEG_INFINITY }
    }
    fn saturated(&self, mean: f64) -> Option<f64> {
        (mean <= 0.0).then_some(f64::NEG_INFINITY)
    }
}
