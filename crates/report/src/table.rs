//! One table, three faces: terminal, Markdown and HTML.

use std::fmt;

use comfy_table::{CellAlignment, ContentArrangement, presets};

use crate::escape;

/// A table of texts with named columns.
///
/// A column is set to the right if all its filled cells look like numbers; [`Table::align`]
/// overrules that.
///
/// # Examples
/// ```
/// use report::table::Table;
/// let mut table = Table::new(["method", "accuracy"]);
/// table.push_row(["SGD", "0.91"]).push_row(["AdamW", "0.93"]);
/// assert_eq!(
///     table.to_markdown(),
///     "| method | accuracy |\n|:-------|---------:|\n| SGD    |     0.91 |\n| AdamW  |     0.93 |\n"
/// );
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    caption: Option<String>,
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
    aligned: Vec<Option<Align>>,
}

/// To which side the cells of a column are set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// To the left, for texts.
    Left,
    /// To the right, for numbers.
    Right,
}

impl Table {
    /// An empty table with these column names.
    pub fn new<S: Into<String>>(columns: impl IntoIterator<Item = S>) -> Self {
        let columns: Vec<String> = columns.into_iter().map(Into::into).collect();
        let aligned = vec![None; columns.len()];
        Table { caption: None, columns, rows: Vec::new(), aligned }
    }

    /// Sets a caption, shown above the table.
    #[must_use]
    pub fn with_caption(mut self, caption: impl Into<String>) -> Self {
        self.caption = Some(caption.into());
        self
    }

    /// Sets the cells of one column to a side. A column that does not exist is ignored.
    #[must_use]
    pub fn align(mut self, column: usize, align: Align) -> Self {
        if let Some(slot) = self.aligned.get_mut(column) {
            *slot = Some(align);
        }
        self
    }

    /// Adds a row. A short row is filled with empty cells, a long one adds columns without a name.
    pub fn push_row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) -> &mut Self {
        let mut row: Vec<String> = cells.into_iter().map(Into::into).collect();
        let n_columns = self.columns.len().max(row.len());
        self.columns.resize(n_columns, String::new());
        self.aligned.resize(n_columns, None);
        row.resize(n_columns, String::new());
        for old in &mut self.rows {
            old.resize(n_columns, String::new());
        }
        self.rows.push(row);
        self
    }

    /// Number of rows without the header.
    pub fn n_rows(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table for a terminal of `width` characters; cells are wrapped where it is too narrow.
    /// `None` never wraps.
    pub fn to_terminal(&self, width: Option<u16>) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED).set_header(&self.columns);
        if let Some(width) = width {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        }
        for row in &self.rows {
            table.add_row(row);
        }
        for (idx, align) in self.alignment().into_iter().enumerate() {
            if let (Some(column), Align::Right) = (table.column_mut(idx), align) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let caption = self.caption.as_ref().map(|c| format!("{c}\n")).unwrap_or_default();
        format!("{caption}{table}")
    }

    /// The table in Markdown, its columns lined up.
    pub fn to_markdown(&self) -> String {
        let escape_row = |row: &Vec<String>| -> Vec<String> {
            row.iter().map(|cell| escape::markdown_cell(cell)).collect()
        };
        let header = escape_row(&self.columns);
        let rows: Vec<_> = self.rows.iter().map(escape_row).collect();
        let align = self.alignment();
        let len = |text: &String| text.chars().count();
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|i| rows.iter().chain([&header]).map(|row| len(&row[i])).fold(3, usize::max))
            .collect();
        let write_row = |row: &Vec<String>| -> String {
            let cells =
                row.iter().zip(&widths).zip(&align).map(|((cell, &width), align)| match align {
                    Align::Left => format!("| {cell:<width$} "),
                    Align::Right => format!("| {cell:>width$} "),
                });
            cells.collect::<String>() + "|\n"
        };
        let rule: String = widths
            .iter()
            .zip(&align)
            .map(|(width, align)| match align {
                Align::Left => format!("|:{}", "-".repeat(width + 1)),
                Align::Right => format!("|{}:", "-".repeat(width + 1)),
            })
            .collect();
        let caption =
            self.caption.as_ref().map(|c| format!("**{}**\n\n", escape::markdown_cell(c)));
        let body: String = rows.iter().map(write_row).collect();
        format!("{}{}{rule}|\n{body}", caption.unwrap_or_default(), write_row(&header))
    }

    /// The table as an HTML element, everything escaped. Cells of columns set to the right have the
    /// class `number`.
    pub fn to_html(&self) -> String {
        let align = self.alignment();
        let cell = |tag: &str, (text, align): (&String, &Align)| {
            let class = if *align == Align::Right { " class=\"number\"" } else { "" };
            format!("<{tag}{class}>{}</{}>", lines(text), &tag[..2])
        };
        let write_row = |tag: &str, row: &Vec<String>| {
            let cells: String = row.iter().zip(&align).map(|c| cell(tag, c)).collect();
            format!("<tr>{cells}</tr>\n")
        };
        let caption = self.caption.as_ref().map(|c| format!("<caption>{}</caption>\n", lines(c)));
        let body: String = self.rows.iter().map(|row| write_row("td", row)).collect();
        format!(
            "<table>\n{}<thead>\n{}</thead>\n<tbody>\n{body}</tbody>\n</table>\n",
            caption.unwrap_or_default(),
            write_row("th scope=\"col\"", &self.columns),
        )
    }

    fn alignment(&self) -> Vec<Align> {
        let is_numeric = |idx: usize| {
            let mut filled = self.rows.iter().map(|row| &row[idx]).filter(|c| !c.trim().is_empty());
            let mut any = false;
            filled.all(|cell| {
                any = true;
                looks_numeric(cell)
            }) && any
        };
        let guess = |idx| if is_numeric(idx) { Align::Right } else { Align::Left };
        self.aligned
            .iter()
            .enumerate()
            .map(|(idx, set)| set.unwrap_or_else(|| guess(idx)))
            .collect()
    }
}

/// As [`Table::to_terminal`] without a width.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_terminal(None))
    }
}

fn lines(text: &str) -> String {
    escape::xml(text).replace('\n', "<br>")
}

/// A number, perhaps with a spread, a bracket, a percent sign or a dash for "none".
fn looks_numeric(cell: &str) -> bool {
    if matches!(cell.trim(), "-" | "–" | "—") {
        return true;
    }
    let cell: String = cell.chars().filter(|c| !"()%×\u{202f},<>≤≥≈~".contains(*c)).collect();
    cell.split('±').all(|part| part.trim().parse::<f64>().is_ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample() -> Table {
        let mut table = Table::new(["name", "value"]).with_caption("Two <rows>");
        table.push_row(["a|b", "1.5 ± 0.2"]).push_row(["<script>", "12 %"]);
        table
    }

    #[test]
    fn numbers_are_set_to_the_right_and_texts_to_the_left() {
        let table = sample();
        assert_eq!(table.alignment(), [Align::Left, Align::Right]);
        assert_eq!(table.align(1, Align::Left).alignment(), [Align::Left, Align::Left]);
    }

    #[test]
    fn html_is_well_formed_and_escaped() {
        let html = sample().to_html();
        let parsed = roxmltree::Document::parse(&html).unwrap();
        let texts: Vec<_> = parsed.descendants().filter(|n| n.has_tag_name("td")).collect();
        assert_eq!(texts[2].text(), Some("<script>"));
        assert_eq!(texts[3].attribute("class"), Some("number"));
    }

    #[test]
    fn the_terminal_face_shows_caption_header_and_cells() {
        let text = sample().to_string();
        for part in ["Two <rows>\n", "name", "a|b", "1.5 ± 0.2"] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn a_narrow_terminal_wraps_instead_of_overflowing() {
        let mut table = Table::new(["name", "remark"]);
        table.push_row(["x".to_owned(), "some words ".repeat(20)]);
        let text = table.to_terminal(Some(40));
        assert!(text.lines().all(|line| line.chars().count() <= 40), "{text}");
    }

    #[test]
    fn uneven_rows_lose_nothing() {
        let mut table = Table::new(["a"]);
        table.push_row([""; 0]).push_row(["1", "2"]);
        assert_eq!(table.columns.len(), 2);
        assert!(table.rows.iter().all(|row| row.len() == 2));
    }

    proptest! {
        #[test]
        fn every_row_of_markdown_has_the_same_number_of_cells(cells in proptest::collection::vec(".*", 0..9)) {
            let mut table = Table::new(["a", "b", "c"]);
            for row in cells.chunks(3) {
                table.push_row(row);
            }
            let markdown = table.to_markdown();
            let bars = |line: &str| {
                let mut escaped = false;
                let is_bar = |c| {
                    let bar = c == '|' && !escaped;
                    escaped = c == '\\' && !escaped;
                    bar
                };
                line.chars().map(is_bar).filter(|&bar| bar).count()
            };
            prop_assert_eq!(markdown.split('\n').count(), 3 + table.n_rows());
            for line in markdown.split('\n').filter(|line| !line.is_empty()) {
                prop_assert_eq!(bars(line), 4);
            }
        }
    }
}
