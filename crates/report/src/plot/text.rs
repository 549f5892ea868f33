//! How much room a text takes, without asking any font.
//!
//! The widths are those of DejaVu Sans, rounded up. It is one of the widest sans-serif fonts, so a
//! text that fits by this measure fits in the others as well.

/// Width of one character in units of the font size.
fn advance(c: char) -> f64 {
    match c {
        'i' | 'j' | 'l' | '\'' => 0.28,
        'I' | ' ' | '.' | ',' | ':' | ';' | '|' | '!' => 0.34,
        'f' | 't' | 'r' | '(' | ')' | '[' | ']' | '-' | '/' | '\\' | '"' => 0.42,
        's' | 'c' | 'z' | 'J' | '*' | '_' | '?' => 0.56,
        'm' | 'M' | 'W' | 'w' | '@' | '%' | '—' => 1.0,
        'A'..='Z' | '+' | '=' | '<' | '>' | '~' | '#' | '±' | '×' | '−' | '≤' | '≥' => 0.84,
        c if c.is_ascii() => 0.64,
        '\u{300}'..='\u{36f}' => 0.0,
        c if c < '\u{2e80}' => 0.8,
        _ => 1.1, // Chinese, Japanese, Korean, emoji.
    }
}

/// Room that `text` takes at this font size.
pub(crate) fn width(text: &str, size: f64) -> f64 {
    text.chars().map(advance).sum::<f64>() * size
}

/// Cuts `text` to fit, with an ellipsis in place of what is missing.
pub(crate) fn shorten(text: &str, size: f64, room: f64) -> String {
    if width(text, size) <= room {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = advance('…') * size;
    for c in text.chars() {
        used += advance(c) * size;
        if room < used {
            break;
        }
        out.push(c);
    }
    out.truncate(out.trim_end().len());
    out.push('…');
    out
}

/// Cuts `text` in its middle to fit: names that begin alike often differ at the end.
pub(crate) fn shorten_middle(text: &str, size: f64, room: f64) -> String {
    if width(text, size) <= room {
        return text.to_owned();
    }
    let half = (room - advance('…') * size) / 2.0;
    let take = |chars: &mut dyn Iterator<Item = char>| {
        let mut used = 0.0;
        let fits = |c: &char| {
            used += advance(*c) * size;
            used <= half
        };
        chars.take_while(fits).collect::<String>()
    };
    let head = take(&mut text.chars());
    let tail: String = take(&mut text.chars().rev()).chars().rev().collect();
    format!("{head}…{tail}")
}

/// Breaks `text` at spaces into lines that fit, at most `max_lines`; what is too long is shortened.
pub(crate) fn wrap(text: &str, size: f64, room: f64, max_lines: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let n_lines = lines.len();
        match lines.last_mut() {
            Some(line) if n_lines == max_lines || fits(line, word, size, room) => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.iter().map(|line| shorten(line, size, room)).collect()
}

fn fits(line: &str, word: &str, size: f64, room: f64) -> bool {
    width(line, size) + advance(' ') * size + width(word, size) <= room
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_short_text_is_left_as_it_is() {
        assert_eq!(wrap("two words", 12.0, 500.0, 3), ["two words"]);
        assert_eq!(shorten("word", 12.0, 500.0), "word");
        assert!(wrap("  ", 12.0, 500.0, 3).is_empty());
    }

    proptest! {
        #[test]
        fn wrapped_lines_fit(text in ".{0,80}", room in 20.0..400.0f64) {
            let lines = wrap(&text, 12.0, room, 3);
            prop_assert!(lines.len() <= 3);
            for line in lines {
                prop_assert!(width(&line, 12.0) <= room + 1e-9);
            }
            prop_assert!(width(&shorten_middle(&text, 12.0, room), 12.0) <= room + 1e-9);
        }
    }
}
