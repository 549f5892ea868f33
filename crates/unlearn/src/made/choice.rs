//! Multiple-choice questions about the documents that are kept.

use super::document::{Document, Fact, Form};
use super::draw::Draw;
use crate::error::Result;
use crate::multiple_choice::{Question, Questions, Rule};
use crate::score::semeval::Task;

/// One question for each document, about its facts in turn, in the words of the paraphrase. E-mail addresses are left out: they
/// follow from the name. Each position holds the answer equally often, as far as their number allows.
///
/// The options are the answer and three others: answers of the same form in other documents, so that it is not enough to know which
/// values occur; wrong answers of the fact where there are too few of those.
pub(super) fn questions(draw: &mut Draw, seed: u64, documents: &[Document]) -> Result<Questions> {
    let mut places: Vec<usize> = (0..documents.len()).map(|at| at % 4).collect();
    draw.shuffle(&mut places);
    let mut items = Vec::new();
    for (at, (document, place)) in documents.iter().zip(places).enumerate() {
        let facts: Vec<&Fact> =
            document.facts.iter().filter(|fact| fact.form != Form::Email).collect();
        let fact = facts[at % facts.len()];
        let mut rivals = rivals(documents, document, fact);
        draw.shuffle(&mut rivals);
        let mut options: Vec<String> = Vec::new();
        for rival in rivals.into_iter().chain(fact.wrong.iter().map(String::as_str)) {
            let is_new = rival != fact.answer && options.iter().all(|option| option != rival);
            if is_new && options.len() < 3 {
                options.push(rival.to_string());
            }
        }
        options.insert(place, fact.answer.clone());
        let (subject, text) = (subject(document.task).to_string(), fact.paraphrase.clone());
        items.push(Question { subject, text, options, answer: place });
    }
    let questions =
        Questions::new(format!("made world {seed}"), "made from a seed by `unlearn::made`", items)?;
    // Names, places and prizes have unequal lengths.
    Ok(questions.with_rule(Rule::MostProbablePerToken))
}

/// Answers of the same form in other documents of the task.
fn rivals<'a>(documents: &'a [Document], document: &Document, fact: &Fact) -> Vec<&'a str> {
    let same_task = |other: &&Document| other.task == document.task && other.id != document.id;
    let facts = documents.iter().filter(same_task).flat_map(|other| &other.facts);
    facts.filter(|other| other.form == fact.form).map(|other| other.answer.as_str()).collect()
}

fn subject(task: Task) -> &'static str {
    match task {
        Task::Stories => "stories",
        Task::InventedBiographies => "biographies",
        Task::RealBiographies => "public biographies",
    }
}
