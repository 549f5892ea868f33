//! Sections `defaults`, `fit1d` and `intercept` of `hessian_lr.json`.

use hessian_lr::controller::{FirstRate, Gen, Observed, RateController, Settings};
use hessian_lr::decision::Acceptance;
use hessian_lr::fit::{Intercept, fit};
use hessian_lr::horizon::Horizon;
use report::golden::section;
use serde_json::Value;

use super::{close, number, numbers, optional};

#[test]
fn defaults_are_golden() {
    let Some(file) = super::file("hessian_lr.json") else { return };
    let Some(defaults) = file.get("defaults") else { return };
    let Settings { smooth, clamp, acceptance, .. } = Settings::paper(1e-3);
    assert_eq!(smooth, number(&defaults["smooth"]));
    assert_eq!(clamp, [number(&defaults["clamp_low"]), number(&defaults["clamp_high"])]);
    assert_eq!(acceptance.r2_min, number(&defaults["r2_min"]));
    assert_eq!(acceptance.flat, number(&defaults["flat"]));
}

/// The controller that a row describes. A factor other than 1 comes from a horizon at that place.
fn controller(case: &Value, multipliers: Vec<f64>) -> (Gen, u64) {
    let mut settings = Settings::paper(number(&case["lr"]));
    settings.multipliers = multipliers;
    settings.period = 1;
    settings.smooth = number(&case["smooth"]);
    settings.acceptance = Acceptance { r2_min: number(&case["r2_min"]), ..settings.acceptance };
    settings.first_rate = FirstRate::Given(number(&case["lr"]));
    let scale = number(&case["scale"]);
    let steps = 1u64 << 20;
    let at = ((1.0 - scale) * steps as f64).round() as u64;
    if at != 0 {
        settings.horizon = Horizon::Linear { steps };
    }
    (Gen { settings }, at)
}

#[test]
fn golden_fits_decisions_and_rates_are_reproduced() {
    let Some(file) = super::file("hessian_lr.json") else { return };
    let Some(cases) = section(&file, "fit1d") else { return };
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let (x, losses, lr) = (numbers(&case["x"]), numbers(&case["losses"]), number(&case["lr"]));
        let expected = &case["expected"];
        let zero = x.iter().position(|x| *x == 0.0).unwrap();
        let others: Vec<usize> = (0..x.len()).filter(|i| *i != zero).collect();
        let steps: Vec<f64> = others.iter().map(|i| x[*i]).collect();
        let differences: Vec<Vec<f64>> =
            others.iter().map(|i| vec![losses[*i] - losses[zero]]).collect();
        if losses.iter().all(|l| l.is_finite()) {
            let (found, _) = fit(&steps, &differences, Intercept::Pinned).unwrap();
            let scale = |power: i32| 1e-8 * losses[zero].abs() / found.reach.powi(power);
            // What is 0 there is rounding here.
            let near = |got: f64, want: f64, power: i32| {
                let bound = 1e-8 * want.abs() + 1e-6 * scale(power);
                assert!((got - want).abs() <= bound, "{name}: {got} and {want}");
            };
            near(found.slope, number(&expected["b"]), 1);
            near(found.curvature, number(&expected["a"]), 2);
            close(found.r2, number(&expected["r2"]), 1e-8, name);
            if let Some(eta) = optional(&expected["eta"]) {
                close(found.minimizer().unwrap(), eta, 1e-6, name);
            }
        }
        // The same through the controller: its probes are these, up to rounding of the quotient.
        let (controller, at) = controller(case, steps.iter().map(|x| x / lr).collect());
        let mut state = controller.init(1).unwrap();
        let told: Vec<f64> = std::iter::once(zero).chain(others).map(|i| losses[i]).collect();
        if at == 0 {
            controller.tell(&Observed::means(&told), &mut state).unwrap();
        } else {
            // A state that stands at this step.
            let mut value = serde_json::to_value(&state).unwrap();
            value["step"] = at.into();
            state = serde_json::from_value(value).unwrap();
            controller.tell(&Observed::means(&told), &mut state).unwrap();
        }
        let report = state.report().unwrap();
        assert_eq!(
            report.axes[0].decision.name(),
            expected["decision"].as_str().unwrap(),
            "{name}"
        );
        close(state.axes()[0].rate, number(&expected["lr_next"]), 1e-8, name);
    }
}

#[test]
fn golden_intercepts_are_reproduced() {
    let Some(file) = super::file("hessian_lr.json") else { return };
    let Some(cases) = section(&file, "intercept") else { return };
    for case in cases {
        let (x, losses) = (numbers(&case["x"]), numbers(&case["losses"]));
        let zero = x.iter().position(|x| *x == 0.0).unwrap();
        let differences: Vec<Vec<f64>> = losses.iter().map(|l| vec![l - losses[zero]]).collect();
        let (pinned, _) = fit(&x, &differences, Intercept::Pinned).unwrap();
        close(pinned.slope, number(&case["pinned"]["b"]), 1e-8, "pinned slope");
        close(pinned.curvature, number(&case["pinned"]["a"]), 1e-8, "pinned curvature");
        let (free, _) = fit(&x, &differences, Intercept::Free).unwrap();
        close(free.slope, number(&case["free"]["b"]), 1e-8, "free slope");
        close(free.curvature, number(&case["free"]["a"]), 1e-8, "free curvature");
        close(losses[zero] + free.offset, number(&case["free"]["c"]), 1e-8, "free offset");
    }
}
