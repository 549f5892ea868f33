//! `accountant.json` against the brackets of the privacy-loss distribution.

use dp_core::accountant::trade_off;
use dp_core::calibrate::{self, Target};
use dp_core::{
    Accountant, CentralLimit, Delta, DpEvent, Epsilon, GaussianDp, PldAccountant, PldEpsilon,
    PldMethod, RdpAccountant, SampleRate, TradeOff,
};
use report::golden::{number, optional, section};
use serde_json::Value;

use super::accountant::{FILE, delta, gaussian, steps};
use super::file;

fn history(case: &Value) -> DpEvent {
    let mechanisms = case["mechanisms"].as_array().unwrap();
    DpEvent::Composed(mechanisms.iter().map(|m| gaussian(m).repeated(steps(m))).collect())
}

fn bracket(event: &DpEvent, delta: Delta) -> PldEpsilon {
    let found = PldAccountant::new().optimize(event, delta).unwrap();
    assert!(found.lower <= found.upper && 0.0 <= found.lower, "{found:?}");
    found
}

/// What each peer claims as a bound, and what must hold whatever its quality.
fn check_point(case: &Value) -> Option<f64> {
    let (event, delta) = (history(case), delta(case));
    let found = bracket(&event, delta);
    // Lower bounds of others: rounding down, the two-sided theorem, closed forms.
    for below in ["/bracket/0", "/pld_optimistic/eps", "/prv/lower", "/exact/eps"] {
        if let Some(lower) = optional(case, below) {
            // At deltas of 1e-10 and below the peers' own last 1e-3 are soft.
            let soft = if delta.get() <= 1e-10 && below == "/prv/lower" { 1e-3 } else { 1e-6 };
            assert!(lower - soft <= found.upper, "{found:?} is below {below}: {case}");
        }
    }
    if let Some(exact) = optional(case, "/exact/eps") {
        assert!(found.lower <= exact * (1.0 + 1e-9) + 1e-12, "{found:?}: {case}");
        assert!(exact <= found.upper * (1.0 + 1e-9) + 1e-12, "{found:?}: {case}");
    }
    if let Some(upper) = optional(case, "/bracket/1") {
        assert!(found.lower <= upper + 1e-6, "{found:?} is above the truth: {case}");
    }
    let renyi = RdpAccountant::new().optimize(&event, delta).unwrap().epsilon;
    assert!(found.upper <= renyi, "{found:?} is looser than Renyi, {renyi}: {case}");

    let total: u64 = case["mechanisms"].as_array().unwrap().iter().map(steps).sum();
    let tightest = optional(case, "/bracket/1")?;
    let ratio = (found.upper - 1e-3) / tightest.max(1e-300);
    if total <= 100_000 && (0.05..20.0).contains(&tightest) {
        assert!(found.upper <= 1.005 * tightest + 1e-3, "{found:?} is loose: {case}");
        Some(ratio)
    } else {
        eprintln!(
            "{}: width {:.2e} at {:.4} (tightest known {tightest:.4})",
            case["id"],
            found.upper - found.lower,
            found.upper
        );
        None
    }
}

#[test]
fn golden_points_are_bracketed_and_no_looser_than_half_a_percent() {
    let Some(file) = file(FILE) else { return };
    let points = section(&file, "points").unwrap_or_default();
    let worst = points.iter().filter_map(check_point).fold(f64::NEG_INFINITY, f64::max);
    eprintln!("worst (upper - .001) / tightest known upper: {worst:.5}");
}

#[test]
fn golden_mixtures_are_bracketed_and_no_looser_than_half_a_percent() {
    let Some(file) = file(FILE) else { return };
    let points = section(&file, "heterogeneous").unwrap_or_default();
    let worst = points.iter().filter_map(check_point).fold(f64::NEG_INFINITY, f64::max);
    eprintln!("worst (upper - .001) / tightest known upper: {worst:.5}");
}

#[test]
fn golden_peers_below_the_truth_are_shown_to_be() {
    let Some(file) = file(FILE) else { return };
    // Pessimistic values of a published accountant, by its interval; no upper bound may be below a certified lower one.
    let tight = PldAccountant::with_tolerance(3e-4, 0.0).unwrap();
    for (id, peer) in [("fp045", 2.8230), ("fp059", 3.913_848)] {
        let points = section(&file, "points").unwrap_or_default();
        let Some(case) = points.iter().find(|case| case["id"] == id) else { continue };
        let found = tight.optimize(&history(case), delta(case)).unwrap();
        eprintln!("{id}: peer {peer}, certified {} to {}", found.lower, found.upper);
        assert!(peer < found.lower, "{found:?}");
    }
}

#[test]
fn golden_laplace_histories_are_bracketed() {
    let Some(file) = file(FILE) else { return };
    for case in section(&file, "laplace").unwrap_or_default() {
        let step = DpEvent::laplace(number(case, "/scale")).unwrap();
        let event = step.sampled(number(case, "/q")).unwrap().repeated(steps(case));
        let found = bracket(&event, delta(case));
        for below in ["/pld_optimistic", "/exact"] {
            if let Some(lower) = optional(case, below) {
                assert!(lower - 1e-9 <= found.upper, "{found:?}: {case}");
            }
        }
        for above in ["/pure_dp_eps", "/rdp/eps", "/pld_default", "/pld_fine", "/exact"] {
            if let Some(upper) = optional(case, above) {
                assert!(found.lower <= upper + 1e-9, "{found:?}: {case}");
                assert!(found.upper <= 1.005 * upper + 1e-3, "{found:?} is loose: {case}");
            }
        }
        if let Some(exact) = optional(case, "/exact") {
            assert!((found.upper - exact).abs() <= 1e-10, "{found:?}: {case}");
        }
    }
}

#[test]
fn golden_deltas_are_bracketed() {
    let Some(file) = file(FILE) else { return };
    let accountant = PldAccountant::new();
    for case in section(&file, "delta_values").unwrap_or_default() {
        let event = gaussian(case).repeated(steps(case));
        let epsilon = Epsilon::new(number(case, "/eps")).unwrap();
        let dp_core::DeltaBound::Bracket { ln_lower, ln_upper } =
            accountant.delta(&event, epsilon).unwrap()
        else {
            panic!("no bracket: {case}")
        };
        assert!(ln_lower <= ln_upper);
        let larger = |a: &str, b: &str| {
            let values = [optional(case, a), optional(case, b)];
            values.into_iter().flatten().reduce(f64::max)
        };
        if let Some(exact) = larger("/exact_remove", "/exact_add") {
            assert!((ln_upper - exact.ln()).abs() <= 1e-9, "{ln_upper}, {exact}: {case}");
        } else if let Some(upper) = larger("/pld_remove", "/pld_add") {
            assert!(ln_lower <= upper.ln() + 1e-6, "{ln_lower} to {ln_upper}, {upper}: {case}");
            assert!(ln_upper <= upper.ln() + 0.1, "{ln_upper} is loose, {}: {case}", upper.ln());
            assert!(upper.ln() - 0.1 <= ln_upper, "{ln_upper} is too low, {}: {case}", upper.ln());
        }
    }
}

#[test]
fn golden_closed_forms_are_used_where_there_are_some() {
    let Some(file) = file(FILE) else { return };
    for case in section(&file, "points").unwrap_or_default() {
        if let Some(exact) = optional(case, "/exact/eps") {
            let found = bracket(&history(case), delta(case));
            assert_eq!(found.method, PldMethod::Exact, "{case}");
            assert!((found.upper / exact - 1.0).abs() < 1e-9, "{found:?}: {case}");
        }
    }
}

#[test]
fn golden_trade_off_functions_are_reproduced() {
    let Some(file) = file(FILE) else { return };
    for case in section(&file, "tradeoff").unwrap_or_default() {
        let gaussian = GaussianDp::new(number(case, "/mu")).unwrap();
        let (alpha, rate) = (number(case, "/alpha"), SampleRate::new(number(case, "/q")).unwrap());
        let beta = gaussian.type_ii_error(alpha);
        let exact = number(case, "/gaussian_beta");
        assert!((beta - exact).abs() <= 1e-12, "{beta}: {case}");
        let sampled = trade_off::sampled(rate, alpha, |a| gaussian.type_ii_error(a));
        let exact = number(case, "/subsampled_beta_remove");
        assert!((sampled - exact).abs() <= 1e-12, "{sampled}: {case}");
        // The reverse direction undoes it.
        let back = trade_off::sampled_reverse(rate, sampled, |a| gaussian.type_ii_error(a));
        assert!((back - alpha).abs() <= 1e-9, "{back}: {case}");
        let hull =
            trade_off::sampled_symmetric(rate, &[0.0, alpha, 1.0], |a| gaussian.type_ii_error(a));
        assert!(hull[1] <= sampled + 1e-15, "{hull:?}: {case}");
        // What deltas say is below both directions, and close.
        let event =
            DpEvent::gaussian(1.0 / number(case, "/mu")).unwrap().sampled(rate.get()).unwrap();
        let epsilons = (0..400).map(|i| 0.02 * f64::from(i));
        let curve = TradeOff::new(&PldAccountant::new(), &event, epsilons).unwrap();
        assert!(curve.type_ii_error(alpha) <= sampled * (1.0 + 1e-12), "{case}");
    }
}

#[test]
fn golden_central_limits_are_reproduced_and_stay_estimates() {
    let Some(file) = file(FILE) else { return };
    for case in section(&file, "points").unwrap_or_default() {
        let Some(mu) = optional(case, "/gdp_clt/mu_poisson") else { continue };
        let event = history(case);
        if !event.claims_amplification() {
            continue; // releases of the whole data set: the exact form, not the limit at a rate of 1
        }
        let got = CentralLimit::new().mu(&event).unwrap();
        assert!((got / mu - 1.0).abs() < 1e-9 || (got - mu).abs() < 1e-300, "{got}: {case}");
        let bound = CentralLimit::new().epsilon(&event, delta(case)).unwrap();
        assert!(bound.guarantee().is_none());
        if let Some(estimate) = optional(case, "/gdp_clt/eps_poisson") {
            assert!(
                (bound.value() - estimate).abs() <= 1e-6 * (1.0 + estimate),
                "{bound:?}: {case}"
            );
        }
        if let Some(uniform) = optional(case, "/gdp_clt/mu_uniform") {
            let m = &case["mechanisms"][0];
            let got =
                CentralLimit::uniform_mu(number(m, "/q"), number(m, "/sigma"), steps(m) as f64);
            assert!((got / uniform - 1.0).abs() < 1e-6, "{got}: {case}");
        }
    }
}

#[test]
fn golden_calibrations_need_no_more_noise_than_other_distributions_of_the_loss() {
    let Some(file) = file(FILE) else { return };
    let accountant = PldAccountant::new();
    for case in section(&file, "calibration").unwrap_or_default() {
        let (rate, steps, wanted) = (number(case, "/q"), steps(case), number(case, "/target_eps"));
        let target = Target::new(wanted, number(case, "/delta")).unwrap();
        let history = |sigma: f64| {
            DpEvent::gaussian(sigma).and_then(|e| e.sampled(rate)).map(|e| e.repeated(steps))
        };
        let sigma =
            calibrate::noise_multiplier(&accountant, target, |s| history(s.get())).unwrap().get();
        let at = bracket(&history(sigma).unwrap(), target.delta);
        assert!(at.upper <= wanted, "{sigma} exceeds the target: {case}");
        // Less noise by half a percent is certainly too little.
        let less = bracket(&history(0.99 * sigma).unwrap(), target.delta);
        assert!(wanted < less.lower + at.tolerance, "{sigma} is too much noise: {case}");
        if let Some(exact) = optional(case, "/sigma_exact") {
            assert!((sigma / exact - 1.0).abs() < 2e-6, "{sigma}: {case}");
        }
        if let Some(peer) = optional(case, "/sigma_pld") {
            assert!((sigma / peer - 1.0).abs() < 4e-3, "{sigma} and {peer}: {case}");
        }
    }
}
