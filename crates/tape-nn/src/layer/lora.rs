//! Low-rank adapters: a small trainable addition to a linear layer whose own weight stays as it is.

mod low;
mod merge;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use candle_nn::Init;
use tensor_tree::host::{Real, from_vec};
use tensor_tree::{Key, Tree};

use super::Linears;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::param::{Builder, Param};
use crate::select::{check_all_fit, fits};

pub(super) use low::Low;
pub use merge::merge;

const A: &str = ".lora_a.weight";
const B: &str = ".lora_b.weight";

/// Settings of low-rank adapters.
///
/// # Source
/// arXiv 2106.09685; names and scale as in the Python package peft (`r`, `lora_alpha`, `target_modules`,
/// `lora_dropout`; there is no bias and no rank-stabilised scale).
#[derive(Clone, Debug, PartialEq)]
pub struct LoraConfig {
    /// Width of the bottleneck.
    pub rank: usize,
    /// The addition is multiplied by `alpha / rank`.
    pub alpha: f64,
    /// Layers that get an adapter, as patterns: see [`crate::select::fits`]. `q_proj` fits the layer of that
    /// name in every block, `*` fits all.
    pub targets: Vec<String>,
    /// Probability with which an input of the adapter (not of the layer) is dropped in training.
    pub dropout: f64,
}

impl LoraConfig {
    /// Rank 8, `alpha` 16, no dropout, for the given layers.
    #[must_use]
    pub fn for_layers<S: Into<String>>(targets: impl IntoIterator<Item = S>) -> Self {
        let targets = targets.into_iter().map(Into::into).collect();
        LoraConfig { rank: 8, alpha: 16.0, targets, dropout: 0.0 }
    }

    /// What the addition is multiplied by.
    #[must_use]
    pub fn scale(&self) -> f64 {
        self.alpha / self.rank as f64
    }

    fn check(&self) -> Result<()> {
        let invalid = |name: &str, must, got: String| {
            Err(Error::InvalidSetting { name: name.into(), must, got })
        };
        if self.rank == 0 {
            return invalid("rank", "at least 1", self.rank.to_string());
        }
        if !(self.alpha.is_finite() && 0.0 < self.alpha) {
            return invalid("alpha", "finite and positive", self.alpha.to_string());
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return invalid("dropout", "at least 0 and below 1", self.dropout.to_string());
        }
        Ok(())
    }
}

/// The low-rank addition of one layer: `scale (x A^T) B^T`.
///
/// # Shapes
/// `A` is `[rank, inputs]` and called `<layer>.lora_a.weight`, `B` is `[outputs, rank]` and called
/// `<layer>.lora_b.weight`.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapter {
    layer: Arc<str>,
    a: Param,
    b: Param,
    scale: f64,
    dropout: f64,
}

// Scale and dropout are finite, which `LoraConfig::check` sees to.
impl Eq for Adapter {}

impl Adapter {
    /// The matrix `A`.
    #[must_use]
    pub fn a(&self) -> &Param {
        &self.a
    }

    /// The matrix `B`.
    #[must_use]
    pub fn b(&self) -> &Param {
        &self.b
    }

    /// What the addition is multiplied by.
    #[must_use]
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// The adapter for one application to `x`, its dropout mask drawn.
    pub(super) fn enter(&self, cx: &Context<'_>, x: &Tensor, batch: usize) -> Result<Low> {
        let (a, b) = (cx.leaf(&self.a)?, cx.leaf(&self.b)?);
        let rows = x.elem_count() / self.a.shape()[1].max(1);
        let mut x = x.detach().reshape((rows, self.a.shape()[1]))?;
        let mask = self.mask(cx, &x, batch)?;
        if let Some(mask) = &mask {
            x = (x * mask)?;
        }
        Ok(Low { a, b, scale: self.scale, x, mask })
    }

    /// Zeros and `1 / (1 - dropout)`; `None` where nothing is dropped.
    fn mask(&self, cx: &Context<'_>, x: &Tensor, batch: usize) -> Result<Option<Tensor>> {
        if self.dropout <= 0.0 {
            return Ok(None);
        }
        let Some(keys) = cx.dropout_keys(&self.layer, batch)? else { return Ok(None) };
        let mut mask = vec![0f32; x.elem_count()];
        let size = mask.len() / batch.max(1);
        let kept = f32::of(1.0 / (1.0 - self.dropout));
        for (key, piece) in keys.iter().zip(mask.chunks_mut(size.max(1))) {
            key.fill_uniform(piece);
            for m in piece {
                *m = if m.double() < self.dropout { 0.0 } else { kept };
            }
        }
        let mask = from_vec(mask, x.shape())?;
        Ok(Some(mask.to_dtype(x.dtype())?.to_device(x.device())?))
    }
}

/// Attaches new adapters to the layers that the targets fit and returns their parameters, to be trained
/// while the model's own tree is frozen.
///
/// `A` is uniform on `[-1, 1] / sqrt(inputs)`, drawn from `key` and its own name; `B` is zero, so the model
/// computes at first what it did before.
///
/// # Errors
/// [`Error::NothingSelected`] with the names of the layers if a target fits none; [`Error::InvalidSetting`]
/// for settings outside their range or a layer that has an adapter; [`Error::AdapterName`] for a layer whose
/// weight is not called `<layer>.weight`, or one name for two weights. The model is then as before.
///
/// # Examples
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use tape_nn::{Builder, Context, Linear, Linears, LoraConfig, linear, lora};
/// # use tensor_tree::{Key, Tree};
///
/// struct Model { fc: Linear }
/// impl Linears for Model {
///     fn linears_mut(&mut self, f: &mut dyn FnMut(&mut Linear)) { f(&mut self.fc) }
/// }
/// let builder = Builder::init(Key::from_seed(1), DType::F32, &Device::Cpu);
/// let mut model = Model { fc: linear(16, 4, builder.vb().pp("fc"))? };
/// let base = builder.into_tree()?;
///
/// let config = LoraConfig { rank: 2, ..LoraConfig::for_layers(["fc"]) };
/// let adapters = lora::attach(&mut model, &config, Key::from_seed(2), DType::F32, &Device::Cpu)?;
/// assert_eq!(adapters.names().collect::<Vec<_>>(), ["fc.lora_a.weight", "fc.lora_b.weight"]);
/// let x = Tensor::ones((3, 16), DType::F32, &Device::Cpu)?;
/// let y = model.fc.forward(&Context::eval(&adapters, &base), &x)?;
///
/// let merged = lora::merge(&base, &adapters, config.scale())?;
/// lora::detach(&mut model);
/// let same = model.fc.forward(&Context::eval(&merged, &Tree::new()), &x)?;
/// # assert_eq!(y.to_vec2::<f32>()?, same.to_vec2::<f32>()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn attach<M: Linears + ?Sized>(
    model: &mut M,
    config: &LoraConfig,
    key: Key,
    dtype: DType,
    device: &Device,
) -> Result<Tree> {
    install(model, config, Builder::init(key, dtype, device))
}

/// Attaches adapters whose parameters exist already, such as those of a file.
///
/// # Errors
/// As [`attach`]; also if `adapters` lacks a leaf of a layer that the targets fit, has it in another shape
/// than `config.rank` says, or has leaves of other layers. The model is then as before.
pub fn attach_given<M: Linears + ?Sized>(
    model: &mut M,
    config: &LoraConfig,
    adapters: &Tree,
) -> Result<()> {
    let (dtype, device) = match adapters.iter().next() {
        Some((_, leaf)) => (leaf.dtype(), leaf.device().clone()),
        None => (DType::F32, Device::Cpu),
    };
    install(model, config, Builder::given(adapters.clone(), dtype, &device)).map(drop)
}

fn install<M: Linears + ?Sized>(
    model: &mut M,
    config: &LoraConfig,
    builder: Builder,
) -> Result<Tree> {
    config.check()?;
    let mut layers: Vec<(String, Param)> = Vec::new();
    let mut taken = None;
    model.linears_mut(&mut |layer| {
        if layer.adapter().is_some() {
            taken.get_or_insert(layer.name().to_owned());
        }
        layers.push((layer.name().to_owned(), layer.weight().clone()));
    });
    let names: BTreeSet<&str> = layers.iter().map(|(name, _)| name.as_str()).collect();
    check_all_fit("layers to adapt", &config.targets, names.iter().copied())?;
    if let Some(layer) = taken {
        return Err(Error::InvalidSetting {
            name: format!("adapter of `{layer}`"),
            must: "absent before another is attached",
            got: "one that is attached".into(),
        });
    }
    let vb = builder.vb();
    let mut adapters = Vec::with_capacity(layers.len());
    let mut weights: BTreeMap<&str, &Param> = BTreeMap::new();
    for (name, weight) in &layers {
        if !config.targets.iter().any(|t| fits(t, name)) {
            adapters.push(None);
            continue;
        }
        check_name(name, weight, weights.entry(name).or_insert(weight))?;
        let &[outputs, inputs] = weight.shape() else {
            return Err(shape(weight.name().to_owned(), &[0, 0], weight.shape()));
        };
        let bound = 1.0 / (inputs as f64).sqrt();
        let init = Init::Uniform { lo: -bound, up: bound };
        let a = Param::new(&vb.pp(name), "lora_a.weight", &[config.rank, inputs], init)?;
        let zero = Init::Const(0.0);
        let b = Param::new(&vb.pp(name), "lora_b.weight", &[outputs, config.rank], zero)?;
        let (layer, scale, dropout) = (name.as_str().into(), config.scale(), config.dropout);
        adapters.push(Some(Adapter { layer, a, b, scale, dropout }));
    }
    let tree = builder.into_tree()?;
    let mut adapters = adapters.into_iter();
    model.linears_mut(&mut |layer| layer.set_adapter(adapters.next().flatten()));
    Ok(tree)
}

/// Refuses a layer whose adapter would carry the name of another layer's, or of no weight that [`merge`] finds.
/// A weight that several layers share has one adapter.
fn check_name(layer: &str, weight: &Param, first: &Param) -> Result<()> {
    let refuse = |problem| Err(Error::AdapterName { layer: layer.to_owned(), problem });
    let name = weight.name();
    if weight != first {
        return refuse(format!(
            "`{}` and `{name}` are different weights of this name",
            first.name()
        ));
    }
    if name.strip_suffix(".weight") != Some(layer) {
        return refuse(format!("its weight is called `{name}`, and not `<layer>.weight`"));
    }
    Ok(())
}

/// Takes every adapter off the model.
pub fn detach<M: Linears + ?Sized>(model: &mut M) {
    model.linears_mut(&mut |layer| layer.set_adapter(None));
}

fn shape(name: String, expected: &[usize], got: &[usize]) -> Error {
    Error::ParamShape { name, expected: expected.to_vec(), got: got.to_vec() }
}

#[cfg(test)]
mod tests;
