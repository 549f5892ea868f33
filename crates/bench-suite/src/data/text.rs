//! Texts as tokens: bytes or characters, train and validation parts, windows of fixed length.

use std::path::Path;

use crate::{
    data::file,
    error::{Error, Result},
};

/// Reads a UTF-8 text, plain or gzip-compressed.
///
/// # Errors
/// As [`file::read()`] and [`parse`].
pub fn open(path: &Path) -> Result<String> {
    parse(&file::read(path)?, path, file::LIMIT_BYTES)
}

/// Takes bytes, plain or gzip-compressed, as a UTF-8 text; `file` names them in errors.
///
/// # Errors
/// [`Error::NotUtf8`] with the offset, [`Error::Gzip`] and [`Error::TooLarge`] as
/// [`file::content`].
pub fn parse(bytes: &[u8], file: &Path, limit_bytes: u64) -> Result<String> {
    let content = file::content(bytes, file, limit_bytes)?.into_owned();
    String::from_utf8(content).map_err(|error| Error::NotUtf8 {
        file: file.to_owned(),
        offset: error.utf8_error().valid_up_to(),
    })
}

/// Each byte as a token: a vocabulary of 256 that fits every text.
pub fn byte_tokens(text: &str) -> Vec<u32> {
    text.bytes().map(u32::from).collect()
}

/// The distinct characters of a text in the order of their code points; a token is a position.
///
/// # Privacy
/// The vocabulary tells which characters occur. Take it from a public text or an alphabet, not
/// from the samples under protection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CharVocab {
    chars: Vec<char>,
}

impl CharVocab {
    /// The vocabulary of a text; that of an empty text is empty.
    pub fn from_text(text: &str) -> Self {
        let mut chars: Vec<char> = text.chars().collect();
        chars.sort_unstable();
        chars.dedup();
        CharVocab { chars }
    }

    /// Number of tokens.
    pub fn n_tokens(&self) -> usize {
        self.chars.len()
    }

    /// The characters, token by token.
    pub fn chars(&self) -> &[char] {
        &self.chars
    }

    /// The token of each character.
    ///
    /// # Errors
    /// [`Error::UnknownChar`] for the first character that has none.
    ///
    /// # Examples
    /// ```
    /// # use bench_suite::data::text::CharVocab;
    /// let vocab = CharVocab::from_text("banana");
    /// assert_eq!(vocab.encode("nab")?, [2, 0, 1]);
    /// assert_eq!(vocab.decode(&[2, 0, 1])?, "nab");
    /// # Ok::<(), bench_suite::Error>(())
    /// ```
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let token = |(position, got)| {
            let found = self.chars.binary_search(&got).ok();
            // There are fewer than 2^32 characters, so each position fits.
            let token = found.and_then(|token| u32::try_from(token).ok());
            token.ok_or(Error::UnknownChar { got, position })
        };
        text.chars().enumerate().map(token).collect()
    }

    /// The character of each token.
    ///
    /// # Errors
    /// [`Error::UnknownToken`] for the first token that has none.
    pub fn decode(&self, tokens: &[u32]) -> Result<String> {
        let char = |(position, &got): (usize, &u32)| {
            let n_tokens = self.n_tokens();
            let found = self.chars.get(got as usize).copied();
            found.ok_or(Error::UnknownToken { got, position, n_tokens })
        };
        tokens.iter().enumerate().map(char).collect()
    }
}

/// Cuts a sequence in a first part of `train_fraction`, rounded down, and the rest.
///
/// # Errors
/// [`Error::Setting`] unless the fraction lies between 0 and 1 and both parts get a token.
pub fn split_at_fraction<T>(tokens: &[T], train_fraction: f64) -> Result<(&[T], &[T])> {
    let refused = Error::Setting {
        name: "train fraction",
        must: "between 0 and 1, with a token on either side",
        got: train_fraction,
    };
    if !(0.0 < train_fraction && train_fraction < 1.0) {
        return Err(refused);
    }
    // The product lies between 0 and the length, so the cast only drops the fraction.
    #[expect(clippy::cast_possible_truncation)]
    let n_train = (tokens.len() as f64 * train_fraction) as usize;
    if n_train == 0 || tokens.len() <= n_train {
        return Err(refused);
    }
    Ok(tokens.split_at(n_train))
}

/// The windows of a sequence: `length` tokens each, beginning every `stride` tokens.
///
/// A last window that would be shorter is left out. To predict the next token from a context of
/// `t` tokens take windows of `t + 1`: inputs are all tokens but the last, targets all but the first.
///
/// # Privacy
/// With `length <= stride` a token is in at most one window, so that leaving one window out is
/// what changes when its text is left out. With a smaller stride a passage is in several windows,
/// and a guarantee for one window is weaker for the passage.
#[derive(Clone, Copy, Debug)]
pub struct Windows<'a, T = u32> {
    tokens: &'a [T],
    length: usize,
    stride: usize,
}

impl<'a, T> Windows<'a, T> {
    /// Windows over `tokens`; a sequence shorter than `length` has none.
    ///
    /// # Errors
    /// [`Error::Setting`] if `length` or `stride` is 0.
    ///
    /// # Examples
    /// ```
    /// # use bench_suite::data::text::Windows;
    /// let windows = Windows::new(&[1, 2, 3, 4, 5, 6], 3, 2)?;
    /// assert_eq!(windows.iter().collect::<Vec<_>>(), [[1, 2, 3], [3, 4, 5]]);
    /// # Ok::<(), bench_suite::Error>(())
    /// ```
    pub fn new(tokens: &'a [T], length: usize, stride: usize) -> Result<Self> {
        for (name, value) in [("window length", length), ("window stride", stride)] {
            if value == 0 {
                return Err(Error::Setting { name, must: "at least 1", got: 0.0 });
            }
        }
        Ok(Windows { tokens, length, stride })
    }

    /// Number of windows.
    pub fn len(&self) -> usize {
        match self.tokens.len().checked_sub(self.length) {
            Some(rest) => rest / self.stride + 1,
            None => 0,
        }
    }

    /// Whether the sequence is shorter than one window.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tokens of each window.
    pub fn length(&self) -> usize {
        self.length
    }

    /// The window of that number.
    ///
    /// # Errors
    /// [`Error::SampleIndex`] for a number behind the last window.
    pub fn get(&self, window_idx: usize) -> Result<&'a [T]> {
        let n_samples = self.len();
        if n_samples <= window_idx {
            return Err(Error::SampleIndex { got: window_idx, n_samples });
        }
        Ok(&self.tokens[window_idx * self.stride..][..self.length])
    }

    /// All windows in order.
    pub fn iter(&self) -> impl Iterator<Item = &'a [T]> + use<'a, T> {
        self.tokens.windows(self.length).step_by(self.stride)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_cut_and_the_short_rest_is_left_out() {
        let tokens: Vec<u32> = (0..10).collect();
        for (length, stride, n_windows) in
            [(3, 3, 3), (3, 1, 8), (10, 1, 1), (10, 99, 1), (11, 1, 0), (1, 4, 3), (5, 5, 2)]
        {
            let windows = Windows::new(&tokens, length, stride).unwrap();
            assert_eq!(windows.len(), n_windows);
            assert_eq!(windows.is_empty(), n_windows == 0);
            let all: Vec<_> = windows.iter().collect();
            assert_eq!(all.len(), n_windows);
            for (window_idx, window) in all.into_iter().enumerate() {
                assert_eq!(window, windows.get(window_idx).unwrap());
                assert_eq!((window.len(), window[0] as usize), (length, window_idx * stride));
            }
            assert!(matches!(windows.get(n_windows), Err(Error::SampleIndex { .. })));
        }
    }

    #[test]
    fn windows_of_nothing_are_refused() {
        assert_eq!(
            Windows::new(&[1], 0, 1).unwrap_err().to_string(),
            "window length: must be at least 1, got 0"
        );
        assert!(Windows::new(&[1], 1, 0).is_err());
        assert!(Windows::<u32>::new(&[], usize::MAX, usize::MAX).unwrap().is_empty());
    }

    #[test]
    fn a_text_survives_encoding() {
        let text = "ein Stück Käse 🧀\n";
        let vocab = CharVocab::from_text(text);
        assert_eq!(vocab.chars()[..2], ['\n', ' ']);
        assert_eq!(vocab.decode(&vocab.encode(text).unwrap()).unwrap(), text);
        assert_eq!(
            vocab.encode("Käsx").unwrap_err().to_string(),
            "character 'x' at position 3 is not in the vocabulary"
        );
        assert_eq!(
            vocab.decode(&[0, 99]).unwrap_err().to_string(),
            "token at position 1: expected less than 14, got 99"
        );
        assert_eq!(byte_tokens("aä"), [97, 195, 164]);
    }

    #[test]
    fn a_wrong_byte_is_named_by_its_offset() {
        let error = parse(b"ab\xffcd", Path::new("t"), 100).unwrap_err();
        assert_eq!(error.to_string(), "`t`: expected UTF-8, got another byte at offset 2");
        assert!(parse(b"abc", Path::new("t"), 2).is_err());
    }

    #[test]
    fn the_first_part_goes_to_training() {
        let tokens: Vec<u32> = (0..10).collect();
        let (train, validation) = split_at_fraction(&tokens, 0.9).unwrap();
        assert_eq!((train.len(), validation), (9, &[9][..]));
        for fraction in [0.0, 1.0, -0.5, 1.5, f64::NAN, 0.05] {
            assert!(split_at_fraction(&tokens, fraction).is_err(), "{fraction}");
        }
        assert!(split_at_fraction::<u32>(&[], 0.5).is_err());
    }
}
