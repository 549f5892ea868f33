//! Networks of tape-nn, by their parameters.

use candle_core::{DType, Device};
use tape_nn::net::{Cnn, CnnConfig, Gpt, GptConfig, Llama, LlamaConfig, Mlp};
use tape_nn::{Activation, Builder, Linears, LoraConfig, RotaryOrder, lora};
use tensor_tree::{Key, Tree};

/// The parameters of a network, with those of adapters on all its linear layers if wanted.
fn params<M: Linears>(adapted: bool, build: impl Fn(&Builder) -> M) -> Tree {
    let builder = Builder::init(Key::from_seed(1), DType::F32, &Device::Cpu);
    let mut model = build(&builder);
    let base = builder.into_tree().unwrap();
    if !adapted {
        return base;
    }
    let config = LoraConfig { rank: 2, ..LoraConfig::for_layers(["*"]) };
    let key = Key::from_seed(2);
    let adapters = lora::attach(&mut model, &config, key, DType::F32, &Device::Cpu).unwrap();
    base.union(&adapters).unwrap()
}

pub(crate) fn mlp(adapted: bool) -> Tree {
    params(adapted, |b| Mlp::new(&[4, 6, 3], Activation::Relu, b.vb()).unwrap())
}

pub(crate) fn cnn(adapted: bool) -> Tree {
    let config = CnnConfig {
        size: (8, 8),
        channels: vec![4, 4],
        groups: 2,
        hidden: 6,
        ..CnnConfig::default()
    };
    params(adapted, |b| Cnn::new(config.clone(), b.vb()).unwrap())
}

pub(crate) fn gpt(n_blocks: usize, width: usize, adapted: bool) -> Tree {
    let config = GptConfig::new(11, 8, width, n_blocks, 2);
    params(adapted, |b| Gpt::new(&config, b.vb()).unwrap())
}

pub(crate) fn llama(adapted: bool) -> Tree {
    let config = LlamaConfig {
        hidden_size: 8,
        intermediate_size: 12,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        num_key_value_heads: 1,
        head_dim: 4,
        vocab_size: 11,
        max_position_embeddings: 8,
        rms_norm_eps: 1e-5,
        rope_theta: 100.0,
        tie_word_embeddings: false,
        bos_token_id: None,
        eos_token_ids: vec![],
        rotary_order: RotaryOrder::Halves,
    };
    params(adapted, |b| Llama::new(&config, b.vb()).unwrap())
}

/// All of them.
pub(crate) fn all() -> Vec<(&'static str, Tree)> {
    [false, true]
        .into_iter()
        .flat_map(|adapted| {
            [
                ("mlp", mlp(adapted)),
                ("cnn", cnn(adapted)),
                ("gpt", gpt(2, 8, adapted)),
                ("llama", llama(adapted)),
            ]
        })
        .collect()
}

/// Names and sizes.
pub(crate) fn sizes(params: &Tree) -> Vec<(&str, u64)> {
    params.iter().map(|(name, leaf)| (name, leaf.elem_count() as u64)).collect()
}
