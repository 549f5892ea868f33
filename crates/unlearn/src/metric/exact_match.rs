//! Whether a generation is the answer.

/// Whether two texts are equal after lower-casing (full Unicode mapping) and without white space at their ends.
///
/// The whole generation counts: a model that does not stop after the answer does not match.
///
/// # Source
/// Evaluation script of SemEval-2025 Task 4, `strip(lower(x)) == strip(lower(y))`; white space is what Python's `strip`
/// removes, the separators U+001C to U+001F included.
///
/// # Examples
/// ```
/// assert!(unlearn::metric::exact_match::exact_match("Paris", " paris\n"));
/// assert!(!unlearn::metric::exact_match::exact_match("Paris", "Paris."));
/// ```
#[must_use]
pub fn exact_match(reference: &str, candidate: &str) -> bool {
    let normal = |text: &str| text.to_lowercase().trim_matches(is_space).to_string();
    normal(reference) == normal(candidate)
}

fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_outer_space_are_ignored_and_nothing_else() {
        assert!(exact_match("ΑΣ", "ας"));
        assert!(exact_match("a b", "\u{1c}\tA B\u{a0}"));
        assert!(!exact_match("a b", "a  b"));
        assert!(!exact_match("a b", "a b."));
        assert!(exact_match("", " "));
    }
}
