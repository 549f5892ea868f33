//! GPT-2's transformer.

use candle_core::Tensor;
use candle_nn::{Init, VarBuilder};

use super::language::{batch_and_length, check_sizes, normal_linear};
use super::{Cache, LanguageModel};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::kernel::activation::Activation;
use crate::layer::{
    Attention, Dropout, Embedding, LayerNorm, Linear, Linears, PositionTable, layer_norm,
};
use crate::param::Param;

/// Sizes of a [`Gpt`].
#[derive(Clone, Debug, PartialEq)]
pub struct GptConfig {
    /// Number of tokens.
    pub vocab_size: usize,
    /// Most positions of a text (`n_positions`).
    pub positions: usize,
    /// Width of the stream (`n_embd`).
    pub width: usize,
    /// Number of blocks (`n_layer`).
    pub n_blocks: usize,
    /// Attention heads of each block (`n_head`).
    pub n_heads: usize,
    /// Epsilon of the norms.
    pub norm_eps: f64,
    /// Whether the head is the token table, as in GPT-2.
    pub tied: bool,
    /// Rate of dropout behind the embedding and each half of a block (`resid_pdrop`, `embd_pdrop`).
    pub dropout: f64,
}

impl GptConfig {
    /// A model of the given sizes with its own head, GPT-2's epsilon and no dropout.
    #[must_use]
    pub fn new(
        vocab_size: usize,
        positions: usize,
        width: usize,
        n_blocks: usize,
        n_heads: usize,
    ) -> Self {
        let (norm_eps, tied, dropout) = (1e-5, false, 0.0);
        GptConfig { vocab_size, positions, width, n_blocks, n_heads, norm_eps, tied, dropout }
    }
}

/// A transformer with learned positions, norms in front of each half block, and GELU (tanh form).
///
/// Parameters have GPT-2's names: `wte.weight`, `wpe.weight`, `h.N.ln_1`, `h.N.attn.c_attn` (queries, keys and
/// values side by side), `h.N.attn.c_proj`, `h.N.ln_2`, `h.N.mlp.c_fc`, `h.N.mlp.c_proj`, `ln_f`, and
/// `lm_head.weight` unless tied.
///
/// Weights of linear maps are `[outputs, inputs]` as everywhere in this crate. GPT-2's own files store them
/// the other way round (its `Conv1D`): transpose `c_attn`, `c_proj` and `c_fc` weights on import.
///
/// # Source
/// GPT-2 (Radford et al. 2019) and its initialisation: normals of deviation 0.02, divided by the root of the
/// number of half blocks for the maps that add to the stream.
///
/// # Examples
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use tape_nn::net::{Gpt, GptConfig, LanguageModel};
/// use tape_nn::{Builder, Context};
/// use tensor_tree::{Key, Tree};
///
/// let builder = Builder::init(Key::from_seed(1), DType::F32, &Device::Cpu);
/// let model = Gpt::new(&GptConfig::new(50, 16, 8, 2, 2), builder.vb())?;
/// let (params, frozen) = (builder.into_tree()?, Tree::new());
/// let ids = Tensor::new(&[[1u32, 7, 3]], &Device::Cpu)?;
/// let logits = model.logits(&Context::eval(&params, &frozen), &ids)?;
/// assert_eq!(logits.dims(), [1, 3, 50]);
/// # Ok::<(), tape_nn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Gpt {
    tokens: Embedding,
    positions: PositionTable,
    dropout: Dropout,
    blocks: Vec<Block>,
    norm: LayerNorm,
    head: Linear,
    tied: bool,
}

#[derive(Clone, Debug)]
struct Block {
    attention_norm: LayerNorm,
    qkv: Linear,
    attention: Attention,
    attention_out: Linear,
    attention_dropout: Dropout,
    mlp_norm: LayerNorm,
    mlp_in: Linear,
    mlp_out: Linear,
    mlp_dropout: Dropout,
}

impl Gpt {
    /// A model with its parameters below `vb`.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for sizes that do not fit each other; if `vb` has a parameter in another shape.
    pub fn new(config: &GptConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let c = config;
        check_sizes(&[
            ("vocabulary size", c.vocab_size),
            ("positions", c.positions),
            ("width", c.width),
            ("blocks", c.n_blocks),
            ("heads", c.n_heads),
        ])?;
        if !c.width.is_multiple_of(c.n_heads) {
            let must = "a divisor of the width";
            let got = c.n_heads.to_string();
            return Err(Error::InvalidSetting { name: "heads".into(), must, got });
        }
        let table = |name: &str, rows: usize, stdev: f64| {
            let init = Init::Randn { mean: 0.0, stdev };
            Param::new(&vb.pp(name), "weight", &[rows, c.width], init)
        };
        let wte = table("wte", c.vocab_size, 0.02)?;
        let head = if c.tied { wte.clone() } else { table("lm_head", c.vocab_size, 0.02)? };
        let blocks = (0..c.n_blocks).map(|i| Block::new(c, vb.pp("h").pp(i), i));
        Ok(Gpt {
            tokens: Embedding::new(wte),
            positions: PositionTable::new(table("wpe", c.positions, 0.02)?),
            dropout: Dropout::new("drop", c.dropout)?,
            blocks: blocks.collect::<Result<_>>()?,
            norm: layer_norm(c.width, c.norm_eps, vb.pp("ln_f"))?,
            head: Linear::new(head, None),
            tied: c.tied,
        })
    }
}

impl Block {
    fn new(c: &GptConfig, vb: VarBuilder<'_>, i: usize) -> Result<Block> {
        let d = c.width;
        let std = 0.02;
        let small = std / (2.0 * c.n_blocks as f64).sqrt();
        let linear = |name, sizes, std| normal_linear(sizes, true, std, &vb.pp(name));
        Ok(Block {
            attention_norm: layer_norm(d, c.norm_eps, vb.pp("ln_1"))?,
            qkv: linear("attn.c_attn", (d, 3 * d), std)?,
            attention: Attention::new(c.n_heads, c.n_heads, d / c.n_heads)?,
            attention_out: linear("attn.c_proj", (d, d), small)?,
            attention_dropout: Dropout::new(format!("h.{i}.attn.resid_dropout"), c.dropout)?,
            mlp_norm: layer_norm(d, c.norm_eps, vb.pp("ln_2"))?,
            mlp_in: linear("mlp.c_fc", (d, 4 * d), std)?,
            mlp_out: linear("mlp.c_proj", (4 * d, d), small)?,
            mlp_dropout: Dropout::new(format!("h.{i}.mlp.dropout"), c.dropout)?,
        })
    }

    fn forward(
        &self,
        cx: &Context<'_>,
        x: &Tensor,
        cache: Option<(&mut Cache, usize)>,
    ) -> Result<Tensor> {
        let qkv = self.qkv.forward(cx, &self.attention_norm.forward(cx, x)?)?;
        let mixed = match cache {
            None => self.attention.packed(&qkv)?,
            Some((cache, block)) => {
                let width = self.attention_out.inputs();
                let part = |i: usize| qkv.narrow(2, i * width, width);
                let (k, v) = cache.extend(block, &part(1)?, &part(2)?)?;
                self.attention.forward(&part(0)?, &k, &v)?
            }
        };
        let mixed = self.attention_out.forward(cx, &mixed)?;
        let x = (x + self.attention_dropout.forward(cx, &mixed)?)?;
        let inner = self.mlp_norm.forward(cx, &x)?;
        let inner = self.mlp_in.forward_then(cx, &inner, Activation::GeluTanh)?;
        let added = self.mlp_dropout.forward(cx, &self.mlp_out.forward(cx, &inner)?)?;
        Ok((x + added)?)
    }
}

impl Linears for Gpt {
    /// All linear maps, block by block; the head only if it is not tied, since what is added to a tied head
    /// would also be added to the token table.
    fn linears_mut(&mut self, f: &mut dyn FnMut(&mut Linear)) {
        for block in &mut self.blocks {
            f(&mut block.qkv);
            f(&mut block.attention_out);
            f(&mut block.mlp_in);
            f(&mut block.mlp_out);
        }
        if !self.tied {
            f(&mut self.head);
        }
    }
}

impl LanguageModel for Gpt {
    fn vocab_size(&self) -> usize {
        self.head.outputs()
    }

    fn positions(&self) -> usize {
        self.positions.table().shape()[0]
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
        batch_and_length("GPT", ids)?;
        let offset = cache.as_ref().map_or(0, |cache| cache.len());
        let x = self.positions.forward(cx, &self.tokens.forward(cx, ids)?, offset)?;
        let mut x = self.dropout.forward(cx, &x)?;
        for (i, block) in self.blocks.iter().take(n_blocks).enumerate() {
            x = block.forward(cx, &x, cache.as_deref_mut().map(|cache| (cache, i)))?;
        }
        Ok(x)
    }

    fn last_norm(&self, cx: &Context<'_>, stream: &Tensor) -> Result<Tensor> {
        self.norm.forward(cx, stream)
    }
}
