//! The weights of llama2.c (layout version 0), such as `stories260K.bin`.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use tensor_tree::Tree;

use super::{broken, in_file, read_file};
use crate::error::Result;
use crate::layer::RotaryOrder;
use crate::net::LlamaConfig;

const WHAT: &str = "llama2.c file";

/// Reads a file: its configuration, and its weights under the names of Hugging Face. Rows of the query and key
/// projections are in the order of neighbors, and the configuration says so. What the file does not say is as
/// llama2.c has it: epsilon 1e-5, rotary base 10000, text between tokens 1 and 2.
///
/// # Errors
/// [`crate::Error::Load`] if the file cannot be read or its size is not what the header says.
pub fn read(path: impl AsRef<Path>, dtype: DType, device: &Device) -> Result<(LlamaConfig, Tree)> {
    let path = path.as_ref();
    in_file(path, from_bytes(&read_file(WHAT, path)?, dtype, device))
}

/// Reads the bytes of a file.
///
/// # Errors
/// As [`read`].
pub fn from_bytes(bytes: &[u8], dtype: DType, device: &Device) -> Result<(LlamaConfig, Tree)> {
    let config = header(bytes)?;
    let parts = parts(&config).ok_or_else(|| broken(WHAT, "its sizes are impossible"))?;
    let size = |dims: &[usize]| dims.iter().try_fold(4usize, |a, b| a.checked_mul(*b));
    let total = parts.iter().try_fold(28usize, |sum, (_, dims)| sum.checked_add(size(dims)?));
    if total != Some(bytes.len()) {
        let said = total.map_or("more bytes than can be".to_owned(), |n| n.to_string());
        let reason = format!("the header needs {said} bytes, the file has {}", bytes.len());
        return Err(broken(WHAT, reason));
    }
    let mut tree = Tree::new();
    let mut at = 28;
    for (name, dims) in parts {
        let end = at + size(&dims).unwrap_or(0);
        let raw = &bytes[at..end];
        at = end;
        let Some(name) = name else { continue };
        let mut put = |name: String, raw: &[u8], dims: &[usize]| {
            let tensor = Tensor::from_raw_buffer(raw, DType::F32, dims, &Device::Cpu)?;
            Ok::<_, crate::Error>(tree.insert(name, tensor.to_dtype(dtype)?.to_device(device)?)?)
        };
        if name.contains('#') {
            for (block, raw) in raw.chunks_exact(raw.len() / dims[0]).enumerate() {
                put(name.replace('#', &block.to_string()), raw, &dims[1..])?;
            }
        } else {
            put(name.to_owned(), raw, &dims)?;
        }
    }
    Ok((config, tree))
}

fn header(bytes: &[u8]) -> Result<LlamaConfig> {
    let mut numbers = [0i32; 7];
    for (i, n) in numbers.iter_mut().enumerate() {
        let raw =
            bytes.get(4 * i..4 * i + 4).ok_or_else(|| broken(WHAT, "shorter than its header"))?;
        *n = i32::from_le_bytes([raw[0], raw[1], raw[2], raw[3]]);
    }
    let [hidden, inner, layers, heads, kv_heads, vocab, positions] = numbers;
    // A negative vocabulary marks a head of its own.
    let sizes = [hidden, inner, layers, heads, kv_heads, vocab.saturating_abs(), positions];
    let ok = sizes.iter().all(|n| 0 < *n)
        && hidden % heads == 0
        && hidden / heads % 2 == 0
        && heads % kv_heads == 0;
    if !ok {
        return Err(broken(WHAT, format!("the header's sizes {numbers:?} are impossible")));
    }
    let sizes = sizes.map(|n| usize::try_from(n).unwrap_or(0));
    let config = LlamaConfig {
        hidden_size: sizes[0],
        intermediate_size: sizes[1],
        num_hidden_layers: sizes[2],
        num_attention_heads: sizes[3],
        num_key_value_heads: sizes[4],
        head_dim: sizes[0] / sizes[3],
        vocab_size: sizes[5],
        max_position_embeddings: sizes[6],
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        tie_word_embeddings: 0 < vocab,
        bos_token_id: Some(1),
        eos_token_ids: vec![2],
        rotary_order: RotaryOrder::Neighbors,
    };
    config.check()?;
    Ok(config)
}

/// Names and shapes in the order of the file: `#` stands for the block's number along the first axis, no name
/// for tables that the network makes itself. `None` if a size overflows.
fn parts(c: &LlamaConfig) -> Option<Vec<(Option<&'static str>, Vec<usize>)>> {
    let (d, f, l, head) = (c.hidden_size, c.intermediate_size, c.num_hidden_layers, c.head_dim);
    let kv = head.checked_mul(c.num_key_value_heads)?;
    let mut parts = vec![
        (Some("model.embed_tokens.weight"), vec![c.vocab_size, d]),
        (Some("model.layers.#.input_layernorm.weight"), vec![l, d]),
        (Some("model.layers.#.self_attn.q_proj.weight"), vec![l, d, d]),
        (Some("model.layers.#.self_attn.k_proj.weight"), vec![l, kv, d]),
        (Some("model.layers.#.self_attn.v_proj.weight"), vec![l, kv, d]),
        (Some("model.layers.#.self_attn.o_proj.weight"), vec![l, d, d]),
        (Some("model.layers.#.post_attention_layernorm.weight"), vec![l, d]),
        (Some("model.layers.#.mlp.gate_proj.weight"), vec![l, f, d]),
        (Some("model.layers.#.mlp.down_proj.weight"), vec![l, d, f]),
        (Some("model.layers.#.mlp.up_proj.weight"), vec![l, f, d]),
        (Some("model.norm.weight"), vec![d]),
        (None, vec![c.max_position_embeddings, head / 2]),
        (None, vec![c.max_position_embeddings, head / 2]),
    ];
    if !c.tie_word_embeddings {
        parts.push((Some("lm_head.weight"), vec![c.vocab_size, d]));
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::mutation::survive;
    use crate::load::safetensors;

    fn fixture(name: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/data/stories260k").join(name)
    }

    #[test]
    #[allow(clippy::float_cmp, reason = "values that are copied, not computed")]
    fn both_files_of_the_small_model_hold_the_same_weights() {
        let (config, ours) = read(fixture("stories260K.bin"), DType::F32, &Device::Cpu).unwrap();
        let text = std::fs::read_to_string(fixture("config.json")).unwrap();
        let mut theirs = LlamaConfig::from_json(&text).unwrap();
        theirs.rotary_order = RotaryOrder::Neighbors;
        assert_eq!(config, theirs);
        let folder = safetensors::read(fixture(""), DType::F32, &Device::Cpu).unwrap();
        let theirs = folder.tree;
        ours.check_like(&theirs).unwrap();
        for (name, leaf) in ours.iter() {
            let mut leaf = leaf.clone();
            if name.contains("q_proj") || name.contains("k_proj") {
                // Interleaved pairs to halves.
                let (rows, d) = leaf.dims2().unwrap();
                leaf = leaf.reshape((rows / 8, 4, 2, d)).unwrap().transpose(1, 2).unwrap();
                leaf = leaf.reshape((rows, d)).unwrap();
            }
            let error = (leaf - theirs.leaf(name).unwrap()).unwrap().abs().unwrap();
            assert_eq!(error.max_all().unwrap().to_scalar::<f32>().unwrap(), 0.0, "{name}");
        }
    }

    fn small() -> Vec<u8> {
        let mut bytes: Vec<u8> =
            [4i32, 6, 2, 2, 1, -5, 3].iter().flat_map(|n| n.to_le_bytes()).collect();
        let parts = parts(&header(&bytes).unwrap()).unwrap();
        let n: usize = parts.iter().map(|(_, dims)| dims.iter().product::<usize>()).sum();
        bytes.extend((0..n).flat_map(|i| (i as f32).to_le_bytes()));
        bytes
    }

    #[test]
    fn a_head_of_its_own_is_read() {
        let (config, tree) = from_bytes(&small(), DType::F64, &Device::Cpu).unwrap();
        assert!(!config.tie_word_embeddings && config.vocab_size == 5);
        assert_eq!(tree.leaf("lm_head.weight").unwrap().dims(), [5, 4]);
        assert_eq!(tree.len(), 3 + 9 * 2);
    }

    fn damaged_files(n: u64) {
        let refused = survive(&small(), n, |b| from_bytes(b, DType::F32, &Device::Cpu).is_ok());
        assert!(n / 4 < refused, "{refused} of {n} refused");
    }

    #[test]
    fn damaged_files_give_errors() {
        let bytes = small();
        for len in 0..bytes.len() {
            assert!(from_bytes(&bytes[..len], DType::F32, &Device::Cpu).is_err());
        }
        damaged_files(2_000);
    }

    #[test]
    #[ignore = "heavy: 100,000 mutations"]
    fn many_damaged_files_give_errors() {
        damaged_files(100_000);
    }
}
