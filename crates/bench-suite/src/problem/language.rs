//! The small pretrained language model on windows of Shakespeare's plays.

use candle_core::{DType, Device, Tensor};
use tape_nn::load::{Tokenizer, safetensors};
use tape_nn::net::{Llama, LlamaConfig, NextToken, Texts};
use tape_nn::{Builder, LoraConfig, Taped, lora};
use tensor_tree::{Key, Objective, Pass, Tree};

use super::{Problem, Quality};
use crate::data::text::{Windows, split_at_fraction};
use crate::data::{Dataset, Places};
use crate::error::{Error, Result};

/// Tokens of one window, the unit of privacy: all but the first are predicted. No token is in two windows.
pub const WINDOW: usize = 65;
/// Windows of the held-out part that are evaluated.
const N_TEST: usize = 128;
const EVAL_BATCH: usize = 32;
/// Rank of the adapters.
const RANK: usize = 4;

/// Which parameters of the language model are trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tuning {
    /// All.
    Full,
    /// Adapters around the projections of attention and feed-forward layers.
    Lora,
}

/// Fine-tuning of the language model.
pub struct LanguageProblem {
    name: String,
    tuning: Tuning,
    base: Tree,
    model: Llama,
    train: Vec<u32>,
    n_train: usize,
    test: Vec<Texts>,
    objective: Taped<NextToken<Llama>>,
}

impl LanguageProblem {
    /// The model of `stories260k` on Tiny Shakespeare.
    ///
    /// # Errors
    /// If model, tokenizer or text are missing or damaged.
    pub fn open(tuning: Tuning, places: &Places) -> Result<Self> {
        let (mut model, base, tokenizer) = stories260k(places)?;
        let plays = Dataset::TinyShakespeare.text(places)?;
        let tokens = tokenizer.encode(&plays, false)?;
        let (train, test) = split_at_fraction(&tokens, 0.9)?;
        let n_train = Windows::new(train, WINDOW, WINDOW)?.len();
        let held_out = Windows::new(test, WINDOW, WINDOW)?;
        let indices: Vec<usize> = (0..N_TEST.min(held_out.len())).collect();
        let test = indices
            .chunks(EVAL_BATCH)
            .map(|part| texts(&held_out, part))
            .collect::<Result<Vec<_>>>()?;

        let (name, frozen) = match tuning {
            Tuning::Full => ("shakespeare/full", Tree::new()),
            Tuning::Lora => {
                lora::attach(
                    &mut model,
                    &lora_config(),
                    Key::from_seed(0),
                    DType::F32,
                    &Device::Cpu,
                )?;
                ("shakespeare/lora", base.clone())
            }
        };
        let objective = Taped(NextToken { model: model.clone(), frozen });
        Ok(LanguageProblem {
            name: name.into(),
            tuning,
            base,
            model,
            n_train,
            train: train.to_vec(),
            test,
            objective,
        })
    }
}

/// The small pretrained model with its parameters and its tokenizer.
pub(super) fn stories260k(places: &Places) -> Result<(Llama, Tree, Tokenizer)> {
    let folder = places.folder_of("stories260k")?;
    let file = |name: &str| folder.join(name);
    let config = file("config.json");
    let text = std::fs::read_to_string(&config)
        .map_err(|source| Error::Read { file: config.clone(), source })?;
    let weights = safetensors::read(file("model.safetensors"), DType::F32, &Device::Cpu)?;
    let builder = Builder::given(weights.tree, DType::F32, &Device::Cpu);
    let model = Llama::new(&LlamaConfig::from_json(&text)?, builder.vb())?;
    Ok((model, builder.into_tree()?, Tokenizer::read(file("tokenizer.json"))?))
}

/// Adapters around the projections of attention and feed-forward layers.
pub(super) fn lora_config() -> LoraConfig {
    let targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];
    LoraConfig { rank: RANK, ..LoraConfig::for_layers(targets) }
}

fn texts(windows: &Windows<'_, u32>, records: &[usize]) -> Result<Texts> {
    let mut ids = Vec::with_capacity(records.len() * WINDOW);
    for record in records {
        ids.extend_from_slice(windows.get(*record)?);
    }
    let windows = Tensor::from_vec(ids, (records.len(), WINDOW), &Device::Cpu)?;
    Ok(Texts::from_windows(&windows)?)
}

impl Problem for LanguageProblem {
    type Objective = Taped<NextToken<Llama>>;

    fn name(&self) -> &str {
        &self.name
    }

    fn unit(&self) -> &'static str {
        "one window of 65 tokens"
    }

    fn objective(&self) -> &Self::Objective {
        &self.objective
    }

    fn initial(&self, seed: u64) -> Result<Tree> {
        match self.tuning {
            Tuning::Full => Ok(self.base.clone()),
            Tuning::Lora => {
                let mut model = self.model.clone();
                lora::detach(&mut model);
                let key = Key::from_seed(seed);
                Ok(lora::attach(&mut model, &lora_config(), key, DType::F32, &Device::Cpu)?)
            }
        }
    }

    fn n_train(&self) -> usize {
        self.n_train
    }

    fn batch(&self, records: &[usize]) -> Result<Texts> {
        texts(&Windows::new(&self.train, WINDOW, WINDOW)?, records)
    }

    fn evaluate(&self, params: &Tree) -> Result<Quality> {
        let (mut sum, mut n) = (0.0, 0.0);
        for batch in &self.test {
            let losses = self.objective.losses(params, batch, Pass::Eval)?;
            let size = losses.sum.elem_count() as f64;
            sum += losses.mean()? * size;
            n += size;
        }
        Ok(Quality { loss: sum / n, accuracy: None })
    }
}
