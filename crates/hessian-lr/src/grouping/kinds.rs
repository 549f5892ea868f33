//! Kinds of parameters, told by their names.

/// Kinds by what networks of this workspace and of transformers libraries call them; the first that matches counts.
pub(super) const KINDS: [(&str, &str); 10] = [
    ("lora_a", r"(^|\.)lora_[aA](\.|$)"),
    ("lora_b", r"(^|\.)lora_[bB](\.|$)"),
    (
        "norm",
        r"(^|[._])(norm|ln|layer_?norm|rms_?norm|ln_?\d+|ln_f|norm\d+|input_layernorm|post_attention_layernorm)([._]|$)",
    ),
    ("bias", r"\.bias$"),
    (
        "embedding",
        r"(^|\.)(wte|wpe|embed_tokens|embeddings?|tok_embeddings|embed|word_embeddings|position_embeddings)(\.|$)",
    ),
    ("head", r"(^|\.)(head|lm_head|classifier|output|score)(\.|$)"),
    (
        "attention",
        r"(^|\.)(attn|attention|self_attn|c_attn|[qkvo]_proj|[qkvo]|wq|wk|wv|wo|query|key|value|qkv)(\.|$)",
    ),
    (
        "mlp",
        r"(^|\.)(mlp|ffn|feed_forward|fc\d*|c_fc|c_proj|gate_proj|up_proj|down_proj|gate|up|down|w1|w2|w3|dense|intermediate)(\.|$)",
    ),
    ("conv", r"(^|\.)conv\d*(\.|$)"),
    ("other", r""),
];
