//! Tests of rotary embedding and the gated activation.

use candle_core::{DType, Var};

use super::*;
use crate::layer::swiglu;
use crate::testing::{assert_close, bits, normal, value_and_grads, values, variable};

#[test]
fn rotations_and_their_gradients_agree_with_composed_operations() {
    for order in [RotaryOrder::Halves, RotaryOrder::Neighbors] {
        for (dim, heads, t, offset) in [(2, 1, 1, 0), (8, 3, 33, 0), (6, 2, 5, 40), (64, 1, 3, 1)] {
            let rotary = Rotary::new(dim, 50, 10_000.0, order).unwrap();
            let x = variable(&[2, t, heads * dim], 1);
            let (y, g) = value_and_grads(&[&x], |x| rotary.forward(x[0], offset).unwrap());
            let (want, wg) =
                value_and_grads(&[&x], |x| rotary.turn(offset, t).unwrap().composed(x[0]).unwrap());
            assert_close(&y, &want, 1e-13, "rotary");
            assert_close(&g[0], &wg[0], 1e-13, "rotary");
        }
    }
}

#[test]
fn a_rotated_pair_has_the_angle_of_its_position() {
    let (dim, base, t) = (6, 500.0f64, 9usize);
    let x = Tensor::ones((1, 1, dim), DType::F64, &candle_core::Device::Cpu).unwrap();
    for (order, pairs) in [
        (RotaryOrder::Halves, [(0, 3), (1, 4), (2, 5)]),
        (RotaryOrder::Neighbors, [(0, 1), (2, 3), (4, 5)]),
    ] {
        let y = values(&Rotary::new(dim, 10, base, order).unwrap().forward(&x, t).unwrap());
        for (i, (a, b)) in pairs.into_iter().enumerate() {
            let angle = t as f64 * base.powf(-(2.0 * i as f64) / dim as f64);
            assert!((y[a] - (angle.cos() - angle.sin())).abs() < 1e-13);
            assert!((y[b] - (angle.cos() + angle.sin())).abs() < 1e-13);
        }
    }
}

#[test]
fn inner_products_depend_on_the_distance_of_positions_alone() {
    let rotary = Rotary::new(8, 100, 10_000.0, RotaryOrder::Halves).unwrap();
    let (q, k) = (normal(&[1, 1, 8], 1), normal(&[1, 1, 8], 2));
    let score = |i, j| {
        let (q, k) = (rotary.forward(&q, i).unwrap(), rotary.forward(&k, j).unwrap());
        values(&(q * k).unwrap()).iter().sum::<f64>()
    };
    assert!((score(10, 4) - score(96, 90)).abs() < 1e-12);
    assert!((score(10, 4) - score(10, 5)).abs() > 1e-3);
}

#[test]
fn the_gated_activation_agrees_with_composed_operations() {
    for shape in [&[1, 1][..], &[2, 5, 7], &[3, 100, 64]] {
        let (a, u) = (variable(shape, 1), variable(shape, 2));
        let (y, g) = value_and_grads(&[&a, &u], |x| swiglu(x[0], x[1]).unwrap());
        let (want, wg) = value_and_grads(&[&a, &u], |x| {
            let silu = x[0].as_tensor() / (x[0].neg().unwrap().exp().unwrap() + 1.0).unwrap();
            (silu.unwrap() * x[1].as_tensor()).unwrap()
        });
        assert_close(&y, &want, 1e-13, "swiglu");
        assert_close(&g[0], &wg[0], 1e-13, "gate");
        assert_close(&g[1], &wg[1], 1e-13, "up");
        let run = || {
            let [a, u] =
                [&a, &u].map(|x| Var::from_tensor(&x.to_dtype(DType::F32).unwrap()).unwrap());
            let (y, mut g) = value_and_grads(&[&a, &u], |x| swiglu(x[0], x[1]).unwrap());
            g.push(y);
            g
        };
        assert_eq!(bits(1, run), bits(2, run));
    }
    assert!(matches!(
        swiglu(&normal(&[2, 3], 1), &normal(&[3, 2], 1)),
        Err(Error::InputShape { .. })
    ));
}

#[test]
fn wrong_shapes_and_settings_are_typed_errors() {
    let make = |dim, base| Rotary::new(dim, 10, base, RotaryOrder::Halves);
    for (dim, base) in [(0, 1e4), (5, 1e4), (4, 1.0), (4, f64::NAN), (4, f64::INFINITY)] {
        assert!(matches!(make(dim, base), Err(Error::InvalidSetting { .. })));
    }
    let rotary = make(4, 1e4).unwrap();
    for (shape, offset) in [
        (&[2, 3, 6][..], 0),
        (&[2, 11, 4], 0),
        (&[2, 3, 4], 8),
        (&[3, 4], 0),
        (&[1, 1, 4], usize::MAX),
    ] {
        let got = rotary.forward(&normal(shape, 1), offset);
        assert!(matches!(got, Err(Error::InputShape { .. })), "{shape:?}");
    }
}
