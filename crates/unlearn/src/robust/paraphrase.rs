//! The same questions in other words.

use serde::{Deserialize, Serialize};
use tape_nn::net::LanguageModel;
use tensor_tree::Key;

use super::{Both, Models};
use crate::Result;
use crate::exam::SetResult;
use crate::row::Row;

/// Rows in other words, and those that have no other words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reworded {
    /// Rows as they are that have paraphrases.
    pub plain: Vec<Row>,
    /// Each of them once for each paraphrase of its input, in its place. Paraphrase 2 of row `7qa0` is `p2:7qa0`, counted from 0.
    pub rows: Vec<Row>,
    /// Ids of the rows without paraphrases.
    pub without: Vec<String>,
}

/// Rows with their inputs replaced by each of their paraphrases.
#[must_use]
pub fn reworded(rows: &[Row]) -> Reworded {
    let mut out = Reworded { plain: Vec::new(), rows: Vec::new(), without: Vec::new() };
    for row in rows {
        if row.paraphrased_inputs.is_empty() {
            out.without.push(row.id.clone());
            continue;
        }
        out.plain.push(row.clone());
        for (k, input) in row.paraphrased_inputs.iter().enumerate() {
            out.rows.push(Row {
                id: format!("p{k}:{}", row.id),
                input: input.clone(),
                paraphrased_inputs: Vec::new(),
                ..row.clone()
            });
        }
    }
    out
}

/// What a model answers as asked and in other words, of the same rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// To the inputs of the rows.
    pub plain: SetResult,
    /// To their paraphrases.
    pub reworded: SetResult,
}

/// What models answer in other words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Paraphrases {
    /// Ids of the rows that have no other words, and were not asked.
    pub without: Vec<String>,
    /// What both answered; none if no row has paraphrases.
    pub asked: Option<Both<Asked>>,
}

impl Paraphrases {
    /// Asks both models the rows that have paraphrases, as they are and in other words, with generations of at most so many tokens or
    /// without any.
    ///
    /// # Errors
    /// As [`crate::exam::Subject::set`].
    pub fn run<M: LanguageModel + ?Sized>(
        models: &Models<'_, M>,
        rows: &[Row],
        max_new: Option<usize>,
        key: Key,
        go_on: &mut dyn FnMut(&str, usize, usize) -> bool,
    ) -> Result<Paraphrases> {
        let Reworded { plain, rows, without } = reworded(rows);
        if rows.is_empty() {
            return Ok(Paraphrases { without, asked: None });
        }
        let asked = models.both(|subject, name| {
            let mut set = |what: &str, rows: &[Row]| {
                let called = format!("{what}, {name}");
                let mut told = |done| go_on(&called, done, rows.len());
                subject.set(what, rows, max_new, key, &mut told)
            };
            Ok(Asked { plain: set("as asked", &plain)?, reworded: set("in other words", &rows)? })
        })?;
        Ok(Paraphrases { without, asked: Some(asked) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::Kind;

    #[test]
    fn every_paraphrase_is_a_row_and_rows_without_are_named() {
        let mut with = Row::new("7qa0", Kind::Question, "Who?", "Ada");
        with.paraphrased_inputs = vec!["Which person?".into(), "Whom?".into()];
        with.wrong_outputs = vec!["Bob".into()];
        let without = Row::new("8qa0", Kind::Question, "Where?", "Here");
        let text = Row::new("t", Kind::Text, "", "A text.");
        let all = reworded(&[without, with.clone(), text]);
        assert_eq!(all.without, ["8qa0", "t"]);
        assert_eq!(all.plain, [with]);
        let got: Vec<(&str, &str)> = all.rows.iter().map(|r| (&*r.id, &*r.input)).collect();
        assert_eq!(got, [("p0:7qa0", "Which person?"), ("p1:7qa0", "Whom?")]);
        assert!(all.rows.iter().all(|r| r.output == "Ada" && r.wrong_outputs == ["Bob"]));
    }
}
