//! Whole models as files for the caller to write.

use std::collections::BTreeMap;

use tensor_tree::Tree;

use super::safetensors;
use crate::error::{Error, Result};
use crate::layer::RotaryOrder;
use crate::net::LlamaConfig;

/// `config.json` and `model.safetensors` of a Llama model, which [`super::llama`] and Hugging Face's code read as the same model.
///
/// Rows of query and key weights that pair neighbors, as those from GGUF files and llama2.c do, are put into the order of safetensors, which
/// pairs halves. The file gets the metadata `format: pt`, which Hugging Face's code asks for.
///
/// # Errors
/// [`Error::InvalidSetting`] if the configuration does not hold together; [`Error::ParamShape`] for query or key weights of another shape
/// than it says; those of [`safetensors::to_bytes`].
pub fn llama_files(config: &LlamaConfig, params: &Tree) -> Result<[(&'static str, Vec<u8>); 2]> {
    config.check()?;
    let halves = match config.rotary_order {
        RotaryOrder::Halves => params.clone(),
        RotaryOrder::Neighbors => to_halves(config, params)?,
    };
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    let dtype = halves.iter().next().map(|(_, leaf)| leaf.dtype());
    let mut json = config.to_json();
    if let (Some(fields), Some(dtype)) = (json.as_object_mut(), dtype) {
        let name = match dtype {
            candle_core::DType::F64 => "float64",
            candle_core::DType::F16 => "float16",
            candle_core::DType::BF16 => "bfloat16",
            _ => "float32",
        };
        fields.insert("torch_dtype".to_owned(), name.into());
    }
    let text = format!("{json:#}\n");
    Ok([
        ("config.json", text.into_bytes()),
        ("model.safetensors", safetensors::to_bytes(&halves, &metadata)?),
    ])
}

/// Neighbors `2 i` and `2 i + 1` of each head become `i` and `i + head_dim / 2`.
fn to_halves(config: &LlamaConfig, params: &Tree) -> Result<Tree> {
    let half = config.head_dim / 2;
    let mut out = Tree::new();
    for (name, leaf) in params.iter() {
        let heads = match name {
            _ if name.ends_with("self_attn.q_proj.weight") => config.num_attention_heads,
            _ if name.ends_with("self_attn.k_proj.weight") => config.num_key_value_heads,
            _ => {
                out.insert(name, leaf.clone())?;
                continue;
            }
        };
        let want = [heads * config.head_dim, config.hidden_size];
        if leaf.dims() != want {
            let (name, got) = (name.to_owned(), leaf.dims().to_vec());
            return Err(Error::ParamShape { name, expected: want.to_vec(), got });
        }
        let pairs = leaf.reshape((heads, half, 2, config.hidden_size))?;
        let turned = pairs.permute((0, 2, 1, 3))?.contiguous()?;
        out.insert(name, turned.reshape(&want[..])?)?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use candle_core::{DType, Device, Tensor};
    use tensor_tree::{Key, Label};

    use super::*;
    use crate::load::llama;
    use crate::net::{LanguageModel, Llama};
    use crate::{Builder, Context};

    fn read(files: &[(&'static str, Vec<u8>)]) -> crate::load::Pretrained {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        llama(folder.path(), DType::F32, &Device::Cpu).unwrap()
    }

    #[test]
    fn a_model_of_llama2_c_is_written_as_the_published_safetensors() {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/data/stories260k");
        let bin = llama(fixture.join("stories260K.bin"), DType::F32, &Device::Cpu).unwrap();
        let back = read(&llama_files(&bin.config, &bin.params).unwrap());
        let published = llama(&fixture, DType::F32, &Device::Cpu).unwrap();
        assert_eq!(back.config.rotary_order, RotaryOrder::Halves);
        assert_eq!(back.params.add_scaled(-1.0, &published.params).unwrap().norm().unwrap(), 0.0);
        assert_ne!(bin.params.add_scaled(-1.0, &published.params).unwrap().norm().unwrap(), 0.0);
    }

    #[test]
    fn both_orders_with_grouped_heads_are_read_back_to_the_same_logits() {
        for rotary_order in [RotaryOrder::Halves, RotaryOrder::Neighbors] {
            for tied in [true, false] {
                let text = r#"{"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
                    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 6, "vocab_size": 20,
                    "max_position_embeddings": 32, "rms_norm_eps": 1e-5, "rope_theta": 500.5,
                    "bos_token_id": 1, "eos_token_id": [2, 3]}"#;
                let config = LlamaConfig {
                    rotary_order,
                    tie_word_embeddings: tied,
                    ..LlamaConfig::from_json(text).unwrap()
                };
                let builder = Builder::init(Key::from_seed(1), DType::F32, &Device::Cpu);
                let model = Llama::new(&config, builder.vb()).unwrap();
                let key = Key::from_seed(2);
                let params = builder.into_tree().unwrap();
                // Weights large enough for the rotation to matter.
                let params =
                    params.map(|name, x| key.child(Label::Leaf(name)).add_normal(x, 0.3)).unwrap();
                let back = read(&llama_files(&config, &params).unwrap());
                let same = LlamaConfig { rotary_order: RotaryOrder::Halves, ..config.clone() };
                assert_eq!(back.config, same);
                let ids = Tensor::new(&[[1u32, 7, 3, 9, 15, 2]], &Device::Cpu).unwrap();
                let logits = |model: &Llama, params: &Tree| {
                    let frozen = Tree::new();
                    let logits = model.logits(&Context::eval(params, &frozen), &ids).unwrap();
                    logits.flatten_all().unwrap().to_vec1::<f32>().unwrap()
                };
                let (want, got) = (logits(&model, &params), logits(&back.model, &back.params));
                let far = want.iter().zip(&got).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(far < 1e-4, "{rotary_order:?}, tied {tied}: {far}");
                if rotary_order == RotaryOrder::Neighbors {
                    let wrong = logits(&back.model, &params);
                    let far = want.iter().zip(&wrong).map(|(a, b)| (a - b).abs());
                    assert!(1e-2 < far.fold(0.0, f32::max), "the order does not matter here");
                }
            }
        }
    }

    #[test]
    fn weights_of_another_shape_are_refused() {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/data/stories260k");
        let bin = llama(fixture.join("stories260K.bin"), DType::F32, &Device::Cpu).unwrap();
        let config = LlamaConfig { num_attention_heads: 4, ..bin.config };
        assert!(matches!(llama_files(&config, &bin.params), Err(Error::ParamShape { .. })));
    }
}
