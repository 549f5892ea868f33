//! Tests of adapters.

use tensor_tree::{
    Differentiable, Groups, Label, Losses, Pass, PerSample, PerSampleDifferentiable, ProbePoint,
    Purpose, Reduction,
};

use super::*;
use crate::objective::{TapeLoss, Taped};
use crate::{Activation, Linear, linear, linear_no_bias};

#[derive(Clone)]
struct Model {
    first: Linear,
    second: Linear,
    frozen: Tree,
    act: Activation,
}

impl Linears for Model {
    fn linears_mut(&mut self, f: &mut dyn FnMut(&mut Linear)) {
        f(&mut self.first);
        f(&mut self.second);
    }
}

impl TapeLoss for Model {
    type Batch = Tensor;

    fn losses(&self, cx: &Context<'_>, x: &Tensor) -> Result<Losses> {
        let h = self.first.forward_then(cx, x, self.act)?;
        let y = self.second.forward(cx, &h)?.sqr()?;
        let sum = y.flatten_from(1)?.sum(1)?;
        let weight = sum.ones_like()?.detach();
        Ok(Losses { sum, weight })
    }

    fn frozen(&self) -> &Tree {
        &self.frozen
    }

    fn n_samples(&self, x: &Tensor) -> usize {
        x.dims()[0]
    }

    fn sample_ids<'b>(&self, x: &'b Tensor) -> Option<&'b [u64]> {
        [3, 1, 4, 15].get(..x.dims()[0])
    }
}

fn model(dtype: DType) -> Model {
    let builder = Builder::init(Key::from_seed(3), dtype, &Device::Cpu);
    let first = linear(6, 5, builder.vb().pp("m.first")).unwrap();
    let second = linear_no_bias(5, 3, builder.vb().pp("m.second")).unwrap();
    Model { first, second, frozen: builder.into_tree().unwrap(), act: Activation::GeluErf }
}

fn input(dtype: DType) -> Tensor {
    let like = Tensor::zeros((4, 3, 6), dtype, &Device::Cpu).unwrap();
    Key::from_seed(9).normal_like(&like).unwrap()
}

fn config(dropout: f64) -> LoraConfig {
    LoraConfig { rank: 2, alpha: 3.0, dropout, ..LoraConfig::for_layers(["*"]) }
}

/// A model with adapters, none of whose matrices is zero.
fn adapted(dtype: DType, config: &LoraConfig) -> (Model, Tree) {
    let mut model = model(dtype);
    let adapters = attach(&mut model, config, Key::from_seed(5), dtype, &Device::Cpu).unwrap();
    let key = Key::from_seed(6);
    let adapters =
        adapters.map(|name, leaf| key.child(Label::Leaf(name)).add_normal(leaf, 0.3)).unwrap();
    (model, adapters)
}

fn loss_sum(model: &Model, params: &Tree, x: &Tensor, pass: Pass) -> f64 {
    let losses = tensor_tree::Objective::losses(&Taped(model.clone()), params, x, pass).unwrap();
    losses.sum.to_dtype(DType::F64).unwrap().sum_all().unwrap().to_scalar().unwrap()
}

#[test]
fn a_new_adapter_changes_nothing() {
    let x = input(DType::F64);
    let plain = model(DType::F64);
    let before = loss_sum(&plain, &Tree::new(), &x, Pass::Eval);
    let mut model = plain.clone();
    let adapters =
        attach(&mut model, &config(0.0), Key::from_seed(5), DType::F64, &Device::Cpu).unwrap();
    approx::assert_relative_eq!(
        before,
        loss_sum(&model, &adapters, &x, Pass::Eval),
        max_relative = 1e-15
    );
    let a = adapters.leaf("m.first.lora_a.weight").unwrap().abs().unwrap();
    let largest: f64 = a.max_all().unwrap().to_scalar().unwrap();
    assert!(0.0 < largest && largest <= 1.0 / 6f64.sqrt());
    detach(&mut model);
    approx::assert_relative_eq!(
        before,
        loss_sum(&model, &Tree::new(), &x, Pass::Eval),
        max_relative = 1e-15
    );
}

#[test]
fn gradients_agree_with_differences_with_and_without_dropout() {
    let x = input(DType::F64);
    let train = Pass::Train { key: Key::from_seed(8) };
    for (dropout, pass) in [(0.0, Pass::Eval), (0.4, train)] {
        let (model, adapters) = adapted(DType::F64, &config(dropout));
        let grad = Taped(model.clone()).grad(&adapters, &x, pass, Reduction::Sum).unwrap();
        let direction = adapters
            .map(|name, leaf| Key::from_seed(77).child(Label::Leaf(name)).normal_like(leaf))
            .unwrap();
        let h = 1e-5;
        let at = |h: f64| loss_sum(&model, &adapters.add_scaled(h, &direction).unwrap(), &x, pass);
        let want = (at(h) - at(-h)) / (2.0 * h);
        approx::assert_relative_eq!(grad.dot(&direction).unwrap(), want, max_relative = 1e-8);
    }
}

#[test]
fn the_gradient_of_the_input_passes_through_the_adapter() {
    // The first layer alone is trained, so its gradient needs the second layer's input gradient.
    let x = input(DType::F64);
    let pass = Pass::Train { key: Key::from_seed(8) };
    let (mut model, adapters) = adapted(DType::F64, &config(0.3));
    let (trained, rest) = adapters.partition(|name| name.contains("first"));
    model.frozen = model.frozen.union(&rest).unwrap();
    let grad = Taped(model.clone()).grad(&trained, &x, pass, Reduction::Sum).unwrap();
    let h = 1e-5;
    let at = |h: f64| loss_sum(&model, &trained.add_scaled(h, &grad).unwrap(), &x, pass);
    let want = (at(h) - at(-h)) / (2.0 * h);
    approx::assert_relative_eq!(grad.dot(&grad).unwrap(), want, max_relative = 1e-6);
}

#[test]
fn per_sample_gradients_agree_with_one_sample_at_a_time() {
    let x = input(DType::F64);
    let (model, adapters) = adapted(DType::F64, &config(0.0));
    let taped = Taped(model);
    let points = ProbePoint::single(&adapters);
    let (_, grads) = taped.per_sample(&points, &x, Pass::Eval).unwrap();
    let groups = Groups::per_leaf(&adapters);
    let norms = grads.squared_norms(&groups).unwrap();
    let factors: Vec<Vec<f64>> = (0..groups.len())
        .map(|k| (0..4).map(|i| (k * 4 + i) as f64 * 0.1 - 0.7).collect())
        .collect();
    let sum = grads.weighted_sum(&groups, &factors).unwrap();
    let mut want = adapters.zeros_like().unwrap();
    for i in 0..4 {
        let one = x.narrow(0, i, 1).unwrap();
        let grad = taped.grad(&adapters, &one, Pass::Eval, Reduction::Sum).unwrap();
        for (k, (name, leaf)) in grad.iter().enumerate() {
            let norm: f64 = leaf.sqr().unwrap().sum_all().unwrap().to_scalar().unwrap();
            approx::assert_relative_eq!(norms[k][i], norm, max_relative = 1e-11);
            assert_eq!(groups.of(name).unwrap(), k);
        }
        let weighted = grad.map(|name, leaf| Ok((leaf * factors[groups.of(name)?][i])?)).unwrap();
        want = want.add_scaled(1.0, &weighted).unwrap();
    }
    let error = sum.add_scaled(-1.0, &want).unwrap().norm().unwrap();
    assert!(error < 1e-12 * want.norm().unwrap(), "{error}");
}

#[test]
fn a_merged_model_equals_the_adapted_one() {
    for (dtype, tolerance) in [(DType::F64, 1e-13), (DType::F32, 1e-5)] {
        let x = input(dtype);
        let config = config(0.0);
        let (mut model, adapters) = adapted(dtype, &config);
        let want = loss_sum(&model, &adapters, &x, Pass::Eval);
        let merged = merge(&model.frozen, &adapters, config.scale()).unwrap();
        merged.check_like(&model.frozen).unwrap();
        detach(&mut model);
        model.frozen = Tree::new();
        let got = loss_sum(&model, &merged, &x, Pass::Eval);
        approx::assert_relative_eq!(got, want, max_relative = tolerance);
    }
}

/// Linear layers of the given weights.
struct Named(Vec<Linear>);

impl Linears for Named {
    fn linears_mut(&mut self, f: &mut dyn FnMut(&mut Linear)) {
        self.0.iter_mut().for_each(f);
    }
}

#[test]
fn a_weight_whose_adapter_would_have_no_name_of_its_own_is_refused() {
    let attach = |weights: &[(&str, [usize; 2])], targets: &[&str]| {
        let layer =
            |(name, shape): &(&str, [usize; 2])| Linear::new(Param::named(name, shape), None);
        let mut model = Named(weights.iter().map(layer).collect());
        let config = LoraConfig::for_layers(targets.iter().copied());
        let result = attach(&mut model, &config, Key::from_seed(1), DType::F32, &Device::Cpu);
        assert!(result.is_ok() || model.0.iter().all(|layer| layer.adapter().is_none()));
        result
    };
    let refused = |weights: &[(&str, [usize; 2])], words: &str| {
        let error = attach(weights, &["*"]).unwrap_err();
        assert!(matches!(&error, Error::AdapterName { .. }), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    };
    let (q, k) = (("attn.q_proj_weight", [4, 4]), ("attn.k_proj_weight", [4, 4]));
    refused(&[q, k], "its weight is called `attn.q_proj_weight`");
    refused(&[("weight", [4, 4])], "its weight is called `weight`");
    refused(&[("attn.weight", [4, 4]), k], "different weights");
    refused(&[("a.weight", [4, 4]), ("a.weight", [4, 5])], "different weights");
    // A shared weight has one adapter, and layers without one may be called anything.
    assert_eq!(attach(&[("a.weight", [4, 4]), ("a.weight", [4, 4])], &["*"]).unwrap().len(), 2);
    assert_eq!(attach(&[q, ("a.weight", [4, 4])], &["a"]).unwrap().len(), 2);
}

#[test]
fn dropout_in_training_needs_sample_numbers() {
    let (model, adapters) = adapted(DType::F64, &config(0.5));
    let x = input(DType::F64);
    let pass = Pass::Train { key: Key::from_seed(4) };
    for ids in [None, Some(&[1u64, 2, 3][..])] {
        let cx = Context::eval(&adapters, &model.frozen).in_pass(pass, ids);
        let error = model.losses(&cx, &x).map(drop).unwrap_err();
        assert!(matches!(error, Error::SampleIds { expected: 4, .. }), "{error}");
    }
}

#[test]
fn only_the_targets_get_an_adapter() {
    let mut model = model(DType::F32);
    let key = Key::from_seed(1);
    let config = LoraConfig::for_layers(["second"]);
    let adapters = attach(&mut model, &config, key, DType::F32, &Device::Cpu).unwrap();
    assert_eq!(
        adapters.names().collect::<Vec<_>>(),
        ["m.second.lora_a.weight", "m.second.lora_b.weight"]
    );
    assert!(model.first.adapter().is_none() && model.second.adapter().is_some());
    let again = attach(&mut model, &config, key, DType::F32, &Device::Cpu).unwrap_err();
    assert!(again.to_string().contains("adapter of `m.second`"), "{again}");
}

#[test]
fn selecting_nothing_names_the_layers() {
    let mut model = model(DType::F32);
    for targets in [vec!["q_proj"], vec![], vec!["second", "q_proj"]] {
        let config = LoraConfig::for_layers(targets);
        let err =
            attach(&mut model, &config, Key::from_seed(1), DType::F32, &Device::Cpu).unwrap_err();
        assert!(
            matches!(&err, Error::NothingSelected { available, .. }
            if *available == ["m.first", "m.second"]),
            "{err}"
        );
    }
    assert!(model.second.adapter().is_none());
}

#[test]
fn settings_outside_their_range_are_refused() {
    let mut model = model(DType::F32);
    let good = LoraConfig::for_layers(["*"]);
    for bad in [
        LoraConfig { rank: 0, ..good.clone() },
        LoraConfig { alpha: f64::NAN, ..good.clone() },
        LoraConfig { alpha: 0.0, ..good.clone() },
        LoraConfig { dropout: 1.0, ..good.clone() },
        LoraConfig { dropout: f64::NAN, ..good },
    ] {
        let err =
            attach(&mut model, &bad, Key::from_seed(1), DType::F32, &Device::Cpu).unwrap_err();
        assert!(matches!(err, Error::InvalidSetting { .. }), "{bad:?}");
    }
}

#[test]
fn given_adapters_must_fit() {
    let config = config(0.0);
    let (_, adapters) = adapted(DType::F32, &config);
    let mut fresh = model(DType::F32);
    attach_given(&mut fresh, &config, &adapters).unwrap();
    detach(&mut fresh);
    let other_rank = LoraConfig { rank: 3, ..config.clone() };
    assert!(attach_given(&mut fresh, &other_rank, &adapters).is_err());
    let (some, _) = adapters.partition(|n| n.contains("first"));
    assert!(attach_given(&mut fresh, &config, &some).is_err());
    let fewer = LoraConfig { targets: vec!["first".into()], ..config };
    assert!(attach_given(&mut fresh, &fewer, &adapters).is_err());
    assert!(fresh.first.adapter().is_none());
}

#[test]
fn merging_what_does_not_fit_is_refused() {
    let config = config(0.0);
    let (model, adapters) = adapted(DType::F32, &config);
    let (half, _) = adapters.partition(|n| n.ends_with(A));
    assert!(matches!(merge(&model.frozen, &half, 1.0), Err(Error::MissingParam { .. })));
    assert!(matches!(merge(&half, &adapters, 1.0), Err(Error::MissingParam { .. })));
    assert!(matches!(merge(&adapters, &model.frozen, 1.0), Err(Error::NothingSelected { .. })));
    assert!(matches!(merge(&adapters, &Tree::new(), 1.0), Err(Error::NothingSelected { .. })));
}

#[test]
fn masks_depend_on_the_sample_and_not_on_the_batch() {
    let (model, adapters) = adapted(DType::F64, &config(0.5));
    let x = input(DType::F64);
    let key = Key::from_seed(4).child(Label::For(Purpose::Dropout));
    let run = |x: &Tensor, ids: &[u64]| {
        let cx = Context::eval(&adapters, &model.frozen).in_pass(Pass::Train { key }, Some(ids));
        model.losses(&cx, x).unwrap().sum.to_vec1::<f64>().unwrap()
    };
    let all = run(&x, &[10, 11, 12, 13]);
    let tail = run(&x.narrow(0, 2, 2).unwrap(), &[12, 13]);
    for (a, b) in all[2..].iter().zip(&tail) {
        approx::assert_relative_eq!(a, b, max_relative = 1e-12);
    }
    let other = run(&x.narrow(0, 2, 2).unwrap(), &[12, 14]);
    assert!((other[1] - tail[1]).abs() > 1e-9);
}
