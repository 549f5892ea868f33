//! Generation for many prompts at once.

use std::fmt;

use candle_core::{DType, Device, Tensor};
use tensor_tree::{Key, Label, Purpose, Tree};

use super::{Settings, check_prompt, device_of, draw};
use crate::error::{Error, Result};
use crate::net::{Cache, LanguageModel};

/// Prompts that share passes through a model, how many of them at once, and who is asked whether to go on.
pub struct Prompts<'a, P> {
    all: &'a [P],
    batch: usize,
    go_on: Option<&'a mut dyn FnMut(usize) -> bool>,
}

impl<'a, P> Prompts<'a, P> {
    /// These prompts, at most `batch` of them at once. Memory for keys and values grows with `batch`.
    #[must_use]
    pub fn new(all: &'a [P], batch: usize) -> Self {
        Prompts { all, batch, go_on: None }
    }

    /// The same where `go_on` is called after each pass through the model, which adds a token to each text at most, with
    /// the number of prompts that are done. If it says `false` before all are, the generation ends with
    /// [`Error::Stopped`], and what was generated is lost.
    #[must_use]
    pub fn with_progress(self, go_on: &'a mut dyn FnMut(usize) -> bool) -> Self {
        Prompts { go_on: Some(go_on), ..self }
    }

    pub(super) fn all(&self) -> &'a [P] {
        self.all
    }

    /// The same for other prompts.
    pub(super) fn over<'b, Q>(self, all: &'b [Q]) -> Prompts<'b, Q>
    where
        'a: 'b,
    {
        let Prompts { batch, go_on, .. } = self;
        match go_on {
            Some(go_on) => Prompts { all, batch, go_on: Some(go_on) },
            None => Prompts { all, batch, go_on: None },
        }
    }
}

impl<P> fmt::Debug for Prompts<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (n, batch) = (self.all.len(), self.batch);
        f.debug_struct("Prompts").field("n", &n).field("batch", &batch).finish_non_exhaustive()
    }
}

/// The tokens that follow each prompt, stop tokens included, in the order of the prompts.
///
/// They are those that [`generate`](super::generate) gives for prompt `i` alone with `key.child(Label::Sample(i))`, also where
/// tokens are drawn, up to one thing: a product with one row or with few adds in another order than one with many, so logits
/// differ in their last bits with the number of texts at once, and tokens whose logits agree to within those bits may be
/// exchanged. In doubles that takes a true tie.
///
/// Prompts of similar length go together. There is no padding: the model reads as many tokens as the shortest has of all of
/// them, then one at a time, which is the next one of its prompt for a text that still has some. Texts that have ended are
/// taken out once they are half of those at work. Two or four texts at once may take longer than one after the other, since
/// products of few rows are slow; sixteen pay.
///
/// # Errors
/// [`Error::InvalidSetting`] for a batch of 0, for a prompt that is empty or longer than the model's positions, before
/// anything is generated, or as [`Choice::check`](super::Choice::check); [`Error::Stopped`]; from the model.
pub fn generate_batch<M: LanguageModel + ?Sized>(
    model: &M,
    trainable: &Tree,
    frozen: &Tree,
    prompts: Prompts<'_, Vec<u32>>,
    settings: &Settings,
    key: Key,
) -> Result<Vec<Vec<u32>>> {
    let Prompts { all, batch, mut go_on } = prompts;
    settings.choice.check()?;
    if batch == 0 {
        let (name, must) = ("prompts at once".into(), "at least 1");
        return Err(Error::InvalidSetting { name, must, got: "0".into() });
    }
    for (i, prompt) in all.iter().enumerate() {
        check_prompt(model, prompt, || format!("length of prompt {i}, counted from 0"))?;
    }
    let mut results = vec![Vec::new(); all.len()];
    if settings.max_new == 0 {
        return Ok(results);
    }
    let run = Run { model, trainable, frozen, settings, device: device_of(trainable, frozen) };
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_by_key(|i| all[*i].len());
    let mut done = 0;
    for together in order.chunks(batch) {
        let row = |i: &usize| Row {
            idx: *i,
            prompt: &all[*i],
            key: key.child(Label::Sample(*i as u64)).child(Label::For(Purpose::Generation)),
            new: Vec::new(),
            ended: false,
        };
        let mut rows: Vec<Row<'_>> = together.iter().map(row).collect();
        let mut cache = model.cache();
        while !rows.is_empty() {
            run.pass(&mut rows, &mut cache)?;
            let ended = rows.iter().filter(|row| row.ended).count();
            if let Some(go_on) = &mut go_on
                && !go_on(done + ended)
                && done + ended < all.len()
            {
                let (what, total) = ("generation for prompts", all.len());
                return Err(Error::Stopped { what, done: done + ended, total });
            }
            if rows.len() <= 2 * ended {
                done += ended;
                let left: Vec<usize> = (0..rows.len()).filter(|i| !rows[*i].ended).collect();
                if !left.is_empty() {
                    cache = cache.select(&left)?;
                }
                for row in rows.extract_if(.., |row| row.ended) {
                    results[row.idx] = row.new;
                }
            }
        }
    }
    Ok(results)
}

/// A text at work.
struct Row<'a> {
    /// Number of its prompt.
    idx: usize,
    prompt: &'a [u32],
    key: Key,
    new: Vec<u32>,
    ended: bool,
}

impl Row<'_> {
    /// The token at a position; any token behind the end, where nobody asks what follows.
    fn token(&self, position: usize) -> u32 {
        let new = || position.checked_sub(self.prompt.len()).and_then(|i| self.new.get(i));
        self.prompt.get(position).or_else(new).copied().unwrap_or(0)
    }
}

/// What all passes share.
struct Run<'a, M: ?Sized> {
    model: &'a M,
    trainable: &'a Tree,
    frozen: &'a Tree,
    settings: &'a Settings,
    device: Device,
}

impl<M: LanguageModel + ?Sized> Run<'_, M> {
    /// Reads tokens of all rows up to the first place where a row wants to know the next one, and tells those rows.
    fn pass(&self, rows: &mut [Row<'_>], cache: &mut Cache) -> Result<()> {
        let read = cache.len();
        let at_work = rows.iter().filter(|row| !row.ended);
        let shortest = at_work.map(|row| row.prompt.len()).min().unwrap_or(0);
        let end = shortest.max(read + 1);
        let ids: Vec<u32> = rows.iter().flat_map(|row| (read..end).map(|p| row.token(p))).collect();
        let ids = Tensor::from_vec(ids, (rows.len(), end - read), &self.device)?;
        let logits = self.model.step(self.trainable, self.frozen, &ids, cache)?;
        for (i, row) in rows.iter_mut().enumerate() {
            if row.ended || end < row.prompt.len() {
                continue;
            }
            let logits = logits.get(i)?.to_dtype(DType::F64)?.to_vec1::<f64>()?;
            let token = self.settings.choice.choose(&logits, draw(row.key, row.new.len()))?;
            row.new.push(token);
            row.ended = self.settings.stop.contains(&token)
                || self.settings.max_new <= row.new.len()
                || self.model.positions() < row.prompt.len() + row.new.len();
        }
        Ok(())
    }
}
