//! Published models compute what they should: tokens, losses, logits and greedy texts against reference values.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use serde_json::Value;
use tape_nn::Context;
use tape_nn::generate::{
    Choice, Prompts, Settings, generate, generate_batch, generate_text, generate_texts,
};
use tape_nn::load::{Pretrained, Tokenizer, llama, safetensors};
use tape_nn::lora::{self, LoraConfig};
use tape_nn::net::LanguageModel;
use tensor_tree::{Key, Label, Tree};

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn expected(folder: &str) -> Value {
    let path = root("fixtures/data").join(folder).join("expected.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    serde_json::from_value(value.clone()).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).unwrap()
}

/// Logits of each position, in doubles.
fn logits(llama: &Pretrained, ids: &[u32]) -> Vec<Vec<f64>> {
    let frozen = Tree::new();
    let cx = Context::eval(&llama.params, &frozen);
    let tensor = Tensor::from_vec(ids.to_vec(), (1, ids.len()), &Device::Cpu).unwrap();
    let logits = llama.model.logits(&cx, &tensor).unwrap();
    logits.squeeze(0).unwrap().to_dtype(DType::F64).unwrap().to_vec2().unwrap()
}

fn log_probabilities(logits: &[f64]) -> Vec<f64> {
    let highest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = logits.iter().map(|x| (x - highest).exp()).sum();
    logits.iter().map(|x| x - highest - total.ln()).collect()
}

/// Loss of each token but the first.
fn losses(logits: &[Vec<f64>], ids: &[u32]) -> Vec<f64> {
    let next = ids[1..].iter().map(|id| *id as usize);
    logits.iter().zip(next).map(|(row, id)| -log_probabilities(row)[id]).collect()
}

fn largest_difference(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn stories260k_golden_values_from_both_files() {
    let want = expected("stories260k");
    let tokenizer = Tokenizer::read(root("fixtures/data/stories260k")).unwrap();
    let prompt = want["prompt"].as_str().unwrap();
    let tokens = tokenizer.encode(prompt, true).unwrap();
    assert_eq!(tokens, ids(&want["prompt_ids"]));
    for file in ["fixtures/data/stories260k", "fixtures/data/stories260k/stories260K.bin"] {
        let llama = llama(root(file), DType::F32, &Device::Cpu).unwrap();
        assert_eq!(llama.params.n_elements(), 260_032);
        let logits = logits(&llama, &tokens);
        let nll = losses(&logits, &tokens);
        let error = largest_difference(&nll, &numbers(&want["per_token_nll"]));
        assert!(error < 1e-4, "{file}: losses are off by {error}");
        let last = logits.last().unwrap();
        let error = largest_difference(last, &numbers(&want["last_logits"]));
        assert!(error < 1e-4, "{file}: logits are off by {error}");

        let none = Tree::new();
        let settings = Settings::greedy(64, &[]);
        let key = Key::from_seed(0);
        let mut got = vec![1];
        got.extend(generate(&llama.model, &llama.params, &none, &got, &settings, key).unwrap());
        assert_eq!(got, ids(&want["greedy_from_bos_ids"]));
        let text = tokenizer.decode(&got, true).unwrap();
        assert_eq!(text, want["greedy_from_bos_text"].as_str().unwrap());
        let text =
            generate_text(&llama.model, &llama.params, &none, &tokenizer, prompt, &settings, key)
                .unwrap();
        assert!(text.starts_with(" She loved to play outside in the park."), "{text}");
    }
}

#[test]
fn adapters_on_a_published_model_merge_and_come_back_from_a_file() {
    let mut adapted = llama(root("fixtures/data/stories260k"), DType::F64, &Device::Cpu).unwrap();
    let tokens = [1, 403, 407, 261];
    let plain = logits(&adapted, &tokens);
    let config = LoraConfig { rank: 2, ..LoraConfig::for_layers(["q_proj", "v_proj"]) };
    let key = Key::from_seed(3);
    let adapters =
        lora::attach(&mut adapted.model, &config, key, DType::F64, &Device::Cpu).unwrap();
    assert_eq!(adapters.len(), 2 * 2 * 5);
    let adapters = adapters.map(|_, leaf| key.add_normal(leaf, 0.05)).unwrap();
    let bytes = safetensors::to_bytes(&adapters, &Default::default()).unwrap();
    let back = safetensors::from_bytes(&bytes, DType::F64, &Device::Cpu).unwrap().tree;

    let base = adapted.params.clone();
    adapted.params = base.union(&back).unwrap();
    let with = logits(&adapted, &tokens);
    lora::detach(&mut adapted.model);
    adapted.params = lora::merge(&base, &back, config.scale()).unwrap();
    let merged = logits(&adapted, &tokens);
    for ((plain, with), merged) in plain.iter().zip(&with).zip(&merged) {
        assert!(largest_difference(with, merged) < 1e-10);
        assert!(1e-3 < largest_difference(with, plain));
    }
}

#[test]
fn texts_generated_together_are_those_generated_alone() {
    let tokenizer = Tokenizer::read(root("fixtures/data/stories260k")).unwrap();
    let llama = llama(root("fixtures/data/stories260k"), DType::F64, &Device::Cpu).unwrap();
    let (none, key) = (Tree::new(), Key::from_seed(7));
    let prompts = ["Once upon a time", "The", "", "Lily had a red ball and she", "One day, a boy"];
    let choice = Choice::Sample { temperature: 0.8, top_k: None, top_p: Some(0.95) };
    for settings in [Settings::greedy(24, &[]), Settings { max_new: 24, stop: vec![], choice }] {
        let alone = prompts.iter().enumerate().map(|(i, prompt)| {
            let key = key.child(Label::Sample(i as u64));
            generate_text(&llama.model, &llama.params, &none, &tokenizer, prompt, &settings, key)
                .unwrap()
        });
        let alone: Vec<String> = alone.collect();
        assert!(alone[0].starts_with([' ', ',']), "{}", alone[0]);
        for batch in [1, 2, 5] {
            let prompts = Prompts::new(&prompts, batch);
            let (model, params) = (&llama.model, &llama.params);
            let together =
                generate_texts(model, params, &none, &tokenizer, prompts, &settings, key).unwrap();
            assert_eq!(together, alone, "{batch} at once");
        }
    }
}

#[test]
fn in_single_precision_texts_generated_together_part_only_at_near_ties() {
    let llama = llama(root("fixtures/data/stories260k"), DType::F32, &Device::Cpu).unwrap();
    let (none, key, settings) = (Tree::new(), Key::from_seed(1), Settings::greedy(48, &[]));
    let prompts: Vec<Vec<u32>> =
        (0..16).map(|i| (0..=i % 6).map(|at| (37 * i + 11 * at) % 500).collect()).collect();
    let at = |batch| {
        let prompts = Prompts::new(&prompts, batch);
        generate_batch(&llama.model, &llama.params, &none, prompts, &settings, key).unwrap()
    };
    let alone = at(1);
    for batch in [3, 16] {
        for ((prompt, alone), new) in prompts.iter().zip(&alone).zip(at(batch)) {
            let Some(part) = alone.iter().zip(&new).position(|(a, b)| a != b) else {
                assert_eq!(alone.len(), new.len());
                continue;
            };
            let logits = logits(&llama, &[prompt, &alone[..part]].concat());
            let last = logits.last().unwrap();
            let gap = (last[alone[part] as usize] - last[new[part] as usize]).abs();
            assert!(gap < 1e-4, "{batch} at once part at logits that differ by {gap}");
        }
    }
}

#[test]
#[ignore = "heavy: needs cargo xtask data smollm2"]
fn smollm2_golden_values() {
    let folder = root("target/data/smollm2");
    let file = folder.join("SmolLM2-135M-Instruct.Q4_1.gguf");
    assert!(file.is_file(), "{} is missing: run `cargo xtask data smollm2` first", file.display());
    let want = expected("smollm2-135m-tokenizer");
    let tokenizer = Tokenizer::read(root("fixtures/data/smollm2-135m-tokenizer")).unwrap();
    let llama = llama(&file, DType::F32, &Device::Cpu).unwrap();
    assert_eq!(llama.params.n_elements(), 134_515_008);

    let tokens = tokenizer.encode(want["text"].as_str().unwrap(), false).unwrap();
    assert_eq!(tokens, ids(&want["ids"]));
    let logits = logits(&llama, &tokens);
    let nll = losses(&logits, &tokens);
    let error = largest_difference(&nll, &numbers(&want["nll"]));
    assert!(error < 0.05, "a token's loss is off by {error}");
    let mean = nll.iter().sum::<f64>() / nll.len() as f64;
    let error = (mean - want["mean_nll"].as_f64().unwrap()).abs();
    assert!(error < 0.01, "the mean loss is off by {error}");
    let last = log_probabilities(logits.last().unwrap());
    let top: Vec<f64> = ids(&want["last_token_top5"]).iter().map(|id| last[*id as usize]).collect();
    assert!(largest_difference(&top, &numbers(&want["last_token_top5_log_prob"])) < 0.05);

    let prompt = want["prompt"].as_str().unwrap();
    let start = tokenizer.encode(prompt, false).unwrap();
    assert_eq!(start, ids(&want["prompt_ids"]));
    let settings = Settings::greedy(32, &llama.config.eos_token_ids);
    let none = Tree::new();
    let answer =
        generate(&llama.model, &llama.params, &none, &start, &settings, Key::from_seed(0)).unwrap();
    assert_eq!(answer, ids(&want["greedy_ids"]));
    let text = tokenizer.decode(&answer, true).unwrap();
    assert_eq!(text, want["greedy_text"].as_str().unwrap());
}
