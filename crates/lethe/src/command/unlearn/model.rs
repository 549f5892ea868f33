//! Models from where they lie, and what is written of them.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device};
use clap::Args;
use serde_json::Value;
use tape_nn::load::{self, Tokenizer};
use tape_nn::net::{Llama, LlamaConfig};
use tensor_tree::Tree;
use unlearn::text::{Encoder, OverLong};

use crate::command::identity::Identity;
use crate::command::write::{self, Folder};
use crate::error::{Error, Result};

/// Which model.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub(super) struct Flags {
    /// The model: a folder with config.json, safetensors and tokenizer.json, or a .gguf file.
    #[arg(long, value_name = "FOLDER|FILE.gguf")]
    pub(super) model: PathBuf,
    /// Its tokenizer.json, or the folder that has it; by default that of the model's folder.
    #[arg(long, value_name = "FILE|FOLDER")]
    pub(super) tokenizer: Option<PathBuf>,
}

/// A model in memory with its tokenizer.
#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) config: LlamaConfig,
    pub(super) net: Llama,
    pub(super) params: Tree,
    pub(super) tokenizer: Tokenizer,
    /// Tokens that end a generation: those of config.json and of generation_config.json.
    pub(super) stops: Vec<u32>,
    /// Files beside the weights that are written again, with their bytes.
    companions: Vec<(String, Vec<u8>)>,
    /// Files that make it this model.
    sources: Vec<(String, PathBuf)>,
}

/// What a model's makers say of generation, beside its weights.
const GENERATION: &str = "generation_config.json";

/// Files beside a tokenizer that say more of it.
const COMPANIONS: [&str; 7] = [
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
];

impl Flags {
    /// Reads the model and its tokenizer.
    ///
    /// # Errors
    /// [`Error::File`] for a path that is not there, or a tokenizer that is missing or has more tokens than the model; those of files.
    pub(super) fn read(&self) -> Result<Model> {
        let path = &self.model;
        if !path.exists() {
            return Err(Error::file(path, "there is no such model"));
        }
        let tokenizer_path = match &self.tokenizer {
            Some(given) if given.is_dir() => given.join("tokenizer.json"),
            Some(given) => given.clone(),
            None if path.is_dir() => path.join("tokenizer.json"),
            None => {
                let name = path.display();
                return Err(Error::Usage(format!(
                    "--model {name}: a single file has no tokenizer beside it; add --tokenizer FILE"
                )));
            }
        };
        if !tokenizer_path.is_file() {
            let what = "there is no tokenizer; name one by --tokenizer FILE";
            return Err(Error::file(tokenizer_path, what));
        }
        let read = |file: &Path| std::fs::read(file).map_err(|e| Error::file(file, e));
        let tokenizer = Tokenizer::read(&tokenizer_path)?;
        let load::Pretrained { config, model, params } =
            load::llama(path, DType::F32, &Device::Cpu)?;
        let mut companions = vec![("tokenizer.json".to_owned(), read(&tokenizer_path)?)];
        let mut sources = vec![("tokenizer".to_owned(), tokenizer_path.clone())];
        if path.is_dir() {
            // Of the folder whose tokenizer it is.
            let beside = tokenizer_path.parent().unwrap_or(path);
            for name in COMPANIONS.iter().filter(|name| beside.join(name).is_file()) {
                companions.push(((*name).to_owned(), read(&beside.join(name))?));
            }
            let generation = path.join(GENERATION);
            if generation.is_file() {
                companions.push((GENERATION.to_owned(), read(&generation)?));
                sources.push(("generation".to_owned(), generation));
            }
            companions.push(("config.json".to_owned(), as_single(&path.join("config.json"))?));
            let mut files: Vec<PathBuf> = std::fs::read_dir(path)
                .map_err(|e| Error::file(path, e))?
                .filter_map(|entry| Some(entry.ok()?.path()))
                .filter(|file| file.extension().is_some_and(|e| e == "safetensors"))
                .collect();
            files.sort();
            sources.push(("config".to_owned(), path.join("config.json")));
            for (number, file) in files.into_iter().enumerate() {
                sources.push((format!("weights {number}"), file));
            }
        } else {
            sources.push(("weights".to_owned(), path.clone()));
        }
        let stops = stops(&config, path, &companions)?;
        let model = Model { config, net: model, params, tokenizer, stops, companions, sources };
        model.encoder(OverLong::Refuse).check(model.config.vocab_size).map_err(|error| {
            Error::file(&tokenizer_path, format!("{error}: tokenizer and model do not match"))
        })?;
        Ok(model)
    }
}

impl Model {
    /// A model that lies nowhere yet.
    pub(super) fn new(
        config: LlamaConfig,
        (net, params): (Llama, Tree),
        tokenizer: Tokenizer,
    ) -> Result<Self> {
        let companions = vec![("tokenizer.json".to_owned(), tokenizer.to_json()?.into_bytes())];
        let stops = config.eos_token_ids.clone();
        Ok(Model { config, net, params, tokenizer, stops, companions, sources: Vec::new() })
    }

    /// Refuses a model of other tokens beside this one, with where both lie: what they say of a text cannot be compared.
    ///
    /// # Errors
    /// [`Error::File`] with the other model.
    pub(super) fn same_tokens(&self, path: &Path, (other, at): (&Model, &Path)) -> Result<()> {
        if self.tokenizer.to_json()? == other.tokenizer.to_json()? {
            return Ok(());
        }
        let what =
            format!("its tokenizer is not that of {}: they cannot be compared", path.display());
        Err(Error::file(at, what))
    }

    /// The token that ends an answer.
    pub(super) fn end(&self) -> Option<u32> {
        self.config.eos_token_ids.first().copied()
    }

    pub(super) fn encoder(&self, over_long: OverLong) -> Encoder<'_> {
        Encoder {
            tokenizer: &self.tokenizer,
            end: self.end(),
            most: self.config.max_position_embeddings + 1,
            over_long,
        }
    }

    /// Adds digests of the files that it came from.
    pub(super) fn identify(&self, identity: &mut Identity) -> Result<()> {
        self.sources.iter().try_for_each(|(key, file)| identity.add_contents(key, file))
    }

    /// Adds the files of the model with these parameters, the weights last; what [`load::llama`] reads.
    pub(super) fn add_files(&self, params: &Tree, out: &mut Folder) -> Result<()> {
        let [config, weights] = load::llama_files(&self.config, params)?;
        let given = self.companions.iter().any(|(name, _)| name == config.0);
        for (name, bytes) in &self.companions {
            out.add(name, bytes.clone());
        }
        if !given {
            out.add(config.0, config.1);
        }
        out.add(weights.0, weights.1);
        Ok(())
    }

    /// Number of parameters.
    pub(super) fn n_params(&self) -> usize {
        self.params.n_elements()
    }
}

/// Tokens that end a generation.
///
/// # Errors
/// [`Error::File`] for a generation_config.json that is no JSON, or whose `eos_token_id` is neither a token nor a list of such.
fn stops(
    config: &LlamaConfig,
    folder: &Path,
    companions: &[(String, Vec<u8>)],
) -> Result<Vec<u32>> {
    let mut stops = config.eos_token_ids.clone();
    let named = companions.iter().find(|(name, _)| name == GENERATION);
    let Some((name, bytes)) = named else { return Ok(stops) };
    let wrong = |what: String| Error::file(folder.join(name), what);
    let json: Value = serde_json::from_slice(bytes).map_err(|e| wrong(e.to_string()))?;
    let ids = match json.get("eos_token_id") {
        None | Some(Value::Null) => return Ok(stops),
        Some(Value::Array(ids)) => ids.clone(),
        Some(one) => vec![one.clone()],
    };
    for id in ids {
        let token = id.as_u64().and_then(|id| u32::try_from(id).ok());
        let token = token.ok_or_else(|| {
            wrong(format!("`eos_token_id`: expected a token or a list of tokens, got {id}"))
        })?;
        if !stops.contains(&token) {
            stops.push(token);
        }
    }
    Ok(stops)
}

/// A configuration that says of weights what will be written: single precision.
fn as_single(path: &Path) -> Result<Vec<u8>> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::file(path, e))?;
    let mut json: Value = serde_json::from_str(&text).map_err(|e| Error::file(path, e))?;
    let mut changed = false;
    for key in ["torch_dtype", "dtype"] {
        if let Some(dtype) = json.get_mut(key).filter(|dtype| **dtype != "float32") {
            *dtype = "float32".into();
            changed = true;
        }
    }
    if changed { Ok(write::json(&json)?.into_bytes()) } else { Ok(text.into_bytes()) }
}
