//! Tests of reading GGUF files, on files made here.

#![allow(clippy::float_cmp, reason = "values that are copied, not computed")]

use super::*;
use crate::layer::RotaryOrder;
use crate::load::mutation::survive;
use crate::net::LlamaConfig;

/// Writes GGUF files for tests.
#[derive(Clone, Default)]
struct Maker {
    entries: Vec<(String, u32, Vec<u8>)>,
    tensors: Vec<(String, Vec<u64>, u32, Vec<u8>)>,
    alignment: usize,
}

fn text(t: &str) -> Vec<u8> {
    let mut out = (t.len() as u64).to_le_bytes().to_vec();
    out.extend(t.as_bytes());
    out
}

impl Maker {
    fn entry(mut self, key: &str, kind: u32, value: impl AsRef<[u8]>) -> Self {
        self.entries.push((key.into(), kind, value.as_ref().to_vec()));
        self
    }

    fn count(self, key: &str, n: u32) -> Self {
        self.entry(key, 4, n.to_le_bytes())
    }

    fn tensor(mut self, name: &str, axes: &[u64], kind: u32, data: Vec<u8>) -> Self {
        self.tensors.push((name.into(), axes.to_vec(), kind, data));
        self
    }

    fn floats(self, name: &str, axes: &[u64]) -> Self {
        let n = usize::try_from(axes.iter().product::<u64>()).unwrap();
        let data = (0..n).flat_map(|i| (i as f32 * 0.5 - 1.0).to_le_bytes()).collect();
        self.tensor(name, axes, 0, data)
    }

    fn bytes(&self) -> Vec<u8> {
        let alignment = self.alignment.max(32);
        let mut out = b"GGUF".to_vec();
        out.extend(3u32.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.entries.len() as u64).to_le_bytes());
        for (key, kind, value) in &self.entries {
            out.extend(text(key));
            out.extend(kind.to_le_bytes());
            out.extend(value);
        }
        let mut data: Vec<u8> = Vec::new();
        for (name, axes, kind, content) in &self.tensors {
            data.resize(data.len().next_multiple_of(alignment), 0);
            out.extend(text(name));
            out.extend(u32::try_from(axes.len()).unwrap().to_le_bytes());
            axes.iter().for_each(|n| out.extend(n.to_le_bytes()));
            out.extend(kind.to_le_bytes());
            out.extend((data.len() as u64).to_le_bytes());
            data.extend(content);
        }
        out.resize(out.len().next_multiple_of(alignment), 0);
        out.extend(data);
        out
    }

    fn open(&self) -> Result<Gguf> {
        Gguf::from_bytes(self.bytes())
    }

    fn refused(&self, words: &str) {
        let err = self.open().unwrap_err();
        assert!(matches!(err, Error::Load { .. }) && err.to_string().contains(words), "{err}");
    }
}

fn llama() -> Maker {
    let mut file = Maker::default()
        .entry("general.architecture", 8, text("llama"))
        .count("llama.block_count", 1)
        .count("llama.embedding_length", 8)
        .count("llama.feed_forward_length", 12)
        .count("llama.attention.head_count", 2)
        .count("llama.attention.head_count_kv", 1)
        .count("llama.context_length", 16)
        .entry("llama.attention.layer_norm_rms_epsilon", 6, 1e-5f32.to_le_bytes())
        .count("tokenizer.ggml.bos_token_id", 1)
        .floats("token_embd.weight", &[8, 5])
        .floats("output_norm.weight", &[8]);
    for (name, axes) in [
        ("attn_norm", vec![8]),
        ("attn_q", vec![8, 8]),
        ("attn_k", vec![8, 4]),
        ("attn_v", vec![8, 4]),
        ("attn_output", vec![8, 8]),
        ("ffn_norm", vec![8]),
        ("ffn_gate", vec![8, 12]),
        ("ffn_up", vec![8, 12]),
        ("ffn_down", vec![12, 8]),
    ] {
        file = file.floats(&format!("blk.0.{name}.weight"), &axes);
    }
    file
}

#[test]
fn every_kind_of_metadata_is_read() {
    let nested = [
        9u32.to_le_bytes().to_vec(),
        1u64.to_le_bytes().to_vec(),
        0u32.to_le_bytes().to_vec(),
        2u64.to_le_bytes().to_vec(),
        vec![7, 9],
    ]
    .concat();
    let texts =
        [8u32.to_le_bytes().to_vec(), 2u64.to_le_bytes().to_vec(), text("a"), text("é")].concat();
    let file = Maker::default()
        .entry("u8", 0, [200])
        .entry("i8", 1, [200])
        .entry("u16", 2, 65_535u16.to_le_bytes())
        .entry("i16", 3, (-2i16).to_le_bytes())
        .count("u32", 7)
        .entry("i32", 5, (-7i32).to_le_bytes())
        .entry("f32", 6, 1e-5f32.to_le_bytes())
        .entry("bool", 7, [1])
        .entry("text", 8, text("naïve"))
        .entry("u64", 10, u64::MAX.to_le_bytes())
        .entry("i64", 11, i64::MIN.to_le_bytes())
        .entry("f64", 12, 0.1f64.to_le_bytes())
        .entry("nested", 9, nested)
        .entry("texts", 9, texts)
        .open()
        .unwrap();
    assert_eq!(file.metadata()["i8"], Value::Signed(-56));
    assert_eq!(file.metadata()["nested"], Value::Array(Array::Array(vec![Array::U8(vec![7, 9])])));
    let texts = Array::Text(vec!["a".into(), "é".into()]);
    assert_eq!(file.metadata()["texts"], Value::Array(texts));
    assert_eq!(file.number("f32").unwrap(), Some(1e-5));
    assert_eq!(file.count("u16").unwrap(), Some(65_535));
    assert_eq!(file.text("text").unwrap(), Some("naïve"));
    assert_eq!(file.text("none").unwrap(), None);
    assert!(file.count("i32").is_err() && file.number("text").is_err() && file.text("u8").is_err());
}

#[test]
fn a_llama_model_gets_its_usual_names() {
    let file = llama().open().unwrap();
    let want = LlamaConfig {
        hidden_size: 8,
        intermediate_size: 12,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        num_key_value_heads: 1,
        head_dim: 4,
        vocab_size: 5,
        max_position_embeddings: 16,
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        tie_word_embeddings: true,
        bos_token_id: Some(1),
        eos_token_ids: vec![],
        rotary_order: RotaryOrder::Neighbors,
    };
    assert_eq!(llama_config(&file).unwrap(), want);
    let tree = llama_tree(&file, DType::F64, &Device::Cpu).unwrap();
    assert_eq!(tree.len(), 11);
    let up = tree.leaf("model.layers.0.mlp.up_proj.weight").unwrap();
    assert_eq!((up.dims(), up.dtype()), (&[12, 8][..], DType::F64));
    assert_eq!(up.to_vec2::<f64>().unwrap()[1][0], 3.0);
}

#[test]
fn what_a_llama_network_lacks_is_refused() {
    let refused = |maker: Maker, words: &str| {
        let file = maker.open().unwrap();
        let meta = llama_config(&file).map(drop);
        let err = meta.and_then(|()| llama_tree(&file, DType::F32, &Device::Cpu)).unwrap_err();
        assert!(err.to_string().contains(words), "{err}");
    };
    let replaced = |key: &str, kind: u32, value: Vec<u8>| {
        let mut maker = llama();
        maker.entries.retain(|(k, ..)| k != key);
        maker.entry(key, kind, value)
    };
    refused(Maker::default(), "no `general.architecture`");
    refused(replaced("general.architecture", 8, text("mamba")), "architecture `mamba`");
    refused(replaced("llama.embedding_length", 4, 9u32.to_le_bytes().into()), "do not divide");
    refused(replaced("llama.block_count", 4, 0u32.to_le_bytes().into()), "is zero");
    refused(replaced("llama.attention.head_count_kv", 4, 3u32.to_le_bytes().into()), "do not fit");
    refused(llama().count("llama.expert_count", 8), "expert_count");
    refused(llama().entry("llama.rope.scaling.type", 8, text("yarn")), "scaled rotary");
    refused(llama().floats("rope_freqs.weight", &[4]), "scaled rotary");
    for key in ["llama.rope.scale_linear", "llama.rope.scaling.factor"] {
        let with = |factor: f32| llama().entry(key, 6, factor.to_le_bytes());
        for factor in [2.0, 0.25, -1.0] {
            refused(with(factor), "scaled rotary");
        }
        for factor in [0.0, 1.0] {
            assert!(llama_config(&with(factor).open().unwrap()).is_ok(), "{key} {factor}");
        }
    }
    refused(llama().floats("blk.0.attn_strange.weight", &[4]), "`blk.0.attn_strange.weight`");
    refused(llama().count("llama.vocab_size", 6), "6");
    refused(replaced("tokenizer.ggml.bos_token_id", 4, 5u32.to_le_bytes().into()), "bos");
}

#[test]
fn a_file_that_lies_about_sizes_is_refused() {
    let ok = Maker::default().floats("w", &[4]);
    ok.open().unwrap();
    let with = |axes: &[u64], kind: u32, bytes: usize| {
        Maker::default().tensor("w", axes, kind, vec![0; bytes])
    };
    with(&[1 << 40], 0, 64).refused("past the end");
    with(&[1 << 40, 1 << 40], 0, 64).refused("impossible");
    with(&[u64::MAX], 0, 64).refused("impossible");
    with(&[0], 0, 64).refused("impossible");
    with(&[31], 2, 64).refused("impossible");
    with(&[], 0, 64).refused("0 axes");
    with(&[1, 1, 1, 1, 1], 0, 64).refused("5 axes");
    with(&[256], 10, 84).refused("Q2_K");
    with(&[1], 99, 84).refused("unknown");
    Maker::default().floats("w", &[4]).floats("w", &[4]).refused("comes twice");
    Maker::default().count("k", 1).count("k", 2).refused("comes twice");
    Maker::default().entry("k", 13, [0; 8]).refused("unknown type 13");
    Maker::default().entry("k", 7, [2]).refused("neither true nor false");
    Maker::default().entry("k", 8, [1, 0, 0, 0, 0, 0, 0, 0, 0xff]).refused("UTF-8");
    Maker::default().entry("k", 8, u64::MAX.to_le_bytes()).refused("do not fit");
    Maker::default().count("general.alignment", 3).refused("power of two");
    let mut array = 10u32.to_le_bytes().to_vec();
    array.extend((1u64 << 61).to_le_bytes());
    Maker::default().entry("k", 9, &array).refused("do not fit");
    let mut deep = Vec::new();
    for _ in 0..6 {
        deep.extend(9u32.to_le_bytes());
        deep.extend(1u64.to_le_bytes());
    }
    deep.extend([0; 16]);
    Maker::default().entry("k", 9, &deep).refused("nests more than");
    let mut bytes = ok.bytes();
    bytes[4..8].copy_from_slice(&3u32.to_be_bytes());
    let err = Gguf::from_bytes(bytes.clone()).unwrap_err();
    assert!(err.to_string().contains("big-endian"), "{err}");
    bytes[4..8].copy_from_slice(&1u32.to_le_bytes());
    let err = Gguf::from_bytes(bytes).unwrap_err();
    assert!(err.to_string().contains("version 1"), "{err}");
}

#[test]
fn tensors_that_overlap_are_refused() {
    let mut bytes = Maker::default().floats("a", &[16]).floats("b", &[16]).bytes();
    let offset = 64u64.to_le_bytes();
    let at = bytes.windows(8).position(|w| w == offset).unwrap();
    bytes[at..at + 8].copy_from_slice(&32u64.to_le_bytes());
    let err = Gguf::from_bytes(bytes).unwrap_err();
    assert!(err.to_string().contains("`a` and `b` overlap"), "{err}");
}

#[test]
fn another_alignment_is_followed() {
    let mut file = Maker { alignment: 128, ..Maker::default() }.count("general.alignment", 128);
    file = file.floats("a", &[3]).floats("b", &[2, 3]);
    let file = file.open().unwrap();
    let b = file.tensor("b", DType::F32, &Device::Cpu).unwrap().to_vec2::<f32>().unwrap();
    assert_eq!(b, [[-1.0, -0.5], [0.0, 0.5], [1.0, 1.5]]);
    assert!(file.tensor("c", DType::F32, &Device::Cpu).is_err());
}

#[test]
fn a_file_that_is_cut_gives_an_error_at_every_length() {
    let bytes = llama().bytes();
    for len in 0..bytes.len() {
        let result = Gguf::from_bytes(bytes[..len].to_vec());
        assert!(matches!(result, Err(Error::Load { .. })), "{len} of {} bytes", bytes.len());
    }
}

fn damaged_files(n: u64) {
    let block = Maker::default().tensor("q", &[256, 2], 14, vec![7; 420]);
    for bytes in [llama().bytes(), block.bytes()] {
        let refused = survive(&bytes, n, |b| {
            let Ok(file) = Gguf::from_bytes(b.to_vec()) else { return false };
            let all =
                file.tensors().keys().all(|t| file.tensor(t, DType::F32, &Device::Cpu).is_ok());
            all && llama_config(&file).is_ok()
                && llama_tree(&file, DType::F32, &Device::Cpu).is_ok()
        });
        assert!(n / 4 < refused, "{refused} of {n} refused");
    }
}

#[test]
fn damaged_files_give_errors() {
    damaged_files(2_000);
}

#[test]
#[ignore = "heavy: 100,000 mutations"]
fn many_damaged_files_give_errors() {
    damaged_files(100_000);
}
