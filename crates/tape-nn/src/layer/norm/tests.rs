//! Tests of norms.

use candle_core::{DType, Device, Tensor, Var};
use tensor_tree::Tree;

use super::*;
use crate::tape::Tape;
use crate::testing::{assert_close, bits, normal, per_sample, value_and_grads, variable};

fn params(size: usize) -> Tree {
    let weight = (normal(&[size], 5) + 1.0).unwrap();
    Tree::from_leaves([("n.weight", weight), ("n.bias", normal(&[size], 6))]).unwrap()
}

fn layers(size: usize) -> (LayerNorm, LayerNorm, RmsNorm) {
    let (w, b) = (Param::named("n.weight", &[size]), Param::named("n.bias", &[size]));
    (
        LayerNorm::new(w.clone(), Some(b), 1e-5).unwrap(),
        LayerNorm::new(w.clone(), None, 1e-5).unwrap(),
        RmsNorm::new(w, 1e-6).unwrap(),
    )
}

type Apply = Box<dyn Fn(&Context<'_>, &Tensor) -> Result<Tensor> + Send + Sync>;

fn variants(size: usize) -> [(&'static str, bool, bool, f64, Apply); 3] {
    let (full, plain, rms) = layers(size);
    [
        ("layer norm", true, true, 1e-5, Box::new(move |cx, x| full.forward(cx, x))),
        ("without bias", true, false, 1e-5, Box::new(move |cx, x| plain.forward(cx, x))),
        ("rms", false, false, 1e-6, Box::new(move |cx, x| rms.forward(cx, x))),
    ]
}

/// The formula in candle's operations, with the parameters as variables.
fn reference(x: &Tensor, w: &Tensor, b: Option<&Tensor>, eps: f64, centered: bool) -> Tensor {
    let x = if centered {
        x.broadcast_sub(&x.mean_keepdim(D::Minus1).unwrap()).unwrap()
    } else {
        x.clone()
    };
    let ms = (x.sqr().unwrap().mean_keepdim(D::Minus1).unwrap() + eps).unwrap();
    let y = x.broadcast_div(&ms.sqrt().unwrap()).unwrap().broadcast_mul(w).unwrap();
    b.map_or(y.clone(), |b| y.broadcast_add(b).unwrap())
}

#[test]
fn norms_and_their_gradients_agree_with_composed_operations() {
    for (batch, t, size) in [(1, 1, 1), (3, 1, 7), (2, 33, 40), (4, 5, 64)] {
        let x = variable(&[batch, t, size], 1);
        let params = params(size);
        for (what, centered, biased, eps, apply) in variants(size) {
            let (w, b) =
                (Var::from_tensor(params.get("n.weight").unwrap()).unwrap(), normal(&[size], 6));
            let b = Var::from_tensor(&b).unwrap();
            let tape = Tape::recording(&Device::Cpu).unwrap();
            let frozen = Tree::new();
            let cx = Context::recording(&params, &frozen, &tape);
            let (y, grads) = value_and_grads(&[&x], |v| apply(&cx, v[0]).unwrap());
            let inputs: Vec<&Var> = if biased { vec![&x, &w, &b] } else { vec![&x, &w] };
            let (want, want_grads) = value_and_grads(&inputs, |v| {
                reference(v[0], v[1], v.get(2).map(|b| b.as_tensor()), eps, centered)
            });
            assert_close(&y, &want, 1e-10, what);
            assert_close(&grads[0], &want_grads[0], 1e-10, what);
            for record in tape.take_records() {
                for (name, sum) in record.sums(None).unwrap() {
                    let want = if &*name == "n.weight" { &want_grads[1] } else { &want_grads[2] };
                    assert_close(&sum, want, 1e-10, &name);
                }
            }
        }
    }
}

#[test]
fn per_sample_gradients_are_those_of_passes_over_single_samples() {
    let (batch, t, size) = (5, 6, 9);
    let (frozen, all) = (Tree::new(), params(size));
    let x = normal(&[batch, t, size], 1);
    let seed = normal(&[batch, t, size], 2);
    for (what, _, biased, _, apply) in variants(size) {
        let (params, _) = all.partition(|name| biased || name != "n.bias");
        let run = |x: &Tensor, seed: &Tensor, n: usize| {
            per_sample(&params, n, |tape| {
                let y = apply(&Context::recording(&params, &frozen, tape), x).unwrap();
                (y * seed).unwrap().sum_all().unwrap()
            })
        };
        let together = run(&x, &seed, batch);
        for i in 0..batch {
            let one = |t: &Tensor| t.narrow(0, i, 1).unwrap();
            let alone = run(&one(&x), &one(&seed), 1);
            for (name, grads) in together.iter() {
                assert_close(&one(grads), alone.get(name).unwrap(), 1e-14, what);
            }
        }
    }
}

#[test]
fn the_composed_path_records_and_differentiates_alike() {
    let (batch, t, size) = (3, 4, 6);
    let params = params(size);
    let frozen = Tree::new();
    for centered in [true, false] {
        let run = |fall_back: bool| {
            let x = variable(&[batch, t, size], 1);
            let tape = Tape::recording(&Device::Cpu).unwrap();
            let cx = Context::recording(&params, &frozen, &tape);
            let (w, b) = (Param::named("n.weight", &[size]), Param::named("n.bias", &[size]));
            let (y, mut grads) = value_and_grads(&[&x], |v| {
                let call = Call::new(&cx, v[0], &w, Some(&b), 1e-5, centered).unwrap();
                if fall_back { composed(v[0], call).unwrap() } else { call.forward(v[0]).unwrap() }
            });
            let kept = tape.into_grads(&params, batch).unwrap().instantiate().unwrap();
            grads.extend(kept.iter().map(|(_, g)| g.clone()));
            grads.push(y);
            grads
        };
        for (a, b) in run(true).iter().zip(&run(false)) {
            assert_close(a, b, 1e-12, "composed");
        }
    }
}

#[test]
fn single_precision_is_close_and_does_not_depend_on_threads() {
    let (batch, t, size) = (4, 100, 130);
    let (frozen, params) = (Tree::new(), params(size));
    let narrow = params.to_dtype(DType::F32).unwrap();
    let x = ((normal(&[batch, t, size], 1) * 3.0).unwrap() + 20.0).unwrap();
    for (what, _, biased, _, apply) in variants(size) {
        let run = |x: &Tensor, params: &Tree| {
            let (params, _) = params.partition(|name| biased || name != "n.bias");
            let x = Var::from_tensor(x).unwrap();
            let tape = Tape::recording(&Device::Cpu).unwrap();
            let cx = Context::recording(&params, &frozen, &tape);
            let (y, mut grads) = value_and_grads(&[&x], |v| apply(&cx, v[0]).unwrap());
            let sums = tape.into_sum(&params).unwrap();
            grads.push(y);
            grads.extend(sums.iter().map(|(_, g)| g.clone()));
            grads
        };
        let x32 = x.to_dtype(DType::F32).unwrap();
        for (a, b) in run(&x32, &narrow).iter().zip(&run(&x, &params)) {
            assert_close(a, b, 1e-5, what);
        }
        assert_eq!(bits(1, || run(&x32, &narrow)), bits(2, || run(&x32, &narrow)), "{what}");
    }
}

#[test]
fn wrong_shapes_and_settings_are_typed_errors() {
    let (frozen, params) = (Tree::new(), params(4));
    let cx = Context::eval(&params, &frozen);
    let (full, _, rms) = layers(4);
    for x in [normal(&[2, 3], 1), normal(&[4], 1), normal(&[2, 4, 5], 1)] {
        assert!(matches!(full.forward(&cx, &x), Err(Error::InputShape { .. })));
        assert!(matches!(rms.forward(&cx, &x), Err(Error::InputShape { .. })));
    }
    let (wide, _, _) = layers(5);
    let x = normal(&[2, 5], 1);
    assert!(matches!(wide.forward(&cx, &x), Err(Error::ParamShape { .. })));
    assert!(full.forward(&cx, &normal(&[0, 3, 4], 1)).unwrap().elem_count() == 0);
    for eps in [-1.0, f64::NAN, f64::INFINITY] {
        let weight = Param::named("n.weight", &[4]);
        assert!(matches!(RmsNorm::new(weight, eps), Err(Error::InvalidSetting { .. })));
    }
    assert!(LayerNorm::new(Param::named("n.weight", &[0]), None, 1e-5).is_err());
}
