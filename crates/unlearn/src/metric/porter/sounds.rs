//! Vowels, consonants and what Porter counts of them.

/// How often a vowel is followed by a consonant, Porter's `m`.
pub(super) fn measure(stem: &[u8]) -> usize {
    let mut was_vowel = false;
    let mut count = 0;
    for idx in 0..stem.len() {
        let consonant = is_consonant(stem, idx);
        count += usize::from(was_vowel && consonant);
        was_vowel = !consonant;
    }
    count
}

/// `y` is a consonant at the start and after a vowel; digits are consonants.
pub(super) fn is_consonant(word: &[u8], idx: usize) -> bool {
    match word[idx] {
        b'a' | b'e' | b'i' | b'o' | b'u' => false,
        b'y' => {
            // Consonant iff an even number of `y`s in a row stand before it, and a vowel or nothing before those;
            // or an odd number, and a consonant before those.
            let n_before = word[..idx].iter().rev().take_while(|c| **c == b'y').count();
            let first_is_consonant =
                idx == n_before || b"aeiou".contains(&word[idx - n_before - 1]);
            first_is_consonant == n_before.is_multiple_of(2)
        }
        _ => true,
    }
}

pub(super) fn has_vowel(stem: &[u8]) -> bool {
    (0..stem.len()).any(|idx| !is_consonant(stem, idx))
}

pub(super) fn ends_with_double_consonant(word: &[u8]) -> bool {
    matches!(word, [.., a, b] if a == b) && is_consonant(word, word.len() - 1)
}

/// Porter's `*o`: consonant, vowel, consonant other than w, x, y; here also a vowel and a consonant alone.
pub(super) fn ends_with_short_syllable(stem: &[u8]) -> bool {
    let n = stem.len();
    let consonant = |from_end: usize| is_consonant(stem, n - from_end);
    match n {
        0 | 1 => false,
        2 => !consonant(2) && consonant(1),
        _ => {
            consonant(3)
                && !consonant(2)
                && consonant(1)
                && !matches!(stem[n - 1], b'w' | b'x' | b'y')
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_y_is_read_from_what_stands_before_it() {
        let consonants = |word: &str| -> Vec<bool> {
            (0..word.len()).map(|idx| is_consonant(word.as_bytes(), idx)).collect()
        };
        assert_eq!(consonants("yyy"), [true, false, true]);
        assert_eq!(consonants("ayy"), [false, true, false]);
        assert_eq!(consonants("byy"), [true, false, true]);
    }
}
