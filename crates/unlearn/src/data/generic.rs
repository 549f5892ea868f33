//! Lines of no benchmark: inputs and outputs, prompts and completions, texts.

use crate::error::Result;
use crate::line::Line;
use crate::row::{Kind, Row};

/// Fields of our own, which any row with input and output may have.
pub(super) const VARIANTS: [&str; 3] =
    ["paraphrased_inputs", "paraphrased_output", "wrong_outputs"];

/// The row with its variants, where the line has some.
pub(super) fn variants(line: &Line, mut row: Row) -> Result<Row> {
    let expected = "a list of at least one text, all different and not empty";
    let list =
        |field| if line.has(field) { line.texts(field, 1, expected) } else { Ok(Vec::new()) };
    row.paraphrased_inputs = list("paraphrased_inputs")?;
    row.wrong_outputs = list("wrong_outputs")?;
    if line.has("paraphrased_output") {
        row.paraphrased_output = Some(line.text("paraphrased_output")?);
    }
    Ok(row)
}

pub(super) fn input_output(line: &Line, id: String) -> Result<Row> {
    line.only(&[&["id", "kind", "input", "output"][..], &VARIANTS].concat())?;
    let kind = if line.has("kind") { kind(line)? } else { Kind::Completion };
    let row = Row::new(own_id(line, id)?, kind, line.text("input")?, line.text("output")?);
    variants(line, row)
}

pub(super) fn prompt_completion(line: &Line, id: String) -> Result<Row> {
    line.only(&["id", "prompt", "completion"])?;
    let (prompt, completion) = (line.text("prompt")?, line.text("completion")?);
    Ok(Row::new(own_id(line, id)?, Kind::Completion, prompt, completion))
}

pub(super) fn text(line: &Line, id: String) -> Result<Row> {
    let field = if line.has("document") { "document" } else { "text" };
    line.only(&[&["id", field][..], &VARIANTS].concat())?;
    variants(line, Row::new(own_id(line, id)?, Kind::Text, "", line.text(field)?))
}

fn own_id(line: &Line, id: String) -> Result<String> {
    if line.has("id") { line.text("id") } else { Ok(id) }
}

fn kind(line: &Line) -> Result<Kind> {
    let kind = line.text("kind")?;
    match kind.as_str() {
        "completion" => Ok(Kind::Completion),
        "question" => Ok(Kind::Question),
        _ => Err(line.wrong("kind", "`completion` or `question`", &kind)),
    }
}
