//! The numbers of findings, side by side, each with its definition.

use report::number::significant;
use report::table::{Align, Table};
use unlearn::exam::Findings;
use unlearn::metric::truth_ratio::{Aggregate, Wrong};
use unlearn::score::semeval::{Gate, Split, TASKS};
use unlearn::score::tofu::ForgetTest;
use unlearn::score::{Score, sets};

use crate::error::{Error, Result};

/// A model's findings under a name.
pub(super) type Named<'a> = (&'a str, &'a Findings);

/// A number that findings may have.
struct Number {
    name: String,
    values: Vec<Option<f64>>,
    definition: String,
}

/// Tables of several models, and the definitions of their numbers.
pub(super) struct Numbers {
    numbers: Vec<Number>,
    names: Vec<String>,
    tasks: Option<Table>,
    missing: Vec<(String, String)>,
    gate: Option<String>,
}

/// Refuses findings of other rows, questions or prompts.
///
/// # Errors
/// [`Error::Usage`] with what differs between two of them.
pub(super) fn alike(models: &[Named<'_>]) -> Result<()> {
    // Each pair: the first may lack a set that two others have.
    for (at, (name, findings)) in models.iter().enumerate() {
        for (first, of) in &models[..at] {
            match of.same_exam(findings) {
                Ok(()) => {}
                Err(unlearn::Error::DifferentDefinitions { left, right }) => {
                    return Err(Error::Usage(format!(
                        "{first} and {name} sat different exams, {left} and {right}: their numbers cannot be compared"
                    )));
                }
                Err(other) => return Err(other.into()),
            }
        }
    }
    Ok(())
}

impl Numbers {
    /// Of these models; distances are to `gold`, one of them. `before` is what was found before unlearning, where that was examined:
    /// three quarters of its accuracy must be left.
    ///
    /// # Errors
    /// As [`alike`].
    pub(super) fn new(
        models: &[Named<'_>],
        gold: Option<&Findings>,
        before: Option<&Findings>,
    ) -> Result<Self> {
        alike(models)?;
        let gate = before.map_or(Gate::Open, |before| Gate::OfTarget(before.accuracy));
        let mut numbers = Vec::new();
        let mut missing = Vec::new();
        let mut score = |name: &str, of: &dyn Fn(&Findings) -> unlearn::Result<Score>| {
            let scores: Vec<unlearn::Result<Score>> = models.iter().map(|(_, f)| of(f)).collect();
            if let (true, Some(Err(error))) = (scores.iter().all(|s| s.is_err()), scores.first()) {
                let why = models.first().and_then(|(_, found)| why(name, found));
                missing.push((name.to_owned(), why.unwrap_or_else(|| error.to_string())));
            }
            let scores: Vec<Option<Score>> = scores.into_iter().map(|s| s.ok()).collect();
            if let Some(definition) = scores.iter().flatten().next().map(Score::meaning) {
                let values = scores.iter().map(|s| s.as_ref().map(Score::value)).collect();
                numbers.push(Number { name: name.to_owned(), values, definition });
            }
        };
        score("forget ROUGE-L", &|f| f.forget.rouge());
        score("forget exact match", &|f| f.forget.exact());
        score("forget probability", &|f| f.forget.probability());
        score("forget truth ratio", &|f| f.forget.truth_ratio(Wrong::Geometric, Aggregate::Forget));
        score("retain ROUGE-L", &|f| f.retain.rouge());
        score("retain exact match", &|f| f.retain.exact());
        score("retain probability", &|f| f.retain.probability());
        score("retain truth ratio", &|f| {
            f.retain.truth_ratio(Wrong::Geometric, Aggregate::Utility)
        });
        score("membership AUC", &|f| sets::loss_auc(&f.members, &f.nonmembers));
        score("accuracy", &|f| f.accuracy());
        score("SemEval task aggregate", &|f| f.task_aggregate());
        score("SemEval final score", &|f| Ok(f.semeval(gate)?.score().clone()));
        score("TOFU model utility", &|f| f.utility(Wrong::Geometric));
        for name in others(models) {
            let set = |f: &Findings| {
                let of = f.others.iter().find(|set| set.name == name).cloned();
                of.ok_or(unlearn::Error::Empty { what: "set of this name" })
            };
            score(&format!("{name} ROUGE-L"), &|f| set(f)?.rouge());
            score(&format!("{name} exact match"), &|f| set(f)?.exact());
            score(&format!("{name} probability"), &|f| set(f)?.probability());
            score(&format!("{name} truth ratio"), &|f| {
                set(f)?.truth_ratio(Wrong::Geometric, Aggregate::Utility)
            });
        }
        if let Some(gold) = gold {
            score("TOFU forget quality", &|f| {
                Ok(f.forget_quality(gold, ForgetTest::default())?.score)
            });
        }
        let mut plain = |name: &str, definition: &str, of: &dyn Fn(&Findings) -> Option<f64>| {
            let values: Vec<Option<f64>> = models.iter().map(|(_, f)| of(f)).collect();
            numbers.push(Number {
                name: name.to_owned(),
                values,
                definition: definition.to_owned(),
            });
        };
        let nats = "mean -log p per token of the answer, its end included, in nats, mean over rows";
        plain("forget loss", nats, &|f| Some(f.forget.loss()));
        plain("retain loss", nats, &|f| Some(f.retain.loss()));
        let exact = "share of the answer's tokens that are the likeliest ones, mean over rows";
        plain("forget memorization", exact, &|f| Some(f.forget.memorized()));
        plain("retain memorization", exact, &|f| Some(f.retain.memorized()));
        if let Some(gold) = gold {
            let what = "mean of |model - gold| over all numbers in [0, 1] above that both have: ROUGE-L, exact match, probability, \
                        memorization and truth ratio of both sets, AUC, accuracy";
            plain("distance to gold", what, &|f| f.distance(gold).ok());
        }
        if let Some(gold) = gold {
            let quality = |f: &Findings| f.forget_quality(gold, ForgetTest::default()).ok();
            if models.iter().any(|(_, f)| quality(f).is_some()) {
                let what = "logarithm to base 10 of the TOFU forget quality above, which may be too small for a number";
                let log10 = |f: &Findings| Some(quality(f)?.p_value.log10());
                plain("forget quality, log10 p", what, &log10);
            }
        }
        if models.iter().any(|(_, f)| f.divergence.is_some()) {
            let what = "mean of KL(gold || model) over the tokens of the answers to forget, their ends included, in nats";
            plain("divergence from gold", what, &|f| f.divergence);
        }
        let names = models.iter().map(|(name, _)| (*name).to_owned()).collect();
        Ok(Numbers { numbers, names, tasks: tasks(models), missing, gate: passed(models, gate) })
    }

    /// One line for each number, one column for each model.
    pub(super) fn table(&self) -> Table {
        let mut table =
            Table::new(std::iter::once("number").chain(self.names.iter().map(String::as_str)));
        for number in &self.numbers {
            let cells = number.values.iter().map(|value| match value {
                Some(value) => significant(*value, 4),
                None => "-".to_owned(),
            });
            table.push_row(std::iter::once(number.name.clone()).chain(cells));
        }
        (1..=self.names.len()).fold(table, |table, column| table.align(column, Align::Right))
    }

    /// The twelve numbers of SemEval-2025 Task 4, where rows have tasks.
    pub(super) fn tasks(&self) -> Option<&Table> {
        self.tasks.as_ref()
    }

    /// The least accuracy with which the shared task ranks a model, and which have it; where the model before unlearning was examined.
    pub(super) fn gate(&self) -> Option<&str> {
        self.gate.as_deref()
    }

    /// Names of numbers with what they mean.
    pub(super) fn definitions(&self) -> impl Iterator<Item = (&str, &str)> {
        self.numbers.iter().map(|number| (number.name.as_str(), number.definition.as_str()))
    }

    /// Names of numbers that no model has, with what they lack.
    pub(super) fn missing(&self) -> &[(String, String)] {
        &self.missing
    }

    /// Everything as text for a terminal.
    pub(super) fn text(&self) -> String {
        let mut text = self.table().to_terminal(None) + "\n";
        if let Some(tasks) = &self.tasks {
            text += &format!("\n{}\n", tasks.to_terminal(None));
        }
        if let Some(gate) = &self.gate {
            text += &format!("\n{gate}\n");
        }
        for (at, (name, why)) in self.missing.iter().enumerate() {
            text += &format!("{}no {name}: {why}\n", if at == 0 { "\n" } else { "" });
        }
        text
    }
}

/// Names of further sets that some of these models were asked.
fn others(models: &[Named<'_>]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for set in models.iter().flat_map(|(_, found)| &found.others) {
        if !names.contains(&set.name) {
            names.push(set.name.clone());
        }
    }
    names
}

/// Why a number is not there, by what was asked; nothing where that does not say.
fn why(name: &str, found: &Findings) -> Option<String> {
    let texts = ["ROUGE-L", "exact match", "SemEval", "model utility"];
    let needs = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
    if needs(&texts) && found.max_new.is_none() {
        return Some("no texts were written, --no-texts".to_owned());
    }
    if needs(&["SemEval"]) && found.forget.rows.iter().any(|row| row.task.is_none()) {
        return Some("rows have no task, as those of LUME do".to_owned());
    }
    if needs(&["ROUGE-L", "exact match"]) {
        return Some("whole texts ask nothing".to_owned());
    }
    if needs(&["AUC", "final score"]) && found.nonmembers.is_empty() {
        return Some("no documents were held out, --holdout".to_owned());
    }
    let has = |name: &str| found.others.iter().any(|set| set.name == name);
    if needs(&["model utility"]) && !(has("real_authors") && has("world_facts")) {
        return Some("it needs --others real_authors=FILE world_facts=FILE".to_owned());
    }
    if needs(&["truth ratio", "forget quality", "model utility"]) {
        return Some("no row has wrong answers beside the right one".to_owned());
    }
    None
}

/// Which models pass a gate, in words; none for a gate that is open.
fn passed(models: &[Named<'_>], gate: Gate) -> Option<String> {
    if gate == Gate::Open {
        return None;
    }
    let said = models.iter().map(|(name, findings)| {
        let passed = if gate.passes(findings.accuracy) { "passed" } else { "not passed" };
        format!("{name} {passed}")
    });
    let said: Vec<String> = said.collect();
    let floor = gate.floor();
    Some(format!(
        "gate: accuracy of at least {floor:.4}, three quarters of that before: {}",
        said.join(", ")
    ))
}

fn tasks(models: &[Named<'_>]) -> Option<Table> {
    let cells: Vec<_> = models
        .iter()
        .map(|(_, f)| {
            let (forget, retain) = (f.forget.semeval().ok()?, f.retain.semeval().ok()?);
            unlearn::score::semeval::Cells::of(&forget, &retain).ok()
        })
        .collect();
    cells.iter().any(Option::is_some).then_some(())?;
    let columns = models
        .iter()
        .flat_map(|(name, _)| [format!("{name}: regurgitation"), format!("{name}: knowledge")]);
    let mut table = Table::new(["set".to_owned(), "task".to_owned()].into_iter().chain(columns));
    for split in [Split::Forget, Split::Retain] {
        for (at, task) in TASKS.iter().enumerate() {
            let mut row = vec![split.name().to_owned(), task.name().to_owned()];
            for cells in &cells {
                let [said, known] = match cells {
                    Some(cells) => {
                        let cell = cells.split(split)[at];
                        [cell.regurgitation, cell.knowledge].map(|x| format!("{x:.3}"))
                    }
                    None => ["-".to_owned(), "-".to_owned()],
                };
                row.extend([said, known]);
            }
            table.push_row(row);
        }
    }
    Some((2..2 + 2 * models.len()).fold(table, |table, column| table.align(column, Align::Right)))
}
