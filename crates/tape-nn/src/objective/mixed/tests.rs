//! Half precision below parameters in single precision.

use candle_core::{Device, Tensor};
use tensor_tree::{
    Differentiable, Groups, Key, Objective, Pass, PerSample, PerSampleDifferentiable, ProbePoint,
    Reduction,
};

use super::*;
use crate::net::{Gpt, GptConfig, Mlp, NextToken, Texts};
use crate::testing::{normal, values};
use crate::{Activation, Builder, Classifier, LabeledBatch, Taped, TwoPass};

/// Losses, the ordinary gradient, squared norms and a weighted sum.
struct Found {
    losses: Vec<f64>,
    grad: Tree,
    norms: Vec<f64>,
    sum: Tree,
}

fn run<L: TapeLoss>(loss: L, params: &Tree, batch: &L::Batch, factors: &[f64]) -> Found {
    let objective = Taped(loss);
    let losses = values(&objective.losses(params, batch, Pass::Eval).unwrap().sum);
    let grad = objective.grad(params, batch, Pass::Eval, Reduction::Mean).unwrap();
    let at = ProbePoint::single(params);
    let (_, grads) = objective.per_sample(&at, batch, Pass::Eval).unwrap();
    let groups = Groups::one(params);
    let norms = grads.squared_norms(&groups).unwrap().concat();
    let sum = grads.weighted_sum(&groups, &[factors.to_vec()]).unwrap();
    Found { losses, grad, norms, sum }
}

/// Rounding of a half is 2^-11; a pass has some tens of such steps.
fn near(half: &Found, single: &Found) {
    const SHARE: f64 = 0.02;
    for (a, b) in [(&half.grad, &single.grad), (&half.sum, &single.sum)] {
        assert!(a.iter().all(|(_, leaf)| leaf.dtype() == DType::F32));
        let error = a.add_scaled(-1.0, b).unwrap().norm().unwrap();
        assert!(error < SHARE * b.norm().unwrap(), "{error}");
    }
    for (a, b) in half.norms.iter().zip(&single.norms) {
        assert!((a / b - 1.0).abs() < 2.0 * SHARE, "{a} {b}");
    }
    for (a, b) in half.losses.iter().zip(&single.losses) {
        assert!((a / b - 1.0).abs() < SHARE, "{a} {b}");
    }
}

fn mlp() -> (Classifier<Mlp>, Tree) {
    let builder = Builder::init(Key::from_seed(1), DType::F32, &Device::Cpu);
    let mlp = Mlp::new(&[6, 8, 3], Activation::Relu, builder.vb()).unwrap();
    (Classifier::new(mlp), builder.into_tree().unwrap())
}

fn numbers(scale: f64) -> LabeledBatch {
    let x = (normal(&[4, 6], 2) * scale).unwrap().to_dtype(DType::F32).unwrap();
    LabeledBatch::new(x, Tensor::new(&[0u32, 2, 1, 1], &Device::Cpu).unwrap())
}

const FACTORS: [f64; 4] = [1.0, 0.0, -0.5, 2.0];

#[test]
fn passes_in_halves_are_near_those_in_single_precision_and_everything_behind_them_is_wide() {
    let (loss, params) = mlp();
    let single = run(loss.clone(), &params, &numbers(1.0), &FACTORS);
    let mixed = MixedPrecision::new(loss, DType::F16).unwrap();
    near(&run(mixed, &params, &numbers(1.0), &FACTORS), &single);
    for tied in [false, true] {
        let builder = Builder::init(Key::from_seed(1), DType::F32, &Device::Cpu);
        let config = GptConfig { tied, ..GptConfig::new(11, 6, 8, 2, 2) };
        let model = Gpt::new(&config, builder.vb()).unwrap();
        let params = builder.into_tree().unwrap();
        let params = params.map(|_, leaf| Key::from_seed(5).add_normal(leaf, 0.1)).unwrap();
        let ids: Vec<u32> = (0..4 * 7).map(|i| (i * i * 7 + i / 3) % 11).collect();
        let texts = Tensor::from_vec(ids, (4, 7), &Device::Cpu).unwrap();
        let texts = Texts::from_windows(&texts).unwrap();
        let loss = NextToken { model, frozen: Tree::new() };
        let single = run(loss.clone(), &params, &texts, &FACTORS);
        let mixed = MixedPrecision::new(loss.clone(), DType::F16).unwrap();
        near(&run(mixed, &params, &texts, &FACTORS), &single);
        let mixed = MixedPrecision::new(TwoPass(loss), DType::F16).unwrap();
        near(&run(mixed, &params, &texts, &FACTORS), &single);
    }
}

#[test]
fn a_loss_scale_saves_gradients_that_are_too_small_for_a_half() {
    let (loss, params) = mlp();
    let (weight, bias) = ("fc2.weight", "fc2.bias");
    // Logits 18, 0, 0 for every input: the other classes have 1.5e-8 each, less than half of the smallest half.
    let sure = |name: &str, leaf: &Tensor| match name {
        name if name == weight => Ok(leaf.zeros_like()?),
        name if name == bias => Ok(Tensor::new(&[18f32, 0.0, 0.0], &Device::Cpu)?),
        _ => Ok(leaf.clone()),
    };
    let params = params.map(sure).unwrap();
    let mut batch = numbers(1.0);
    batch.labels = Tensor::zeros(4, DType::U32, &Device::Cpu).unwrap();
    let found = |scale: Option<f64>| {
        let Some(scale) = scale else { return run(loss.clone(), &params, &batch, &FACTORS) };
        let mixed = MixedPrecision::new(loss.clone(), DType::F16).unwrap();
        run(mixed.with_loss_scale(scale).unwrap(), &params, &batch, &FACTORS)
    };
    let of = |found: &Found| (values(found.grad.leaf(bias).unwrap()), found.norms.clone());
    let (exact, lost, saved) = (of(&found(None)), of(&found(Some(1.0))), of(&found(Some(65536.0))));
    assert!(exact.0[1..].iter().all(|g| 1e-9 < g.abs() && g.abs() < 3e-8), "{exact:?}");
    assert_eq!(&lost.0[1..], [0.0, 0.0]);
    // Scaled, the gradients are a thousandth: halves with all their digits.
    for (a, b) in saved.0[1..].iter().zip(&exact.0[1..]) {
        assert!((a / b - 1.0).abs() < 1e-3, "{a} {b}");
    }
    for (a, b) in saved.1.iter().zip(&exact.1) {
        assert!((a / b - 1.0).abs() < 4e-3, "{a} {b}");
    }
    for wrong in [0.0, 0.5, 3.0, 131_072.0, f64::NAN, f64::INFINITY, -2.0] {
        let mixed = MixedPrecision::new(loss.clone(), DType::F16).unwrap();
        let error = mixed.with_loss_scale(wrong).unwrap_err();
        assert!(matches!(error, Error::InvalidSetting { .. }), "{wrong}");
    }
}

#[test]
fn a_sample_that_overflows_has_no_finite_norm_and_spoils_no_other() {
    let (loss, params) = mlp();
    let mut batch = numbers(1.0);
    let far = Tensor::new(&[1f32, 1e6, 1.0, 1.0], &Device::Cpu).unwrap();
    batch.inputs = batch.inputs.broadcast_mul(&far.reshape((4, 1)).unwrap()).unwrap();
    let single = run(loss.clone(), &params, &numbers(1.0), &FACTORS);
    let half = run(MixedPrecision::new(loss, DType::F16).unwrap(), &params, &batch, &FACTORS);
    assert!(!half.norms[1].is_finite());
    assert!([0, 2, 3].iter().all(|i| half.norms[*i].is_finite()));
    let error = half.sum.add_scaled(-1.0, &single.sum).unwrap().norm().unwrap();
    assert!(error < 0.02 * single.sum.norm().unwrap(), "{error}");
}

#[test]
fn types_that_are_no_halves_or_have_no_products_are_refused() {
    let (loss, params) = mlp();
    for dtype in [DType::F32, DType::F64, DType::U32] {
        let error = MixedPrecision::new(loss.clone(), dtype).unwrap_err();
        assert!(matches!(error, Error::UnsupportedDType { .. }), "{error}");
    }
    let mixed = Taped(MixedPrecision::new(loss, DType::BF16).unwrap());
    let error = mixed.losses(&params, &numbers(1.0), Pass::Eval).unwrap_err().to_string();
    assert!(error.contains("BF16"), "{error}");
}
