//! Exams on folders in the shape of MUSE: verbatim memory, knowledge, and leak of membership.

use std::path::Path;

use report::html::Section;
use report::number::significant;
use report::table::{Align, Table};
use serde::Serialize;
use serde_json::json;
use tape_nn::generate::Settings;
use tape_nn::net::Llama;
use tensor_tree::{Key, Tree};
use unlearn::data::{self, Muse};
use unlearn::exam::Subject;
use unlearn::metric::attack::muse_auc;
use unlearn::metric::min_k::{Rounding, min_k};
use unlearn::row::{Join, Row};
use unlearn::score::Score;
use unlearn::score::muse::{Form, know_mem, priv_leak, verb_mem};

use super::model::Model;
use crate::command::write::{self, Folder};
use crate::command::{Outcome, Session};
use crate::error::Result;

/// Tokens of a continuation.
const CONTINUATION: usize = 128;

/// Tokens of an answer.
const ANSWER: usize = 32;

/// Share of the tokens that the attack looks at.
const SHARE: f64 = 0.4;

/// The form of scores.
const FORM: Form = Form::Published;

/// Everything that was measured.
const RESULT: &str = "muse.json";

/// What a model was asked and how it did. Scores are in percent.
struct Measured {
    verb_mem: Score,
    know_forget: Score,
    know_retain: Score,
    /// Min-K scores of forget texts and of held-out ones.
    leaks: [Vec<f64>; 2],
    /// Which prompts lost their beginning.
    cuts: Vec<String>,
}

/// Examines a model, and gold beside it, which leaks of membership are measured against.
///
/// # Errors
/// Those of [`data::muse`], with path and line; [`crate::error::Error::Interrupted`]; those of the models.
pub(super) fn examine(
    folder: &Path,
    models: &[(&str, &Model)],
    batch: usize,
    session: &Session,
) -> Result<Found> {
    let muse = data::muse(folder)?;
    let measured: Result<Vec<Measured>> = models
        .iter()
        .map(|(name, model)| Measured::of(&muse, (name, model), batch, session))
        .collect();
    Found::new(models.iter().map(|(name, _)| (*name).to_owned()).collect(), &measured?)
}

/// A number of each model.
#[derive(Serialize)]
struct Number {
    name: &'static str,
    values: Vec<f64>,
    definition: String,
}

/// The numbers of all models.
pub(super) struct Found {
    names: Vec<String>,
    numbers: Vec<Number>,
    /// Why something is not there.
    notes: Vec<String>,
}

impl Found {
    fn new(names: Vec<String>, measured: &[Measured]) -> Result<Self> {
        let number = |name, of: &dyn Fn(&Measured) -> Score| {
            let scores: Vec<Score> = measured.iter().map(of).collect();
            let definition = scores.first().map(|s| s.definition().to_string()).unwrap_or_default();
            Number { name, values: scores.iter().map(Score::value).collect(), definition }
        };
        let mut numbers = vec![
            number("VerbMem_f", &|m| m.verb_mem.clone()),
            number("KnowMem_f", &|m| m.know_forget.clone()),
            number("KnowMem_r", &|m| m.know_retain.clone()),
        ];
        let auc = |m: &Measured| muse_auc(&m.leaks[0], &m.leaks[1]);
        let values = measured.iter().map(auc).collect::<unlearn::Result<Vec<f64>>>()?;
        let definition = format!(
            "share of pairs in which the held-out text has the smaller score of Min-{:.0} %, about 0.5 where nothing was learned",
            100.0 * SHARE
        );
        let mut notes: Vec<String> = measured.iter().flat_map(|m| m.cuts.clone()).collect();
        let gold = names.iter().position(|name| name == "gold").and_then(|at| values.get(at));
        match gold.copied() {
            Some(gold) if 0.0 < gold => {
                let leak = |m: &Measured| priv_leak(&m.leaks[0], &m.leaks[1], gold, SHARE);
                let leaks = measured.iter().map(leak).collect::<unlearn::Result<Vec<Score>>>()?;
                numbers.push(Number {
                    name: "PrivLeak",
                    definition: leaks
                        .first()
                        .map(|s| s.definition().to_string())
                        .unwrap_or_default(),
                    values: leaks.iter().map(Score::value).collect(),
                });
            }
            Some(_) => notes.push("no PrivLeak: gold tells all texts apart".to_owned()),
            None => notes.push(
                "no PrivLeak: it is relative to a model that never saw the forget set, --gold"
                    .to_owned(),
            ),
        }
        numbers.push(Number { name: "AUC", values, definition });
        Ok(Found { names, numbers, notes })
    }

    fn table(&self) -> Table {
        let header = std::iter::once("number").chain(self.names.iter().map(String::as_str));
        let mut table = Table::new(header);
        for number in &self.numbers {
            let values = number.values.iter().map(|x| significant(*x, 4));
            table.push_row(std::iter::once(number.name.to_owned()).chain(values));
        }
        (1..=self.names.len()).fold(table, |table, column| table.align(column, Align::Right))
    }

    /// The numbers with their definitions, as text, page and JSON.
    ///
    /// # Errors
    /// None that is known: of JSON.
    pub(super) fn outcome(self, lines: &[(String, String)], out: &Path) -> Result<Outcome> {
        let table = self.table();
        let definitions = self.numbers.iter().map(|n| (n.name, n.definition.as_str()));
        let add = |section: Section, note: &String| section.paragraph(note);
        let scores = self.notes.iter().fold(Section::new("Scores").table(&table), add);
        let sections = [scores, Section::new("Definitions").key_values(definitions)];
        let mut folder = Folder::named(out.to_owned());
        folder.add("report.html", write::page("Exam in the manner of MUSE", lines, &[], sections));
        let json = json!({
            "format": "lethe-unlearn-muse", "version": 1, "models": self.names, "numbers": self.numbers,
        });
        folder.add(RESULT, write::json(&json)?);
        let (written, files) = folder.finish();
        let stdout = format!("{}\n{}\n\n{written}", write::aligned(lines), table.to_terminal(None));
        Ok(Outcome { stdout, notes: self.notes, files, ..Outcome::default() })
    }
}

impl Measured {
    fn of(
        muse: &Muse,
        (name, model): (&str, &Model),
        batch: usize,
        session: &Session,
    ) -> Result<Measured> {
        let frozen = Tree::new();
        let subject = Subject {
            model: &model.net,
            trainable: &model.params,
            frozen: &frozen,
            tokenizer: &model.tokenizer,
            // Prompts are whole: nothing is put around them.
            join: Join::None,
            end: model.end(),
            stops: &model.stops,
            device: &candle_core::Device::Cpu,
            batch,
        };
        let asked = |what: &str, rows: &[Row], most: usize| -> Result<Vec<String>> {
            let task = session.progress.task(format!("{what} of {name}"), rows.len() as u64);
            let texts = written(&subject, rows, most, &mut |done| {
                task.set_position(done as u64);
                !session.interrupt.is_set()
            })?;
            task.finish();
            Ok(texts)
        };
        let cut = |what: &str, rows: &[Row], most: usize| -> Result<Option<String>> {
            let n = subject.n_cut_prompts(rows, most)?;
            Ok((0 < n).then(|| {
                format!("{n} prompts of {what} lost their beginning before {name}, to leave room for a text")
            }))
        };
        let texts = asked("VerbMem", &muse.verbmem, CONTINUATION)?;
        let begun = |row: &Row| -> Result<String> {
            let tokens = model.tokenizer.encode(&row.output, false)?;
            let n = tokens.len().min(CONTINUATION);
            Ok(model.tokenizer.decode(&tokens[..n], true)?)
        };
        let truths = muse.verbmem.iter().map(begun).collect::<Result<Vec<String>>>()?;
        let pairs = truths.iter().zip(&texts).map(|(truth, text)| (truth.as_str(), text.as_str()));
        let verb_mem = verb_mem(pairs, FORM)?;
        let know = |what: &str, rows: &[Row], examples: &[Row]| -> Result<Score> {
            let asked_for = questions(rows, examples);
            let texts = asked(what, &asked_for, ANSWER)?;
            let pairs = rows.iter().zip(&texts).map(|(row, text)| (&*row.output, text.as_str()));
            Ok(know_mem(pairs, FORM)?)
        };
        let knowledge = [
            ("KnowMem_f", questions(&muse.knowmem.forget, &muse.knowmem.forget_examples)),
            ("KnowMem_r", questions(&muse.knowmem.retain, &muse.knowmem.retain_examples)),
        ];
        let mut cuts = vec![cut("VerbMem", &muse.verbmem, CONTINUATION)?];
        for (what, rows) in &knowledge {
            cuts.push(cut(what, rows, ANSWER)?);
        }
        let questions = &muse.knowmem;
        let leaks = |rows: &[Row]| -> Result<Vec<f64>> {
            let texts: Vec<String> = rows.iter().map(|row| row.output.clone()).collect();
            let of = |tokens: Vec<f64>| min_k(&tokens, SHARE, Rounding::AtLeastOne);
            let task = session.progress.task(format!("PrivLeak of {name}"), texts.len() as u64);
            let scores = subject.document_scores(&texts, &mut |done| {
                task.set_position(done as u64);
                !session.interrupt.is_set()
            })?;
            task.finish();
            let scores = scores.iter().map(|s| of(s.iter().map(|t| t.log_prob).collect()));
            Ok(scores.collect::<unlearn::Result<_>>()?)
        };
        Ok(Measured {
            verb_mem,
            know_forget: know("KnowMem_f", &questions.forget, &questions.forget_examples)?,
            know_retain: know("KnowMem_r", &questions.retain, &questions.retain_examples)?,
            leaks: [leaks(&muse.privleak.forget)?, leaks(&muse.privleak.holdout)?],
            cuts: cuts.into_iter().flatten().collect(),
        })
    }
}

/// What a model writes greedily after prompts.
fn written(
    subject: &Subject<'_, Llama>,
    rows: &[Row],
    most: usize,
    go_on: &mut dyn FnMut(usize) -> bool,
) -> Result<Vec<String>> {
    let settings = Settings::greedy(most, &[]);
    Ok(subject.generations(rows, &settings, Key::from_seed(0), go_on)?)
}

/// Questions behind examples with their answers: `Question: q`, a new line, `Answer: a`, an empty line.
fn questions(rows: &[Row], examples: &[Row]) -> Vec<Row> {
    let shown: String = examples
        .iter()
        .map(|row| format!("Question: {}\nAnswer: {}\n\n", row.input, row.output))
        .collect();
    let asked = |row: &Row| Row {
        input: format!("{shown}Question: {}\nAnswer: ", row.input),
        ..row.clone()
    };
    rows.iter().map(asked).collect()
}

#[cfg(test)]
mod tests {
    use unlearn::row::Kind;

    use super::*;

    #[test]
    fn questions_follow_examples_and_end_where_the_answer_begins() {
        let row = |q: &str, a: &str| Row::new(q, Kind::Question, q, a);
        let asked = questions(&[row("Who?", "Ada")], &[row("When?", "1815"), row("Why?", "So")]);
        assert_eq!(
            asked[0].input,
            "Question: When?\nAnswer: 1815\n\nQuestion: Why?\nAnswer: So\n\nQuestion: Who?\nAnswer: "
        );
        assert_eq!(asked[0].output, "Ada");
        assert_eq!(questions(&[row("Who?", "Ada")], &[])[0].input, "Question: Who?\nAnswer: ");
    }
}
