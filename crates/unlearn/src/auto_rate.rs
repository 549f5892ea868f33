//! Rates from the curvature of the retain loss along the direction of unlearning (AutoLR, GeN).
//!
//! Only what is kept is probed: the rate that is best for both losses would undo the forgetting. On a quadratic retain loss the fit gives
//! `<g_R, d> / (d' H_R d)`, the exact minimizer along `-d`, which is half of what keeps that loss from rising. Any controller of `hessian-lr`
//! can take the place of these two.

use hessian_lr::controller::{FirstRate, Gen, Settings};
use hessian_lr::decision::Acceptance;

/// Steps between two fits.
const PERIOD: u64 = 10;

/// As published with NGDiff: every tenth step the rate becomes `G / H` of three losses, wherever both are positive; else it stays.
///
/// # Source
/// arXiv 2410.22086, algorithm 1 with the guard of its remark 4.1.
#[must_use]
pub fn gen_raw(first_rate: f64) -> Gen {
    let acceptance = Acceptance { r2_min: -1e300, flat: 0.0, noise_gate: None };
    let (smooth, clamp) = (0.0, [1e-12, 1e12]);
    Gen { settings: Settings { smooth, clamp, acceptance, ..every_tenth(first_rate) } }
}

/// As in the code of GeN: the new rate is clamped to half and twice the old one and enters a moving average with a weight of a tenth,
/// so that it changes by at most a factor between .95 and 1.1 each time.
///
/// # Source
/// arXiv 2407.02772 and its code; every tenth step as with NGDiff.
#[must_use]
pub fn gen_smoothed(first_rate: f64) -> Gen {
    Gen { settings: every_tenth(first_rate) }
}

/// Without a rate to choose: [`gen_smoothed`] from a rate that a search along the first direction finds, with a noise gate.
#[must_use]
pub fn gen_searched() -> Gen {
    let settings = every_tenth(1e-3);
    let (first_rate, acceptance) = (FirstRate::Auto(1e-3), Acceptance::default());
    Gen { settings: Settings { first_rate, acceptance, ..settings } }
}

fn every_tenth(first_rate: f64) -> Settings {
    Settings { period: PERIOD, ..Settings::paper(first_rate) }
}

#[cfg(test)]
mod tests {
    use hessian_lr::controller::{Ask, Observed, RateController};
    use proptest::prelude::*;

    use super::*;

    /// The rate after one fit of `loss` along the direction.
    fn fitted(mut auto: Gen, loss: impl Fn(f64) -> f64) -> f64 {
        auto.settings.period = 1;
        let mut state = auto.init(1).unwrap();
        while let Ask::Losses(rates) = auto.ask(&state) {
            let losses: Vec<f64> = rates.iter().map(|r| loss(r.0[0])).collect();
            auto.tell(&Observed::means(&losses), &mut state).unwrap();
        }
        auto.rates(&state).unwrap().0[0]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn on_a_quadratic_the_rate_is_the_minimizer_and_a_smoothed_one_near_the_old(
            slope in 0.1..10.0f64,
            curvature in 0.1..10.0f64,
            first in -2.0..2.0f64,
        ) {
            let first = 10f64.powf(first);
            let loss = |x: f64| 3.0 - slope * x + 0.5 * curvature * x * x;
            let raw = fitted(gen_raw(first), loss);
            prop_assert!((raw - slope / curvature).abs() < 1e-6 * (raw + first), "{raw}");
            let smoothed = fitted(gen_smoothed(first), loss);
            prop_assert!((0.95 - 1e-9..=1.1 + 1e-9).contains(&(smoothed / first)));
            // Uphill, or bent the other way: nothing changes.
            for loss in [
                Box::new(|x: f64| 3.0 + slope * x + 0.5 * curvature * x * x) as Box<dyn Fn(f64) -> f64>,
                Box::new(|x: f64| 3.0 - slope * x - 0.5 * curvature * x * x),
            ] {
                prop_assert_eq!(fitted(gen_raw(first), &loss), first);
                prop_assert_eq!(fitted(gen_smoothed(first), &loss), first);
            }
        }
    }
}
