//! Perceptrons on small images.

use candle_core::{DType, Device, Tensor};
use tape_nn::net::Mlp;
use tape_nn::{Activation, Builder, Classifier, LabeledBatch, Taped};
use tensor_tree::{Key, Objective, Pass, Tree};

use super::scaled::Scaled;
use super::subject::{Judged, Subject};
use crate::data::{Dataset, ImageSet, Layout, Places};
use crate::error::Result;

/// Widths of the hidden layers.
const HIDDEN: [usize; 2] = [64, 32];
/// Seed of the split into training and test part.
const SPLIT_SEED: u64 = 2024;

/// A perceptron with hidden layers of 64 and 32 units on a set of images.
pub struct Perceptron {
    sizes: Vec<usize>,
    set: ImageSet,
    train: LabeledBatch,
    test: LabeledBatch,
    n_test: usize,
    objective: Scaled<Taped<Classifier<Mlp>>>,
}

impl Perceptron {
    /// Digits of 8x8, 1400 to train on and 397 held out, with leaves at the scales that `scale` gives them.
    ///
    /// # Errors
    /// If the data are missing or damaged.
    pub fn digits(places: &Places, scale: fn(&str) -> f64) -> Result<Self> {
        Self::open(&Dataset::Digits, 397, places, scale)
    }

    /// Digits of 28x28, 8000 to train on and 2000 held out.
    ///
    /// # Errors
    /// If the data are missing or damaged.
    pub fn mnist(places: &Places) -> Result<Self> {
        Self::open(&Dataset::Mnist10k, 2000, places, |_| 1.0)
    }

    fn open(
        dataset: &Dataset,
        n_test: usize,
        places: &Places,
        scale: fn(&str) -> f64,
    ) -> Result<Self> {
        let (set, test) = dataset.images(places)?.train_and_test(n_test, SPLIT_SEED)?;
        let format = set.format();
        let sizes = [&[format.n_pixels()], &HIDDEN[..], &[format.n_classes]].concat();
        let builder = Builder::init(Key::from_seed(0), DType::F32, &Device::Cpu);
        let mlp = Mlp::new(&sizes, Activation::Relu, builder.vb())?;
        let all = |set: &ImageSet| -> Vec<usize> { (0..set.n_samples()).collect() };
        Ok(Perceptron {
            train: batch(&set, &all(&set))?,
            test: batch(&test, &all(&test))?,
            n_test: test.n_samples(),
            sizes,
            set,
            objective: Scaled { inner: Taped(Classifier::new(mlp)), scale },
        })
    }
}

fn batch(set: &ImageSet, records: &[usize]) -> Result<LabeledBatch> {
    let pixels = set.gather(records, Layout::Nhwc, None)?;
    let shape = (records.len(), set.format().n_pixels());
    let inputs = Tensor::from_vec(pixels, shape, &Device::Cpu)?;
    let labels = Tensor::from_vec(set.gather_labels(records)?, records.len(), &Device::Cpu)?;
    Ok(LabeledBatch::new(inputs, labels))
}

impl Subject for Perceptron {
    type Objective = Scaled<Taped<Classifier<Mlp>>>;

    fn objective(&self) -> &Self::Objective {
        &self.objective
    }

    fn initial(&self, seed: u64) -> Result<Tree> {
        let builder = Builder::init(Key::from_seed(seed), DType::F32, &Device::Cpu);
        Mlp::new(&self.sizes, Activation::Relu, builder.vb())?;
        Ok(self.objective.outer_params(&builder.into_tree()?)?)
    }

    fn n_train(&self) -> usize {
        self.set.n_samples()
    }

    fn batch(&self, records: &[usize]) -> Result<LabeledBatch> {
        batch(&self.set, records)
    }

    fn judge(&self, params: &Tree) -> Result<Judged> {
        let mean = |batch| self.objective.losses(params, batch, Pass::Eval)?.mean();
        let at = self.objective.inner_params(params)?;
        let correct = self.objective.inner.0.n_correct(&at, &self.test)?;
        Ok(Judged {
            train_loss: mean(&self.train)?,
            test_loss: mean(&self.test)?,
            accuracy: Some(correct as f64 / self.n_test as f64),
        })
    }
}
