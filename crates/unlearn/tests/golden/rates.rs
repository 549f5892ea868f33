//! Rates from three losses.

use hessian_lr::controller::{Ask, Gen, Observed, RateController};
use report::golden::number;
use unlearn::auto_rate::{gen_raw, gen_smoothed};

use super::Golden;

fn fitted(mut auto: Gen, at: [f64; 3]) -> f64 {
    auto.settings.period = 1;
    let mut state = auto.init(1).unwrap();
    let first = state.axes()[0].rate;
    while let Ask::Losses(rates) = auto.ask(&state) {
        // A positive rate goes along minus the direction.
        let loss = |rate: f64| at[((rate / first).round() + 1.0) as usize];
        let losses: Vec<f64> = rates.iter().map(|r| loss(r.0[0])).collect();
        auto.tell(&Observed::means(&losses), &mut state).unwrap();
    }
    auto.rates(&state).unwrap().0[0]
}

#[test]
fn golden_rates_from_three_losses() {
    let Some(golden) = Golden::read() else { return };
    let Some(cases) = golden.section("autolr") else { return };
    let tolerance = golden.tolerance("autolr_rel");
    let mut compared = 0;
    for (i, case) in cases.iter().enumerate() {
        let eta = number(case, "/eta");
        // Below this, losses lose the curvature to cancellation.
        if eta * eta * number(case, "/true_dHd").abs() < 1e-9 {
            continue;
        }
        let losses = ["plus_eta_d", "", "minus_eta_d"].map(|which| match which {
            "" => number(case, "/loss_at_theta"),
            _ => number(case, &format!("/loss_at_theta_{which}")),
        });
        let (raw, smoothed) = (fitted(gen_raw(eta), losses), fitted(gen_smoothed(eta), losses));
        if case["accept"] == true {
            for (got, key) in [(raw, "eta_star"), (smoothed, "eta_gen_smoothed")] {
                let want = number(case, &format!("/{key}"));
                assert!((got / want - 1.0).abs() < tolerance, "case {i}, {key}: {got} {want}");
            }
        } else {
            assert_eq!((raw, smoothed), (eta, eta), "case {i}");
        }
        compared += 1;
    }
    assert!(0 < compared);
}
