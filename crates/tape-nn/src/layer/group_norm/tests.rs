//! Group normalisation against candle's operations, sample by sample.

use candle_core::{DType, Device, Tensor, Var};
use proptest::prelude::*;
use tensor_tree::{Groups, Key, PerSample, Tree};

use super::*;
use crate::Builder;
use crate::tape::Tape;
use crate::testing::{assert_close, normal, values};

fn layer(groups: usize, channels: usize, dtype: DType) -> (GroupNorm, Tree) {
    let builder = Builder::init(Key::from_seed(1), dtype, &Device::Cpu);
    let norm = group_norm(groups, channels, 1e-5, builder.vb().pp("n")).unwrap();
    drop(builder);
    let leaf = |seed| normal(&[channels], seed).to_dtype(dtype).unwrap();
    let params = Tree::from_leaves([("n.weight", leaf(11)), ("n.bias", leaf(12))]).unwrap();
    (norm, params)
}

/// Channels last, from candle's operations, with the graph of all three arguments.
fn reference(x: &Tensor, w: &Tensor, b: &Tensor, groups: usize, tail: Tail) -> Tensor {
    let c = w.elem_count();
    let parts = x.reshape((x.dims()[0], (), groups, c / groups)).unwrap();
    let mean = parts.mean_keepdim((1, 3)).unwrap();
    let d = parts.broadcast_sub(&mean).unwrap();
    let var = d.sqr().unwrap().mean_keepdim((1, 3)).unwrap();
    let y = d.broadcast_div(&(var + 1e-5).unwrap().sqrt().unwrap()).unwrap();
    let y = y.reshape(x.shape()).unwrap().broadcast_mul(w).unwrap().broadcast_add(b).unwrap();
    match tail {
        Tail::Nothing => y,
        Tail::Relu => y.relu().unwrap(),
        Tail::ReluPool => {
            let (n, h, w, c) = y.dims4().unwrap();
            let y = y.relu().unwrap().narrow(1, 0, h / 2 * 2).unwrap();
            let y = y.narrow(2, 0, w / 2 * 2).unwrap().contiguous().unwrap();
            let y = y.reshape((n, h / 2, 2, w / 2, 2 * c)).unwrap().max(2).unwrap();
            y.reshape((n, h / 2, w / 2, 2, c)).unwrap().max(3).unwrap()
        }
    }
}

struct Outcome {
    y: Tensor,
    dx: Tensor,
    grads: Tree,
    summed: Tree,
    norms: Vec<f64>,
}

fn run(
    params: &Tree,
    x: &Tensor,
    seeds: &Tensor,
    f: impl Fn(&Context<'_>, &Tensor) -> Result<Tensor>,
) -> Outcome {
    let frozen = Tree::new();
    let pass = |tape: &Tape| {
        let cx = Context::recording(params, &frozen, tape);
        let x = Var::from_tensor(x).unwrap();
        let y = f(&cx, &x).unwrap();
        let grads = (&y * seeds).unwrap().sum_all().unwrap().backward().unwrap();
        (y.detach(), grads.get(&x).unwrap().clone())
    };
    let tape = Tape::summing(&Device::Cpu).unwrap();
    pass(&tape);
    let summed = tape.into_sum(params).unwrap();
    let tape = Tape::recording(&Device::Cpu).unwrap();
    let (y, dx) = pass(&tape);
    let grads = tape.into_grads(params, x.dims()[0]).unwrap();
    let norms = grads.squared_norms(&Groups::one(params)).unwrap()[0].clone();
    Outcome { y, dx, grads: grads.instantiate().unwrap(), summed, norms }
}

fn check(dims: &[usize], groups: usize, tail: Tail) {
    let c = dims[dims.len() - 1];
    let (norm, params) = layer(groups, c, DType::F64);
    let norm = norm.with_channels(Channels::Last);
    let (w, b) = (params.get("n.weight").unwrap(), params.get("n.bias").unwrap());
    let x = ((normal(dims, 5) * 2.0).unwrap() + 1.0).unwrap();
    let want = reference(&x, w, b, groups, tail);
    let seeds = normal(want.dims(), 6);
    let fused = run(&params, &x, &seeds, |cx, x| norm.apply(cx, x, tail));
    let composed = run(&params, &x, &seeds, |cx, x| {
        let call = Call {
            weight: cx.leaf(&norm.weight)?,
            bias: cx.leaf(&norm.bias)?,
            groups,
            eps: norm.eps,
            tail,
            size: if dims.len() == 4 { (dims[1], dims[2]) } else { (1, 1) },
        };
        composed(x, call)
    });
    for got in [&fused, &composed] {
        assert_close(&got.y, &want, 1e-10, "output");
        let mut sums = [Tensor::zeros_like(w).unwrap(), Tensor::zeros_like(b).unwrap()];
        for i in 0..dims[0] {
            let vars = [&x.narrow(0, i, 1).unwrap(), w, b].map(|t| Var::from_tensor(t).unwrap());
            let y = reference(&vars[0], &vars[1], &vars[2], groups, tail);
            let loss = (y * seeds.narrow(0, i, 1).unwrap()).unwrap().sum_all().unwrap();
            let grads = loss.backward().unwrap();
            let [dx, dw, db] = vars.each_ref().map(|v| grads.get(v).unwrap().clone());
            assert_close(&got.dx.narrow(0, i, 1).unwrap(), &dx, 1e-10, "dx");
            assert_close(&got.grads.get("n.weight").unwrap().get(i).unwrap(), &dw, 1e-10, "dw");
            assert_close(&got.grads.get("n.bias").unwrap().get(i).unwrap(), &db, 1e-10, "db");
            let norm: f64 = values(&dw).iter().chain(&values(&db)).map(|v| v * v).sum();
            assert!((got.norms[i] - norm).abs() <= 1e-10 * norm.max(1e-3));
            sums = [(&sums[0] + dw).unwrap(), (&sums[1] + db).unwrap()];
        }
        assert_close(got.summed.get("n.weight").unwrap(), &sums[0], 1e-10, "summed weight");
        assert_close(got.summed.get("n.bias").unwrap(), &sums[1], 1e-10, "summed bias");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]
    #[test]
    fn group_norm_agrees_with_single_sample_passes(
        (n, h, w) in (1usize..4, 2usize..8, 2usize..8),
        (groups, width) in (1usize..4, 1usize..12),
        tail in 0usize..3,
    ) {
        let tail = [Tail::Nothing, Tail::Relu, Tail::ReluPool][tail];
        check(&[n, h, w, groups * width], groups, tail);
    }
}

#[test]
fn sequences_and_single_places_are_normalised_too() {
    check(&[3, 7, 6], 2, Tail::Relu);
    check(&[3, 8], 2, Tail::Nothing);
    check(&[2, 40, 1, 33], 3, Tail::Nothing);
}

#[test]
fn channels_first_is_the_same_layer() {
    let (norm, params) = layer(2, 6, DType::F64);
    let last = norm.clone().with_channels(Channels::Last);
    let x = normal(&[2, 6, 5, 4], 3);
    let moved = super::super::to_channels_last(&x).unwrap();
    let seeds = normal(&[2, 6, 2, 2], 4);
    let moved_seeds = super::super::to_channels_last(&seeds).unwrap();
    let first = run(&params, &x, &seeds, |cx, x| norm.forward_relu_pool(cx, x));
    let last = run(&params, &moved, &moved_seeds, |cx, x| last.forward_relu_pool(cx, x));
    assert_close(&first.y, &super::super::to_channels_first(&last.y).unwrap(), 1e-14, "y");
    assert_close(&first.dx, &super::super::to_channels_first(&last.dx).unwrap(), 1e-14, "dx");
    let frozen = Tree::new();
    let cx = Context::eval(&params, &frozen);
    let candle = candle_nn::GroupNorm::new(
        params.get("n.weight").unwrap().clone(),
        params.get("n.bias").unwrap().clone(),
        6,
        2,
        1e-5,
    )
    .unwrap();
    let want = candle_nn::Module::forward(&candle, &x).unwrap();
    assert_close(&norm.forward(&cx, &x).unwrap(), &want, 1e-12, "candle");
    assert_close(&norm.forward_relu(&cx, &x).unwrap(), &want.relu().unwrap(), 1e-12, "candle");
}

#[test]
fn threads_do_not_change_bits_and_single_precision_is_close() {
    let x = normal(&[9, 10, 11, 32], 3);
    let seeds = normal(&[9, 5, 5, 32], 4);
    let on = |threads, dtype| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let (norm, params) = layer(4, 32, dtype);
        let norm = norm.with_channels(Channels::Last);
        let (x, seeds) = (x.to_dtype(dtype).unwrap(), seeds.to_dtype(dtype).unwrap());
        pool.install(|| run(&params, &x, &seeds, |cx, x| norm.forward_relu_pool(cx, x)))
    };
    let (one, two) = (on(1, DType::F32), on(2, DType::F32));
    assert_eq!(values(&one.y), values(&two.y));
    assert_eq!(values(&one.dx), values(&two.dx));
    let sums = |o: &Outcome| values(o.summed.get("n.weight").unwrap());
    assert_eq!(sums(&one), sums(&two));
    let double = on(2, DType::F64);
    assert_close(&one.y, &double.y, 1e-5, "y");
    assert_close(&one.dx, &double.dx, 1e-5, "dx");
    assert_close(
        one.grads.get("n.weight").unwrap(),
        double.grads.get("n.weight").unwrap(),
        1e-5,
        "dw",
    );
}

#[test]
fn a_sample_that_is_not_a_number_stays_one() {
    let (norm, params) = layer(2, 4, DType::F32);
    let norm = norm.with_channels(Channels::Last);
    let mut data = vec![0.5f32; 2 * 16 * 4];
    data[70] = f32::NAN;
    let x = Tensor::from_vec(data, (2, 4, 4, 4), &Device::Cpu).unwrap();
    let frozen = Tree::new();
    let y = norm.forward_relu_pool(&Context::eval(&params, &frozen), &x).unwrap();
    let y: Vec<bool> = values(&y).iter().map(|v| v.is_nan()).collect();
    assert!(!y[..16].contains(&true) && y[16..].contains(&true));
}

#[test]
fn what_does_not_fit_is_an_error() {
    let builder = Builder::init(Key::from_seed(1), DType::F32, &Device::Cpu);
    for (groups, eps) in [(0, 1e-5), (4, 1e-5), (2, -1.0), (2, f64::NAN)] {
        let made = group_norm(groups, 6, eps, builder.vb().pp("n"));
        assert!(matches!(made, Err(Error::InvalidSetting { .. })), "{groups} {eps}");
    }
    let (norm, params) = layer(2, 6, DType::F32);
    let frozen = Tree::new();
    let cx = Context::eval(&params, &frozen);
    for dims in [vec![2, 5, 4, 4], vec![6], vec![2, 6, 0, 4], vec![2, 6, 4], vec![2, 6, 1, 4]] {
        let x = Tensor::zeros(dims.as_slice(), DType::F32, &Device::Cpu).unwrap();
        let got = norm.forward_relu_pool(&cx, &x);
        assert!(matches!(got, Err(Error::InputShape { .. })), "{dims:?}");
    }
}
