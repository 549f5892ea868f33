//! Generation from texts to texts.

use tensor_tree::{Key, Tree};

use super::{Prompts, Settings, generate, generate_batch};
use crate::error::Result;
use crate::load::Tokenizer;
use crate::net::LanguageModel;

/// The text that follows `prompt`, special tokens left out. The tokens that the model expects around a text are
/// put around the prompt.
///
/// # Errors
/// As [`generate`]; from the tokenizer.
pub fn generate_text<M: LanguageModel + ?Sized>(
    model: &M,
    trainable: &Tree,
    frozen: &Tree,
    tokenizer: &Tokenizer,
    prompt: &str,
    settings: &Settings,
    key: Key,
) -> Result<String> {
    let prompt = tokenizer.encode(prompt, true)?;
    let new = generate(model, trainable, frozen, &prompt, settings, key)?;
    continuation(tokenizer, &prompt, &new)
}

/// [`generate_text`] for many prompts at once: the texts that follow them, in their order. Prompt `i` has the key
/// `key.child(Label::Sample(i))`; see [`generate_batch`].
///
/// # Errors
/// As [`generate_batch`]; from the tokenizer.
pub fn generate_texts<M: LanguageModel + ?Sized, S: AsRef<str>>(
    model: &M,
    trainable: &Tree,
    frozen: &Tree,
    tokenizer: &Tokenizer,
    prompts: Prompts<'_, S>,
    settings: &Settings,
    key: Key,
) -> Result<Vec<String>> {
    let encoded = prompts.all().iter().map(|prompt| tokenizer.encode(prompt.as_ref(), true));
    let encoded = encoded.collect::<Result<Vec<_>>>()?;
    let new = generate_batch(model, trainable, frozen, prompts.over(&encoded), settings, key)?;
    encoded.iter().zip(&new).map(|(prompt, new)| continuation(tokenizer, prompt, new)).collect()
}

/// What the tokens `new` add to the text of `prompt`, special tokens left out.
///
/// # Errors
/// From the tokenizer.
pub fn continuation(tokenizer: &Tokenizer, prompt: &[u32], new: &[u32]) -> Result<String> {
    let before = tokenizer.decode(prompt, true)?;
    // Spaces at a text's beginning are lost in decoding, so the new part is cut from the whole.
    let whole = tokenizer.decode(&[prompt, new].concat(), true)?;
    match whole.strip_prefix(&before) {
        Some(new) => Ok(new.to_owned()),
        None => tokenizer.decode(new, true),
    }
}
