//! Section `traces` of `hessian_lr.json`: whole trainings on diagonal quadratics.

use hessian_lr::controller::{Ask, Gen, Observed, RateController, Settings};
use hessian_lr::horizon::Horizon;
use report::golden::section;

use super::{close, number, numbers};

#[test]
fn golden_traces_are_reproduced() {
    let Some(file) = super::file("hessian_lr.json") else { return };
    let Some(cases) = section(&file, "traces") else { return };
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let list = |key: &str| numbers(&case[key]);
        let (h, c, precond, mut w) = (list("H_diag"), list("c"), list("precond"), list("w0"));
        let steps = case["steps"].as_u64().unwrap();
        let mut settings = Settings::paper(number(&case["lr0"]));
        settings.multipliers = list("multipliers");
        settings.period = case["phi"].as_u64().unwrap();
        settings.horizon = match case["scale"].as_str().unwrap() {
            "1" => Horizon::None,
            "1-t/steps" => Horizon::Linear { steps },
            other => panic!("{name}: scale `{other}`"),
        };
        let controller = Gen { settings };
        let mut state = controller.init(1).unwrap();
        let loss = |w: &[f64]| -> f64 {
            w.iter().zip(h.iter().zip(&c)).map(|(w, (h, c))| 0.5 * h * w * w + c * w).sum()
        };
        let (rates, losses) = (list("lr"), list("loss"));
        let decisions = case["decisions"].as_array().unwrap();
        let mut n_fits = 0;
        for t in 0..steps as usize {
            let d: Vec<f64> = (0..w.len()).map(|i| (h[i] * w[i] + c[i]) / precond[i]).collect();
            let step =
                |rate: f64| -> Vec<f64> { w.iter().zip(&d).map(|(w, d)| w - rate * d).collect() };
            if let Ask::Losses(points) = controller.ask(&state) {
                let told: Vec<f64> = points.iter().map(|x| loss(&step(x.0[0]))).collect();
                controller.tell(&Observed::means(&told), &mut state).unwrap();
                let decision = state.report().unwrap().axes[0].decision;
                assert_eq!(decision.name(), decisions[n_fits].as_str().unwrap(), "{name} {t}");
                n_fits += 1;
            }
            let rate = controller.rates(&state).unwrap().0[0];
            close(rate, rates[t], 1e-6, &format!("{name}, rate {t}"));
            w = step(rate);
            close(loss(&w), losses[t], 1e-6, &format!("{name}, loss {t}"));
            controller.stepped(&mut state).unwrap();
        }
        assert_eq!(n_fits, decisions.len(), "{name}");
    }
}
