//! Privacy when noise, rates and numbers of later releases depend on the outcomes of earlier ones.

use crate::calibrate::Target;
use crate::{Delta, DpEvent, Error, RdpAccountant, RenyiOrder, Result};

/// Admits releases of adaptively chosen events until a budget of Renyi divergence is spent.
///
/// Adding up epsilons of phases whose settings were chosen after looking at outcomes is not covered by composition
/// theorems for fixed settings. A filter is: its order and budget are fixed before the first release, each event
/// is asked for *before* it is released, and what would exceed the budget is refused.
///
/// # Privacy
/// If every release was admitted first, everything released together is `(epsilon, delta)`-private for the target,
/// however the events were chosen. A refusal changes nothing: a smaller event may still be admitted. Sampling is credited, which
/// holds where neighbors differ by adding or removing one record; where one is replaced, ask about
/// [`DpEvent::without_amplification`].
///
/// # Source
/// arXiv 2008.11193, theorem 4.3 (the filter, one fixed order); arXiv 2004.00010, proposition 12 (the budget).
///
/// # Examples
/// ```
/// use dp_core::calibrate::Target;
/// use dp_core::{DpEvent, RdpFilter};
///
/// let step = DpEvent::gaussian(1.0)?.sampled(0.01)?;
/// let mut filter = RdpFilter::planned(Target::new(2.0, 1e-5)?, &step)?;
/// let mut steps = 0;
/// while filter.admit(&step).is_ok() {
///     steps += 1; // release, look, choose the next event
/// }
/// assert!((800..1000).contains(&steps));
/// # Ok::<(), dp_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RdpFilter {
    target: Target,
    order: RenyiOrder,
    budget: f64,
    spent: f64,
}

/// Relative slack for the rounding of divergences and of their sum.
const ROUNDING: f64 = 1e-9;

impl RdpFilter {
    /// A filter at a given order. The order is public and must not depend on the data.
    ///
    /// # Errors
    /// [`Error::CalibrationLimit`] if this order leaves nothing to spend within the target.
    pub fn new(target: Target, order: RenyiOrder) -> Result<Self> {
        let budget = budget(target, order.get() - 1.0);
        if 0.0 < budget && budget.is_finite() {
            Ok(RdpFilter { target, order, budget, spent: 0.0 })
        } else {
            Err(Error::CalibrationLimit {
                what: "order of a filter",
                limit: order.get(),
                epsilon: target.epsilon.get() - budget,
                target: target.epsilon.get(),
            })
        }
    }

    /// A filter at the order that admits most repetitions of `typical`, among orders from 1.001 to 10^5.
    ///
    /// # Errors
    /// Those of [`new`](Self::new); [`Error::UnsupportedEvent`].
    pub fn planned(target: Target, typical: &DpEvent) -> Result<Self> {
        let mut best = (f64::NEG_INFINITY, RenyiOrder::new(2.0)?);
        for i in 0..=320 {
            let m = 1e-3 * 10_f64.powf(f64::from(i) / 40.0);
            let order = RenyiOrder::new(1.0 + m)?;
            let divergence = RdpAccountant::new().divergence(typical, order)?;
            let admitted = budget(target, m) / divergence.max(1e-300);
            if best.0 < admitted {
                best = (admitted, order);
            }
        }
        Self::new(target, best.1)
    }

    /// Admits a release, or refuses it.
    ///
    /// # Errors
    /// [`Error::BudgetExceeded`]: the release must not be made. [`Error::UnsupportedEvent`],
    /// [`Error::CountOverflow`]. After an error nothing is spent.
    pub fn admit(&mut self, event: &DpEvent) -> Result<()> {
        let asked = RdpAccountant::new().divergence(event, self.order)? * (1.0 + ROUNDING);
        let after = self.spent + asked;
        // Written so that NaN is refused.
        if after <= self.budget {
            self.spent = after;
            Ok(())
        } else {
            Err(Error::BudgetExceeded {
                asked,
                spent: self.spent,
                budget: self.budget,
                order: self.order.get(),
            })
        }
    }

    /// What admitted releases have spent, as a share of the budget.
    pub fn spent_share(&self) -> f64 {
        self.spent / self.budget
    }

    /// The target that holds for all admitted releases together.
    pub fn target(&self) -> Target {
        self.target
    }

    /// The order of the divergences.
    pub fn order(&self) -> RenyiOrder {
        self.order
    }
}

/// The divergence of order `1 + m` that converts to the target.
fn budget(target: Target, m: f64) -> f64 {
    let cost = m.ln() - m.ln_1p() - (target.delta.ln() + m.ln_1p()) / m;
    target.epsilon.get() - cost.max(0.0)
}

/// Bounds the privacy loss of adaptively chosen releases at every moment, without a budget.
///
/// # Privacy
/// With probability at least `1 - delta` over everything that is released, the privacy loss (the logarithm of the ratio
/// of likelihoods under two neighboring data sets) is at most [`epsilon`](Self::epsilon) at *every* moment, so
/// also at a moment that is chosen by looking. Charge before releasing. It needs more than a filter with the
/// same delta, which is told its target beforehand.
///
/// # Source
/// `exp((a-1)(loss - sum of R_a))` is a supermartingale, so it exceeds `1/delta` at some moment with probability at most
/// `delta` (Ville's inequality), as in arXiv 2008.11193, section 5, and arXiv 2203.05481; delta is shared among the orders.
///
/// # Examples
/// ```
/// use dp_core::{Delta, DpEvent, RdpOdometer};
///
/// let mut odometer = RdpOdometer::new(Delta::new(1e-5)?)?;
/// odometer.charge(&DpEvent::gaussian(1.0)?.sampled(0.01)?.repeated(1000))?;
/// assert!(odometer.epsilon() < 3.2);
/// # Ok::<(), dp_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RdpOdometer {
    ln_delta: f64,
    /// Orders and what was charged at them.
    sums: Vec<(RenyiOrder, f64)>,
}

impl RdpOdometer {
    /// An odometer over 24 orders from 1.1 to about 500.
    ///
    /// # Errors
    /// [`Error::InvalidScalar`] for a delta of zero, at which no moment has a finite bound.
    pub fn new(delta: Delta) -> Result<Self> {
        if delta.ln() == f64::NEG_INFINITY {
            return Err(Error::InvalidScalar { name: "delta", must: "positive", got: 0.0 });
        }
        let orders = (0..24).map(|i| RenyiOrder::new(1.0 + 0.1 * 1.45_f64.powi(i)));
        let sums = orders.map(|order| Ok((order?, 0.0))).collect::<Result<_>>()?;
        Ok(RdpOdometer { ln_delta: delta.ln(), sums })
    }

    /// Counts a release; call it before the release is made.
    ///
    /// # Errors
    /// [`Error::UnsupportedEvent`], [`Error::CountOverflow`]; then nothing is counted and nothing may be released.
    pub fn charge(&mut self, event: &DpEvent) -> Result<()> {
        let accountant = RdpAccountant::new();
        let more: Vec<f64> = self
            .sums
            .iter()
            .map(|(order, _)| accountant.divergence(event, *order))
            .collect::<Result<_>>()?;
        self.sums.iter_mut().zip(more).for_each(|((_, sum), more)| *sum += more * (1.0 + ROUNDING));
        Ok(())
    }

    /// The bound at this moment; zero before the first charge.
    pub fn epsilon(&self) -> f64 {
        if self.sums.iter().all(|(_, sum)| *sum <= 0.0) {
            return 0.0;
        }
        let shares = (self.sums.len() as f64).ln();
        self.sums.iter().fold(f64::INFINITY, |least, (order, sum)| {
            least.min(sum + (shares - self.ln_delta) / (order.get() - 1.0))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Accountant, EpsilonBound};

    fn step(q: f64, sigma: f64) -> DpEvent {
        DpEvent::gaussian(sigma).unwrap().sampled(q).unwrap()
    }

    #[test]
    fn a_step_that_would_exceed_the_budget_is_refused_and_costs_nothing() {
        let target = Target::new(1.0, 1e-6).unwrap();
        let mut filter = RdpFilter::planned(target, &step(0.01, 1.2)).unwrap();
        while filter.admit(&step(0.01, 1.2)).is_ok() {}
        let before = filter;
        assert!(matches!(filter.admit(&step(0.01, 1.2)), Err(Error::BudgetExceeded { .. })));
        assert!(matches!(filter.admit(&DpEvent::NonPrivate), Err(Error::BudgetExceeded { .. })));
        assert_eq!(filter, before);
        assert!(filter.admit(&DpEvent::NoOp).is_ok());
        assert!(0.99 < filter.spent_share() && filter.spent_share() <= 1.0);
    }

    #[test]
    fn what_a_filter_admits_stays_within_the_target_and_near_it() {
        let target = Target::new(2.0, 1e-5).unwrap();
        let mut filter = RdpFilter::planned(target, &step(0.01, 1.0)).unwrap();
        // Noise that depends on what was spent, as an adaptive rule would have it.
        let mut events = Vec::new();
        loop {
            let event = step(0.01, 1.0 + filter.spent_share());
            if filter.admit(&event).is_err() {
                break;
            }
            events.push(event);
        }
        let EpsilonBound::Upper(spent) =
            RdpAccountant::new().epsilon(&DpEvent::Composed(events), target.delta).unwrap()
        else {
            panic!("the Renyi accountant gives upper bounds")
        };
        assert!(spent <= 2.0 && 1.8 < spent, "{spent}");
    }

    #[test]
    fn an_order_without_a_budget_is_refused() {
        let target = Target::new(0.1, 1e-5).unwrap();
        assert!(RdpFilter::new(target, RenyiOrder::new(1.5).unwrap()).is_err());
        assert!(
            RdpFilter::new(Target::new(1.0, 0.0).unwrap(), RenyiOrder::new(9.0).unwrap()).is_err()
        );
    }

    #[test]
    fn an_odometer_only_rises_and_stays_above_the_accountant() {
        let delta = Delta::new(1e-6).unwrap();
        let mut odometer = RdpOdometer::new(delta).unwrap();
        assert!(odometer.epsilon() <= 0.0 && RdpOdometer::new(Delta::new(0.0).unwrap()).is_err());
        let mut last = 0.0;
        let mut history = Vec::new();
        for i in 1..20 {
            let event = step(0.01, 1.0 + 0.1 * f64::from(i)).repeated(50);
            odometer.charge(&event).unwrap();
            history.push(event);
            let fixed = RdpAccountant::new().epsilon(&DpEvent::Composed(history.clone()), delta);
            assert!(last < odometer.epsilon());
            last = odometer.epsilon();
            assert!(fixed.unwrap().value() < last);
        }
    }
}
