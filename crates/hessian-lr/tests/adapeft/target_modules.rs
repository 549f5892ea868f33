//! Files for peft, against a small model of how peft reads them.

use std::collections::BTreeSet;

use hessian_lr::Error;
use hessian_lr::adapeft::{LoraBias, LoraKeywords, TargetModules, Weights};
use proptest::prelude::*;

use super::network;

/// The parameters that peft would train with these keywords, by its rules, in a model with these modules. Adapters of target
/// layers count as trained if the model has them.
fn trained(keywords: &LoraKeywords, names: &[&str]) -> BTreeSet<String> {
    let module = |name: &str| {
        name.split(".lora_")
            .next()
            .unwrap()
            .rsplit_once('.')
            .map_or(String::new(), |(m, _)| m.to_owned())
    };
    let layer = |name: &str| {
        if name.contains(".lora_") {
            name.split(".lora_").next().unwrap().to_owned()
        } else {
            module(name)
        }
    };
    let is_target = |layer: &str| {
        keywords.target_modules.iter().any(|t| layer == t || layer.ends_with(&format!(".{t}")))
    };
    let saved = keywords.modules_to_save.clone().unwrap_or_default();
    // A module in the list is trained with everything in it.
    let is_saved = |layer: &str| {
        let prefixes = layer.match_indices('.').map(|(dot, _)| &layer[..dot]).chain([layer]);
        prefixes.into_iter().any(|prefix| saved.iter().any(|s| prefix.ends_with(s)))
    };
    let is_trained = |name: &&&str| {
        let layer = layer(name);
        if name.contains(".lora_") {
            return is_target(&layer);
        }
        is_saved(&layer)
            || match keywords.bias {
                LoraBias::All => name.contains("bias"),
                LoraBias::LoraOnly => name.ends_with(".bias") && is_target(&layer),
                LoraBias::None => false,
            }
    };
    names.iter().filter(is_trained).map(|name| (*name).to_owned()).collect()
}

fn file(names: &[&str], chosen: impl Fn(&str) -> bool, weights: Weights) -> TargetModules {
    TargetModules::new(names.iter().copied(), chosen, weights).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn peft_trains_exactly_what_was_chosen_and_is_expressed(seed in any::<u64>(), which in 0usize..8, coarse in any::<bool>()) {
        let (_, params) = &network::all()[which];
        let names: Vec<&str> = params.names().collect();
        // Single leaves, or all that end alike.
        let chosen = |name: &str| {
            let key = if coarse { name.rsplit('.').take(2).collect::<Vec<_>>().join(".") } else { name.to_owned() };
            let hash = key.bytes().fold(seed | 1, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
            hash.rotate_left(20).is_multiple_of(2)
        };
        prop_assume!(names.iter().any(|name| chosen(name)));
        let file = file(&names, chosen, Weights::Saved);
        let wanted: BTreeSet<String> = names.iter().filter(|n| chosen(n)).map(|n| (*n).to_owned()).collect();
        prop_assert_eq!(&file.trainable_parameters, &wanted.iter().cloned().collect::<Vec<_>>());
        let left: BTreeSet<String> = file.not_expressed.iter().map(|n| n.parameter.clone()).collect();
        let expressed: BTreeSet<String> = wanted.difference(&left).cloned().collect();
        match &file.lora_config {
            Some(keywords) => prop_assert_eq!(trained(keywords, &names), expressed),
            None => prop_assert!(expressed.is_empty()),
        }
        prop_assert_eq!(file.is_complete(), left.is_empty());
    }
}

#[test]
fn groups_of_the_paper_become_keywords() {
    let llama = network::llama(true);
    let names: Vec<&str> = llama.names().collect();
    let keywords = |chosen: fn(&str) -> bool| {
        let file = file(&names, chosen, Weights::Saved);
        assert!(file.is_complete(), "{:?}", file.not_expressed);
        file.lora_config.unwrap()
    };
    let one = keywords(|name| name.contains("lora"));
    let all =
        ["down_proj", "gate_proj", "k_proj", "lm_head", "o_proj", "q_proj", "up_proj", "v_proj"];
    assert_eq!(one.target_modules, all);
    assert_eq!((one.modules_to_save, one.bias), (None, LoraBias::None));
    // Adapters of one block need its number.
    let one = keywords(|name| name.contains("layers.1.") && name.contains("q_proj.lora"));
    assert_eq!(one.target_modules, ["1.self_attn.q_proj"]);
    // Norms and the embedding beside adapters; `norm` alone would catch `input_layernorm`.
    let one = keywords(|name| {
        name.contains("v_proj.lora") || name == "model.norm.weight" || name.contains("embed")
    });
    assert_eq!(one.modules_to_save.unwrap(), ["embed_tokens", "model.norm"]);

    let gpt = network::gpt(2, 8, true);
    let names: Vec<&str> = gpt.names().collect();
    let with = |chosen: fn(&str) -> bool| file(&names, chosen, Weights::Saved);
    let lora = |name: &str| name.contains("attn.c_attn.lora");
    let all = with(|name| name.contains("attn.c_attn.lora") || name.ends_with("bias"));
    assert_eq!(all.lora_config.as_ref().unwrap().bias, LoraBias::All);
    assert!(all.is_complete());
    let own = with(|name| name.contains("attn.c_attn.lora") || name.ends_with("c_attn.bias"));
    assert_eq!(own.lora_config.as_ref().unwrap().bias, LoraBias::LoraOnly);
    assert!(own.is_complete());
    // Biases without those of norms: peft cannot leave these out.
    let some =
        file(&names, |n| lora(n) || n.ends_with("bias") && !n.contains("ln_"), Weights::Saved);
    assert_eq!(some.lora_config.as_ref().unwrap().bias, LoraBias::None);
    assert_eq!(some.not_expressed.len(), 8);
    assert!(some.not_expressed[0].reason.contains("all biases"), "{:?}", some.not_expressed);
}

#[test]
fn what_keywords_cannot_say_is_listed_with_the_reason() {
    let gpt = network::gpt(1, 8, true);
    let names: Vec<&str> = gpt.names().collect();
    let reasons = |chosen: &dyn Fn(&str) -> bool| -> Vec<(String, String)> {
        let file = file(&names, chosen, Weights::Saved);
        file.not_expressed.into_iter().map(|n| (n.parameter, n.reason)).collect()
    };
    let base = |name: &str| name.contains("c_fc.lora");
    let only_b = reasons(&|name| base(name) || name == "h.0.attn.c_proj.lora_b.weight");
    assert_eq!(only_b.len(), 1);
    assert!(only_b[0].1.contains("both matrices"));
    let half = reasons(&|name| base(name) || name == "ln_f.weight");
    assert_eq!(half[0].0, "ln_f.weight");
    assert!(half[0].1.contains("trains a module whole"));
    let both = reasons(&|name| name.starts_with("h.0.mlp.c_fc."));
    assert_eq!(both.len(), 1);
    assert!(both[0].0 == "h.0.mlp.c_fc.weight" && both[0].1.contains("in one of"), "{both:?}");
    let none = reasons(&|name| name == "wte.weight");
    assert!(none[0].1.contains("no layer has an adapter"));
    let error = TargetModules::new(names.iter().copied(), |_| false, Weights::Saved).unwrap_err();
    assert!(matches!(error, Error::Document { .. }));
    // A name that another's ends with, and parameters outside modules.
    let names = [
        "q.w.lora_a.weight",
        "q.w.lora_b.weight",
        "p.q.w.weight",
        "r.s.weight",
        "t.weight",
        "s.weight",
        "t.s.weight",
        "free",
    ];
    let chosen = |name: &str| {
        name.starts_with("q.") || name == "s.weight" || name == "t.weight" || name == "free"
    };
    let file = file(&names, chosen, Weights::Saved);
    assert_eq!(file.lora_config, None);
    let names = [
        "q.w.lora_a.weight",
        "q.w.lora_b.weight",
        "r.s.weight",
        "t.weight",
        "s.weight",
        "t.s.weight",
        "free",
    ];
    let file = self::file(&names, chosen, Weights::Saved);
    let left: Vec<&str> = file.not_expressed.iter().map(|n| n.parameter.as_str()).collect();
    assert_eq!(left, ["free", "s.weight", "t.weight"]);
    assert!(file.not_expressed[1].reason.contains("end of another"));
}

#[test]
fn adapters_may_take_the_place_of_weights() {
    let llama = network::llama(false);
    let names: Vec<&str> = llama.names().collect();
    let chosen = |name: &str| name.contains("q_proj") || name.contains("norm");
    let file = file(&names, chosen, Weights::Adapted);
    let keywords = file.lora_config.clone().unwrap();
    assert_eq!(keywords.target_modules, ["q_proj"]);
    assert_eq!(
        keywords.modules_to_save.unwrap(),
        ["input_layernorm", "norm", "post_attention_layernorm"]
    );
    assert_eq!(
        file.substituted,
        ["model.layers.0.self_attn.q_proj.weight", "model.layers.1.self_attn.q_proj.weight"]
    );
    assert!(!file.is_complete() && file.not_expressed.is_empty());
}

#[test]
fn files_are_read_as_they_were_written_and_others_refused() {
    let llama = network::llama(true);
    let names: Vec<&str> = llama.names().collect();
    let written =
        file(&names, |name| name.contains("lora_b") || name.contains("q_proj"), Weights::Saved);
    let text = written.to_json().unwrap();
    assert_eq!(TargetModules::from_json(&text).unwrap(), written);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["lora_config"]["bias"], "none");
    assert_eq!(value["lora_config"]["target_modules"][0], "q_proj");
    for (from, to) in [
        ("\"version\": 1", "\"version\": 2"),
        ("target-modules\"", "x\""),
        ("\"bias\"", "\"bais\""),
    ] {
        let error = TargetModules::from_json(&text.replacen(from, to, 1)).unwrap_err();
        assert!(matches!(error, Error::Document { .. }), "{error}");
    }
    assert!(matches!(TargetModules::from_json("{"), Err(Error::Document { .. })));
    // Names that peft gives.
    let names = [
        "base_model.model.h.q.base_layer.weight",
        "base_model.model.h.q.lora_A.default.weight",
        "base_model.model.h.q.lora_B.default.weight",
    ];
    let file = file(&names, |name| name.contains("lora"), Weights::Saved);
    assert_eq!(file.lora_config.unwrap().target_modules, ["q"]);
}
