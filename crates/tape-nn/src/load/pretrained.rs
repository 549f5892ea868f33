//! Whole models from where they lie.

use std::path::Path;

use candle_core::{DType, Device};
use tensor_tree::Tree;

use super::{broken, gguf, in_file, llama2c, read_file, safetensors};
use crate::error::Result;
use crate::net::{Llama, LlamaConfig};
use crate::param::Builder;

const WHAT: &str = "model";

/// A Llama model with the parameters it was published with.
#[derive(Clone, Debug)]
pub struct Pretrained {
    /// Sizes and settings.
    pub config: LlamaConfig,
    /// The network.
    pub model: Llama,
    /// Its parameters, all in one tree: [`crate::select::split`] tells what is trained.
    pub params: Tree,
}

/// Reads a Llama model: a folder with `config.json` and safetensors, a `.gguf` file, or a `.bin` file of llama2.c.
///
/// # Errors
/// [`crate::Error::Load`] if a file cannot be read, is damaged, or holds another model than its configuration says;
/// [`crate::Error::MissingParam`] or [`crate::Error::ParamShape`] for the first tensor that is missing or misshapen.
///
/// # Examples
/// ```no_run
/// use candle_core::{DType, Device};
/// use tape_nn::generate::{Settings, generate_text};
/// use tape_nn::load::{Tokenizer, llama};
///
/// let llama = llama("fixtures/data/stories260k", DType::F32, &Device::Cpu)?;
/// let tokenizer = Tokenizer::read("fixtures/data/stories260k")?;
/// let settings = Settings::greedy(40, &llama.config.eos_token_ids);
/// let (frozen, key) = (Default::default(), tensor_tree::Key::from_seed(1));
/// let text =
///     generate_text(&llama.model, &llama.params, &frozen, &tokenizer, "Once upon", &settings, key)?;
/// # Ok::<(), tape_nn::Error>(())
/// ```
pub fn llama(path: impl AsRef<Path>, dtype: DType, device: &Device) -> Result<Pretrained> {
    let path = path.as_ref();
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    let (config, tree) = if path.is_dir() {
        let json = path.join("config.json");
        let text = String::from_utf8(read_file(WHAT, &json)?);
        let text = text.map_err(|_| broken(WHAT, "its configuration is not UTF-8"));
        let config = in_file(&json, text.and_then(|text| LlamaConfig::from_json(&text)))?;
        (config, safetensors::read(path, dtype, device)?.tree)
    } else {
        match extension {
            "gguf" => {
                let file = gguf::Gguf::read(path)?;
                (gguf::llama_config(&file)?, gguf::llama_tree(&file, dtype, device)?)
            }
            "bin" => llama2c::read(path, dtype, device)?,
            _ => {
                let reason = "is neither a folder nor a .gguf or .bin file";
                return in_file(path, Err(broken(WHAT, reason)));
            }
        }
    };
    let builder = Builder::given(tree, dtype, device);
    let model = Llama::new(&config, builder.vb())?;
    let (params, unused) = builder.into_parts();
    // Some files repeat the tied head, and old ones hold the rotary frequencies.
    let needless = |name: &str| {
        config.tie_word_embeddings && name == "lm_head.weight"
            || name.ends_with("rotary_emb.inv_freq")
    };
    match unused.iter().find(|name| !needless(name)) {
        Some(name) => {
            let reason =
                format!("`{name}` is no parameter of the model that its configuration says");
            in_file(path, Err(broken(WHAT, reason)))
        }
        None => Ok(Pretrained { config, model, params }),
    }
}
