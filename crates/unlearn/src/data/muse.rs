//! Folders in the shape of MUSE.

use std::fs;
use std::path::Path;

use super::list::items;
use super::{stem, within};
use crate::error::{Error, Result};
use crate::line::{Line, whole};
use crate::row::{Kind, Row};

/// A corpus in the shape of MUSE: what is trained on, and what its four criteria ask.
///
/// | folder | files |
/// | --- | --- |
/// | `raw` | `forget.txt`, `holdout.txt`, `retain1.txt`, `retain2.txt` or any others whose names begin with `retain` |
/// | `verbmem` | `forget.json`: a list of objects with `prompt` and `gt` |
/// | `knowmem` | `forget_qa.json`, `forget_qa_icl.json`, `retain_qa.json`, `retain_qa_icl.json`: of objects with `question` and `answer` |
/// | `privleak` | `forget.json`, `retain.json`, `holdout.json`: of texts |
///
/// The sets for scaling and for repeated requests (`scal`, `sust`) are not part of it. Rows are named by folder, file and place,
/// counted from 1: `verbmem/forget-12`.
///
/// # Source
/// arXiv 2407.06460; layout of its code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Muse {
    /// The texts.
    pub raw: Raw,
    /// Beginnings of forget texts and how they go on.
    pub verbmem: Vec<Row>,
    /// Questions.
    pub knowmem: KnowMem,
    /// Texts for membership inference.
    pub privleak: PrivLeak,
}

/// Whole texts to train on, each one row of [`Kind::Text`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw {
    /// To be forgotten.
    pub forget: Row,
    /// To be kept, in the order of the file names; at least one.
    pub retain: Vec<Row>,
    /// Never trained on.
    pub holdout: Row,
}

/// Questions on both sets, and examples to put before them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnowMem {
    /// On what is forgotten.
    pub forget: Vec<Row>,
    /// Examples for those.
    pub forget_examples: Vec<Row>,
    /// On what is kept.
    pub retain: Vec<Row>,
    /// Examples for those.
    pub retain_examples: Vec<Row>,
}

/// Texts of three sets, rows of [`Kind::Text`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivLeak {
    /// To be forgotten.
    pub forget: Vec<Row>,
    /// To be kept.
    pub retain: Vec<Row>,
    /// Never trained on.
    pub holdout: Vec<Row>,
}

/// Reads a folder in the shape of MUSE.
///
/// # Errors
/// [`Error::Read`] for a file that cannot be read; [`Error::InFile`] with the path and [`Error::Line`] with the line an item begins
/// on, or [`Error::Empty`] for a list or text with nothing in it; [`Error::UnknownFile`] for another text in `raw`.
pub fn muse(folder: &Path) -> Result<Muse> {
    let list = |name: &str, row: fn(String, usize, &str) -> Result<Row>| -> Result<Vec<Row>> {
        within(&folder.join(format!("{name}.json")), |text| {
            let numbered = items(text)?.into_iter().enumerate();
            numbered
                .map(|(idx, (line, text))| row(format!("{name}-{}", idx + 1), line, text))
                .collect()
        })
    };
    Ok(Muse {
        raw: raw(&folder.join("raw"))?,
        verbmem: list("verbmem/forget", |id, line, text| {
            pair(["prompt", "gt"], Kind::Completion, id, line, text)
        })?,
        knowmem: KnowMem {
            forget: list("knowmem/forget_qa", question)?,
            forget_examples: list("knowmem/forget_qa_icl", question)?,
            retain: list("knowmem/retain_qa", question)?,
            retain_examples: list("knowmem/retain_qa_icl", question)?,
        },
        privleak: PrivLeak {
            forget: list("privleak/forget", whole_text)?,
            retain: list("privleak/retain", whole_text)?,
            holdout: list("privleak/holdout", whole_text)?,
        },
    })
}

fn raw(folder: &Path) -> Result<Raw> {
    let read = |path: &Path| {
        within(path, |text| match text.trim() {
            "" => Err(Error::Empty { what: "characters of the text" }),
            _ => Ok(Row::new(format!("raw/{}", stem(path)), Kind::Text, "", text)),
        })
    };
    let failed = |source| Error::Read { path: folder.to_owned(), source };
    let mut retain = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let is_text = path.extension().is_some_and(|extension| extension == "txt");
        match stem(&path).as_str() {
            name if is_text && name.starts_with("retain") => retain.push(path),
            "forget" | "holdout" if is_text => {}
            _ => {
                let expected = "`forget.txt`, `holdout.txt` and `retain*.txt`";
                return Err(Error::UnknownFile { path, expected });
            }
        }
    }
    retain.sort();
    let retain: Result<Vec<Row>> = retain.iter().map(|path| read(path)).collect();
    let retain = retain?;
    if retain.is_empty() {
        let source = Box::new(Error::Empty { what: "files `retain*.txt`" });
        return Err(Error::InFile { path: folder.to_owned(), source });
    }
    let [forget, holdout] = ["forget.txt", "holdout.txt"].map(|name| read(&folder.join(name)));
    Ok(Raw { forget: forget?, retain, holdout: holdout? })
}

fn question(id: String, line: usize, text: &str) -> Result<Row> {
    pair(["question", "answer"], Kind::Question, id, line, text)
}

fn pair(fields: [&str; 2], kind: Kind, id: String, line: usize, text: &str) -> Result<Row> {
    let item = Line::parse(line, text)?;
    item.only(&fields)?;
    Ok(Row::new(id, kind, item.text(fields[0])?, item.text(fields[1])?))
}

fn whole_text(id: String, line: usize, text: &str) -> Result<Row> {
    match serde_json::from_str::<String>(text) {
        Ok(output) if !output.trim().is_empty() => Ok(Row::new(id, Kind::Text, "", output)),
        _ => Err(whole(line, "a text that is not empty", text)),
    }
}
