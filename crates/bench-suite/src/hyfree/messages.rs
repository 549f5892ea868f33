//! Text messages with two classes, read by a pretrained network of the GPT-2 kind.

use candle_core::{DType, Device, Tensor};

use tape_nn::net::{Gpt, IGNORED, LanguageModel, NextToken, Texts};
use tape_nn::{Context, LoraConfig, Taped, lora};
use tensor_tree::{Key, Objective, Pass, Tree};

use crate::data::split::shuffled_split;
use crate::data::text::CharVocab;
use crate::data::{Dataset, Places};
use crate::error::{Error, Result};
use crate::problem::{Problem, Quality};

/// Seed of the split into training and test part, and the size of the latter.
const SPLIT_SEED: u64 = 2024;
const N_TEST: usize = 294;
const EVAL_BATCH: usize = 250;
const RANK: usize = 4;
/// What stands for characters outside the alphabet.
const OTHER: char = '?';
/// What the network is to say after a message of either class.
const ANSWERS: [char; 2] = ['N', 'Y'];

/// What is trained beside the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trained {
    /// Biases.
    Biases,
    /// Adapters of rank 4 around all linear maps.
    Adapters,
}

/// Whether a message is spam: the network is to say `Y` or `N` after each of its characters, and its answer is what it says on the whole.
pub struct Messages {
    trained: Trained,
    messages: Vec<Message>,
    answers: [u32; 2],
    test: Vec<Texts>,
    params: Tree,
    objective: Taped<NextToken<Gpt>>,
}

#[derive(Clone)]
struct Message {
    ids: Vec<u32>,
    /// Characters of it that are no padding.
    length: usize,
    class: usize,
}

impl Messages {
    /// The printable characters of ASCII and the end of a line: an alphabet that no message was asked for.
    #[must_use]
    pub fn alphabet() -> CharVocab {
        let printable: String = (' '..='~').collect();
        CharVocab::from_text(&(printable + "\n"))
    }

    /// A pretrained network over [`Messages::alphabet`] that reads `context` characters at once.
    ///
    /// # Errors
    /// If the data are missing or damaged, or the network lacks what is to be trained.
    pub fn open(
        places: &Places,
        (model, params): (Gpt, Tree),
        context: usize,
        trained: Trained,
    ) -> Result<Self> {
        let alphabet = Self::alphabet();
        let text = Dataset::SmsSpam.text(places)?;
        let mut messages = Vec::new();
        for (i, line) in text.lines().enumerate() {
            let wrong =
                || Error::Columns { file: "sms.tsv".into(), row: i + 1, expected: 2, got: 1 };
            let (label, message) = line.split_once('\t').ok_or_else(wrong)?;
            let (ids, length) = encoded(&alphabet, message, context)?;
            messages.push(Message { ids, length, class: usize::from(label == "spam") });
        }
        // As many messages of either class: clipped gradients would only learn the frequent one.
        let n_spam = messages.iter().filter(|message| message.class == 1).count();
        let mut n_ham = 0;
        messages.retain(|message| {
            n_ham += usize::from(message.class == 0);
            message.class == 1 || n_ham <= n_spam
        });
        let split = shuffled_split(messages.len(), N_TEST, SPLIT_SEED)?;
        let chosen = |records: &[usize]| -> Vec<Message> {
            records.iter().map(|i| messages[*i].clone()).collect()
        };
        let (train, held_out) = (chosen(&split.train), chosen(&split.test));
        let answers = alphabet.encode(&String::from_iter(ANSWERS))?;
        let answers = [answers[0], answers[1]];
        let test = held_out.chunks(EVAL_BATCH).map(|part| texts(part, answers));
        let test = test.collect::<Result<Vec<_>>>()?;

        let mut model = model;
        let all = match trained {
            Trained::Biases => params,
            Trained::Adapters => params.union(&attach(&mut model, 0)?)?,
        };
        let (params, frozen) = all.partition(|name| {
            let chosen = match trained {
                Trained::Biases => name.ends_with("bias"),
                Trained::Adapters => name.contains(".lora_"),
            };
            chosen || name == "lm_head.weight"
        });
        let objective = Taped(NextToken { model, frozen });
        Ok(Messages { trained, messages: train, answers, test, params, objective })
    }
}

fn attach(model: &mut Gpt, seed: u64) -> Result<Tree> {
    let targets = ["c_attn", "c_proj", "c_fc"];
    let config = LoraConfig { rank: RANK, alpha: 8.0, ..LoraConfig::for_layers(targets) };
    Ok(lora::attach(model, &config, Key::from_seed(seed), DType::F32, &Device::Cpu)?)
}

/// The first characters of a message with the end of its line, flush right, and how many these are.
fn encoded(alphabet: &CharVocab, message: &str, context: usize) -> Result<(Vec<u32>, usize)> {
    let known = |c: char| if (' '..='~').contains(&c) { c } else { OTHER };
    let mut text: String = message.chars().take(context - 1).map(known).collect();
    text.push('\n');
    let padding = " ".repeat(context - text.len());
    Ok((alphabet.encode(&(padding + &text))?, text.len()))
}

fn texts(messages: &[Message], answers: [u32; 2]) -> Result<Texts> {
    let context = messages.first().map_or(0, |message| message.ids.len());
    let shape = (messages.len(), context);
    let ids: Vec<u32> = messages.iter().flat_map(|message| message.ids.clone()).collect();
    let mut labels = Vec::with_capacity(ids.len());
    for Message { ids, length, class } in messages {
        let label = i64::from(answers[*class]);
        labels.extend((0..ids.len()).map(|i| if i + length < ids.len() { IGNORED } else { label }));
    }
    Ok(Texts {
        ids: Tensor::from_vec(ids, shape, &Device::Cpu)?,
        labels: Tensor::from_vec(labels, shape, &Device::Cpu)?,
        sample_ids: None,
    })
}

impl Problem for Messages {
    type Objective = Taped<NextToken<Gpt>>;

    fn name(&self) -> &str {
        match self.trained {
            Trained::Biases => "sms/bitfit",
            Trained::Adapters => "sms/lora",
        }
    }

    fn unit(&self) -> &'static str {
        "one message"
    }

    fn objective(&self) -> &Self::Objective {
        &self.objective
    }

    fn initial(&self, seed: u64) -> Result<Tree> {
        match self.trained {
            Trained::Biases => Ok(self.params.clone()),
            Trained::Adapters => {
                let mut model = self.objective.0.model.clone();
                lora::detach(&mut model);
                let head = self.params.partition(|name| name == "lm_head.weight").0;
                Ok(head.union(&attach(&mut model, seed)?)?)
            }
        }
    }

    fn n_train(&self) -> usize {
        self.messages.len()
    }

    fn batch(&self, records: &[usize]) -> Result<Texts> {
        let chosen: Vec<_> = records.iter().map(|i| self.messages[*i].clone()).collect();
        texts(&chosen, self.answers)
    }

    fn evaluate(&self, params: &Tree) -> Result<Quality> {
        let NextToken { model, frozen } = &self.objective.0;
        let (mut loss, mut correct, mut n) = (0.0, 0.0, 0.0);
        for batch in &self.test {
            let losses = self.objective.losses(params, batch, Pass::Eval)?;
            let size = losses.sum.elem_count() as f64;
            loss += losses.mean()? * size;
            n += size;
            let logits = model.logits(&Context::eval(params, frozen), &batch.ids)?;
            let of = |answer: u32| -> Result<Vec<Vec<f32>>> {
                let said = logits.narrow(2, answer as usize, 1)?.squeeze(2)?;
                Ok(said.to_vec2::<f32>()?)
            };
            let (no, yes) = (of(self.answers[0])?, of(self.answers[1])?);
            for ((no, yes), labels) in no.iter().zip(&yes).zip(batch.labels.to_vec2::<i64>()?) {
                let counted = labels.iter().zip(no.iter().zip(yes)).filter(|(l, _)| **l != IGNORED);
                let for_yes: f32 = counted.map(|(_, (no, yes))| yes - no).sum();
                let said = i64::from(self.answers[usize::from(0.0 < for_yes)]);
                correct += f64::from(u8::from(labels.last() == Some(&said)));
            }
        }
        Ok(Quality { loss: loss / n, accuracy: Some(correct / n) })
    }
}
