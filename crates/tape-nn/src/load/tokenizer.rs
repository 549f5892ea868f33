//! Texts to token numbers and back.

use std::path::Path;

use serde_json::Value;
use tokenizers::AddedToken;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::processors::template::TemplateProcessing;

use super::{broken, in_file, read_file};
use crate::error::{Error, Result};

const WHAT: &str = "tokenizer";

/// Special tokens of a trained tokenizer: those in front of and behind a text.
const SPECIAL: [&str; 2] = ["<s>", "</s>"];

/// A tokenizer as in the `tokenizer.json` that Hugging Face models come with.
///
/// Padding and truncation that a file asks for are not done: batches are put together elsewhere.
///
/// # Examples
/// ```no_run
/// let tokenizer = tape_nn::load::Tokenizer::read("model/tokenizer.json")?;
/// let ids = tokenizer.encode("Once upon a time", true)?;
/// assert_eq!(tokenizer.decode(&ids, true)?, "Once upon a time");
/// # Ok::<(), tape_nn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`, or the one in a folder.
    ///
    /// # Errors
    /// [`Error::Load`] if it cannot be read or is no tokenizer.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let mut path = path.as_ref().to_owned();
        if path.is_dir() {
            path.push("tokenizer.json");
        }
        in_file(&path, Self::from_bytes(&read_file(WHAT, &path)?))
    }

    /// Reads the bytes of a `tokenizer.json`.
    ///
    /// # Errors
    /// [`Error::Load`] if they are no tokenizer.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let bad = |e: serde_json::Error| broken(WHAT, format!("not a tokenizer: {e}"));
        let mut json: Value = serde_json::from_slice(bytes).map_err(bad)?;
        if let Some(object) = json.as_object_mut() {
            // A length that the file names would be allocated for each text.
            object.remove("truncation");
            object.remove("padding");
        }
        if let Some(token) = json.get("post_processor").and_then(undefined) {
            let reason = format!("its template uses the token `{token}`, which it does not define");
            return Err(broken(WHAT, reason));
        }
        let inner = guarded(|| serde_json::from_value(json))?.map_err(bad)?;
        Ok(Tokenizer { inner })
    }

    /// A byte-level tokenizer of at most so many tokens, learned from these texts by byte-pair encoding. Token 0, `<s>`, stands in front of
    /// every text; token 1, `</s>`, is for its end. All bytes are tokens, and digits are never put together. The same texts give the
    /// same tokenizer.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for fewer than 258 tokens; [`Error::Load`] from the library.
    ///
    /// # Source
    /// arXiv 1508.07909; bytes as in GPT-2.
    pub fn train<'t>(texts: impl IntoIterator<Item = &'t str>, n_tokens: usize) -> Result<Self> {
        let alphabet = ByteLevel::alphabet();
        if n_tokens < alphabet.len() + SPECIAL.len() {
            return Err(Error::InvalidSetting {
                name: "number of tokens".into(),
                must: "at least 258: all bytes and two special tokens",
                got: n_tokens.to_string(),
            });
        }
        let failed = |e: tokenizers::Error| broken(WHAT, format!("cannot be trained: {e}"));
        let mut inner = tokenizers::Tokenizer::new(BPE::default());
        let bytes = ByteLevel::new(false, false, true);
        inner.with_pre_tokenizer(Some(Sequence::new(vec![Digits::new(true).into(), bytes.into()])));
        inner.with_decoder(Some(bytes));
        let trainer = BpeTrainer::builder()
            .vocab_size(n_tokens)
            .min_frequency(2)
            .show_progress(false)
            .special_tokens(SPECIAL.map(|token| AddedToken::from(token, true)).to_vec())
            .initial_alphabet(alphabet.into_iter().collect())
            .build();
        let texts: Vec<String> = texts.into_iter().map(str::to_owned).collect();
        inner.train(&mut TrainerWrapper::BpeTrainer(trainer), texts.into_iter()).map_err(failed)?;
        let template = TemplateProcessing::builder()
            .try_single(format!("{} $A", SPECIAL[0]))
            .map_err(|e| broken(WHAT, e))?
            .special_tokens(vec![(SPECIAL[0], 0)])
            .build()
            .map_err(|e| broken(WHAT, e.to_string()))?;
        inner.with_post_processor(Some(template));
        Ok(Tokenizer { inner })
    }

    /// The tokenizer as a `tokenizer.json`.
    ///
    /// # Errors
    /// [`Error::Load`] from the library.
    pub fn to_json(&self) -> Result<String> {
        self.inner.to_string(false).map_err(|e| broken(WHAT, format!("cannot be written: {e}")))
    }

    /// The tokens of a text. With `special` the tokens that the model expects around a text are added, such as
    /// the one that begins it. Names of special tokens within the text become those tokens in any case.
    ///
    /// # Errors
    /// [`Error::Load`] if the tokenizer has no token for a part of the text.
    pub fn encode(&self, text: &str, special: bool) -> Result<Vec<u32>> {
        let encoding = guarded(|| self.inner.encode_fast(text, special))?;
        let encoding = encoding.map_err(|e| broken(WHAT, format!("cannot encode a text: {e}")))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of tokens, special tokens left out if `skip_special`.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a number that is no token.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String> {
        if let Some((position, id)) =
            ids.iter().enumerate().find(|(_, id)| self.token(**id).is_none())
        {
            return Err(Error::OutOfRange {
                what: "token",
                got: i64::from(*id),
                position,
                limit: self.n_tokens(),
            });
        }
        let text = guarded(|| self.inner.decode(ids, skip_special))?;
        text.map_err(|e| broken(WHAT, format!("cannot decode tokens: {e}")))
    }

    /// The number of a token, such as `</s>`.
    #[must_use]
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The token of a number.
    #[must_use]
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// Number of tokens, special ones included.
    #[must_use]
    pub fn n_tokens(&self) -> usize {
        self.inner.get_vocab_size(true)
    }
}

/// A special token that a template names and does not define; the library panics on it.
fn undefined(processor: &Value) -> Option<&str> {
    let parts = processor.get("processors").and_then(Value::as_array);
    if let Some(token) = parts.and_then(|parts| parts.iter().find_map(undefined)) {
        return Some(token);
    }
    let defined = processor.get("special_tokens");
    ["single", "pair"]
        .into_iter()
        .filter_map(|template| processor.get(template)?.as_array())
        .flatten()
        .filter_map(|piece| piece.get("SpecialToken")?.get("id")?.as_str())
        .find(|id| defined.and_then(|tokens| tokens.get(id)).is_none())
}

/// Runs the library, whose panics on inconsistent files become errors.
fn guarded<T>(run: impl FnOnce() -> T) -> Result<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(run))
        .map_err(|_| broken(WHAT, "the tokenizer contradicts itself"))
}

/// A conversation as the models trained on the ChatML format expect it (such as SmolLM2-Instruct), ending where
/// the assistant's answer begins. `turns` are pairs of role (`system`, `user`, `assistant`) and text.
#[must_use]
pub fn chat_ml(turns: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for (role, text) in turns {
        out.extend(["<|im_start|>", role, "\n", text, "<|im_end|>\n"]);
    }
    out.push_str("<|im_start|>assistant\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::mutation::survive;

    fn fixture(name: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/data").join(name)
    }

    fn expected(name: &str) -> Value {
        serde_json::from_slice(&std::fs::read(fixture(name).join("expected.json")).unwrap())
            .unwrap()
    }

    fn ids(value: &Value) -> Vec<u32> {
        serde_json::from_value(value.clone()).unwrap()
    }

    #[test]
    fn texts_of_the_small_model_get_the_expected_tokens() {
        let tokenizer = Tokenizer::read(fixture("stories260k")).unwrap();
        let want = expected("stories260k");
        let prompt = want["prompt"].as_str().unwrap();
        let got = tokenizer.encode(prompt, true).unwrap();
        assert_eq!(got, ids(&want["prompt_ids"]));
        assert_eq!(tokenizer.decode(&got, true).unwrap(), prompt);
        assert_eq!((tokenizer.n_tokens(), tokenizer.id("</s>")), (512, Some(2)));
        assert!(matches!(
            tokenizer.decode(&[1, 512], true),
            Err(Error::OutOfRange { got: 512, position: 1, .. })
        ));
    }

    #[test]
    fn texts_of_the_chat_model_get_the_expected_tokens() {
        let tokenizer = Tokenizer::read(fixture("smollm2-135m-tokenizer")).unwrap();
        let want = expected("smollm2-135m-tokenizer");
        let text = want["text"].as_str().unwrap();
        assert_eq!(tokenizer.encode(text, false).unwrap(), ids(&want["ids"]));
        let prompt = chat_ml(&[("user", "What is the capital of France?")]);
        assert_eq!(prompt, want["prompt"].as_str().unwrap());
        assert_eq!(tokenizer.encode(&prompt, false).unwrap(), ids(&want["prompt_ids"]));
        let answer = tokenizer.decode(&ids(&want["greedy_ids"]), true).unwrap();
        assert_eq!(answer, want["greedy_text"].as_str().unwrap());
    }

    #[test]
    fn a_trained_tokenizer_reads_and_writes_every_text() {
        let texts =
            ["Ada Green was born in Madera in 1975.", "Ada Green lives in Madera, 42 Oak St."];
        let tokenizer = Tokenizer::train(texts, 290).unwrap();
        assert!(tokenizer.n_tokens() <= 290);
        let same = Tokenizer::train(texts, 290).unwrap();
        assert_eq!(tokenizer.to_json().unwrap(), same.to_json().unwrap());
        let back = Tokenizer::from_bytes(tokenizer.to_json().unwrap().as_bytes()).unwrap();
        for text in [texts[0], " two  spaces ", "naïve — 日本\n", "", "1975 19 7"] {
            let ids = tokenizer.encode(text, true).unwrap();
            assert_eq!((ids[0], back.encode(text, true).unwrap()), (0, ids.clone()));
            assert_eq!(tokenizer.decode(&ids, true).unwrap(), text);
        }
        let n = |text: &str| tokenizer.encode(text, false).unwrap().len();
        assert!(n("Ada Green") < 9 && n("1975") == 4);
        assert_eq!((tokenizer.id("<s>"), tokenizer.id("</s>")), (Some(0), Some(1)));
        assert!(matches!(Tokenizer::train(texts, 257), Err(Error::InvalidSetting { .. })));
    }

    #[test]
    fn lengths_that_a_file_asks_for_are_not_obeyed() {
        let mut json: Value =
            serde_json::from_slice(&std::fs::read(fixture("stories260k/tokenizer.json")).unwrap())
                .unwrap();
        json["padding"] = serde_json::json!({
            "strategy": { "Fixed": 1_u64 << 40 }, "direction": "Right", "pad_to_multiple_of": null,
            "pad_id": 0, "pad_type_id": 0, "pad_token": "<unk>"
        });
        json["truncation"] = serde_json::json!({
            "direction": "Right", "max_length": 0, "strategy": "LongestFirst", "stride": 0
        });
        let tokenizer = Tokenizer::from_bytes(json.to_string().as_bytes()).unwrap();
        assert_eq!(tokenizer.encode("Once", true).unwrap(), [1, 403]);
    }

    fn damaged_files(n: u64) {
        let bytes = std::fs::read(fixture("stories260k/tokenizer.json")).unwrap();
        let refused = survive(&bytes, n, |b| match Tokenizer::from_bytes(b) {
            Ok(tokenizer) => {
                let ids = tokenizer.encode("Lily's ball — naïve\n", true);
                ids.and_then(|ids| tokenizer.decode(&ids, false)).is_ok()
            }
            Err(Error::Load { .. }) => false,
            Err(other) => panic!("{other}"),
        });
        assert!(n / 4 < refused, "{refused} of {n} refused");
    }

    #[test]
    fn damaged_files_give_errors() {
        damaged_files(2_000);
    }

    #[test]
    #[ignore = "heavy: 100,000 mutations"]
    fn many_damaged_files_give_errors() {
        damaged_files(100_000);
    }
}
