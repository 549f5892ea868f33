//! The accountant of the distribution of the privacy loss: a bracket of upper and lower bound, as narrow as wanted.

use crate::accountant::rdp::RdpAccountant;
use crate::accountant::rdp::curve::Curve;
use crate::{Accountant, Delta, DeltaBound, DpEvent, Epsilon, EpsilonBound, Error, Result};

use super::gdp;
use super::rdp::History;

mod bins;
mod compose;
mod lattice;
mod pass;
mod read;
mod search;
mod window;

use bins::Step;
use pass::{Guess, Phase, Question};

/// Accounts by the distribution of the privacy loss, with a lower bound beside each upper one.
///
/// Known are Gaussian and Laplace releases, each on the whole data set or on a Poisson sample, and several
/// Gaussian answers on one sample (precisions add, then one sampling); any composition of these. Gaussian releases
/// of the whole data set alone, and single releases, have closed forms and no grid. The cost grows with the square
/// root of the number of steps, from a fraction of a millisecond to a few.
///
/// # Privacy
/// The result is [`EpsilonBound::Bracket`] under add-or-remove-one, both directions composed separately. Both ends
/// are derived; rounding in special functions, transforms and sums is allowed for by slack, which is not a proof
/// (`docs/accountants.md` says what is). Where no grid fits (epsilon of many hundreds), the upper end is the Renyi accountant's; [`PldEpsilon::method`] says so.
///
/// # Source
/// Upper bounds arXiv 2207.04380 (connect the dots) in a form that keeps masses; tilting, the window and the lower
/// bound are derived in `docs/accountants.md`.
///
/// # Examples
/// ```
/// use dp_core::{Accountant, Delta, DpEvent, PldAccountant};
///
/// let history = DpEvent::gaussian(1.0)?.sampled(0.01)?.repeated(1000);
/// let found = PldAccountant::new().optimize(&history, Delta::new(1e-5)?)?;
/// assert!(found.lower <= 1.8283 && 1.8282 <= found.upper && found.is_as_narrow_as_wanted());
/// # Ok::<(), dp_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PldAccountant {
    absolute: f64,
    relative: f64,
}

/// A bracket of epsilon with its circumstances.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PldEpsilon {
    /// Epsilon is at least this.
    pub lower: f64,
    /// Epsilon is at most this; may be infinite.
    pub upper: f64,
    /// The width that was wanted at this epsilon.
    pub tolerance: f64,
    /// How the upper end was found.
    pub method: PldMethod,
}

impl PldEpsilon {
    /// Whether the bracket has the wanted width.
    pub fn is_as_narrow_as_wanted(&self) -> bool {
        self.upper - self.lower <= self.tolerance || self.upper.total_cmp(&self.lower).is_eq()
    }
}

/// How a bracket was found.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum PldMethod {
    /// A closed form; the bracket has the width of its rounding.
    Exact,
    /// Distributions on a grid.
    Grid {
        /// Loss between two points of the grid of the upper end.
        interval: f64,
        /// Points of the sum of all steps.
        n_points: usize,
        /// Grids that were tried.
        n_passes: u32,
        /// The record was added, not removed, where epsilon is largest.
        add_dominates: bool,
    },
    /// Renyi divergences gave the better upper end, or no grid fits.
    Renyi,
}

/// Relative rounding of closed forms.
const CLOSED_FORM_ERROR: f64 = 1e-11;

impl Default for PldAccountant {
    fn default() -> Self {
        PldAccountant { absolute: 1e-3, relative: 2e-3 }
    }
}

impl PldAccountant {
    /// An accountant that wants brackets of width `1e-3 + 0.002 epsilon`.
    pub fn new() -> Self {
        PldAccountant::default()
    }

    /// An accountant that wants brackets of width `absolute + relative * epsilon`. Halving the tolerance costs about
    /// half as much again in time.
    ///
    /// # Errors
    /// [`Error::InvalidScalar`] unless both are finite and not negative, and one of them positive.
    pub fn with_tolerance(absolute: f64, relative: f64) -> Result<Self> {
        let fine = |x: f64| x.is_finite() && 0.0 <= x;
        if fine(absolute) && fine(relative) && 0.0 < absolute.max(relative) {
            Ok(PldAccountant { absolute, relative })
        } else {
            let got = if fine(absolute) { relative } else { absolute };
            Err(Error::InvalidScalar { name: "tolerance", must: "finite and positive", got })
        }
    }

    /// Epsilon with the circumstances under which it was found.
    ///
    /// # Errors
    /// [`Error::UnsupportedEvent`]; [`Error::CountOverflow`].
    pub fn optimize(&self, event: &DpEvent, delta: Delta) -> Result<PldEpsilon> {
        let tolerance = |epsilon: f64| self.absolute + self.relative * epsilon.max(0.0);
        let found = |lower: f64, upper: f64, method| PldEpsilon {
            lower,
            upper,
            // At what is known of epsilon, if that is finite.
            tolerance: tolerance([upper, lower].into_iter().find(|x| x.is_finite()).unwrap_or(0.0)),
            method,
        };
        let exact = |value: f64| {
            let (lower, upper) =
                (value * (1.0 - CLOSED_FORM_ERROR), value * (1.0 + CLOSED_FORM_ERROR));
            found(lower, upper, PldMethod::Exact)
        };
        let history = History::new(self.name(), event)?;
        if history.is_empty() {
            return Ok(exact(0.0));
        }
        if delta.ln() == f64::NEG_INFINITY {
            return Ok(exact(history.pure()));
        }
        if history.is_infinite() {
            let (ln_delta, alone) = history.revealed();
            return Ok(match delta.ln() < ln_delta {
                true => exact(f64::INFINITY),
                false if alone => exact(0.0),
                false => found(0.0, f64::INFINITY, PldMethod::Exact),
            });
        }
        if let Some(mu) = history.gaussian_mu() {
            return Ok(exact(gdp::epsilon(mu, delta.ln())));
        }
        let question = Question::Epsilon { ln_delta: delta.ln() };
        let renyi = RdpAccountant::new().optimize(event, delta)?;
        let Some(phases) = phases(&history) else {
            return Ok(found(0.0, renyi.epsilon, PldMethod::Renyi));
        };
        if let [phase @ Phase { count: 1, .. }] = phases[..] {
            return Ok(exact(phase.single(question)));
        }
        let single = phases.iter().map(|phase| phase.single(question)).fold(0.0, f64::max);
        let single = single * (1.0 - CLOSED_FORM_ERROR);
        if renyi.epsilon - single <= tolerance(renyi.epsilon) {
            return Ok(found(single, renyi.epsilon, PldMethod::Renyi));
        }
        let theta = renyi.order.map_or(1.0, |order| order - 1.0);
        let guess = Guess {
            epsilon: 0.8 * renyi.epsilon,
            ln_delta: delta.ln(),
            theta,
            neglect: neglect(tolerance(renyi.epsilon), theta),
        };
        let Some(grid) = search::search(&phases, question, guess, tolerance) else {
            return Ok(found(single, renyi.epsilon, PldMethod::Renyi));
        };
        let lower = grid.lower.max(single).min(renyi.epsilon);
        if renyi.epsilon < grid.upper {
            return Ok(found(lower, renyi.epsilon, PldMethod::Renyi));
        }
        let method = PldMethod::Grid {
            interval: grid.width,
            n_points: grid.n_points,
            n_passes: grid.n_passes,
            add_dominates: grid.direction == lattice::Direction::Add,
        };
        Ok(found(lower, grid.upper, method))
    }
}

impl Accountant for PldAccountant {
    fn name(&self) -> &'static str {
        "privacy-loss distribution"
    }

    fn seed(&self) -> Option<&dyn Accountant> {
        Some(&RdpAccountant)
    }

    fn epsilon(&self, event: &DpEvent, delta: Delta) -> Result<EpsilonBound> {
        let PldEpsilon { lower, upper, .. } = self.optimize(event, delta)?;
        Ok(EpsilonBound::Bracket { lower, upper })
    }

    fn delta(&self, event: &DpEvent, epsilon: Epsilon) -> Result<DeltaBound> {
        let bracket = |ln_lower: f64, ln_upper: f64| {
            Ok(DeltaBound::Bracket { ln_lower, ln_upper: ln_upper.min(0.0) })
        };
        // Relative rounding of a closed form's delta.
        let exact = |ln: f64| bracket(ln - CLOSED_FORM_ERROR, ln + CLOSED_FORM_ERROR);
        let history = History::new(self.name(), event)?;
        let at = epsilon.get();
        if history.pure() <= at {
            return exact(f64::NEG_INFINITY);
        }
        if history.is_infinite() {
            let (ln_delta, alone) = history.revealed();
            let upper = if alone { ln_delta + CLOSED_FORM_ERROR } else { 0.0 };
            return bracket(ln_delta - CLOSED_FORM_ERROR, upper);
        }
        if let Some(mu) = history.gaussian_mu() {
            return exact(gdp::ln_delta(mu, at));
        }
        let question = Question::LnDelta { epsilon: at };
        let renyi = RdpAccountant::new().optimize_ln_delta(&history, at);
        let Some(phases) = phases(&history) else {
            return bracket(f64::NEG_INFINITY, renyi.ln_delta);
        };
        if let [phase @ Phase { count: 1, .. }] = phases[..] {
            return exact(phase.single(question));
        }
        let single = phases.iter().map(|phase| phase.single(question));
        let single = single.fold(f64::NEG_INFINITY, f64::max) - CLOSED_FORM_ERROR;
        let tolerance = self.absolute + self.relative * at;
        let guess = Guess {
            epsilon: at,
            ln_delta: renyi.ln_delta.min(-1e-3),
            theta: renyi.m,
            neglect: neglect(tolerance, renyi.m),
        };
        // The width in epsilon, as seen in ln delta, whose slope is about the best order.
        let wanted = |_: f64| tolerance * (1.0 + renyi.m);
        match search::search(&phases, question, guess, wanted) {
            Some(grid) => {
                let upper = grid.upper.min(renyi.ln_delta);
                bracket(grid.lower.max(single).min(upper), upper)
            }
            None => bracket(single.min(renyi.ln_delta), renyi.ln_delta),
        }
    }
}

/// What may be neglected relative to delta: epsilon moves by that over the slope of `ln delta`, about the order.
fn neglect(tolerance: f64, theta: f64) -> f64 {
    (0.01 * tolerance * theta.max(0.3)).clamp(1e-7, 3e-4)
}

/// The steps of a history; none if there is one without a loss of this kind.
fn phases(history: &History) -> Option<Vec<Phase>> {
    let mut phases = Vec::new();
    for &(curve, count) in history.curves() {
        let step = match curve {
            // Any number of releases of the whole data set is one of `mu = sqrt(2 rho)`.
            Curve::Gaussian { rho } => Step::Gaussian { q: 1.0, s: (2.0 * rho).powf(-0.5) },
            Curve::SampledGaussian { q, s } => Step::Gaussian { q, s },
            Curve::Laplace { b } => Step::Laplace { q: 1.0, b },
            Curve::SampledLaplace { q, b } => Step::Laplace { q, b },
            Curve::Revealed { .. } => return None,
        };
        // Above, counts are not exact as floating-point numbers, nor does any grid fit.
        if (1_u64 << 40) < count {
            return None;
        }
        phases.push(Phase { step, count });
    }
    Some(phases)
}
