//! Special cases, monotone maps and refusals.

use proptest::prelude::*;
use slope2::Error;
use slope2::theory::{
    Component, Designer, FixedPoint, Levels, Prior, Setting, alpha_for_lambda, density,
    distribution, donoho_tanner, lambda_for_alpha, lasso_fdp, slope_upper_fdp, state_evolution,
    trajectory, two_level_fdp,
};

fn setting(eps: f64, variance: f64, delta: f64, noise_std: f64) -> Setting {
    Setting::new(Prior::bernoulli_gaussian(eps, variance).unwrap(), delta, noise_std).unwrap()
}

/// The LASSO's error, selection and degrees of freedom from textbook formulas for one normal part of standard deviation
/// `s` and soft thresholding at `a`.
fn soft_second_moment(s: f64, a: f64) -> f64 {
    let t = a / s;
    2.0 * s * s * ((1.0 + t * t) * distribution(-t) - t * density(t))
}

fn equal(a: &FixedPoint, b: &FixedPoint) -> bool {
    let pairs = [
        (a.tau, b.tau),
        (a.mse, b.mse),
        (a.tpp, b.tpp),
        (a.fdp, b.fdp),
        (a.flat, b.flat),
        (a.divergence, b.divergence),
        (a.lambda.upper, b.lambda.upper),
    ];
    pairs.iter().all(|(a, b)| (a - b).abs() <= 1e-11 * a.abs().max(1e-3))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn equal_levels_are_the_lasso(
        eps in 0.05..0.5, variance in 0.5..8.0, delta in 0.4..1.5, std in 0.1..2.0,
        alpha in 1.5..3.0, share in 0.0..1.0,
    ) {
        let setting = setting(eps, variance, delta, std);
        let point = state_evolution(&setting, &Levels::new(alpha, alpha, share).unwrap()).unwrap();
        let (tau, a) = (point.tau, alpha * point.tau);
        let seen = (variance + tau * tau).sqrt();
        // E (eta(Y) - B)^2 = E eta^2 - 2 E eta B + E B^2, and E eta(Y) B = variance P(|Y| > a) by Stein's identity.
        let signal = soft_second_moment(seen, a) - 4.0 * variance * distribution(-a / seen) + variance;
        let mse = (1.0 - eps) * soft_second_moment(tau, a) + eps * signal;
        prop_assert!((point.mse - mse).abs() < 1e-12 * (1.0 + mse));
        prop_assert!((tau * tau - std * std - mse / delta).abs() < 1e-11 * tau * tau);
        prop_assert!((point.tpp - 2.0 * distribution(-a / seen)).abs() < 1e-13);
        let selected = (1.0 - eps) * 2.0 * distribution(-alpha) + eps * point.tpp;
        prop_assert!((point.divergence - selected).abs() < 1e-13);
        prop_assert!((point.lambda.upper - a * (1.0 - selected / delta)).abs() < 1e-12 * a);
        prop_assert!(point.flat == 0.0 && point.shrinkage.height == 0.0);
    }

    #[test]
    fn without_a_cluster_two_levels_are_the_lasso_at_the_upper_one(
        eps in 0.05..0.4, variance in 0.5..8.0, delta in 0.5..1.5, std in 0.1..2.0,
        upper in 1.6..3.0, ratio in 0.0..1.0, share in 0.05..1.0,
    ) {
        let setting = setting(eps, variance, delta, std);
        let lasso = state_evolution(&setting, &Levels::lasso(upper).unwrap()).unwrap();
        let full = state_evolution(&setting, &Levels::new(upper, ratio * upper, 1.0).unwrap()).unwrap();
        prop_assert!(equal(&lasso, &full), "{:?} {:?}", lasso, full);
        let levels = Levels::new(upper, ratio * upper, share).unwrap();
        match state_evolution(&setting, &levels) {
            Ok(some) => prop_assert!(0.0 < some.shrinkage.height || equal(&lasso, &some)),
            Err(error) => prop_assert!(matches!(error, Error::NoFixedPoint { .. }), "{}", error),
        }
        let none = state_evolution(&setting, &Levels::new(upper + 1.0, upper, 0.0).unwrap()).unwrap();
        prop_assert!((lasso.mse - none.mse).abs() < 1e-11 && (lasso.tpp - none.tpp).abs() < 1e-11);
    }

    #[test]
    fn penalties_and_thresholds_are_calibrated_both_ways(
        eps in 0.05..0.4, variance in 0.5..8.0, delta in 0.5..1.5, std in 0.1..2.0,
        upper in 1.5..3.0, ratio in 0.6..1.0, share in 0.02..0.5,
    ) {
        let setting = setting(eps, variance, delta, std);
        let alpha = Levels::new(upper, ratio * upper, share).unwrap();
        if let Ok(lambda) = lambda_for_alpha(&setting, &alpha) {
            let back = alpha_for_lambda(&setting, &lambda).unwrap();
            prop_assert!((back.alpha.upper - upper).abs() < 1e-8 * upper);
            prop_assert!((back.alpha.lower - alpha.lower).abs() < 1e-8 * upper);
            prop_assert!((back.lambda.upper - lambda.upper).abs() < 1e-10 * lambda.upper);
        }
    }

    #[test]
    fn penalties_rise_with_thresholds(
        eps in 0.05..0.4, variance in 0.5..8.0, delta in 0.5..1.5, std in 0.1..2.0,
        ratio in 0.3..1.0, share in 0.02..0.5,
    ) {
        let setting = setting(eps, variance, delta, std);
        let mut last = 0.0;
        for i in 0..30 {
            let alpha = Levels::new(1.0, ratio, share).unwrap().scaled(0.3 + 0.12 * f64::from(i)).unwrap();
            if let Ok(lambda) = lambda_for_alpha(&setting, &alpha) {
                prop_assert!(last < lambda.upper, "{} {} at {:?}", last, lambda.upper, alpha);
                last = lambda.upper;
            }
        }
        prop_assert!(0.0 < last);
    }

    #[test]
    fn the_iteration_tends_to_the_fixed_point(
        eps in 0.05..0.3, delta in 0.6..1.5, share in 0.02..0.5, lower in 1.0..1.6,
    ) {
        let setting = setting(eps, 4.0, delta, 0.7);
        let alpha = Levels::new(2.0, lower, share).unwrap();
        let taus = trajectory(&setting, &alpha, 400).unwrap();
        let point = state_evolution(&setting, &alpha).unwrap();
        prop_assert!((taus[400] - point.tau).abs() < 1e-9);
    }
}

/// The examples of finite size in the two-level derivation, limits to four digits.
#[test]
fn examples_are_reproduced() {
    for (upper, lower, share, [mse, flat, tpp, fdp, height]) in [
        (2.0, 1.0, 0.1, [0.3113, 0.0983, 0.7005, 0.6444, 0.645]),
        (1.8, 1.2, 0.15, [0.2765, 0.0973, 0.6548, 0.5844, 0.296]),
        (2.0, 1.0, 0.3, [0.3440, 0.0, 0.4290, 0.2979, 0.0]),
    ] {
        let alpha = Levels::new(upper, lower, share).unwrap();
        let point = state_evolution(&setting(0.2, 4.0, 0.7, 0.5), &alpha).unwrap();
        let got = [point.mse, point.flat, point.tpp, point.fdp];
        for (got, want) in got.iter().zip([mse, flat, tpp, fdp]) {
            assert!((got - want).abs() <= 5.1e-5, "{got} {want}");
        }
        assert!((point.shrinkage.height - height).abs() <= 5.1e-4, "{}", point.shrinkage.height);
    }
}

#[test]
fn thresholds_below_the_smallest_have_no_fixed_point() {
    // (1 + a^2) Phi(-a) - a phi(a) = delta / 2 at the smallest threshold of the LASSO.
    let setting = setting(0.1, 4.0, 0.5, 0.5);
    let risk = |a: f64| 2.0 * ((1.0 + a * a) * distribution(-a) - a * density(a)) - 0.5;
    let (mut low, mut high) = (0.0, 3.0);
    while 1e-12 < high - low {
        let middle = 0.5 * (low + high);
        if 0.0 < risk(middle) { low = middle } else { high = middle }
    }
    let below = state_evolution(&setting, &Levels::lasso(low - 1e-6).unwrap());
    assert!(matches!(below, Err(Error::NoFixedPoint { .. })), "{below:?}");
    let above = state_evolution(&setting, &Levels::lasso(low + 1e-3).unwrap()).unwrap();
    assert!(above.lambda.upper < 0.0);
    let none = lambda_for_alpha(&setting, &Levels::lasso(low + 1e-3).unwrap());
    assert!(matches!(none, Err(Error::NoPenalty { .. })));
}

#[test]
fn without_noise_few_signals_are_recovered_exactly() {
    let setting = setting(0.05, 1.0, 0.7, 0.0);
    let point = state_evolution(&setting, &Levels::lasso(1.5).unwrap());
    assert_eq!(point, Err(Error::ExactRecovery));
}

#[test]
fn a_mixture_equals_its_merged_parts() {
    let one = Prior::bernoulli_gaussian(0.3, 2.0).unwrap();
    let two = Prior::sparse(
        0.3,
        &[Component::gaussian(0.25, 0.0, 2.0), Component::gaussian(0.75, 0.0, 2.0)],
    )
    .unwrap();
    let alpha = Levels::new(2.0, 1.2, 0.1).unwrap();
    let at = |prior| state_evolution(&Setting::new(prior, 0.8, 0.5).unwrap(), &alpha).unwrap();
    assert!(equal(&at(one), &at(two)));
}

#[test]
fn invalid_levels_and_settings_are_refused() {
    assert!(Levels::new(1.0, 2.0, 0.5).is_err());
    assert!(Levels::new(f64::NAN, 1.0, 0.5).is_err());
    assert!(Levels::new(2.0, -1.0, 0.5).is_err());
    assert!(Levels::new(2.0, 1.0, 1.5).is_err());
    let prior = Prior::bernoulli_gaussian(0.1, 1.0).unwrap();
    assert!(Setting::new(prior.clone(), 0.0, 1.0).is_err());
    assert!(Setting::new(prior.clone(), 1.0, -1.0).is_err());
    let setting = Setting::new(prior, 1.0, 1.0).unwrap();
    assert!(alpha_for_lambda(&setting, &Levels::lasso(0.0).unwrap()).is_err());
    assert!(donoho_tanner(0.0, 0.2).is_err() && donoho_tanner(0.3, 1.0).is_err());
    assert!(lasso_fdp(0.3, 0.2, 0.0).is_err() && two_level_fdp(0.3, 0.2, 1.1).is_err());
    assert!(Designer::new(0.0).is_err());
}

#[test]
fn no_lasso_passes_the_transition_and_the_arc_ends_at_one_minus_eps() {
    let limit = donoho_tanner(0.3, 0.2).unwrap().u_star;
    assert!(lasso_fdp(0.3, 0.2, limit - 1e-9).unwrap().is_some());
    assert!(lasso_fdp(0.3, 0.2, limit + 1e-9).unwrap().is_none());
    let (below, above) = (limit - 1e-9, limit + 1e-9);
    let at = |u| slope_upper_fdp(0.3, 0.2, u).unwrap();
    assert!((at(below) - at(above)).abs() < 1e-3, "{} {}", at(below), at(above));
    assert!((at(1.0) - 0.8).abs() < 1e-15);
    assert!((at(1.0 - 1e-9) - 0.8).abs() < 1e-6);
}

#[test]
fn the_lasso_curve_is_found_up_to_the_transition() {
    for delta in [0.05, 0.3, 0.6, 0.95] {
        for eps in [0.02, 0.2, 0.5, 0.9] {
            let limit = donoho_tanner(delta, eps).unwrap().u_star;
            let mut last = 1.0;
            for below in [0.0, 1e-12, 1e-9, 1e-6, 1e-4, 1e-2, 0.1, 0.5, 0.9] {
                let fdp = lasso_fdp(delta, eps, limit * (1.0 - below)).unwrap().unwrap();
                assert!(fdp <= last + 1e-9, "delta {delta} eps {eps}: {last} {fdp} at {below}");
                last = fdp;
            }
        }
    }
}

#[test]
fn two_levels_lie_between_zero_and_the_upper_bound() {
    for (delta, eps) in [(0.1, 0.1), (0.5, 0.3), (0.5, 0.1), (1.2, 0.3)] {
        let mut last = 0.0;
        for u in [0.02, 0.3, 0.7, 0.99, 1.0] {
            let fdp = two_level_fdp(delta, eps, u).unwrap().fdp;
            let bound = slope_upper_fdp(delta, eps, u).unwrap();
            assert!(fdp <= bound + 1e-9, "delta {delta} eps {eps} u {u}: {fdp} {bound}");
            assert!(last <= fdp, "delta {delta} eps {eps} u {u}: {last} {fdp}");
            last = fdp;
        }
    }
}

/// Every fixed point of a LASSO lies above its curve; every one of two levels above theirs.
#[test]
fn fixed_points_lie_above_their_curves() {
    for (eps, variance, std, upper, lower, share) in [
        (0.2, 4.0, 0.1, 2.2, 1.5, 0.1),
        (0.2, 100.0, 0.01, 1.6, 1.2, 0.15),
        (0.2, 1.0, 0.0, 1.9, 1.1, 0.2),
    ] {
        let setting = setting(eps, variance, 0.3, std);
        let lasso = state_evolution(&setting, &Levels::lasso(upper).unwrap()).unwrap();
        let least = lasso_fdp(0.3, eps, lasso.tpp).unwrap().unwrap();
        assert!(least <= lasso.fdp + 1e-12, "{least} {}", lasso.fdp);
        let two = state_evolution(&setting, &Levels::new(upper, lower, share).unwrap()).unwrap();
        let least = two_level_fdp(0.3, eps, two.tpp).unwrap();
        assert!(least.fdp <= two.fdp + 2e-3, "{} {}", least.fdp, two.fdp);
    }
}

#[test]
fn the_designer_holds_its_target_and_selects_no_less_than_the_lasso() {
    for (setting, target) in [
        (setting(0.2, 4.0, 0.7, 0.5), 0.2),
        (setting(0.4, 4.0, 0.7, 1.0), 0.3),
        (setting(0.5, 1.0, 0.8, 2.0), 0.4),
        (setting(0.5, 1.0, 0.8, 1.0), 0.45),
    ] {
        let design = Designer::new(target).unwrap().propose(&setting).unwrap();
        let (two, lasso) = (design.point, design.lasso);
        assert!(two.fdp <= target && lasso.fdp <= target);
        assert!(lasso.tpp <= two.tpp);
        assert!(target - 1e-3 < two.fdp, "the target is used up: {}", two.fdp);
        let again = state_evolution(&setting, &two.alpha).unwrap();
        assert!(equal(&again, &two) && 0.0 < two.lambda.upper);
        let on_grid = best_on_a_grid(&setting, target);
        assert!(on_grid <= two.tpp + 1e-9, "{on_grid} {}", two.tpp);
    }
}

/// The largest true positive proportion under the target on a grid of levels and shares.
fn best_on_a_grid(setting: &Setting, target: f64) -> f64 {
    let mut best = 0.0f64;
    for upper in (0..50).map(|i| 1.0 + 0.06 * f64::from(i)) {
        for ratio in (0..10).map(|i| 0.1 + 0.1 * f64::from(i)) {
            for share in [0.003, 0.01, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.4] {
                let levels = Levels::new(upper, ratio * upper, share).unwrap();
                match state_evolution(setting, &levels) {
                    Ok(point) if point.fdp <= target && 0.0 < point.lambda.upper => {
                        best = best.max(point.tpp);
                    }
                    _ => {}
                }
            }
        }
    }
    best
}
