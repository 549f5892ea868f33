//! `accountant.json`: values of published accountants, closed forms and 40-digit quadrature.

use dp_core::calibrate::{self, Target};
use dp_core::{Accountant, Delta, DpEvent, Epsilon, NoiseMultiplier, RdpAccountant, RenyiOrder};
use serde_json::Value;

use report::golden::{number, optional, section};

use super::file;

pub(super) const FILE: &str = "accountant.json";

pub(super) fn gaussian(case: &Value) -> DpEvent {
    DpEvent::gaussian(number(case, "/sigma")).unwrap().sampled(number(case, "/q")).unwrap()
}

pub(super) fn steps(case: &Value) -> u64 {
    case["steps"].as_u64().unwrap_or_else(|| panic!("`steps` is not a whole number: {case}"))
}

pub(super) fn delta(case: &Value) -> Delta {
    Delta::new(number(case, "/delta")).unwrap()
}

fn rdp_epsilon(event: &DpEvent, delta: Delta) -> f64 {
    RdpAccountant::new().epsilon(event, delta).unwrap().guarantee().unwrap()
}

#[test]
fn golden_divergences_agree_with_forty_digit_quadrature() {
    let Some(file) = file(FILE) else { return };
    for case in section(&file, "rdp_values").unwrap_or_default() {
        let order = RenyiOrder::new(number(case, "/order")).unwrap();
        let value = RdpAccountant::new().divergence(&gaussian(case), order).unwrap();
        let exact = number(case, "/exact");
        assert!((value - exact).abs() <= 1e-9 * exact, "{case}: {value}");
    }
}

fn check_point(case: &Value) {
    let mechanisms = case["mechanisms"].as_array().unwrap();
    let phases = mechanisms.iter().map(|m| gaussian(m).repeated(steps(m))).collect();
    let epsilon = rdp_epsilon(&DpEvent::Composed(phases), delta(case));
    for below in ["/bracket/0", "/exact/eps"] {
        if let Some(lower) = optional(case, below) {
            assert!(lower - 1e-6 <= epsilon, "{epsilon} is below the truth: {case}");
        }
    }
    if let Some(peer) = optional(case, "/rdp/eps") {
        assert!(epsilon <= peer * (1.0 + 1e-6) + 1e-9, "{epsilon} is looser than {peer}: {case}");
    }
}

#[test]
fn golden_points_lie_between_the_truth_and_other_renyi_accountants() {
    let Some(file) = file(FILE) else { return };
    section(&file, "points").unwrap_or_default().iter().for_each(check_point);
}

#[test]
fn golden_mixtures_lie_between_the_truth_and_other_renyi_accountants() {
    let Some(file) = file(FILE) else { return };
    section(&file, "heterogeneous").unwrap_or_default().iter().for_each(check_point);
}

#[test]
fn golden_laplace_histories_lie_between_the_truth_and_pure_privacy() {
    let Some(file) = file(FILE) else { return };
    for case in section(&file, "laplace").unwrap_or_default() {
        let step = DpEvent::laplace(number(case, "/scale")).unwrap();
        let step = step.sampled(number(case, "/q")).unwrap();
        let epsilon = rdp_epsilon(&step.repeated(steps(case)), delta(case));
        for below in ["/pld_optimistic", "/exact"] {
            if let Some(lower) = optional(case, below) {
                assert!(lower - 1e-6 <= epsilon, "{epsilon} is below the truth: {case}");
            }
        }
        for above in ["/pure_dp_eps", "/rdp/eps"] {
            if let Some(upper) = optional(case, above) {
                assert!(epsilon <= upper * (1.0 + 1e-6) + 1e-9, "{epsilon} is loose: {case}");
            }
        }
    }
}

#[test]
fn golden_deltas_are_not_undercut() {
    let Some(file) = file(FILE) else { return };
    for case in section(&file, "delta_values").unwrap_or_default() {
        let event = gaussian(case).repeated(steps(case));
        let epsilon = Epsilon::new(number(case, "/eps")).unwrap();
        let bound = RdpAccountant::new().delta(&event, epsilon).unwrap();
        for exact in ["/exact_remove", "/exact_add"] {
            if let Some(exact) = optional(case, exact) {
                assert!(exact.ln() - 1e-9 <= bound.ln_guarantee().unwrap(), "{bound:?}: {case}");
            }
        }
    }
}

#[test]
fn golden_calibrations_need_no_more_noise_than_other_renyi_accountants() {
    let Some(file) = file(FILE) else { return };
    let accountant = RdpAccountant::new();
    for case in section(&file, "calibration").unwrap_or_default() {
        let (rate, steps) = (number(case, "/q"), steps(case));
        let wanted = number(case, "/target_eps");
        let target = Target::new(wanted, number(case, "/delta")).unwrap();
        let history = |sigma: NoiseMultiplier| {
            Ok(DpEvent::gaussian(sigma.get())?.sampled(rate)?.repeated(steps))
        };
        let sigma = calibrate::noise_multiplier(&accountant, target, history).unwrap().get();
        let at = |sigma: f64| {
            rdp_epsilon(&history(NoiseMultiplier::new(sigma).unwrap()).unwrap(), target.delta)
        };
        assert!(at(sigma) <= wanted, "{sigma} exceeds the target: {case}");
        assert!(wanted < at(sigma * (1.0 - 1e-3)), "{sigma} is too much noise: {case}");
        if let Some(peer) = optional(case, "/sigma_rdp") {
            assert!(sigma <= peer * (1.0 + 2e-6) + 1e-6, "{sigma} is more than {peer}: {case}");
        }
        // Less noise than the exact answer would be a violation; the other one is good to 2e-3.
        if let Some(exact) = optional(case, "/sigma_exact") {
            assert!(exact * (1.0 - 1e-9) <= sigma, "{sigma}: {case}");
        }
        if let Some(tight) = optional(case, "/sigma_pld") {
            assert!(tight * (1.0 - 2e-3) <= sigma, "{sigma}: {case}");
        }
    }
}
