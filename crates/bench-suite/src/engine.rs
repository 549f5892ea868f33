//! The engine benchmark's own side: networks of a given shape, and a worker process that times complete steps.
//!
//! Each measured configuration runs in a process of its own, so that its peak memory is its own and the number of threads is
//! that of the process. Workers speak one JSON object a line, as the peers do.

pub mod client;
pub mod floor;
mod step;
pub mod worker;

use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};
use tape_nn::net::{Cnn, CnnConfig, Gpt, GptConfig, Mlp, Network, NextToken, Texts};
use tape_nn::{Activation, Builder, Classifier, LabeledBatch};
use tensor_tree::{Key, Label, Tree};

use crate::error::Result;

pub(crate) use step::step;
pub use step::{Mode, Parts};

/// A network with a batch of made-up data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "lowercase", deny_unknown_fields)]
pub enum Shape {
    /// 784-512-256-10 with ReLU.
    Mlp {
        /// Samples.
        batch: usize,
        /// Width of the layers.
        sizes: Vec<usize>,
    },
    /// Two convolutions with GroupNorm, ReLU and pooling, two dense layers, on 28x28 grey images.
    Cnn {
        /// Samples.
        batch: usize,
    },
    /// A GPT-style transformer with an untied head.
    Gpt {
        /// Samples.
        batch: usize,
        /// Tokens of a sample.
        positions: usize,
        /// Width.
        width: usize,
        /// Blocks.
        blocks: usize,
        /// Heads.
        heads: usize,
        /// Vocabulary.
        vocab: usize,
    },
}

impl Shape {
    /// The three networks of the engine benchmark.
    #[must_use]
    pub fn standard() -> [(&'static str, Shape); 3] {
        [
            ("mlp", Shape::Mlp { batch: 64, sizes: vec![784, 512, 256, 10] }),
            ("cnn", Shape::Cnn { batch: 64 }),
            (
                "gpt",
                Shape::Gpt {
                    batch: 16,
                    positions: 128,
                    width: 256,
                    blocks: 4,
                    heads: 8,
                    vocab: 8192,
                },
            ),
        ]
    }
}

/// A network that can be trained, with its parameters and a batch.
pub(crate) enum Subject {
    Classifier(Classifier<Box<dyn Network>>, Tree, LabeledBatch),
    Language(Box<NextToken<Gpt>>, Tree, Texts),
}

impl Subject {
    pub(crate) fn new(shape: &Shape) -> Result<Self> {
        let key = Key::from_seed(7);
        let builder = Builder::init(key, DType::F32, &Device::Cpu);
        let data = |dims: &[usize]| -> Result<Tensor> {
            let zero = Tensor::zeros(dims, DType::F32, &Device::Cpu)?;
            Ok(key.child(Label::Leaf("data")).normal_like(&zero)?)
        };
        Ok(match shape {
            Shape::Mlp { batch, sizes } => {
                let network: Box<dyn Network> =
                    Box::new(Mlp::new(sizes, Activation::Relu, builder.vb())?);
                let classes = sizes.last().copied().unwrap_or(1);
                let inputs = data(&[*batch, sizes.first().copied().unwrap_or(1)])?;
                let labeled = LabeledBatch::new(inputs, tokens(key, &[*batch], classes)?);
                Subject::Classifier(Classifier::new(network), builder.into_tree()?, labeled)
            }
            Shape::Cnn { batch } => {
                let network: Box<dyn Network> =
                    Box::new(Cnn::new(CnnConfig::default(), builder.vb())?);
                let labeled =
                    LabeledBatch::new(data(&[*batch, 28, 28, 1])?, tokens(key, &[*batch], 10)?);
                Subject::Classifier(Classifier::new(network), builder.into_tree()?, labeled)
            }
            Shape::Gpt { batch, positions, width, blocks, heads, vocab } => {
                let config = GptConfig::new(*vocab, *positions, *width, *blocks, *heads);
                let model = Gpt::new(&config, builder.vb())?;
                let windows = tokens(key, &[*batch, positions + 1], *vocab)?;
                let texts = Texts::from_windows(&windows)?;
                let objective = NextToken { model, frozen: Tree::new() };
                Subject::Language(Box::new(objective), builder.into_tree()?, texts)
            }
        })
    }
}

/// Uniform numbers below `limit`.
fn tokens(key: Key, dims: &[usize], limit: usize) -> Result<Tensor> {
    let mut draws = vec![0f64; dims.iter().product()];
    key.child(Label::Leaf("tokens")).fill_uniform(&mut draws);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below the limit")]
    let ids: Vec<u32> = draws.iter().map(|u| (u * limit as f64) as u32).collect();
    Ok(Tensor::from_vec(ids, dims, &Device::Cpu)?)
}
