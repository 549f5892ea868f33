//! `slope_amp.json`: fixed points of state evolution, trade-off curves, best errors.

use serde_json::Value;
use slope2::theory::{
    Levels, Prior, Setting, best_lasso_mse, best_two_level_mse, donoho_tanner, lasso_fdp,
    lasso_threshold, slope_upper_fdp, state_evolution, two_level_fdp,
};

use report::golden::{number, optional, section, text};

use super::file;

const FILE: &str = "slope_amp.json";

fn setting(case: &Value) -> Setting {
    let (eps, parameter) = (number(case, "/eps"), number(case, "/param"));
    let prior = match text(case, "/prior") {
        "bernoulli_gaussian" => Prior::bernoulli_gaussian(eps, parameter),
        "symmetric_two_point" => Prior::symmetric_two_point(eps, parameter),
        other => panic!("unknown prior {other}"),
    };
    Setting::new(prior.unwrap(), number(case, "/delta"), number(case, "/sigma")).unwrap()
}

/// Equal up to `tolerance`, relative to the larger of the number and `floor`.
#[track_caller]
fn close(name: &str, got: f64, case: &Value, tolerance: f64, floor: f64) {
    let want = number(case, &format!("/{name}"));
    let error = (got - want).abs() / want.abs().max(floor);
    assert!(error <= tolerance, "{name}: {got}, expected {want} (off by {error:e}) in {case}");
}

#[test]
fn golden_state_evolution() {
    let Some(file) = file(FILE) else { return };
    let Some(cases) = section(&file, "state_evolution") else { return };
    for case in cases {
        let at = |pointer| number(case, pointer);
        let alpha = Levels::new(at("/alpha1"), at("/alpha2"), at("/s")).unwrap();
        let point = state_evolution(&setting(case), &alpha).unwrap();
        assert!(point.residual < 1e-12);
        for (name, got) in [
            ("tau", point.tau),
            ("mse", point.mse),
            ("tpp", point.tpp),
            ("fdp", point.fdp),
            ("flat", point.flat),
            ("div", point.divergence),
            ("lambda1", point.lambda.upper),
            ("lambda2", point.lambda.lower),
            ("zero_threshold", point.shrinkage.zero_threshold()),
        ] {
            close(name, got, case, 1e-8, 1e-6);
        }
        match optional(case, "/h") {
            Some(_) => close("h", point.shrinkage.height, case, 1e-8, 1e-6),
            None => assert_eq!(point.shrinkage.height, 0.0),
        }
    }
}

#[test]
fn golden_donoho_tanner() {
    let Some(file) = file(FILE) else { return };
    let Some(cases) = section(&file, "donoho_tanner") else { return };
    for case in cases {
        let limit = donoho_tanner(number(case, "/delta"), number(case, "/eps")).unwrap();
        close("eps_star", limit.eps_star, case, 1e-8, 1e-6);
        close("u_star", limit.u_star, case, 1e-8, 1e-6);
    }
}

#[test]
fn golden_lasso_curve() {
    let Some(file) = file(FILE) else { return };
    let Some(cases) = section(&file, "lasso_curve") else { return };
    for case in cases {
        let (delta, eps, u) = (number(case, "/delta"), number(case, "/eps"), number(case, "/u"));
        let fdp = lasso_fdp(delta, eps, u).unwrap();
        assert_eq!(fdp.is_some(), optional(case, "/q").is_some(), "{case}");
        if let Some(fdp) = fdp {
            close("q", fdp, case, 1e-8, 1e-6);
        }
        if optional(case, "/t_star").is_some() {
            close("t_star", lasso_threshold(delta, eps, u).unwrap().unwrap(), case, 1e-8, 1e-6);
        }
        close("q_upper_slope", slope_upper_fdp(delta, eps, u).unwrap(), case, 1e-8, 1e-6);
    }
}

#[test]
fn golden_two_level_curve() {
    let Some(file) = file(FILE) else { return };
    let Some(cases) = section(&file, "two_level_curve") else { return };
    for case in cases {
        let (delta, eps, u) = (number(case, "/delta"), number(case, "/eps"), number(case, "/u"));
        let point = two_level_fdp(delta, eps, u).unwrap();
        let want = number(case, "/q");
        assert!(point.fdp <= want + 2e-3, "{} at {case}", point.fdp);
        assert!(want - 1e-2 <= point.fdp, "{} at {case}", point.fdp);
        assert!(point.fdp <= slope_upper_fdp(delta, eps, u).unwrap() + 1e-9);
        assert!(point.risk <= delta && point.fdp_refused <= point.fdp);
    }
}

#[test]
fn golden_best_mse() {
    let Some(file) = file(FILE) else { return };
    let Some(cases) = section(&file, "best_mse") else { return };
    for case in cases {
        let setting = setting(case);
        let lasso = best_lasso_mse(&setting).unwrap();
        close("lasso_mse", lasso.mse, case, 1e-6, 0.0);
        close("lasso_alpha", lasso.alpha.upper, case, 1e-3, 0.0);
        let two = best_two_level_mse(&setting).unwrap();
        close("two_level/mse", two.mse, case, 1e-3, 0.0);
        assert!(two.mse <= lasso.mse);
    }
}
