//! Exams of a model: what it still writes, knows and betrays of rows, from generations and losses to published scores.

mod divergence;
mod findings;
mod set;
mod subject;

pub use findings::{Distance, Findings};
pub use set::{RowResult, SetResult};
pub use subject::Subject;

use sha2::{Digest as _, Sha256};
use tape_nn::net::LanguageModel;
use tensor_tree::Key;

use crate::multiple_choice::{Questions, Rule};
use crate::row::{Join, Kind, Row};
use crate::score::Conditions;
use crate::{Error, Result};

/// What a model is examined on.
#[derive(Clone, Debug)]
pub struct Exam {
    /// Rows that it is to have forgotten.
    pub forget: Vec<Row>,
    /// Rows that it is to know.
    pub retain: Vec<Row>,
    /// Rows that it never saw, of documents like those to forget: for membership inference. Without them there is none.
    pub holdout: Vec<Row>,
    /// Multiple-choice questions in the place of MMLU.
    pub questions: Questions,
    /// How an option is chosen; where it is not given as the set of questions says, [`Questions::rule`].
    pub rule: Option<Rule>,
    /// Other sets that count for utility alone, by name, such as `real_authors` and `world_facts` of TOFU.
    pub others: Vec<(String, Vec<Row>)>,
    /// Most tokens of a generation.
    pub max_new: usize,
    /// Whether texts are generated at all: losses alone take a fraction of the time.
    pub generate: bool,
}

impl Exam {
    /// An exam on two sets, with the small made set of questions.
    ///
    /// # Errors
    /// None: a test reads the questions.
    pub fn new(forget: Vec<Row>, retain: Vec<Row>) -> Result<Self> {
        let questions = Questions::made()?;
        Ok(Exam {
            forget,
            retain,
            holdout: Vec::new(),
            rule: None,
            questions,
            others: Vec::new(),
            max_new: 256,
            generate: true,
        })
    }

    /// Examines a model. `go_on` is told what is at work, how much of it is done, and of how many: rows of each set, `documents` of
    /// membership inference, `questions`. It may end the exam with [`tape_nn::Error::Stopped`].
    ///
    /// Members are documents of the forget set: of `Task3` where both sets have it, as in the shared task, or where it has it and no row held
    /// out has a task, as in the files of the shared task.
    ///
    /// # Errors
    /// [`Error::Empty`] for an empty forget or retain set; [`Error::Row`] for rows that do not fit the model; those of the model.
    pub fn sit<M: LanguageModel + ?Sized>(
        &self,
        subject: &Subject<'_, M>,
        key: Key,
        go_on: &mut dyn FnMut(&str, usize, usize) -> bool,
    ) -> Result<Findings> {
        for (rows, what) in
            [(&self.forget, "rows to have forgotten"), (&self.retain, "rows to know")]
        {
            if rows.is_empty() {
                return Err(Error::Empty { what });
            }
        }
        let mut set = |name: &str, rows: &[Row]| -> Result<SetResult> {
            let n = rows.len();
            let mut told = |done: usize| go_on(name, done, n);
            subject.set(name, rows, self.generate.then_some(self.max_new), key, &mut told)
        };
        let forget = set("forget", &self.forget)?;
        let retain = set("retain", &self.retain)?;
        let others: Result<Vec<SetResult>> =
            self.others.iter().map(|(name, rows)| set(name, rows)).collect();
        let others = others?;
        let (members, nonmembers) = self.documents(subject.join);
        let documents = digest_of_documents(&members, &nonmembers);
        let (members, nonmembers) = if nonmembers.is_empty() {
            (Vec::new(), Vec::new())
        } else {
            let (n, total) = (members.len(), members.len() + nonmembers.len());
            let mut told = |done: usize| go_on("documents", done, total);
            let members = subject.document_losses(&members, &mut told)?;
            let mut told = |done: usize| go_on("documents", n + done, total);
            (members, subject.document_losses(&nonmembers, &mut told)?)
        };
        let n = self.questions.items().len();
        let (options, n_cut_options) =
            subject.options(&self.questions, &mut |done| go_on("questions", done, n))?;
        let accuracy = self.questions.accuracy(&options, self.rule())?;
        Ok(Findings {
            forget,
            retain,
            others,
            members,
            nonmembers,
            documents,
            questions: self.questions.label(),
            rule: self.rule(),
            accuracy: accuracy.score.value(),
            n_cut_options,
            join: subject.join.to_string(),
            max_new: self.generate.then_some(self.max_new),
            divergence: None,
        })
    }

    /// Findings of nobody: what is asked, with zeros in the place of what a model answers, to compare findings of others with by
    /// [`Findings::same_exam`] before any long work.
    #[must_use]
    pub fn unanswered(&self, join: Join) -> Findings {
        let row = |row: &Row| RowResult {
            id: row.id.clone(),
            task: row.task.clone(),
            input: row.input.clone(),
            output: row.output.clone(),
            generation: None,
            loss: 0.0,
            n_tokens: 0,
            memorized: 0.0,
            extracted: 0.0,
            paraphrase_loss: row.paraphrased_output.as_ref().map(|_| 0.0),
            wrong_losses: vec![0.0; row.wrong_outputs.len()],
            variants: subject::variants(row),
        };
        let max_new = self.generate.then_some(self.max_new);
        let conditions = Conditions { join: join.to_string(), max_new };
        let set = |name: &str, rows: &[Row]| SetResult {
            name: name.to_owned(),
            n_cut: 0,
            n_cut_prompts: 0,
            conditions: conditions.clone(),
            rows: rows.iter().map(row).collect(),
        };
        let (members, nonmembers) = self.documents(join);
        let n_members = if nonmembers.is_empty() { 0 } else { members.len() };
        Findings {
            forget: set("forget", &self.forget),
            retain: set("retain", &self.retain),
            others: self.others.iter().map(|(name, rows)| set(name, rows)).collect(),
            documents: digest_of_documents(&members, &nonmembers),
            members: vec![0.0; n_members],
            nonmembers: vec![0.0; nonmembers.len()],
            questions: self.questions.label(),
            rule: self.rule(),
            accuracy: 0.0,
            n_cut_options: 0,
            join: join.to_string(),
            max_new,
            divergence: None,
        }
    }

    fn rule(&self) -> Rule {
        self.rule.unwrap_or(self.questions.rule())
    }

    /// Everything that is done in one exam: rows, documents and questions.
    #[must_use]
    pub fn n_asked(&self, join: Join) -> usize {
        let (members, nonmembers) = self.documents(join);
        let n_documents = if nonmembers.is_empty() { 0 } else { members.len() + nonmembers.len() };
        let others = self.others.iter().map(|(_, rows)| rows.len()).sum::<usize>();
        let sets = self.forget.len() + self.retain.len() + others;
        sets + n_documents + self.questions.items().len()
    }

    /// Whole documents of the forget set and held out, as texts that a model was taught with this join.
    pub(crate) fn documents(&self, join: Join) -> (Vec<String>, Vec<String>) {
        let of = |rows: &[Row], task: Option<&str>| -> Vec<String> {
            rows.iter()
                .filter(|row| task.is_none() || row.task.as_deref() == task)
                .filter(|row| row.kind != Kind::Question)
                .map(|row| join.text(&row.input, &row.output))
                .collect()
        };
        let no_tasks = self.holdout.iter().all(|row| row.task.is_none());
        let third =
            (of(&self.forget, Some("Task3")), of(&self.holdout, (!no_tasks).then_some("Task3")));
        if !third.0.is_empty() && !third.1.is_empty() {
            return third;
        }
        let all = (of(&self.forget, None), of(&self.holdout, None));
        if !all.0.is_empty() && !all.1.is_empty() {
            return all;
        }
        // Sets of questions alone: each is a document with its answer.
        let each = |rows: &[Row]| -> Vec<String> {
            rows.iter().map(|row| join.text(&row.input, &row.output)).collect()
        };
        (each(&self.forget), each(&self.holdout))
    }
}

/// What tells documents of membership inference from others; empty where none are held out.
fn digest_of_documents(members: &[String], nonmembers: &[String]) -> String {
    if nonmembers.is_empty() {
        return String::new();
    }
    digest([members, nonmembers])
}

/// SHA-256 of texts in two lists.
fn digest(lists: [&[String]; 2]) -> String {
    let mut hash = Sha256::new();
    for texts in lists {
        hash.update((texts.len() as u64).to_le_bytes());
        for text in texts {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        }
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
