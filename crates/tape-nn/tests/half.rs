//! Half precision on the host: gradients and norms close to those of single precision.

use candle_core::{DType, Device, Tensor};
use tape_nn::net::{Cnn, Gpt, GptConfig, NextToken, Texts};
use tape_nn::{Builder, Classifier, LabeledBatch, TapeLoss, Taped};
use tensor_tree::{
    Differentiable, Groups, Key, Label, Pass, PerSample, PerSampleDifferentiable, ProbePoint,
    Reduction, Tree,
};

/// Parameters that both types hold exactly.
fn params(builder: Builder) -> Tree {
    let key = Key::from_seed(3);
    let moved = builder.into_tree().unwrap();
    let moved = moved.map(|name, leaf| key.child(Label::Leaf(name)).add_normal(leaf, 0.1)).unwrap();
    moved.to_dtype(DType::F16).unwrap().to_dtype(DType::F32).unwrap()
}

struct Found {
    norms: Vec<Vec<f64>>,
    trees: [Tree; 2],
}

fn run<L: TapeLoss>(objective: &Taped<L>, params: &Tree, batch: &L::Batch, pass: Pass) -> Found {
    let grad = objective.grad(params, batch, pass, Reduction::Sum).unwrap();
    let at = ProbePoint::single(params);
    let (_, grads) = objective.per_sample(&at, batch, pass).unwrap();
    let groups = Groups::per_leaf(params);
    let norms = grads.squared_norms(&groups).unwrap();
    let factors = vec![vec![1.0; grads.n_samples()]; groups.len()];
    Found { norms, trees: [grad, grads.weighted_sum(&groups, &factors).unwrap()] }
}

fn compare(half: &Found, single: &Found) {
    // Ordinary gradients have the type of their parameters; sums that noise is added to are never in halves.
    assert!(half.trees[0].iter().all(|(_, leaf)| leaf.dtype() == DType::F16));
    assert!(half.trees[1].iter().all(|(_, leaf)| leaf.dtype() == DType::F32));
    for trees in half.trees.iter().zip(&single.trees) {
        let got = trees.0.to_dtype(DType::F32).unwrap();
        let error = got.add_scaled(-1.0, trees.1).unwrap().norm().unwrap();
        assert!(error < 0.02 * trees.1.norm().unwrap(), "{error}");
    }
    let largest = single.norms.iter().flatten().fold(0.0f64, |a, b| a.max(*b));
    assert!(0.0 < largest);
    for (got, want) in half.norms.iter().flatten().zip(single.norms.iter().flatten()) {
        assert!((got - want).abs() < 0.05 * want + 1e-4 * largest, "{got} {want}");
    }
}

#[test]
fn a_language_model_trains_in_half_precision() {
    let builder = Builder::init(Key::from_seed(1), DType::F32, &Device::Cpu);
    let config = GptConfig { dropout: 0.2, ..GptConfig::new(11, 6, 8, 2, 2) };
    let model = Gpt::new(&config, builder.vb()).unwrap();
    let params = params(builder);
    let ids: Vec<u32> = (0..3 * 7).map(|i| (i * i * 7 + i / 3) % 11).collect();
    let windows = Tensor::from_vec(ids, (3, 7), &Device::Cpu).unwrap();
    let batch = Texts::from_windows(&windows).unwrap().with_sample_ids([4, 0, 2]);
    let objective = Taped(NextToken { model, frozen: Tree::new() });
    let pass = Pass::Train { key: Key::from_seed(5) };
    let single = run(&objective, &params, &batch, pass);
    let half = run(&objective, &params.to_dtype(DType::F16).unwrap(), &batch, pass);
    compare(&half, &single);
}

#[test]
fn a_convolutional_network_trains_in_half_precision() {
    let builder = Builder::init(Key::from_seed(1), DType::F32, &Device::Cpu);
    let objective = Taped(Classifier::new(Cnn::new(crate::small_cnn(), builder.vb()).unwrap()));
    let params = params(builder);
    let zero = Tensor::zeros((4, 8, 8, 1), DType::F32, &Device::Cpu).unwrap();
    let images = Key::from_seed(2).normal_like(&zero).unwrap();
    let labels = Tensor::new(&[0u32, 2, 1, 1], &Device::Cpu).unwrap();
    let in_type = |dtype: DType| {
        let images = images.to_dtype(DType::F16).unwrap().to_dtype(dtype).unwrap();
        let batch = LabeledBatch::new(images, labels.clone());
        run(&objective, &params.to_dtype(dtype).unwrap(), &batch, Pass::Eval)
    };
    compare(&in_type(DType::F16), &in_type(DType::F32));
}
