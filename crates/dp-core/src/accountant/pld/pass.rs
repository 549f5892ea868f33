//! One evaluation of both bounds on one grid.

use std::f64::consts::TAU;

use super::super::rdp::minimize::minimize;
use super::bins::{Bins, Step};
use super::compose::{POINTS_MAX, Transforms};
use super::lattice::{Direction, Lattice, Lower, Tilted};
use super::read::{LowerCurve, Slack, UpperCurve, ln_peak, norm_above, norm_of_tail};
use super::window::Window;

/// A step and how often it is done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Phase {
    pub(super) step: Step,
    pub(super) count: u64,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Question {
    /// Epsilon at `exp(ln_delta)`.
    Epsilon { ln_delta: f64 },
    /// `ln delta` at an epsilon.
    LnDelta { epsilon: f64 },
}

/// Where the answer is expected. Wrong guesses cost width, never validity.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guess {
    /// About, and rather less than, the epsilon.
    pub(super) epsilon: f64,
    /// About the logarithm of delta.
    pub(super) ln_delta: f64,
    /// About the best tilt: order minus one.
    pub(super) theta: f64,
    /// What may be cut off, left to rounding and left outside the window, relative to delta.
    pub(super) neglect: f64,
}

/// Bounds on the answer, from below and from above.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) lower: f64,
    pub(super) upper: f64,
    /// Both as they would be on this grid with little slack: not bounds.
    pub(super) estimate: (f64, f64),
    /// The direction that decided.
    pub(super) direction: Direction,
    /// Points of the longest sum.
    pub(super) n_points: usize,
}

/// Why there are no bounds on this grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failed {
    /// A step or the sum has more points than are allowed.
    TooLong,
    /// Exponentials leave the range of floating-point numbers.
    OutOfRange,
}

/// Relative error of the masses of one step.
const MASS_ERROR: f64 = 2e-13;
/// Losses beyond this would make masses under the second of the pair underflow.
const LOSS_MAX: f64 = 450.0;

/// All that depends on the grid, but not on the direction.
pub(super) struct Pass<'a> {
    phases: &'a [Phase],
    bins: Vec<Bins>,
    width: f64,
    question: Question,
    guess: Guess,
}

impl<'a> Pass<'a> {
    pub(super) fn new(
        phases: &'a [Phase],
        width: f64,
        question: Question,
        guess: Guess,
    ) -> Result<Self, Failed> {
        let ln_cut = ln_cut(phases, guess);
        let mut points = 0.0;
        for phase in phases {
            let (low, high) = phase.step.range(ln_cut);
            points += (high - low) / width;
            let lowest_mass = ln_cut - high.max(-low);
            if !(high.max(-low) < LOSS_MAX && -640.0 < lowest_mass) {
                return Err(Failed::OutOfRange);
            }
        }
        if points.is_nan() || POINTS_MAX as f64 <= points {
            return Err(Failed::TooLong);
        }
        let bins = phases.iter().map(|phase| phase.step.bins(width, ln_cut)).collect();
        Ok(Pass { phases, bins, width, question, guess })
    }

    /// Bounds on the larger of both directions. What they would be with little slack is of interest only where they are
    /// further apart than `wanted`.
    pub(super) fn bounds(
        &self,
        transforms: &mut Transforms,
        wanted: impl Fn(f64) -> f64,
    ) -> Result<Bounds, Failed> {
        let removed = self.upper(Direction::Remove, transforms)?;
        let below = self.lower(Direction::Remove, transforms)?;
        let mut n_points = removed.sum.weights.len().max(below.first_of_pair.weights.len());
        let (mut upper, mut lower) =
            (self.read_upper(&removed, Slack::Counted), self.read_lower(&below, Slack::Counted));
        let mut direction = Direction::Remove;
        let mut curves = (removed, vec![below]);
        let symmetric = self.phases.iter().all(|phase| phase.step.is_symmetric());
        if !symmetric && !self.add_is_less_than(lower) {
            let added = self.upper(Direction::Add, transforms)?;
            n_points = n_points.max(added.sum.weights.len());
            let value = self.read_upper(&added, Slack::Counted);
            if upper < value {
                let other = self.lower(Direction::Add, transforms)?;
                n_points = n_points.max(other.first_of_pair.weights.len());
                lower = lower.max(self.read_lower(&other, Slack::Counted));
                (upper, direction) = (value, Direction::Add);
                transforms.reuse(std::mem::replace(&mut curves.0, added).sum);
                curves.1.push(other);
            } else {
                transforms.reuse(added.sum);
            }
        }
        let mut estimate = (lower, upper);
        let is_narrow = upper - lower <= wanted(upper);
        if !is_narrow {
            let lowers = curves.1.iter().map(|curve| self.read_lower(curve, Slack::Mostly));
            estimate = (
                lowers.fold(f64::NEG_INFINITY, f64::max),
                self.read_upper(&curves.0, Slack::Mostly),
            );
        }
        transforms.reuse(curves.0.sum);
        for curve in curves.1 {
            transforms.reuse(curve.first_of_pair);
            transforms.reuse(curve.second_of_pair);
        }
        Ok(Bounds { lower, upper, estimate, direction, n_points })
    }

    fn read_upper(&self, curve: &UpperCurve, slack: Slack) -> f64 {
        match self.question {
            Question::Epsilon { ln_delta } => {
                curve.epsilon(ln_delta, slack) + self.position_error()
            }
            Question::LnDelta { epsilon } => {
                curve.ln_delta((epsilon - self.position_error()).max(0.0), slack).min(0.0)
            }
        }
    }

    fn read_lower(&self, curve: &LowerCurve, slack: Slack) -> f64 {
        match self.question {
            Question::Epsilon { ln_delta } => curve.epsilon(ln_delta, slack),
            Question::LnDelta { epsilon } => curve.ln_delta(epsilon, slack),
        }
    }

    /// The curve of upper bounds.
    fn upper(
        &self,
        direction: Direction,
        transforms: &mut Transforms,
    ) -> Result<UpperCurve, Failed> {
        let (mut lattices, mut offset, mut infinite) = (Vec::new(), 0.0, 0.0);
        for (bins, phase) in self.bins.iter().zip(self.phases) {
            let upper = bins.upper(direction, phase.count);
            offset += phase.count as f64 * upper.offset;
            infinite += phase.count as f64 * upper.infinite;
            lattices.push(upper.lattice);
        }
        let place = (self.guess_for(direction).epsilon - offset) / self.width;
        let tilt = self.tilt(&lattices, place, Kernel::Above);
        let steps = tilted(&lattices, tilt)?;
        let decay = self.decay(&lattices, tilt, place, Kernel::Above);
        let window = Window::new(&steps, decay).ok_or(Failed::TooLong)?;
        let sum = transforms.compose(&steps, window).ok_or(Failed::TooLong)?;
        Ok(UpperCurve {
            tilt,
            width: self.width,
            offset,
            outside: 2.0 * (-decay).exp(),
            infinite,
            relative: self.relative(tilt),
            sum,
        })
    }

    /// The curve of lower bounds.
    fn lower(
        &self,
        direction: Direction,
        transforms: &mut Transforms,
    ) -> Result<LowerCurve, Failed> {
        let (mut first, mut second) = (Vec::new(), Vec::new());
        // The statistic follows the loss up to a shift. Where the ratio of the pair is exp(epsilon), roughly:
        // ln P/Q = K_P(x) - K_Q(x + D) + D j for weights that agree when tilted.
        let mut shift = 0.0;
        let middle = 0.5 * self.guess.theta * self.width;
        for (bins, phase) in self.bins.iter().zip(self.phases) {
            let Lower { first_of_pair: p, second_of_pair: q } = bins.lower(direction, phase.count);
            let apart = p.cumulant(middle).value - q.cumulant(middle + self.width).value;
            shift += phase.count as f64 * apart;
            first.push(p);
            second.push(q);
        }
        let place = (self.guess_for(direction).epsilon - shift) / self.width;
        let tilt = self.tilt(&first, place, Kernel::Tail);
        let decay = self.decay(&first, tilt, place, Kernel::Tail);
        let (first, second) = (tilted(&first, tilt)?, tilted(&second, tilt + self.width)?);
        let windows = (Window::new(&first, decay), Window::new(&second, decay));
        let (Some(a), Some(b)) = windows else { return Err(Failed::TooLong) };
        let window = Window { low: a.low.min(b.low), high: a.high.max(b.high) };
        let first = transforms.compose(&first, window).ok_or(Failed::TooLong)?;
        let second = transforms.compose(&second, window).ok_or(Failed::TooLong)?;
        Ok(LowerCurve {
            tilt,
            width: self.width,
            outside: 2.0 * (-decay).exp(),
            relative: self.relative(tilt + self.width),
            first_of_pair: first,
            second_of_pair: second,
        })
    }

    /// The smallest tilt at which rounding is far below delta: more would only lengthen the window.
    fn tilt(&self, lattices: &[Lattice], place: f64, kernel: Kernel) -> f64 {
        let count: f64 = self.phases.iter().map(|phase| phase.count as f64).sum();
        // The error of a weight that `compose` finds with some 2^14 points and a spectrum of a dozen.
        const POINTS: f64 = 16_384.0;
        let ln_rounding = (3e-16 * (count + 1.0)).ln();
        let wanted = self.guess.ln_delta + self.guess.neglect.ln();
        if ln_rounding + 128_f64.ln() <= wanted {
            return 0.0;
        }
        let magnitude = |x: f64| {
            self.moment(lattices, x, place) + kernel.ln_norm(x, self.width, POINTS) + ln_rounding
        };
        let best = self.guess.theta * self.width;
        let (mut low, mut x) = (0.0, best / 16.0);
        let mut value = magnitude(x);
        while wanted < value {
            let next = magnitude(2.0 * x);
            if next.is_nan() || value <= next || 64.0 * best < x {
                // The lowest is between: it may be low enough, or is as low as it becomes.
                let range = ((0.5 * x).ln(), (2.0 * x).ln());
                let lowest = minimize(|ln_x| magnitude(ln_x.exp()), range, x.ln(), 0.02);
                if wanted < lowest.value {
                    return lowest.at.exp();
                }
                (low, x) = (0.5 * x, lowest.at.exp());
                break;
            }
            (low, x, value) = (x, 2.0 * x, next);
        }
        for _ in 0..3 {
            let middle = 0.5 * (low + x);
            if magnitude(middle) <= wanted {
                x = middle;
            } else {
                low = middle;
            }
        }
        x
    }

    /// `ln` of what a weight of 1 at the place amounts to.
    fn moment(&self, lattices: &[Lattice], x: f64, place: f64) -> f64 {
        let moment: f64 = lattices.iter().map(|l| l.count as f64 * l.cumulant(x).value).sum();
        moment - x * place
    }

    /// `ln` of the delta that a slack of 1 on the weights amounts to.
    fn magnitude(&self, lattices: &[Lattice], x: f64, place: f64) -> f64 {
        self.moment(lattices, x, place) + Kernel::Above.ln_peak(x, self.width)
    }

    /// `-ln` of the mass that may lie outside the window on each side.
    fn decay(&self, lattices: &[Lattice], tilt: f64, place: f64, kernel: Kernel) -> f64 {
        let magnitude = if tilt <= 0.0 {
            0.0
        } else {
            self.moment(lattices, tilt, place) + kernel.ln_peak(tilt, self.width)
        };
        (magnitude - self.guess.ln_delta - self.guess.neglect.ln()).clamp(12.0, 300.0)
    }

    /// A guess by the moments of this grid. The tails of a step are cut here, so these moments stay small where
    /// those of the step itself, and with them Renyi divergences, are dominated by losses that never happen.
    pub(super) fn guess_by_moments(&self, direction: Direction) -> Guess {
        let (mut lattices, mut offset) = (Vec::new(), 0.0);
        for (bins, phase) in self.bins.iter().zip(self.phases) {
            let upper = bins.upper(direction, phase.count);
            offset += phase.count as f64 * upper.offset;
            lattices.push(upper.lattice);
        }
        let start = self.guess.theta.ln();
        let range = (start - 7.0, start + 7.0);
        match self.question {
            Question::Epsilon { ln_delta } => {
                // delta = exp(magnitude) at the place; the least epsilon over all tilts.
                let epsilon_at = |ln_theta: f64| {
                    let x = ln_theta.exp() * self.width;
                    offset + self.width * (self.magnitude(&lattices, x, 0.0) - ln_delta) / x
                };
                let lowest = minimize(epsilon_at, range, start, 0.05);
                let theta = lowest.at.exp();
                // The moment bound lacks the factor exp(-ln h0) / (theta (theta + 1) sqrt(2 pi K'')) of the saddle
                // point, which epsilon makes good at the rate theta.
                let slope = |x: f64| -> f64 {
                    lattices.iter().map(|l| l.count as f64 * l.cumulant(x).slope).sum()
                };
                let x = theta * self.width;
                let curvature = (slope(1.01 * x) - slope(0.99 * x)) / (0.02 * theta) * self.width;
                let ln_factor = 0.5 * (TAU * curvature.max(1e-300)).ln()
                    + (theta * (1.0 + theta)).ln()
                    + ln_peak(theta);
                let less = (ln_factor.max(0.0) + 0.2) / theta;
                let epsilon = (lowest.value - less).max(0.5 * lowest.value).max(0.0);
                Guess { epsilon, theta, ..self.guess }
            }
            Question::LnDelta { epsilon } => {
                let place = (epsilon - offset) / self.width;
                let ln_delta_at =
                    |ln_theta: f64| self.magnitude(&lattices, ln_theta.exp() * self.width, place);
                let lowest = minimize(ln_delta_at, range, start, 0.05);
                let ln_delta = lowest.value.min(self.guess.ln_delta);
                Guess { ln_delta, theta: lowest.at.exp(), ..self.guess }
            }
        }
    }

    /// The guess, lowered for the direction that does not decide as a rule.
    fn guess_for(&self, direction: Direction) -> Guess {
        if direction == Direction::Remove {
            return self.guess;
        }
        let own = self.guess_by_moments(direction);
        Guess { epsilon: own.epsilon.min(self.guess.epsilon), ..self.guess }
    }

    /// Whether a moment bound already shows that the add direction stays below this answer.
    fn add_is_less_than(&self, answer: f64) -> bool {
        let (epsilon, ln_delta) = match self.question {
            Question::Epsilon { ln_delta } => (answer, ln_delta),
            Question::LnDelta { epsilon } => (epsilon, answer),
        };
        if !(0.0 < epsilon && ln_delta.is_finite()) {
            return false;
        }
        let (mut lattices, mut offset, mut infinite) = (Vec::new(), 0.0, 0.0);
        for (bins, phase) in self.bins.iter().zip(self.phases) {
            let upper = bins.upper(Direction::Add, phase.count);
            offset += phase.count as f64 * upper.offset;
            infinite += phase.count as f64 * upper.infinite;
            lattices.push(upper.lattice);
        }
        let place = (epsilon - self.position_error() - offset) / self.width;
        let wanted = ln_delta - 1e-6 - self.relative(0.0);
        let mut x = self.guess.theta * self.width;
        let mut last = f64::INFINITY;
        for _ in 0..10 {
            let bound = self.magnitude(&lattices, x, place);
            if (bound.exp() + infinite).ln() < wanted {
                return true;
            }
            if last <= bound {
                return false;
            }
            last = bound;
            x *= 1.5;
        }
        false
    }

    /// What masses of the composed sum may be wrong by, relative: integrals, tilts and their products.
    fn relative(&self, tilt: f64) -> f64 {
        let terms = self.bins.iter().zip(self.phases).map(|(bins, phase)| {
            let exponent = tilt * bins.down.len() as f64;
            phase.count as f64 * (MASS_ERROR + 8.0 * f64::EPSILON * exponent)
        });
        terms.sum()
    }

    /// What losses of the sum may be wrong by: nodes are rounded.
    fn position_error(&self) -> f64 {
        let terms = self.bins.iter().zip(self.phases).map(|(bins, phase)| {
            let reach = bins.ratio.first().map_or(0.0, |ratio| ratio.ln().abs());
            let reach = bins.ratio.last().map_or(reach, |ratio| ratio.ln().abs().max(reach));
            // Rounding of one node, and of the sum of offsets.
            phase.count as f64 * f64::EPSILON * (reach + 4.0 * bins.offset.abs())
        });
        1e-14 + terms.sum::<f64>()
    }
}

/// What a curve sums weights with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kernel {
    /// `exp(-x j) (1 - exp(-D j))`: upper bounds.
    Above,
    /// `exp(-x j)`: lower bounds.
    Tail,
}

impl Kernel {
    /// `ln` of its maximum.
    fn ln_peak(self, x: f64, width: f64) -> f64 {
        if self == Kernel::Above { ln_peak(x / width) } else { 0.0 }
    }

    /// `ln` of its norm over `n` nodes.
    fn ln_norm(self, x: f64, width: f64, n: f64) -> f64 {
        let norm = if self == Kernel::Above { norm_above(x, width, n) } else { norm_of_tail(x, n) };
        norm.ln()
    }
}

/// `ln` of the mass that one step may lose on either side.
pub(super) fn ln_cut(phases: &[Phase], guess: Guess) -> f64 {
    let count: f64 = phases.iter().map(|phase| phase.count as f64).sum();
    guess.ln_delta + guess.neglect.ln() - count.ln()
}

fn tilted(lattices: &[Lattice], tilt: f64) -> Result<Vec<Tilted>, Failed> {
    lattices.iter().map(|lattice| lattice.tilt(tilt).ok_or(Failed::OutOfRange)).collect()
}
