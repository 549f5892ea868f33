//! A model under examination.

use candle_core::Device;
use tape_nn::generate::{Prompts, Settings, continuation, generate_batch};
use tape_nn::load::Tokenizer;
use tape_nn::net::{LanguageModel, TokenScore, token_scores};
use tensor_tree::{Key, Tree};

use super::digest;
use super::set::{RowResult, SetResult};
use crate::batch::{padded, similar};
use crate::metric::memorization;
use crate::multiple_choice::{OptionScore, Questions};
use crate::row::{Join, Kind, Row};
use crate::score::Conditions;
use crate::text::{Encoder, OverLong, Sample};
use crate::{Error, Result};

/// A model with its tokenizer, and how it is asked.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a, M: ?Sized> {
    /// The model.
    pub model: &'a M,
    /// Its parameters that are trained.
    pub trainable: &'a Tree,
    /// Its other ones.
    pub frozen: &'a Tree,
    /// Its tokenizer.
    pub tokenizer: &'a Tokenizer,
    /// How input and output become one text.
    pub join: Join,
    /// The token that ends an answer: it is learned, and ends a generation.
    pub end: Option<u32>,
    /// Other tokens that end a generation.
    pub stops: &'a [u32],
    /// Where it computes.
    pub device: &'a Device,
    /// Most rows at once. Losses take fewer where lengths differ or, on a CPU, where texts are long.
    pub batch: usize,
}

impl<M: LanguageModel + ?Sized> Subject<'_, M> {
    /// How texts become tokens in exams: those that are too long are cut, whole texts excepted, which become pieces.
    pub(crate) fn encoder(&self) -> Encoder<'_> {
        Encoder {
            tokenizer: self.tokenizer,
            end: self.end,
            most: self.model.positions() + 1,
            over_long: OverLong::Cut,
        }
    }

    /// Everything that is measured of rows, with generations of at most so many tokens or without any. Rows of whole texts have nothing to
    /// be asked, and no generation. `go_on` is told how many rows are done, of the generations, or of the losses where there are none.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] for a tokenizer of another model; [`Error::Row`] for a row without tokens to say, or with a loss that is not
    /// finite, which a model with broken weights has; [`tape_nn::Error::Stopped`]; those of the model.
    pub fn set(
        &self,
        name: &str,
        rows: &[Row],
        max_new: Option<usize>,
        key: Key,
        go_on: &mut dyn FnMut(usize) -> bool,
    ) -> Result<SetResult> {
        let mut generations = vec![None; rows.len()];
        let mut n_cut_prompts = 0;
        if let Some(max_new) = max_new {
            let asked: Vec<usize> =
                (0..rows.len()).filter(|i| rows[*i].kind != Kind::Text).collect();
            let of: Vec<Row> = asked.iter().map(|i| rows[*i].clone()).collect();
            let (prompts, cut) = self.prompts(&of, max_new)?;
            n_cut_prompts = cut;
            let texts = self.continued(&prompts, &Settings::greedy(max_new, &[]), key, go_on)?;
            for (i, text) in asked.into_iter().zip(texts) {
                generations[i] = Some(text);
            }
        }
        self.encoder().check(self.model.vocab_size())?;
        let mut answers = Answers::default();
        let mut ends = Vec::new();
        let mut n_cut = 0;
        for row in rows {
            let variants = row.paraphrased_output.iter().chain(&row.wrong_outputs);
            for output in std::iter::once(&row.output).chain(variants) {
                let (samples, cut) = self.samples(row, output)?;
                n_cut += usize::from(cut);
                answers.push(samples);
            }
            ends.push(answers.n());
        }
        let is_asked = generations.iter().any(Option::is_some);
        let n_samples = answers.samples.len().max(1);
        let scores = answers.scores(self, &mut |done| {
            go_on(if is_asked { rows.len() } else { done * rows.len() / n_samples })
        })?;
        let mut from = 0;
        let mut results = Vec::with_capacity(rows.len());
        for (i, row) in rows.iter().enumerate() {
            let own = &scores[from..ends[i]];
            from = ends[i];
            let losses: Vec<f64> = own.iter().map(|s| mean_loss(s)).collect();
            if let Some(got) = losses.iter().copied().find(|loss| !loss.is_finite()) {
                let source = Box::new(Error::NonFinite { what: "loss of an answer", got });
                return Err(Error::Row { id: row.id.clone(), source });
            }
            let right: Vec<bool> = own[0].iter().map(|s| s.is_argmax).collect();
            let n_paraphrases = usize::from(row.paraphrased_output.is_some());
            results.push(RowResult {
                id: row.id.clone(),
                task: row.task.clone(),
                input: row.input.clone(),
                output: row.output.clone(),
                generation: generations[i].take(),
                loss: losses[0],
                n_tokens: own[0].len(),
                memorized: memorization::exact_memorization(&right)?,
                extracted: memorization::extraction_strength(&right)?,
                paraphrase_loss: (n_paraphrases == 1).then(|| losses[1]),
                wrong_losses: losses[1 + n_paraphrases..].to_vec(),
                variants: variants(row),
            });
        }
        let conditions = Conditions { join: self.join.to_string(), max_new };
        Ok(SetResult { name: name.to_owned(), n_cut, n_cut_prompts, conditions, rows: results })
    }

    /// What the model writes after each row's prompt. The token that ends an answer and [`Self::stops`] are added to those of `settings`
    /// that stop it. A prompt loses tokens at its beginning, as in losses, until half of the model's positions, or the most new tokens if
    /// they are fewer, are left for the answer. Tokens that the tokenizer does not have, as a model may, say nothing.
    ///
    /// # Errors
    /// [`Error::Row`] for a row with nothing to ask, such as a whole text where the tokenizer has no token to begin with;
    /// [`tape_nn::Error::Stopped`]; those of the model and the tokenizer.
    pub fn generations(
        &self,
        rows: &[Row],
        settings: &Settings,
        key: Key,
        go_on: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Vec<String>> {
        self.continued(&self.prompts(rows, settings.max_new)?.0, settings, key, go_on)
    }

    /// How many of these rows' prompts lose their beginning so that so many tokens can follow. Whole texts have none.
    ///
    /// # Errors
    /// As [`Self::generations`].
    pub fn n_cut_prompts(&self, rows: &[Row], max_new: usize) -> Result<usize> {
        let asked: Vec<Row> = rows.iter().filter(|row| row.kind != Kind::Text).cloned().collect();
        Ok(self.prompts(&asked, max_new)?.1)
    }

    /// The prompts of rows in tokens, and how many of them were cut so that so many tokens can follow.
    fn prompts(&self, rows: &[Row], max_new: usize) -> Result<(Vec<Vec<u32>>, usize)> {
        let room = max_new.min(self.model.positions() / 2);
        let mut n_cut = 0;
        let mut prompt = |row: &Row| {
            let (prompt, _) = self.join.parts(&row.input, &row.output);
            let tokens = self.tokenizer.encode(&prompt, true)?;
            if tokens.is_empty() {
                let source = Box::new(Error::Empty { what: "tokens of its prompt" });
                return Err(Error::Row { id: row.id.clone(), source });
            }
            if tokens.len() + room <= self.model.positions() {
                return Ok(tokens);
            }
            n_cut += 1;
            self.encoder().prompt(&prompt, room + 1)
        };
        let prompts = rows.iter().map(&mut prompt).collect::<Result<_>>()?;
        Ok((prompts, n_cut))
    }

    fn continued(
        &self,
        prompts: &[Vec<u32>],
        settings: &Settings,
        key: Key,
        go_on: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Vec<String>> {
        let mut settings = settings.clone();
        settings.stop.extend(self.end.iter().chain(self.stops));
        let asked = Prompts::new(prompts, self.batch.max(1)).with_progress(go_on);
        let mut new =
            generate_batch(self.model, self.trainable, self.frozen, asked, &settings, key)?;
        for tokens in &mut new {
            tokens.retain(|token| self.tokenizer.token(*token).is_some());
        }
        let texts = prompts.iter().zip(&new).map(|(p, new)| continuation(self.tokenizer, p, new));
        let texts = texts.collect::<Result<Vec<String>, tape_nn::Error>>()?;
        // What joins input and output is not said.
        let gap = self.join.gap();
        let cut = |text: String| match text.strip_prefix(gap) {
            Some(rest) => rest.to_owned(),
            None => text,
        };
        Ok(texts.into_iter().map(cut).collect())
    }

    /// The scores of the tokens of each answer, given those before. `go_on` is told how many samples are done.
    ///
    /// # Errors
    /// [`tape_nn::Error::Stopped`] once `go_on` says no; those of the model.
    pub fn scores(
        &self,
        samples: &[Sample],
        go_on: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Vec<Vec<TokenScore>>> {
        let mut order: Vec<usize> = (0..samples.len()).collect();
        order.sort_by_key(|i| samples[*i].n_positions());
        let mut out = vec![Vec::new(); samples.len()];
        let length = |i: &usize| samples[*i].n_positions();
        let mut done = 0;
        for together in similar(&order, length, self.batch, self.device) {
            if !go_on(done) {
                let (what, total) = ("losses of texts", samples.len());
                return Err(tape_nn::Error::Stopped { what, done, total }.into());
            }
            done += together.len();
            let texts = padded(together.iter().map(|i| &samples[*i]), 0, self.device)?;
            let scores = token_scores(self.model, self.trainable, self.frozen, &texts)?;
            for (i, scores) in together.iter().zip(scores) {
                out[*i] = scores;
            }
        }
        Ok(out)
    }

    /// The mean loss of each whole text, in nats for each token. `go_on` is told how many are done.
    ///
    /// # Errors
    /// [`Error::Empty`] for a text without tokens; as [`Self::scores`].
    pub fn document_losses(
        &self,
        texts: &[String],
        go_on: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Vec<f64>> {
        Ok(self.document_scores(texts, go_on)?.iter().map(|s| mean_loss(s)).collect())
    }

    /// The scores of the tokens of each whole text; one that is too long is read in pieces, as in [`Encoder::pieces`]. `go_on` is told how
    /// many are done.
    ///
    /// # Errors
    /// As [`Self::document_losses`].
    pub fn document_scores(
        &self,
        texts: &[String],
        go_on: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Vec<Vec<TokenScore>>> {
        let encoder = Encoder { end: None, ..self.encoder() };
        let mut answers = Answers::default();
        texts.iter().try_for_each(|text| encoder.pieces(text).map(|p| answers.push(p)))?;
        let (n, n_samples) = (texts.len(), answers.samples.len().max(1));
        answers.scores(self, &mut |done| go_on(done * n / n_samples))
    }

    /// What the model says of the options of each question, which is never joined to them without a space; and how many options are too long
    /// with their questions, and were cut. `go_on` is told how many questions are done.
    ///
    /// # Errors
    /// As [`Self::scores`]; those of the tokenizer.
    pub fn options(
        &self,
        questions: &Questions,
        go_on: &mut dyn FnMut(usize) -> bool,
    ) -> Result<(Vec<Vec<OptionScore>>, usize)> {
        let encoder = Encoder { end: None, ..self.encoder() };
        let join = if self.join == Join::None { Join::Space } else { self.join };
        let (mut samples, mut n_cut) = (Vec::new(), 0);
        for item in questions.items() {
            for option in &item.options {
                let (prompt, answer) = join.parts(&item.text, option);
                let (sample, cut) = encoder.encode(&prompt, &answer)?;
                samples.push(sample);
                n_cut += usize::from(cut);
            }
        }
        let n = questions.items().len();
        let mut told = |done| go_on(done * n / samples.len().max(1));
        let mut scores = self.scores(&samples, &mut told)?.into_iter().map(|scores| OptionScore {
            log_prob: scores.iter().map(|s| s.log_prob).sum(),
            n_tokens: scores.len(),
        });
        let of = |n: usize| scores.by_ref().take(n).collect();
        let options = questions.items().iter().map(|item| item.options.len()).map(of).collect();
        Ok((options, n_cut))
    }

    /// A row with this output, and whether tokens of it were cut; several samples where it is a whole text that is too long.
    pub(super) fn samples(&self, row: &Row, output: &str) -> Result<(Vec<Sample>, bool)> {
        let (prompt, answer) = self.join.parts(&row.input, output);
        let samples = match row.kind {
            Kind::Text => self.encoder().pieces(&answer).map(|pieces| (pieces, false)),
            _ => self.encoder().encode(&prompt, &answer).map(|(sample, cut)| (vec![sample], cut)),
        };
        samples.map_err(|source| Error::Row { id: row.id.clone(), source: Box::new(source) })
    }
}

/// Answers, each of one sample or of several pieces.
#[derive(Default)]
struct Answers {
    samples: Vec<Sample>,
    /// Where each answer ends among the samples.
    ends: Vec<usize>,
}

impl Answers {
    fn push(&mut self, pieces: Vec<Sample>) {
        self.samples.extend(pieces);
        self.ends.push(self.samples.len());
    }

    fn n(&self) -> usize {
        self.ends.len()
    }

    /// The scores of the tokens of each answer. `go_on` is told how many samples are done.
    fn scores<M: LanguageModel + ?Sized>(
        &self,
        subject: &Subject<'_, M>,
        go_on: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Vec<Vec<TokenScore>>> {
        let mut scores = subject.scores(&self.samples, go_on)?.into_iter();
        let mut from = 0;
        let of = self.ends.iter().map(|end| {
            let n = end - std::mem::replace(&mut from, *end);
            scores.by_ref().take(n).flatten().collect()
        });
        Ok(of.collect())
    }
}

/// What tells the wrong outputs of a row and its output in other words from others; empty without such.
pub(super) fn variants(row: &Row) -> String {
    let (other, wrong) = (row.paraphrased_output.as_slice(), &row.wrong_outputs[..]);
    if other.is_empty() && wrong.is_empty() { String::new() } else { digest([other, wrong]) }
}

fn mean_loss(scores: &[TokenScore]) -> f64 {
    -scores.iter().map(|s| s.log_prob).sum::<f64>() / scores.len().max(1) as f64
}
