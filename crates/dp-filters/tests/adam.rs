//! Filters in Adam: where they stand, what is divided by, and the second moment without the noise.

use dp_core::ClipFunction;
use dp_filters::{AdamMode, Denominator, Disk, Filter, FilteredAdam, LookAhead, LowPass, Recipe};
use tensor_tree::conformance::check_transform;
use tensor_tree::{AdamW, Transform, Tree};

use crate::support::{distance, leaf, normals, plan, step, values};

const MODES: [AdamMode; 2] =
    [AdamMode::ReplaceFirstMoment, AdamMode::FilterThenAdam { beta1: 0.9 }];

fn adam(filter: Filter, mode: AdamMode) -> FilteredAdam {
    FilteredAdam::new(LowPass::new(filter), mode).unwrap()
}

fn directions<T: Transform>(transform: &T, params: &Tree, steps: u64) -> Vec<Tree> {
    let mut state = transform.init(params).unwrap();
    let mut one = |t| transform.update(normals(5, 3, t), params, &mut state).unwrap();
    (0..steps).map(&mut one).collect()
}

fn same(a: &[Tree], b: &[Tree]) {
    for (t, (a, b)) in a.iter().zip(b).enumerate() {
        assert!(distance(a, b) <= 1e-12 * (1.0 + b.norm().unwrap()), "step {t}");
    }
}

#[test]
fn filtered_adams_are_transformations() {
    for mode in MODES {
        for denominator in [
            Denominator::Sum { eps: 1e-8 },
            Denominator::AtLeast { least: 1e-5 },
            Denominator::NoiseFree { noise_std: 0.3, floor: 1e-8 },
        ] {
            let adam = adam(Recipe::DoublePole.filter(), mode);
            let adam = adam.with_denominator(denominator).unwrap().with_weight_decay(0.1).unwrap();
            check_transform(&adam).unwrap();
        }
    }
}

#[test]
fn an_average_in_the_place_of_the_first_moment_is_adam() {
    let params = normals(5, 9, 0);
    for decay in [0.0, 0.1] {
        let want = AdamW { weight_decay: decay, ..AdamW::default() };
        let got = adam(Filter::ema(0.9).unwrap(), AdamMode::ReplaceFirstMoment);
        let got = got.with_weight_decay(decay).unwrap();
        same(&directions(&got, &params, 20), &directions(&want, &params, 20));
    }
}

#[test]
fn a_filter_before_adam_is_a_chain_of_both() {
    let params = normals(5, 9, 0);
    for recipe in Recipe::ALL {
        let want = LowPass::new(recipe.filter()).then(AdamW::default());
        let got = adam(recipe.filter(), AdamMode::FilterThenAdam { beta1: 0.9 });
        same(&directions(&got, &params, 20), &directions(&want, &params, 20));
    }
}

#[test]
fn the_second_moment_is_of_raw_gradients_or_of_filtered_ones() {
    // 1 and an alternation of 3, which the averaging filter removes: squares are 16 and 4 before it, and 1 behind.
    let params = leaf(&[0.0]);
    for (mode, mean_square) in MODES.into_iter().zip([10.0f64, 1.0]) {
        let adam = adam(Recipe::FirstOrderAveraging.filter(), mode).with_beta2(0.99).unwrap();
        let mut state = adam.init(&params).unwrap();
        let mut one = |t: u64| {
            let g = leaf(&[if t.is_multiple_of(2) { 4.0 } else { -2.0 }]);
            values(&adam.update(g, &params, &mut state).unwrap())[0]
        };
        let got = (0..600).map(&mut one).last().unwrap();
        // What is left of the alternation of squares and of the beginning is below 1 %.
        assert!((got * mean_square.sqrt() - 1.0).abs() < 0.01, "{mode:?}: {got}");
    }
}

/// A constant gradient: both moments are known, and without a filter so are the directions.
#[test]
fn denominators_are_those_of_their_formulas() {
    let params = leaf(&[0.0; 4]);
    let g = [0.5, -0.1, 2.0, 0.01];
    let of = |denominator: Denominator| {
        let adam = adam(Recipe::None.filter(), MODES[0]).with_denominator(denominator).unwrap();
        let mut state = adam.init(&params).unwrap();
        for _ in 0..4 {
            adam.update(leaf(&g), &params, &mut state).unwrap();
        }
        values(&adam.update(leaf(&g), &params, &mut state).unwrap())
    };
    let check = |denominator: Denominator, below: &dyn Fn(f64) -> f64| {
        for (got, g) in of(denominator).iter().zip(g) {
            assert!((got - g / below(g)).abs() <= 1e-12 * got.abs(), "{denominator:?}: {got}");
        }
    };
    check(Denominator::Sum { eps: 0.2 }, &|g| g.abs() + 0.2);
    check(Denominator::AtLeast { least: 0.2 }, &|g| g.abs().max(0.2));
    let free = Denominator::NoiseFree { noise_std: 0.3, floor: 0.02 };
    check(free, &|g| (g * g - 0.09).max(0.02).sqrt());
}

/// What is taken off is a number: the difference of two denominators, each the first moment over the direction. It is compared with the
/// second moment of noise alone, measured over many coordinates.
#[test]
fn what_is_taken_off_the_second_moment_is_the_noise_in_it() {
    const D: usize = 20_000;
    const STD: f64 = 0.7;
    const BETA2: f64 = 0.9;
    let filters = [
        LowPass::new(Recipe::FirstOrder.filter()),
        LowPass::new(Recipe::DoublePole.filter()),
        LowPass::uncorrected(Recipe::FirstOrderTwoTaps.filter()).unwrap(),
    ];
    for mode in MODES {
        for low in filters.clone() {
            let adam = FilteredAdam::new(low.clone(), mode).unwrap().with_beta2(BETA2).unwrap();
            let free = Denominator::NoiseFree { noise_std: STD, floor: 1e-12 };
            let [with, without] = [free, Denominator::AtLeast { least: 1e-12 }]
                .map(|denominator| adam.clone().with_denominator(denominator).unwrap());
            let (one, many) = (leaf(&[0.0]), leaf(&vec![0.0; D]));
            let (mut a, mut b) = (with.init(&one).unwrap(), without.init(&one).unwrap());
            let momentum = match mode {
                AdamMode::ReplaceFirstMoment => Filter::new(vec![], vec![1.0]).unwrap(),
                AdamMode::FilterThenAdam { beta1 } => Filter::ema(beta1).unwrap(),
            };
            let chain = low.clone().then(LowPass::new(momentum));
            let mut first = chain.init(&one).unwrap();
            let (mut noise, mut measured) = (low.init(&many).unwrap(), 0.0);
            for t in 0..15 {
                let run = |adam: &FilteredAdam, state: &mut _| {
                    values(&adam.update(leaf(&[40.0]), &one, state).unwrap())[0]
                };
                let (x, y) = (run(&with, &mut a), run(&without, &mut b));
                let first = values(&chain.update(leaf(&[40.0]), &one, &mut first).unwrap())[0];
                let taken = (first / y).powi(2) - (first / x).powi(2);
                let g = normals(D, 5, t).scale(STD).unwrap();
                let filtered = low.update(g.clone(), &many, &mut noise).unwrap();
                let seen = if mode == AdamMode::ReplaceFirstMoment { g } else { filtered };
                measured =
                    BETA2 * measured + (1.0 - BETA2) * seen.norm().unwrap().powi(2) / D as f64;
                let want = measured / (1.0 - BETA2.powi(t as i32 + 1));
                // A mean of averages of squares strays no more than one of squares: sqrt(2 / D) of itself.
                let bound = 5.0 * (2.0 / D as f64).sqrt();
                assert!((taken / want - 1.0).abs() < bound, "{mode:?}, step {t}: {taken} {want}");
            }
        }
    }
}

/// Noise in place of gradients, taken off: the floor is what is left to divide by.
#[test]
fn the_floor_is_divided_by_where_noise_is_all_there_is() {
    let params = leaf(&[0.0; 5]);
    let free = Denominator::NoiseFree { noise_std: 100.0, floor: 1e-4 };
    let adam = adam(Recipe::None.filter(), MODES[0]).with_denominator(free).unwrap();
    for (t, direction) in directions(&adam, &params, 5).iter().enumerate() {
        assert!(distance(direction, &normals(5, 3, t as u64).scale(100.0).unwrap()) < 1e-10);
    }
}

#[test]
fn the_noise_of_a_step_is_what_its_denominator_takes_off() {
    let plan = plan(100, 25.0, 10, 2.0, 1.5);
    let step = step(&plan, ClipFunction::automatic(), &leaf(&[0.0; 3]));
    assert_eq!(step.noise_std(), 1.5 * 2.0 / 25.0);
    let parts = |before: f64| match Denominator::noise_free(&step, before, 1e-8).unwrap() {
        Denominator::NoiseFree { noise_std, floor } => (noise_std, floor),
        other => panic!("{other:?}"),
    };
    assert_eq!(parts(1.0), (0.12, 1e-8));
    assert_eq!(parts(0.25), (0.06, 1e-8));
    for bad in [0.0, -1.0, f64::INFINITY, f64::NAN] {
        let error = Denominator::noise_free(&step, bad, 1e-8).unwrap_err().to_string();
        assert!(error.starts_with("noise power gain of what stands before must be"), "{error}");
        assert!(Denominator::noise_free(&step, 1.0, bad).is_err(), "{bad}");
    }
}

/// Behind DiSK the noise is a nineteenth of that of the step. A gradient of 0.3 in noise of deviation 1, over many coordinates.
#[test]
fn behind_another_filter_the_noise_that_is_left_is_taken_off() {
    const D: usize = 2000;
    const SIGNAL: f64 = 0.3;
    let (params, zero) = (leaf(&vec![0.0; D]), leaf(&vec![0.0; D]));
    let step = step(&plan(100, 25.0, 10, 25.0, 1.0), ClipFunction::automatic(), &params);
    assert_eq!(step.noise_std(), 1.0);
    let disk = Disk::new(0.1, LookAhead::Auto).unwrap();
    let run = |signal: f64, before: f64| {
        let free = Denominator::noise_free(&step, before, 1e-8).unwrap();
        let adam = adam(Recipe::FirstOrder.filter(), AdamMode::ReplaceFirstMoment);
        let chain = disk.then(adam.with_denominator(free).unwrap());
        let mut state = chain.init(&params).unwrap();
        let mut one = |t: u64| {
            let g = zero.map(|_, leaf| Ok((leaf + signal)?)).unwrap();
            let g = g.add_scaled(1.0, &normals(D, 31, t)).unwrap();
            values(&chain.update(g, &params, &mut state).unwrap())
        };
        (0..600).map(&mut one).last().unwrap()
    };
    let mean = |x: &[f64]| x.iter().map(|x| x.abs()).sum::<f64>() / x.len() as f64;
    // Without noise every direction is 1.
    let right = mean(&run(SIGNAL, disk.noise_power_gain()));
    assert!((0.8..1.4).contains(&right), "{right}");
    // That of the step is more than there is in all: the floor of 1e-4 is divided by.
    let wrong = mean(&run(SIGNAL, 1.0));
    assert!(1000.0 < wrong, "{wrong}");
    // Noise alone: what is left of the second moment is its own deviation, about zero, so the floor is met by half of it and not by all.
    let at_floor =
        |before: f64| run(0.0, before).iter().filter(|x| 30.0 < x.abs()).count() as f64 / D as f64;
    let (right, wrong) = (at_floor(disk.noise_power_gain()), at_floor(1.0));
    assert!((0.3..0.8).contains(&right) && 0.95 < wrong, "{right} {wrong}");
}

#[test]
fn settings_out_of_range_are_refused() {
    let plain = || adam(Recipe::None.filter(), MODES[0]);
    for beta in [-0.1, 1.0, f64::NAN] {
        assert!(plain().with_beta2(beta).is_err());
        let low = LowPass::new(Recipe::None.filter());
        assert!(FilteredAdam::new(low, AdamMode::FilterThenAdam { beta1: beta }).is_err());
    }
    for bad in [0.0, -1.0, f64::INFINITY, f64::NAN] {
        for denominator in [
            Denominator::Sum { eps: bad },
            Denominator::AtLeast { least: bad },
            Denominator::NoiseFree { noise_std: 1.0, floor: bad },
        ] {
            assert!(plain().with_denominator(denominator).is_err(), "{denominator:?}");
        }
    }
    assert!(
        plain().with_denominator(Denominator::NoiseFree { noise_std: -1.0, floor: 1.0 }).is_err()
    );
    assert!(plain().with_weight_decay(f64::NAN).is_err());
}
