//! Tests of the losses.

use candle_core::{Device, Var};

use super::*;
use crate::{Builder, Tape, linear};
use tensor_tree::{Key, PerSample};

fn normal(shape: &[usize], seed: u64) -> Tensor {
    let zero = Tensor::zeros(shape, DType::F64, &Device::Cpu).unwrap();
    Key::from_seed(seed).normal_like(&zero).unwrap()
}

fn vec(t: &Tensor) -> Vec<f64> {
    t.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

fn close(a: &Tensor, b: &Tensor, tolerance: f64) {
    assert_eq!(a.dims(), b.dims());
    for (x, y) in vec(a).into_iter().zip(vec(b)) {
        assert!((x - y).abs() <= tolerance * (1.0 + y.abs()), "{x} {y}");
    }
}

#[test]
fn cross_entropy_agrees_with_the_composed_form_in_value_and_gradient() {
    let logits = Var::from_tensor(&normal(&[3, 4, 7], 1)).unwrap();
    let labels =
        Tensor::new(&[[0i64, 1, 2, 3], [4, 5, 6, -100], [-100, -100, -100, -100]], &Device::Cpu)
            .unwrap();
    let seeds = Tensor::new(&[0.5f64, -2.0, 3.0], &Device::Cpu).unwrap();
    let losses = cross_entropy(logits.as_tensor(), &labels, Some(-100)).unwrap();
    assert_eq!(vec(&losses.weight), [4.0, 3.0, 0.0]);
    let checked = Labels::read(&labels, 3, 4, 7, Some(-100)).unwrap();
    let want = composed(logits.as_tensor(), &checked).unwrap().to_dtype(DType::F64).unwrap();
    close(&losses.sum, &want, 1e-6);
    let grad = |sum: &Tensor| {
        let total = (sum * &seeds).unwrap().sum_all().unwrap();
        total.backward().unwrap().get(logits.as_tensor()).unwrap().clone()
    };
    close(&grad(&losses.sum), &grad(&want), 1e-6);
}

#[test]
fn the_fused_head_equals_head_and_loss_one_after_the_other() {
    let builder = Builder::init(Key::from_seed(2), DType::F64, &Device::Cpu);
    let head = linear(5, 11, builder.vb().pp("head")).unwrap();
    let params = builder.into_tree().unwrap();
    let frozen = tensor_tree::Tree::new();
    let labels = Tensor::new(&[[0i64, 10, 2], [4, -1, 6]], &Device::Cpu).unwrap();
    let seeds = Tensor::new(&[0.5f64, -2.0], &Device::Cpu).unwrap();
    let run = |fused: bool| {
        let x = Var::from_tensor(&normal(&[2, 3, 5], 3)).unwrap();
        let tape = Tape::recording(&Device::Cpu).unwrap();
        let cx = Context::recording(&params, &frozen, &tape);
        let losses = if fused {
            linear_cross_entropy(&cx, &head, x.as_tensor(), &labels, Some(-1)).unwrap()
        } else {
            cross_entropy(&head.forward(&cx, x.as_tensor()).unwrap(), &labels, Some(-1)).unwrap()
        };
        let grads = (&losses.sum * &seeds).unwrap().sum_all().unwrap().backward().unwrap();
        let per_sample = tape.into_grads(&params, 2).unwrap();
        let norms = per_sample.squared_norms(&tensor_tree::Groups::one(&params)).unwrap();
        (
            losses.sum,
            grads.get(x.as_tensor()).unwrap().clone(),
            per_sample.into_unclipped_sum().unwrap(),
            norms,
        )
    };
    let (a, b) = (run(true), run(false));
    close(&a.0, &b.0, 1e-12);
    close(&a.1, &b.1, 1e-12);
    for (name, leaf) in a.2.iter() {
        close(leaf, b.2.leaf(name).unwrap(), 1e-12);
    }
    for (x, y) in a.3[0].iter().zip(&b.3[0]) {
        assert!((x - y).abs() < 1e-12 * y, "{x} {y}");
    }
    let cx = Context::eval(&params, &frozen);
    let plain =
        linear_cross_entropy(&cx, &head, &normal(&[2, 3, 5], 3), &labels, Some(-1)).unwrap();
    close(&plain.sum, &a.0, 1e-12);
}

#[test]
fn labels_outside_the_classes_are_refused_with_their_position() {
    let logits = normal(&[2, 3], 1);
    let labels = Tensor::new(&[0i64, 3], &Device::Cpu).unwrap();
    let error = cross_entropy(&logits, &labels, None).unwrap_err();
    assert!(matches!(error, Error::OutOfRange { got: 3, position: 1, limit: 3, .. }), "{error}");
    let labels = Tensor::new(&[0i64, 1, 2], &Device::Cpu).unwrap();
    assert!(matches!(cross_entropy(&logits, &labels, None), Err(Error::InputShape { .. })));
}

#[test]
fn losses_of_positions_have_the_gradient_of_their_function() {
    let x = normal(&[3, 4, 7], 5);
    let labels =
        Tensor::new(&[[0i64, 1, 2, 3], [4, 5, 6, -1], [-1, -1, -1, -1]], &Device::Cpu).unwrap();
    let seeds = Tensor::new(&[0.5f64, -2.0, 3.0], &Device::Cpu).unwrap();
    let classes = labels.flatten_all().unwrap().to_vec1::<i64>().unwrap();
    let nll = |row: usize, z: &[f64], gradient: Option<&mut [f64]>| {
        let class = usize::try_from(classes[row]).ok()?;
        let lse = crate::kernel::softmax::log_sum_exp(z);
        if let Some(gradient) = gradient {
            gradient.iter_mut().zip(z).for_each(|(g, z)| *g = (z - lse).exp());
            gradient[class] -= 1.0;
        }
        Some(lse - z[class])
    };
    let run = |own: bool, x: &Tensor| {
        let x = Var::from_tensor(x).unwrap();
        let losses = match own {
            true => of_positions(x.as_tensor(), nll).unwrap(),
            false => cross_entropy(x.as_tensor(), &labels, Some(-1)).unwrap(),
        };
        let total = (&losses.sum * seeds.to_dtype(x.dtype()).unwrap()).unwrap();
        let grads = total.sum_all().unwrap().backward().unwrap();
        (losses, grads.get(x.as_tensor()).unwrap().clone())
    };
    for (dtype, tolerance) in [(DType::F64, 1e-14), (DType::F32, 1e-6)] {
        let x = x.to_dtype(dtype).unwrap();
        let (own, want) = (run(true, &x), run(false, &x));
        close(&own.0.sum, &want.0.sum, tolerance);
        close(&own.0.weight, &want.0.weight, 0.0);
        close(&own.1, &want.1, tolerance);
        let plain = of_positions(&x, nll).unwrap();
        close(&plain.sum, &own.0.sum, 0.0);
    }
}
