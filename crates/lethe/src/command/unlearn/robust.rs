//! `lethe unlearn robust`: whether forgetting lasts when a model is trained on, rounded, or asked in other ways.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use report::html::Section;
use report::plot::{Plot, Series};
use report::table::{Align, Table};
use serde_json::json;
use tensor_tree::{Key, Tree};
use unlearn::robust::{BestOf, MembershipTest, Models, Relearned, Relearning, Report, Robustness};

use super::model::{self, Model};
use super::rows::{self, Reading};
use super::{exam, folder};
use crate::command::write::{self, Folder, Picture, picture};
use crate::command::{Outcome, Session};
use crate::error::{Error, Result};

/// Flags of `lethe unlearn robust`.
#[derive(Debug, Args)]
pub struct Flags {
    #[command(flatten)]
    model: model::Flags,
    /// A model that never saw the forget set, with the same tokens.
    #[arg(long, value_name = "FOLDER|FILE.gguf")]
    gold: PathBuf,
    /// The model before unlearning: relearning is timed by what it knows. Without it that test is left out.
    #[arg(long, value_name = "FOLDER|FILE.gguf")]
    target: Option<PathBuf>,
    /// Rows that should be forgotten: a file of JSON lines, or a folder of such files.
    #[arg(long, value_name = "FILE|FOLDER")]
    forget: PathBuf,
    /// Rows that should be known.
    #[arg(long, value_name = "FILE|FOLDER")]
    retain: PathBuf,
    /// How input and output become one text: space, none, question-answer, llama2 or chatml; by default that of the rows' format.
    #[arg(long, value_parser = rows::join, value_name = "JOIN")]
    join: Option<unlearn::row::Join>,
    #[command(flatten)]
    exam: exam::Flags,
    /// Tests that are not made.
    #[arg(long, value_enum, value_name = "TEST", num_args = 1..)]
    skip: Vec<Test>,
    /// Bits to which weights are rounded, 2 to 8, each with an exam of its own.
    #[arg(long, value_name = "BITS", value_delimiter = ',', default_values_t = [8, 4])]
    bits: Vec<u32>,
    /// How often each row is asked at random.
    #[arg(long, value_name = "N", default_value_t = 8)]
    best_of: usize,
    /// What logits are divided by where rows are asked at random.
    #[arg(long, value_name = "T", default_value_t = 1.0)]
    temperature: f64,
    /// The share of documents to forget that is learned again.
    #[arg(long, value_name = "SHARE", requires = "target")]
    relearn_share: Option<f64>,
    /// Steps of relearning; 50 by default.
    #[arg(long, value_name = "N", requires = "target")]
    relearn_steps: Option<u64>,
    /// Steps between two looks at the other documents; a tenth of all by default.
    #[arg(long, value_name = "N", requires = "target")]
    relearn_every: Option<u64>,
    /// The learning rate of relearning; 1e-4 by default.
    #[arg(long, value_name = "RATE", requires = "target")]
    relearn_rate: Option<f64>,
    /// Rows of a step of relearning; 8 by default.
    #[arg(long, value_name = "ROWS", requires = "target")]
    relearn_batch: Option<usize>,
    /// Of documents that are shown, of orders and of what is drawn.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Folder for robust.json and report.html; it must be empty.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

/// A test that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Test {
    /// Learning some of the documents again.
    Relearning,
    /// Weights of few bits.
    Rounding,
    /// Questions in other words.
    Paraphrases,
    /// Many attempts.
    Attempts,
    /// Membership inference.
    Membership,
}

/// All of them.
const ALL: [Test; 5] =
    [Test::Relearning, Test::Rounding, Test::Paraphrases, Test::Attempts, Test::Membership];

/// What the lines of the table mean, by what their names contain.
const DEFINITIONS: [(&str, &str); 14] = [
    (
        "knowledge of the other documents",
        "share of tokens of answers that are the likeliest ones, mean over the rows of documents that are not shown",
    ),
    (
        "steps to",
        "steps of relearning until that share of what the model before unlearning knew is reached",
    ),
    (
        "relearn gap",
        "mean over the steps of the knowledge of the unlearned model less that of gold; gained is what was not there at step 0",
    ),
    (
        "tokens known as asked",
        "share of tokens of answers that are the likeliest ones, mean over rows, behind the prompts as they are and in other words",
    ),
    (
        "ROUGE-L recall as asked",
        "ROUGE-L recall of greedy texts, with stemmer, mean over rows, likewise",
    ),
    (
        "best ROUGE-L recall",
        "the highest ROUGE-L recall of so many drawn texts of a row, with stemmer, mean over rows",
    ),
    (
        "rows answered exactly",
        "share of rows of whose drawn texts one is the answer, without regard to case and outer space",
    ),
    (
        "membership AUC",
        "area below the ROC curve of an attack on whole documents, members positive: .5 where nothing tells them apart",
    ),
    ("membership AUC, loss", "attack by the mean -log p per token"),
    (
        "membership AUC, Min-K %",
        "attack by the mean over the two fifths of the tokens that are the least likely; ++ where each is standardized by what the model expects there",
    ),
    ("membership AUC, zlib", "attack by the mean loss over the length of the compressed text"),
    ("membership AUC, lower case", "attack by the mean loss over that of the text in lower case"),
    ("membership AUC, reference", "attack by the mean loss less that of gold"),
    (
        "PrivLeak",
        "100 ((1 - AUC) - (1 - AUC of gold)) / (1 - AUC of gold), in percent: 0 as gold, below 0 where members still show",
    ),
];

/// Everything that was found.
const RESULT: &str = "robust.json";

/// Curves of relearning.
const CURVES: &str = "relearning.svg";

impl Flags {
    pub(super) fn outcome(&self, session: &Session) -> Result<Outcome> {
        folder::empty(&self.out)?;
        let tests = self.tests();
        if ALL.iter().all(|test| self.skip.contains(test)) {
            return Err(Error::Usage("--skip leaves no test".to_owned()));
        }
        let unlearned = self.model.read()?;
        let others = |path: &Path| -> Result<Model> {
            let tokenizer = self.model.tokenizer.clone().filter(|_| path.is_file());
            let other = model::Flags { model: path.to_owned(), tokenizer }.read()?;
            unlearned.same_tokens(&self.model.model, (&other, path))?;
            Ok(other)
        };
        let gold = others(&self.gold)?;
        let target = self.target.as_deref().map(others).transpose()?;
        let mut reading = Reading::of(self.join);
        let (forget, retain) = (reading.read(&self.forget)?, reading.read(&self.retain)?);
        let sitting = self.exam.sitting((&forget, &retain), reading, self.seed)?;
        let frozen = Tree::new();
        let subject = |model| sitting.subject(parts(model), &frozen);
        let models = Models {
            unlearned: &subject(&unlearned),
            gold: &subject(&gold),
            // Only relearning looks at the target.
            target: &subject(target.as_ref().unwrap_or(&unlearned)),
        };
        let mut task: Option<(String, report::progress::Task)> = None;
        let mut go_on = |what: &str, done: usize, of: usize| {
            if task.as_ref().is_none_or(|(name, _)| name != what) {
                if let Some((_, done)) = task.take() {
                    done.finish();
                }
                task = Some((what.to_owned(), session.progress.task(what, of as u64)));
            }
            if let Some((_, task)) = &task {
                task.set_position(done as u64);
            }
            !session.interrupt.is_set()
        };
        let report = tests.run(&sitting.exam, &models, Key::from_seed(self.seed), &mut go_on)?;
        if let Some((_, task)) = task {
            task.finish();
        }
        let n_cut = subject(&unlearned).n_cut_prompts(&forget, sitting.exam.max_new)?;
        let cut = (0 < n_cut && tests.best_of.is_some()).then(|| {
            format!(
                "{n_cut} prompts of the forget set lost their beginning, to leave room for a text"
            )
        });
        self.written(&tests, &report, (forget.len(), &sitting), cut)
    }

    /// Which tests are made.
    fn tests(&self) -> Robustness {
        let wants = |test: Test| !self.skip.contains(&test);
        let default = Relearning::default();
        let steps = self.relearn_steps.unwrap_or(default.steps);
        let relearning = Relearning {
            share: self.relearn_share.unwrap_or(default.share),
            steps,
            every: self.relearn_every.unwrap_or_else(|| (steps / 10).max(1)),
            rate: self.relearn_rate.unwrap_or(default.rate),
            batch: self.relearn_batch.unwrap_or(default.batch),
            seed: self.seed,
            ..default
        };
        let best_of = BestOf { n: self.best_of, temperature: self.temperature };
        Robustness {
            relearning: (self.target.is_some() && wants(Test::Relearning)).then_some(relearning),
            bits: if wants(Test::Rounding) { self.bits.clone() } else { Vec::new() },
            paraphrases: wants(Test::Paraphrases),
            best_of: wants(Test::Attempts).then_some(best_of),
            membership: wants(Test::Membership).then(MembershipTest::default),
        }
    }

    fn written(
        &self,
        tests: &Robustness,
        report: &Report,
        (n_forget, sitting): (usize, &exam::Sitting),
        cut: Option<String>,
    ) -> Result<Outcome> {
        let path = |path: &Path| path.display().to_string();
        let mut lines = vec![
            ("model", path(&self.model.model)),
            ("gold", path(&self.gold)),
            ("forget set", format!("{}, {}", self.forget.display(), rows::counted(n_forget, 0))),
            ("held out", sitting.held_out()),
            ("questions", sitting.exam.questions.label()),
            ("join", sitting.join.to_string()),
            ("texts", sitting.texts()),
        ];
        if let Some(target) = &self.target {
            lines.push(("before unlearning", path(target)));
        }
        if let (Some(relearning), Some(relearned)) = (&tests.relearning, &report.relearned) {
            let shown = relearned.shown.join(", ");
            let Relearning { steps, rate, .. } = relearning;
            lines.push((
                "relearning",
                format!("{steps} steps at {rate} on {shown}; {} other rows", relearned.n_rows),
            ));
        }
        let lines: Vec<(String, String)> =
            lines.into_iter().map(|(name, text)| (name.to_owned(), text)).collect();
        let mut notes = Vec::new();
        if self.target.is_none() && !self.skip.contains(&Test::Relearning) {
            notes.push(
                "no relearning: it is timed by what the model before unlearning knows, --target"
                    .to_owned(),
            );
        }
        if tests.membership.is_some() && report.membership.is_none() {
            notes.push(
                "no membership inference: it needs documents that were held out, --holdout"
                    .to_owned(),
            );
        }
        notes.extend(report.rounding.iter().flat_map(|rounding| rounding.before.cuts()));
        notes.extend(cut.filter(|_| report.rounding.is_none()));
        let pictures: Vec<Picture> = match &report.relearned {
            Some(relearned) => curves(relearned)?.into_iter().collect(),
            None => Vec::new(),
        };
        let text = report.to_string();
        let blocks: Vec<Block> = blocks(&text);
        let add = |section: Section, block: &Block| match block {
            Block::Table(table) => section.table(table),
            Block::Text(text) => section.paragraph(text),
        };
        let found = blocks.iter().fold(Section::new("What was found"), add);
        let asked = DEFINITIONS.iter().filter(|(name, _)| text.contains(name)).copied();
        let definitions = Section::new("Definitions").key_values(asked);
        let warnings = (!notes.is_empty()).then(|| {
            let add = |section: Section, note: &String| section.paragraph(note);
            notes.iter().fold(Section::new("What to know first"), add)
        });
        let mut out = Folder::named(self.out.clone());
        for picture in &pictures {
            out.add(picture.name, picture.svg.as_str());
        }
        let sections = warnings.into_iter().chain([found, definitions]);
        out.add(
            "report.html",
            write::page("Robustness of forgetting", &lines, &pictures, sections),
        );
        out.add(
            RESULT,
            write::json(&json!({
                "format": "lethe-unlearn-robust",
                "version": 1,
                "relearn_gap": report.relearned.as_ref().map(Relearned::gap),
                "report": report,
            }))?,
        );
        let shown = blocks.iter().map(|block| match block {
            Block::Table(table) => table.to_terminal(None),
            Block::Text(text) => text.clone(),
        });
        let shown: Vec<String> = shown.collect();
        let (written, files) = out.finish();
        let stdout = format!("{}\n{}\n\n{written}", write::aligned(&lines), shown.join("\n\n"));
        Ok(Outcome { stdout, notes, files, ..Outcome::default() })
    }
}

fn parts(model: &Model) -> (&Model, &tape_nn::net::Llama, &Tree) {
    (model, &model.net, &model.params)
}

/// What both models know of the documents that are not shown.
fn curves(relearned: &Relearned) -> Result<Option<Picture>> {
    let points = |curve: &unlearn::robust::Curve| -> Vec<(f64, f64)> {
        curve.points.iter().map(|p| (p.step as f64, p.knowledge)).collect()
    };
    let (share, target) = (100.0 * relearned.until, relearned.target.knowledge);
    let plot = Plot::new("Relearning")
        .x_label("step")
        .y_label("share of tokens that are the likeliest ones")
        .y_range(-0.03, 1.03)
        .series(Series::line("unlearned", points(&relearned.curves.unlearned)).with_markers())
        .series(Series::line("gold", points(&relearned.curves.gold)).with_markers())
        .horizontal(relearned.until * target, format!("{share:.0} % of the target"));
    let caption = "What both know of documents that are not shown while they learn others of the forget set. Above gold is what was \
                   hidden and not forgotten.";
    picture(CURVES, caption, plot.to_svg())
}

/// A part of a report.
enum Block {
    Table(Table),
    Text(String),
}

/// The tables and sentences of a report, which are apart by empty lines.
fn blocks(text: &str) -> Vec<Block> {
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    let block = |part: &str| {
        let mut lines = part.lines();
        let header = lines.next().filter(|line| line.starts_with('|'));
        let Some(header) = header.map(cells) else { return Block::Text(part.to_owned()) };
        let columns = header.len();
        let mut table = Table::new(header);
        // The line below the header says nothing.
        for line in lines.skip(1) {
            table.push_row(cells(line));
        }
        Block::Table((1..columns).fold(table, |table, column| table.align(column, Align::Right)))
    };
    text.split("\n\n").map(block).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_and_sentences_of_a_report_are_told_apart() {
        let blocks =
            blocks("| a | b |\n| --- | --- |\n| c, d | 1.0 |\n\ngap 0.1\n\n| e |\n| --- |\n| f |");
        let said: Vec<String> = blocks
            .iter()
            .map(|block| match block {
                Block::Table(table) => table.to_terminal(None),
                Block::Text(text) => text.clone(),
            })
            .collect();
        assert_eq!(said.len(), 3);
        assert!(said[0].contains("c, d") && said[0].contains("1.0") && !said[0].contains("---"));
        assert_eq!(said[1], "gap 0.1");
        assert!(said[2].contains('e') && said[2].contains('f'));
    }
}
