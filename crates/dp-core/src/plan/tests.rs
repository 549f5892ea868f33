use super::*;
use crate::{Charge, Error, PldAccountant, RdpAccountant, Result};

fn complete() -> PlanBuilder {
    PrivacyPlan::builder()
        .n_samples(10_000)
        .expected_batch_size(100.0)
        .steps(1000)
        .clip_norm(1.0)
        .delta(1e-5)
        .noise_multiplier(1.0)
}

fn build(builder: PlanBuilder) -> Result<PrivacyPlan> {
    builder.build(&RdpAccountant::new())
}

#[test]
fn every_impossible_number_is_refused() {
    let refused = |builder: PlanBuilder| build(builder).unwrap_err();
    assert!(matches!(refused(complete().n_samples(0)), Error::EmptyData));
    assert!(matches!(refused(complete().n_samples(99)), Error::BatchLargerThanData { .. }));
    assert!(matches!(refused(complete().steps(0)), Error::ZeroSteps));
    let base = || PlanBuilder { expected_batch_size: None, ..complete() };
    for rate in [1.5, -0.1, f64::NAN, 0.0] {
        assert!(matches!(refused(base().sample_rate(rate)), Error::InvalidScalar { .. }));
    }
    for bad in [-1.0, f64::NAN, f64::INFINITY] {
        let builders = [
            complete().clip_norm(bad),
            complete().noise_multiplier(bad),
            complete().expected_batch_size(bad),
            complete().delta(bad),
            PlanBuilder { steps: None, ..complete() }.epochs(bad),
            PlanBuilder { noise_multiplier: None, ..complete() }.target_epsilon(bad),
        ];
        for builder in builders {
            assert!(matches!(refused(builder), Error::InvalidScalar { .. }));
        }
    }
    assert!(matches!(refused(complete().clip_norm(0.0)), Error::InvalidScalar { .. }));
    assert!(matches!(refused(complete().delta(1.0)), Error::InvalidScalar { .. }));
}

#[test]
fn a_number_too_few_or_too_many_is_refused() {
    let conflicts =
        [complete().sample_rate(0.01), complete().epochs(1.0), complete().target_epsilon(1.0)];
    for builder in conflicts {
        assert!(matches!(build(builder), Err(Error::PlanConflict { .. })));
    }
    let gaps = [
        PlanBuilder { n_samples: None, ..complete() },
        PlanBuilder { expected_batch_size: None, ..complete() },
        PlanBuilder { steps: None, ..complete() },
        PlanBuilder { clip_norm: None, ..complete() },
        PlanBuilder { delta: None, ..complete() },
        PlanBuilder { noise_multiplier: None, ..complete() },
    ];
    for builder in gaps {
        assert!(matches!(build(builder), Err(Error::PlanMissing { .. })));
    }
}

#[test]
fn all_numbers_follow_from_one_set() {
    let plan = build(complete()).unwrap();
    let rate = plan.sample_rate().get();
    assert!((rate - 0.01).abs() < 1e-15);
    let by_rate = PlanBuilder { expected_batch_size: None, ..complete() }.sample_rate(rate);
    let by_rate = build(by_rate).unwrap();
    assert_eq!(plan.step_event(), by_rate.step_event());
    assert!((by_rate.expected_batch_size().get() - 100.0).abs() < 1e-9);

    let mut ledger = plan.ledger();
    for _ in 0..plan.steps() {
        ledger.charge(&plan.step_event()).unwrap();
    }
    let spent = ledger.simulated_epsilon(&RdpAccountant::new(), plan.delta()).unwrap();
    assert_eq!(spent, plan.epsilon());
}

#[test]
fn epochs_become_steps_rounded_up() {
    let steps = |epochs: f64| {
        build(PlanBuilder { steps: None, ..complete() }.epochs(epochs)).unwrap().steps()
    };
    assert_eq!(steps(3.0), 300);
    assert_eq!(steps(0.301), 31);
    assert_eq!(steps(1e-9), 1);
}

#[test]
fn a_large_delta_is_a_warning_and_zero_noise_has_no_epsilon() {
    let plan = build(complete().delta(1e-4).noise_multiplier(0.0)).unwrap();
    assert!(plan.epsilon().value().is_infinite());
    assert!(matches!(plan.warnings(), [PlanWarning::LargeDelta { .. }, PlanWarning::NoNoise]));
}

#[test]
fn replace_one_takes_no_credit_for_sampling() {
    let replace = build(complete().relation(NeighboringRelation::ReplaceOne)).unwrap();
    let full = build(complete().expected_batch_size(10_000.0)).unwrap();
    assert_eq!(replace.epsilon(), full.epsilon());
}

#[cfg(feature = "serde")]
#[test]
fn settings_are_stored_by_name_and_a_misspelt_name_is_refused() {
    let text = serde_json::to_string(&complete()).unwrap();
    assert_eq!(serde_json::from_str::<PlanBuilder>(&text).unwrap(), complete());
    let short = r#"{"n_samples":9,"relation":"replace_one","unit":"one user"}"#;
    assert!(serde_json::from_str::<PlanBuilder>(short).is_ok());
    assert!(serde_json::from_str::<PlanBuilder>(r#"{"clip":1.0}"#).is_err());
    assert!(serde_json::from_str::<PlanBuilder>(r#"{"unit":" "}"#).is_err());
}

#[test]
fn whichever_number_is_missing_is_found_within_the_target_and_near_it() {
    let accountant = RdpAccountant::new();
    let target = complete().build(&accountant).unwrap().epsilon().value();
    let solve = |builder: PlanBuilder| builder.target_epsilon(target).solve(&accountant).unwrap();
    let noise = solve(PlanBuilder { noise_multiplier: None, ..complete() });
    let steps = solve(PlanBuilder { steps: None, ..complete() });
    let rate = solve(PlanBuilder { expected_batch_size: None, ..complete() });
    let by_epochs =
        solve(PlanBuilder { expected_batch_size: None, steps: None, ..complete() }.epochs(10.0));
    for plan in [&noise, &steps, &rate, &by_epochs] {
        assert!(plan.epsilon().value() <= target, "{plan:?}");
        assert!(target * (1.0 - 2e-3) < plan.epsilon().value(), "{plan:?}");
    }
    assert!((noise.noise_multiplier().get() - 1.0).abs() < 2e-6);
    assert_eq!(steps.steps(), 1000);
    assert!((rate.sample_rate().get() / 0.01 - 1.0).abs() < 1e-5);
    // 10 epochs at a rate of a hundredth are a thousand steps again.
    assert!((by_epochs.sample_rate().get() / 0.01 - 1.0).abs() < 2e-3, "{by_epochs:?}");
}

#[test]
fn the_planner_refuses_what_leaves_nothing_or_too_much_to_find() {
    let accountant = RdpAccountant::new();
    let solve = |builder: PlanBuilder| builder.target_epsilon(1.0).solve(&accountant);
    assert!(matches!(complete().solve(&accountant), Err(Error::PlanMissing { .. })));
    assert!(matches!(solve(complete()), Err(Error::PlanConflict { .. })));
    let both = PlanBuilder { steps: None, expected_batch_size: None, ..complete() };
    assert!(matches!(solve(both), Err(Error::PlanMissing { .. })));
    let quiet = PlanBuilder { steps: None, ..complete() }.noise_multiplier(1e-3);
    assert!(matches!(solve(quiet), Err(Error::ZeroSteps)));
    let unsafe_at_any_rate = PlanBuilder { expected_batch_size: None, ..complete() }
        .noise_multiplier(1e-3)
        .steps(u64::MAX);
    assert!(matches!(solve(unsafe_at_any_rate), Err(Error::CalibrationLimit { .. })));
}

#[test]
fn under_replace_one_the_planner_takes_no_credit_for_sampling() {
    let accountant = RdpAccountant::new();
    let base = PlanBuilder { steps: None, ..complete() }
        .relation(NeighboringRelation::ReplaceOne)
        .noise_multiplier(30.0)
        .target_epsilon(2.0);
    let plan = base.clone().solve(&accountant).unwrap();
    let whole = PlanBuilder { expected_batch_size: None, ..base }.sample_rate(1.0);
    assert_eq!(plan.steps(), whole.solve(&accountant).unwrap().steps());
}

#[test]
fn what_is_solved_for_stays_within_the_target_with_losses_and_counts_and_hardly_below() {
    let accountant = PldAccountant::new();
    let schedule = LossSchedule { period: 5, first: 12, each: 3 };
    let base = || {
        PrivacyPlan::builder()
            .n_samples(10_000)
            .clip_norm(1.0)
            .delta(1e-5)
            .noise_multiplier(1.0)
            .losses(schedule)
            .loss_noise_multiplier(8.0)
            .clip_count_noise(4.0)
            .target_epsilon(3.0)
    };
    let plan = base().expected_batch_size(100.0).solve(&accountant).unwrap();
    assert!(plan.epsilon().value() <= 3.0, "{}", plan.epsilon());
    let longer = PlanBuilder { target_epsilon: None, ..base() };
    let longer = longer.expected_batch_size(100.0).steps(plan.steps() + 1);
    assert!(3.0 < longer.build(&accountant).unwrap().epsilon().value());
    let plan = base().steps(1000).solve(&accountant).unwrap();
    let epsilon = plan.epsilon().value();
    assert!((2.99..=3.0).contains(&epsilon), "{epsilon}");
    let alone = base().relation(NeighboringRelation::ReplaceOne).expected_batch_size(100.0);
    assert!(matches!(alone.solve(&accountant), Err(Error::ZeroSteps)));
}
