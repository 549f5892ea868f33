//! The configuration of a run, and what is wrong with one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::command::identity::Identity;
use crate::error::{Error, Result};

/// Keys that change when a run is looked at, and how its work is cut, but not what it releases.
const FREE: [&str; 3] =
    ["training.micro_batch", "training.checkpoint_every", "training.evaluate_every"];

/// A run.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    /// What makes it this run and no other.
    #[serde(skip)]
    pub(super) identity: Identity,
    version: u32,
    pub(super) data: Data,
    pub(super) model: Model,
    pub(super) training: Training,
    pub(super) privacy: Privacy,
}

/// Where records come from. What is read of private data must be public beforehand: classes, ranges, lengths.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "format", rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Data {
    /// A table; all columns but the response and the ignored ones are features.
    Csv {
        train: PathBuf,
        test: Option<PathBuf>,
        /// Whether the first row holds names; else columns are `x1`, `x2`, ..., and are chosen by their number.
        #[serde(default = "yes")]
        header: bool,
        /// Lines before the first row that are not looked at.
        #[serde(default)]
        skip_lines: usize,
        response: String,
        classes: Vec<String>,
        #[serde(default)]
        ignore: Vec<String>,
        /// Public limits of every feature, brought to -1 and 1.
        range: Option<[f64; 2]>,
        /// Public limits of single features.
        #[serde(default)]
        ranges: BTreeMap<String, [f64; 2]>,
    },
    /// Images and labels as MNIST has them.
    Idx { train: [PathBuf; 2], test: Option<[PathBuf; 2]>, classes: usize },
    /// One JSON object a line, with a text and a label.
    Jsonl {
        train: PathBuf,
        test: Option<PathBuf>,
        #[serde(default = "text")]
        text: String,
        #[serde(default = "label")]
        label: String,
        classes: Vec<String>,
        /// Tokens of a text that are looked at; the rest is cut off.
        #[serde(default = "length")]
        length: usize,
    },
}

/// The network.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Model {
    /// A linear map to the classes.
    Linear {},
    /// A perceptron.
    Mlp {
        hidden: Vec<usize>,
        #[serde(default)]
        activation: Activation,
    },
    /// Convolutions, group normalisation and pooling.
    Cnn {
        #[serde(default = "channels")]
        channels: Vec<usize>,
        #[serde(default = "groups")]
        groups: usize,
        #[serde(default = "hidden")]
        hidden: usize,
    },
    /// The mean of embedded words, hashed into so many rows, below a perceptron.
    Bag { rows: usize, width: usize, hidden: Vec<usize> },
    /// An LSTM over the bytes of a text.
    Lstm { width: usize, hidden: usize },
    /// A GRU over the bytes of a text.
    Gru { width: usize, hidden: usize },
}

/// Between the layers of a perceptron.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Activation {
    #[default]
    Relu,
    Tanh,
    Silu,
    Gelu,
}

/// How the network is trained.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Training {
    /// Records expected in a batch.
    pub(super) batch_size: f64,
    pub(super) steps: Option<u64>,
    pub(super) epochs: Option<f64>,
    #[serde(default)]
    pub(super) optimizer: Optimizer,
    #[serde(default)]
    pub(super) weight_decay: f64,
    /// A number, or `"private"`: found by private losses.
    pub(super) rate: Rate,
    #[serde(default)]
    pub(super) schedule: Course,
    /// Records whose gradients are taken at once.
    #[serde(default = "micro_batch")]
    pub(super) micro_batch: usize,
    /// Steps between checkpoints.
    #[serde(default = "checkpoint_every")]
    pub(super) checkpoint_every: u64,
    /// Steps between evaluations on the test set.
    pub(super) evaluate_every: Option<u64>,
    /// Of the initial parameters, which are public.
    #[serde(default)]
    pub(super) initial_seed: u64,
    /// Of batches and noise. Then there is no privacy statement.
    pub(super) seed: Option<u64>,
    /// Parameters to begin with, a safetensors file.
    pub(super) start: Option<PathBuf>,
    /// Patterns of the parameters that are trained; all if there is none.
    #[serde(default)]
    pub(super) trained: Vec<String>,
}

/// What makes directions of gradients.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Optimizer {
    Sgd,
    Momentum,
    #[default]
    Adamw,
}

/// A learning rate.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged)]
pub(super) enum Rate {
    Number(f64),
    Word(String),
}

/// How a given rate changes.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Course {
    #[default]
    Constant,
    Linear,
    Cosine,
}

/// What is promised.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Privacy {
    pub(super) epsilon: Option<f64>,
    pub(super) noise: Option<f64>,
    pub(super) delta: f64,
    #[serde(default)]
    pub(super) clip: Clip,
    #[serde(default = "clip_norm")]
    pub(super) clip_norm: f64,
    #[serde(default)]
    pub(super) clip_style: Style,
    /// Clip norms follow this quantile of the norms.
    pub(super) clip_quantile: Option<f64>,
    /// What is protected, in words.
    #[serde(default = "unit")]
    pub(super) unit: String,
    /// The number of records that may be known; that of the file if none is given.
    pub(super) records: Option<u64>,
}

/// The function of clipping.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Clip {
    /// Every gradient gets nearly the clip norm.
    #[default]
    Automatic,
    /// Gradients above the clip norm are brought down to it.
    Abadi,
}

/// What is clipped together.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Style {
    #[default]
    Flat,
    Layer,
    Tensor,
}

fn yes() -> bool {
    true
}
fn text() -> String {
    "text".into()
}
fn label() -> String {
    "label".into()
}
fn length() -> usize {
    160
}
fn channels() -> Vec<usize> {
    vec![16, 32]
}
fn groups() -> usize {
    4
}
fn hidden() -> usize {
    64
}
fn micro_batch() -> usize {
    128
}
fn checkpoint_every() -> u64 {
    20
}
fn clip_norm() -> f64 {
    1.0
}
fn unit() -> String {
    "one record".into()
}

impl Training {
    /// Whether rates come from private losses.
    pub(super) fn finds_rates(&self) -> bool {
        matches!(self.rate, Rate::Word(_))
    }
}

impl Data {
    fn paths(&mut self) -> Vec<&mut PathBuf> {
        match self {
            Data::Csv { train, test, .. } | Data::Jsonl { train, test, .. } => {
                std::iter::once(train).chain(test.as_mut()).collect()
            }
            Data::Idx { train, test, .. } => {
                train.iter_mut().chain(test.iter_mut().flatten()).collect()
            }
        }
    }

    /// Number of classes.
    pub(super) fn n_classes(&self) -> usize {
        match self {
            Data::Csv { classes, .. } | Data::Jsonl { classes, .. } => classes.len(),
            Data::Idx { classes, .. } => *classes,
        }
    }
}

/// Reads a configuration; its paths become relative to where the program runs.
pub(super) fn read(path: &Path) -> Result<Config> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::file(path, e))?;
    check_kind(path, &text)?;
    let mut config: Config = toml::from_str(&text).map_err(|e| Error::file(path, e))?;
    config.check(path)?;
    // Before the folder is joined: a run is the same wherever it is continued from.
    config.identity = Identity::of(&config, &FREE)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let start = config.training.start.iter_mut();
    for file in config.data.paths().into_iter().chain(start) {
        *file = folder.join(&*file);
    }
    if let Some(start) = &config.training.start {
        config.identity.add_contents("training.start", start)?;
    }
    Ok(config)
}

/// Networks by the names that `model.kind` has for them.
const KINDS: [&str; 6] = ["linear", "mlp", "cnn", "bag", "lstm", "gru"];

/// Refuses a network that there is none of; what else is wrong with the text is left to others.
fn check_kind(path: &Path, text: &str) -> Result<()> {
    let Ok(table) = toml::from_str::<toml::Table>(text) else { return Ok(()) };
    let kind =
        table.get("model").and_then(|model| model.get("kind")).and_then(|kind| kind.as_str());
    let Some(kind) = kind.filter(|kind| !KINDS.contains(kind)) else { return Ok(()) };
    let known = KINDS.join(", ");
    let why = if kind.to_lowercase().contains("batch") {
        "; batch normalisation mixes the records of a batch, so that no record has a gradient of its own that could be clipped: \
         take cnn, which normalises groups of channels of each record by itself"
    } else {
        ""
    };
    Err(Error::file(path, format!("model.kind must be one of {known}, got \"{kind}\"{why}")))
}

impl Config {
    fn check(&self, path: &Path) -> Result<()> {
        let refuse = |what: String| Err(Error::file(path, what));
        if self.version != 1 {
            return refuse(format!("version must be 1, got {}", self.version));
        }
        if self.data.n_classes() < 2 {
            let what = "data.classes must name two or more classes: they are public, and reading them from private records \
                        would release them";
            return refuse(what.into());
        }
        let Training { rate, micro_batch, checkpoint_every, evaluate_every, .. } = &self.training;
        match rate {
            Rate::Word(word) if word != "private" => {
                return refuse(format!(
                    "training.rate must be a number or \"private\", got \"{word}\""
                ));
            }
            Rate::Number(rate) if !(rate.is_finite() && 0.0 < *rate) => {
                return refuse(format!("training.rate must be finite and positive, got {rate}"));
            }
            _ => {}
        }
        let counts = [
            ("training.micro_batch", *micro_batch as u64),
            ("training.checkpoint_every", *checkpoint_every),
            ("training.evaluate_every", evaluate_every.unwrap_or(1)),
        ];
        if let Some((name, _)) = counts.iter().find(|(_, n)| *n == 0) {
            return refuse(format!("{name} must be at least 1, got 0"));
        }
        if self.training.finds_rates() && self.privacy.clip_quantile.is_some() {
            let what = "training.rate = \"private\" and privacy.clip_quantile cannot be combined: choose one, or give a rate";
            return refuse(what.into());
        }
        if self.training.finds_rates() && self.privacy.noise.is_some() {
            let what = "training.rate = \"private\" needs privacy.epsilon: its losses get the noise that the target leaves";
            return refuse(what.into());
        }
        match (&self.data, &self.model) {
            (Data::Csv { .. }, Model::Linear {} | Model::Mlp { .. })
            | (Data::Idx { .. }, Model::Linear {} | Model::Mlp { .. } | Model::Cnn { .. })
            | (Data::Jsonl { .. }, Model::Bag { .. } | Model::Lstm { .. } | Model::Gru { .. }) => {
                Ok(())
            }
            (Data::Csv { .. }, _) => refuse("model.kind must be linear or mlp for a table".into()),
            (Data::Idx { .. }, _) => {
                refuse("model.kind must be linear, mlp or cnn for images".into())
            }
            (Data::Jsonl { .. }, _) => {
                refuse("model.kind must be bag, lstm or gru for texts".into())
            }
        }
    }
}
