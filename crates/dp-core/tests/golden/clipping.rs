//! `dp_clipping.json`: losses, norms, factors and sums of every network, function and style.

use candle_core::{DType, Device, Tensor};
use dp_core::{
    ClipFunction, ClipNorm, ClipStyle, Clipping, GaussianMechanism, NeighboringRelation,
    NoiseMultiplier, clip_and_sum,
};
use serde_json::Value;
use tape_nn::loss::{cross_entropy, linear_cross_entropy};
use tape_nn::{Activation, Context, Embedding, Linear, Param, TapeLoss, Taped};
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
}

impl Network {
    fn new(case: &Value, dtype: DType) -> Self {
        let mut frozen = Tree::new();
        for (key, name) in [("frozen_weight", "base.weight"), ("frozen_bias", "base.bias")] {
            if !case["batch"][key].is_null() {
                frozen.insert(name, tensor(&case["batch"][key], dtype)).unwrap();
            }
        }
        Network { case: case.clone(), dtype, frozen }
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

    /// The number that follows `word` in the description of the layers.
    fn setting(&self, word: &str) -> f64 {
        let layers = text(&self.case["layers"]);
        let rest = &layers[layers.find(word).unwrap() + word.len()..];
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        rest[..end].parse().unwrap()
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
                let e = Embedding::new(table.clone()).forward(cx, &self.columns(&tokens, 0, t))?;
                let h = self.linear("fc").forward_then(cx, &e, Activation::Tanh)?;
                let head = Linear::new(table, None);
                linear_cross_entropy(cx, &head, &h, &self.columns(&tokens, 1, t), None)?
            }
            "embedding_padding" => {
                let table = Embedding::new(self.param("emb.weight").unwrap());
                let e = table.with_padding(0).forward(cx, &self.input("tokens"))?;
                let h = e.tanh()?.mean(1)?;
                linear_cross_entropy(cx, &self.linear("out"), &h, &self.input("y"), None)?
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

const KNOWN: [&str; 6] =
    ["mlp", "seq_mlp", "tied_lm", "embedding_padding", "lora", "extreme_norms"];

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
    }
}

fn check_case(case: &Value, name: &str, dtype: DType, tolerance: f64) {
    let params = Tree::from_leaves(
        array(&case["params"]).iter().map(|p| (text(&p["name"]), tensor(p, dtype))),
    )
    .unwrap();
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
        let factors = clipping.factors(&squared);
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
