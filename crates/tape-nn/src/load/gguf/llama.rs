//! Models of the `llama` architecture under the names of Hugging Face.

use candle_core::{DType, Device};
use tensor_tree::Tree;

use super::{Array, Gguf, Value};
use crate::error::Result;
use crate::layer::RotaryOrder;
use crate::net::LlamaConfig;

/// Reads the configuration of a Llama model. Rows of its query and key projections are in the order of neighbors,
/// as in all GGUF files of this architecture, and the configuration says so.
///
/// # Errors
/// [`crate::Error::Load`] if the file is of another architecture, lacks a value, has impossible ones, or uses
/// what the network does not have: experts, scaled rotary frequencies, rotation of a part of each head.
pub fn llama_config(file: &Gguf) -> Result<LlamaConfig> {
    match file.text("general.architecture")? {
        Some("llama") => {}
        Some(other) => {
            return Err(
                file.broken(format!("architecture `{other}` is not supported, expected `llama`"))
            );
        }
        None => return Err(file.broken("metadata has no `general.architecture`")),
    }
    let key = |name: &str| format!("llama.{name}");
    let size = |name: &str| match file.count(&key(name))? {
        Some(n) if 0 < n => Ok(n),
        Some(_) => Err(file.broken(format!("metadata `llama.{name}` is zero"))),
        None => Err(file.broken(format!("metadata has no `llama.{name}`"))),
    };
    let hidden_size = size("embedding_length")?;
    let n_heads = size("attention.head_count")?;
    let n_kv_heads = file.count(&key("attention.head_count_kv"))?.unwrap_or(n_heads);
    let head_dim = match file.count(&key("attention.key_length"))? {
        Some(n) => n,
        None if hidden_size.is_multiple_of(n_heads) => hidden_size / n_heads,
        None => {
            return Err(
                file.broken(format!("{n_heads} heads do not divide the width {hidden_size}"))
            );
        }
    };
    if n_kv_heads == 0
        || !n_heads.is_multiple_of(n_kv_heads)
        || head_dim == 0
        || !head_dim.is_multiple_of(2)
    {
        return Err(file.broken(format!(
            "{n_heads} query heads, {n_kv_heads} key-value heads of width {head_dim} do not fit"
        )));
    }
    for (name, want) in [
        ("attention.value_length", head_dim),
        ("rope.dimension_count", head_dim),
        ("expert_count", 0),
    ] {
        match file.count(&key(name))? {
            Some(n) if n != want => {
                return Err(file.broken(format!("`llama.{name}` is {n}; only {want} is supported")));
            }
            _ => {}
        }
    }
    let scaling = file.text(&key("rope.scaling.type"))?.unwrap_or("none");
    let mut scaled = scaling != "none" || file.tensors().contains_key("rope_freqs.weight");
    // Two ages of the format spell the factor in two ways; 0 and 1 mean none.
    for name in ["rope.scale_linear", "rope.scaling.factor"] {
        scaled |= file.number(&key(name))?.is_some_and(|factor| !matches!(factor, 0.0 | 1.0));
    }
    if scaled {
        return Err(file.broken("scaled rotary frequencies are not supported"));
    }
    let embedding = file.tensors().get("token_embd.weight").map(|info| info.shape.as_slice());
    let vocab_size = match embedding {
        Some([vocab, width]) if *width == hidden_size => *vocab,
        other => {
            return Err(file.broken(format!(
                "the embedding has shape {other:?}, expected [vocabulary, {hidden_size}]"
            )));
        }
    };
    let tokens = match file.metadata().get("tokenizer.ggml.tokens") {
        Some(Value::Array(Array::Text(tokens))) => Some(tokens.len()),
        _ => None,
    };
    for (name, n) in
        [("llama.vocab_size", file.count(&key("vocab_size"))?), ("tokenizer.ggml.tokens", tokens)]
    {
        if n.is_some_and(|n| n != vocab_size) {
            return Err(file.broken(format!(
                "`{name}` speaks of {n:?} tokens, the embedding has {vocab_size}"
            )));
        }
    }
    let positive = |name: &str, default: Option<f64>| match file.number(&key(name))?.or(default) {
        Some(x) if 0.0 < x => Ok(x),
        Some(x) => Err(file.broken(format!("metadata `llama.{name}` is {x}"))),
        None => Err(file.broken(format!("metadata has no `llama.{name}`"))),
    };
    let token = |name: &str| {
        let id = file.count(&format!("tokenizer.ggml.{name}_token_id"))?;
        match id.map(u32::try_from) {
            None => Ok(None),
            Some(Ok(id)) if (id as usize) < vocab_size => Ok(Some(id)),
            Some(_) => {
                Err(file.broken(format!("the {name} token {id:?} is not in the vocabulary")))
            }
        }
    };
    let config = LlamaConfig {
        hidden_size,
        intermediate_size: size("feed_forward_length")?,
        num_hidden_layers: size("block_count")?,
        num_attention_heads: n_heads,
        num_key_value_heads: n_kv_heads,
        head_dim,
        vocab_size,
        max_position_embeddings: size("context_length")?,
        rms_norm_eps: positive("attention.layer_norm_rms_epsilon", None)?,
        rope_theta: positive("rope.freq_base", Some(10_000.0))?,
        tie_word_embeddings: !file.tensors().contains_key("output.weight"),
        bos_token_id: token("bos")?,
        eos_token_ids: token("eos")?.into_iter().collect(),
        rotary_order: RotaryOrder::Neighbors,
    };
    config.check()?;
    Ok(config)
}

/// All tensors, dequantised, under the names of Hugging Face: `blk.0.attn_q.weight` becomes
/// `model.layers.0.self_attn.q_proj.weight`. Rows keep their order: see [`llama_config`].
///
/// # Errors
/// [`crate::Error::Load`] if a tensor is no part of a Llama model; from the back-end.
pub fn llama_tree(file: &Gguf, dtype: DType, device: &Device) -> Result<Tree> {
    let mut tree = Tree::new();
    for name in file.tensors().keys() {
        let ours = renamed(name).ok_or_else(|| {
            file.broken(format!("tensor `{name}` is no part of a Llama model that is supported"))
        })?;
        tree.insert(ours, file.tensor(name, dtype, device)?)?;
    }
    Ok(tree)
}

fn renamed(name: &str) -> Option<String> {
    match name {
        "token_embd.weight" => return Some("model.embed_tokens.weight".into()),
        "output_norm.weight" => return Some("model.norm.weight".into()),
        "output.weight" => return Some("lm_head.weight".into()),
        _ => {}
    }
    let (block, rest) = name.strip_prefix("blk.")?.split_once('.')?;
    let block: u32 = block.parse().ok()?;
    let (part, kind) = rest.rsplit_once('.')?;
    let ours = match (part, kind) {
        ("attn_norm", "weight") => "input_layernorm",
        ("ffn_norm", "weight") => "post_attention_layernorm",
        (_, "weight" | "bias") => match part {
            "attn_q" => "self_attn.q_proj",
            "attn_k" => "self_attn.k_proj",
            "attn_v" => "self_attn.v_proj",
            "attn_output" => "self_attn.o_proj",
            "ffn_gate" => "mlp.gate_proj",
            "ffn_up" => "mlp.up_proj",
            "ffn_down" => "mlp.down_proj",
            _ => return None,
        },
        _ => return None,
    };
    Some(format!("model.layers.{block}.{ours}.{kind}"))
}
