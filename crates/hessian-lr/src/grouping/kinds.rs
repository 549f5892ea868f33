//! Kinds of parameters, told by their names.

/// Kinds by what networks of this workspace and of transformers libraries call them; the first that matches counts.
pub(super) const KINDS: [(&str, &str); 10] = [
    ("lora_a", r"(^|\.)lora_[aA](\.|$)"),
    ("lora_b", r"(^|\.)lora_[bB](\.|$)"),
    (
        "norm",
        r"(?i)(^|[._])(norm|ln|layer_?norm|rms_?norm|batch_?norm|group_?norm|bn|ln_?\d+|bn_?\d+|ln_f|norm_?\d+|input_layernorm|post_attention_layernorm|layernorm_(before|after))([._]|$)",
    ),
    ("bias", r"\.bias$"),
    (
        "embedding",
        r"(^|\.)(wte|wpe|embed_tokens|embeddings?|tok_embeddings|embed|word_embeddings|position_embeddings|token_type_embeddings|patch_embeddings?|patch_embed|cls_token|pos_embed)(\.|$)",
    ),
    // What is called `output` inside a block is a projection; only at the top it is the head.
    ("head", r"(^|\.)(head|lm_head|classifier|score|cls)(\.|$)|^output(\.|$)"),
    (
        "attention",
        r"(^|\.)(attn|attention|self_attn|self_attention|c_attn|[qkvo]_proj|[qkvo]|wq|wk|wv|wo|query|key|value|qkv|query_key_value|in_proj_weight|out_proj|[qkv]_lin|out_lin)(\.|$)",
    ),
    (
        "mlp",
        r"(^|\.)(mlp|ffn|feed_forward|fc\d*|c_fc|c_proj|gate_proj|up_proj|down_proj|gate|up|down|w1|w2|w3|dense|intermediate|output|dense_h_to_4h|dense_4h_to_h|lin\d|linear\d*)(\.|$)",
    ),
    ("conv", r"(^|\.)conv\d*(\.|$)"),
    ("other", r""),
];
