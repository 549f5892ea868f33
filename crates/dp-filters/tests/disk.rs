//! DiSK: where gradients are taken, and what becomes of them.

use candle_core::DType;
use dp_core::hyfree::{HyFree, HyFreeStep, Settings};
use dp_core::{ClipFunction, PrivacyPlan, RdpAccountant, RunKey, Unsampled};
use dp_filters::{
    Disk, FilteredStep, LookAhead, LowPass, Recipe, ScalarKalman, Start, hyfree_step,
};
use tensor_tree::conformance::check_transform;
use tensor_tree::{
    AdamW, Error, Identity, Momentum, ProbePoint, Rates, SingleProcess, Transform, Tree,
};

use crate::support::{
    Polynomial, bits, distance, leaf, normals, plan, private, problem, step, values,
};

mod properties;

const N: usize = 10;

/// No gradient of these problems is as long, so none is clipped.
const FAR: f64 = 1e9;

const PLAIN: ClipFunction = ClipFunction::Abadi { stability: 0.0 };

fn kalman() -> ScalarKalman {
    ScalarKalman::new(1.0, 0.05, 0.5).unwrap()
}

fn start() -> Tree {
    leaf(&[1.5, -2.0, 0.7])
}

/// Ten steps of `disk` and then `optimizer` with private gradients of `plan`; the estimates and the parameters after each step.
fn train<T: Transform>(
    disk: &Disk,
    optimizer: &T,
    problem: &Polynomial,
    (plan, function): (&PrivacyPlan, ClipFunction),
) -> Vec<(Tree, Tree)> {
    let mut params = start();
    let mut state = disk.init(&params).unwrap();
    let mut memory = optimizer.init(&params).unwrap();
    let mut keys = RunKey::seeded(8, 0);
    let mut one = |_| {
        let key = keys.next_step();
        let batch = plan.sampler().unwrap().draw(&key).batch().clone();
        let points = disk.points(&params, &mut state).unwrap();
        let grads = private((plan, function), problem, &points, &batch, key);
        let estimate = disk.update(grads, &params, &mut state).unwrap();
        let direction = optimizer.update(estimate.clone(), &params, &mut memory).unwrap();
        params = params.descend(&direction, &Rates::uniform(0.1)).unwrap();
        (estimate, params.clone())
    };
    (0..10).map(&mut one).collect()
}

/// Noise as usual, nothing clipped.
fn noisy() -> PrivacyPlan {
    plan(N as u64, 5.0, 10, FAR, 1e-9)
}

/// The whole data set at every step, and no noise.
fn whole(r: f64) -> PrivacyPlan {
    plan(N as u64, N as f64, 10, r, 0.0)
}

/// A plan with private losses.
fn with_losses() -> (Settings, PrivacyPlan) {
    let settings = Settings { period: 2, ..Settings::default() };
    let builder = PrivacyPlan::builder().n_samples(N as u64).expected_batch_size(5.0).steps(10);
    let builder = builder.delta(1e-3).clip_norm(1.0).noise_multiplier(0.5);
    let builder = builder.losses(settings.schedule()).loss_noise_multiplier(0.2);
    let plan = builder.build(&RdpAccountant::new()).unwrap();
    (settings, plan)
}

#[test]
fn the_filter_is_a_transformation() {
    let disk = Disk::new(0.4, LookAhead::Fixed(0.8)).unwrap();
    for disk in [Disk::default(), disk, disk.with_start(Start::Zero)] {
        check_transform(&disk).unwrap();
        check_transform(&disk.then(AdamW::default())).unwrap();
    }
    for look_ahead in [LookAhead::Auto, LookAhead::Fixed(1.0)] {
        check_transform(&Disk::adaptive(kalman(), look_ahead).unwrap()).unwrap();
    }
}

#[test]
fn with_gain_one_the_run_is_the_unfiltered_one_whatever_gamma_is() {
    let (problem, plan) = (problem(N, 3, 0.3, 4), plan(N as u64, 5.0, 10, 1.0, 0.8));
    let step = step(&plan, ClipFunction::automatic(), &start());
    let plain = FilteredStep { step: step.clone(), chain: AdamW::default() };
    let want = train_steps(&plain, &problem, &plan);
    for look_ahead in [LookAhead::Auto, LookAhead::Fixed(0.5), LookAhead::Fixed(30.0)] {
        for start in [Start::FirstObservation, Start::Zero] {
            let disk = Disk::new(1.0, look_ahead).unwrap().with_start(start);
            let chain = disk.then(AdamW::default());
            let driver = FilteredStep { step: step.clone(), chain };
            assert_eq!(train_steps(&driver, &problem, &plan), want, "{look_ahead:?}");
        }
    }
}

/// Ten steps of a driver, with the batches of its sampler; the bits of the parameters after each.
fn train_steps<T: dp_filters::TakesPoints>(
    driver: &FilteredStep<T>,
    problem: &Polynomial,
    plan: &PrivacyPlan,
) -> Vec<Vec<u64>> {
    let mut params = start();
    let mut state = driver.init(&params).unwrap();
    let (mut keys, mut ledger) = (RunKey::seeded(8, 0), plan.ledger());
    let mut one = |_| {
        let key = keys.next_step();
        let parts = plan.sampler().unwrap().draw(&key).map(|batch| vec![batch]);
        let rates = Rates::uniform(0.1);
        let update = driver
            .run(problem, &params, parts, &rates, key, &SingleProcess, &mut ledger, &mut state)
            .unwrap();
        params = update.params;
        bits(&params)
    };
    (0..10).map(&mut one).collect()
}

#[test]
fn points_are_one_or_two_with_the_weights_of_the_paper() {
    let params = start();
    let moved = leaf(&[1.0, -1.0, 0.0]);
    let points = |disk: &Disk, n: u64| {
        let mut state = disk.init(&params).unwrap();
        let mut at = disk.points(&params, &mut state).unwrap();
        for t in 0..n {
            let at_params = if t % 2 == 0 { &params } else { &moved };
            disk.points(at_params, &mut state).unwrap();
            disk.update(normals(3, 1, t), at_params, &mut state).unwrap();
            at = disk.points(if t % 2 == 0 { &moved } else { &params }, &mut state).unwrap();
        }
        at
    };
    let is_single = |points: &[ProbePoint], at: &Tree| {
        assert_eq!(points.len(), 1);
        assert_eq!(points[0].weight, 1.0);
        assert!(distance(&points[0].params, at) <= 1e-15);
    };
    // At the first step the points coincide.
    for disk in [Disk::default(), Disk::default().with_start(Start::Zero)] {
        is_single(&points(&disk, 0), &params);
        assert!(points(&disk, 0)[0].params.shares_tensors(&params));
    }
    // Two points at the second: c = 0.3 / (0.7 * 0.5).
    let two = points(&Disk::default(), 1);
    let c = 0.3 / (0.7 * 0.5);
    assert_eq!(two.len(), 2);
    assert!((two[0].weight - (1.0 - c)).abs() < 1e-15 && (two[1].weight - c).abs() < 1e-15);
    assert!(two[0].params.shares_tensors(&moved));
    let ahead = moved.add_scaled(0.5, &moved.add_scaled(-1.0, &params).unwrap()).unwrap();
    assert!(distance(&two[1].params, &ahead) == 0.0);
    // c = 1: one, at the point ahead; from `auto` and from a gamma that amounts to it.
    let ahead =
        |gamma: f64| moved.add_scaled(gamma, &moved.add_scaled(-1.0, &params).unwrap()).unwrap();
    for (kappa, gamma) in [(0.5, 1.0), (0.2, 4.0), (0.1, 9.0)] {
        for look_ahead in [LookAhead::Auto, LookAhead::Fixed(gamma)] {
            let single = points(&Disk::new(kappa, look_ahead).unwrap(), 1);
            is_single(&single, &ahead((1.0 - kappa) / kappa));
        }
    }
    // kappa = 1: one, at the parameters.
    is_single(&points(&Disk::new(1.0, LookAhead::Fixed(0.5)).unwrap(), 3), &moved);
}

#[test]
fn settings_out_of_range_are_refused() {
    for kappa in [0.0, -0.5, 1.1, f64::NAN] {
        let error = Disk::new(kappa, LookAhead::Auto).unwrap_err();
        assert!(error.to_string().starts_with("kappa must be in (0, 1]"), "{error}");
    }
    for gamma in [0.0, -1.0, f64::INFINITY, f64::NAN] {
        assert!(Disk::new(0.5, LookAhead::Fixed(gamma)).is_err());
        assert!(Disk::adaptive(kalman(), LookAhead::Fixed(gamma)).is_err());
    }
    for bad in [(-1.0, 1.0, 1.0), (1.0, f64::NAN, 1.0), (1.0, 1.0, 0.0), (0.0, 0.0, 1.0)] {
        assert!(ScalarKalman::new(bad.0, bad.1, bad.2).is_err(), "{bad:?}");
    }
}

#[test]
fn settings_that_look_too_far_ahead_or_overflow_are_refused() {
    let says = |disk: dp_filters::Result<Disk>, what: &str| {
        let error = disk.unwrap_err().to_string();
        assert!(error.starts_with(what) && error.contains("1e4 at most"), "{error}");
    };
    // gamma = (1 - kappa) / kappa, and c = gamma / Fixed.
    for kappa in [9.9e-5, 1e-10, 1e-320] {
        says(Disk::new(kappa, LookAhead::Auto), "gamma = (1 - kappa) / kappa must be");
        says(Disk::new(kappa, LookAhead::Fixed(1.0)), "c = (1 - kappa) / (kappa gamma) must be");
    }
    says(Disk::new(1e-320, LookAhead::Fixed(1e-5)), "c = ");
    says(Disk::new(0.5, LookAhead::Fixed(9.9e-5)), "c = ");
    says(Disk::new(0.5, LookAhead::Fixed(1.1e4)), "gamma must be");
    assert!(Disk::new(1e-4, LookAhead::Auto).is_ok());
    assert!(Disk::new(1e-4, LookAhead::Fixed(1.0)).is_ok());
    assert!(Disk::new(0.5, LookAhead::Fixed(1e4)).is_ok());
    // Gains that fall to 0, or to a small one, or begin with one.
    let adaptive = |p: f64, q: f64, r: f64, look_ahead: LookAhead| {
        Disk::adaptive(ScalarKalman::new(p, q, r).unwrap(), look_ahead)
    };
    for look_ahead in [LookAhead::Auto, LookAhead::Fixed(1.0)] {
        let error = adaptive(1.0, 0.0, 1.0, look_ahead).unwrap_err().to_string();
        assert!(error.starts_with("process variance must be positive for DiSK"), "{error}");
        assert!(adaptive(1.0, 1e-12, 1.0, look_ahead).is_err());
        assert!(adaptive(0.0, 1e-7, 1.0, look_ahead).is_err());
        assert!(adaptive(1.0, 1e-7, 1.0, look_ahead).is_ok());
    }
    // Variances near the largest double have gains that are numbers, or are refused.
    let error = ScalarKalman::new(1e308, 1e308, 1e308).unwrap_err().to_string();
    assert!(error.starts_with("sum of the variances must be 1e300 at most"), "{error}");
    for scale in [1e-200, 1e-100, 1.0, 1e100, 3e299] {
        let scaled = ScalarKalman::new(scale, 0.1 * scale, 0.5 * scale).unwrap();
        let plain = ScalarKalman::new(1.0, 0.1, 0.5).unwrap();
        let near = |a: f64, b: f64| (a / b - 1.0).abs() < 1e-12;
        assert!(near(scaled.stationary_gain(), plain.stationary_gain()), "{scale}");
        for (a, b) in scaled.gains(30).iter().zip(plain.gains(30)) {
            assert!(near(a.gain, b.gain), "{scale}: {} {}", a.gain, b.gain);
        }
    }
}

#[test]
fn a_gradient_without_the_question_where_to_take_it_is_refused_once_parameters_move() {
    let disk = Disk::default();
    let (params, moved) = (start(), leaf(&[1.0, -1.0, 0.0]));
    let mut state = disk.init(&params).unwrap();
    // Before anything has moved there is one point, whether asked for or not.
    disk.update(normals(3, 1, 0), &params, &mut state).unwrap();
    let before = state.clone();
    let error = disk.update(normals(3, 1, 1), &moved, &mut state).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::OutOfOrder { .. }), "{text}");
    for word in ["Disk::points", "first link", "FilteredStep::run", "hyfree_step"] {
        assert!(text.contains(word), "{text}");
    }
    assert_eq!(state.step(), before.step());
    // Asked for other parameters.
    disk.points(&params, &mut state).unwrap();
    assert!(disk.update(normals(3, 1, 1), &moved, &mut state).is_err());
    disk.points(&moved, &mut state).unwrap();
    disk.update(normals(3, 1, 1), &moved, &mut state).unwrap();
    // A question is good for one step.
    assert!(disk.update(normals(3, 1, 2), &params, &mut state).is_err());
}

/// Behind another filter nobody asks it.
#[test]
fn a_filter_in_the_wrong_place_is_refused_before_anything_is_charged() {
    let (problem, plan, params) = (problem(N, 3, 0.0, 4), noisy(), start());
    let wrong = LowPass::new(Recipe::FirstOrder.filter()).then(Disk::default());
    let driver = FilteredStep { step: step(&plan, PLAIN, &params), chain: wrong.clone() };
    let says = |error: dp_filters::Error| {
        let text = error.to_string();
        assert!(text.contains("must be the first link of a chain"), "{text}");
    };
    says(driver.init(&params).unwrap_err());
    let inner = Momentum::default().then(wrong.clone());
    says(FilteredStep { step: driver.step.clone(), chain: inner }.init(&params).unwrap_err());
    // With a gain of 1 it wants nothing, wherever it stands.
    let harmless = LowPass::new(Recipe::FirstOrder.filter());
    let harmless = harmless.then(Disk::new(1.0, LookAhead::Auto).unwrap());
    FilteredStep { step: driver.step.clone(), chain: harmless }.init(&params).unwrap();
    // A state from elsewhere: then the second step says it.
    let (mut state, mut keys) = (wrong.init(&params).unwrap(), RunKey::seeded(1, 0));
    let mut run = |params: &Tree| {
        let (batch, rates) = (Unsampled(vec![vec![0, 1]]), Rates::uniform(0.1));
        let (key, mut ledger) = (keys.next_step(), plan.ledger());
        driver.run(&problem, params, batch, &rates, key, &SingleProcess, &mut ledger, &mut state)
    };
    let params = run(&params).unwrap().params;
    says(run(&params).unwrap_err());
    // With rates from private losses.
    let (settings, plan) = with_losses();
    let driver = HyFreeStep {
        step: step(&plan, ClipFunction::automatic(), &params),
        controller: HyFree::new(settings, &plan).unwrap(),
        chain: wrong,
    };
    let (mut state, key, mut ledger) =
        (driver.init(&params).unwrap(), RunKey::seeded(8, 0).next_step(), plan.ledger());
    let parts = plan.sampler().unwrap().draw(&key).map(|batch| vec![batch]);
    let one = &SingleProcess;
    says(
        hyfree_step(&driver, &problem, &params, parts, key, one, &mut ledger, &mut state)
            .unwrap_err(),
    );
    assert_eq!(ledger.n_charges(), 0);
}

#[test]
fn parameters_that_are_no_numbers_are_an_error_of_their_own() {
    let (disk, params) = (Disk::default(), start());
    for bad in [f64::NAN, f64::INFINITY] {
        let mut state = disk.init(&params).unwrap();
        disk.update(normals(3, 1, 0), &params, &mut state).unwrap();
        let error = disk.update(normals(3, 1, 1), &leaf(&[1.0, bad, 0.0]), &mut state).unwrap_err();
        assert!(matches!(error, Error::InvalidSetting { .. }), "{error}");
        assert!(
            error.to_string().contains("displacement of the parameters must be finite"),
            "{error}"
        );
        assert_eq!(state.step(), 1);
    }
}

/// The driver without the question runs while nothing has moved, and then says which one to take.
#[test]
fn a_driver_that_does_not_ask_is_refused_with_the_one_that_does() {
    let (settings, plan) = with_losses();
    let driver = HyFreeStep {
        step: step(&plan, ClipFunction::automatic(), &start()),
        controller: HyFree::new(settings, &plan).unwrap(),
        chain: Disk::default().then(AdamW::default()),
    };
    let (problem, mut params) = (problem(N, 3, 0.5, 4), start());
    let (mut state, mut keys) = (driver.init(&params).unwrap(), RunKey::seeded(8, 0));
    let mut refused = None;
    for _ in 0..6 {
        let key = keys.next_step();
        let parts = plan.sampler().unwrap().draw(&key).map(|batch| vec![batch]);
        let (one, mut ledger) = (&SingleProcess, plan.ledger());
        match driver.run(&problem, &params, parts, key, one, &mut ledger, &mut state) {
            Ok(update) => params = update.params,
            Err(error) => {
                refused = Some(error.to_string());
                break;
            }
        }
    }
    let text = refused.expect("it went on without the question");
    assert!(text.contains("not by `HyFreeStep::run`"), "{text}");
}

#[test]
fn the_driver_is_points_step_filter_optimizer_and_descent() {
    let (problem, plan) = (problem(N, 3, 0.3, 4), plan(N as u64, 5.0, 10, 1.0, 0.8));
    let step = step(&plan, ClipFunction::automatic(), &start());
    for disk in [Disk::default(), Disk::new(0.3, LookAhead::Auto).unwrap()] {
        let by_hand = train(&disk, &AdamW::default(), &problem, (&plan, ClipFunction::automatic()));
        let driver = FilteredStep { step: step.clone(), chain: disk.then(AdamW::default()) };
        let driven = train_steps(&driver, &problem, &plan);
        let by_hand: Vec<Vec<u64>> = by_hand.iter().map(|(_, params)| bits(params)).collect();
        assert_eq!(driven, by_hand);
    }
}

#[test]
fn a_step_with_private_rates_takes_its_gradient_where_the_filter_wants_it() {
    let (settings, plan) = with_losses();
    let (problem, function) = (problem(N, 3, 0.5, 4), ClipFunction::automatic());
    for look_ahead in [LookAhead::Auto, LookAhead::Fixed(0.5)] {
        let disk = Disk::new(0.3, look_ahead).unwrap();
        let driver = HyFreeStep {
            step: step(&plan, function, &start()),
            controller: HyFree::new(settings.clone(), &plan).unwrap(),
            chain: disk.then(AdamW::default()),
        };
        let mut params = start();
        let (mut state, mut by_hand) = (driver.init(&params).unwrap(), disk.init(&params).unwrap());
        let (mut keys, mut again) = (RunKey::seeded(8, 0), RunKey::seeded(8, 0));
        for t in 0..6 {
            let key = keys.next_step();
            let batch = plan.sampler().unwrap().draw(&key).batch().clone();
            let parts = plan.sampler().unwrap().draw(&key).map(|batch| vec![batch]);
            let (one, mut ledger) = (&SingleProcess, plan.ledger());
            let update =
                hyfree_step(&driver, &problem, &params, parts, key, one, &mut ledger, &mut state)
                    .unwrap();
            let points = disk.points(&params, &mut by_hand).unwrap();
            let grads = private((&plan, function), &problem, &points, &batch, again.next_step());
            assert_eq!(bits(&update.grads), bits(&grads), "{look_ahead:?}, step {t}");
            disk.update(grads, &params, &mut by_hand).unwrap();
            params = update.params;
        }
        // An error after the charge leaves the state as it was.
        let before = state.chain.0.step();
        let far = leaf(&[f64::MAX; 3]);
        let parts = Unsampled(vec![vec![0]]);
        let (key, one, mut ledger) = (keys.next_step(), &SingleProcess, plan.ledger());
        let failed = hyfree_step(&driver, &problem, &far, parts, key, one, &mut ledger, &mut state);
        assert!(failed.is_err());
        assert_eq!((state.chain.0.step(), state.rates.step()), (before, 6));
    }
}

#[test]
fn asking_changes_neither_parameters_nor_the_optimizer() {
    let (problem, plan) = (problem(N, 3, 0.3, 4), noisy());
    let chain = Disk::default().then(Momentum::default());
    let driver = FilteredStep { step: step(&plan, PLAIN, &start()), chain };
    let mut state = driver.init(&start()).unwrap();
    let (params, mut keys) = (start(), RunKey::seeded(1, 0));
    let run = |params: &Tree, state: &mut _, key| {
        let (batch, rates) = (Unsampled(vec![vec![0, 1, 2]]), Rates::uniform(0.1));
        driver
            .run(&problem, params, batch, &rates, key, &SingleProcess, &mut plan.ledger(), state)
            .unwrap()
    };
    let moved = run(&params, &mut state, keys.next_step()).params;
    let (before, momentum) = (bits(&moved), bits(&state.1.momentum));
    let mut asked = state.clone();
    for _ in 0..3 {
        dp_filters::TakesPoints::points(&driver.chain, &moved, &mut asked).unwrap();
    }
    assert_eq!(bits(&asked.1.momentum), momentum);
    // The step itself leaves its argument to the bit, evaluated at two points or not, and asking thrice changes nothing.
    let again = run(&moved, &mut asked, RunKey::seeded(1, 1).next_step());
    let once = run(&moved, &mut state, keys.next_step());
    assert_eq!(bits(&moved), before);
    assert_eq!(bits(&again.params), bits(&once.params));
    // The optimizer has moved by one update: its momentum is the one before and the estimate.
    let estimate = state.0.estimate().unwrap();
    let want = Momentum::default();
    let mut one = want.init(&moved).unwrap();
    one.momentum = leaf(&momentum.iter().map(|b| f64::from_bits(*b)).collect::<Vec<_>>());
    want.update(estimate.clone(), &moved, &mut one).unwrap();
    assert_eq!(bits(&state.1.momentum), bits(&one.momentum));
}

#[test]
fn displacements_are_those_that_the_optimizer_made() {
    let disk = Disk::default();
    let (params, moved) = (start(), leaf(&[1.0, -1.0, 0.0]));
    let mut state = disk.init(&params).unwrap();
    assert!(state.displacement(&params).unwrap().is_none());
    disk.update(normals(3, 1, 0), &params, &mut state).unwrap();
    let d = state.displacement(&moved).unwrap().unwrap();
    assert_eq!(values(&d), [-0.5, 1.0, -0.7]);
    // In single precision too, where parameters are.
    let narrow = |tree: &Tree| tree.to_dtype(DType::F32).unwrap();
    let mut state = disk.init(&narrow(&params)).unwrap();
    disk.update(narrow(&normals(3, 1, 0)), &narrow(&params), &mut state).unwrap();
    let d = state.displacement(&narrow(&moved)).unwrap().unwrap();
    assert_eq!(d.leaf("x").unwrap().dtype(), DType::F32);
}

#[test]
fn the_start_is_the_first_gradient_or_a_part_of_it() {
    let (g, h) = (normals(3, 1, 0), normals(3, 1, 1));
    let estimates = |disk: Disk| {
        let params = start();
        let mut state = disk.init(&params).unwrap();
        [&g, &h].map(|g| disk.update(g.clone(), &params, &mut state).unwrap())
    };
    let disk = Disk::new(0.25, LookAhead::Auto).unwrap();
    let [s0, s1] = estimates(disk);
    assert_eq!(bits(&s0), bits(&g));
    assert_eq!(bits(&s1), bits(&g.lin_comb(0.75, 0.25, &h).unwrap()));
    let [s0, s1] = estimates(disk.with_start(Start::Zero));
    assert_eq!(bits(&s0), bits(&g.scale(0.25).unwrap()));
    assert!(distance(&s1, &g.lin_comb(0.1875, 0.25, &h).unwrap()) < 1e-15);
}

#[test]
fn an_adaptive_gain_follows_the_kalman_filter() {
    let params = start();
    let gains = |disk: Disk, n: u64| -> Vec<(f64, f64, f64)> {
        let mut state = disk.init(&params).unwrap();
        let mut one = |t: u64| {
            let now = (disk.kappa(&state), disk.gamma(&state), disk.weight(&state));
            disk.update(normals(3, 1, t), &params, &mut state).unwrap();
            now
        };
        (0..n).map(&mut one).collect()
    };
    let close = |a: f64, b: f64| (a - b).abs() <= 1e-14 * b.abs();
    // From zero with the initial variance: the gains as they are.
    for look_ahead in [LookAhead::Auto, LookAhead::Fixed(2.0)] {
        let disk = Disk::adaptive(kalman(), look_ahead).unwrap().with_start(Start::Zero);
        for ((kappa, gamma, c), want) in gains(disk, 20).into_iter().zip(kalman().gains(20)) {
            assert!(close(kappa, want.gain));
            match look_ahead {
                LookAhead::Auto => assert!(c == 1.0 && close(gamma, (1.0 - kappa) / kappa)),
                LookAhead::Fixed(_) => {
                    assert!(gamma == 2.0 && close(c, (1.0 - kappa) / (kappa * 2.0)));
                }
            }
        }
    }
    // From the first observation: as if the initial variance were endless.
    let vague = ScalarKalman::new(1e18, 0.05, 0.5).unwrap();
    let disk = Disk::adaptive(kalman(), LookAhead::Auto).unwrap();
    for ((kappa, _, c), want) in gains(disk, 20).into_iter().zip(vague.gains(20)) {
        assert!((kappa - want.gain).abs() < 1e-12);
        assert_eq!(c, if kappa == 1.0 { 0.0 } else { 1.0 });
    }
}
