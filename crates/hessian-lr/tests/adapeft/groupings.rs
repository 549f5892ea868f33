//! Groups of the networks of tape-nn.

use std::collections::BTreeSet;

use hessian_lr::Error;
use hessian_lr::grouping::Grouping;

use super::network;

/// The kind of a parameter, by rules written for these networks alone.
fn kind(name: &str) -> &'static str {
    let parts: Vec<&str> = name.split('.').collect();
    let has = |part: &str| parts.contains(&part);
    if has("lora_a") {
        "lora_a"
    } else if has("lora_b") {
        "lora_b"
    } else if parts.iter().any(|p| p.starts_with("ln_") || p.contains("norm")) {
        "norm"
    } else if has("bias") {
        "bias"
    } else if has("wte") || has("wpe") || has("embed_tokens") {
        "embedding"
    } else if has("lm_head") {
        "head"
    } else if has("attn") || has("self_attn") {
        "attention"
    } else if has("mlp") || has("fc1") || has("fc2") {
        "mlp"
    } else {
        assert!(parts[0].starts_with("conv"), "{name}");
        "conv"
    }
}

/// The layer of a parameter: its block, or its module outside blocks.
fn layer(name: &str) -> String {
    let parts: Vec<&str> = name.split('.').collect();
    match parts.iter().position(|part| part.parse::<u32>().is_ok()) {
        Some(block) => parts[..=block].join("."),
        None => {
            let end = parts.iter().position(|part| part.starts_with("lora_"));
            parts[..end.unwrap_or(parts.len() - 1)].join(".")
        }
    }
}

#[test]
fn every_parameter_of_every_network_is_in_the_right_group() {
    let mut kinds_seen = BTreeSet::new();
    for (what, params) in network::all() {
        let names: Vec<&str> = params.names().collect();
        let kinds = Grouping::kinds().unwrap();
        let layers = Grouping::layers(names.iter().copied()).unwrap();
        let both = Grouping::kinds_by_layer(names.iter().copied()).unwrap();
        for name in &names {
            let group =
                |grouping: &Grouping| grouping.names()[grouping.of(name).unwrap()].to_owned();
            assert_eq!(group(&kinds), kind(name), "{what}: {name}");
            assert_eq!(group(&layers), layer(name), "{what}: {name}");
            assert_eq!(group(&both), format!("{}/{}", layer(name), kind(name)), "{what}: {name}");
            kinds_seen.insert(kind(name));
        }
        // No group is empty, and the patterns say the same after they were written and read.
        for grouping in [layers, both] {
            let assigned = grouping.assign(names.iter().copied()).unwrap();
            let used: BTreeSet<usize> = assigned.iter().copied().collect();
            assert_eq!(used.len(), grouping.names().len(), "{what}");
            let text = serde_json::to_string(&grouping).unwrap();
            let read: Grouping = serde_json::from_str(&text).unwrap();
            assert_eq!(read.names(), grouping.names());
            assert_eq!(read.assign(names.iter().copied()).unwrap(), assigned);
        }
    }
    assert_eq!(kinds_seen.len(), 9, "{kinds_seen:?}");
}

/// Names of models of the transformers library, as their checkpoints have them.
#[test]
fn kinds_of_published_networks_are_told_from_their_names() {
    let roberta = "roberta.encoder.layer.0";
    let vit = "vit.encoder.layer.3";
    let cases = [
        ("roberta.embeddings.word_embeddings.weight".to_owned(), "embedding"),
        ("roberta.embeddings.LayerNorm.weight".into(), "norm"),
        (format!("{roberta}.attention.self.query.weight"), "attention"),
        (format!("{roberta}.attention.self.query.bias"), "bias"),
        (format!("{roberta}.attention.output.dense.weight"), "attention"),
        (format!("{roberta}.attention.output.LayerNorm.weight"), "norm"),
        (format!("{roberta}.attention.output.LayerNorm.bias"), "norm"),
        (format!("{roberta}.intermediate.dense.weight"), "mlp"),
        (format!("{roberta}.output.dense.weight"), "mlp"),
        (format!("{roberta}.output.LayerNorm.weight"), "norm"),
        ("classifier.dense.weight".into(), "head"),
        ("classifier.out_proj.weight".into(), "head"),
        ("bert.pooler.dense.weight".into(), "mlp"),
        ("vit.embeddings.patch_embeddings.projection.weight".into(), "embedding"),
        ("vit.embeddings.cls_token".into(), "embedding"),
        (format!("{vit}.attention.attention.key.weight"), "attention"),
        (format!("{vit}.attention.output.dense.weight"), "attention"),
        (format!("{vit}.layernorm_before.weight"), "norm"),
        (format!("{vit}.output.dense.weight"), "mlp"),
        ("vit.layernorm.weight".into(), "norm"),
        ("classifier.weight".into(), "head"),
        ("transformer.h.0.attn.c_attn.weight".into(), "attention"),
        ("transformer.h.0.attn.c_proj.weight".into(), "attention"),
        ("transformer.h.0.mlp.c_proj.weight".into(), "mlp"),
        ("transformer.h.0.ln_1.weight".into(), "norm"),
        ("transformer.ln_f.weight".into(), "norm"),
        ("model.layers.0.self_attn.q_proj.lora_A.weight".into(), "lora_a"),
        ("model.layers.0.mlp.gate_proj.weight".into(), "mlp"),
        ("model.layers.0.input_layernorm.weight".into(), "norm"),
        ("model.norm.weight".into(), "norm"),
        ("lm_head.weight".into(), "head"),
        ("transformer.h.0.self_attention.query_key_value.weight".into(), "attention"),
        ("transformer.h.0.mlp.dense_h_to_4h.weight".into(), "mlp"),
        ("distilbert.transformer.layer.0.attention.q_lin.weight".into(), "attention"),
        ("distilbert.transformer.layer.0.ffn.lin1.weight".into(), "mlp"),
        ("distilbert.transformer.layer.0.sa_layer_norm.weight".into(), "norm"),
        ("layer1.0.bn1.weight".into(), "norm"),
        ("layer1.0.conv1.weight".into(), "conv"),
        ("output.weight".into(), "head"),
    ];
    let kinds = Grouping::kinds().unwrap();
    for (name, kind) in &cases {
        assert_eq!(kinds.names()[kinds.of(name).unwrap()], *kind, "{name}");
    }
}

#[test]
fn layers_are_told_from_others_of_similar_names() {
    let names = ["h.1.w", "h.10.w", "h.w", "head.w", "head.out.w", "head.w.lora_A.default.weight"];
    let layers = Grouping::layers(names).unwrap();
    let of = |name: &str| layers.of(name).map(|k| layers.names()[k].to_owned());
    for (name, want) in names.iter().zip(["h.1", "h.10", "h", "head", "head.out", "head.w"]) {
        assert_eq!(of(name).unwrap(), want);
    }
    for stranger in ["h.2.w", "headless.w", "x"] {
        assert!(matches!(of(stranger), Err(Error::Grouping { .. })), "{stranger}");
    }
    assert!(matches!(Grouping::layers([]), Err(Error::Grouping { .. })));
    assert!(matches!(Grouping::kinds_by_layer([]), Err(Error::Grouping { .. })));
}

#[test]
fn groupings_that_were_damaged_are_refused() {
    for (text, what) in [
        (r#"{"first_match":false,"groups":[{"name":"a","all":["("]}]}"#, "pattern `(`"),
        (r#"{"first_match":false,"groups":[{"name":"a","all":[]}]}"#, "`a` has no pattern"),
        (r#"{"first_match":false,"groups":[]}"#, "there is no group"),
        (
            r#"{"first_match":true,"groups":[{"name":"a","all":["x"]},{"name":"a","all":["y"]}]}"#,
            "two groups are called `a`",
        ),
        (r#"{"groups":[{"name":"a","all":["x"]}]}"#, "first_match"),
        (r#"{"first_match":true,"groups":[],"more":1}"#, "more"),
    ] {
        let error = serde_json::from_str::<Grouping>(text).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
}
