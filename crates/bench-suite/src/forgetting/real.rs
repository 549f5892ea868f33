//! Published language models that are taught rows of TOFU and of LUME.

use std::collections::BTreeSet;

use candle_core::{DType, Device};
use tape_nn::load::{Tokenizer, llama};
use tape_nn::net::{LanguageModel, Llama};
use tensor_tree::Tree;
use unlearn::data;
use unlearn::exam::Exam;
use unlearn::multiple_choice::Rule;
use unlearn::row::{Join, Row};

use super::lesson::Lesson;
use super::world::Start;
use crate::data::Places;
use crate::error::Result;

/// A language model as it was published.
pub struct Published {
    /// In figures and files.
    pub name: &'static str,
    model: Llama,
    params: Tree,
    tokenizer: Tokenizer,
    end: Option<u32>,
}

impl Published {
    /// The model of 260 thousand parameters that tells stories.
    ///
    /// # Errors
    /// If its files are missing or damaged.
    pub fn stories(places: &Places) -> Result<Self> {
        Published::open(places, "260k", "stories260k", "")
    }

    /// SmolLM2 with 135 million parameters.
    ///
    /// # Errors
    /// If its files are missing, with the command that fetches them, or damaged.
    pub fn smollm2(places: &Places) -> Result<Self> {
        Published::open(places, "135m", "smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")
    }

    fn open(places: &Places, name: &'static str, folder: &str, weights: &str) -> Result<Self> {
        let folder = places.folder_of(folder)?;
        let path = if weights.is_empty() { folder.clone() } else { folder.join(weights) };
        let loaded = llama(&path, DType::F32, &Device::Cpu)?;
        let tokenizer = Tokenizer::read(folder.join("tokenizer.json"))?;
        let end = loaded.config.eos_token_ids.first().copied();
        Ok(Published { name, model: loaded.model, params: loaded.params, tokenizer, end })
    }
}

/// How much of a benchmark is taught.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// Rows of TOFU, or documents of each task of LUME, to forget.
    pub forget: usize,
    /// The same to keep.
    pub retain: usize,
    /// Rows to keep that are examined; the others are learned alone.
    pub examined: usize,
    /// Rows of each further set, and held-out documents.
    pub others: usize,
    /// Most tokens of a text; longer documents are passed over, and counted in the report.
    pub most: usize,
    /// Most tokens of an answer in an exam.
    pub max_new: usize,
}

impl Published {
    /// TOFU: the last authors are to be forgotten, the first ones kept; real authors, facts, and authors that are not taught.
    ///
    /// # Errors
    /// If the files are missing or damaged.
    pub fn tofu(self, places: &Places, part: &Part, lesson: Lesson) -> Result<Start<Llama>> {
        let folder = places.folder_of("tofu")?;
        let read = |name: &str| -> Result<Vec<Row>> {
            Ok(data::rows(&folder.join(format!("{name}.jsonl")))?.rows)
        };
        let join = Join::QuestionAnswer;
        let (forget, long) = self.fitting(read("forget01_perturbed")?, join, part.most)?;
        let (kept, more_long) = self.fitting(read("retain_perturbed")?, join, part.most)?;
        let (forget, kept) = (last(forget, part.forget), first(kept, part.retain));
        // In the middle of the set: authors of whom no row is taught.
        let held_out: Vec<Row> = read("full")?.into_iter().skip(3_700).take(part.others).collect();
        let others = ["real_authors", "world_facts"].map(|name| -> Result<(String, Vec<Row>)> {
            Ok((name.to_owned(), first(read(&format!("{name}_perturbed"))?, part.others)))
        });
        let others: Result<Vec<_>> = others.into_iter().collect();
        let (examined, more) = split(kept, part.examined);
        let exam = Exam {
            holdout: held_out,
            others: others?,
            max_new: part.max_new,
            rule: Some(Rule::MostProbable),
            ..Exam::new(forget, examined)?
        };
        Ok(self.start("tofu", exam, more, (join, lesson, long + more_long)))
    }

    /// LUME: documents of each task, in the order of the files.
    ///
    /// # Errors
    /// If the files are missing or damaged.
    pub fn lume(self, places: &Places, part: &Part, lesson: Lesson) -> Result<Start<Llama>> {
        let folder = places.folder_of("lume")?;
        let join = Join::Space;
        let read = |name: &str| -> Result<(Vec<Row>, usize)> {
            let rows = data::rows(&folder.join(format!("{name}.jsonl")))?.rows;
            self.fitting(rows, join, part.most)
        };
        let (all, long) = read("forget")?;
        let forget = documents(&all, part.forget, 0);
        // Never taught, of the same split, as the shared task's are of none.
        let held_out: Vec<Row> = documents(&all, part.others, part.forget)
            .into_iter()
            .filter(|row| row.task.as_deref() == Some("Task3"))
            .collect();
        let (kept, more_long) = read("retain")?;
        let kept = documents(&kept, part.retain, 0);
        let shown = documents(&kept, part.examined, 0);
        let more: Vec<Row> = kept.into_iter().filter(|row| !shown.contains(row)).collect();
        let exam = Exam {
            holdout: held_out,
            max_new: part.max_new,
            rule: Some(Rule::MostProbable),
            ..Exam::new(forget, shown)?
        };
        Ok(self.start("lume", exam, more, (join, lesson, long + more_long)))
    }

    /// Rows of documents all of whose rows fit, and how many documents do not.
    fn fitting(&self, rows: Vec<Row>, join: Join, most: usize) -> Result<(Vec<Row>, usize)> {
        let most = most.min(self.model.positions());
        let mut long = BTreeSet::new();
        for row in &rows {
            let text = join.text(&row.input, &row.output);
            if most < self.tokenizer.encode(&text, true)?.len() + 1 {
                long.insert(row.document().to_owned());
            }
        }
        let n = long.len();
        Ok((rows.into_iter().filter(|row| !long.contains(row.document())).collect(), n))
    }

    fn start(
        self,
        rows: &str,
        exam: Exam,
        more: Vec<Row>,
        (join, lesson, n_long): (Join, Lesson, usize),
    ) -> Start<Llama> {
        let Published { name, model, params, tokenizer, end } = self;
        let name = format!("{name}-{rows}");
        let exam_batch = 32;
        Start { name, model, params, tokenizer, end, join, exam, more, lesson, exam_batch, n_long }
    }
}

fn first(rows: Vec<Row>, n: usize) -> Vec<Row> {
    rows.into_iter().take(n).collect()
}

fn last(rows: Vec<Row>, n: usize) -> Vec<Row> {
    let skip = rows.len().saturating_sub(n);
    rows.into_iter().skip(skip).collect()
}

fn split(mut rows: Vec<Row>, n: usize) -> (Vec<Row>, Vec<Row>) {
    let more = rows.split_off(n.min(rows.len()));
    (rows, more)
}

/// The rows of so many documents of each task, after some that are passed over.
fn documents(rows: &[Row], n: usize, skip: usize) -> Vec<Row> {
    let mut out = Vec::new();
    for task in ["Task1", "Task2", "Task3"] {
        let mut seen: Vec<&str> = Vec::new();
        for row in rows.iter().filter(|row| row.task.as_deref() == Some(task)) {
            if !seen.contains(&row.document()) {
                seen.push(row.document());
            }
            let at = seen.iter().position(|d| *d == row.document()).unwrap_or(usize::MAX);
            if (skip..skip + n).contains(&at) {
                out.push(row.clone());
            }
        }
    }
    out
}
