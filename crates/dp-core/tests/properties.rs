//! What must hold for every history, on random ones.

use dp_core::calibrate::{self, Target};
use dp_core::{Accountant, Charge, Delta, DpEvent, Epsilon, Ledger, RdpAccountant, RenyiOrder};
use proptest::prelude::*;

/// Searches of different histories stop at slightly different orders.
const SLACK: f64 = 1e-6;

fn ln_uniform(low: f64, high: f64) -> impl Strategy<Value = f64> {
    (low.ln()..high.ln()).prop_map(f64::exp)
}

#[derive(Clone, Copy, Debug)]
struct Setting {
    q: f64,
    sigma: f64,
    steps: u64,
    delta: f64,
}

fn setting() -> impl Strategy<Value = Setting> {
    (ln_uniform(1e-6, 1.0), ln_uniform(0.2, 100.0), ln_uniform(1.0, 1e6), ln_uniform(1e-30, 0.5))
        .prop_map(|(q, sigma, steps, delta)| {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below 1e6")]
            Setting { q, sigma, steps: steps as u64, delta }
        })
}

fn step(q: f64, sigma: f64) -> DpEvent {
    DpEvent::gaussian(sigma).unwrap().sampled(q).unwrap()
}

fn epsilon(event: &DpEvent, delta: f64) -> f64 {
    RdpAccountant::new().epsilon(event, Delta::new(delta).unwrap()).unwrap().guarantee().unwrap()
}

fn of(s: Setting) -> f64 {
    epsilon(&step(s.q, s.sigma).repeated(s.steps), s.delta)
}

const CASES: u32 = 96;

fn config() -> ProptestConfig {
    ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn epsilon_rises_with_rate_steps_and_certainty_and_falls_with_noise(
        s in setting(), factor in 1.0..3.0_f64,
    ) {
        let base = of(s);
        prop_assert!(base.is_finite() && 0.0 <= base);
        let costlier = [
            Setting { q: (s.q * factor).min(1.0), ..s },
            Setting { sigma: s.sigma / factor, ..s },
            Setting { steps: s.steps + 1 + s.steps / 8, ..s },
            Setting { delta: s.delta / factor, ..s },
        ];
        for other in costlier {
            let value = of(other);
            prop_assert!(base * (1.0 - SLACK) <= value, "{:?} costs {}, not {}", other, value, base);
        }
    }

    #[test]
    fn two_runs_compose_to_one_and_their_order_is_irrelevant(
        s in setting(), sigma in ln_uniform(0.3, 30.0), split in 0.0..1.0_f64,
    ) {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below 1e6")]
        let first = (s.steps as f64 * split) as u64;
        let a = step(s.q, s.sigma);
        let parts = DpEvent::Composed(vec![
            a.clone().repeated(first),
            step(s.q, sigma),
            a.clone().repeated(s.steps - first),
        ]);
        let whole = DpEvent::Composed(vec![step(s.q, sigma), a.repeated(s.steps)]);
        let (parts, whole) = (epsilon(&parts, s.delta), epsilon(&whole, s.delta));
        prop_assert!((parts - whole).abs() <= SLACK * whole.max(1e-9));
    }

    #[test]
    fn canonical_histories_cost_the_same(s in setting(), n in 1_u64..50) {
        let nested = DpEvent::Composed(vec![step(s.q, s.sigma).repeated(2); 3]).repeated(n);
        let canonical = nested.canonical().unwrap();
        prop_assert_eq!(&canonical, &step(s.q, s.sigma).repeated(6 * n));
        prop_assert!((epsilon(&nested, s.delta) - epsilon(&canonical, s.delta)).abs() <= 0.0);
    }

    #[test]
    fn a_calibrated_run_spends_the_target_and_at_most_a_thousandth_less(
        s in setting(), wanted in ln_uniform(0.05, 50.0),
    ) {
        let target = Target::new(wanted, s.delta).unwrap();
        let history = |sigma: f64| step(s.q, sigma).repeated(s.steps);
        let found = calibrate::noise_multiplier(&RdpAccountant::new(), target, |sigma| {
            Ok(history(sigma.get()))
        });
        // A large delta allows a release with any noise.
        if let Ok(sigma) = found {
            let spent = epsilon(&history(sigma.get()), s.delta);
            prop_assert!(spent <= wanted);
            let less_noise = epsilon(&history(sigma.get() * (1.0 - 1e-6)), s.delta);
            prop_assert!(wanted * (1.0 - 1e-3) <= spent || wanted < less_noise);
        }
    }

    #[test]
    fn delta_of_epsilon_undoes_epsilon_of_delta(s in setting()) {
        let event = step(s.q, s.sigma).repeated(s.steps);
        let at = of(s);
        prop_assume!(1e-6 < at);
        let back = RdpAccountant::new().delta(&event, Epsilon::new(at).unwrap()).unwrap();
        let ln = back.ln_guarantee().unwrap();
        // Both are minima over the same orders; the total variation bound may make delta smaller.
        prop_assert!(ln <= s.delta.ln() + SLACK * (1.0 - s.delta.ln()));
    }

    #[test]
    fn divergences_rise_with_the_order_and_stay_below_the_unsampled_one(
        s in setting(), ln_m in -8.0..8.0_f64,
    ) {
        let at = |event: &DpEvent, m: f64| {
            RdpAccountant::new().divergence(event, RenyiOrder::new(1.0 + m).unwrap()).unwrap()
        };
        let (event, m) = (step(s.q, s.sigma), ln_m.exp());
        prop_assert!(at(&event, m) <= at(&event, m * 1.1) * (1.0 + 1e-9));
        prop_assert!(at(&event, m) <= at(&step(1.0, s.sigma), m) * (1.0 + 1e-9));
    }

    #[test]
    fn a_joint_release_is_one_release_of_the_summed_precision(
        q in ln_uniform(1e-4, 1.0), a in ln_uniform(0.5, 20.0), b in ln_uniform(0.5, 20.0), m in 1_u64..6,
    ) {
        let gaussian = |sigma| DpEvent::gaussian(sigma).unwrap();
        let joint = DpEvent::Composed(vec![gaussian(a), gaussian(b).repeated(m)]).sampled(q).unwrap();
        let sigma = (a.powi(-2) + m as f64 * b.powi(-2)).powf(-0.5);
        let (joint, one) = (epsilon(&joint, 1e-6), epsilon(&step(q, sigma), 1e-6));
        prop_assert!((joint - one).abs() <= SLACK * one);
    }

    #[test]
    fn a_ledger_charged_step_by_step_equals_one_charged_at_once(s in setting(), n in 1_u64..200) {
        let mut slowly = Ledger::default();
        for _ in 0..n {
            slowly.charge(&step(s.q, s.sigma)).unwrap();
        }
        let mut at_once = Ledger::default();
        at_once.charge(&step(s.q, s.sigma).repeated(n)).unwrap();
        prop_assert_eq!(slowly, at_once);
    }
}

#[cfg(feature = "serde")]
proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_run_that_is_stored_and_resumed_equals_an_uninterrupted_one(
        s in setting(), sigma in ln_uniform(0.3, 30.0), n in 1_u64..50,
    ) {
        let mut ledger = Ledger::default();
        ledger.charge(&step(s.q, s.sigma).repeated(s.steps)).unwrap();
        ledger.charge(&step(s.q, sigma)).unwrap();
        let stored = serde_json::to_string(&ledger).unwrap();
        let mut resumed: Ledger = serde_json::from_str(&stored).unwrap();
        for _ in 0..n {
            ledger.charge(&step(s.q, s.sigma)).unwrap();
            resumed.charge(&step(s.q, s.sigma)).unwrap();
        }
        prop_assert_eq!(epsilon(&ledger.event(), s.delta).to_bits(), epsilon(&resumed.event(), s.delta).to_bits());
        prop_assert_eq!(ledger, resumed);
    }

    #[test]
    fn a_stored_event_is_read_back(s in setting()) {
        let event = DpEvent::Composed(vec![step(s.q, s.sigma).repeated(s.steps), DpEvent::laplace(s.sigma).unwrap()]);
        let stored = serde_json::to_string(&event).unwrap();
        prop_assert_eq!(serde_json::from_str::<DpEvent>(&stored).unwrap(), event);
    }
}

#[test]
fn nothing_and_everything_have_exact_answers() {
    let zero = Delta::new(0.0).unwrap();
    let accountant = RdpAccountant::new();
    for nothing in [DpEvent::NoOp, step(0.0, 1.0).repeated(9), step(0.5, 1.0).repeated(0)] {
        assert!(accountant.epsilon(&nothing, zero).unwrap().value() <= 0.0);
        assert!(accountant.delta(&nothing, Epsilon::new(0.0).unwrap()).unwrap().value() <= 0.0);
    }
    for everything in [DpEvent::NonPrivate, step(1e-9, 0.0), step(1.0, 0.0).repeated(3)] {
        assert!(epsilon(&everything, 0.1).is_infinite());
        let delta = accountant.delta(&everything, Epsilon::new(9.0).unwrap()).unwrap();
        assert!(1.0 <= delta.value());
    }
    assert!(accountant.epsilon(&step(0.1, 1.0), zero).unwrap().value().is_infinite());
    let laplace = DpEvent::laplace(2.0).unwrap().repeated(3);
    let pure = accountant.epsilon(&laplace, zero).unwrap().value();
    assert!((pure - 1.5).abs() < 1e-15);
}

#[test]
fn events_without_an_analysis_are_refused() {
    let laplace = || DpEvent::laplace(1.0).unwrap();
    let mixed = DpEvent::Composed(vec![laplace(), DpEvent::gaussian(1.0).unwrap()]);
    for event in [mixed.sampled(0.1).unwrap(), step(0.1, 1.0).sampled(0.1).unwrap()] {
        let refused = RdpAccountant::new().epsilon(&event, Delta::new(1e-5).unwrap());
        assert!(matches!(refused, Err(dp_core::Error::UnsupportedEvent { .. })));
    }
}

#[test]
fn deltas_beyond_the_range_of_floats_are_answered() {
    let event = step(0.01, 2.0).repeated(1000);
    let at =
        |ln| RdpAccountant::new().epsilon(&event, Delta::from_ln(ln).unwrap()).unwrap().value();
    assert!(at(-700.0) < at(-1e3) && at(-1e3) < at(-1e5) && at(-1e5).is_finite());
}

#[test]
fn the_order_at_an_end_is_flagged() {
    let huge = RdpAccountant::new()
        .optimize(&DpEvent::gaussian(1e-5).unwrap().repeated(u64::MAX), Delta::new(0.1).unwrap())
        .unwrap();
    assert!(huge.order_at_limit && huge.epsilon.is_finite());
    let usual = RdpAccountant::new()
        .optimize(&step(0.01, 1.0).repeated(1000), Delta::new(1e-5).unwrap())
        .unwrap();
    assert!(!usual.order_at_limit);
    assert!(usual.order.is_some_and(|order| (7.0..9.0).contains(&order)));
}
