//! One HTML page that needs nothing else: no script, no font, no picture from elsewhere.

use std::collections::BTreeSet;
use std::path::Path;

use crate::atomic;
use crate::error::Result;
use crate::escape;
use crate::plot::Svg;
use crate::table::Table;

const STYLE: &str = include_str!("html/style.css");

/// A page: a title, some blocks, and sections that a table of contents lists.
///
/// All text is escaped. The page adapts to narrow screens, follows the reader's dark or light
/// setting, and prints without cutting through pictures.
///
/// # Examples
/// ```
/// use report::html::{Page, Section};
/// use report::table::Table;
/// let mut table = Table::new(["seed", "loss"]);
/// table.push_row(["1", "0.31"]);
/// let page = Page::new("Run 12")
///     .key_values([("commit", "1a2b3c4")])
///     .section(Section::new("Results").paragraph("Loss < 0.5, as expected.").table(&table));
/// assert!(page.to_html().contains("Loss &lt; 0.5"));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    title: String,
    lead: Blocks,
    sections: Vec<Section>,
}

/// A titled part of a page. It may hold sections itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Section {
    title: String,
    blocks: Blocks,
    sections: Vec<Section>,
}

/// Finished HTML, element after element.
#[derive(Clone, Debug, Default, PartialEq)]
struct Blocks(String);

/// The methods that fill a page and a section alike.
macro_rules! block_methods {
    ($field:ident) => {
        /// Adds a paragraph of plain text.
        #[must_use]
        pub fn paragraph(mut self, text: impl AsRef<str>) -> Self {
            self.$field.paragraph(text.as_ref());
            self
        }

        /// Adds a table.
        #[must_use]
        pub fn table(mut self, table: &Table) -> Self {
            self.$field.table(table);
            self
        }

        /// Adds a plot with a caption; an empty caption takes no room.
        #[must_use]
        pub fn plot(mut self, svg: &Svg, caption: impl AsRef<str>) -> Self {
            self.$field.plot(svg, caption.as_ref());
            self
        }

        /// Adds a list of names with their values.
        #[must_use]
        pub fn key_values<K: AsRef<str>, V: AsRef<str>>(
            mut self,
            pairs: impl IntoIterator<Item = (K, V)>,
        ) -> Self {
            self.$field.key_values(pairs);
            self
        }

        /// Adds a block of text as it is typed: a command, a config file.
        #[must_use]
        pub fn code(mut self, text: impl AsRef<str>) -> Self {
            self.$field.code(text.as_ref());
            self
        }

        /// Adds a section, after all blocks.
        #[must_use]
        pub fn section(mut self, section: Section) -> Self {
            self.sections.push(section);
            self
        }
    };
}

impl Page {
    /// An empty page.
    pub fn new(title: impl Into<String>) -> Self {
        Page { title: title.into(), lead: Blocks::default(), sections: Vec::new() }
    }

    block_methods!(lead);

    /// The whole page as the text of an HTML file.
    pub fn to_html(&self) -> String {
        let mut anchors = Anchors::default();
        let (mut contents, mut body) = (String::new(), String::new());
        for section in &self.sections {
            section.render(2, &mut anchors, &mut contents, &mut body);
        }
        if !contents.is_empty() {
            contents = format!("<nav aria-label=\"Contents\">\n<ul>\n{contents}</ul>\n</nav>\n");
        }
        let (title, lead) = (escape::xml(&self.title), &self.lead.0);
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
             <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
             <h1>{title}</h1>\n{lead}{contents}{body}</main>\n</body>\n</html>\n"
        )
    }

    /// Writes the page to a file, as [`atomic::write()`] does.
    ///
    /// # Errors
    /// As [`atomic::write()`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        atomic::write(path, self.to_html())
    }
}

impl Section {
    /// An empty section.
    pub fn new(title: impl Into<String>) -> Self {
        Section { title: title.into(), blocks: Blocks::default(), sections: Vec::new() }
    }

    block_methods!(blocks);

    fn render(
        &self,
        level: usize,
        anchors: &mut Anchors,
        contents: &mut String,
        body: &mut String,
    ) {
        let id = anchors.make(&self.title);
        let title = escape::xml(&self.title);
        let mut inner = String::new();
        let mut nested = String::new();
        for section in &self.sections {
            section.render((level + 1).min(6), anchors, &mut nested, &mut inner);
        }
        let nested = if nested.is_empty() { nested } else { format!("\n<ul>\n{nested}</ul>\n") };
        contents.push_str(&format!("<li><a href=\"#{id}\">{title}</a>{nested}</li>\n"));
        body.push_str(&format!(
            "<section>\n<h{level} id=\"{id}\"><a href=\"#{id}\">{title}</a></h{level}>\n{}{inner}\
             </section>\n",
            self.blocks.0
        ));
    }
}

impl Blocks {
    fn paragraph(&mut self, text: &str) {
        self.0.push_str(&format!("<p>{}</p>\n", escape::xml(text)));
    }

    fn table(&mut self, table: &Table) {
        self.0.push_str(&format!("<div class=\"wide\">\n{}</div>\n", table.to_html()));
    }

    fn plot(&mut self, svg: &Svg, caption: &str) {
        let caption = match caption {
            "" => String::new(),
            text => format!("<figcaption>{}</figcaption>\n", escape::xml(text)),
        };
        self.0.push_str(&format!("<figure>\n{svg}{caption}</figure>\n"));
    }

    fn key_values<K: AsRef<str>, V: AsRef<str>>(
        &mut self,
        pairs: impl IntoIterator<Item = (K, V)>,
    ) {
        let rows: String = pairs
            .into_iter()
            .map(|(key, value)| {
                let (key, value) = (escape::xml(key.as_ref()), escape::xml(value.as_ref()));
                format!("<dt>{key}</dt><dd>{value}</dd>\n")
            })
            .collect();
        if !rows.is_empty() {
            self.0.push_str(&format!("<dl>\n{rows}</dl>\n"));
        }
    }

    fn code(&mut self, text: &str) {
        self.0.push_str(&format!("<pre><code>{}</code></pre>\n", escape::xml(text)));
    }
}

/// Anchors made from titles, each one once.
#[derive(Default)]
struct Anchors(BTreeSet<String>);

impl Anchors {
    fn make(&mut self, title: &str) -> String {
        let mut base = String::new();
        for c in title.chars().flat_map(char::to_lowercase) {
            if c.is_alphanumeric() {
                base.push(c);
            } else if !base.is_empty() && !base.ends_with('-') {
                base.push('-');
            }
        }
        let base = match base.trim_end_matches('-') {
            "" => "section",
            base => base,
        };
        let mut anchor = base.to_owned();
        let mut n = 2;
        while !self.0.insert(anchor.clone()) {
            anchor = format!("{base}-{n}");
            n += 1;
        }
        anchor
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The page as an XML tree; we write HTML that is XML as well.
    fn parse(html: &str) -> roxmltree::Document<'_> {
        let body = html.strip_prefix("<!DOCTYPE html>\n").unwrap();
        roxmltree::Document::parse(body).unwrap_or_else(|e| panic!("{e}\n{html}"))
    }

    #[test]
    fn anchors_are_unique_and_listed() {
        let page = Page::new("t")
            .section(Section::new("A b!").section(Section::new("A b")))
            .section(Section::new("???"))
            .section(Section::new("a-b-2"));
        let html = page.to_html();
        let tree = parse(&html);
        let ids: Vec<_> = tree.descendants().filter_map(|n| n.attribute("id")).collect();
        assert_eq!(ids, ["a-b", "a-b-2", "section", "a-b-2-2"]);
        let nav = tree.descendants().find(|n| n.has_tag_name("nav")).unwrap();
        let links: Vec<_> = nav.descendants().filter_map(|n| n.attribute("href")).collect();
        assert_eq!(links, ["#a-b", "#a-b-2", "#section", "#a-b-2-2"]);
    }

    #[test]
    fn a_page_asks_for_nothing_from_elsewhere() {
        let svg = crate::plot::Plot::new("p")
            .series(crate::plot::Series::indexed("s", [1.0, 2.0]))
            .to_svg()
            .unwrap();
        let html = Page::new("t").plot(&svg, "caption").to_html();
        let html = html.replace("http://www.w3.org/2000/svg", ""); // A name, not an address.
        for part in ["http:", "https:", "//", "src=", "url(", "@import", "<script", "<link"] {
            assert!(!html.contains(part), "{part}");
        }
    }

    proptest! {
        #[test]
        fn every_text_arrives_unchanged(text in r#"[a-z<>&"'/\\ -]{1,30}"#) {
            let mut table = Table::new([text.as_str()]);
            table.push_row([text.as_str()]);
            let page = Page::new(&text)
                .paragraph(&text)
                .code(&text)
                .key_values([(&text, &text)])
                .table(&table)
                .section(Section::new(&text));
            let html = page.to_html();
            let tree = parse(&html);
            for tag in ["title", "h1", "p", "code", "dt", "dd", "th", "td"] {
                let node = tree.descendants().find(|n| n.has_tag_name(tag)).unwrap();
                prop_assert_eq!(node.text().unwrap_or_default(), text.as_str(), "{}", tag);
            }
        }
    }
}
