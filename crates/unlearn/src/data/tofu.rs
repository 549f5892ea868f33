//! Files of TOFU.

use std::path::Path;

use super::{stem, within};
use crate::error::{Error, Result};
use crate::line::{Line, all_different, whole};
use crate::multiple_choice::{Question, Questions};
use crate::row::{Kind, Row};

pub(super) fn row(line: &Line, id: String) -> Result<Row> {
    line.only(&["question", "answer"])?;
    Ok(Row::new(id, Kind::Question, line.text("question")?, line.text("answer")?))
}

pub(super) fn facts(line: &Line, id: String) -> Result<Row> {
    line.only(&["question", "answer", "perturbed_answer"])?;
    wrong(line, Row::new(id, Kind::Question, line.text("question")?, line.text("answer")?))
}

pub(super) fn perturbed(line: &Line, id: String) -> Result<Row> {
    let variants = ["paraphrased_question", "paraphrased_answer", "perturbed_answer"];
    line.only(&[&["question", "answer"][..], &variants].concat())?;
    let mut row = Row::new(id, Kind::Question, line.text("question")?, line.text("answer")?);
    row.paraphrased_inputs = vec![line.text("paraphrased_question")?];
    row.paraphrased_output = Some(line.text("paraphrased_answer")?);
    wrong(line, row)
}

fn wrong(line: &Line, mut row: Row) -> Result<Row> {
    let expected = "a list of at least one text, all different and not empty";
    row.wrong_outputs = line.texts("perturbed_answer", 1, expected)?;
    Ok(row)
}

pub(super) fn options(line: &Line, id: String) -> Result<Row> {
    let Question { text, mut options, answer, .. } = question(line, &id)?;
    let output = options.remove(answer);
    Ok(Row { wrong_outputs: options, ..Row::new(id, Kind::Question, text, output) })
}

fn question(line: &Line, subject: &str) -> Result<Question> {
    const OPTIONS: [&str; 4] = ["option1", "option2", "option3", "option4"];
    line.only(&[&["question", "answer"][..], &OPTIONS].concat())?;
    let options: Result<Vec<String>> = OPTIONS.iter().map(|option| line.text(option)).collect();
    let (options, answer) = (options?, line.text("answer")?);
    if !all_different(&options) {
        return Err(line.wrong("line", "four different options", &options.join(", ")));
    }
    let Some(index) = options.iter().position(|option| *option == answer) else {
        return Err(line.wrong("answer", "one of the options", &answer));
    };
    let (subject, text) = (subject.to_string(), line.text("question")?);
    Ok(Question { subject, text, options, answer: index })
}

/// Multiple-choice questions from a file of options: `question`, `option1` to `option4`, `answer`. Set and subject have the name of
/// the file.
///
/// # Errors
/// [`Error::Read`], and [`Error::InFile`] with the path and the line that is not so, or without lines.
pub fn option_questions(path: &Path) -> Result<Questions> {
    let name = stem(path);
    within(path, |text| {
        let lines = text.lines().enumerate();
        let items: Result<Vec<Question>> =
            lines.map(|(idx, text)| question(&Line::parse(idx + 1, text)?, &name)).collect();
        Questions::new(name.clone(), "a file of options in the format of TOFU", items?)
    })
}

/// Refusals to answer, one a line, as `idontknow.txt` of TOFU has them.
///
/// # Errors
/// [`Error::Read`], and [`Error::InFile`] with the path and a line that is empty or was there before, or without lines.
pub fn refusals(path: &Path) -> Result<Vec<String>> {
    within(path, |text| {
        let mut refusals: Vec<String> = Vec::new();
        for (idx, line) in text.lines().enumerate() {
            if line.trim().is_empty() {
                return Err(whole(idx + 1, "a refusal", "an empty line"));
            }
            if refusals.iter().any(|before| before == line) {
                return Err(whole(idx + 1, "a refusal that no line before has", line));
            }
            refusals.push(line.to_string());
        }
        if refusals.is_empty() { Err(Error::Empty { what: "refusals" }) } else { Ok(refusals) }
    })
}

/// Rows of TOFU about one author.
const ROWS_PER_AUTHOR: usize = 20;

/// Forget and retain set from the rows of `full`, which come author by author: the last `percent` of the authors are to be
/// forgotten, the others kept. TOFU has 1, 5 and 10 percent.
///
/// # Errors
/// [`Error::OutOfRange`] unless the rows are 20 for each author and the share is a whole number of authors, at least one and not all.
///
/// # Source
/// arXiv 2401.06121; checked on the published files.
pub fn tofu_split(full: &[Row], percent: u32) -> Result<(&[Row], &[Row])> {
    let wrong = |name, must, got| Err(Error::OutOfRange { name, must, got });
    if full.is_empty() || !full.len().is_multiple_of(ROWS_PER_AUTHOR) {
        return wrong("number of rows", "a positive multiple of 20", full.len() as f64);
    }
    let hundredths = full.len() / ROWS_PER_AUTHOR * percent as usize;
    if hundredths == 0 || 100 <= percent || !hundredths.is_multiple_of(100) {
        let must = "less than 100 and a whole number of authors";
        return wrong("percent to forget", must, f64::from(percent));
    }
    let (retain, forget) = full.split_at(full.len() - hundredths / 100 * ROWS_PER_AUTHOR);
    Ok((forget, retain))
}
