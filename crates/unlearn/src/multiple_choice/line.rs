//! The fields of a question.

use super::{MOST_PROBABLE, PER_TOKEN, Question, Rule};
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

pub(super) fn rule(head: &Line) -> Result<Rule> {
    match head.text("rule")?.as_str() {
        MOST_PROBABLE => Ok(Rule::MostProbable),
        PER_TOKEN => Ok(Rule::MostProbablePerToken),
        other => Err(head.wrong("rule", "`most-probable` or `per-token`", other)),
    }
}

const INDEX: &str = "the index of an option, counted from 0";
