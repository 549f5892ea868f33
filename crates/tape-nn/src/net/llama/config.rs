//! Sizes of a Llama, as Hugging Face's `config.json` has them.

use serde::Deserialize;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::layer::RotaryOrder;
use crate::net::language::check_sizes;

/// Sizes and settings of a [`super::Llama`]; fields are named as in Hugging Face's `config.json`.
#[derive(Clone, Debug, PartialEq)]
pub struct LlamaConfig {
    /// Width of the stream.
    pub hidden_size: usize,
    /// Width inside the feed-forward layers.
    pub intermediate_size: usize,
    /// Number of blocks.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key-value heads, a divisor of the query heads.
    pub num_key_value_heads: usize,
    /// Size of each head, even.
    pub head_dim: usize,
    /// Number of tokens.
    pub vocab_size: usize,
    /// Most positions of a text.
    pub max_position_embeddings: usize,
    /// Epsilon of the norms.
    pub rms_norm_eps: f64,
    /// Base of the rotary embedding.
    pub rope_theta: f64,
    /// Whether the head is the token table.
    pub tie_word_embeddings: bool,
    /// Token in front of a text.
    pub bos_token_id: Option<u32>,
    /// Tokens that end a text.
    pub eos_token_ids: Vec<u32>,
    /// Which elements of a head are turned together. No key of `config.json` has it: [`RotaryOrder::Halves`]
    /// belongs to safetensors, [`RotaryOrder::Neighbors`] to GGUF.
    pub rotary_order: RotaryOrder,
}

#[derive(Deserialize)]
struct Raw {
    model_type: Option<String>,
    hidden_size: Option<usize>,
    intermediate_size: Option<usize>,
    num_hidden_layers: Option<usize>,
    num_attention_heads: Option<usize>,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    vocab_size: Option<usize>,
    max_position_embeddings: Option<usize>,
    rms_norm_eps: Option<f64>,
    rope_theta: Option<f64>,
    rope_scaling: Option<Value>,
    rope_parameters: Option<Value>,
    hidden_act: Option<String>,
    attention_bias: Option<bool>,
    mlp_bias: Option<bool>,
    tie_word_embeddings: Option<bool>,
    bos_token_id: Option<u32>,
    eos_token_id: Option<Ids>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Ids {
    One(u32),
    Many(Vec<u32>),
}

fn refuse(reason: impl Into<String>) -> Error {
    Error::Load { what: "Llama configuration", path: None, reason: reason.into() }
}

impl LlamaConfig {
    /// Reads the text of a `config.json`.
    ///
    /// Keys that this crate does not know are passed over, since the format is not ours. Where a key is absent,
    /// `num_key_value_heads` is the number of heads, `head_dim` the width divided by it, `rope_theta` 10000,
    /// `hidden_act` `silu`, and `tie_word_embeddings` false, as in Hugging Face's code; the others must be there.
    ///
    /// # Errors
    /// [`Error::Load`] for text that is no such JSON, an absent key, or a setting that would change the results and
    /// is not supported (another model type or activation, biases, scaled rotary embedding);
    /// [`Error::InvalidSetting`] as [`LlamaConfig::check`].
    pub fn from_json(text: &str) -> Result<Self> {
        let raw: Raw = serde_json::from_str(text).map_err(|e| refuse(e.to_string()))?;
        let need = |key: &str, value: Option<usize>| {
            value.ok_or_else(|| refuse(format!("`{key}` is missing")))
        };
        if let Some(other) = raw.model_type.as_deref().filter(|t| *t != "llama") {
            return Err(refuse(format!("`model_type` is `{other}`, expected `llama`")));
        }
        if let Some(other) = raw.hidden_act.as_deref().filter(|act| *act != "silu") {
            return Err(refuse(format!("`hidden_act` is `{other}`, expected `silu`")));
        }
        for (key, value) in [("attention_bias", raw.attention_bias), ("mlp_bias", raw.mlp_bias)] {
            if value == Some(true) {
                return Err(refuse(format!("`{key}` is true, which is not supported")));
            }
        }
        let nested_theta = match &raw.rope_parameters {
            Some(parameters) => parameters.get("rope_theta").and_then(Value::as_f64),
            None => None,
        };
        let rotary =
            [("rope_scaling", &raw.rope_scaling), ("rope_parameters", &raw.rope_parameters)];
        for (key, value) in rotary {
            let Some(value) = value else { continue };
            let kind = value.get("rope_type").or_else(|| value.get("type"));
            let scaled = match kind {
                Some(kind) => kind.as_str() != Some("default"),
                None => key == "rope_scaling",
            };
            if scaled {
                return Err(refuse(format!("`{key}` scales positions, which is not supported")));
            }
        }
        if let (Some(a), Some(b)) = (raw.rope_theta, nested_theta)
            && a.to_bits() != b.to_bits()
        {
            return Err(refuse(format!("`rope_theta` is both {a} and {b}")));
        }
        let hidden_size = need("hidden_size", raw.hidden_size)?;
        let heads = need("num_attention_heads", raw.num_attention_heads)?;
        let head_dim = match raw.head_dim {
            Some(head_dim) => head_dim,
            None if 0 < heads && hidden_size.is_multiple_of(heads) => hidden_size / heads,
            None => {
                return Err(refuse(format!(
                    "`head_dim` is missing and `hidden_size` {hidden_size} is no multiple of \
                     `num_attention_heads` {heads}"
                )));
            }
        };
        let config = LlamaConfig {
            hidden_size,
            intermediate_size: need("intermediate_size", raw.intermediate_size)?,
            num_hidden_layers: need("num_hidden_layers", raw.num_hidden_layers)?,
            num_attention_heads: heads,
            num_key_value_heads: raw.num_key_value_heads.unwrap_or(heads),
            head_dim,
            vocab_size: need("vocab_size", raw.vocab_size)?,
            max_position_embeddings: need("max_position_embeddings", raw.max_position_embeddings)?,
            rms_norm_eps: raw.rms_norm_eps.ok_or_else(|| refuse("`rms_norm_eps` is missing"))?,
            rope_theta: raw.rope_theta.or(nested_theta).unwrap_or(10_000.0),
            tie_word_embeddings: raw.tie_word_embeddings.unwrap_or(false),
            bos_token_id: raw.bos_token_id,
            eos_token_ids: match raw.eos_token_id {
                None => Vec::new(),
                Some(Ids::One(id)) => vec![id],
                Some(Ids::Many(ids)) => ids,
            },
            rotary_order: RotaryOrder::Halves,
        };
        config.check()?;
        Ok(config)
    }

    /// The settings as a `config.json` of Hugging Face, which [`LlamaConfig::from_json`] reads as the same but for the rotary order: no key
    /// has it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut json = serde_json::json!({
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_act": "silu",
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.num_hidden_layers,
            "num_attention_heads": self.num_attention_heads,
            "num_key_value_heads": self.num_key_value_heads,
            "head_dim": self.head_dim,
            "vocab_size": self.vocab_size,
            "max_position_embeddings": self.max_position_embeddings,
            "rms_norm_eps": self.rms_norm_eps,
            "rope_theta": self.rope_theta,
            "tie_word_embeddings": self.tie_word_embeddings,
            "attention_bias": false,
            "mlp_bias": false,
        });
        if let Some(id) = self.bos_token_id {
            json["bos_token_id"] = id.into();
        }
        match self.eos_token_ids.as_slice() {
            [] => {}
            [id] => json["eos_token_id"] = (*id).into(),
            ids => json["eos_token_id"] = ids.into(),
        }
        json
    }

    /// Whether the sizes fit each other.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] names the first that does not.
    pub fn check(&self) -> Result<()> {
        check_sizes(&[
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("num_key_value_heads", self.num_key_value_heads),
            ("head_dim", self.head_dim),
            ("vocab_size", self.vocab_size),
            ("max_position_embeddings", self.max_position_embeddings),
        ])?;
        let invalid = |name: &str, must, got: String| {
            Err(Error::InvalidSetting { name: name.into(), must, got })
        };
        if !self.num_attention_heads.is_multiple_of(self.num_key_value_heads) {
            let must = "a divisor of num_attention_heads";
            return invalid("num_key_value_heads", must, self.num_key_value_heads.to_string());
        }
        if !self.head_dim.is_multiple_of(2) {
            return invalid("head_dim", "even", self.head_dim.to_string());
        }
        if !self.rms_norm_eps.is_finite() || self.rms_norm_eps < 0.0 {
            return invalid(
                "rms_norm_eps",
                "finite and not negative",
                self.rms_norm_eps.to_string(),
            );
        }
        if !self.rope_theta.is_finite() || self.rope_theta <= 1.0 {
            return invalid("rope_theta", "finite and above 1", self.rope_theta.to_string());
        }
        let vocab = self.vocab_size as u64;
        let ids = self.bos_token_id.iter().chain(&self.eos_token_ids);
        match ids.copied().find(|id| vocab <= u64::from(*id)) {
            Some(id) => invalid("bos and eos token ids", "below vocab_size", id.to_string()),
            None => Ok(()),
        }
    }
}
