//! What models write of the same rows, side by side.

use report::table::{Align, Table};
use unlearn::exam::SetResult;

use super::numbers::Named;

/// Rows that are shown of each set.
const SHOWN: usize = 8;

/// Most characters of a cell.
const WIDEST: usize = 240;

/// Prompts, what should be written, and what each model writes; none where nothing was written.
pub(super) fn table(models: &[Named<'_>], set: Set) -> Option<Table> {
    let of = |named: &Named<'_>| -> Vec<Option<String>> {
        set.of(named.1).rows.iter().map(|row| row.generation.clone()).collect()
    };
    let texts: Vec<Vec<Option<String>>> = models.iter().map(of).collect();
    let rows = &set.of(models.first()?.1).rows;
    texts.iter().flatten().any(Option::is_some).then_some(())?;
    let columns = ["row", "prompt", "expected"].map(str::to_owned).into_iter();
    let mut table = Table::new(columns.chain(models.iter().map(|(name, _)| (*name).to_owned())));
    let n = rows.len().min(SHOWN);
    // Spread over all rows, so that every task is there; shifted where some are left out, so that not all are of one kind.
    for i in 0..n {
        let shift = if n < rows.len() { i % 3 } else { 0 };
        let at = (i * rows.len() / n + shift).min(rows.len() - 1);
        let row = &rows[at];
        let mut cells = vec![row.id.clone(), cut_front(&row.input), cut(&row.output)];
        cells.extend(texts.iter().map(|texts| match texts.get(at) {
            Some(Some(text)) => cut(text),
            _ => "-".to_owned(),
        }));
        table.push_row(cells);
    }
    Some((0..3 + models.len()).fold(table, |table, column| table.align(column, Align::Left)))
}

/// Which set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Set {
    Forget,
    Retain,
}

impl Set {
    fn of(self, findings: &unlearn::exam::Findings) -> &SetResult {
        match self {
            Set::Forget => &findings.forget,
            Set::Retain => &findings.retain,
        }
    }
}

/// The beginning of a text.
fn cut(text: &str) -> String {
    match text.char_indices().nth(WIDEST) {
        Some((at, _)) => format!("{} ...", &text[..at]),
        None => text.to_owned(),
    }
}

/// The end of a text, where a continuation begins.
fn cut_front(text: &str) -> String {
    let n = text.chars().count();
    match n.checked_sub(WIDEST).filter(|more| 0 < *more) {
        Some(more) => format!("... {}", text.chars().skip(more).collect::<String>()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        let text = "é".repeat(WIDEST + 1);
        assert_eq!(cut(&text), format!("{} ...", "é".repeat(WIDEST)));
        assert_eq!(cut_front(&text), format!("... {}", "é".repeat(WIDEST)));
        assert_eq!((cut("short").as_str(), cut_front("short").as_str()), ("short", "short"));
    }
}
