//! What losses cost, and how a plan pays for them.

use dp_core::hyfree::{Evidence, HyFree, Settings};
use dp_core::{
    Accountant, CentralLimit, Charge, Delta, DpEvent, Error, LossSchedule, NeighboringRelation,
    PlanBuilder, PlanWarning, PldAccountant, PrivacyPlan, RdpAccountant,
};
use proptest::prelude::*;

/// The first row of the study: sigma 2.63, sigma_l 14.6 without a ladder and 15.2 with it.
fn mnist() -> PlanBuilder {
    PrivacyPlan::builder()
        .n_samples(8000)
        .expected_batch_size(1000.0)
        .steps(200)
        .clip_norm(1.0)
        .delta(8000f64.powf(-1.1))
}

fn target(epsilon: f64, schedule: LossSchedule) -> PlanBuilder {
    mnist().target_epsilon(epsilon).losses(schedule)
}

fn with_ladder() -> LossSchedule {
    Settings::default().schedule()
}

fn without_ladder() -> LossSchedule {
    Settings::evidence(Evidence::default().from_rate(1e-4)).schedule()
}

fn rdp(builder: PlanBuilder) -> PrivacyPlan {
    builder.build(&RdpAccountant::new()).unwrap()
}

fn sigma_l(plan: &PrivacyPlan) -> f64 {
    plan.losses().unwrap().noise_multiplier().get()
}

#[test]
fn gradients_pay_one_percent_and_the_rest_goes_to_the_losses() {
    let alone = rdp(mnist().target_epsilon(3.0)).noise_multiplier().get();
    assert!((alone - 2.63).abs() < 0.005, "{alone}");
    for (schedule, want) in [(without_ladder(), 14.62), (with_ladder(), 15.18)] {
        let plan = rdp(target(3.0, schedule));
        let losses = plan.losses().unwrap();
        assert_eq!(losses.gradients_alone().unwrap().get().to_bits(), alone.to_bits());
        let factor = plan.noise_multiplier().get() / alone;
        assert!((factor - 1.01).abs() < 1e-12, "{factor}");
        assert!((sigma_l(&plan) - want).abs() < 0.01, "{}", sigma_l(&plan));
        assert!(plan.warnings().is_empty());
    }
}

#[test]
fn the_whole_budget_is_spent_and_no_more_by_each_accountant() {
    let accountants: [(&dyn Accountant, f64); 2] =
        [(&RdpAccountant::new(), 1e-5), (&PldAccountant::new(), 1e-2)];
    for (accountant, tolerance) in accountants {
        let schedule = with_ladder();
        let plan =
            mnist().steps(50).target_epsilon(3.0).losses(schedule).build(accountant).unwrap();
        let epsilon = plan.epsilon().guarantee().unwrap();
        assert!(epsilon <= 3.0 && 3.0 - tolerance < epsilon, "{}: {epsilon}", accountant.name());
        assert!(
            (plan.noise_multiplier().get()
                / plan.losses().unwrap().gradients_alone().unwrap().get()
                - 1.01)
                .abs()
                < 1e-12
        );
    }
    // An estimate is not calibrated to.
    let estimate = target(3.0, with_ladder()).build(&CentralLimit::new());
    assert!(matches!(estimate, Err(Error::EstimateOnly { .. })));
}

#[test]
fn losses_and_gradient_of_a_batch_are_one_gaussian_on_one_sample() {
    let plan = rdp(target(3.0, with_ladder()));
    let (g, l) = (plan.noise_multiplier().get(), sigma_l(&plan));
    let delta = plan.delta();
    let epsilon = |event: &DpEvent| RdpAccountant::new().epsilon(event, delta).unwrap().value();
    for m in [3, 12] {
        let joint = (g.powi(-2) + m as f64 * l.powi(-2)).powf(-0.5);
        let one = DpEvent::gaussian(joint).unwrap().sampled(0.125).unwrap();
        let event = plan.step_event_with(m).unwrap();
        let same = epsilon(&one.clone().repeated(50)) / epsilon(&event.clone().repeated(50));
        assert!((same - 1.0).abs() < 1e-12, "{m}: {same}");
        // As steps on samples of their own the losses would seem cheaper.
        let apart = DpEvent::Composed(vec![
            plan.step_event(),
            DpEvent::gaussian(l).unwrap().sampled(0.125).unwrap().repeated(m),
        ]);
        assert!(epsilon(&apart.repeated(50)) < epsilon(&event.repeated(50)));
    }
    assert_eq!(plan.step_event_with(0).unwrap(), plan.step_event());
}

#[test]
fn the_plan_counts_probe_steps_and_losses() {
    for (steps, probes, total) in
        [(200, 40, 129), (201, 41, 132), (4, 1, 12), (5, 1, 12), (6, 2, 15)]
    {
        let plan = rdp(target(3.0, with_ladder()).steps(steps));
        let count = |m: u64| {
            let event = plan.step_event_with(m).unwrap();
            let phases = plan.event().phases().unwrap();
            phases.iter().find(|phase| phase.event == event).map_or(0, |phase| phase.count)
        };
        assert_eq!((count(12), count(3), count(0)), (1, probes - 1, steps - probes), "{steps}");
        assert_eq!(with_ladder().total(steps), total);
        assert_eq!(with_ladder().total(steps), 3 * steps.div_ceil(5) + 9);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn rarer_probes_get_less_noise_and_more_of_it_costs_less(
        epsilon in 0.5..8.0, factor in 1.005..1.1, rate in 0.01..0.3,
    ) {
        let plan = |period: u64| {
            let schedule = LossSchedule { period, ..without_ladder() };
            let builder = mnist().expected_batch_size(8000.0 * rate);
            rdp(builder.target_epsilon(epsilon).losses(schedule).gradient_noise_factor(factor))
        };
        let (one, five, ten) = (plan(1), plan(5), plan(10));
        prop_assert!(sigma_l(&ten) < sigma_l(&five) && sigma_l(&five) < sigma_l(&one));
        let spent = five.epsilon().value();
        prop_assert!(spent <= epsilon && epsilon * (1.0 - 1e-5) < spent);
        prop_assert!((five.noise_multiplier().get() / five.losses().unwrap().gradients_alone().unwrap().get() / factor - 1.0).abs() < 1e-12);
        let at = |sigma_l: f64| {
            let given = mnist()
                .expected_batch_size(8000.0 * rate)
                .noise_multiplier(five.noise_multiplier().get())
                .losses(five.losses().unwrap().schedule())
                .loss_noise_multiplier(sigma_l);
            rdp(given).epsilon().value()
        };
        prop_assert!(at(1.2 * sigma_l(&five)) < spent && spent < at(0.8 * sigma_l(&five)));
        prop_assert!((at(sigma_l(&five)) / spent - 1.0).abs() < 1e-12);
        // To first order, where budgets are sums of 1/sigma^2: a rough check that nothing is off by a factor.
        let rough = five.losses().unwrap().gradients_alone().unwrap().get()
            * (3.0 / (5.0 * (1.0 - factor.powi(-2)))).sqrt();
        prop_assert!((0.5..2.0).contains(&(sigma_l(&five) / rough)));
    }
}

#[test]
fn numbers_that_cannot_be_meant_are_refused() {
    let build = |builder: PlanBuilder| builder.build(&RdpAccountant::new());
    for factor in [1.0, 0.99, -1.0, f64::NAN, f64::INFINITY] {
        let got = build(target(3.0, with_ladder()).gradient_noise_factor(factor));
        assert!(matches!(got, Err(Error::InvalidScalar { .. })), "{factor}");
    }
    for schedule in [
        LossSchedule { period: 0, ..with_ladder() },
        LossSchedule { first: 0, ..with_ladder() },
        LossSchedule { each: 0, ..with_ladder() },
    ] {
        assert!(matches!(build(target(3.0, schedule)), Err(Error::InvalidScalar { .. })));
    }
    let conflicts = [
        target(3.0, with_ladder()).loss_noise_multiplier(10.0),
        mnist()
            .noise_multiplier(1.0)
            .losses(with_ladder())
            .loss_noise_multiplier(9.0)
            .gradient_noise_factor(1.1),
    ];
    for builder in conflicts {
        assert!(matches!(build(builder), Err(Error::PlanConflict { .. })));
    }
    let gaps = [
        mnist().noise_multiplier(1.0).losses(with_ladder()),
        mnist().target_epsilon(1.0).gradient_noise_factor(1.01),
        mnist().noise_multiplier(1.0).loss_noise_multiplier(10.0),
    ];
    for builder in gaps {
        assert!(matches!(build(builder), Err(Error::PlanMissing { .. })));
    }
    let negative = mnist().noise_multiplier(1.0).losses(with_ladder()).loss_noise_multiplier(-1.0);
    assert!(matches!(build(negative), Err(Error::InvalidScalar { .. })));
}

#[test]
fn a_controller_takes_only_a_plan_with_its_losses() {
    let settings = Settings::default();
    let plan = rdp(target(3.0, with_ladder()));
    assert!(HyFree::new(settings.clone(), &plan).is_ok());
    let other = rdp(target(3.0, without_ladder()));
    assert!(matches!(HyFree::new(settings.clone(), &other), Err(Error::OtherLosses { .. })));
    let none = rdp(mnist().target_epsilon(3.0));
    assert!(matches!(HyFree::new(settings, &none), Err(Error::PlanMissing { .. })));
    assert!(matches!(none.step_event_with(3), Err(Error::PlanMissing { .. })));
}

#[test]
fn warnings_tell_of_noisy_losses_and_of_none() {
    let noisy = rdp(target(1.0, with_ladder()).expected_batch_size(250.0));
    assert!(
        matches!(noisy.warnings(), [PlanWarning::NoisyLosses { relative_noise }] if 0.03 < *relative_noise)
    );
    let silent = mnist().noise_multiplier(1.0).losses(with_ladder()).loss_noise_multiplier(0.0);
    let silent = rdp(silent);
    assert!(silent.warnings().contains(&PlanWarning::NoNoise));
    assert!(silent.epsilon().value().is_infinite());
}

#[test]
fn under_replace_one_sampling_gets_no_credit() {
    let schedule = without_ladder();
    let builder = || mnist().relation(NeighboringRelation::ReplaceOne).steps(20).losses(schedule);
    let plan = rdp(builder().target_epsilon(3.0));
    let mut ledger = plan.ledger();
    ledger.charge(&plan.event()).unwrap();
    let delta = Delta::new(plan.delta().get()).unwrap();
    let spent = ledger.simulated_epsilon(&RdpAccountant::new(), delta).unwrap().value();
    assert!(spent <= 3.0 && 2.99 < spent, "{spent}");
}
