//! Two domains of text as characters: plays to pretrain on, descriptions of restaurants to adapt to.

use candle_core::{Device, Tensor};
use rand::RngExt;
use tape_nn::net::Texts;
use tensor_tree::{Key, Label, Objective, Pass, Tree};

use crate::data::text::{CharVocab, Windows, split_at_fraction};
use crate::data::{Dataset, Places};
use crate::error::Result;

/// Held-out windows that are evaluated.
const HELD_OUT: usize = 64;

/// One domain: no token is in two windows.
pub(in crate::task) struct Corpus {
    tokens: Vec<u32>,
    window: usize,
    /// For choices such as that of a rate.
    pub(super) valid: Texts,
    /// For what is reported.
    pub(super) test: Texts,
}

impl Corpus {
    /// Windows of that many tokens; the last tenth of `tokens` is held out for choices.
    pub(in crate::task) fn new(
        tokens: &[u32],
        test: &[u32],
        window: usize,
        held_out: usize,
    ) -> Result<Self> {
        let (train, valid) = split_at_fraction(tokens, 0.9)?;
        Ok(Corpus {
            valid: evenly(valid, window, held_out)?,
            test: evenly(test, window, held_out)?,
            tokens: train.to_vec(),
            window,
        })
    }

    /// The batch of a step, which depends on seed and step alone.
    pub(super) fn batch(&self, size: usize, seed: u64, step: u64) -> Result<Texts> {
        let windows = Windows::new(&self.tokens, self.window, self.window)?;
        let mut rng = Key::from_seed(seed).child(Label::Step(step)).rng();
        let records: Vec<usize> = (0..size).map(|_| rng.random_range(0..windows.len())).collect();
        texts(&windows, self.window, &records)
    }
}

/// Windows that lie evenly over the tokens.
fn evenly(tokens: &[u32], window: usize, n: usize) -> Result<Texts> {
    let windows = Windows::new(tokens, window, window)?;
    let n = n.min(windows.len());
    let records: Vec<usize> = (0..n).map(|i| i * windows.len() / n).collect();
    texts(&windows, window, &records)
}

fn texts(windows: &Windows<'_>, window: usize, records: &[usize]) -> Result<Texts> {
    let mut ids = Vec::with_capacity(records.len() * window);
    for record in records {
        ids.extend_from_slice(windows.get(*record)?);
    }
    Ok(Texts::from_windows(&Tensor::from_vec(ids, (records.len(), window), &Device::Cpu)?)?)
}

/// The mean loss of held-out windows in nats per token.
pub(super) fn loss<O: Objective<Batch = Texts>>(
    objective: &O,
    params: &Tree,
    texts: &Texts,
) -> Result<f64> {
    Ok(objective.losses(params, texts, Pass::Eval)?.mean()?)
}

/// Both domains over one vocabulary of characters.
pub(super) struct Corpora {
    pub(super) n_chars: usize,
    pub(super) plays: Corpus,
    pub(super) restaurants: Corpus,
}

impl Corpora {
    /// Tiny Shakespeare, and E2E: its development part to train on, its test part to test on.
    pub(super) fn open(places: &Places, window: usize) -> Result<Self> {
        let plays = Dataset::TinyShakespeare.text(places)?;
        let development = Dataset::E2eDevelopment.text(places)?;
        let test = Dataset::E2eTest.text(places)?;
        let vocab = CharVocab::from_text(&[plays.as_str(), &development, &test].concat());
        let plays = vocab.encode(&plays)?;
        let (train, last) = split_at_fraction(&plays, 0.95)?;
        let (development, test) = (vocab.encode(&development)?, vocab.encode(&test)?);
        Ok(Corpora {
            n_chars: vocab.n_tokens(),
            plays: Corpus::new(train, last, window, HELD_OUT)?,
            restaurants: Corpus::new(&development, &test, window, HELD_OUT)?,
        })
    }
}
