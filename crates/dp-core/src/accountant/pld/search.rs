//! Grids in turn, from a guess by Renyi divergences to the wanted width.

use super::super::single::{self, Base};
use super::bins::Step;
use super::compose::{POINTS_MAX, Transforms};
use super::lattice::Direction;
use super::pass::{Failed, Guess, Pass, Phase, Question, ln_cut};

/// The best bounds over all grids.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) lower: f64,
    pub(super) upper: f64,
    pub(super) direction: Direction,
    pub(super) width: f64,
    pub(super) n_points: usize,
    pub(super) n_passes: u32,
}

/// Grids at most.
const PASSES_MAX: u32 = 6;
/// Doublings of the first grid, if it is too long.
const COARSER_MAX: u32 = 24;
/// A grid has at least this many bins over the range of one step.
const BINS_MIN: f64 = 64.0;

/// Tries grids until `upper - lower <= tolerance(upper)`. None if no grid fits.
pub(super) fn search(
    phases: &[Phase],
    question: Question,
    guess: Guess,
    tolerance: impl Fn(f64) -> f64,
) -> Option<Found> {
    let count: f64 = phases.iter().map(|phase| phase.count as f64).sum();
    let ln_cut = ln_cut(phases, guess);
    let range = phases
        .iter()
        .map(|phase| phase.step.range(ln_cut))
        .fold(0.0, |widest, r| f64::max(widest, r.1 - r.0));
    let (mut guess, mut found): (Guess, Option<Found>) = (guess, None);
    // Both bounds together cost about T (theta + 1) D^2 / 6 in epsilon.
    let width_for = |guess: Guess| {
        let wanted = match question {
            Question::Epsilon { .. } => tolerance(guess.epsilon),
            Question::LnDelta { .. } => tolerance(guess.ln_delta) / (1.0 + guess.theta),
        };
        (5.0 * wanted / (count * (1.0 + guess.theta))).sqrt().min(range / BINS_MIN)
    };
    let mut width = width_for(guess);
    if let Ok(pass) = Pass::new(phases, width, question, guess) {
        guess = pass.guess_by_moments(Direction::Remove);
        width = width_for(guess);
    }
    let mut transforms = Transforms::new();
    let mut n_passes = 0;
    let (mut coarser, mut spent) = (0, 0);
    // The last grid that was not too long, and the finest that may be tried.
    let (mut last, mut finest) = (f64::INFINITY, 0.0_f64);
    while n_passes < PASSES_MAX {
        n_passes += 1;
        let best = found.map_or(f64::INFINITY, |found| found.upper);
        let wanted = |upper: f64| tolerance(upper.min(best).min(f64::MAX));
        let pass = Pass::new(phases, width, question, guess)
            .and_then(|p| p.bounds(&mut transforms, wanted));
        let bounds = match pass {
            Ok(bounds) => bounds,
            Err(Failed::TooLong) if found.is_none() && coarser < COARSER_MAX => {
                coarser += 1;
                n_passes -= 1; // it ended before anything was computed
                width *= 2.0;
                continue;
            }
            // The guess is a better one by now: a grid between the last and the one that is too long may do.
            Err(Failed::TooLong) if width < 0.9 * last => {
                finest = (width * last).sqrt();
                width = finest;
                continue;
            }
            Err(_) => break,
        };
        last = width;
        let before = found.map_or(f64::INFINITY, |found| found.upper - found.lower);
        let so_far = found.get_or_insert(Found {
            lower: bounds.lower,
            upper: bounds.upper,
            direction: bounds.direction,
            width,
            n_points: bounds.n_points,
            n_passes,
        });
        so_far.n_passes = n_passes;
        so_far.lower = so_far.lower.max(bounds.lower);
        if bounds.upper <= so_far.upper {
            so_far.upper = bounds.upper;
            so_far.direction = bounds.direction;
            so_far.width = width;
            so_far.n_points = bounds.n_points;
        }
        let (lower, upper) = (so_far.lower, so_far.upper);
        let wanted = tolerance(if upper.is_finite() { upper } else { guess.epsilon });
        let gap = if lower.is_finite() { upper - lower } else { f64::INFINITY };
        if gap <= wanted {
            break;
        }
        spent += bounds.n_points as u64;
        if coarser != 0 || POINTS_MAX / 2 < spent {
            break; // a finer grid was too long already, or would take too long
        }
        // What would be left without slack is the grid's; the rest is that of a poor guess.
        let (estimate, coarse) = (bounds.estimate, bounds.estimate.1 - bounds.estimate.0);
        let by_grid = if coarse.is_finite() { coarse.abs() } else { 0.0 };
        if by_grid <= 0.7 * wanted && 0.8 * before < gap {
            break; // neither the grid nor the guess is what is missing
        }
        if 0.7 * wanted < by_grid {
            width *= (0.85 * (wanted / by_grid).sqrt()).clamp(0.1, 0.7);
        }
        match question {
            Question::Epsilon { .. } => {
                guess.epsilon = if estimate.0.is_finite() && estimate.1.is_finite() {
                    estimate.0.clamp(lower, upper)
                } else {
                    0.5 * guess.epsilon
                };
                if 0.0 < guess.epsilon {
                    width = width.min(guess.epsilon / 20.0);
                } else {
                    guess.epsilon = 0.5 * upper;
                }
                guess.neglect *= (0.3 * wanted / gap.max(wanted)).clamp(0.3, 0.5);
            }
            Question::LnDelta { .. } => {
                guess.ln_delta = if estimate.0.is_finite() { estimate.0 } else { upper - 3.0 };
            }
        }
        width = width.max(finest);
    }
    transforms.keep();
    found
}

impl Phase {
    /// `ln delta` and epsilon of one of these steps alone bound those of all from below.
    fn base(self) -> (Base, f64) {
        match self.step {
            Step::Gaussian { q, s } => (Base::Gaussian { s }, q),
            Step::Laplace { q, b } => (Base::Laplace { b }, q),
        }
    }

    /// The answer for a single such step, exactly.
    pub(super) fn single(self, question: Question) -> f64 {
        let (base, q) = self.base();
        match question {
            Question::Epsilon { ln_delta } => single::epsilon(base, q, ln_delta),
            Question::LnDelta { epsilon } => single::ln_delta(base, q, epsilon),
        }
    }
}
