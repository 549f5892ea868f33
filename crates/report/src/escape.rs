//! Text made safe for XML, HTML and Markdown.

/// Escapes `text` for element content and quoted attributes of HTML and XML. Control characters,
/// which XML cannot hold in any form, become the replacement character.
pub(crate) fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\t' | '\n' => out.push(c),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Escapes `text` for a cell of a Markdown table.
pub(crate) fn markdown_cell(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '|' | '*' | '_' | '`' | '[' | ']' | '~' | '$' | '#' => out.extend(['\\', c]),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\n' => out.push_str("<br>"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_special_character_is_escaped() {
        assert_eq!(xml(r#"<a href="x">&'"#), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;");
        assert_eq!(xml("a\u{0}b\u{1b}c\rd\u{ffff}"), "a\u{fffd}b\u{fffd}c\u{fffd}d\u{fffd}");
        assert_eq!(markdown_cell("a|b*c\nd<"), "a\\|b\\*c<br>d&lt;");
    }

    proptest! {
        #[test]
        fn an_xml_parser_reads_the_text_back(text in any::<String>()) {
            let document = format!("<a b=\"{}\">{}</a>", xml(&text), xml(&text));
            let parsed = roxmltree::Document::parse(&document).unwrap();
            let expected: String = text
                .chars()
                .map(|c| match c {
                    '\t' | '\n' => c,
                    '\u{fffe}' | '\u{ffff}' => '\u{fffd}',
                    c if c.is_control() => '\u{fffd}',
                    c => c,
                })
                .collect();
            prop_assert_eq!(parsed.root_element().text().unwrap_or_default(), expected);
        }
    }
}
