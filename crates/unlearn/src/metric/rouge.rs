//! ROUGE: how much of a reference a generation repeats.

use std::collections::HashMap;
use std::num::NonZeroUsize;

use super::porter;

/// How texts are cut into tokens. The measures are methods.
///
/// # Source
/// C.-Y. Lin, ROUGE (2004), as the Python package `rouge-score` 0.1.2 computes it; see [`Rouge::tokens`].
///
/// # Examples
/// ```
/// use unlearn::metric::rouge::Rouge;
///
/// let overlap = Rouge { stemmer: true }.rouge_l("The cats sat.", "the cat slept");
/// assert_eq!(overlap.recall, 2.0 / 3.0);
/// assert_eq!(Rouge { stemmer: false }.rouge_l("The cats sat.", "the cat slept").recall, 1.0 / 3.0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rouge {
    /// Whether words longer than three characters are replaced by their stem.
    pub stemmer: bool,
}

/// Shares of what two texts have in common, each in `[0, 1]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Overlap {
    /// Share of the candidate that the reference has.
    pub precision: f64,
    /// Share of the reference that the candidate has.
    pub recall: f64,
    /// Harmonic mean of both, 0 if both are 0.
    pub f_measure: f64,
}

impl Overlap {
    /// Of `common` units among `reference` and `candidate` ones. Without units a share is 0.
    fn new(common: usize, reference: usize, candidate: usize) -> Self {
        let share = |of: usize| common as f64 / of.max(1) as f64;
        let (precision, recall) = (share(candidate), share(reference));
        let sum = precision + recall;
        let f_measure = if 0.0 < sum { 2.0 * precision * recall / sum } else { 0.0 };
        Overlap { precision, recall, f_measure }
    }
}

/// One of the numbers of [`Overlap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Share of the candidate.
    Precision,
    /// Share of the reference.
    Recall,
    /// Harmonic mean.
    FMeasure,
}

impl Part {
    /// That number.
    #[must_use]
    pub fn of(self, overlap: Overlap) -> f64 {
        match self {
            Part::Precision => overlap.precision,
            Part::Recall => overlap.recall,
            Part::FMeasure => overlap.f_measure,
        }
    }
}

impl Rouge {
    /// The tokens of a text: runs of `a` to `z` and `0` to `9` after lower-casing (full Unicode mapping), stemmed if longer
    /// than three characters and if so set. Every other character separates, letters with accents included.
    #[must_use]
    pub fn tokens(self, text: &str) -> Vec<String> {
        let lower = text.to_lowercase();
        let is_token = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let words = lower.split(|c: char| !is_token(c)).filter(|word| !word.is_empty());
        let token = |word: &str| {
            if self.stemmer && word.len() > 3 { porter::stem(word) } else { word.to_string() }
        };
        words.map(token).collect()
    }

    /// Runs of `n` tokens in common, each counted at most as often as the other text has it.
    #[must_use]
    pub fn rouge_n(self, n: NonZeroUsize, reference: &str, candidate: &str) -> Overlap {
        let (reference, candidate) = (self.tokens(reference), self.tokens(candidate));
        let mut left: HashMap<&[String], usize> = HashMap::new();
        for gram in reference.windows(n.get()) {
            *left.entry(gram).or_default() += 1;
        }
        let mut common = 0;
        for gram in candidate.windows(n.get()) {
            if let Some(count) = left.get_mut(gram).filter(|count| **count > 0) {
                *count -= 1;
                common += 1;
            }
        }
        let n_grams = |tokens: &[String]| (tokens.len() + 1).saturating_sub(n.get());
        Overlap::new(common, n_grams(&reference), n_grams(&candidate))
    }

    /// Tokens in common: [`Rouge::rouge_n`] with one token.
    #[must_use]
    pub fn rouge_1(self, reference: &str, candidate: &str) -> Overlap {
        self.rouge_n(NonZeroUsize::MIN, reference, candidate)
    }

    /// The longest common subsequence of tokens. Takes time in proportion to the product of the lengths.
    ///
    /// An empty reference scores 0 even against an empty candidate.
    #[must_use]
    pub fn rouge_l(self, reference: &str, candidate: &str) -> Overlap {
        let (reference, candidate) = (self.tokens(reference), self.tokens(candidate));
        let common = longest_common_subsequence(&reference, &candidate);
        Overlap::new(common, reference.len(), candidate.len())
    }
}

fn longest_common_subsequence(a: &[String], b: &[String]) -> usize {
    // Comparing numbers is faster than comparing words; words that only one text has are all alike.
    let numbers: HashMap<&str, usize> = b.iter().map(String::as_str).zip(1..).collect();
    let number = |word: &String| numbers.get(word.as_str()).copied();
    let b: Vec<Option<usize>> = b.iter().map(number).collect();
    let mut longest = vec![0; b.len() + 1]; // with the first j words of b
    for word in a.iter().map(number).filter(Option::is_some) {
        let mut diagonal = 0;
        for (j, other) in b.iter().enumerate() {
            let above = longest[j + 1];
            longest[j + 1] = if word == *other { diagonal + 1 } else { above.max(longest[j]) };
            diagonal = above;
        }
    }
    longest[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Rouge = Rouge { stemmer: false };

    #[test]
    fn tokens_are_runs_of_ascii_letters_and_digits() {
        assert_eq!(PLAIN.tokens("Café-au-lait №5, 10\u{212a}!"), ["caf", "au", "lait", "5", "10k"]);
        assert!(PLAIN.tokens("…").is_empty());
        let stems = Rouge { stemmer: true }.tokens("was cats running");
        assert_eq!(stems, ["was", "cat", "run"]); // three characters stay
    }

    #[test]
    fn an_order_counts_for_l_and_not_for_1() {
        assert_eq!(PLAIN.rouge_l("a b c d", "d c b a").recall, 0.25);
        assert_eq!(PLAIN.rouge_1("a b c d", "d c b a").recall, 1.0);
        assert_eq!(PLAIN.rouge_1("a a b", "a a a b").precision, 0.75);
    }

    #[test]
    fn empty_texts_score_nothing() {
        let zero = Overlap { precision: 0.0, recall: 0.0, f_measure: 0.0 };
        for (reference, candidate) in [("", ""), ("a", ""), ("", "a"), ("?", "!")] {
            assert_eq!(PLAIN.rouge_l(reference, candidate), zero);
            assert_eq!(PLAIN.rouge_1(reference, candidate), zero);
        }
        let pairs = NonZeroUsize::new(2).unwrap();
        assert_eq!(PLAIN.rouge_n(pairs, "a", "a"), zero);
    }
}
