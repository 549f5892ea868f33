//! The first rate: doubling along the first direction.

use serde::{Deserialize, Serialize};

/// Where the doubling starts, relative to the rate that is given.
const FROM: f64 = 1e-3;
/// Most losses along the direction.
const MOST: u32 = 24;
/// The next step where the loss did not change by more than its rounding, which says nothing: these many times the last. A
/// minimum that is passed over so lies within eight roundings below the start.
const STRIDE: f64 = 16.0;

/// Part of the best step that the first ones take: along a parabola it still has three quarters of the fall, and what is best for
/// one step from random parameters may be too much for the next ones, which are taken before the first fit.
const SAFE: f64 = 0.5;

/// A doubling under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Search {
    /// The rate to try next.
    next: f64,
    n_tried: u32,
    /// The loss at rest.
    start: Option<f64>,
    /// The best rate so far and its loss.
    best: Option<(f64, f64)>,
}

impl Search {
    pub(super) fn around(rate: f64) -> Self {
        Search { next: FROM * rate, n_tried: 0, start: None, best: None }
    }

    /// The steps to evaluate.
    pub(super) fn asked(&self) -> Vec<f64> {
        if self.start.is_none() { vec![0.0, self.next] } else { vec![self.next] }
    }

    /// Takes the losses that were asked for, with the change of one that counts for nothing. The rate once it is found: half the
    /// best, or the last that was tried where none lowers the loss.
    pub(super) fn tell(&mut self, losses: &[f64], rounding: f64) -> Option<f64> {
        let smallest = self.next;
        let (start, loss) = match (self.start, losses) {
            (None, [start, loss]) => (*start, *loss),
            (Some(start), [loss]) => (start, *loss),
            _ => return Some(smallest),
        };
        if !start.is_finite() {
            return Some(smallest);
        }
        self.start = Some(start);
        self.n_tried += 1;
        let rises = !loss.is_finite() || start + rounding < loss;
        let falls = loss < start - rounding;
        if falls && self.best.is_none_or(|(_, best)| loss < best) {
            self.best = Some((self.next, loss));
        }
        if rises || self.n_tried == MOST {
            // Without a best one everything so far left the loss as it was, or the first step raised it.
            return Some(self.best.map_or(self.next, |(rate, _)| SAFE * rate));
        }
        self.next *= if falls || self.best.is_some() { 2.0 } else { STRIDE };
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(around: f64, loss: impl Fn(f64) -> f64) -> (f64, u32) {
        let mut search = Search::around(around);
        loop {
            let losses: Vec<f64> = search.asked().iter().map(|x| loss(*x)).collect();
            if let Some(rate) = search.tell(&losses, 0.0) {
                return (rate, search.n_tried);
            }
        }
    }

    #[test]
    fn the_rate_is_half_of_what_is_within_a_factor_of_two_of_the_minimizer() {
        for minimizer in [1e-5, 3e-3, 0.7, 4.0] {
            let parabola = |x: f64| 5.0 + (x - minimizer) * (x - minimizer) / minimizer;
            let (rate, _) = search(1e-3, parabola);
            assert!((minimizer / 4.0..minimizer).contains(&rate), "{rate} {minimizer}");
        }
    }

    #[test]
    fn a_start_that_is_too_large_is_left_for_the_smallest() {
        assert_eq!(search(1.0, |x| 1.0 + x), (1e-3, 1));
        assert_eq!(search(1.0, |x| if x == 0.0 { 1.0 } else { f64::NAN }), (1e-3, 1));
        assert_eq!(search(1.0, |_| f64::INFINITY), (1e-3, 0));
        // A loss that falls for ever ends after so many.
        let (rate, n) = search(1.0, |x| -x);
        assert_eq!((rate, n), (1e-3 * f64::from(1 << 22), MOST));
        // One that never changes is as good anywhere, and ends too, with a rate that is a number.
        let (rate, n) = search(1.0, |_| 2.0);
        assert!(rate.is_finite() && n == MOST);
    }

    #[test]
    fn changes_within_rounding_are_passed_over_in_strides() {
        // A loss near 2 in single precision, whose minimizer is 1: a start at 1e-12 sees nothing but rounding.
        let loss =
            |x: f64| f64::from((2.0 + 0.5 * (x - 1.0) * (x - 1.0)) as f32) + 1e-7 * (1e9 * x).sin();
        let mut search = Search::around(1e-9);
        let rate = loop {
            let losses: Vec<f64> = search.asked().iter().map(|x| loss(*x)).collect();
            if let Some(rate) = search.tell(&losses, 50.0 * 6e-8 * 2.0) {
                break rate;
            }
        };
        assert!((0.25..1.0).contains(&rate), "{rate}");
    }
}
