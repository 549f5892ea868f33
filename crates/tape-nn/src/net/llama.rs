//! The Llama family.

mod config;

pub use config::LlamaConfig;

use candle_core::Tensor;
use candle_nn::{Init, VarBuilder};

use super::language::{batch_and_length, normal_linear};
use super::{Cache, LanguageModel};
use crate::context::Context;
use crate::error::Result;
use crate::layer::{
    Attention, Embedding, Linear, Linears, RmsNorm, Rotary, Turn, rms_norm, swiglu,
};
use crate::param::Param;

/// A transformer with rotary positions, grouped heads, root-mean-square norms and gated feed-forward layers.
///
/// Parameters have Hugging Face's names: `model.embed_tokens.weight`,
/// `model.layers.N.self_attn.{q,k,v,o}_proj.weight`, `model.layers.N.mlp.{gate,up,down}_proj.weight`,
/// `model.layers.N.input_layernorm.weight`, `model.layers.N.post_attention_layernorm.weight`,
/// `model.norm.weight`, and `lm_head.weight` unless tied.
///
/// The rows of query and key weights depend on [`LlamaConfig::rotary_order`]: weights in safetensors pair halves,
/// weights in GGUF files pair neighbors.
///
/// # Source
/// arXiv 2302.13971 and 2307.09288.
///
/// # Examples
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use tape_nn::Builder;
/// use tape_nn::net::{LanguageModel, Llama, LlamaConfig};
/// use tensor_tree::{Key, Tree};
///
/// let config = LlamaConfig::from_json(
///     r#"{"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
///         "num_key_value_heads": 2, "vocab_size": 50, "max_position_embeddings": 32, "rms_norm_eps": 1e-5}"#,
/// )?;
/// let builder = Builder::init(Key::from_seed(1), DType::F32, &Device::Cpu);
/// let model = Llama::new(&config, builder.vb())?;
/// let (params, frozen) = (builder.into_tree()?, Tree::new());
///
/// let mut cache = model.cache();
/// let prompt = Tensor::new(&[[1u32, 7, 3]], &Device::Cpu)?;
/// model.step(&params, &frozen, &prompt, &mut cache)?;
/// let logits = model.step(&params, &frozen, &Tensor::new(&[[9u32]], &Device::Cpu)?, &mut cache)?;
/// assert_eq!((logits.dims(), cache.len()), (&[1, 50][..], 4));
/// # Ok::<(), tape_nn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Llama {
    tokens: Embedding,
    blocks: Vec<Block>,
    rotary: Rotary,
    norm: RmsNorm,
    head: Linear,
    positions: usize,
    tied: bool,
}

#[derive(Clone, Debug)]
struct Block {
    attention_norm: RmsNorm,
    q: Linear,
    k: Linear,
    v: Linear,
    out: Linear,
    attention: Attention,
    mlp_norm: RmsNorm,
    gate: Linear,
    up: Linear,
    down: Linear,
}

/// Deviation of initial weights, Hugging Face's `initializer_range`.
const STD: f64 = 0.02;

impl Llama {
    /// A model with its parameters below `vb`.
    ///
    /// # Errors
    /// As [`LlamaConfig::check`]; if `vb` has a parameter in another shape.
    pub fn new(config: &LlamaConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let c = config;
        c.check()?;
        let table = |vb: VarBuilder<'_>| {
            let init = Init::Randn { mean: 0.0, stdev: STD };
            Param::new(&vb, "weight", &[c.vocab_size, c.hidden_size], init)
        };
        let model = vb.pp("model");
        let tokens = table(model.pp("embed_tokens"))?;
        let tied = c.tie_word_embeddings;
        let head = if tied { tokens.clone() } else { table(vb.pp("lm_head"))? };
        let blocks = (0..c.num_hidden_layers).map(|i| Block::new(c, &model.pp("layers").pp(i)));
        Ok(Llama {
            tokens: Embedding::new(tokens),
            blocks: blocks.collect::<Result<_>>()?,
            rotary: Rotary::new(
                c.head_dim,
                c.max_position_embeddings,
                c.rope_theta,
                c.rotary_order,
            )?,
            norm: rms_norm(c.hidden_size, c.rms_norm_eps, model.pp("norm"))?,
            head: Linear::new(head, None),
            positions: c.max_position_embeddings,
            tied,
        })
    }
}

impl Block {
    fn new(c: &LlamaConfig, vb: &VarBuilder<'_>) -> Result<Block> {
        let (d, inner) = (c.hidden_size, c.intermediate_size);
        let (q, kv) = (c.num_attention_heads * c.head_dim, c.num_key_value_heads * c.head_dim);
        let linear = |name, sizes| normal_linear(sizes, false, STD, &vb.pp(name));
        let norm = |name| rms_norm(d, c.rms_norm_eps, vb.pp(name));
        Ok(Block {
            attention_norm: norm("input_layernorm")?,
            q: linear("self_attn.q_proj", (d, q))?,
            k: linear("self_attn.k_proj", (d, kv))?,
            v: linear("self_attn.v_proj", (d, kv))?,
            out: linear("self_attn.o_proj", (q, d))?,
            attention: Attention::new(c.num_attention_heads, c.num_key_value_heads, c.head_dim)?,
            mlp_norm: norm("post_attention_layernorm")?,
            gate: linear("mlp.gate_proj", (d, inner))?,
            up: linear("mlp.up_proj", (d, inner))?,
            down: linear("mlp.down_proj", (inner, d))?,
        })
    }

    fn forward(
        &self,
        cx: &Context<'_>,
        x: &Tensor,
        turn: &Turn,
        cache: Option<(&mut Cache, usize)>,
    ) -> Result<Tensor> {
        let normed = self.attention_norm.forward(cx, x)?;
        let q = turn.forward(&self.q.forward(cx, &normed)?)?;
        let mut k = turn.forward(&self.k.forward(cx, &normed)?)?;
        let mut v = self.v.forward(cx, &normed)?;
        if let Some((cache, block)) = cache {
            (k, v) = cache.extend(block, &k, &v)?;
        }
        let x = (x + self.out.forward(cx, &self.attention.forward(&q, &k, &v)?)?)?;
        let normed = self.mlp_norm.forward(cx, &x)?;
        let inner = swiglu(&self.gate.forward(cx, &normed)?, &self.up.forward(cx, &normed)?)?;
        Ok((x + self.down.forward(cx, &inner)?)?)
    }
}

impl Linears for Llama {
    /// All linear maps, block by block; the head only if it is not tied, since what is added to a tied head
    /// would also be added to the token table.
    fn linears_mut(&mut self, f: &mut dyn FnMut(&mut Linear)) {
        for b in &mut self.blocks {
            let layers =
                [&mut b.q, &mut b.k, &mut b.v, &mut b.out, &mut b.gate, &mut b.up, &mut b.down];
            layers.into_iter().for_each(&mut *f);
        }
        if !self.tied {
            f(&mut self.head);
        }
    }
}

impl LanguageModel for Llama {
    fn vocab_size(&self) -> usize {
        self.head.outputs()
    }

    fn positions(&self) -> usize {
        self.positions
    }

    fn n_blocks(&self) -> usize {
        self.blocks.len()
    }

    fn head(&self) -> &Linear {
        &self.head
    }

    fn stream(
        &self,
        cx: &Context<'_>,
        ids: &Tensor,
        n_blocks: usize,
        mut cache: Option<&mut Cache>,
    ) -> Result<Tensor> {
        let (_, t) = batch_and_length("Llama", ids)?;
        let offset = cache.as_ref().map_or(0, |cache| cache.len());
        let turn = self.rotary.turn(offset, t)?;
        let mut x = self.tokens.forward(cx, ids)?;
        for (i, block) in self.blocks.iter().take(n_blocks).enumerate() {
            x = block.forward(cx, &x, &turn, cache.as_deref_mut().map(|cache| (cache, i)))?;
        }
        Ok(x)
    }

    fn last_norm(&self, cx: &Context<'_>, stream: &Tensor) -> Result<Tensor> {
        self.norm.forward(cx, stream)
    }
}

#[cfg(test)]
mod tests;
