//! Texts as tokens: what a model reads, and which tokens it is to have said.

use tape_nn::load::Tokenizer;

use crate::{Error, Result};

/// A prompt and its answer in tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    tokens: Vec<u32>,
    n_prompt: usize,
}

impl Sample {
    /// `tokens` of which the first `n_prompt` are read and not learned. The first token of all is never learned: nothing precedes it.
    ///
    /// # Errors
    /// [`Error::Empty`] if no token is left to be learned.
    pub fn new(tokens: Vec<u32>, n_prompt: usize) -> Result<Self> {
        if tokens.len() <= n_prompt.max(1) {
            return Err(Error::Empty { what: "tokens of an answer" });
        }
        Ok(Sample { tokens, n_prompt })
    }

    /// All tokens.
    #[must_use]
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Those that are read and not learned.
    #[must_use]
    pub fn prompt(&self) -> &[u32] {
        &self.tokens[..self.n_prompt]
    }

    /// Number of tokens that count: those of the answer, its end included if there is one.
    #[must_use]
    pub fn n_labels(&self) -> usize {
        self.tokens.len() - self.n_prompt.max(1)
    }

    /// Number of positions at which a model predicts.
    #[must_use]
    pub fn n_positions(&self) -> usize {
        self.tokens.len() - 1
    }

    /// The first position whose next token counts.
    #[must_use]
    pub fn first_label(&self) -> usize {
        self.n_prompt.max(1) - 1
    }
}

/// What becomes of texts with more tokens than fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OverLong {
    /// They are an error that names the length.
    #[default]
    Refuse,
    /// Tokens at the beginning of the prompt are dropped, so that the answer stays; an answer that does not fit is cut at its end.
    /// [`Encoder::encode`] says so.
    Cut,
}

/// How texts become tokens.
#[derive(Clone, Copy, Debug)]
pub struct Encoder<'a> {
    /// The model's tokenizer.
    pub tokenizer: &'a Tokenizer,
    /// The token that ends an answer, which is learned with it.
    pub end: Option<u32>,
    /// Most tokens of a text.
    pub most: usize,
    /// What becomes of longer ones.
    pub over_long: OverLong,
}

impl Encoder<'_> {
    /// Whether the tokenizer belongs to a model of so many tokens.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if it has more tokens than the model; a model may have unused ones.
    pub fn check(&self, vocab_size: usize) -> Result<()> {
        let n_tokens = self.tokenizer.n_tokens();
        if vocab_size < n_tokens {
            return Err(Error::Tokenizer { n_tokens, vocab_size });
        }
        Ok(())
    }

    /// The tokens of a prompt and an answer, as of one text, with those that the model expects in front; and whether some were cut.
    ///
    /// A token that holds the end of the prompt and the beginning of the answer counts as answer.
    ///
    /// # Errors
    /// [`Error::OverLong`], [`Error::Empty`] if the answer has no token; from the tokenizer.
    pub fn encode(&self, prompt: &str, answer: &str) -> Result<(Sample, bool)> {
        let mut tokens = self.tokenizer.encode(&format!("{prompt}{answer}"), true)?;
        let before = self.tokenizer.encode(prompt, true)?;
        let same = tokens.iter().zip(&before).take_while(|(a, b)| a == b).count();
        let mut n_prompt = if prompt.is_empty() { same.min(before.len()) } else { same };
        // One end: a template may have written it already.
        if self.end.is_some() && tokens.last().copied() != self.end {
            tokens.extend(self.end);
        }
        let cut = self.most < tokens.len();
        if cut {
            if self.over_long == OverLong::Refuse {
                return Err(Error::OverLong { n_tokens: tokens.len(), most: self.most });
            }
            // The first token stays where it is one that begins every text.
            let begins = usize::from(self.begins(&tokens)?);
            let drop = (tokens.len() - self.most).min(n_prompt.saturating_sub(begins.max(1)));
            tokens.drain(begins..begins + drop);
            n_prompt -= drop;
            tokens.truncate(self.most);
        }
        Ok((Sample::new(tokens, n_prompt)?, cut))
    }

    /// A whole text in samples of as many tokens as fit, each behind the tokens that begin every text; one if it fits. No token is lost but
    /// one of the last if that is alone.
    ///
    /// # Errors
    /// [`Error::Empty`] for a text without tokens; [`Error::OverLong`] where less than two tokens fit; from the tokenizer.
    pub fn pieces(&self, text: &str) -> Result<Vec<Sample>> {
        let begin = self.tokenizer.encode("", true)?;
        let mut tokens = self.tokenizer.encode(text, true)?;
        let begin = if tokens.starts_with(&begin) { begin } else { Vec::new() };
        if self.end.is_some() && tokens.last().copied() != self.end {
            tokens.extend(self.end);
        }
        if tokens.len() <= self.most {
            return Ok(vec![Sample::new(tokens, begin.len())?]);
        }
        let room = self.most.saturating_sub(begin.len());
        if room < 2 {
            return Err(Error::OverLong { n_tokens: tokens.len(), most: self.most });
        }
        // A piece of one token behind nothing predicts nothing.
        let pieces = tokens[begin.len()..].chunks(room);
        let pieces = pieces.filter(|piece| 2 <= piece.len() + begin.len());
        pieces.map(|piece| Sample::new([&begin, piece].concat(), begin.len())).collect()
    }

    /// The tokens of a prompt alone, for generation: at most all but `room` of the most that fit. Of longer ones tokens at the beginning are
    /// dropped, behind the one that begins every text.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn prompt(&self, prompt: &str, room: usize) -> Result<Vec<u32>> {
        let mut tokens = self.tokenizer.encode(prompt, true)?;
        let most = self.most.saturating_sub(room).max(1);
        if most < tokens.len() {
            if self.over_long == OverLong::Refuse {
                return Err(Error::OverLong { n_tokens: tokens.len() + room, most: self.most });
            }
            let begins = usize::from(self.begins(&tokens)?).min(most - 1);
            tokens.drain(begins..begins + tokens.len() - most);
        }
        Ok(tokens)
    }

    /// Whether the first of these tokens is one that begins every text.
    fn begins(&self, tokens: &[u32]) -> Result<bool> {
        Ok(self.tokenizer.encode("", true)?.first() == tokens.first())
    }
}
