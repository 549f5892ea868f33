//! Properties of penalties.

use chacha20::ChaCha20Rng;
use proptest::prelude::*;
use rand::SeedableRng;
use slope2::{DualNorm, Error, L1, Penalty, SortedL1, TwoLevel};

use crate::cases::normal;

/// Vectors with ties, zeros and very different sizes.
fn vectors() -> impl Strategy<Value = Vec<f64>> {
    let entry = prop_oneof![
        4 => -5.0..5.0,
        3 => (-4i8..=4).prop_map(f64::from),
        1 => Just(0.0),
        1 => Just(1e12),
        1 => Just(-5e-324),
    ];
    prop::collection::vec(entry, 1..60)
}

/// A vector with a penalty of its length.
fn cases() -> impl Strategy<Value = (Vec<f64>, TwoLevel)> {
    (vectors(), 0.0..3.0f64, 0.0..=1.0f64, 0.0..=1.0f64).prop_map(|(v, low, share, more)| {
        let k = (share * v.len() as f64).round() as usize;
        // A difference of exactly zero now and then.
        let high = if more < 0.1 { low } else { low + 2.0 * more };
        let penalty = TwoLevel::new(high, low, k, v.len()).unwrap();
        (v, penalty)
    })
}

fn prox(penalty: &dyn Penalty, v: &[f64], step: f64) -> Vec<f64> {
    let mut z = v.to_vec();
    penalty.prox(&mut z, step).unwrap();
    z
}

fn inner(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn largest(v: &[f64]) -> f64 {
    v.iter().fold(0.0, |top: f64, v| top.max(v.abs()))
}

fn close(a: &[f64], b: &[f64], tolerance: f64) -> bool {
    a.iter().zip(b).all(|(a, b)| (a - b).abs() <= tolerance)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn two_levels_are_the_general_norm_of_their_sequence((v, two) in cases(), step in 0.1..2.0) {
        let general = SortedL1::new(two.sequence()).unwrap();
        let scale = 1.0 + largest(&v);
        prop_assert!(close(&prox(&two, &v, step), &prox(&general, &v, step), 1e-12 * scale));
        let (a, b) = (two.value(&v), general.value(&v));
        prop_assert!((a - b).abs() <= 1e-12 * (1.0 + b));
        let (a, b) = (two.dual_norm(&v), general.dual_norm(&v));
        prop_assert!(a == b || (a - b).abs() <= 1e-12 * b, "{} {}", a, b);
    }

    #[test]
    fn the_residual_of_the_prox_is_a_subgradient((v, two) in cases()) {
        let z = prox(&two, &v, 1.0);
        let rest: Vec<f64> = v.iter().zip(&z).map(|(v, z)| v - z).collect();
        let rounding = 1e-13 * (1.0 + largest(&v)) * v.len() as f64;
        // In the dual ball, up to rounding of entries as large as `v`.
        if 0.1 < two.lambda2() {
            prop_assert!(two.dual_norm(&rest) <= 1.0 + rounding / two.lambda2());
        }
        let scale = (1.0 + largest(&v)) * (1.0 + two.value(&z));
        prop_assert!((inner(&rest, &z) - two.value(&z)).abs() <= 1e-12 * scale);
    }

    #[test]
    fn the_prox_keeps_signs_order_and_distances((v, two) in cases(), w in vectors()) {
        let z = prox(&two, &v, 1.0);
        for (v, z) in v.iter().zip(&z) {
            prop_assert!(z.abs() <= v.abs() && 0.0 <= z * v);
        }
        for (i, j) in (0..v.len()).zip(1..v.len()) {
            if v[i].abs() <= v[j].abs() {
                prop_assert!(z[i].abs() <= z[j].abs() + 1e-12 * (1.0 + largest(&v)));
            }
        }
        if w.len() == v.len() {
            let (y, d) = (prox(&two, &w, 1.0), |a: &[f64], b: &[f64]| {
                a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
            });
            prop_assert!(d(&z, &y) <= d(&v, &w) * (1.0 + 1e-12));
        }
    }

    #[test]
    fn the_prox_is_equivariant_and_homogeneous((v, two) in cases(), t in 0.1..10.0) {
        let z = prox(&two, &v, 1.0);
        let scale = 1.0 + largest(&v);
        let turned: Vec<f64> = v.iter().rev().map(|v| -v).collect();
        let back: Vec<f64> = prox(&two, &turned, 1.0).iter().rev().map(|z| -z).collect();
        prop_assert!(close(&back, &z, 1e-13 * scale));
        let stretched: Vec<f64> = v.iter().map(|v| t * v).collect();
        let want: Vec<f64> = z.iter().map(|z| t * z).collect();
        prop_assert!(close(&prox(&two.scaled(t).unwrap(), &stretched, 1.0), &want, 1e-12 * scale * t));
    }

    #[test]
    fn the_norm_is_one_and_its_dual_bounds_products((v, two) in cases(), w in vectors()) {
        let (l1, l2) = (two.lambda1(), two.lambda2());
        let total: f64 = v.iter().map(|v| v.abs()).sum();
        let value = two.value(&v);
        // Subnormal products are rounded by more than a relative amount.
        let (slack, least) = (1.0 + 1e-12, f64::MIN_POSITIVE);
        prop_assert!(l2 * total <= value * slack + least && value <= l1 * total * slack + least);
        if w.len() == v.len() {
            let sum: Vec<f64> = v.iter().zip(&w).map(|(v, w)| v + w).collect();
            prop_assert!(two.value(&sum) <= (value + two.value(&w)) * (1.0 + 1e-12));
            let bound = two.dual_norm(&w) * value;
            prop_assert!(bound.is_nan() || inner(&v, &w) <= bound * (1.0 + 1e-12) + 1e-300);
        }
    }

    #[test]
    fn the_ball_is_where_the_dual_norm_is_at_most_one((v, two) in cases()) {
        let norm = two.dual_norm(&v);
        prop_assume!((norm - 1.0).abs() > 1e-9);
        prop_assert_eq!(two.in_dual_ball(&v, 0.0), norm <= 1.0);
        if norm.is_finite() && 1e-300 < norm {
            let edge: Vec<f64> = v.iter().map(|v| v / norm).collect();
            prop_assert!(two.in_dual_ball(&edge, 1e-9));
            prop_assert!(!two.in_dual_ball(&edge.iter().map(|v| v * 1.001).collect::<Vec<_>>(), 0.0));
        }
    }

    #[test]
    fn a_guess_of_the_height_changes_nothing((v, two) in cases(), guess in 0.0..10.0) {
        let (mut a, mut b) = (v.clone(), v.clone());
        let h = two.prox_with_height(&mut a, 1.0, 0.0).unwrap();
        let again = two.prox_with_height(&mut b, 1.0, guess).unwrap();
        let scale = 1.0 + largest(&v);
        prop_assert!(close(&a, &b, 1e-12 * scale), "{} {}", h, again);
    }

    #[test]
    fn every_number_at_the_upper_level(v in vectors(), low in 0.0..2.0, more in 0.0..2.0) {
        for k in 0..=v.len() {
            let two = TwoLevel::new(low + more, low, k, v.len()).unwrap();
            let general = SortedL1::new(two.sequence()).unwrap();
            let scale = 1.0 + largest(&v);
            prop_assert!(close(&prox(&two, &v, 1.0), &prox(&general, &v, 1.0), 1e-12 * scale), "{}", k);
        }
    }
}

#[test]
fn reductions_to_the_lasso() {
    let v = [3.0, -2.5, 1.0, 0.25, 0.0];
    for (two, lambda) in [
        (TwoLevel::new(2.0, 0.5, 0, 5).unwrap(), 0.5),
        (TwoLevel::new(2.0, 0.5, 5, 5).unwrap(), 2.0),
        (TwoLevel::new(0.7, 0.7, 2, 5).unwrap(), 0.7),
    ] {
        let lasso = L1::new(lambda, 5).unwrap();
        assert_eq!(two.as_lasso(), Some(lambda));
        assert_eq!(prox(&two, &v, 1.0), prox(&lasso, &v, 1.0));
        assert_eq!(two.dual_norm(&v), lasso.dual_norm(&v));
        assert!((two.value(&v) - lasso.value(&v)).abs() < 1e-14);
        assert_eq!(two.canonical(), TwoLevel::new(lambda, lambda, 5, 5).unwrap());
    }
    assert_eq!(TwoLevel::new(2.0, 0.5, 2, 5).unwrap().as_lasso(), None);
}

#[test]
fn numbers_that_cannot_be_meant_are_refused() {
    for (l1, l2) in [(f64::NAN, 0.0), (1.0, -0.1), (1.0, 2.0), (f64::INFINITY, 1.0)] {
        assert!(
            matches!(TwoLevel::new(l1, l2, 1, 3), Err(Error::InvalidNumber { .. })),
            "{l1} {l2}"
        );
    }
    assert_eq!(TwoLevel::new(1.0, 0.5, 4, 3), Err(Error::TooManyAtUpperLevel { k: 4, p: 3 }));
    assert!(TwoLevel::with_share(1.0, 0.5, 1.1, 3).is_err());
    assert_eq!(TwoLevel::with_share(1.0, 0.5, 0.5, 3).unwrap().k(), 2);
    for lambda in [vec![1.0, 2.0], vec![1.0, f64::NAN], vec![-1.0]] {
        assert!(matches!(SortedL1::new(lambda), Err(Error::InvalidEntry { .. })));
    }
    assert!(L1::new(-1.0, 3).is_err());
}

/// With many entries the height is searched in a sample first; the result is that of the general norm all the same.
#[test]
fn long_vectors_have_the_proximal_map_of_the_general_norm() {
    let mut rng = ChaCha20Rng::seed_from_u64(77);
    let n = 40_000;
    for round in 0..12 {
        let v: Vec<f64> = (0..n)
            .map(|i| match round % 4 {
                0 => 2.0 * normal(&mut rng),
                // Ties at the very ends of windows.
                1 => (4.0 * normal(&mut rng)).round() / 2.0,
                // A sample of every so many sees only some of it.
                2 if i % 4 == 0 => 6.0 + normal(&mut rng),
                2 => 0.5 * normal(&mut rng),
                _ => normal(&mut rng).powi(3),
            })
            .collect();
        for (low, share) in [(1.0, 0.02), (0.5, 0.3), (0.0, 0.05), (1.5, 0.001)] {
            let two = TwoLevel::with_share(low + 1.0, low, share, n).unwrap();
            let general = SortedL1::new(two.sequence()).unwrap();
            let (a, b) = (prox(&two, &v, 1.0), prox(&general, &v, 1.0));
            assert!(close(&a, &b, 1e-11 * (1.0 + largest(&v))), "round {round} {low} {share}");
        }
    }
}
