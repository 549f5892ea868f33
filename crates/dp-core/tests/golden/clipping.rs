//! `dp_clipping.json`: losses, norms, factors and sums of every network, function and style.

use candle_core::{DType, Tensor};
use dp_core::{
    ClipFunction, ClipNorm, ClipStyle, Clipping, GaussianMechanism, NeighboringRelation,
    NoiseMultiplier, clip_and_sum,
};
use serde_json::Value;
use tape_nn::Taped;
use tensor_tree::{
    Differentiable, Groups, Key, Pass, PerSample, PerSampleDifferentiable, ProbePoint, Reduction,
    Tree,
};

use report::golden::{array, numbers, section, text};

use super::file;

mod network;
mod noise;

use network::{HEAD, KNOWN, Network, tensor};

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
    let function = match text(&clip["fn"], "") {
        "abadi" => ClipFunction::Abadi { stability },
        "auto_v" => ClipFunction::AutoV,
        "auto_s" => ClipFunction::AutoS { gamma: stability },
        other => panic!("clip function {other}"),
    };
    let lists = || {
        let names = |g: &Value| array(g).iter().map(|m| text(m, "").to_owned()).collect();
        array(&clip["groups"]).iter().map(names).collect()
    };
    let style = match text(&clip["style"], "") {
        "flat" => ClipStyle::Flat,
        "layer" => ClipStyle::PerLayer,
        "param" => ClipStyle::PerParam,
        "block" => ClipStyle::Blocks(lists()),
        other => panic!("clip style {other}"),
    };
    let total = ClipNorm::new(clip["R"].as_f64().unwrap()).unwrap();
    Clipping::new(function, &style, params, total).unwrap()
}

/// Without noise the mechanism hands the sum out, at the price of any guarantee.
fn clipped_sum(grads: impl PerSample, clipping: &Clipping) -> Tree {
    let open = GaussianMechanism::new(
        NoiseMultiplier::new(0.0).unwrap(),
        NeighboringRelation::AddOrRemoveOne,
    );
    open.privatize(clip_and_sum(grads, clipping).unwrap(), Key::from_seed(0)).unwrap().0
}

fn run(dtype: DType) {
    let Some(file) = file("dp_clipping.json") else { return };
    for case in section(&file, "cases").unwrap_or_default() {
        let name = text(&case["name"], "").to_owned();
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
    let leaf = |p: &Value| (text(&p["name"], "").to_owned(), tensor(p, dtype));
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
    let one = per_sample.squared_norms(&Groups::one(&params)).unwrap();
    let roots = |squared: &[f64]| squared.iter().map(|x| x.sqrt()).collect::<Vec<_>>();
    let want = numbers(&case["sample_norms"]);
    check(&format!("{name}: norms of samples"), &roots(&one[0]), &want, tolerance);
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
            let ours = clipping.groups().of(text(&members[0], "")).unwrap();
            let names: Vec<String> =
                array(members).iter().map(|m| text(m, "").to_owned()).collect();
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
        let clipped: Vec<f64> = (0..squared[0].len())
            .map(|i| squared.iter().zip(&factors).map(|(s, f)| s[i] * f[i] * f[i]).sum())
            .collect();
        let want = numbers(&clip["clipped_sample_norms"]);
        check(&format!("{what}: clipped norms"), &roots(&clipped), &want, tolerance);
        let sum = clipped_sum(grads().1, &clipping);
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
    let objective = Taped(Network::new(case, dtype).with_untied_head());
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
