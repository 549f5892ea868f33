//! The perceptron and the convolutional network against candle and against finite differences.

use candle_core::{DType, Device};
use candle_nn::Module;
use tensor_tree::{Groups, Key, PerSample, Tree};

use super::*;
use crate::net::Mlp;
use crate::tape::Tape;
use crate::testing::{assert_close, bits, normal, values};
use crate::{Builder, Context};

fn small(order: Channels) -> CnnConfig {
    CnnConfig {
        inputs: 2,
        size: (7, 6),
        channels: vec![4, 6],
        groups: 2,
        hidden: 5,
        classes: 3,
        order,
    }
}

fn cnn(config: CnnConfig, dtype: DType) -> (Cnn, Tree) {
    let builder = Builder::init(Key::from_seed(4), dtype, &Device::Cpu);
    let net = Cnn::new(config, builder.vb()).unwrap();
    let params = builder.into_tree().unwrap();
    // Normalisations start at one and zero; other values say more.
    let params = params
        .map(|name, leaf| {
            let noise = normal(leaf.dims(), name.len() as u64).to_dtype(leaf.dtype())?;
            Ok((leaf + (noise * 0.1)?)?)
        })
        .unwrap();
    (net, params)
}

fn mlp(activation: Activation) -> (Mlp, Tree) {
    let builder = Builder::init(Key::from_seed(4), DType::F64, &Device::Cpu);
    let net = Mlp::new(&[12, 7, 6, 3], activation, builder.vb()).unwrap();
    (net, builder.into_tree().unwrap())
}

/// Cross-entropy of each sample against the classes 0, 1, 2, 0, ...
fn losses(net: &dyn Network, cx: &Context<'_>, x: &Tensor) -> Tensor {
    let logits = net.forward(cx, x).unwrap();
    let n = x.dims()[0];
    let labels: Vec<u32> = (0..3).cycle().take(n).collect();
    let labels = Tensor::from_vec(labels, n, &Device::Cpu).unwrap();
    crate::loss::cross_entropy(&logits, &labels, None).unwrap().sum
}

fn gradients(net: &dyn Network, params: &Tree, x: &Tensor) -> (Tree, Tree, Vec<f64>) {
    let frozen = Tree::new();
    let pass = |tape: &Tape| {
        let cx = Context::recording(params, &frozen, tape);
        losses(net, &cx, x).sum_all().unwrap().backward().unwrap();
    };
    let tape = Tape::summing(&Device::Cpu).unwrap();
    pass(&tape);
    let summed = tape.into_sum(params).unwrap();
    let tape = Tape::recording(&Device::Cpu).unwrap();
    pass(&tape);
    let grads = tape.into_grads(params, x.dims()[0]).unwrap();
    let norms = grads.squared_norms(&Groups::one(params)).unwrap().remove(0);
    (summed, grads.instantiate().unwrap(), norms)
}

fn check_differences(net: &dyn Network, params: &Tree, x: &Tensor) {
    let frozen = Tree::new();
    let (summed, each, norms) = gradients(net, params, x);
    let n = x.dims()[0];
    let mut squares = vec![0.0; n];
    for (name, leaf) in params.iter() {
        let grad = values(summed.get(name).unwrap());
        assert!(grad.iter().all(|g| g.is_finite()) && grad.iter().any(|g| *g != 0.0), "{name}");
        let total = each.get(name).unwrap().sum(0).unwrap();
        assert_close(&total, summed.get(name).unwrap(), 1e-10, name);
        for (i, square) in squares.iter_mut().enumerate() {
            let row = values(&each.get(name).unwrap().get(i).unwrap());
            *square += row.iter().map(|g| g * g).sum::<f64>();
        }
        // Along a random direction, and along a few axes.
        let size = leaf.elem_count();
        let mut directions = vec![values(&normal(leaf.dims(), 77))];
        for k in 0..3 {
            let mut axis = vec![0.0; size];
            axis[(k * 7919 + size / 2) % size] = 1.0;
            directions.push(axis);
        }
        for direction in directions {
            let at = |h: f64| {
                let step = Tensor::from_vec(direction.clone(), leaf.dims(), &Device::Cpu).unwrap();
                let step = (step * h).unwrap();
                let moved = params
                    .map(|n, leaf| Ok(if n == name { (leaf + &step)? } else { leaf.clone() }))
                    .unwrap();
                let cx = Context::eval(&moved, &frozen);
                losses(net, &cx, x).sum_all().unwrap().to_scalar::<f64>().unwrap()
            };
            let h = 1e-5;
            let want = (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h);
            let got: f64 = grad.iter().zip(&direction).map(|(g, d)| g * d).sum();
            assert!((got - want).abs() < 1e-6 * (1.0 + want.abs()), "{name}: {got} {want}");
        }
    }
    for (norm, square) in norms.iter().zip(&squares) {
        assert!((norm - square).abs() < 1e-10 * square, "{norm} {square}");
    }
}

#[test]
fn the_network_for_digits_has_421834_parameters() {
    let (_, params) = cnn(CnnConfig::default(), DType::F32);
    assert_eq!(params.iter().map(|(_, leaf)| leaf.elem_count()).sum::<usize>(), 421_834);
    let builder = Builder::init(Key::from_seed(4), DType::F32, &Device::Cpu);
    Mlp::new(&[784, 512, 256, 10], Activation::Relu, builder.vb()).unwrap();
    let params = builder.into_tree().unwrap();
    assert_eq!(params.iter().map(|(_, leaf)| leaf.elem_count()).sum::<usize>(), 535_818);
    assert_eq!(params.names().next(), Some("fc1.bias"));
}

#[test]
fn gradients_of_the_convolutional_network_agree_with_differences() {
    for order in [Channels::Last, Channels::First] {
        let (net, params) = cnn(small(order), DType::F64);
        check_differences(&net, &params, &normal(&[4, 7 * 6 * 2], 1));
    }
}

#[test]
fn gradients_of_the_perceptron_agree_with_differences() {
    for activation in [Activation::Relu, Activation::Tanh, Activation::GeluErf] {
        let (net, params) = mlp(activation);
        check_differences(&net, &params, &normal(&[4, 3, 4], 1));
    }
}

#[test]
fn channels_first_is_the_network_of_other_frameworks() {
    let (net, params) = cnn(small(Channels::First), DType::F64);
    let leaf = |name: &str| params.get(name).unwrap().clone();
    let images = normal(&[3, 2, 7, 6], 1);
    let mut x = images.clone();
    for (i, channels) in [(1, 4), (2, 6)] {
        let name = |layer: &str, leaf: &str| format!("{layer}{i}.{leaf}");
        let cfg = candle_nn::Conv2dConfig { padding: 1, ..Default::default() };
        let (w, b) = (leaf(&name("conv", "weight")), leaf(&name("conv", "bias")));
        x = candle_nn::Conv2d::new(w, Some(b), cfg).forward(&x).unwrap();
        let (w, b) = (leaf(&name("norm", "weight")), leaf(&name("norm", "bias")));
        x = candle_nn::GroupNorm::new(w, b, channels, 2, 1e-5).unwrap().forward(&x).unwrap();
        x = x.relu().unwrap().max_pool2d(2).unwrap();
    }
    let dense = |name: &str| {
        let (w, b) = (leaf(&format!("{name}.weight")), leaf(&format!("{name}.bias")));
        candle_nn::Linear::new(w, Some(b))
    };
    let x = dense("fc1").forward(&x.flatten_from(1).unwrap()).unwrap().relu().unwrap();
    let want = dense("fc2").forward(&x).unwrap();
    let frozen = Tree::new();
    let got = net.forward(&Context::eval(&params, &frozen), &images).unwrap();
    assert_close(&got, &want, 1e-12, "logits");
}

#[test]
fn a_step_has_the_same_bits_with_one_and_two_threads() {
    let (net, params) = cnn(CnnConfig::default(), DType::F32);
    let x = normal(&[6, 784], 1).to_dtype(DType::F32).unwrap();
    let step = || {
        let (summed, each, _) = gradients(&net, &params, &x);
        summed.iter().chain(each.iter()).map(|(_, leaf)| leaf.clone()).collect()
    };
    assert_eq!(bits(1, step), bits(2, step));
}

#[test]
fn single_precision_is_close_to_double_precision() {
    let x = normal(&[4, 784], 1);
    let of = |dtype| {
        let (net, params) = cnn(CnnConfig::default(), dtype);
        gradients(&net, &params, &x.to_dtype(dtype).unwrap())
    };
    let (single, double) = (of(DType::F32), of(DType::F64));
    for (name, leaf) in single.0.iter() {
        assert_close(leaf, double.0.get(name).unwrap(), 1e-4, name);
    }
    for (a, b) in single.2.iter().zip(&double.2) {
        assert!((a - b).abs() < 1e-4 * b, "{a} {b}");
    }
}

#[test]
fn sizes_that_do_not_fit_are_errors() {
    let builder = Builder::init(Key::from_seed(4), DType::F32, &Device::Cpu);
    let bad = [
        CnnConfig { groups: 5, ..small(Channels::Last) },
        CnnConfig { size: (3, 9), ..small(Channels::Last) },
        CnnConfig { hidden: 0, ..small(Channels::Last) },
        CnnConfig { channels: vec![4, 0], ..small(Channels::Last) },
    ];
    for (i, config) in bad.into_iter().enumerate() {
        let made = Cnn::new(config, builder.vb().pp(format!("n{i}")));
        assert!(matches!(made, Err(Error::InvalidSetting { .. })), "{i}");
    }
    for sizes in [&[3][..], &[], &[3, 0, 2]] {
        let made = Mlp::new(sizes, Activation::Relu, builder.vb().pp("m"));
        assert!(matches!(made, Err(Error::InvalidSetting { .. })));
    }
    let (net, params) = cnn(small(Channels::Last), DType::F32);
    let frozen = Tree::new();
    let cx = Context::eval(&params, &frozen);
    for dims in [vec![], vec![84], vec![2, 83], vec![2, 7, 6, 3]] {
        let x = Tensor::zeros(dims.as_slice(), DType::F32, &Device::Cpu).unwrap();
        assert!(matches!(net.forward(&cx, &x), Err(Error::InputShape { .. })), "{dims:?}");
    }
}
