//! `dp_clipping.json`: losses, norms, factors and sums of every network, function and style.

use candle_core::{DType, Device, Tensor};
use dp_core::{
    ClipFunction, ClipNorm, ClipStyle, Clipping, GaussianMechanism, NeighboringRelation,
    NoiseMultiplier, clip_and_sum,
};
use serde_json::Value;
use tape_nn::loss::{cross_entropy, linear_cross_entropy};
use tape_nn::{
    Activation, Context, Conv1d, Conv2d, ConvConfig, Embedding, LayerNorm, Linear, Param, RmsNorm,
    TapeLoss, Taped,
};
use tensor_tree::{
    Differentiable, Groups, Key, Losses, Pass, PerSample, PerSampleDifferentiable, ProbePoint,
    Reduction, Tree,
};

use super::{array, file, numbers, section, text};

/// A network of the file, by the layers its parameters name.
struct Network {
    case: Value,
    dtype: DType,
    frozen: Tree,
    /// A head of its own instead of the token table.
    untied: bool,
}

/// The head of an untied network.
const HEAD: &str = "head.weight";

impl Network {
    fn new(case: &Value, dtype: DType) -> Self {
        let mut frozen = Tree::new();
        for (key, name) in [("frozen_weight", "base.weight"), ("frozen_bias", "base.bias")] {
            if !case["batch"][key].is_null() {
                frozen.insert(name, tensor(&case["batch"][key], dtype)).unwrap();
            }
        }
        Network { case: case.clone(), dtype, frozen, untied: false }
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
        let layers = text(&self.case["layers"]);
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
        let name = text(&self.case["name"]);
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

const KNOWN: [&str; 10] = [
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

fn tensor(entry: &Value, dtype: DType) -> Tensor {
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

fn flat(t: &Tensor) -> Vec<f64> {
    t.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

/// Largest difference over the largest entry.
fn check(what: &str, got: &[f64], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len(), "{what}");
    let largest = want.iter().map(|x| x.abs()).fold(0.0, f64::max);
    for (g, w) in got.iter().zip(want) {
        let error = (g - w).abs();
        assert!(
            error <= tolerance * largest.max(1e-30) || error == 0.0,
            "{what}: {g} instead of {w}"
        );
    }
}

fn clipping(clip: &Value, params: &Tree) -> Clipping {
    let stability = clip["stability"].as_f64().unwrap();
    let function = match text(&clip["fn"]).as_str() {
        "abadi" => ClipFunction::Abadi { stability },
        "auto_v" => ClipFunction::AutoV,
        "auto_s" => ClipFunction::AutoS { gamma: stability },
        other => panic!("clip function {other}"),
    };
    let lists = || {
        let names = |g: &Value| array(g).iter().map(text).collect();
        array(&clip["groups"]).iter().map(names).collect()
    };
    let style = match text(&clip["style"]).as_str() {
        "flat" => ClipStyle::Flat,
        "layer" => ClipStyle::PerLayer,
        "param" => ClipStyle::PerParam,
        "block" => ClipStyle::Blocks(lists()),
        other => panic!("clip style {other}"),
    };
    let total = ClipNorm::new(clip["R"].as_f64().unwrap()).unwrap();
    Clipping::new(function, &style, params, total).unwrap()
}

fn run(dtype: DType) {
    let Some(file) = file("dp_clipping.json") else { return };
    for case in section(&file, "cases").unwrap_or_default() {
        let name = text(&case["name"]);
        if !KNOWN.contains(&name.as_str()) {
            eprintln!("skipped: no network for case `{name}` of dp_clipping.json");
            continue;
        }
        let tolerance = match (dtype, name.as_str()) {
            (DType::F64, _) => 1e-10,
            (_, "layernorm" | "extreme_norms") => 1e-3,
            _ => 1e-4,
        };
        check_case(case, &name, dtype, tolerance);
        if !case["tied_parts"].is_null() {
            check_tied_parts(case, dtype, tolerance);
        }
    }
}

fn params(case: &Value, dtype: DType) -> Tree {
    let leaf = |p: &Value| (text(&p["name"]), tensor(p, dtype));
    Tree::from_leaves(array(&case["params"]).iter().map(leaf)).unwrap()
}

fn check_case(case: &Value, name: &str, dtype: DType, tolerance: f64) {
    let params = params(case, dtype);
    let objective = Taped(Network::new(case, dtype));
    let points = ProbePoint::single(&params);
    let grads = || objective.per_sample(&points, &(), Pass::Eval).unwrap();

    let (losses, per_sample) = grads();
    check(
        &format!("{name}: losses"),
        &flat(&losses.per_sample().unwrap()),
        &numbers(&case["losses"]),
        tolerance,
    );
    let leaves = Groups::per_leaf(&params);
    let norms = per_sample.squared_norms(&leaves).unwrap();
    for (leaf, want) in case["param_norms"].as_object().unwrap() {
        let got: Vec<f64> = norms[leaves.of(leaf).unwrap()].iter().map(|x| x.sqrt()).collect();
        check(&format!("{name}: norms of {leaf}"), &got, &numbers(want), tolerance);
    }
    let instantiated = per_sample.instantiate().unwrap();
    for (leaf, want) in case["per_sample_grads"].as_object().unwrap() {
        let want: Vec<f64> = array(want).iter().flat_map(numbers).collect();
        check(
            &format!("{name}: gradients of {leaf}"),
            &flat(instantiated.leaf(leaf).unwrap()),
            &want,
            tolerance,
        );
    }
    let (_, sum) = objective.value_and_grad(&params, &(), Pass::Eval, Reduction::Sum).unwrap();
    for (leaf, want) in case["unclipped_sum"].as_object().unwrap() {
        check(
            &format!("{name}: sum of {leaf}"),
            &flat(sum.leaf(leaf).unwrap()),
            &numbers(want),
            tolerance,
        );
    }
    for clip in array(&case["clip"]) {
        let what = format!("{name}, {} {}", clip["style"], clip["fn"]);
        let clipping = clipping(clip, &params);
        let groups = array(&clip["groups"]);
        assert_eq!(clipping.groups().len(), groups.len(), "{what}");
        let squared = per_sample.squared_norms(clipping.groups()).unwrap();
        let factors = clipping.factors(&squared).unwrap();
        for (k, members) in groups.iter().enumerate() {
            let ours = clipping.groups().of(&text(&members[0])).unwrap();
            let names: Vec<String> = array(members).iter().map(text).collect();
            assert!(
                clipping.groups().members(ours).all(|m| names.iter().any(|n| n == m)),
                "{what}"
            );
            assert_eq!(clipping.groups().members(ours).count(), names.len(), "{what}");
            let norms: Vec<f64> = squared[ours].iter().map(|x| x.sqrt()).collect();
            check(&format!("{what}: norms"), &norms, &numbers(&clip["group_norms"][k]), tolerance);
            check(
                &format!("{what}: factors"),
                &factors[ours],
                &numbers(&clip["factors"][k]),
                tolerance,
            );
        }
        // Without noise the mechanism hands the sum out, at the price of any guarantee.
        let open = GaussianMechanism::new(
            NoiseMultiplier::new(0.0).unwrap(),
            NeighboringRelation::AddOrRemoveOne,
        );
        let clipped = clip_and_sum(grads().1, &clipping).unwrap();
        let (sum, _) = open.privatize(clipped, Key::from_seed(0)).unwrap();
        for (leaf, want) in clip["clipped_sum"].as_object().unwrap() {
            check(
                &format!("{what}: clipped sum of {leaf}"),
                &flat(sum.leaf(leaf).unwrap()),
                &numbers(want),
                tolerance,
            );
        }
    }
}

/// With the head as a leaf of its own, the two parts of a tied gradient: `|e + h|^2 = |e|^2 + |h|^2 + 2 <e, h>`.
fn check_tied_parts(case: &Value, dtype: DType, tolerance: f64) {
    let mut params = params(case, dtype);
    params.insert(HEAD, params.leaf("emb.weight").unwrap().clone()).unwrap();
    let objective = Taped(Network { untied: true, ..Network::new(case, dtype) });
    let points = ProbePoint::single(&params);
    let (_, grads) = objective.per_sample(&points, &(), Pass::Eval).unwrap();
    let leaves = Groups::per_leaf(&params);
    let squared = grads.squared_norms(&leaves).unwrap();
    let of = |leaf: &str| squared[leaves.of(leaf).unwrap()].clone();
    let (e, h) = (of("emb.weight"), of(HEAD));
    let parts = &case["tied_parts"];
    let roots = |v: &[f64]| v.iter().map(|x| x.sqrt()).collect::<Vec<_>>();
    check("embedding part", &roots(&e), &numbers(&parts["embedding_part_norm"]), tolerance);
    check("head part", &roots(&h), &numbers(&parts["head_part_norm"]), tolerance);
    let made = grads.instantiate().unwrap();
    let rows = |leaf: &str| made.leaf(leaf).unwrap().flatten_from(1).unwrap();
    let inner = (rows("emb.weight") * rows(HEAD)).unwrap().sum(1).unwrap();
    check("inner product", &flat(&inner), &numbers(&parts["inner_product"]), tolerance);
    let tied: Vec<f64> = e
        .iter()
        .zip(&h)
        .zip(numbers(&parts["inner_product"]))
        .map(|((e, h), inner)| (e + h + 2.0 * inner).sqrt())
        .collect();
    check("tied norm", &tied, &numbers(&case["param_norms"]["emb.weight"]), tolerance);
}

#[test]
fn golden_clipping_in_double_precision() {
    run(DType::F64);
}

#[test]
fn golden_clipping_in_single_precision() {
    run(DType::F32);
}

/// The file's private gradient is `(clipped sum + sigma R z) / B`: the convention that the step follows.
#[test]
fn golden_clipping_noise_convention() {
    let Some(file) = file("dp_clipping.json") else { return };
    for case in section(&file, "cases").unwrap_or_default() {
        let noised = &case["noised"];
        let number = |key: &str| noised[key].as_f64().unwrap();
        let clip = &case["clip"][usize::try_from(noised["variant"].as_u64().unwrap()).unwrap()];
        let sum: Vec<f64> = array(&case["params"])
            .iter()
            .flat_map(|p| numbers(&clip["clipped_sum"][text(&p["name"])]))
            .collect();
        let z = numbers(&noised["z"]);
        let std = number("sigma") * number("R");
        let private = |sum: &[f64]| -> Vec<f64> {
            sum.iter().zip(&z).map(|(s, z)| (s + std * z) / number("expected_batch_size")).collect()
        };
        check("private gradient", &private(&sum), &numbers(&noised["private_grad"]), 1e-10);
        let empty = private(&vec![0.0; sum.len()]);
        check("empty batch", &empty, &numbers(&noised["private_grad_empty_batch"]), 1e-10);
    }
}
