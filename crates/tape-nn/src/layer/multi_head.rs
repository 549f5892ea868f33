//! Multi-head attention with its projections.

use candle_core::Tensor;
use candle_nn::VarBuilder;

use super::attention::Attention;
use super::linear::{Linear, linear, linear_no_bias};
use super::{Linears, positive};
use crate::context::Context;
use crate::error::{Error, Result};

/// Queries, keys and values from linear maps, [`Attention`] over heads, and a linear map of the result.
///
/// # Shapes
/// Queries `[batch, tq, width]`, keys and values `[batch, tk, width]`, the result `[batch, tq, width]`.
///
/// # Source
/// arXiv 1706.03762, section 3.2.2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MultiHeadAttention {
    projections: Projections,
    output: Linear,
    attention: Attention,
}

/// How queries, keys and values are made.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Projections {
    /// One map of three times the width: faster where all three come from one input.
    Packed(Linear),
    /// Of queries, keys and values.
    Apart(Box<[Linear; 3]>),
}

/// Settings of [`multi_head_attention`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MultiHeadConfig {
    /// Query heads; a divisor of the width.
    pub heads: usize,
    /// Key-value heads; a divisor of the query heads, and equal to them for a packed projection.
    pub kv_heads: usize,
    /// Whether a query sees only keys up to its own position.
    pub causal: bool,
    /// Whether the maps have biases.
    pub bias: bool,
    /// One map for queries, keys and values.
    pub packed: bool,
}

impl MultiHeadConfig {
    /// Bidirectional attention of so many heads, with biases and three maps.
    #[must_use]
    pub fn new(heads: usize) -> Self {
        MultiHeadConfig { heads, kv_heads: heads, causal: false, bias: true, packed: false }
    }
}

/// Attention with parameters below `vb`: `q_proj`, `k_proj`, `v_proj` and `out_proj`, or `qkv_proj` in the place of the
/// first three if packed (queries first, values last). Initialised like [`linear`].
///
/// # Errors
/// [`Error::InvalidSetting`] if heads do not divide the width or each other, or a packed projection has fewer key-value heads; if `vb`
/// has the parameters in another shape.
pub fn multi_head_attention(
    width: usize,
    config: MultiHeadConfig,
    vb: VarBuilder<'_>,
) -> Result<MultiHeadAttention> {
    positive("width and heads of attention", &[width, config.heads, config.kv_heads])?;
    let refuse = |name: &str, must, got: usize| {
        Err(Error::InvalidSetting { name: name.into(), must, got: got.to_string() })
    };
    if !width.is_multiple_of(config.heads) {
        return refuse("attention heads", "a divisor of the width", config.heads);
    }
    if config.packed && config.kv_heads != config.heads {
        let must = "as many as query heads for a packed projection";
        return refuse("key-value heads", must, config.kv_heads);
    }
    let size = width / config.heads;
    let attention = Attention::new(config.heads, config.kv_heads, size)?;
    let attention = if config.causal { attention } else { attention.bidirectional() };
    let map = |name: &str, outputs: usize| {
        let make = if config.bias { linear } else { linear_no_bias };
        make(width, outputs, vb.pp(name))
    };
    let projections = if config.packed {
        Projections::Packed(map("qkv_proj", 3 * width)?)
    } else {
        let kv_width = config.kv_heads * size;
        let maps = [map("q_proj", width)?, map("k_proj", kv_width)?, map("v_proj", kv_width)?];
        Projections::Apart(Box::new(maps))
    };
    Ok(MultiHeadAttention { projections, output: map("out_proj", width)?, attention })
}

impl MultiHeadAttention {
    /// Attention of a sequence over itself.
    ///
    /// # Errors
    /// [`Error::InputShape`]; if a parameter is missing.
    pub fn forward(&self, cx: &Context<'_>, x: &Tensor) -> Result<Tensor> {
        let mixed = match &self.projections {
            Projections::Packed(qkv) => self.attention.packed(&qkv.forward(cx, x)?)?,
            Projections::Apart(maps) => {
                let [query, key, value] = &**maps;
                let (q, k) = (query.forward(cx, x)?, key.forward(cx, x)?);
                self.attention.forward(&q, &k, &value.forward(cx, x)?)?
            }
        };
        self.output.forward(cx, &mixed)
    }

    /// Attention of `queries` over `keys` and `values` of another sequence, of which sample `i` has `lengths[i]` positions
    /// and the rest is padding; all are seen if `None`.
    ///
    /// # Errors
    /// As [`MultiHeadAttention::forward`]; [`Error::InvalidSetting`] for a packed projection, [`Error::OutOfRange`] for a length
    /// above the number of keys.
    pub fn forward_over(
        &self,
        cx: &Context<'_>,
        queries: &Tensor,
        keys: &Tensor,
        values: &Tensor,
        lengths: Option<&[usize]>,
    ) -> Result<Tensor> {
        let Projections::Apart(maps) = &self.projections else {
            return Err(Error::InvalidSetting {
                name: "projections of attention over another sequence".into(),
                must: "three maps",
                got: "one packed map".into(),
            });
        };
        let [query, key, value] = &**maps;
        let (q, k, v) =
            (query.forward(cx, queries)?, key.forward(cx, keys)?, value.forward(cx, values)?);
        let mixed = match lengths {
            Some(lengths) => self.attention.forward_padded(&q, &k, &v, lengths)?,
            None => self.attention.forward(&q, &k, &v)?,
        };
        self.output.forward(cx, &mixed)
    }

    /// Heads and masks.
    #[must_use]
    pub fn attention(&self) -> &Attention {
        &self.attention
    }
}

impl Linears for MultiHeadAttention {
    fn linears_mut(&mut self, f: &mut dyn FnMut(&mut Linear)) {
        match &mut self.projections {
            Projections::Packed(qkv) => f(qkv),
            Projections::Apart(maps) => maps.iter_mut().for_each(&mut *f),
        }
        f(&mut self.output);
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};
    use tensor_tree::{Key, Tree};

    use super::*;
    use crate::Builder;
    use crate::testing::{assert_close, normal};

    fn build(config: MultiHeadConfig) -> Result<(MultiHeadAttention, Tree)> {
        let builder = Builder::init(Key::from_seed(1), DType::F64, &Device::Cpu);
        let net = multi_head_attention(6, config, builder.vb())?;
        Ok((net, builder.into_tree()?))
    }

    /// Softmax attention written out for one head after the other.
    fn reference(params: &Tree, x: &Tensor, y: &Tensor, heads: usize, causal: bool) -> Tensor {
        let map = |name: &str, x: &Tensor| {
            let leaf = |end: &str| params.get(&format!("{name}.{end}")).unwrap().clone();
            let w = leaf("weight").t().unwrap();
            x.broadcast_matmul(&w).unwrap().broadcast_add(&leaf("bias")).unwrap()
        };
        let (q, k, v) = (map("q_proj", x), map("k_proj", y), map("v_proj", y));
        let size = 6 / heads;
        let mixed: Vec<Tensor> = (0..heads)
            .map(|h| {
                let part = |t: &Tensor| t.narrow(2, h * size, size).unwrap().contiguous().unwrap();
                let scores = part(&q).matmul(&part(&k).transpose(1, 2).unwrap()).unwrap();
                let mut scores = (scores / (size as f64).sqrt()).unwrap();
                if causal {
                    let t = x.dims()[1];
                    let mask: Vec<f64> = (0..t * t)
                        .map(|i| if i % t <= i / t { 0.0 } else { f64::NEG_INFINITY })
                        .collect();
                    let mask = Tensor::from_vec(mask, (t, t), &Device::Cpu).unwrap();
                    scores = scores.broadcast_add(&mask).unwrap();
                }
                let probs = candle_nn::ops::softmax(&scores, 2).unwrap();
                probs.matmul(&part(&v)).unwrap()
            })
            .collect();
        map("out_proj", &Tensor::cat(&mixed, 2).unwrap())
    }

    #[test]
    fn heads_are_those_of_the_formula_within_and_across_sequences() {
        let (x, y) = (normal(&[2, 4, 6], 1), normal(&[2, 7, 6], 2));
        let none = Tree::new();
        for (heads, causal) in [(1, false), (2, true), (3, false)] {
            let config = MultiHeadConfig { causal, ..MultiHeadConfig::new(heads) };
            let (net, params) = build(config).unwrap();
            let cx = Context::eval(&params, &none);
            let got = net.forward(&cx, &x).unwrap();
            assert_close(&got, &reference(&params, &x, &x, heads, causal), 1e-12, "self");
            if !causal {
                let got = net.forward_over(&cx, &x, &y, &y, None).unwrap();
                assert_close(&got, &reference(&params, &x, &y, heads, false), 1e-12, "cross");
                // Two samples whose last keys are padding.
                let got = net.forward_over(&cx, &x, &y, &y, Some(&[5, 5])).unwrap();
                let short = y.narrow(1, 0, 5).unwrap();
                assert_close(&got, &reference(&params, &x, &short, heads, false), 1e-12, "padded");
            }
        }
    }

    #[test]
    fn one_packed_map_is_three_maps_side_by_side() {
        let (x, none) = (normal(&[2, 4, 6], 1), Tree::new());
        let (apart, params) = build(MultiHeadConfig::new(2)).unwrap();
        let config = MultiHeadConfig { packed: true, ..MultiHeadConfig::new(2) };
        let (packed, _) = build(config).unwrap();
        let mut together = Tree::new();
        for end in ["weight", "bias"] {
            let leaf = |name: &str| params.get(&format!("{name}.{end}")).unwrap();
            let all = [leaf("q_proj"), leaf("k_proj"), leaf("v_proj")];
            together.insert(format!("qkv_proj.{end}"), Tensor::cat(&all, 0).unwrap()).unwrap();
            together.insert(format!("out_proj.{end}"), leaf("out_proj").clone()).unwrap();
        }
        let want = apart.forward(&Context::eval(&params, &none), &x).unwrap();
        let cx = Context::eval(&together, &none);
        assert_close(&packed.forward(&cx, &x).unwrap(), &want, 1e-12, "packed");
        let over = packed.forward_over(&cx, &x, &x, &x, None);
        assert!(matches!(over, Err(Error::InvalidSetting { .. })));
    }

    #[test]
    fn heads_that_do_not_fit_are_refused() {
        for config in [
            MultiHeadConfig::new(0),
            MultiHeadConfig::new(4),
            MultiHeadConfig { kv_heads: 2, ..MultiHeadConfig::new(3) },
            MultiHeadConfig { kv_heads: 1, packed: true, ..MultiHeadConfig::new(3) },
        ] {
            assert!(matches!(build(config), Err(Error::InvalidSetting { .. })), "{config:?}");
        }
    }
}
