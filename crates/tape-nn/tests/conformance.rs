//! The batteries of tensor-tree on networks of this crate and on one of candle-nn's layers.

use candle_core::{DType, Device, Tensor};
use candle_nn::{Module, VarBuilder};
use tape_nn::net::{Cnn, Gpt, GptConfig, Mlp, NextToken, Texts};
use tape_nn::rebuilt::{Rebuilt, SampleLoss, VarModel};
use tape_nn::{Activation, Builder, Classifier, LabeledBatch, LoraConfig, TapeLoss, Taped, lora};
use tensor_tree::conformance::{check_differentiable, check_per_sample};
use tensor_tree::{Key, Label, Pass, Tree};

fn normal(dims: &[usize], seed: u64) -> Tensor {
    let zero = Tensor::zeros(dims, DType::F64, &Device::Cpu).unwrap();
    Key::from_seed(seed).normal_like(&zero).unwrap()
}

/// Parameters moved off their initial values, so that nothing is zero by chance.
fn moved(params: Tree) -> Tree {
    let key = Key::from_seed(3);
    params.map(|name, leaf| key.child(Label::Leaf(name)).add_normal(leaf, 0.2)).unwrap()
}

fn labels(n: usize, classes: usize) -> Tensor {
    let labels: Vec<u32> =
        (0..n).map(|i| u32::try_from((i * 7 + i / 2) % classes).unwrap()).collect();
    Tensor::from_vec(labels, n, &Device::Cpu).unwrap()
}

fn labeled(batch: &LabeledBatch, i: usize) -> LabeledBatch {
    let one = |t: &Tensor| t.narrow(0, i, 1).unwrap();
    let ids = batch.sample_ids.iter().map(|ids| ids[i]);
    LabeledBatch::new(one(&batch.inputs), one(&batch.labels)).with_sample_ids(ids)
}

fn texts(batch: &Texts, i: usize) -> Texts {
    let one = |t: &Tensor| t.narrow(0, i, 1).unwrap();
    let ids = batch.sample_ids.as_ref().map(|ids| vec![ids[i]]);
    Texts { ids: one(&batch.ids), labels: one(&batch.labels), sample_ids: ids }
}

fn check<L: TapeLoss>(
    loss: L,
    params: &Tree,
    batch: &L::Batch,
    pass: Pass,
    split: fn(&L::Batch, usize) -> L::Batch,
) {
    let objective = Taped(loss);
    check_differentiable(&objective, params, batch, pass).unwrap();
    check_per_sample(&objective, params, batch, pass, split).unwrap();
}

#[test]
fn a_perceptron_conforms() {
    let builder = Builder::init(Key::from_seed(1), DType::F64, &Device::Cpu);
    let mlp = Mlp::new(&[6, 5, 4], Activation::Tanh, builder.vb()).unwrap();
    let params = moved(builder.into_tree().unwrap());
    let batch = LabeledBatch::new(normal(&[5, 6], 2), labels(5, 4)).with_sample_ids(0..5);
    check(Classifier::new(mlp), &params, &batch, Pass::Eval, labeled);
}

#[test]
fn a_convolutional_network_conforms() {
    let builder = Builder::init(Key::from_seed(1), DType::F64, &Device::Cpu);
    let cnn = Cnn::new(crate::small_cnn(), builder.vb()).unwrap();
    let params = moved(builder.into_tree().unwrap());
    let batch = LabeledBatch::new(normal(&[4, 8, 8, 1], 2), labels(4, 3)).with_sample_ids(0..4);
    // ReLU and maxima have kinks, so differences are left to the tests of the layers.
    let objective = Taped(Classifier::new(cnn));
    check_per_sample(&objective, &params, &batch, Pass::Eval, labeled).unwrap();
}

#[test]
fn a_tied_language_model_conforms_with_dropout() {
    let builder = Builder::init(Key::from_seed(1), DType::F64, &Device::Cpu);
    let config = GptConfig { tied: true, dropout: 0.3, ..GptConfig::new(11, 6, 8, 1, 2) };
    let model = Gpt::new(&config, builder.vb()).unwrap();
    let params = moved(builder.into_tree().unwrap());
    let windows = labels(3 * 6, 11).reshape((3, 6)).unwrap();
    let batch = Texts::from_windows(&windows).unwrap().with_sample_ids([9, 2, 4]);
    let pass = Pass::Train { key: Key::from_seed(5) };
    check(NextToken { model, frozen: Tree::new() }, &params, &batch, pass, texts);
}

#[test]
fn adapters_with_dropout_conform() {
    let builder = Builder::init(Key::from_seed(1), DType::F64, &Device::Cpu);
    let mut mlp = Mlp::new(&[6, 5, 4], Activation::GeluErf, builder.vb()).unwrap();
    let frozen = builder.into_tree().unwrap();
    let config = LoraConfig { rank: 2, dropout: 0.4, ..LoraConfig::for_layers(["*"]) };
    let adapters =
        lora::attach(&mut mlp, &config, Key::from_seed(2), DType::F64, &Device::Cpu).unwrap();
    let batch = LabeledBatch::new(normal(&[5, 6], 2), labels(5, 4)).with_sample_ids(20..25);
    let pass = Pass::Train { key: Key::from_seed(5) };
    check(Classifier::with_frozen(mlp, frozen), &moved(adapters), &batch, pass, labeled);
}

/// A perceptron of candle-nn's layers.
struct Theirs;

impl VarModel for Theirs {
    type Batch = Tensor;
    type Sample = Tensor;
    type Model = [candle_nn::Linear; 2];

    fn build(&self, vb: VarBuilder<'_>) -> candle_core::Result<Self::Model> {
        Ok([candle_nn::linear(6, 5, vb.pp("fc1"))?, candle_nn::linear(5, 3, vb.pp("fc2"))?])
    }

    fn n_samples(&self, batch: &Tensor) -> usize {
        batch.dims()[0]
    }

    fn sample(&self, batch: &Tensor, place: usize) -> candle_core::Result<Tensor> {
        batch.narrow(0, place, 1)
    }

    fn loss(&self, [a, b]: &Self::Model, x: &Tensor, _: Pass) -> candle_core::Result<SampleLoss> {
        let y = b.forward(&a.forward(x)?.tanh()?)?;
        Ok(SampleLoss { sum: y.sqr()?.sum_all()?, weight: 2.0 })
    }
}

#[test]
fn a_model_of_other_layers_conforms() {
    let leaf = |name: &str, dims: &[usize]| {
        let zero = Tensor::zeros(dims, DType::F64, &Device::Cpu).unwrap();
        Key::from_seed(4).child(Label::Leaf(name)).normal_like(&zero).unwrap()
    };
    let leaves: [(&str, &[usize]); 4] =
        [("fc1.weight", &[5, 6]), ("fc1.bias", &[5]), ("fc2.weight", &[3, 5]), ("fc2.bias", &[3])];
    let params = Tree::from_leaves(leaves.map(|(name, dims)| (name, leaf(name, dims)))).unwrap();
    let batch = normal(&[4, 6], 2);
    let model = Rebuilt::new(Theirs, Tree::new(), &params, &batch, Key::from_seed(1)).unwrap();
    check_differentiable(&model, &params, &batch, Pass::Eval).unwrap();
    let one = |batch: &Tensor, i: usize| batch.narrow(0, i, 1).unwrap();
    check_per_sample(&model, &params, &batch, Pass::Eval, one).unwrap();
}
