//! The formats of rows, told apart by the fields of a line.

use super::{generic, lume, tofu};
use crate::error::Result;
use crate::line::{Line, whole};
use crate::row::{Join, Row};

/// How a line says what a row is; the table of [`data`](super) has the fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// LUME and SemEval-2025 Task 4.
    Lume,
    /// TOFU: questions and answers.
    Tofu,
    /// TOFU: with paraphrases and wrong answers.
    TofuPerturbed,
    /// TOFU: with wrong answers, as for real authors and facts of the world.
    TofuFacts,
    /// TOFU: with four options, one of them the answer.
    TofuOptions,
    /// Inputs and outputs of any kind.
    InputOutput,
    /// The same under other names, joined without a space.
    PromptCompletion,
    /// Texts that are learned whole.
    Text,
}

impl Format {
    /// Told from the fields of a line.
    pub(super) fn of(line: &Line) -> Result<Self> {
        let perturbed = line.has("perturbed_answer");
        let paraphrased = line.has("paraphrased_answer") || line.has("paraphrased_question");
        Ok(match () {
            () if line.has("task") => Format::Lume,
            () if line.has("question") && line.has("option1") => Format::TofuOptions,
            () if line.has("question") && perturbed && paraphrased => Format::TofuPerturbed,
            () if line.has("question") && perturbed => Format::TofuFacts,
            () if line.has("question") => Format::Tofu,
            () if line.has("input") => Format::InputOutput,
            () if line.has("prompt") => Format::PromptCompletion,
            () if line.has("text") || line.has("document") => Format::Text,
            () => return Err(whole(line.number(), KNOWN, &format!("fields `{}`", line.names()))),
        })
    }

    /// How input and output become one text unless somebody says otherwise.
    #[must_use]
    pub fn join(self) -> Join {
        match self {
            Format::Lume | Format::InputOutput => Join::Space,
            Format::Tofu | Format::TofuPerturbed | Format::TofuFacts | Format::TofuOptions => {
                Join::QuestionAnswer
            }
            Format::PromptCompletion | Format::Text => Join::None,
        }
    }

    /// The row of a line; `stem` is the name of its file.
    pub(super) fn row(self, line: &Line, stem: &str) -> Result<Row> {
        let id = || format!("{stem}-{}", line.number());
        let row = match self {
            Format::Lume => lume::row(line),
            Format::Tofu => tofu::row(line, id()),
            Format::TofuPerturbed => tofu::perturbed(line, id()),
            Format::TofuFacts => tofu::facts(line, id()),
            Format::TofuOptions => tofu::options(line, id()),
            Format::InputOutput => generic::input_output(line, id()),
            Format::PromptCompletion => generic::prompt_completion(line, id()),
            Format::Text => generic::text(line, id()),
        }?;
        let right = |wrong: &&String| {
            **wrong == row.output || Some(*wrong) == row.paraphrased_output.as_ref()
        };
        match row.wrong_outputs.iter().find(right) {
            None => Ok(row),
            Some(wrong) => Err(line.wrong(wrong_field(self), "no right output", wrong)),
        }
    }
}

fn wrong_field(format: Format) -> &'static str {
    match format {
        Format::TofuPerturbed | Format::TofuFacts => "perturbed_answer",
        _ => "wrong_outputs",
    }
}

const KNOWN: &str = "`id`, `input`, `output`, `task`, or `question`, `answer`, or `input`, `output`, or `prompt`, `completion`, or `text`, or `document`";
