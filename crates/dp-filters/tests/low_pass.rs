//! DOPPLER on trees: what filtered gradients are.

use candle_core::DType;
use dp_core::{ClipFunction, RunKey};
use dp_filters::{Error, Filter, FilteredStep, LowPass, PerGroup, Recipe};
use proptest::prelude::*;
use tensor_tree::conformance::check_transform;
use tensor_tree::{AdamW, Groups, Identity, Rates, SingleProcess, Transform, Tree};

use crate::support::{bits, cases, distance, filters, leaf, normals, plan, problem, step, values};

/// What `transform` makes of `grads`, at parameters of zeros.
fn run<T: Transform>(transform: &T, grads: &[Tree]) -> Vec<Tree> {
    let params = grads[0].zeros_like().unwrap();
    let mut state = transform.init(&params).unwrap();
    let mut update = |g: &Tree| transform.update(g.clone(), &params, &mut state).unwrap();
    grads.iter().map(&mut update).collect()
}

fn series(n: u64, d: usize, seed: u64) -> Vec<Tree> {
    (0..n).map(|t| normals(d, seed, t)).collect()
}

#[test]
fn filters_are_transformations() {
    for recipe in Recipe::ALL {
        check_transform(&LowPass::new(recipe.filter())).unwrap();
        check_transform(&LowPass::new(recipe.filter()).then(AdamW::default())).unwrap();
    }
    check_transform(&LowPass::uncorrected(Recipe::FirstOrderTwoTaps.filter()).unwrap()).unwrap();
}

#[test]
fn no_filter_is_the_unfiltered_run_bit_for_bit() {
    let (problem, params) = (problem(12, 3, 0.2, 1), leaf(&[1.0, -2.0, 0.5]));
    let plan = plan(12, 6.0, 10, 1.0, 0.7);
    let step = step(&plan, ClipFunction::automatic(), &params);
    let filter = LowPass::new(Filter::new(vec![], vec![1.0]).unwrap());
    let filtered = FilteredStep { step: step.clone(), chain: filter.then(AdamW::default()) };
    let plain = FilteredStep { step, chain: Identity.then(AdamW::default()) };
    let mut ledgers = [plan.ledger(), plan.ledger()];
    let [with, without] = &mut ledgers;
    let (mut a, mut b) = (filtered.init(&params).unwrap(), plain.init(&params).unwrap());
    let (mut x, mut y) = (params.clone(), params);
    let mut keys = [RunKey::seeded(3, 0), RunKey::seeded(3, 0)];
    for _ in 0..10 {
        let rates = Rates::uniform(0.1);
        let [k, l] = keys.each_mut().map(RunKey::next_step);
        let sampler = plan.sampler().unwrap();
        let (p, q) = (sampler.draw(&k).map(|b| vec![b]), sampler.draw(&l).map(|b| vec![b]));
        let one = &SingleProcess;
        x = filtered.run(&problem, &x, p, &rates, k, one, with, &mut a).unwrap().params;
        y = plain.run(&problem, &y, q, &rates, l, one, without, &mut b).unwrap().params;
        assert_eq!(bits(&x), bits(&y));
    }
    assert_eq!(ledgers[0], ledgers[1]);
}

#[test]
fn the_exponential_average_is_adams_first_moment() {
    let grads = series(30, 5, 2);
    let got = run(&LowPass::new(Filter::ema(0.9).unwrap()), &grads);
    let mut m = vec![0.0; 5];
    for (t, (g, got)) in grads.iter().zip(&got).enumerate() {
        m = m.iter().zip(values(g)).map(|(m, g)| 0.9 * m + 0.1 * g).collect();
        let correction = 1.0 - 0.9f64.powi(t as i32 + 1);
        for (m, got) in m.iter().zip(values(got)) {
            assert!((m / correction - got).abs() <= 1e-14 * (1.0 + got.abs()) * 10.0);
        }
    }
}

#[test]
fn a_gradient_that_changes_steadily_comes_out_late_by_the_mean_age() {
    let ramp = |t: u32| leaf(&[5.0 + f64::from(t), -0.25 * f64::from(t)]);
    for recipe in Recipe::ALL {
        let filter = recipe.filter();
        let age = filter.mean_age();
        let low = LowPass::new(filter);
        let grads: Vec<Tree> = (0..4000).map(ramp).collect();
        let got = values(run(&low, &grads).last().unwrap());
        // 0.9927^4000 of the beginning is left at most; rounding of numbers up to 4000 is amplified by 1 / (1 + sum a) < 500.
        let late = 3999.0 - age;
        assert!((got[0] - (5.0 + late)).abs() < 1e-6, "{}: {}", recipe.name(), got[0]);
        assert!((got[1] + 0.25 * late).abs() < 1e-6, "{}: {}", recipe.name(), got[1]);
    }
}

#[test]
fn without_bias_correction_the_gain_must_be_one() {
    let error = LowPass::uncorrected(Recipe::SecondOrderLowGain.filter()).unwrap_err();
    assert!(matches!(error, Error::NotUnitGain { gain } if (gain - 0.3162).abs() < 1e-4));
    assert!(error.to_string().contains("multiplied by 0.316"), "{error}");
    let normalized = Recipe::SecondOrderLowGain.filter().normalized();
    assert!(!LowPass::uncorrected(normalized).unwrap().corrects_bias());
    // It begins with b_0 g and goes to g.
    let low = LowPass::uncorrected(Filter::ema(0.8).unwrap()).unwrap();
    let got = run(&low, &vec![leaf(&[2.0]); 200]);
    assert!((values(&got[0])[0] - 0.4).abs() < 1e-15);
    assert!((values(&got[199])[0] - 2.0).abs() < 1e-14);
}

/// In single precision: rounding of coefficients and state, amplified by the slowest mode.
#[test]
fn a_constant_gradient_comes_out_in_single_precision() {
    for recipe in Recipe::ALL {
        let filter = recipe.filter();
        let (sum_a, sum_abs) =
            (filter.a().iter().sum::<f64>(), filter.a().iter().map(|a| a.abs()).sum::<f64>());
        // Each product and each sum rounds to half an epsilon of the largest term, and so did the coefficients.
        let terms = (filter.a().len() + filter.b().len()) as f64;
        let bound = 2.0 * terms * f64::from(f32::EPSILON) * (1.0 + sum_abs) / (1.0 + sum_a);
        let g = leaf(&[1.0, -3.3, 1e-3]).to_dtype(DType::F32).unwrap();
        for (t, got) in run(&LowPass::new(filter), &vec![g.clone(); 300]).iter().enumerate() {
            for (got, g) in values(got).iter().zip(values(&g)) {
                assert!((got / g - 1.0).abs() <= bound, "{} {t}: {got} {g}", recipe.name());
            }
        }
    }
}

#[test]
fn the_state_is_as_many_trees_as_there_are_coefficients() {
    for recipe in Recipe::ALL {
        let low = LowPass::new(recipe.filter());
        let params = leaf(&[0.0; 3]);
        let mut state = low.init(&params).unwrap();
        for t in 0..6 {
            assert!(state.n_buffers() <= low.filter().n_buffers());
            low.update(normals(3, 1, t), &params, &mut state).unwrap();
        }
        assert_eq!(state.n_buffers(), low.filter().n_buffers());
    }
    assert_eq!(Recipe::FirstOrder.filter().n_buffers(), 1);
    // The memory of one filter is not that of another.
    let params = leaf(&[0.0; 3]);
    let first = LowPass::new(Recipe::FirstOrder.filter());
    let mut state = first.init(&params).unwrap();
    first.update(normals(3, 1, 0), &params, &mut state).unwrap();
    for other in [Recipe::None, Recipe::FirstOrderTwoTaps] {
        let other = LowPass::new(other.filter());
        let error = other.update(normals(3, 1, 1), &params, &mut state.clone()).unwrap_err();
        assert!(error.to_string().contains("state of another filter"), "{error}");
    }
}

#[test]
fn each_group_has_its_own_filter() {
    let grads = |t: u64| {
        let [a, b] = [1, 2].map(|seed| normals(3, seed, t).leaf("x").unwrap().clone());
        Tree::from_leaves([("head.weight", a), ("body.weight", b)]).unwrap()
    };
    let params = grads(0).zeros_like().unwrap();
    let groups = Groups::per_layer(&params);
    assert_eq!(groups.names(), ["body", "head"]);
    let [body, head] = [Recipe::DoublePole, Recipe::None].map(|r| LowPass::new(r.filter()));
    let both = PerGroup::new(groups.clone(), vec![body.clone(), head]).unwrap();
    check_transform(
        &PerGroup::new(
            Groups::one(
                &tensor_tree::conformance::sample_tree(tensor_tree::Key::from_seed(1), DType::F64)
                    .unwrap(),
            ),
            vec![body.clone()],
        )
        .unwrap(),
    )
    .unwrap();
    let mut state = both.init(&params).unwrap();
    let mut alone = body.init(&params).unwrap();
    for t in 0..8 {
        let got = both.update(grads(t), &params, &mut state).unwrap();
        let filtered = body.update(grads(t), &params, &mut alone).unwrap();
        let same = |name: &str, want: &Tree| {
            let [a, b] =
                [&got, want].map(|tree| tree.leaf(name).unwrap().to_vec1::<f64>().unwrap());
            assert_eq!(a, b, "{name}");
        };
        same("body.weight", &filtered);
        same("head.weight", &grads(t));
    }
    assert!(PerGroup::new(groups, vec![body]).is_err());
}

proptest! {
    #![proptest_config(cases(96))]

    /// Exact up to rounding, which the slowest mode amplifies.
    #[test]
    fn a_constant_gradient_comes_out_as_it_went_in(filter in filters(), g in -1e3..1e3f64) {
        let k: f64 = filter.impulse_response(1500).iter().map(|k| k.abs()).sum();
        let size = 1.0 + filter.a().iter().chain(filter.b()).map(|x| x.abs()).sum::<f64>();
        let smallest = filter.first_gains(120).iter().map(|g| g.step_response).fold(f64::MAX, f64::min);
        // Each step rounds sums of the size of the terms; what a rounding becomes is bounded by the response to it.
        let inner = k / filter.b()[0].abs().min(1.0);
        let bound = 1e-15 * 20.0 * size * (1.0 + inner) * (1.0 + inner) / smallest;
        for got in run(&LowPass::new(filter), &vec![leaf(&[g]); 120]) {
            prop_assert!((values(&got)[0] - g).abs() <= bound * g.abs(), "{} {} {}", values(&got)[0], g, bound);
        }
    }

    #[test]
    fn filtered_sums_are_sums_of_filtered_ones(filter in filters(), alpha in -3.0..3.0f64, seed in 0u64..1000) {
        let low = LowPass::new(filter);
        let (g, h) = (series(25, 4, seed), series(25, 4, seed + 1000));
        let mixed: Vec<Tree> = g.iter().zip(&h).map(|(g, h)| g.add_scaled(alpha, h).unwrap()).collect();
        let (fg, fh, fm) = (run(&low, &g), run(&low, &h), run(&low, &mixed));
        let largest = fg.iter().chain(&fh).map(|x| x.norm().unwrap()).fold(1.0, f64::max);
        for ((g, h), m) in fg.iter().zip(&fh).zip(&fm) {
            let want = g.add_scaled(alpha, h).unwrap();
            prop_assert!(distance(m, &want) <= 1e-10 * largest, "{}", distance(m, &want));
        }
    }

    /// The recursion, and the weighted mean of all gradients so far with weights `k_r / sum k`.
    #[test]
    fn the_recursion_is_a_weighted_mean_of_all_gradients(filter in filters(), seed in 0u64..1000) {
        let grads = series(25, 3, seed);
        let got = run(&LowPass::new(filter.clone()), &grads);
        let k = filter.impulse_response(25);
        for (t, got) in got.iter().enumerate() {
            let total: f64 = k[..=t].iter().sum();
            let mut want = leaf(&[0.0; 3]);
            for r in 0..=t {
                want = want.add_scaled(k[r] / total, &grads[t - r]).unwrap();
            }
            let size = k[..=t].iter().map(|k| (k / total).abs()).sum::<f64>();
            prop_assert!(distance(got, &want) <= 1e-10 * (1.0 + size), "{}", t);
        }
    }

    /// Gradients do not enter `c_t`.
    #[test]
    fn gains_do_not_depend_on_gradients(filter in filters(), seed in 0u64..1000) {
        let low = LowPass::new(filter.clone());
        let params = leaf(&[0.0; 2]);
        let mut state = low.init(&params).unwrap();
        for (g, want) in series(20, 2, seed).into_iter().zip(filter.first_gains(20)) {
            let (_, gain) = low.update_with_gain(g, &params, &mut state).unwrap();
            prop_assert_eq!(gain, want);
        }
    }
}
