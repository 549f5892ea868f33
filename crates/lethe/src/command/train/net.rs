//! Networks of a configuration.

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use tape_nn::net::{Cnn, CnnConfig, Mlp, Network};
use tape_nn::{
    BagMode, Builder, Channels, Context, Direction, Embedding, EmbeddingBag, Gru, Linear, Lstm,
    RecurrentConfig, embedding, embedding_bag, gru, linear, load, lstm, select,
};
use tensor_tree::{Key, Tree};

use super::config::{Activation, Config, Model};
use super::data::Shape;
use crate::error::Result;

/// A network, its trained parameters and the others.
pub(super) struct Built {
    pub(super) net: Box<dyn Network>,
    pub(super) params: Tree,
    pub(super) frozen: Tree,
}

/// Builds the network of a configuration for records of this shape.
pub(super) fn build(config: &Config, shape: Shape) -> Result<Built> {
    let device = &Device::Cpu;
    let builder = match &config.training.start {
        Some(file) => {
            let weights = load::safetensors::read(file, DType::F32, device)?;
            Builder::given(weights.tree, DType::F32, device)
        }
        None => Builder::init(Key::from_seed(config.training.initial_seed), DType::F32, device),
    };
    let net = network(&config.model, shape, config.data.n_classes(), builder.vb())?;
    let all = builder.into_tree()?;
    let (params, frozen) = match &config.training.trained[..] {
        [] => (all, Tree::new()),
        patterns => select::split(&all, patterns)?,
    };
    Ok(Built { net, params, frozen })
}

fn network(
    model: &Model,
    shape: Shape,
    classes: usize,
    vb: VarBuilder<'_>,
) -> Result<Box<dyn Network>> {
    let width = match shape {
        Shape::Features(width) => width,
        Shape::Image(height, width) => height * width,
        Shape::Tokens(length, _) => length,
    };
    let rows = if let Shape::Tokens(_, rows) = shape { rows } else { 0 };
    let perceptron = |first: usize, hidden: &[usize], activation, vb| {
        let sizes: Vec<usize> =
            std::iter::once(first).chain(hidden.iter().copied()).chain([classes]).collect();
        Mlp::new(&sizes, activation, vb)
    };
    Ok(match model {
        Model::Linear {} => Box::new(perceptron(width, &[], tape_nn::Activation::Relu, vb)?),
        Model::Mlp { hidden, activation } => {
            Box::new(perceptron(width, hidden, activation.of(), vb)?)
        }
        Model::Cnn { channels, groups, hidden } => {
            let size =
                if let Shape::Image(height, width) = shape { (height, width) } else { (0, 0) };
            let config = CnnConfig {
                inputs: 1,
                size,
                channels: channels.clone(),
                groups: *groups,
                hidden: *hidden,
                classes,
                order: Channels::Last,
            };
            Box::new(Cnn::new(config, vb)?)
        }
        Model::Bag { width, hidden, .. } => Box::new(Bag {
            rows: embedding_bag(rows, *width, BagMode::Mean, vb.pp("rows"))?.with_padding(0),
            net: perceptron(*width, hidden, tape_nn::Activation::Relu, vb)?,
        }),
        Model::Lstm { width, hidden } => {
            let cell = Cell::Lstm(lstm(*width, *hidden, BACKWARDS, vb.pp("rnn"))?);
            Box::new(Recurrent::new(rows, *width, *hidden, classes, cell, &vb)?)
        }
        Model::Gru { width, hidden } => {
            let cell = Cell::Gru(gru(*width, *hidden, BACKWARDS, vb.pp("rnn"))?);
            Box::new(Recurrent::new(rows, *width, *hidden, classes, cell, &vb)?)
        }
    })
}

impl Activation {
    fn of(self) -> tape_nn::Activation {
        match self {
            Activation::Relu => tape_nn::Activation::Relu,
            Activation::Tanh => tape_nn::Activation::Tanh,
            Activation::Silu => tape_nn::Activation::Silu,
            Activation::Gelu => tape_nn::Activation::GeluErf,
        }
    }
}

/// The mean of embedded rows below a perceptron.
struct Bag {
    rows: EmbeddingBag,
    net: Mlp,
}

impl Network for Bag {
    fn forward(&self, cx: &Context<'_>, x: &Tensor) -> tape_nn::Result<Tensor> {
        self.net.forward(cx, &self.rows.forward(cx, x)?)
    }
}

/// Padding stands at the end and is read first, so the state at the first position has seen the text last.
const BACKWARDS: RecurrentConfig =
    RecurrentConfig { bias: true, layer: 0, direction: Direction::Backward };

/// A recurrent layer over embedded tokens, and a linear map of its last state.
struct Recurrent {
    rows: Embedding,
    cell: Cell,
    head: Linear,
}

enum Cell {
    Lstm(Lstm),
    Gru(Gru),
}

impl Recurrent {
    fn new(
        rows: usize,
        width: usize,
        hidden: usize,
        classes: usize,
        cell: Cell,
        vb: &VarBuilder<'_>,
    ) -> Result<Self> {
        let rows = embedding(rows, width, vb.pp("rows"))?.with_padding(0);
        Ok(Recurrent { rows, cell, head: linear(hidden, classes, vb.pp("head"))? })
    }
}

impl Network for Recurrent {
    fn forward(&self, cx: &Context<'_>, x: &Tensor) -> tape_nn::Result<Tensor> {
        let x = self.rows.forward(cx, x)?;
        let states = match &self.cell {
            Cell::Lstm(cell) => cell.forward(cx, &x)?,
            Cell::Gru(cell) => cell.forward(cx, &x)?,
        };
        self.head.forward(cx, &states.narrow(1, 0, 1)?.squeeze(1)?)
    }
}
