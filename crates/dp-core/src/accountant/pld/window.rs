//! Where the sum of all steps lies: a window outside which a Chernoff bound leaves a given tail.

use super::lattice::Tilted;

/// A range of integers and what the tilted sum has outside it, at most, on each side.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) low: i64,
    pub(super) high: i64,
}

/// Which side of the sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Low,
    High,
}

impl Window {
    /// The window outside which each side has mass at most `exp(-decay)`. None beyond the range of integers.
    pub(super) fn new(steps: &[Tilted], decay: f64) -> Option<Self> {
        let low = edge(steps, decay, Side::Low);
        let high = edge(steps, decay, Side::High);
        // The whole range is a window with nothing outside.
        let whole = |end: fn(&Tilted) -> i64| -> f64 {
            steps.iter().map(|step| step.count as f64 * end(step) as f64).sum()
        };
        let low = low.max(whole(|step| step.first)).floor();
        let high = high.min(whole(Tilted::last)).ceil();
        let fits = |edge: f64| edge.abs() < 4e15;
        #[allow(clippy::cast_possible_truncation, reason = "checked")]
        (fits(low) && fits(high) && low <= high)
            .then_some(Window { low: low as i64, high: high as i64 })
    }

    pub(super) fn len(self) -> u64 {
        self.high.abs_diff(self.low) + 1
    }
}

/// A point that the sum passes on this side with probability at most `exp(-decay)`: for *every* `x` of the right
/// sign, `Pr[S >= h] <= exp(K(x) - x h)`, so the search for a good `x` may stop anywhere.
fn edge(steps: &[Tilted], decay: f64, side: Side) -> f64 {
    let sign = if side == Side::High { 1.0 } else { -1.0 };
    let variance: f64 = steps.iter().map(|step| step.count as f64 * step.moments().1).sum();
    let reach = steps
        .iter()
        .map(|step| (if side == Side::High { step.last() } else { step.first }).unsigned_abs())
        .max();
    let reach = reach.unwrap_or(0).max(1) as f64;
    let mut x = (2.0 * decay / variance.max(1e-9)).sqrt().min(2.0 * decay / reach).max(1e-12);
    let mut best = f64::INFINITY;
    for _ in 0..12 {
        let (mut value, mut slope) = (0.0, 0.0);
        for step in steps {
            let cumulant = step.cumulant(sign * x);
            value += step.count as f64 * cumulant.value;
            slope += step.count as f64 * cumulant.slope;
        }
        let at = (value + decay) / x; // the edge, times the sign
        best = best.min(at);
        // The best x has x K' - K = decay; the left side grows about like the square of x.
        let ratio = (x * sign * slope - value) / decay;
        if !(ratio.is_finite() && 0.0 < ratio) {
            x *= if 0.0 < ratio { 0.25 } else { 4.0 };
            continue;
        }
        if (0.5..2.0).contains(&ratio) {
            break;
        }
        x *= ratio.powf(-0.5).clamp(0.1, 10.0);
    }
    sign * best
}

#[cfg(test)]
mod tests {
    use super::super::lattice::Lattice;
    use super::*;

    #[test]
    fn the_window_holds_a_binomial_sum_and_is_not_much_too_wide() {
        let coin = Lattice { first: 0, masses: vec![0.75, 0.25], count: 10_000 };
        let window = Window::new(&[coin.tilt(0.0).unwrap()], 30.0).unwrap();
        // sqrt(2 * 30) standard deviations of 43.3.
        assert!((2500 - 345..=2500 - 320).contains(&window.low), "{window:?}");
        assert!((2500 + 320..=2500 + 345).contains(&window.high), "{window:?}");
    }

    #[test]
    fn the_whole_range_is_the_widest_window() {
        let coin = Lattice { first: -1, masses: vec![0.5, 0.0, 0.5], count: 3 };
        let window = Window::new(&[coin.tilt(0.0).unwrap()], 30.0).unwrap();
        assert_eq!((window.low, window.high, window.len()), (-3, 3, 7));
    }
}
