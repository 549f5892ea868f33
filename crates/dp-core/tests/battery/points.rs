//! Gradients at two points, combined for each sample before they are clipped, as filters ask for them.

use tensor_tree::Label;

use super::*;

const WEIGHTS: [f64; 3] = [0.1, 1.0, 3.0];

impl Case {
    /// The same with a second point near the parameters, of this weight.
    fn at_two_points(self, weight: f64) -> Case {
        let key = Key::from_seed(31);
        let near = self
            .params
            .map(|name, leaf| key.child(Label::Leaf(name)).add_normal(leaf, 0.2))
            .unwrap();
        Case { second: Some((near, weight)), ..self }
    }
}

#[test]
fn norms_and_sums_at_two_points_are_those_of_instantiated_gradients_for_every_layer_kind() {
    for row in rows() {
        for dtype in [DType::F64, DType::F32] {
            for weight in WEIGHTS {
                let case = Case::new(&row, SIZES, dtype).at_two_points(weight);
                check_book_keeping(&case, &samples(SIZES, TOKENS, 1));
            }
        }
    }
}

/// The instantiated gradients of [`check_book_keeping`] come of the same tapes; these come of one tape for each point.
#[test]
fn gradients_at_two_points_are_the_weighted_sum_of_those_at_each_for_every_layer_kind() {
    for row in rows() {
        let samples = samples(SIZES, TOKENS, 1);
        for weight in WEIGHTS {
            let case = Case::new(&row, SIZES, DType::F64).at_two_points(weight);
            let both = case.grads(&samples).instantiate().unwrap();
            let batch = case.batch(&samples);
            let mut sum = both.zeros_like().unwrap();
            let mut apart = Vec::new();
            for point in case.points() {
                let single = ProbePoint::single(&point.params);
                let alone = case.net.per_sample(&single, &batch, case.pass).unwrap().1;
                let alone = alone.instantiate().unwrap();
                sum = sum.add_scaled(point.weight, &alone).unwrap();
                apart.push(alone);
            }
            let scale = 1.0 + apart.iter().map(|grads| grads.norm().unwrap()).sum::<f64>();
            close(row.name, distance(&both, &sum), 0.0, 1e-12, 5.0 * scale);
            // The two points are not one.
            assert!(1e-3 < distance(&apart[0], &apart[1]), "{}", row.name);
        }
    }
}

#[test]
fn one_sample_moves_the_sum_at_two_points_by_the_clip_norm_at_most_for_every_layer_kind() {
    for row in rows() {
        for dtype in [DType::F64, DType::F32] {
            for weight in WEIGHTS {
                let case = Case::new(&row, SIZES, dtype).at_two_points(weight);
                let samples = samples(SIZES, TOKENS, 1);
                let other = Sample::new(50, SIZES, Tokens::Random);
                for style in [ClipStyle::Flat, ClipStyle::PerParam] {
                    for function in [FUNCTIONS[0], FUNCTIONS[2], FUNCTIONS[3]] {
                        check_sensitivity(&case, &samples, &other, function, &style);
                    }
                }
            }
        }
    }
}

/// What an f32 step releases of one sample, without noise, over its clip norm.
fn released(case: &Case, weight: f64) -> dp_core::Result<f64> {
    let plan = dp_core::PrivacyPlan::builder()
        .n_samples(10)
        .expected_batch_size(1.0)
        .steps(1)
        .clip_norm(1.0)
        .delta(1e-5)
        .noise_multiplier(0.0)
        .build(&dp_core::RdpAccountant::new())?;
    let clipping =
        Clipping::new(ClipFunction::AutoV, &ClipStyle::Flat, &case.params, plan.clip_norm())?;
    let step = dp_core::PrivateStep::new(&plan, clipping)?;
    // So near that the difference of both gradients, times the weight, is of their size, and so is its rounding.
    let key = Key::from_seed(32);
    let near = case
        .params
        .map(|name, leaf| key.child(Label::Leaf(name)).add_normal(leaf, 0.3 / weight.min(1e4)))?;
    let points = [
        ProbePoint { params: case.params.clone(), weight: 1.0 - weight },
        ProbePoint { params: near, weight },
    ];
    let batch = dp_core::Unsampled(case.batch(&samples(SIZES, TOKENS, 1)[..1]));
    let key = dp_core::RunKey::seeded(1, 0).next_step();
    let group = &tensor_tree::SingleProcess;
    let sum = step.run(&case.net, &points, batch, key, group, &mut plan.ledger())?;
    Ok(sum.to_dtype(DType::F64)?.norm()?)
}

#[test]
fn large_weights_in_single_precision_keep_the_bound_or_are_refused() {
    for row in rows() {
        for weight in [3.0, 30.0, 300.0] {
            let case = Case::new(&row, SIZES, DType::F32).at_two_points(weight);
            let norm = released(&case, weight).unwrap();
            assert!(norm <= 1.0 + 1e-9, "{}, weight {weight}: {norm}", row.name);
            assert!(0.99 < norm || norm == 0.0, "{}, weight {weight}: {norm}", row.name);
        }
        for weight in [1e4, f64::INFINITY, f64::NAN] {
            let case = Case::new(&row, SIZES, DType::F32).at_two_points(1.0);
            let error = released(&case, weight).unwrap_err();
            assert!(matches!(error, dp_core::Error::InvalidScalar { .. }), "{}: {error}", row.name);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn norms_and_sensitivity_at_two_points_hold_for_random_shapes(
        sizes in sizes(), kinds in [tokens(), tokens(), tokens()], seed in 0u64..1000,
        function in prop::sample::select(&FUNCTIONS[..]), weight in prop::sample::select(&WEIGHTS[..]),
    ) {
        for row in rows() {
            let case = Case::new(&row, sizes, DType::F64).at_two_points(weight);
            let samples = samples(sizes, kinds, seed);
            check_book_keeping(&case, &samples);
            let other = Sample::new(seed + 40, sizes, kinds[0]);
            check_sensitivity(&case, &samples, &other, function, &ClipStyle::Flat);
        }
    }
}
