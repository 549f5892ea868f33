//! The networks of the file.

use candle_core::{DType, Device, Tensor};
use serde_json::Value;
use tape_nn::loss::{cross_entropy, linear_cross_entropy};
use tape_nn::{
    Activation, Context, Conv1d, Conv2d, ConvConfig, Embedding, LayerNorm, Linear, Param, RmsNorm,
    TapeLoss,
};
use tensor_tree::{Losses, Tree};

use report::golden::{array, numbers, text};

/// A network of the file, by the layers its parameters name.
pub(super) struct Network {
    case: Value,
    dtype: DType,
    frozen: Tree,
    /// A head of its own instead of the token table.
    untied: bool,
}

/// The head of an untied network.
pub(super) const HEAD: &str = "head.weight";

impl Network {
    pub(super) fn new(case: &Value, dtype: DType) -> Self {
        let mut frozen = Tree::new();
        for (key, name) in [("frozen_weight", "base.weight"), ("frozen_bias", "base.bias")] {
            if !case["batch"][key].is_null() {
                frozen.insert(name, tensor(&case["batch"][key], dtype)).unwrap();
            }
        }
        Network { case: case.clone(), dtype, frozen, untied: false }
    }

    /// The same with the head as a leaf of its own.
    pub(super) fn with_untied_head(self) -> Self {
        Network { untied: true, ..self }
    }

    fn param(&self, name: &str) -> Option<Param> {
        let entry = array(&self.case["params"]).iter().find(|p| p["name"] == name)?;
        Some(Param::named(name, &shape(entry)))
    }

    fn linear(&self, layer: &str) -> Linear {
        let weight = self.param(&format!("{layer}.weight")).unwrap();
        Linear::new(weight, self.param(&format!("{layer}.bias")))
    }

    fn input(&self, name: &str) -> Tensor {
        tensor(&self.case["batch"][name], self.dtype)
    }

    /// The number that follows `word` in the description of the layers, if the word is there.
    fn optional_setting(&self, word: &str) -> Option<f64> {
        let layers = text(&self.case["layers"], "").to_owned();
        let rest = &layers[layers.find(word)? + word.len()..];
        let number = |c: char| c.is_ascii_digit() || ['.', 'e', '-'].contains(&c);
        let end = rest.find(|c: char| !number(c)).unwrap_or(rest.len());
        Some(rest[..end].parse().unwrap_or_else(|e| panic!("`{word}` in `{layers}`: {e}")))
    }

    fn setting(&self, word: &str) -> f64 {
        let missing = || panic!("no `{word}` in `{}`", self.case["layers"]);
        self.optional_setting(word).unwrap_or_else(missing)
    }

    fn both(&self, layer: &str) -> (Param, Option<Param>) {
        let param = |kind: &str| self.param(&format!("{layer}.{kind}"));
        (param("weight").unwrap(), param("bias"))
    }

    /// Stride, padding and dilation as in `stride2,pad1,dil1`; what is not named has no effect.
    fn convolution(&self) -> ConvConfig {
        let whole = |word: &str, otherwise: usize| {
            self.optional_setting(word).map_or(otherwise, |x| x as usize)
        };
        ConvConfig {
            stride: whole("stride", 1),
            padding: whole("pad", 0),
            dilation: whole("dil", 1),
            ..ConvConfig::default()
        }
    }

    fn columns(&self, x: &Tensor, from: usize, len: usize) -> Tensor {
        x.narrow(1, from, len).unwrap().contiguous().unwrap()
    }
}

impl TapeLoss for Network {
    type Batch = ();

    fn losses(&self, cx: &Context<'_>, (): &()) -> tape_nn::Result<Losses> {
        let name = text(&self.case["name"], "").to_owned();
        Ok(match name.as_str() {
            "mlp" | "seq_mlp" => {
                let h = self.linear("fc1").forward_then(cx, &self.input("x"), Activation::Tanh)?;
                linear_cross_entropy(cx, &self.linear("fc2"), &h, &self.input("y"), None)?
            }
            "tied_lm" => {
                let tokens = self.input("tokens");
                let t = tokens.dims()[1] - 1;
                let table = self.param("emb.weight").unwrap();
                let head = match self.untied {
                    true => Param::named(HEAD, table.shape()),
                    false => table.clone(),
                };
                let e = Embedding::new(table).forward(cx, &self.columns(&tokens, 0, t))?;
                let h = self.linear("fc").forward_then(cx, &e, Activation::Tanh)?;
                let head = Linear::new(head, None);
                linear_cross_entropy(cx, &head, &h, &self.columns(&tokens, 1, t), None)?
            }
            "embedding_padding" => {
                let table = Embedding::new(self.param("emb.weight").unwrap());
                let e = table.with_padding(0).forward(cx, &self.input("tokens"))?;
                let h = e.tanh()?.mean(1)?;
                linear_cross_entropy(cx, &self.linear("out"), &h, &self.input("y"), None)?
            }
            "layernorm" => {
                let (weight, bias) = self.both("ln");
                let norm = LayerNorm::new(weight, bias, self.setting("eps "))?;
                let h = norm.forward(cx, &self.linear("fc1").forward(cx, &self.input("x"))?)?;
                linear_cross_entropy(cx, &self.linear("fc2"), &h.tanh()?, &self.input("y"), None)?
            }
            "rmsnorm" => {
                let norm = RmsNorm::new(self.both("rms").0, self.setting("eps "))?;
                let h = norm.forward(cx, &self.linear("fc1").forward(cx, &self.input("x"))?)?;
                linear_cross_entropy(cx, &self.linear("fc2"), &h.tanh()?, &self.input("y"), None)?
            }
            "conv1d" | "conv2d" => {
                let ((weight, bias), cfg, x) =
                    (self.both("conv"), self.convolution(), self.input("x"));
                let h = match name.as_str() {
                    "conv1d" => {
                        Conv1d::new(weight, bias, cfg)?.forward_then(cx, &x, Activation::Tanh)?
                    }
                    _ => Conv2d::new(weight, bias, cfg)?.forward_then(cx, &x, Activation::Tanh)?,
                };
                let h = h.flatten_from(2)?.mean(2)?;
                linear_cross_entropy(cx, &self.linear("fc"), &h, &self.input("y"), None)?
            }
            "lora" => {
                let base = |n: &str| {
                    let leaf = self.frozen.get(n).unwrap();
                    Param::named(n, leaf.dims())
                };
                let x = self.input("x");
                let y =
                    Linear::new(base("base.weight"), Some(base("base.bias"))).forward(cx, &x)?;
                let a = self.linear("lora_a").forward(cx, &x)?;
                let b = self.linear("lora_b").forward(cx, &a)?;
                let logits = (y + (b * self.setting("+ b0 + "))?)?;
                cross_entropy(&logits, &self.input("y"), None)?
            }
            "extreme_norms" => {
                let y = self.linear("w").forward(cx, &self.input("x"))?.squeeze(1)?;
                let sum = ((y - self.input("y"))?.sqr()? * 0.5)?;
                Losses { weight: sum.detach().ones_like()?, sum }
            }
            other => unreachable!("{other} is not in `known`"),
        })
    }

    fn frozen(&self) -> &Tree {
        &self.frozen
    }

    fn n_samples(&self, (): &()) -> usize {
        usize::try_from(self.case["batch_size"].as_u64().unwrap()).unwrap()
    }
}

pub(super) const KNOWN: [&str; 10] = [
    "mlp",
    "seq_mlp",
    "tied_lm",
    "embedding_padding",
    "layernorm",
    "rmsnorm",
    "conv1d",
    "conv2d",
    "lora",
    "extreme_norms",
];

fn shape(entry: &Value) -> Vec<usize> {
    numbers(&entry["shape"]).into_iter().map(|d| d as usize).collect()
}

pub(super) fn tensor(entry: &Value, dtype: DType) -> Tensor {
    match &entry["int"] {
        Value::Null => {
            let data = numbers(&entry["data"]);
            Tensor::from_vec(data, shape(entry), &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
        }
        ints => {
            let data: Vec<i64> = array(ints).iter().map(|v| v.as_i64().unwrap()).collect();
            Tensor::from_vec(data, shape(entry), &Device::Cpu).unwrap()
        }
    }
}
