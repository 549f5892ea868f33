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
