//! What a controller did over a training: the rates of every step, and what each fit decided.

use serde::{Deserialize, Serialize};

use crate::controller::{FitReport, GroupRates};
use crate::decision::Decision;

/// A fit in a [`Trace`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TracedFit {
    /// The step before which it was made.
    pub step: u64,
    /// What was decided of each group.
    pub decisions: Vec<Decision>,
}

/// Rates and decisions along a training.
///
/// # Examples
/// ```
/// use hessian_lr::controller::{Ask, Gen, GroupRates, Observed, RateController, Settings};
/// use hessian_lr::trace::Trace;
///
/// let controller = Gen { settings: Settings { period: 1, ..Settings::paper(0.5) } };
/// let (mut state, mut trace) = (controller.init(1)?, Trace::default());
/// for _ in 0..3 {
///     while let Ask::Losses(rates) = controller.ask(&state) {
///         let losses: Vec<f64> = rates.iter().map(|x| (x.0[0] - 1.0).powi(2)).collect();
///         controller.tell(&Observed::means(&losses), &mut state)?;
///     }
///     trace.push(state.step(), &controller.rates(&state)?, state.report());
///     controller.stepped(&mut state)?;
/// }
/// assert_eq!((trace.rates.len(), trace.fits.len()), (3, 3));
/// # Ok::<(), hessian_lr::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// The rates of each step, one for each group.
    pub rates: Vec<GroupRates>,
    /// The fits.
    pub fits: Vec<TracedFit>,
}

impl Trace {
    /// Adds the rates of a step, and its fit if the last report is of it.
    pub fn push(&mut self, step: u64, rates: &GroupRates, report: Option<&FitReport>) {
        self.rates.push(rates.clone());
        let Some(report) = report.filter(|report| report.step == step) else { return };
        let mut decisions = vec![Decision::Flat; rates.0.len()];
        for axis in &report.axes {
            for group in &axis.groups {
                if let Some(decision) = decisions.get_mut(*group) {
                    *decision = axis.decision;
                }
            }
        }
        self.fits.push(TracedFit { step, decisions });
    }

    /// How often each decision was made of a group.
    #[must_use]
    pub fn counts(&self, group: usize) -> Vec<(Decision, usize)> {
        let of = |decision: Decision| {
            self.fits.iter().filter(|fit| fit.decisions.get(group) == Some(&decision)).count()
        };
        Decision::ALL.into_iter().map(|decision| (decision, of(decision))).collect()
    }
}
