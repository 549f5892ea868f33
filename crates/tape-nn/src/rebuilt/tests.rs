//! Tests of models made of candle-nn's layers.

use candle_nn::{Module, VarBuilder};
use tensor_tree::{Groups, PerSample};

use super::*;
use crate::net::{Mlp, Network};
use crate::{Activation, Builder, Context, TapeLoss, Taped};

type Forward = Box<dyn Fn(&Tensor) -> candle_core::Result<Tensor>>;

/// A model whose loss is half the square of its output, of weight two.
struct Squares<F>(F);

impl<F: Fn(VarBuilder<'_>) -> candle_core::Result<Forward>> VarModel for Squares<F> {
    type Batch = Tensor;
    type Sample = Tensor;
    type Model = Forward;

    fn build(&self, vb: VarBuilder<'_>) -> candle_core::Result<Forward> {
        (self.0)(vb)
    }

    fn n_samples(&self, batch: &Tensor) -> usize {
        batch.dims()[0]
    }

    fn sample(&self, batch: &Tensor, place: usize) -> candle_core::Result<Tensor> {
        batch.narrow(0, place, 1)
    }

    fn loss(&self, forward: &Forward, x: &Tensor, _: Pass) -> candle_core::Result<SampleLoss> {
        Ok(SampleLoss { sum: (forward(x)?.sqr()?.sum_all()? * 0.5)?, weight: 2.0 })
    }
}

fn perceptron(vb: VarBuilder<'_>) -> candle_core::Result<Forward> {
    let fc1 = candle_nn::linear(6, 5, vb.pp("fc1"))?;
    let fc2 = candle_nn::linear(5, 3, vb.pp("fc2"))?;
    Ok(Box::new(move |x| fc2.forward(&fc1.forward(x)?.tanh()?)))
}

/// The same in this crate's layers.
struct Ours(Mlp, Tree);

impl TapeLoss for Ours {
    type Batch = Tensor;

    fn losses(&self, cx: &Context<'_>, batch: &Tensor) -> Result<Losses> {
        let y = self.0.forward(cx, batch)?;
        let sum = (y.sqr()?.sum(1)? * 0.5)?;
        Ok(Losses { weight: (sum.ones_like()? * 2.0)?.detach(), sum })
    }

    fn frozen(&self) -> &Tree {
        &self.1
    }

    fn n_samples(&self, batch: &Tensor) -> usize {
        batch.dims()[0]
    }
}

fn normal(dims: &[usize], dtype: DType) -> Tensor {
    Key::from_seed(12).normal_like(&Tensor::zeros(dims, dtype, &Device::Cpu).unwrap()).unwrap()
}

/// Normals of standard deviation 0.4 for these leaves.
fn params(leaves: &[(&str, &[usize])], dtype: DType) -> Tree {
    let leaf = |name: &str, dims: &[usize]| {
        let key = Key::from_seed(2).child(tensor_tree::Label::Leaf(name));
        let like = Tensor::zeros(dims, dtype, &Device::Cpu).unwrap();
        (key.normal_like(&like).unwrap() * 0.4).unwrap()
    };
    Tree::from_leaves(leaves.iter().map(|(name, dims)| (*name, leaf(name, dims)))).unwrap()
}

fn distance(a: &Tree, b: &Tree) -> f64 {
    a.add_scaled(-1.0, b).unwrap().norm().unwrap() / b.norm().unwrap()
}

#[test]
fn a_perceptron_of_candle_nn_agrees_with_ours() {
    for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 1e-6)] {
        let builder = Builder::init(Key::from_seed(3), dtype, &Device::Cpu);
        let mlp = Mlp::new(&[6, 5, 3], Activation::Tanh, builder.vb()).unwrap();
        let ours = Taped(Ours(mlp, Tree::new()));
        let params = builder.into_tree().unwrap();
        let batch = normal(&[4, 6], dtype);
        let theirs =
            Rebuilt::new(Squares(perceptron), Tree::new(), &params, &batch, Key::from_seed(1))
                .unwrap();
        for reduction in [Reduction::Sum, Reduction::Mean, Reduction::WeightedMean] {
            let (a, ga) = theirs.value_and_grad(&params, &batch, Pass::Eval, reduction).unwrap();
            let (b, gb) = ours.value_and_grad(&params, &batch, Pass::Eval, reduction).unwrap();
            assert!(distance(&ga, &gb) < tolerance, "{dtype:?} {reduction:?}");
            approx::assert_relative_eq!(
                a.mean().unwrap(),
                b.mean().unwrap(),
                max_relative = tolerance
            );
        }
        let moved = params.scale(0.9).unwrap();
        let points = [
            ProbePoint { params: params.clone(), weight: 1.7 },
            ProbePoint { params: moved, weight: -0.7 },
        ];
        let (_, a) = theirs.per_sample(&points, &batch, Pass::Eval).unwrap();
        let (_, b) = ours.per_sample(&points, &batch, Pass::Eval).unwrap();
        let groups = Groups::per_layer(&params);
        let norms = (a.squared_norms(&groups).unwrap(), b.squared_norms(&groups).unwrap());
        for (x, y) in norms.0.iter().flatten().zip(norms.1.iter().flatten()) {
            approx::assert_relative_eq!(x, y, max_relative = 10.0 * tolerance);
        }
        let factors = vec![vec![0.5, 0.0, 1.0, 2.0], vec![1.0, 0.3, 0.0, -1.0]];
        let sums = (
            a.weighted_sum(&groups, &factors).unwrap(),
            b.weighted_sum(&groups, &factors).unwrap(),
        );
        assert!(distance(&sums.0, &sums.1) < tolerance, "{dtype:?}");
        let losses = theirs.losses(&params, &batch, Pass::Eval).unwrap();
        assert_eq!((losses.sum.dims(), losses.weight.dims()), (&[4][..], &[4][..]));
    }
}

#[test]
fn an_empty_batch_gives_zeros() {
    let leaves: [(&str, &[usize]); 4] =
        [("fc1.weight", &[5, 6]), ("fc1.bias", &[5]), ("fc2.weight", &[3, 5]), ("fc2.bias", &[3])];
    let params = params(&leaves, DType::F32);
    let probe = normal(&[2, 6], DType::F32);
    let key = Key::from_seed(1);
    let model = Rebuilt::new(Squares(perceptron), Tree::new(), &params, &probe, key).unwrap();
    let empty = Tensor::zeros((0, 6), DType::F32, &Device::Cpu).unwrap();
    let grad = model.grad(&params, &empty, Pass::Eval, Reduction::Mean).unwrap();
    let points = ProbePoint::single(&params);
    let (losses, grads) = model.per_sample(&points, &empty, Pass::Eval).unwrap();
    let groups = Groups::one(&params);
    let sum = grads.weighted_sum(&groups, &[vec![]]).unwrap();
    for tree in [grad, sum] {
        params.check_like(&tree).unwrap();
        assert!(tree.norm().unwrap() < f64::MIN_POSITIVE);
    }
    assert_eq!(losses.sum.elem_count(), 0);
    let refused = Rebuilt::new(Squares(perceptron), Tree::new(), &params, &empty, key);
    assert!(matches!(refused, Err(Error::InvalidSetting { .. })));
}

fn normed(vb: VarBuilder<'_>) -> candle_core::Result<Forward> {
    let fc1 = candle_nn::linear(6, 4, vb.pp("fc1"))?;
    let norm = candle_nn::layer_norm(4, 1e-5, vb.pp("norm"))?;
    let fc2 = candle_nn::linear(4, 3, vb.pp("fc2"))?;
    Ok(Box::new(move |x| fc2.forward(&norm.forward(&fc1.forward(x)?)?)))
}

const NORMED: [(&str, &[usize]); 6] = [
    ("fc1.weight", &[4, 6]),
    ("fc1.bias", &[4]),
    ("norm.weight", &[4]),
    ("norm.bias", &[4]),
    ("fc2.weight", &[3, 4]),
    ("fc2.bias", &[3]),
];

#[test]
fn a_norm_that_cuts_gradients_is_refused_with_the_leaves_it_cuts_off() {
    let params = params(&NORMED, DType::F32);
    let batch = normal(&[3, 6], DType::F32);
    let key = Key::from_seed(1);
    let err = Rebuilt::new(Squares(normed), Tree::new(), &params, &batch, key).map(drop);
    let Err(Error::CutGradient { name, others, problem, known }) = err else {
        panic!("{err:?}");
    };
    assert_eq!((name.as_str(), problem), ("fc1.bias", "has no gradient"));
    assert_eq!(others, ["fc1.weight", "norm.bias", "norm.weight"]);
    assert!(known.contains("layer_norm"));
    // With what lies before the cut frozen the rest can be trained.
    let (trainable, frozen) = params.partition(|name| name.starts_with("fc2"));
    let model = Rebuilt::new(Squares(normed), frozen, &trainable, &batch, key).unwrap();
    let grad = model.grad(&trainable, &batch, Pass::Eval, Reduction::Sum).unwrap();
    trainable.check_like(&grad).unwrap();
}

fn pooled(max_pool: bool) -> impl Fn(VarBuilder<'_>) -> candle_core::Result<Forward> {
    move |vb| {
        let conv = candle_nn::conv2d(1, 3, 3, Default::default(), vb.pp("conv"))?;
        let fc = candle_nn::linear(12, 2, vb.pp("fc"))?;
        Ok(Box::new(move |x| {
            let x = conv.forward(x)?;
            let x = if max_pool {
                x.max_pool2d(2)?
            } else {
                x.reshape((1, 3, 2, 2, 2, 2))?.max(5)?.max(3)?
            };
            fc.forward(&x.flatten_from(1)?)
        }))
    }
}

#[test]
fn a_wrong_gradient_is_refused_by_differences() {
    let leaves: [(&str, &[usize]); 4] = [
        ("conv.weight", &[3, 1, 3, 3]),
        ("conv.bias", &[3]),
        ("fc.weight", &[2, 12]),
        ("fc.bias", &[2]),
    ];
    for dtype in [DType::F64, DType::F32] {
        let params = params(&leaves, dtype);
        let batch = normal(&[3, 1, 6, 6], dtype);
        let key = Key::from_seed(1);
        let err = Rebuilt::new(Squares(pooled(true)), Tree::new(), &params, &batch, key).map(drop);
        let Err(Error::WrongGradient { name, gradient, difference, known }) = err else {
            panic!("{err:?}");
        };
        assert!(name.contains("`conv."), "{name}");
        assert!((difference / gradient - 4.0).abs() < 0.05, "{gradient} {difference}");
        assert!(known.contains("max_pool2d"));
        Rebuilt::new(Squares(pooled(false)), Tree::new(), &params, &batch, key).unwrap();
    }
}

#[test]
fn leaves_that_are_not_used_zero_or_not_finite_are_refused() {
    let mut leaves = vec![
        ("fc1.weight", &[5, 6][..]),
        ("fc1.bias", &[5]),
        ("fc2.weight", &[3, 5]),
        ("fc2.bias", &[3]),
    ];
    let batch = normal(&[3, 6], DType::F64);
    let key = Key::from_seed(1);
    let problem = |params: &Tree, batch: &Tensor| match Rebuilt::new(
        Squares(perceptron),
        Tree::new(),
        params,
        batch,
        key,
    ) {
        Err(Error::CutGradient { name, problem, .. }) => (name, problem),
        other => panic!("{:?}", other.map(drop)),
    };
    leaves.push(("fc3.bias", &[2]));
    let (name, what) = problem(&params(&leaves, DType::F64), &batch);
    assert_eq!((name.as_str(), what), ("fc3.bias", "is not used by the model"));
    leaves.pop();
    let params = params(&leaves, DType::F64);
    let zero = params
        .map(
            |name, leaf| {
                if name == "fc2.weight" { Ok(leaf.zeros_like()?) } else { Ok(leaf.clone()) }
            },
        )
        .unwrap();
    let (name, what) = problem(&zero, &batch);
    assert_eq!((name.as_str(), what), ("fc1.bias", "has a gradient of zero"));
    let infinite = (&batch * f64::INFINITY).unwrap();
    assert_eq!(problem(&params, &infinite).1, "has a gradient that is not finite");
    let missing = Rebuilt::new(
        Squares(perceptron),
        Tree::new(),
        &params.partition(|n| n != "fc1.bias").0,
        &batch,
        key,
    );
    assert!(missing.map(drop).unwrap_err().to_string().contains("`fc1.bias`"));
}

#[test]
fn a_missing_part_of_a_gradient_is_found_by_the_random_direction() {
    // Half of the weight is detached in use: along the gradient that remains differences agree with it, along
    // a random direction they do not.
    let half = |vb: VarBuilder<'_>| -> candle_core::Result<Forward> {
        let w = vb.get((2, 6), "w")?;
        Ok(Box::new(move |x| {
            let (left, right) = (w.narrow(1, 0, 3)?, w.narrow(1, 3, 3)?.detach());
            let (a, b) = (x.narrow(1, 0, 3)?, x.narrow(1, 3, 3)?);
            Tensor::cat(&[a.matmul(&left.t()?)?, b.matmul(&right.t()?)?], 1)
        }))
    };
    let params = params(&[("w", &[2, 6])], DType::F64);
    let batch = normal(&[3, 6], DType::F64);
    let err =
        Rebuilt::new(Squares(half), Tree::new(), &params, &batch, Key::from_seed(1)).map(drop);
    assert!(
        matches!(&err, Err(Error::WrongGradient { name, .. }) if name.contains("random")),
        "{err:?}"
    );
}

/// A linear map that samples of positive sum skip.
fn skipped(vb: VarBuilder<'_>) -> candle_core::Result<Forward> {
    let (fc1, fc2) = (
        candle_nn::linear_no_bias(6, 6, vb.pp("fc1"))?,
        candle_nn::linear_no_bias(6, 2, vb.pp("fc2"))?,
    );
    Ok(Box::new(move |x| {
        let positive = 0.0 < x.sum_all()?.to_scalar::<f64>()?;
        if positive { fc2.forward(x) } else { fc2.forward(&fc1.forward(x)?) }
    }))
}

#[test]
fn a_leaf_that_no_sample_of_a_batch_uses_has_a_gradient_of_zero() {
    let params = params(&[("fc1.weight", &[6, 6]), ("fc2.weight", &[2, 6])], DType::F64);
    let key = Key::from_seed(1);
    let row = |sign: f64| (Tensor::ones((1, 6), DType::F64, &Device::Cpu).unwrap() * sign).unwrap();
    let probe = Tensor::cat(&[row(-1.0), row(1.0)], 0).unwrap();
    let model = Rebuilt::new(Squares(skipped), Tree::new(), &params, &probe, key).unwrap();
    let batch = Tensor::cat(&[row(1.0), row(0.5)], 0).unwrap();
    let grad = model.grad(&params, &batch, Pass::Eval, Reduction::Mean).unwrap();
    let at = ProbePoint::single(&params);
    let (_, grads) = model.per_sample(&at, &batch, Pass::Eval).unwrap();
    let groups = Groups::per_leaf(&params);
    let norms = grads.squared_norms(&groups).unwrap();
    assert_eq!(norms[0], [0.0, 0.0]);
    assert!(norms[1].iter().all(|norm| 0.0 < *norm));
    let sum = grads.weighted_sum(&groups, &vec![vec![1.0; 2]; 2]).unwrap();
    for tree in [grad, sum] {
        params.check_like(&tree).unwrap();
        let zero = |leaf: &str| {
            let largest = tree.leaf(leaf).unwrap().abs().unwrap().max_all().unwrap();
            largest.to_scalar::<f64>().unwrap() == 0.0
        };
        assert!(zero("fc1.weight") && !zero("fc2.weight"));
    }
    // A leaf that the model does not know is no matter of the batch.
    let mut more = params.clone();
    more.insert("fc3.weight", row(1.0)).unwrap();
    let refused = model.grad(&more, &batch, Pass::Eval, Reduction::Mean);
    assert!(matches!(refused, Err(tensor_tree::Error::NotDifferentiated { .. })));
}
