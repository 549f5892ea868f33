//! Porter's stemmer with the extensions of NLTK, on which published ROUGE scores rest.

mod sounds;

use sounds::{
    ends_with_double_consonant, ends_with_short_syllable, has_vowel, is_consonant, measure,
};

/// A suffix and what takes its place.
type Rule = (&'static str, &'static str);

/// The first rule whose suffix the word has decides: it is applied if `holds` of what stands before the suffix, else none is.
fn apply_first(word: Vec<u8>, rules: &[Rule], holds: impl Fn(&[u8], &str) -> bool) -> Vec<u8> {
    for (suffix, replacement) in rules {
        if let Some(stem) = word.strip_suffix(suffix.as_bytes()) {
            let stem = stem.to_vec();
            return if holds(&stem, suffix) { join(stem, replacement) } else { word };
        }
    }
    word
}

fn join(mut stem: Vec<u8>, end: &str) -> Vec<u8> {
    stem.extend_from_slice(end.as_bytes());
    stem
}

/// Words that have their stems from a list.
const IRREGULAR: [(&str, &str); 16] = [
    ("sky", "sky"),
    ("skies", "sky"),
    ("dying", "die"),
    ("lying", "lie"),
    ("tying", "tie"),
    ("news", "news"),
    ("innings", "inning"),
    ("inning", "inning"),
    ("outings", "outing"),
    ("outing", "outing"),
    ("cannings", "canning"),
    ("canning", "canning"),
    ("howe", "howe"),
    ("proceed", "proceed"),
    ("exceed", "exceed"),
    ("succeed", "succeed"),
];

const STEP_1A: [Rule; 4] = [("sses", "ss"), ("ies", "i"), ("ss", "ss"), ("s", "")];

const STEP_2: [Rule; 22] = [
    ("ational", "ate"),
    ("tional", "tion"),
    ("enci", "ence"),
    ("anci", "ance"),
    ("izer", "ize"),
    ("bli", "ble"),
    ("alli", "al"),
    ("entli", "ent"),
    ("eli", "e"),
    ("ousli", "ous"),
    ("ization", "ize"),
    ("ation", "ate"),
    ("ator", "ate"),
    ("alism", "al"),
    ("iveness", "ive"),
    ("fulness", "ful"),
    ("ousness", "ous"),
    ("aliti", "al"),
    ("iviti", "ive"),
    ("biliti", "ble"),
    ("fulli", "ful"),
    ("logi", "log"),
];

const STEP_3: [Rule; 7] = [
    ("icate", "ic"),
    ("ative", ""),
    ("alize", "al"),
    ("iciti", "ic"),
    ("ical", "ic"),
    ("ful", ""),
    ("ness", ""),
];

const STEP_4: [Rule; 19] = [
    ("al", ""),
    ("ance", ""),
    ("ence", ""),
    ("er", ""),
    ("ic", ""),
    ("able", ""),
    ("ible", ""),
    ("ant", ""),
    ("ement", ""),
    ("ment", ""),
    ("ent", ""),
    ("ion", ""),
    ("ou", ""),
    ("ism", ""),
    ("ate", ""),
    ("iti", ""),
    ("ous", ""),
    ("ive", ""),
    ("ize", ""),
];

/// The stem of a word of ASCII letters and digits, as NLTK's `PorterStemmer` gives it in its default mode.
///
/// Letters are lower-cased first. A word with any other character comes back as it is: ROUGE has no such tokens.
///
/// # Source
/// M. F. Porter, An algorithm for suffix stripping, Program 14 (1980), and the departures that NLTK's
/// `NLTK_EXTENSIONS` documents: a list of irregular words, words of one and two letters left alone, `ies` and `ied` of
/// four letters, `y` after a consonant only, `bli` for `abli`, `alli` before the other rules of step 2 and
/// repeated, `fulli`, `logi`.
///
/// # Examples
/// ```
/// use unlearn::metric::porter::stem;
///
/// assert_eq!(stem("forgetting"), "forget");
/// assert_eq!(stem("ties"), "tie"); // published: ti
/// ```
#[must_use]
pub fn stem(word: &str) -> String {
    if !word.bytes().all(|c| c.is_ascii_alphanumeric()) {
        return word.to_string();
    }
    let word = word.to_ascii_lowercase();
    if let Some((_, stem)) = IRREGULAR.iter().find(|(irregular, _)| *irregular == word) {
        return (*stem).to_string();
    }
    if word.len() <= 2 {
        return word;
    }
    let mut word = word.into_bytes();
    for step in [step_1a, step_1b, step_1c, step_2, step_3, step_4, step_5a, step_5b] {
        word = step(word);
    }
    word.into_iter().map(char::from).collect()
}

fn step_1a(word: Vec<u8>) -> Vec<u8> {
    if word.len() == 4 && word.ends_with(b"ies") {
        return word[..3].to_vec();
    }
    apply_first(word, &STEP_1A, |_, _| true)
}

fn step_1b(word: Vec<u8>) -> Vec<u8> {
    if let Some(stem) = word.strip_suffix(b"ied") {
        return join(stem.to_vec(), if word.len() == 4 { "ie" } else { "i" });
    }
    if let Some(stem) = word.strip_suffix(b"eed") {
        return if measure(stem) > 0 { join(stem.to_vec(), "ee") } else { word };
    }
    let ended = [&b"ed"[..], b"ing"].into_iter().filter_map(|suffix| word.strip_suffix(suffix));
    let Some(stem) = ended.map(<[u8]>::to_vec).find(|stem| has_vowel(stem)) else { return word };
    if [&b"at"[..], b"bl", b"iz"].into_iter().any(|end| stem.ends_with(end)) {
        return join(stem, "e");
    }
    if ends_with_double_consonant(&stem) {
        let keeps = stem.ends_with(b"l") || stem.ends_with(b"s") || stem.ends_with(b"z");
        return if keeps { stem } else { stem[..stem.len() - 1].to_vec() };
    }
    if measure(&stem) == 1 && ends_with_short_syllable(&stem) { join(stem, "e") } else { stem }
}

fn step_1c(word: Vec<u8>) -> Vec<u8> {
    apply_first(word, &[("y", "i")], |stem, _| stem.len() > 1 && is_consonant(stem, stem.len() - 1))
}

fn step_2(mut word: Vec<u8>) -> Vec<u8> {
    while let Some(stem) = word.strip_suffix(b"alli").filter(|stem| measure(stem) > 0) {
        word = join(stem.to_vec(), "al");
    }
    apply_first(word, &STEP_2, |stem, suffix| match suffix {
        "logi" => measure(&join(stem.to_vec(), "l")) > 0,
        _ => measure(stem) > 0,
    })
}

fn step_3(word: Vec<u8>) -> Vec<u8> {
    apply_first(word, &STEP_3, |stem, _| measure(stem) > 0)
}

fn step_4(word: Vec<u8>) -> Vec<u8> {
    apply_first(word, &STEP_4, |stem, suffix| {
        measure(stem) > 1 && (suffix != "ion" || stem.ends_with(b"s") || stem.ends_with(b"t"))
    })
}

fn step_5a(word: Vec<u8>) -> Vec<u8> {
    apply_first(word, &[("e", "")], |stem, _| {
        measure(stem) > 1 || (measure(stem) == 1 && !ends_with_short_syllable(stem))
    })
}

fn step_5b(word: Vec<u8>) -> Vec<u8> {
    apply_first(word, &[("ll", "l")], |stem, _| measure(&join(stem.to_vec(), "l")) > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_of_the_paper_does_what_its_examples_say() {
        let pairs = [
            ("caresses", "caress"),
            ("ponies", "poni"),
            ("feed", "feed"),
            ("agreed", "agre"),
            ("plastered", "plaster"),
            ("bled", "bled"),
            ("motoring", "motor"),
            ("sing", "sing"),
            ("conflated", "conflat"),
            ("hopping", "hop"),
            ("falling", "fall"),
            ("hissing", "hiss"),
            ("filing", "file"),
            ("happy", "happi"),
            ("relational", "relat"),
            ("vietnamization", "vietnam"),
            ("triplicate", "triplic"),
            ("hopefulness", "hope"),
            ("adoption", "adopt"),
            ("communism", "commun"),
            ("probate", "probat"),
            ("cease", "ceas"),
            ("controlling", "control"),
            ("roll", "roll"),
        ];
        for (word, want) in pairs {
            assert_eq!(stem(word), want, "{word}");
        }
    }

    #[test]
    fn extensions_depart_from_the_paper() {
        let pairs = [
            ("ties", "tie"),
            ("died", "die"),
            ("spied", "spi"),
            ("enjoy", "enjoy"),
            ("spy", "spi"),
        ];
        for (word, want) in pairs.into_iter().chain(IRREGULAR) {
            assert_eq!(stem(word), want, "{word}");
        }
        assert_eq!(stem("SKIES"), "sky");
        assert_eq!(stem("Is"), "is");
        assert_eq!(stem("naïvely"), "naïvely");
        assert_eq!(stem(""), "");
    }
}
