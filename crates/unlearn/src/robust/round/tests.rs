//! Tests of the rounding of weights.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn one(leaf: Tensor) -> Tree {
    Tree::from_leaves([("w", leaf)]).unwrap()
}

fn matrix(values: &[f64], rows: usize, dtype: DType) -> Tree {
    let shape = (rows, values.len() / rows);
    let leaf = Tensor::from_slice(values, shape, &Device::Cpu).unwrap();
    one(leaf.to_dtype(dtype).unwrap())
}

fn values(tree: &Tree) -> Vec<f64> {
    host_values(tree.leaf("w").unwrap()).unwrap()
}

/// Numbers of many sizes, zeros among them.
fn weight() -> impl Strategy<Value = f64> {
    (-1.0..=1.0, -40..40_i32).prop_map(
        |(x, exponent): (f64, i32)| if x.abs() < 0.1 { 0.0 } else { x * 2_f64.powi(exponent) },
    )
}

fn bits() -> impl Strategy<Value = u32> {
    2..=8_u32
}

fn dtype() -> impl Strategy<Value = DType> {
    prop_oneof![Just(DType::F64), Just(DType::F32), Just(DType::BF16), Just(DType::F16)]
}

fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn errors_are_at_most_half_a_step_of_the_row(weights in vec(weight(), 12), bits in bits()) {
        let rounded = round_to_bits(&matrix(&weights, 3, DType::F64), bits).unwrap();
        let levels = f64::from((1 << (bits - 1)) - 1);
        for (row, rounded) in weights.chunks(4).zip(values(&rounded).chunks(4)) {
            let largest = row.iter().fold(0.0, |most: f64, x| x.abs().max(most));
            let step = largest / levels;
            for (x, r) in row.iter().zip(rounded) {
                prop_assert!((x - r).abs() <= 0.5 * step * (1.0 + 1e-12), "{} {} {}", x, r, step);
                prop_assert!(r.abs() <= largest);
                if 0.0 < largest {
                    let level = r / step;
                    prop_assert!((level - level.round()).abs() < 1e-12 * levels, "{}", level);
                }
            }
        }
    }

    #[test]
    fn rounding_twice_is_rounding_once(weights in vec(weight(), 12), bits in bits(), dtype in dtype()) {
        // Halves hold numbers up to 65504.
        let weights: Vec<f64> = weights.iter().map(|x| x.clamp(-6e4, 6e4)).collect();
        let once = round_to_bits(&matrix(&weights, 2, dtype), bits).unwrap();
        let twice = round_to_bits(&once, bits).unwrap();
        prop_assert_eq!(once.leaf("w").unwrap().dtype(), dtype);
        prop_assert_eq!(values(&once), values(&twice));
    }

    #[test]
    fn rounding_turns_with_the_sign_and_grows_with_powers_of_two(weights in vec(weight(), 6), bits in bits()) {
        let at = |scale: f64| {
            let scaled: Vec<f64> = weights.iter().map(|x| scale * x).collect();
            values(&round_to_bits(&matrix(&scaled, 1, DType::F64), bits).unwrap())
        };
        let plain = at(1.0);
        for scale in [-1.0, 0.25, -8.0] {
            let want: Vec<f64> = plain.iter().map(|x| scale * x).collect();
            prop_assert_eq!(at(scale), want);
        }
    }
}

#[test]
fn rows_of_a_matrix_have_scales_of_their_own_and_a_vector_has_one() {
    let numbers = [127.0, 0.4, 1.27, 0.004];
    let by_row = values(&round_to_bits(&matrix(&numbers, 2, DType::F64), 8).unwrap());
    for (got, want) in by_row.iter().zip([127.0, 0.0, 1.27, 0.0]) {
        assert!((got - want).abs() < 1e-15, "{by_row:?}");
    }
    let vector = one(Tensor::new(&numbers, &Device::Cpu).unwrap());
    assert_eq!(values(&round_to_bits(&vector, 8).unwrap()), [127.0, 0.0, 1.0, 0.0]);
    // A filter of a convolution is a row.
    let filters = Tensor::new(&numbers, &Device::Cpu).unwrap().reshape((2, 1, 2)).unwrap();
    assert_eq!(values(&round_to_bits(&one(filters), 8).unwrap()), by_row);
    let scalar = one(Tensor::new(0.3, &Device::Cpu).unwrap());
    assert_eq!(values(&round_to_bits(&scalar, 2).unwrap()), [0.3]);
}

#[test]
fn fewer_bits_leave_fewer_levels() {
    let numbers: Vec<f64> = (-100..=100).map(f64::from).collect();
    for bits in 2..=8 {
        let mut levels = values(&round_to_bits(&matrix(&numbers, 1, DType::F64), bits).unwrap());
        levels.dedup();
        let all = (1 << bits) - 1;
        assert_eq!(levels.len(), all.min(201), "{bits} bits");
        assert!(levels.contains(&0.0));
    }
}

#[test]
fn zeros_and_empty_leaves_stay() {
    let zeros = matrix(&[0.0, -0.0, 0.0, 5.0], 2, DType::F32);
    assert_eq!(values(&round_to_bits(&zeros, 4).unwrap()), [0.0, 0.0, 0.0, 5.0]);
    for shape in [vec![0], vec![0, 3], vec![3, 0]] {
        let leaf = Tensor::zeros(shape.clone(), DType::F32, &Device::Cpu).unwrap();
        let rounded = round_to_bits(&one(leaf), 4).unwrap();
        assert_eq!(rounded.leaf("w").unwrap().dims(), shape);
    }
    assert!(round_to_bits(&Tree::new(), 4).unwrap().is_empty());
}

#[test]
fn the_smallest_weights_do_not_vanish() {
    let tiny = 5e-324;
    let rounded = round_to_bits(&matrix(&[tiny, -3.0 * tiny, 0.0], 1, DType::F64), 8).unwrap();
    assert_eq!(values(&rounded), [tiny, -3.0 * tiny, 0.0]);
}

#[test]
fn other_bits_and_weights_that_are_not_finite_are_refused() {
    let good = matrix(&[1.0, 2.0], 1, DType::F32);
    for bits in [0, 1, 9, 32] {
        assert!(matches!(round_to_bits(&good, bits), Err(Error::OutOfRange { .. })), "{bits}");
    }
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let error = round_to_bits(&matrix(&[1.0, bad], 1, DType::F32), 8).unwrap_err();
        assert!(
            matches!(&error, Error::NotFinite { leaf, index: 1, .. } if leaf == "w"),
            "{error}"
        );
    }
}
