//! The gradient of logits that is made twice is the one that is kept.

use candle_core::{DType, Device, Tensor};
use tensor_tree::{
    Differentiable, Groups, Key, Objective, Pass, PerSample, PerSampleDifferentiable, ProbePoint,
    Reduction, Tree,
};

use super::*;
use crate::layer::{Linear, linear, linear_no_bias};
use crate::loss::linear_cross_entropy;
use crate::net::{Gpt, GptConfig, IGNORED, LanguageModel, NextToken, Texts};
use crate::testing::{assert_close, normal};
use crate::{Builder, LoraConfig, Taped};

/// A head behind numbers that are given, with a map of them in front.
#[derive(Clone)]
struct Head {
    map: Linear,
    head: Linear,
    frozen: Tree,
}

struct Numbers {
    x: Tensor,
    labels: Tensor,
}

impl TapeLoss for Head {
    type Batch = Numbers;

    fn losses(&self, cx: &Context<'_>, batch: &Numbers) -> Result<Losses> {
        let x = self.map.forward(cx, &batch.x)?;
        linear_cross_entropy(cx, &self.head, &x, &batch.labels, Some(IGNORED))
    }

    fn frozen(&self) -> &Tree {
        &self.frozen
    }

    fn n_samples(&self, batch: &Numbers) -> usize {
        batch.x.dims()[0]
    }
}

/// Asserts that losses, gradients, norms and clipped sums agree, at one point and at two.
fn agree<L: TapeLoss + Clone>(loss: &L, params: &Tree, batch: &L::Batch, what: &str) {
    let (kept, twice) = (Taped(loss.clone()), Taped(TwoPass(loss.clone())));
    let near = |a: &Tree, b: &Tree| {
        a.check_like(b).unwrap();
        for (name, leaf) in a.iter() {
            assert_close(leaf, b.leaf(name).unwrap(), 1e-12, &format!("{what}: {name}"));
        }
    };
    let losses = kept.losses(params, batch, Pass::Eval).unwrap();
    let (again, grad) = twice.value_and_grad(params, batch, Pass::Eval, Reduction::Mean).unwrap();
    assert_close(&again.sum, &losses.sum, 1e-12, what);
    near(&grad, &kept.grad(params, batch, Pass::Eval, Reduction::Mean).unwrap());
    let key = Key::from_seed(77);
    let near_by = params.map(|_, leaf| key.add_normal(leaf, 0.1)).unwrap();
    let points = [
        ProbePoint { params: params.clone(), weight: -0.4 },
        ProbePoint { params: near_by, weight: 1.4 },
    ];
    for points in [&ProbePoint::single(params)[..], &points] {
        let n = loss.n_samples(batch);
        for groups in [Groups::one(params), Groups::per_leaf(params)] {
            let factors: Vec<Vec<f64>> = (0..groups.len())
                .map(|g| (0..n).map(|i| if i == 1 { 0.0 } else { 0.5 + (i + g) as f64 }).collect())
                .collect();
            let run = |norms: Vec<Vec<f64>>, sum: Tree| (norms.concat(), sum);
            let (_, a) = kept.per_sample(points, batch, Pass::Eval).unwrap();
            let (_, b) = twice.per_sample(points, batch, Pass::Eval).unwrap();
            let norms = (a.squared_norms(&groups).unwrap(), b.squared_norms(&groups).unwrap());
            let a = run(norms.0, a.weighted_sum(&groups, &factors).unwrap());
            let b = run(norms.1, b.weighted_sum(&groups, &factors).unwrap());
            for (x, y) in b.0.iter().zip(&a.0) {
                assert!((x - y).abs() <= 1e-11 * y, "{what}: {x} {y}");
            }
            near(&b.1, &a.1);
        }
    }
}

#[test]
fn a_head_alone_with_and_without_bias_trained_or_frozen() {
    let labels = Tensor::new(&[[0i64, 10, 2], [4, IGNORED, 6], [1, 1, 1]], &Device::Cpu).unwrap();
    for biased in [false, true] {
        let builder = Builder::init(Key::from_seed(2), DType::F64, &Device::Cpu);
        let map = linear(4, 5, builder.vb().pp("map")).unwrap();
        let vb = builder.vb().pp("head");
        let head =
            if biased { linear(5, 11, vb).unwrap() } else { linear_no_bias(5, 11, vb).unwrap() };
        let params = builder.into_tree().unwrap();
        for frozen in [false, true] {
            let (params, frozen) =
                params.clone().partition(|name| !frozen || name.starts_with("map"));
            let batch = Numbers { x: normal(&[3, 3, 4], 9), labels: labels.clone() };
            let what = format!("biased {biased}, {} leaves frozen", frozen.len());
            let loss = Head { map: map.clone(), head: head.clone(), frozen };
            agree(&loss, &params, &batch, &what);
        }
    }
}

#[test]
fn a_head_whose_logits_are_made_in_pieces() {
    let builder = Builder::init(Key::from_seed(2), DType::F64, &Device::Cpu);
    let map = linear(4, 3, builder.vb().pp("map")).unwrap();
    let head = linear(3, 60_000, builder.vb().pp("head")).unwrap();
    let params = builder.into_tree().unwrap();
    let labels: Vec<i64> = (0..5 * 20).map(|i| (i * i * 977) % 60_000).collect();
    let labels = Tensor::from_vec(labels, (5, 20), &Device::Cpu).unwrap();
    let batch = Numbers { x: normal(&[5, 20, 4], 9), labels };
    // Two whole samples of 9.6 MB do not fit into a piece.
    agree(&Head { map, head, frozen: Tree::new() }, &params, &batch, "pieces");
}

#[test]
fn language_models_with_a_tied_head_and_with_adapters() {
    let windows: Vec<u32> = (0..4 * 7).map(|i| (i * i * 7 + i / 3) % 11).collect();
    let windows = Tensor::from_vec(windows, (4, 7), &Device::Cpu).unwrap();
    let texts = Texts::from_windows(&windows).unwrap();
    for tied in [false, true] {
        let builder = Builder::init(Key::from_seed(1), DType::F64, &Device::Cpu);
        let config = GptConfig { tied, ..GptConfig::new(11, 6, 8, 1, 2) };
        let mut model = Gpt::new(&config, builder.vb()).unwrap();
        let mut seed = 5;
        let params = builder.into_tree().unwrap();
        let params = params.map(|_, leaf| {
            seed += 1;
            Ok((leaf + (normal(leaf.dims(), seed) * 0.3)?)?)
        });
        let params = params.unwrap();
        assert_eq!(model.vocab_size(), 11);
        let loss = NextToken { model: model.clone(), frozen: Tree::new() };
        agree(&loss, &params, &texts, &format!("tied {tied}"));
        let lora = LoraConfig::for_layers(["attn.c_attn"]);
        let attached =
            crate::lora::attach(&mut model, &lora, Key::from_seed(3), DType::F64, &Device::Cpu)
                .unwrap();
        let loss = NextToken { model, frozen: params };
        let adapters = attached.map(|_, leaf| Key::from_seed(4).add_normal(leaf, 0.2)).unwrap();
        agree(&loss, &adapters, &texts, &format!("adapters, tied {tied}"));
    }
}

#[test]
fn a_sample_that_is_no_number_spoils_no_other() {
    let builder = Builder::init(Key::from_seed(2), DType::F64, &Device::Cpu);
    let map = linear(4, 5, builder.vb().pp("map")).unwrap();
    let head = linear(5, 11, builder.vb().pp("head")).unwrap();
    let params = builder.into_tree().unwrap();
    let x = normal(&[3, 2, 4], 9);
    let labels = Tensor::new(&[[0i64, 10], [4, 6], [1, 1]], &Device::Cpu).unwrap();
    let poison = Tensor::new(&[1f64, f64::NAN, 1.0], &Device::Cpu).unwrap();
    let bad = x.broadcast_mul(&poison.reshape((3, 1, 1)).unwrap()).unwrap();
    let loss = Taped(TwoPass(Head { map, head, frozen: Tree::new() }));
    let groups = Groups::one(&params);
    let sum = |x: &Tensor| {
        let batch = Numbers { x: x.clone(), labels: labels.clone() };
        let at = ProbePoint::single(&params);
        let (_, grads) = loss.per_sample(&at, &batch, Pass::Eval).unwrap();
        let norms = grads.squared_norms(&groups).unwrap().concat();
        (norms, grads.weighted_sum(&groups, &[vec![1.0, 0.0, 1.0]]).unwrap())
    };
    let (good, bad) = (sum(&x), sum(&bad));
    assert!(!bad.0[1].is_finite());
    assert_eq!((bad.0[0], bad.0[2]), (good.0[0], good.0[2]));
    for (name, leaf) in bad.1.iter() {
        // Biases are added up in another order where a norm is no number.
        assert_close(leaf, good.1.leaf(name).unwrap(), 1e-14, name);
    }
}
