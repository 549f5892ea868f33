//! A seeded run that was saved to a file goes on bit for bit.

use std::path::Path;

use dp_core::hyfree::{Evidence, HyFree, HyFreeStep, Settings};
use dp_core::{ClipFunction, PrivacyPlan, RdpAccountant, RunKey};
use dp_filters::{
    AdamMode, Denominator, Disk, Filter, FilteredAdam, FilteredStep, LookAhead, LowPass, Recipe,
    ScalarKalman, TakesPoints, hyfree_step,
};
use tensor_tree::checkpoint::{Header, read, write};
use tensor_tree::{
    AdamW, Checkpoint, Rates, SingleProcess, StateReader, StateWriter, Transform, Tree,
};

use crate::support::{bits, leaf, plan, problem, step};

const STEPS: u64 = 9;

/// State and parameters, to a file and back.
fn through_a_file<S: Checkpoint>(folder: &Path, params: &Tree, state: &S) -> (Tree, S) {
    let header = Header { kind: "dp-filters/test".into(), config: "none".into() };
    let path = folder.join("state.safetensors");
    let mut out = StateWriter::new();
    out.tree("params", params).unwrap();
    out.part("state", state).unwrap();
    write(&path, &header, &out.finish()).unwrap();
    let saved = read(&path, &header).unwrap();
    let mut from = StateReader::new(&saved);
    (from.tree("params").unwrap(), from.part("state").unwrap())
}

/// Runs `chain` without a break and with one before each step; every time the parameters must be the same, to the bit.
fn check<T: TakesPoints>(what: &str, chain: T) {
    let (problem, plan) = (problem(12, 3, 0.2, 1), plan(12, 6.0, STEPS, 1.0, 0.7));
    let start = leaf(&[1.0, -2.0, 0.5]);
    let driver = FilteredStep { step: step(&plan, ClipFunction::automatic(), &start), chain };
    let folder = tempfile::tempdir().unwrap();
    let run = |cut: Option<u64>| -> Vec<Vec<u64>> {
        let (mut params, mut ledger) = (start.clone(), plan.ledger());
        let mut state = driver.init(&params).unwrap();
        let mut keys = RunKey::seeded(3, 0);
        let mut one = |t: u64| {
            if cut == Some(t) {
                (params, state) = through_a_file(folder.path(), &params, &state);
                keys = RunKey::seeded(3, t);
            }
            let key = keys.next_step();
            let parts = plan.sampler().unwrap().draw(&key).map(|batch| vec![batch]);
            let rates = Rates::uniform(0.1);
            let update = driver
                .run(&problem, &params, parts, &rates, key, &SingleProcess, &mut ledger, &mut state)
                .unwrap();
            params = update.params;
            bits(&params)
        };
        (0..STEPS).map(&mut one).collect()
    };
    let whole = run(None);
    for cut in 0..STEPS {
        assert_eq!(run(Some(cut)), whole, "{what}, cut before step {cut}");
    }
}

#[test]
fn a_run_with_a_low_pass_filter_resumes_bit_for_bit() {
    for recipe in Recipe::ALL {
        let low = LowPass::new(recipe.filter());
        check(recipe.name(), low.clone().then(AdamW::default()));
        for mode in [AdamMode::ReplaceFirstMoment, AdamMode::FilterThenAdam { beta1: 0.9 }] {
            let adam = FilteredAdam::new(low.clone(), mode).unwrap();
            let free = Denominator::NoiseFree { noise_std: 0.1, floor: 1e-3 };
            check(recipe.name(), adam.with_denominator(free).unwrap());
        }
    }
}

#[test]
fn a_run_with_a_kalman_filter_resumes_bit_for_bit() {
    let kalman = ScalarKalman::new(1.0, 0.05, 0.5).unwrap();
    for look_ahead in [LookAhead::Auto, LookAhead::Fixed(0.7)] {
        check("constant", Disk::new(0.4, look_ahead).unwrap().then(AdamW::default()));
        check("adaptive", Disk::adaptive(kalman, look_ahead).unwrap().then(AdamW::default()));
    }
}

#[test]
fn a_run_with_both_filters_resumes_bit_for_bit() {
    let low = LowPass::new(Recipe::DoublePole.filter());
    check("both", Disk::default().then(low).then(AdamW::default()));
}

#[test]
fn a_run_with_both_filters_and_private_rates_resumes_bit_for_bit() {
    let evidence = Evidence::default().with_momentum(0.9).unwrap();
    let settings = Settings { period: 3, ..Settings::evidence(evidence) };
    let plan = PrivacyPlan::builder()
        .n_samples(12)
        .expected_batch_size(6.0)
        .steps(STEPS)
        .clip_norm(1.0)
        .delta(1e-3)
        .noise_multiplier(0.5)
        .losses(settings.schedule())
        .loss_noise_multiplier(0.2)
        .build(&RdpAccountant::new())
        .unwrap();
    let (problem, start) = (problem(12, 3, 0.2, 1), leaf(&[1.0, -2.0, 0.5]));
    let low = LowPass::new(Recipe::FirstOrderAveraging.filter());
    let driver = HyFreeStep {
        step: step(&plan, ClipFunction::automatic(), &start),
        controller: HyFree::new(settings, &plan).unwrap(),
        chain: Disk::default().then(low).then(AdamW::default()),
    };
    let folder = tempfile::tempdir().unwrap();
    let run = |cut: Option<u64>| -> Vec<Vec<u64>> {
        let (mut params, mut ledger) = (start.clone(), plan.ledger());
        let mut state = driver.init(&params).unwrap();
        let mut keys = RunKey::seeded(3, 0);
        let mut one = |t: u64| {
            if cut == Some(t) {
                (params, state) = through_a_file(folder.path(), &params, &state);
                keys = RunKey::seeded(3, t);
            }
            let key = keys.next_step();
            let parts = plan.sampler().unwrap().draw(&key).map(|batch| vec![batch]);
            let one = &SingleProcess;
            let update =
                hyfree_step(&driver, &problem, &params, parts, key, one, &mut ledger, &mut state);
            params = update.unwrap().params;
            bits(&params)
        };
        (0..STEPS).map(&mut one).collect()
    };
    let whole = run(None);
    for cut in 0..STEPS {
        assert_eq!(run(Some(cut)), whole, "cut before step {cut}");
    }
}

/// Two filters with as many coefficients, told apart by their values.
#[test]
fn the_state_of_another_filter_is_refused_though_the_counts_agree() {
    let params = leaf(&[1.0, 2.0]);
    let [one, other] = [0.9, 0.8].map(|decay| LowPass::new(Filter::ema(decay).unwrap()));
    let mut state = one.init(&params).unwrap();
    // Before the first step there is nothing of either.
    other.update(params.clone(), &params, &mut state.clone()).unwrap();
    one.update(params.clone(), &params, &mut state).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (_, mut saved) = through_a_file(folder.path(), &params, &state);
    for state in [&mut state, &mut saved] {
        let error = other.update(params.clone(), &params, state).unwrap_err().to_string();
        let [was, is] = [&one, &other]
            .map(|low| format!("a = {:?}, b = {:?}", low.filter().a(), low.filter().b()));
        assert!(error.contains("state of another filter"), "{error}");
        assert!(error.contains(&format!("{was}, to go on with {is}")), "{error}");
        assert_eq!(state.step(), 1);
        one.update(params.clone(), &params, state).unwrap();
    }
}

#[test]
fn gains_that_cannot_be_are_refused() {
    let load = |impulse: f64, step_response: f64, power: f64| {
        let mut out = StateWriter::new();
        out.count("step", 1).unwrap();
        out.number("power", power).unwrap();
        out.count("past", 1).unwrap();
        out.number("impulse 0", impulse).unwrap();
        out.number("step response 0", step_response).unwrap();
        dp_filters::Gains::load(&mut StateReader::new(&out.finish())).map_err(|e| e.to_string())
    };
    load(-0.1, 0.1, 0.01).unwrap();
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert!(load(bad, 0.1, 0.01).unwrap_err().contains("impulse 0"), "{bad}");
    }
    for bad in [f64::NAN, f64::INFINITY, 0.0, -0.1] {
        assert!(load(0.1, bad, 0.01).unwrap_err().contains("step response 0"), "{bad}");
    }
    for bad in [f64::NAN, f64::INFINITY, -0.1] {
        assert!(load(0.1, 0.1, bad).unwrap_err().contains("power"), "{bad}");
    }
}

#[test]
fn a_state_that_is_damaged_is_refused() {
    let params = leaf(&[1.0, 2.0]);
    let disk = Disk::default();
    let mut state = disk.init(&params).unwrap();
    disk.update(params.clone(), &params, &mut state).unwrap();
    let load = |variance: f64, with_params: bool| {
        let mut out = StateWriter::new();
        out.count("step", 1).unwrap();
        out.number("variance", variance).unwrap();
        out.tree("estimate", &params).unwrap();
        if with_params {
            out.tree("params", &params).unwrap();
        }
        dp_filters::DiskState::load(&mut StateReader::new(&out.finish()))
    };
    assert!(load(0.5, true).is_ok());
    assert!(load(0.5, false).is_err());
    for bad in [-1.0, f64::NAN, f64::INFINITY, 1e301] {
        assert!(load(bad, true).unwrap_err().to_string().contains("variance"), "{bad}");
    }
    // Parameters of another shape than those that were saved.
    let other = leaf(&[1.0, 2.0, 3.0]);
    assert!(disk.points(&other, &mut state).is_err());
    assert!(disk.update(other.clone(), &other, &mut state).is_err());
}
