//! Tests of attention.

use candle_core::{DType, Tensor, Var};

use super::*;
use crate::testing::{assert_close, bits, normal, value_and_grads, variable};

/// Heads, key-value heads, head size, batch, queries, keys.
const CASES: [[usize; 6]; 8] = [
    [1, 1, 3, 1, 1, 1],
    [2, 2, 4, 2, 1, 1],
    [4, 2, 5, 2, 33, 33],
    [3, 1, 8, 2, 7, 7],
    [4, 4, 2, 1, 3, 20],
    [6, 3, 4, 2, 1, 40],
    [2, 1, 4, 1, 130, 130],
    [2, 2, 3, 1, 70, 150],
];

fn parts([heads, kv_heads, dim, batch, tq, tk]: [usize; 6]) -> [Var; 3] {
    [
        variable(&[batch, tq, heads * dim], 1),
        variable(&[batch, tk, kv_heads * dim], 2),
        variable(&[batch, tk, kv_heads * dim], 3),
    ]
}

fn call(attention: &Attention, [_, _, _, batch, tq, tk]: [usize; 6]) -> Call {
    Call { sizes: attention.sizes(tq, tk), batch, lengths: None }
}

#[test]
fn attention_and_its_gradients_agree_with_composed_operations() {
    for case in CASES {
        let causal = Attention::new(case[0], case[1], case[2]).unwrap();
        for attention in [causal.clone(), causal.bidirectional()] {
            let [q, k, v] = parts(case);
            let inputs = [&q, &k, &v];
            let (y, grads) =
                value_and_grads(&inputs, |x| attention.forward(x[0], x[1], x[2]).unwrap());
            let call = call(&attention, case);
            let (want, want_grads) =
                value_and_grads(&inputs, |x| composed(x[0], x[1], x[2], &call).unwrap());
            assert_close(&y, &want, 1e-10, &format!("{case:?}"));
            for (a, b) in grads.iter().zip(&want_grads) {
                assert_close(a, b, 1e-10, &format!("{case:?}"));
            }
        }
    }
}

#[test]
fn packed_and_separate_inputs_give_the_same() {
    for case in CASES.into_iter().filter(|c| c[4] == c[5]) {
        let attention = Attention::new(case[0], case[1], case[2]).unwrap();
        let inputs = parts(case);
        let (y, grads) = value_and_grads(&[&inputs[0], &inputs[1], &inputs[2]], |x| {
            attention.forward(x[0], x[1], x[2]).unwrap()
        });
        let packed = Tensor::cat(&inputs.each_ref().map(|x| x.as_tensor()), 2).unwrap();
        let packed = Var::from_tensor(&packed).unwrap();
        let (z, packed_grads) = value_and_grads(&[&packed], |x| attention.packed(x[0]).unwrap());
        assert_close(&z, &y, 1e-14, &format!("{case:?}"));
        let want = Tensor::cat(&grads, 2).unwrap();
        assert_close(&packed_grads[0], &want, 1e-14, &format!("{case:?}"));
    }
}

#[test]
fn queries_after_cached_keys_give_the_last_rows_of_the_whole() {
    let attention = Attention::new(4, 2, 6).unwrap();
    let (q, k, v) = (normal(&[2, 90, 24], 1), normal(&[2, 90, 12], 2), normal(&[2, 90, 12], 3));
    let whole = attention.forward(&q, &k, &v).unwrap();
    for tail in [1, 5, 80] {
        let last = q.narrow(1, 90 - tail, tail).unwrap();
        let y = attention.forward(&last, &k, &v).unwrap();
        assert_close(&y, &whole.narrow(1, 90 - tail, tail).unwrap(), 1e-14, "tail");
    }
}

#[test]
fn padding_keys_count_for_nothing() {
    for causal in [true, false] {
        let attention = Attention::new(2, 1, 4).unwrap();
        let attention = if causal { attention } else { attention.bidirectional() };
        let [q, k, v] = parts([2, 1, 4, 3, 9, 9]);
        let lengths = [9, 0, 4];
        let inputs = [&q, &k, &v];
        let (y, grads) = value_and_grads(&inputs, |x| {
            attention.forward_padded(x[0], x[1], x[2], &lengths).unwrap()
        });
        let call = Call { sizes: attention.sizes(9, 9), batch: 3, lengths: Some(lengths.to_vec()) };
        let (want, want_grads) =
            value_and_grads(&inputs, |x| composed(x[0], x[1], x[2], &call).unwrap());
        assert_close(&y, &want, 1e-10, "padded");
        for (a, b) in grads.iter().zip(&want_grads) {
            assert_close(a, b, 1e-10, "padded");
        }
    }
}

#[test]
fn single_precision_is_close_and_does_not_depend_on_threads() {
    let case = [4, 2, 16, 3, 150, 150];
    let attention = Attention::new(case[0], case[1], case[2]).unwrap();
    let wide = parts(case);
    let narrow =
        wide.each_ref().map(|x| Var::from_tensor(&x.to_dtype(DType::F32).unwrap()).unwrap());
    let run = |x: &[Var; 3]| {
        let f = |x: &[&Var]| attention.forward(x[0], x[1], x[2]).unwrap();
        let (y, mut grads) = value_and_grads(&[&x[0], &x[1], &x[2]], f);
        grads.push(y);
        grads
    };
    for (a, b) in run(&narrow).iter().zip(&run(&wide)) {
        assert_close(a, b, 2e-6, "f32");
    }
    assert_eq!(bits(1, || run(&narrow)), bits(2, || run(&narrow)));
}

#[test]
fn a_bad_number_spoils_its_own_sample_only() {
    let attention = Attention::new(2, 2, 4).unwrap();
    let mut data = vec![0.5f32; 2 * 3 * 24];
    data[30] = f32::NAN;
    let x = Tensor::from_vec(data, (2, 3, 24), &candle_core::Device::Cpu).unwrap();
    let y = attention.packed(&x).unwrap();
    let finite = |i| crate::testing::values(&y.get(i).unwrap()).iter().all(|v| v.is_finite());
    assert!(!finite(0) && finite(1));
}

#[test]
fn wrong_shapes_and_settings_are_typed_errors() {
    for (heads, kv, dim) in [(0, 1, 4), (4, 3, 4), (4, 0, 4), (4, 2, 0)] {
        assert!(matches!(Attention::new(heads, kv, dim), Err(Error::InvalidSetting { .. })));
    }
    let attention = Attention::new(4, 2, 3).unwrap();
    let x = |shape: &[usize]| normal(shape, 1);
    for shape in [&[2, 5, 23][..], &[2, 24], &[2, 5, 1, 24]] {
        assert!(matches!(attention.packed(&x(shape)), Err(Error::InputShape { .. })));
    }
    let good = (x(&[2, 5, 12]), x(&[2, 5, 6]));
    for (q, k, v) in [
        (x(&[2, 5, 11]), good.1.clone(), good.1.clone()),
        (good.0.clone(), x(&[1, 5, 6]), x(&[1, 5, 6])),
        (good.0.clone(), x(&[2, 4, 6]), x(&[2, 4, 6])),
        (good.0.clone(), good.1.clone(), x(&[2, 6, 6])),
        (good.0.clone(), x(&[2, 6]), good.1.clone()),
    ] {
        assert!(matches!(attention.forward(&q, &k, &v), Err(Error::InputShape { .. })));
    }
    let padded = |n: &[usize]| attention.forward_padded(&good.0, &good.1, &good.1, n);
    assert!(matches!(padded(&[5]), Err(Error::InputShape { .. })));
    assert!(matches!(padded(&[5, 6]), Err(Error::OutOfRange { .. })));
    assert_eq!(attention.packed(&x(&[0, 5, 24])).unwrap().dims(), [0, 5, 12]);
    assert_eq!(attention.packed(&x(&[2, 0, 24])).unwrap().dims(), [2, 0, 12]);
}
