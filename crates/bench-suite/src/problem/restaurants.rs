//! The small pretrained language model learns to describe restaurants in a sentence (E2E).

use candle_core::{DType, Device, Tensor};
use tape_nn::generate::{Settings, generate};
use tape_nn::load::Tokenizer;
use tape_nn::net::{IGNORED, Llama, NextToken, Texts};
use tape_nn::{Taped, lora};
use tensor_tree::{Key, Objective, Pass, Tree};

use super::language::{lora_config, stories260k};
use super::{Problem, Quality};
use crate::data::{Dataset, Places};
use crate::error::{Error, Result};

/// Tokens of slots and sentence together; what is longer loses its end.
const LENGTH: usize = 128;
/// Held-out restaurants that are evaluated.
const N_TEST: usize = 256;
const EVAL_BATCH: usize = 64;
/// Most tokens of a description that is shown.
const WRITTEN: usize = 64;

/// Adapters of the language model, trained on the development part of E2E; held out is its test part. The slots are read, the sentence
/// counts.
pub struct Restaurants {
    base: Llama,
    train: Vec<Description>,
    test: Vec<Texts>,
    /// A held-out restaurant that the model describes for the reader.
    shown: Description,
    tokenizer: Tokenizer,
    objective: Taped<NextToken<Llama>>,
}

struct Description {
    ids: Vec<u32>,
    /// Tokens of the slots.
    slots: usize,
}

impl Restaurants {
    /// Reads model and data.
    ///
    /// # Errors
    /// If they are missing or damaged.
    pub fn open(places: &Places) -> Result<Self> {
        let (base, params, tokenizer) = stories260k(places)?;
        let read = |set: Dataset| -> Result<Vec<Description>> {
            let text = set.text(places)?;
            let one = |(i, line): (usize, &str)| {
                let wrong =
                    || Error::Columns { file: "e2e".into(), row: i + 1, expected: 2, got: 1 };
                let (slots, sentence) = line.split_once(" => ").ok_or_else(wrong)?;
                let mut ids = tokenizer.encode(&format!("{slots} =>"), false)?;
                let slots = ids.len();
                ids.extend(tokenizer.encode(&format!("{sentence}\n"), false)?);
                ids.truncate(LENGTH + 1);
                Ok(Description { ids, slots })
            };
            text.lines().enumerate().map(one).collect()
        };
        let (train, test) = (read(Dataset::E2eDevelopment)?, read(Dataset::E2eTest)?);
        let mut test = test.into_iter().take(N_TEST + 1);
        let shown = test.next().ok_or(Error::TooFewRuns)?;
        let test: Vec<Description> = test.collect();
        let test: Vec<&Description> = test.iter().collect();
        let test = test.chunks(EVAL_BATCH).map(texts).collect::<Result<_>>()?;
        let mut model = base.clone();
        lora::attach(&mut model, &lora_config(), Key::from_seed(0), DType::F32, &Device::Cpu)?;
        let objective = Taped(NextToken { model, frozen: params });
        Ok(Restaurants { base, train, test, shown, tokenizer, objective })
    }
}

/// Inputs and labels, padded at the end: a causal model does not look there, and no label counts there.
fn texts(descriptions: &[&Description]) -> Result<Texts> {
    let shape = (descriptions.len(), LENGTH);
    let (mut ids, mut labels) = (Vec::new(), Vec::new());
    for Description { ids: own, slots } in descriptions {
        let (inputs, next) = (own.len().saturating_sub(1), own.get(1..).unwrap_or(&[]));
        ids.extend(own.iter().copied().take(inputs));
        ids.extend(std::iter::repeat_n(0, LENGTH - inputs));
        let counted =
            |(i, id): (usize, &u32)| if i + 1 < *slots { IGNORED } else { i64::from(*id) };
        labels.extend(next.iter().enumerate().map(counted));
        labels.extend(std::iter::repeat_n(IGNORED, LENGTH - inputs));
    }
    Ok(Texts {
        ids: Tensor::from_vec(ids, shape, &Device::Cpu)?,
        labels: Tensor::from_vec(labels, shape, &Device::Cpu)?,
        sample_ids: None,
    })
}

impl Problem for Restaurants {
    type Objective = Taped<NextToken<Llama>>;

    fn name(&self) -> &'static str {
        "e2e/lora"
    }

    fn unit(&self) -> &'static str {
        "one restaurant with its description"
    }

    fn objective(&self) -> &Self::Objective {
        &self.objective
    }

    fn initial(&self, seed: u64) -> Result<Tree> {
        let mut model = self.base.clone();
        let key = Key::from_seed(seed);
        Ok(lora::attach(&mut model, &lora_config(), key, DType::F32, &Device::Cpu)?)
    }

    fn n_train(&self) -> usize {
        self.train.len()
    }

    fn batch(&self, records: &[usize]) -> Result<Texts> {
        let chosen: Vec<&Description> = records.iter().map(|i| &self.train[*i]).collect();
        texts(&chosen)
    }

    fn evaluate(&self, params: &Tree) -> Result<Quality> {
        let (mut sum, mut tokens) = (0.0, 0.0);
        for batch in &self.test {
            let losses = self.objective.losses(params, batch, Pass::Eval)?;
            let total = |t: &Tensor| t.to_dtype(DType::F64)?.sum_all()?.to_scalar::<f64>();
            sum += total(&losses.sum)?;
            tokens += total(&losses.weight)?;
        }
        Ok(Quality { loss: sum / tokens, accuracy: None })
    }

    /// The likeliest tokens behind the slots.
    fn sample(&self, params: &Tree) -> Result<Option<(String, String)>> {
        let NextToken { model, frozen } = &self.objective.0;
        let slots = self.shown.ids.get(..self.shown.slots).unwrap_or(&[]);
        let settings = Settings::greedy(WRITTEN, &[]);
        let key = Key::from_seed(0);
        let written = generate(model, params, frozen, slots, &settings, key)?;
        let text = self.tokenizer.decode(&written, true)?;
        let line = text.lines().next().unwrap_or("").trim().to_owned();
        Ok(Some((self.tokenizer.decode(slots, true)?, line)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_and_padding_do_not_count_and_every_token_of_the_sentence_does() {
        let description = Description { ids: vec![5, 6, 7, 8, 9], slots: 3 };
        let long = Description { ids: (0..=LENGTH as u32).collect(), slots: LENGTH };
        let texts = texts(&[&description, &long]).unwrap();
        let ids = texts.ids.to_vec2::<u32>().unwrap();
        let labels = texts.labels.to_vec2::<i64>().unwrap();
        assert_eq!(ids[0][..5], [5, 6, 7, 8, 0]);
        assert_eq!(labels[0][..5], [IGNORED, IGNORED, 8, 9, IGNORED]);
        let counted = |row: &[i64]| row.iter().filter(|label| **label != IGNORED).count();
        assert_eq!((counted(&labels[0]), counted(&labels[1])), (2, 1));
        assert_eq!(labels[1][LENGTH - 1], LENGTH as i64);
    }
}
