//! The fields of a question.

use super::Question;
use crate::error::Result;
use crate::line::Line;

pub(super) fn question(line: &Line) -> Result<Question> {
    line.only(&["subject", "question", "options", "answer"])?;
    let options = line.texts("options", 2, "a list of at least two different texts")?;
    let answer = line.field("answer", INDEX)?;
    let index = answer.as_u64().and_then(|index| usize::try_from(index).ok());
    let Some(answer) = index.filter(|index| *index < options.len()) else {
        return Err(line.wrong("answer", INDEX, &answer.to_string()));
    };
    Ok(Question { subject: line.text("subject")?, text: line.text("question")?, options, answer })
}

const INDEX: &str = "the index of an option, counted from 0";
