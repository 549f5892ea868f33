//! Rows of every benchmark in one type: what a model reads, what it should write, and variants of both.

mod join;

use serde_json::Value;

pub use join::Join;

/// What a row asks of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// To go on with a text.
    Completion,
    /// To answer a question.
    Question,
    /// Nothing: the output is a text that is learned whole, and the input is empty.
    Text,
}

/// A row of a set to be learned, forgotten or kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Names the row within its set.
    pub id: String,
    /// What the model reads; empty for [`Kind::Text`] alone.
    pub input: String,
    /// What it should write; not empty.
    pub output: String,
    /// What the row asks.
    pub kind: Kind,
    /// Name of the task, `Task1` to `Task3`, where the benchmark has tasks: LUME, SemEval-2025 Task 4 and made sets.
    pub task: Option<String>,
    /// The input in other words.
    pub paraphrased_inputs: Vec<String>,
    /// The output in other words.
    pub paraphrased_output: Option<String>,
    /// Outputs of the same form that are false, as truth ratios need them.
    pub wrong_outputs: Vec<String>,
}

impl Row {
    /// A row without task, paraphrases and wrong outputs.
    #[must_use]
    pub fn new(
        id: impl Into<String>,
        kind: Kind,
        input: impl Into<String>,
        output: impl Into<String>,
    ) -> Self {
        Row {
            id: id.into(),
            input: input.into(),
            output: output.into(),
            kind,
            task: None,
            paraphrased_inputs: Vec::new(),
            paraphrased_output: None,
            wrong_outputs: Vec::new(),
        }
    }

    /// The document that the row is about: rows of one document are learned, forgotten or held out together.
    ///
    /// In a benchmark with tasks it is the id without its end, `sc` or `qa` and digits; else each row is a document, named by its
    /// whole id.
    #[must_use]
    pub fn document(&self) -> &str {
        match (&self.task, of_id(&self.id)) {
            (Some(_), Some((document, _))) => document,
            _ => &self.id,
        }
    }

    /// The row as a line, without its end, that [`data::rows`](crate::data::rows) reads as this row: with a task in the format of
    /// LUME, `id`, `input`, `output` and `task`, else in one of our own.
    ///
    /// What is known beyond these follows as `paraphrased_inputs`, `paraphrased_output` and `wrong_outputs`, which other readers of
    /// LUME pass over.
    #[must_use]
    pub fn to_line(&self) -> String {
        let mut fields: Vec<(&str, Value)> = vec![("id", self.id.as_str().into())];
        match (self.kind, &self.task) {
            (Kind::Text, _) => fields.push(("text", self.output.as_str().into())),
            (kind, task) => {
                if kind == Kind::Question && task.is_none() {
                    fields.push(("kind", "question".into()));
                }
                fields.push(("input", self.input.as_str().into()));
                fields.push(("output", self.output.as_str().into()));
                fields.extend(task.as_deref().map(|task| ("task", task.into())));
            }
        }
        for (name, texts) in [
            ("paraphrased_inputs", self.paraphrased_inputs.as_slice()),
            ("wrong_outputs", self.wrong_outputs.as_slice()),
        ] {
            if !texts.is_empty() {
                fields.push((name, texts.into()));
            }
        }
        let other = self.paraphrased_output.as_deref();
        fields.extend(other.map(|text| ("paraphrased_output", text.into())));
        let fields: Vec<String> =
            fields.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
        format!("{{{}}}", fields.join(", "))
    }
}

/// Document and kind of an id that ends in `sc` or `qa` and digits.
pub(crate) fn of_id(id: &str) -> Option<(&str, Kind)> {
    let stem = id.trim_end_matches(|c: char| c.is_ascii_digit());
    let end = stem.len().checked_sub(2).filter(|_| stem.len() < id.len())?;
    match (stem.get(..end)?, stem.get(end..)?) {
        ("", _) => None,
        (document, "sc") => Some((document, Kind::Completion)),
        (document, "qa") => Some((document, Kind::Question)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_the_id_without_its_end() {
        let mut row = Row::new("\"8f-c2\"sc1", Kind::Completion, "a", "b");
        assert_eq!(row.document(), "\"8f-c2\"sc1"); // no task: an id like any other
        row.task = Some("Task1".to_string());
        assert_eq!(row.document(), "\"8f-c2\"");
        row.id = "127qa12".to_string();
        assert_eq!(row.document(), "127");
        for id in ["full-12", "sc", "12sc", "disc", "qa1x", "sc1", "1", "", "é1"] {
            row.id = id.to_string();
            assert_eq!(row.document(), id);
        }
    }

    #[test]
    fn a_line_holds_what_is_there() {
        let mut row = Row::new("7qa0", Kind::Question, "\"Who\"?", "Élan\n");
        row.task = Some("Task2".to_string());
        let plain = r#"{"id": "7qa0", "input": "\"Who\"?", "output": "Élan\n", "task": "Task2"}"#;
        assert_eq!(row.to_line(), plain);
        row.wrong_outputs = vec!["x".to_string(), "y".to_string()];
        row.paraphrased_output = Some("é".to_string());
        let more = r#", "wrong_outputs": ["x","y"], "paraphrased_output": "é"}"#;
        assert_eq!(row.to_line(), plain.replace('}', more));
    }
}
