//! The Renyi accountant: always an upper bound, any mixture of events, fractions of a millisecond.

use crate::{
    Accountant, Delta, DeltaBound, DpEvent, Epsilon, EpsilonBound, Error, RenyiOrder, Result,
};

pub(super) mod curve;
pub(super) mod minimize;

use curve::{Curve, NoCurve};
use minimize::minimize;

/// Accounts by Renyi divergences of continuously optimized order.
///
/// Divergences add under composition; the conversion is a minimum over orders. Every order gives a valid
/// bound, so the search decides about tightness only. The cost grows with the number of distinct events,
/// not with the number of steps.
///
/// Known are Gaussian and Laplace releases, each on the whole data set or on a Poisson sample, and several
/// Gaussian answers on one sample (precisions add, then one sampling).
///
/// # Privacy
/// The result is [`EpsilonBound::Upper`] under add-or-remove-one. The gap to the truth is about a tenth in
/// usual settings, and large for small rates with small noise. An epsilon is infinite where there is no
/// noise, and exactly zero where nothing was released.
///
/// # Source
/// Composition arXiv 1702.07476; sampled Gaussian arXiv 1908.10530; conversion arXiv 2004.00010,
/// proposition 12.
///
/// # Examples
/// ```
/// use dp_core::{Accountant, Delta, DpEvent, RdpAccountant};
///
/// let history = DpEvent::gaussian(1.0)?.sampled(0.01)?.repeated(1000);
/// let epsilon = RdpAccountant::new().epsilon(&history, Delta::new(1e-5)?)?;
/// assert!((epsilon.value() - 2.1013).abs() < 1e-3);
/// # Ok::<(), dp_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct RdpAccountant;

/// An epsilon with the circumstances of its optimum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RdpEpsilon {
    /// The upper bound; may be infinite.
    pub epsilon: f64,
    /// The order at the optimum; none if a closed form without orders was better or nothing was released.
    pub order: Option<f64>,
    /// The optimum lies at an end of the range of orders, so the bound is valid but not the tightest.
    pub order_at_limit: bool,
}

/// Orders from `1 + 1e-7` to `1 + 1e7`.
const LN_M: (f64, f64) = (-16.118_095_650_958_32, 16.118_095_650_958_32);
/// In the logarithm of `a - 1`. Usually the valley is flat and much less would do, but for small rates and
/// much noise it ends in a sharp kink, where moments begin to explode.
const TOLERANCE: f64 = 1e-7;
/// The order for bounds on the total variation distance, which want orders near 1.
const M_NEAR_ONE: f64 = 1e-6;

impl RdpAccountant {
    /// An accountant; it has no settings.
    pub fn new() -> Self {
        RdpAccountant
    }

    /// The Renyi divergence of a history at one order.
    ///
    /// # Errors
    /// [`Error::UnsupportedEvent`]; [`Error::CountOverflow`].
    pub fn divergence(&self, event: &DpEvent, order: RenyiOrder) -> Result<f64> {
        Ok(History::new(RdpAccountant.name(), event)?.at(order.get() - 1.0))
    }

    /// Epsilon and the order that gave it.
    ///
    /// # Errors
    /// [`Error::UnsupportedEvent`]; [`Error::CountOverflow`].
    pub fn optimize(&self, event: &DpEvent, delta: Delta) -> Result<RdpEpsilon> {
        let history = History::new(RdpAccountant.name(), event)?;
        let closed = |epsilon| RdpEpsilon { epsilon, order: None, order_at_limit: false };
        if history.is_empty() {
            return Ok(closed(0.0));
        }
        let pure = history.pure();
        if delta.ln() == f64::NEG_INFINITY || history.is_infinite() {
            return Ok(closed(pure));
        }
        // The total variation distance is at most sqrt(1 - exp(-R)).
        if history.ln_total_variation() < delta.ln() {
            return Ok(closed(0.0));
        }
        // ln(1 - 1/a) - (ln delta + ln a)/(a - 1); times (a - 1) the objective is convex in a, so it has
        // one valley.
        let epsilon_at = |ln_m: f64| {
            let m = ln_m.exp();
            history.at(m) + ln_m - m.ln_1p() - (delta.ln() + m.ln_1p()) / m
        };
        let start = (-delta.ln() / history.rho()).sqrt().min(history.useful_m());
        let lowest = minimize(epsilon_at, LN_M, start.ln(), TOLERANCE);
        if pure <= lowest.value {
            return Ok(closed(pure));
        }
        Ok(RdpEpsilon {
            epsilon: lowest.value.max(0.0),
            order: Some(1.0 + lowest.at.exp()),
            order_at_limit: lowest.end.is_some(),
        })
    }
}

/// A `ln delta` and the order minus one that gave it.
pub(super) struct RdpLnDelta {
    pub(super) ln_delta: f64,
    pub(super) m: f64,
}

impl RdpAccountant {
    pub(super) fn optimize_ln_delta(self, history: &History, epsilon: f64) -> RdpLnDelta {
        let ln_delta_at = |ln_m: f64| {
            let m = ln_m.exp();
            m * (history.at(m) - epsilon + ln_m - m.ln_1p()) - m.ln_1p()
        };
        let rho = history.rho();
        let start = ((epsilon - rho) / (2.0 * rho)).max(1e-2).min(history.useful_m());
        let lowest = minimize(ln_delta_at, LN_M, start.ln(), TOLERANCE);
        let ln_delta = lowest.value.min(history.ln_total_variation()).min(0.0);
        RdpLnDelta { ln_delta, m: lowest.at.exp() }
    }
}

impl Accountant for RdpAccountant {
    fn name(&self) -> &'static str {
        "Renyi"
    }

    fn epsilon(&self, event: &DpEvent, delta: Delta) -> Result<EpsilonBound> {
        Ok(EpsilonBound::Upper(self.optimize(event, delta)?.epsilon))
    }

    fn delta(&self, event: &DpEvent, epsilon: Epsilon) -> Result<DeltaBound> {
        let history = History::new(RdpAccountant.name(), event)?;
        let epsilon = epsilon.get();
        if history.pure() <= epsilon {
            return Ok(DeltaBound::Upper { ln: f64::NEG_INFINITY });
        }
        if history.is_infinite() {
            return Ok(DeltaBound::Upper { ln: 0.0 });
        }
        Ok(DeltaBound::Upper { ln: self.optimize_ln_delta(&history, epsilon).ln_delta })
    }
}

/// The divergences of a history: one curve with a number of repetitions per distinct event.
pub(super) struct History(Vec<(Curve, u64)>);

impl History {
    /// The curves of a history, for the accountant of this name.
    pub(super) fn new(accountant: &'static str, event: &DpEvent) -> Result<Self> {
        let mut curves: Vec<(Curve, u64)> = Vec::new();
        let mut total_rho = 0.0;
        for phase in event.phases()? {
            let curve = Curve::of(&phase.event).map_err(|NoCurve(why)| {
                Error::UnsupportedEvent { accountant, event: phase.event.to_string(), why }
            })?;
            match curve {
                Curve::Gaussian { rho } => total_rho += rho * phase.count as f64,
                _ => curves.push((curve, phase.count)),
            }
        }
        if 0.0 < total_rho {
            curves.push((Curve::Gaussian { rho: total_rho }, 1));
        }
        Ok(History(curves))
    }

    /// Each curve and how often it counts.
    pub(super) fn curves(&self) -> &[(Curve, u64)] {
        &self.0
    }

    /// The parameter of Gaussian differential privacy, if there are only Gaussian releases of the whole data set.
    pub(super) fn gaussian_mu(&self) -> Option<f64> {
        match self.0[..] {
            [(Curve::Gaussian { rho }, _)] => Some((2.0 * rho).sqrt()),
            _ => None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn is_infinite(&self) -> bool {
        self.0.iter().any(|(curve, _)| {
            matches!(curve, Curve::Revealed { .. })
                || matches!(curve, Curve::Gaussian { rho } if rho.is_infinite())
        })
    }

    /// `ln` of the probability that a release without noise shows who is in its sample: no epsilon has a smaller delta. And
    /// whether there are no other releases, so that any epsilon has this one.
    pub(super) fn revealed(&self) -> (f64, bool) {
        let mut ln_hidden = 0.0;
        let mut alone = true;
        for (curve, count) in &self.0 {
            match curve {
                Curve::Revealed { q } => ln_hidden += *count as f64 * (-q).ln_1p(),
                Curve::Gaussian { rho } if rho.is_infinite() => ln_hidden = f64::NEG_INFINITY,
                _ => alone = false,
            }
        }
        ((-ln_hidden.exp_m1()).ln(), alone)
    }

    fn at(&self, m: f64) -> f64 {
        self.0.iter().map(|(curve, count)| *count as f64 * curve.at(m)).sum()
    }

    pub(super) fn pure(&self) -> f64 {
        self.0.iter().map(|(curve, count)| *count as f64 * curve.pure()).sum()
    }

    fn useful_m(&self) -> f64 {
        self.0.iter().map(|(curve, _)| curve.useful_m()).fold(f64::INFINITY, f64::min)
    }

    /// Half the divergence of order 2: the `rho` of a Gaussian that resembles the history at low orders.
    fn rho(&self) -> f64 {
        (self.at(1.0) / 2.0).clamp(1e-300, 1e300)
    }

    /// Half of `ln(1 - exp(-R))` at an order near 1.
    fn ln_total_variation(&self) -> f64 {
        0.5 * (-(-self.at(M_NEAR_ONE)).exp_m1()).ln()
    }
}
