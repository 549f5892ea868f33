//! Lists in JSON, item by item, so that errors name the line an item begins on.

use serde::de::IgnoredAny;
use serde_json::Deserializer;

use crate::error::{Error, Result};
use crate::line::whole;

/// The text of each item and the number of the line it begins on.
///
/// # Errors
/// [`Error::Line`] where the text is no list, [`Error::Empty`] for a list without items.
pub(super) fn items(text: &str) -> Result<Vec<(usize, &str)>> {
    let mut rest = Rest { text, at: 0 };
    let mut items = Vec::new();
    rest.expect(&['['], "a list")?;
    loop {
        items.push(rest.item()?);
        if rest.expect(&[',', ']'], "`,` or `]` after an item")? == ']' {
            break;
        }
    }
    rest.skip_space();
    match rest.text[rest.at..].chars().next() {
        None => Ok(items),
        Some(more) => Err(whole(rest.line(), "nothing after the list", &more.to_string())),
    }
}

/// What is still to be read.
struct Rest<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Rest<'a> {
    fn line(&self) -> usize {
        1 + self.text[..self.at].matches('\n').count()
    }

    fn skip_space(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
    }

    fn expect(&mut self, one_of: &[char], expected: &'static str) -> Result<char> {
        self.skip_space();
        match self.text[self.at..].chars().next() {
            Some(found) if one_of.contains(&found) => {
                self.at += found.len_utf8();
                Ok(found)
            }
            Some(found) => Err(whole(self.line(), expected, &found.to_string())),
            None => Err(whole(self.line(), expected, "the end of the file")),
        }
    }

    fn item(&mut self) -> Result<(usize, &'a str)> {
        self.skip_space();
        let (line, rest) = (self.line(), &self.text[self.at..]);
        if rest.starts_with(']') {
            return match self.text[..self.at].trim_end().ends_with('[') {
                true => Err(Error::Empty { what: "items of the list" }),
                false => Err(whole(line, "an item", "the end of the list")),
            };
        }
        let mut stream = Deserializer::from_str(rest).into_iter::<IgnoredAny>();
        match stream.next() {
            Some(Ok(_)) => {
                let length = stream.byte_offset();
                self.at += length;
                Ok((line, &rest[..length]))
            }
            Some(Err(error)) => {
                Err(whole(line + error.line().saturating_sub(1), "an item", &error.to_string()))
            }
            None => Err(whole(line, "an item", "the end of the file")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_know_their_lines() {
        let text = "[\n  {\"a\": \"],\\\"\"},\n\n \"x\" , [1,\n2]\n]\n";
        assert_eq!(
            items(text).unwrap(),
            [(2, "{\"a\": \"],\\\"\"}"), (4, "\"x\""), (4, "[1,\n2]")]
        );
    }

    #[test]
    fn what_is_no_list_is_an_error_with_its_line() {
        for (text, line) in [
            ("", 1),
            ("\n{}", 2),
            ("[1\n2]", 2),
            ("[1,\n]", 2),
            ("[1,\n", 2),
            ("[\n1,\n{\"a\": x}]", 3),
            ("[\n{\"a\":\nx}]", 3),
            ("[1]\n\n[2]", 3),
            ("[1,,2]", 1),
        ] {
            match items(text) {
                Err(Error::Line { line: at, .. }) => assert_eq!(at, line, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
        assert!(matches!(items(" [ \n ] "), Err(Error::Empty { .. })));
    }
}
