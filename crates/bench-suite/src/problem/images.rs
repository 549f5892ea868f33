//! Image sets with small networks.

use candle_core::{DType, Device, Tensor};
use tape_nn::net::{Cnn, CnnConfig, Mlp, Network};
use tape_nn::{Activation, Builder, Channels, Classifier, LabeledBatch, Taped};
use tensor_tree::{Key, Objective, Pass, Tree};

use super::{Problem, Quality};
use crate::data::split::shuffled_split;
use crate::data::{Dataset, ImageSet, Layout, Places};
use crate::error::{Error, Result};

/// Seed of the split into training and test part where a set has none.
const SPLIT_SEED: u64 = 2024;
/// Test images evaluated at a time.
const EVAL_BATCH: usize = 250;

/// A network on an image set.
pub struct ImageProblem {
    name: String,
    layout: Layout,
    train: ImageSet,
    test: Vec<(Vec<usize>, LabeledBatch)>,
    objective: Taped<Classifier<Box<dyn Network>>>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Mlp,
    /// One hidden layer of 64.
    Narrow,
    Cnn,
}

impl ImageProblem {
    /// The problem of that name: `digits`, `mnist`, `fashion`, `fashion-20k`, `signs` or `cifar10:FOLDER` with `/mlp`, `/mlp-64` or
    /// `/cnn`.
    ///
    /// # Errors
    /// [`Error::UnknownProblem`], or if the data are missing or damaged.
    pub fn open(name: &str, places: &Places) -> Result<Self> {
        let unknown = || Error::UnknownProblem { name: name.to_owned() };
        let (set, network) = name.rsplit_once('/').ok_or_else(unknown)?;
        let (dataset, n_test) = match set {
            "digits" => (Dataset::Digits, 450),
            "mnist" => (Dataset::Mnist10k, 2000),
            "fashion" | "fashion-20k" => (Dataset::FashionMnist, 10_000),
            "signs" => (Dataset::SignLanguage, 412),
            other => match other.strip_prefix("cifar10:") {
                Some(folder) => (Dataset::Cifar10 { folder: folder.into() }, 10_000),
                None => return Err(unknown()),
            },
        };
        let kind = match network {
            "mlp" => Kind::Mlp,
            "mlp-64" => Kind::Narrow,
            "cnn" => Kind::Cnn,
            _ => return Err(unknown()),
        };
        let (mut train, mut test) = dataset.images(places)?.train_and_test(n_test, SPLIT_SEED)?;
        if set == "fashion-20k" {
            train = train.subset(&shuffled_split(train.n_samples(), 20_000, SPLIT_SEED)?.test)?;
            test = test.subset(&shuffled_split(test.n_samples(), 2000, SPLIT_SEED)?.test)?;
        }
        let layout = Layout::Nhwc;
        let builder = Builder::init(Key::from_seed(0), DType::F32, &Device::Cpu);
        let network = network_of(kind, &train, &builder)?;
        let all: Vec<usize> = (0..test.n_samples()).collect();
        let test = all
            .chunks(EVAL_BATCH)
            .map(|part| Ok((part.to_vec(), batch(&test, part, layout, kind)?)))
            .collect::<Result<_>>()?;
        let objective = Taped(Classifier::new(network));
        Ok(ImageProblem { name: name.to_owned(), layout, train, test, objective, kind })
    }
}

fn network_of(kind: Kind, set: &ImageSet, builder: &Builder) -> Result<Box<dyn Network>> {
    let format = set.format();
    let vb = builder.vb();
    Ok(match kind {
        Kind::Mlp => {
            let sizes = if format.n_pixels() <= 64 {
                vec![format.n_pixels(), 64, format.n_classes]
            } else {
                vec![format.n_pixels(), 256, 64, format.n_classes]
            };
            Box::new(Mlp::new(&sizes, Activation::Relu, vb)?)
        }
        Kind::Narrow => {
            Box::new(Mlp::new(&[format.n_pixels(), 64, format.n_classes], Activation::Relu, vb)?)
        }
        Kind::Cnn => {
            let config = CnnConfig {
                inputs: format.channels,
                size: (format.height, format.width),
                channels: vec![16, 32],
                groups: 4,
                hidden: 64,
                classes: format.n_classes,
                order: Channels::Last,
            };
            Box::new(Cnn::new(config, vb)?)
        }
    })
}

fn batch(set: &ImageSet, records: &[usize], layout: Layout, kind: Kind) -> Result<LabeledBatch> {
    let format = set.format();
    let pixels = set.gather(records, layout, None)?;
    let shape = match kind {
        Kind::Mlp | Kind::Narrow => vec![records.len(), format.n_pixels()],
        Kind::Cnn => vec![records.len(), format.height, format.width, format.channels],
    };
    let inputs = Tensor::from_vec(pixels, shape, &Device::Cpu)?;
    let labels = Tensor::from_vec(set.gather_labels(records)?, records.len(), &Device::Cpu)?;
    Ok(LabeledBatch::new(inputs, labels))
}

impl Problem for ImageProblem {
    type Objective = Taped<Classifier<Box<dyn Network>>>;

    fn name(&self) -> &str {
        &self.name
    }

    fn unit(&self) -> &'static str {
        "one image"
    }

    fn objective(&self) -> &Self::Objective {
        &self.objective
    }

    fn initial(&self, seed: u64) -> Result<Tree> {
        let builder = Builder::init(Key::from_seed(seed), DType::F32, &Device::Cpu);
        network_of(self.kind, &self.train, &builder)?;
        Ok(builder.into_tree()?)
    }

    fn n_train(&self) -> usize {
        self.train.n_samples()
    }

    fn batch(&self, records: &[usize]) -> Result<LabeledBatch> {
        batch(&self.train, records, self.layout, self.kind)
    }

    fn evaluate(&self, params: &Tree) -> Result<Quality> {
        let (mut loss, mut correct, mut n) = (0.0, 0, 0);
        for (records, batch) in &self.test {
            let losses = self.objective.losses(params, batch, Pass::Eval)?;
            loss += losses.mean()? * records.len() as f64;
            correct += self.objective.0.n_correct(params, batch)?;
            n += records.len();
        }
        let n = n as f64;
        Ok(Quality { loss: loss / n, accuracy: Some(correct as f64 / n) })
    }
}
