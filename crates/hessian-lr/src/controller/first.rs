//! The first rate: a search by doubling along the first direction.

use serde::{Deserialize, Serialize};

/// Where the search starts, relative to the rate that is given.
const FROM: f64 = 1e-3;
/// Most losses along the direction.
const MOST: u32 = 32;
/// The factor where nothing can be missed: where the loss did not change by more than its rounding, where it falls in a line, or on
/// the way down to where it no longer rises.
const STRIDE: f64 = 16.0;
/// What a fall in proportion to the step may lack, where the step grows without bound from one rate to the next: the minimum is
/// then at least 16 steps away.
const BEND: f64 = 1.0 / 32.0;

/// Part of the best step that the first ones take: along a parabola it still has three quarters of the fall, and what is best for
/// one step from random parameters may be too much for the next ones, which are taken before the first fit.
const SAFE: f64 = 0.5;

/// How the search for the first rate ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum FirstOutcome {
    /// The loss fell and rose again: half the best rate.
    Found,
    /// The loss still fell at the last rate that the search may try: half that.
    Falling,
    /// Nothing lowered the loss beyond its rounding: the rate that was given, or the largest smaller one that did not raise the loss.
    Flat,
    /// Every rate raised the loss: the smallest that was tried.
    Rising,
    /// The loss at rest is not finite: the rate that was given.
    NonFinite,
}

impl FirstOutcome {
    /// Whether some rate lowered the loss.
    #[must_use]
    pub fn is_found(self) -> bool {
        matches!(self, FirstOutcome::Found | FirstOutcome::Falling)
    }
}

/// What the search for the first rate came to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FirstReport {
    /// The first rate.
    pub rate: f64,
    /// How the search ended.
    pub outcome: FirstOutcome,
    /// Rates that were tried.
    pub n_tried: u32,
}

/// A search under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Search {
    /// The rate that was given.
    given: f64,
    /// The rate to try next.
    next: f64,
    n_tried: u32,
    /// The loss at rest.
    start: Option<f64>,
    /// The best rate so far and its loss, below that at rest.
    best: Option<(f64, f64)>,
    /// The largest rate before one that was too large, and by how much it lowered the loss.
    held: Option<(f64, f64)>,
    /// The smallest rate that was too large: the loss is above that at rest, or above the best.
    too_large: Option<f64>,
}

impl Search {
    pub(super) fn around(given: f64) -> Self {
        let next = FROM * given;
        Search { given, next, n_tried: 0, start: None, best: None, held: None, too_large: None }
    }

    /// The steps to evaluate.
    pub(super) fn asked(&self) -> Vec<f64> {
        if self.start.is_none() { vec![0.0, self.next] } else { vec![self.next] }
    }

    /// Takes the losses that were asked for, with the change of one that counts for nothing. The rate once it is found.
    pub(super) fn tell(&mut self, losses: &[f64], rounding: f64) -> Option<FirstReport> {
        let (start, loss) = match (self.start, losses) {
            (None, [start, loss]) => (*start, *loss),
            (Some(start), [loss]) => (start, *loss),
            _ => return Some(self.ends(self.given, FirstOutcome::NonFinite)),
        };
        if !start.is_finite() {
            return Some(self.ends(self.given, FirstOutcome::NonFinite));
        }
        self.start = Some(start);
        self.n_tried += 1;
        let (at, fall) = (self.next, start - loss);
        let is_behind = self.best.is_some_and(|(_, best)| best + rounding < loss);
        let mut in_line = false;
        if !loss.is_finite() || fall < -rounding || is_behind {
            self.too_large = Some(self.too_large.map_or(at, |other| other.min(at)));
        } else {
            in_line = self.held.is_some_and(|(rate, before)| {
                let part = BEND * (1.0 - rate / at);
                rounding < before && (1.0 - part) * before * (at / rate) <= fall
            });
            self.held = Some((at, fall));
            if rounding < fall && self.best.is_none_or(|(_, best)| loss < best) {
                self.best = Some((at, loss));
            }
        }
        self.next = match (self.held, self.too_large) {
            (None, _) => at / STRIDE,
            // Back from a stride, by doubling.
            (Some((held, _)), Some(_)) => 2.0 * held,
            (Some(_), None) if self.best.is_none() || in_line => STRIDE * at,
            (Some(_), None) => 2.0 * at,
        };
        let is_closed = self.too_large.is_some_and(|rate| rate <= self.next);
        if !is_closed && self.n_tried < MOST {
            return None;
        }
        Some(match (self.best, self.held) {
            (Some((best, _)), _) if is_closed => self.ends(SAFE * best, FirstOutcome::Found),
            (Some((best, _)), _) => self.ends(SAFE * best, FirstOutcome::Falling),
            (None, Some((held, _))) => self.ends(held.min(self.given), FirstOutcome::Flat),
            (None, None) => self.ends(at, FirstOutcome::Rising),
        })
    }

    fn ends(&self, rate: f64, outcome: FirstOutcome) -> FirstReport {
        FirstReport { rate, outcome, n_tried: self.n_tried }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search_with(around: f64, rounding: f64, loss: impl Fn(f64) -> f64) -> FirstReport {
        let mut search = Search::around(around);
        loop {
            let losses: Vec<f64> = search.asked().iter().map(|x| loss(*x)).collect();
            if let Some(report) = search.tell(&losses, rounding) {
                return report;
            }
        }
    }

    fn search(around: f64, loss: impl Fn(f64) -> f64) -> FirstReport {
        search_with(around, 0.0, loss)
    }

    #[test]
    fn the_rate_is_half_of_what_is_within_a_factor_of_two_of_the_minimizer() {
        for given in [1e-12, 1e-6, 1e-3, 1.0, 1e4] {
            for minimizer in [1e-7, 1e-5, 3e-3, 0.7, 4.0, 900.0] {
                let parabola = |x: f64| 5.0 + (x - minimizer) * (x - minimizer) / minimizer;
                let found = search_with(given, 1e-12, parabola);
                let right = (minimizer / 4.0..minimizer).contains(&found.rate);
                assert!(
                    right && found.outcome == FirstOutcome::Found,
                    "{given} {minimizer} {found:?}"
                );
            }
        }
    }

    #[test]
    fn a_loss_that_only_rises_is_left_at_the_smallest_rate() {
        for bad in [f64::NAN, f64::INFINITY, 2.0] {
            let found = search(1.0, |x| if x == 0.0 { 1.0 } else { bad });
            assert_eq!((found.outcome, found.n_tried), (FirstOutcome::Rising, MOST));
            assert!(0.0 < found.rate && found.rate < 1e-30);
        }
        let found = search(1.0, |_| f64::INFINITY);
        assert_eq!(found, FirstReport { rate: 1.0, outcome: FirstOutcome::NonFinite, n_tried: 0 });
    }

    #[test]
    fn a_loss_that_falls_for_ever_ends_after_so_many() {
        let found = search(1.0, |x| -x);
        assert_eq!((found.outcome, found.n_tried), (FirstOutcome::Falling, MOST));
        assert!(1.0 < found.rate && found.rate.is_finite());
    }

    #[test]
    fn where_nothing_changes_the_given_rate_is_as_good_as_any() {
        let found = search(0.3, |_| 2.0);
        assert_eq!((found.rate, found.outcome), (0.3, FirstOutcome::Flat));
        // Flat up to 1, and no number beyond: a rate that was seen to fail is not used.
        for given in [1e-4, 1.0, 1e4] {
            let found = search(given, |x| if x <= 1.0 { 2.0 } else { f64::NAN });
            assert!(found.rate <= 1.0 && found.outcome == FirstOutcome::Flat, "{found:?}");
            assert!(given.min(1.0) / 16.0 <= found.rate, "{found:?}");
        }
    }

    #[test]
    fn changes_within_rounding_are_passed_over_in_strides() {
        // A loss near 2 in single precision, whose minimizer is 1: a start at 1e-12 sees nothing but rounding.
        let loss =
            |x: f64| f64::from((2.0 + 0.5 * (x - 1.0) * (x - 1.0)) as f32) + 1e-7 * (1e9 * x).sin();
        let found = search_with(1e-9, 50.0 * 6e-8 * 2.0, loss);
        assert!((0.25..1.0).contains(&found.rate), "{found:?}");
    }
}
