//! Tests of the Llama family on real weights.

use std::path::PathBuf;

use candle_core::{D, DType, Device};
use serde_json::Value;
use tensor_tree::Tree;

use super::*;
use crate::error::Error;
use crate::layer::RotaryOrder;
use crate::param::Builder;
use crate::testing::values;

fn file(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/data/stories260k");
    std::fs::read(PathBuf::from(folder).join(name)).unwrap()
}

fn expected() -> Value {
    serde_json::from_slice(&file("expected.json")).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

fn tokens(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).unwrap()
}

fn config() -> LlamaConfig {
    LlamaConfig::from_json(std::str::from_utf8(&file("config.json")).unwrap()).unwrap()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

fn model(config: &LlamaConfig, tree: Tree) -> (Llama, Tree) {
    let builder = Builder::given(tree, DType::F32, &Device::Cpu);
    let model = Llama::new(config, builder.vb()).unwrap();
    (model, builder.into_tree().unwrap())
}

/// Weights under Hugging Face's names, whose pairs are halves.
fn from_safetensors() -> (Llama, Tree) {
    let bytes = file("model.safetensors");
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let leaves = tensors.iter().map(|(name, view)| {
        let data = floats(view.data());
        (name.to_owned(), Tensor::from_vec(data, view.shape(), &Device::Cpu).unwrap())
    });
    model(&config(), Tree::from_leaves(leaves).unwrap())
}

/// The original weights, whose pairs are neighbors.
fn from_original() -> (Llama, Tree) {
    let config = LlamaConfig { rotary_order: RotaryOrder::Neighbors, ..config() };
    let mut data = &floats(&file("stories260K.bin"))[7..];
    let (d, inner, n) = (64, 172, 5);
    let mut take = |shape: &[usize]| {
        let (head, tail) = data.split_at(shape.iter().product());
        data = tail;
        Tensor::from_slice(head, shape, &Device::Cpu).unwrap()
    };
    let mut tree = Tree::new();
    tree.insert("model.embed_tokens.weight", take(&[512, d])).unwrap();
    for (name, shape) in [
        ("input_layernorm", vec![d]),
        ("self_attn.q_proj", vec![64, d]),
        ("self_attn.k_proj", vec![32, d]),
        ("self_attn.v_proj", vec![32, d]),
        ("self_attn.o_proj", vec![d, 64]),
        ("post_attention_layernorm", vec![d]),
        ("mlp.gate_proj", vec![inner, d]),
        ("mlp.down_proj", vec![d, inner]),
        ("mlp.up_proj", vec![inner, d]),
    ] {
        for i in 0..n {
            tree.insert(format!("model.layers.{i}.{name}.weight"), take(&shape)).unwrap();
        }
    }
    tree.insert("model.norm.weight", take(&[d])).unwrap();
    model(&config, tree)
}

#[test]
fn golden_stories_logits_and_losses() {
    let expected = expected();
    let prompt = tokens(&expected["prompt_ids"]);
    for (what, (model, params)) in
        [("safetensors", from_safetensors()), ("original", from_original())]
    {
        let frozen = Tree::new();
        let cx = Context::eval(&params, &frozen);
        let ids = Tensor::new(prompt.as_slice(), &Device::Cpu).unwrap().unsqueeze(0).unwrap();
        let logits = model.logits(&cx, &ids).unwrap().squeeze(0).unwrap();
        let t = prompt.len();
        for (got, want) in
            values(&logits.get(t - 1).unwrap()).iter().zip(numbers(&expected["last_logits"]))
        {
            assert!((got - want).abs() < 1e-4, "{what}: {got} {want}");
        }
        let mut total = 0.0;
        for (i, want) in numbers(&expected["per_token_nll"]).into_iter().enumerate() {
            let row = values(&logits.get(i).unwrap());
            let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let lse = top + row.iter().map(|x| (x - top).exp()).sum::<f64>().ln();
            let nll = lse - row[prompt[i + 1] as usize];
            assert!((nll - want).abs() < 1e-4, "{what}, token {i}: {nll} {want}");
            total += nll;
        }
        let mean = total / (t - 1) as f64;
        assert!((mean - expected["mean_nll"].as_f64().unwrap()).abs() < 1e-5, "{what}: {mean}");
    }
}

#[test]
fn golden_stories_greedy_text_through_the_cache() {
    let expected = expected();
    let want = tokens(&expected["greedy_from_bos_ids"]);
    for (what, (model, params)) in
        [("safetensors", from_safetensors()), ("original", from_original())]
    {
        let frozen = Tree::new();
        let mut cache = model.cache();
        let mut ids = vec![want[0]];
        while ids.len() < want.len() {
            let last = Tensor::new(&[[ids[ids.len() - 1]]], &Device::Cpu).unwrap();
            let logits = model.step(&params, &frozen, &last, &mut cache).unwrap();
            ids.push(logits.squeeze(0).unwrap().argmax(D::Minus1).unwrap().to_scalar().unwrap());
        }
        assert_eq!(ids, want, "{what}");
        let tokenizer = tokenizers::Tokenizer::from_bytes(file("tokenizer.json")).unwrap();
        let text = tokenizer.decode(&ids, true).unwrap();
        let expected = expected["greedy_from_bos_text"].as_str().unwrap();
        assert_eq!(text.trim_start(), expected.trim_start(), "{what}");
    }
}

#[test]
fn a_configuration_is_read_and_unknown_keys_are_passed_over() {
    let config = config();
    assert_eq!((config.hidden_size, config.head_dim, config.num_key_value_heads), (64, 8, 4));
    assert_eq!((config.bos_token_id, config.eos_token_ids), (Some(1), vec![2]));
    assert!(config.tie_word_embeddings && config.rotary_order == RotaryOrder::Halves);
}

/// A minimal configuration with keys set or, for null, taken away.
fn with(changes: &[(&str, Value)]) -> Result<LlamaConfig> {
    let mut json = serde_json::json!({
        "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
        "vocab_size": 50, "max_position_embeddings": 32, "rms_norm_eps": 1e-5
    });
    for (key, value) in changes {
        json[*key] = value.clone();
    }
    LlamaConfig::from_json(&json.to_string())
}

#[test]
fn absent_keys_have_the_defaults_of_hugging_face() {
    let config = with(&[]).unwrap();
    assert_eq!((config.num_key_value_heads, config.head_dim), (4, 4));
    assert!((config.rope_theta - 10_000.0).abs() < 1e-12 && !config.tie_word_embeddings);
    let many = with(&[("eos_token_id", serde_json::json!([3, 4]))]).unwrap();
    assert_eq!(many.eos_token_ids, [3, 4]);
    let nested = serde_json::json!({"rope_theta": 500.0, "rope_type": "default"});
    assert!((with(&[("rope_parameters", nested)]).unwrap().rope_theta - 500.0).abs() < 1e-12);
}

#[test]
fn missing_and_contradictory_settings_are_typed_errors() {
    use serde_json::json;
    let null = Value::Null;
    for changes in [
        vec![("hidden_size", null.clone())],
        vec![("vocab_size", null.clone())],
        vec![("rms_norm_eps", null.clone())],
        vec![("max_position_embeddings", null)],
        vec![("num_attention_heads", json!(3))],
        vec![("hidden_size", json!(-1))],
        vec![("hidden_size", json!("wide"))],
        vec![("model_type", json!("gemma"))],
        vec![("hidden_act", json!("gelu"))],
        vec![("attention_bias", json!(true))],
        vec![("rope_scaling", json!({"rope_type": "llama3", "factor": 8.0}))],
        vec![("rope_scaling", json!({"factor": 8.0}))],
        vec![("rope_theta", json!(5.0)), ("rope_parameters", json!({"rope_theta": 6.0}))],
    ] {
        let got = with(&changes);
        assert!(matches!(got, Err(Error::Load { .. })), "{changes:?}: {got:?}");
    }
    for changes in [
        vec![("num_key_value_heads", json!(3))],
        vec![("num_key_value_heads", json!(0))],
        vec![("head_dim", json!(5))],
        vec![("hidden_size", json!(0)), ("head_dim", json!(4))],
        vec![("vocab_size", json!(1u64 << 40))],
        vec![("rope_theta", json!(0.5))],
        vec![("rms_norm_eps", json!(-1.0))],
        vec![("eos_token_id", json!(50))],
    ] {
        let got = with(&changes);
        assert!(matches!(got, Err(Error::InvalidSetting { .. })), "{changes:?}: {got:?}");
    }
    for text in ["", "[]", "{", "null", "{\"hidden_size\": 1e400}"] {
        assert!(matches!(LlamaConfig::from_json(text), Err(Error::Load { .. })), "{text}");
    }
}
