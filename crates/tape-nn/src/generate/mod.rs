//! Text from language models: one token after the other, greedily or drawn, for one prompt or for many at once.

mod batch;
mod choice;
mod text;

use candle_core::{DType, Device, Tensor};
use tensor_tree::{Key, Label, Purpose, Tree};

use crate::error::{Error, Result};
use crate::net::{Cache, LanguageModel};

pub use batch::{Prompts, generate_batch};
pub use choice::Choice;
pub use text::{continuation, generate_text, generate_texts};

/// When and how tokens are chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Most tokens that are added. The model's positions are a limit too.
    pub max_new: usize,
    /// Tokens after which nothing is added.
    pub stop: Vec<u32>,
    /// How a token is chosen.
    pub choice: Choice,
}

impl Settings {
    /// The likeliest token each time, until one of `stop` or until there are `max_new`.
    #[must_use]
    pub fn greedy(max_new: usize, stop: &[u32]) -> Self {
        Settings { max_new, stop: stop.to_vec(), choice: Choice::Greedy }
    }
}

/// Tokens as they are generated: an iterator that ends with a stop token (which it gives), with
/// [`Settings::max_new`], or where the model's positions end. After an error it gives nothing more.
///
/// Token `i` is drawn with the number that `key` and `i` determine.
#[derive(Debug)]
pub struct Generation<'a, M: ?Sized> {
    model: &'a M,
    trainable: &'a Tree,
    frozen: &'a Tree,
    settings: &'a Settings,
    key: Key,
    device: Device,
    cache: Cache,
    /// Tokens the model has not read yet.
    unread: Vec<u32>,
    n_new: usize,
    ended: bool,
}

impl<'a, M: LanguageModel + ?Sized> Generation<'a, M> {
    /// Generation behind `prompt`, with the parameters of both trees. A prompt that fills the model's positions
    /// gets one token more, which the model need not read.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for a prompt that is empty or longer than the model's positions, or as
    /// [`Choice::check`].
    pub fn new(
        model: &'a M,
        trainable: &'a Tree,
        frozen: &'a Tree,
        prompt: &[u32],
        settings: &'a Settings,
        key: Key,
    ) -> Result<Self> {
        settings.choice.check()?;
        check_prompt(model, prompt, || "length of the prompt".into())?;
        Ok(Generation {
            model,
            trainable,
            frozen,
            settings,
            key: key.child(Label::For(Purpose::Generation)),
            device: device_of(trainable, frozen),
            cache: model.cache(),
            unread: prompt.to_vec(),
            n_new: 0,
            ended: false,
        })
    }

    fn next_token(&mut self) -> Result<u32> {
        let unread = std::mem::take(&mut self.unread);
        let n = unread.len();
        let ids = Tensor::from_vec(unread, (1, n), &self.device)?;
        let logits = self.model.step(self.trainable, self.frozen, &ids, &mut self.cache)?;
        let logits = logits.squeeze(0)?.to_dtype(DType::F64)?.to_vec1::<f64>()?;
        let token = self.settings.choice.choose(&logits, draw(self.key, self.n_new))?;
        self.unread.push(token);
        self.n_new += 1;
        self.ended |= self.settings.stop.contains(&token);
        Ok(token)
    }
}

impl<M: LanguageModel + ?Sized> Iterator for Generation<'_, M> {
    type Item = Result<u32>;

    fn next(&mut self) -> Option<Result<u32>> {
        let full = self.model.positions() < self.cache.len() + self.unread.len();
        if self.ended || full || self.settings.max_new <= self.n_new {
            return None;
        }
        let token = self.next_token();
        self.ended |= token.is_err();
        Some(token)
    }
}

/// The tokens that follow `prompt`, a stop token included.
///
/// # Errors
/// As [`Generation::new`]; from the model.
pub fn generate<M: LanguageModel + ?Sized>(
    model: &M,
    trainable: &Tree,
    frozen: &Tree,
    prompt: &[u32],
    settings: &Settings,
    key: Key,
) -> Result<Vec<u32>> {
    Generation::new(model, trainable, frozen, prompt, settings, key)?.collect()
}

/// Where the parameters lie.
fn device_of(trainable: &Tree, frozen: &Tree) -> Device {
    let leaf = trainable.iter().chain(frozen.iter()).next();
    leaf.map_or(Device::Cpu, |(_, leaf)| leaf.device().clone())
}

/// Refuses a prompt that is empty or longer than the model's positions.
fn check_prompt<M: LanguageModel + ?Sized>(
    model: &M,
    prompt: &[u32],
    name: impl FnOnce() -> String,
) -> Result<()> {
    if prompt.is_empty() || model.positions() < prompt.len() {
        return Err(Error::InvalidSetting {
            name: name(),
            must: "at least 1 and at most the model's positions",
            got: format!("{} of {}", prompt.len(), model.positions()),
        });
    }
    Ok(())
}

/// The number in `[0, 1)` by which token `n_new` of a generation is drawn.
fn draw(key: Key, n_new: usize) -> f64 {
    let mut draw = [0f64];
    key.child(Label::Step(n_new as u64)).fill_uniform(&mut draw);
    draw[0]
}

#[cfg(test)]
mod tests;
