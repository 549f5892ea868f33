//! Rust text with comments and, if wanted, the contents of strings blanked out, so that rules about
//! code do not stumble over prose. Lines keep their numbers and columns their bytes.

/// What stays beside code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    Strings,
    Nothing,
}

pub(super) fn code(text: &str, keep: Keep) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let (end, blank) = if rest.starts_with(b"//") {
            (line_end(rest), true)
        } else if rest.starts_with(b"/*") {
            (block_end(rest), true)
        } else if let Some(end) = raw_string_end(rest).filter(|_| !inside_word(bytes, at)) {
            (end, keep == Keep::Nothing)
        } else if rest[0] == b'"' {
            (quoted_end(rest, b'"'), keep == Keep::Nothing)
        } else if rest[0] == b'\'' && is_char(rest) {
            (quoted_end(rest, b'\''), true)
        } else {
            (1, false)
        };
        if blank {
            for byte in &mut out[at..at + end] {
                if *byte != b'\n' {
                    *byte = b' ';
                }
            }
        }
        at += end;
    }
    String::from_utf8_lossy(&out).into_owned() // whole tokens were blanked, so it is still UTF-8
}

/// The text up to the unit tests, which stand at the bottom of a file.
pub(super) fn before_tests(text: &str) -> &str {
    text.find("\n#[cfg(test)]").map_or(text, |end| &text[..=end])
}

fn inside_word(bytes: &[u8], at: usize) -> bool {
    at.checked_sub(1)
        .is_some_and(|before| bytes[before].is_ascii_alphanumeric() || bytes[before] == b'_')
}

fn line_end(rest: &[u8]) -> usize {
    rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len())
}

/// Block comments nest.
fn block_end(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn raw_string_end(rest: &[u8]) -> Option<usize> {
    let start = rest.strip_prefix(b"br").or_else(|| rest.strip_prefix(b"r"))?;
    let n_hashes = start.iter().take_while(|byte| **byte == b'#').count();
    if start.get(n_hashes) != Some(&b'"') {
        return None;
    }
    let close = [&b"\""[..], &vec![b'#'; n_hashes]].concat();
    let body = rest.len() - start.len() + n_hashes + 1;
    let end = rest[body..].windows(close.len()).position(|window| window == close);
    Some(end.map_or(rest.len(), |end| body + end + close.len()))
}

fn quoted_end(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// A character and not a lifetime: an escape, or a quote after one character.
fn is_char(rest: &[u8]) -> bool {
    let text = String::from_utf8_lossy(&rest[1..rest.len().min(6)]).into_owned();
    let mut chars = text.chars();
    match chars.next() {
        Some('\\') => true,
        Some(_) => chars.next() == Some('\''),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_blanked_and_lines_stay() {
        let text =
            "let a = \"x // y\"; // \"c\"\n/* d /* e */ f */ let b: &'a str = r#\"g\"h\"#; 'i'";
        let kept = code(text, Keep::Strings);
        assert!(kept.contains("x // y") && kept.contains("g\"h") && kept.contains("&'a str"));
        assert!(!kept.contains('c') && !kept.contains('d') && !kept.contains('f'));
        let bare = code(text, Keep::Nothing);
        assert!(!bare.contains('x') && !bare.contains('g') && bare.contains("let b: &'a str ="));
        assert_eq!((bare.len(), bare.lines().count()), (text.len(), 2));
    }

    #[test]
    fn escapes_and_quotes_in_characters_do_not_open_strings() {
        let text = r#"'"' x '\'' y "a\"b" z b'"' w"#;
        let bare = code(text, Keep::Nothing);
        assert_eq!(bare.split_whitespace().filter(|word| *word != "b").collect::<String>(), "xyzw");
    }

    #[test]
    fn an_open_string_ends_with_the_file() {
        assert_eq!(code("\"abc", Keep::Nothing).trim(), "");
        assert_eq!(code("r\"abc", Keep::Nothing).trim(), "");
        assert_eq!(code("\"abc\\", Keep::Nothing).trim(), "");
    }

    #[test]
    fn tests_at_the_bottom_are_cut_off() {
        assert_eq!(before_tests("a\n#[cfg(test)]\nmod tests {}"), "a\n");
        assert_eq!(before_tests("a\n"), "a\n");
    }
}
