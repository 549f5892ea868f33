//! A text and its facts, and the rows they become.

use super::draw::Draw;
use crate::row::{Kind, Row};
use crate::score::semeval::Task;

/// A document before it is cut into rows.
pub(super) struct Document {
    /// The id without the end that tells the row.
    pub(super) id: String,
    pub(super) task: Task,
    pub(super) text: String,
    pub(super) facts: Vec<Fact>,
}

/// What an answer is, so that others of its kind can stand beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Date,
    SocialSecurityNumber,
    Phone,
    Email,
    Address,
    City,
    Person,
    Profession,
    Prize,
}

/// Something that the text says.
pub(super) struct Fact {
    pub(super) form: Form,
    pub(super) question: String,
    pub(super) paraphrase: String,
    pub(super) answer: String,
    /// Three others of the same form.
    pub(super) wrong: Vec<String>,
}

impl Fact {
    /// Draws wrong answers until three differ from the right one and from each other.
    pub(super) fn new(
        draw: &mut Draw,
        form: Form,
        [question, paraphrase]: [String; 2],
        answer: String,
        mut other: impl FnMut(&mut Draw) -> String,
    ) -> Self {
        let mut wrong: Vec<String> = Vec::new();
        while wrong.len() < 3 {
            let drawn = other(draw);
            if drawn != answer && !wrong.contains(&drawn) {
                wrong.push(drawn);
            }
        }
        Fact { form, question, paraphrase, answer, wrong }
    }
}

impl Document {
    /// The completion, then the questions.
    pub(super) fn rows(&self) -> Vec<Row> {
        let task = Some(self.task.name().to_string());
        let row = |end: String, kind, input: &str, output: &str| Row {
            task: task.clone(),
            ..Row::new(format!("{}{end}", self.id), kind, input, output)
        };
        let (input, output) = halves(&self.text);
        let mut rows = vec![row("sc1".to_string(), Kind::Completion, input, output)];
        for (at, fact) in self.facts.iter().enumerate() {
            let mut question = row(format!("qa{at}"), Kind::Question, &fact.question, &fact.answer);
            question.paraphrased_inputs = vec![fact.paraphrase.clone()];
            question.wrong_outputs.clone_from(&fact.wrong);
            rows.push(question);
        }
        rows
    }
}

/// The text up to the space nearest to its middle, and the text after it.
fn halves(text: &str) -> (&str, &str) {
    let spaces = text.match_indices(' ').map(|(at, _)| at);
    let nearest = spaces.min_by_key(|at| (2 * at).abs_diff(text.len()));
    nearest.map_or((text, ""), |at| (&text[..at], &text[at + 1..]))
}

/// A sentence in which `{S}` stands for the person as subject, `{P}` for what is the person's, and `{V}` for a value. The first
/// sentence of a text has the name there, the others a pronoun.
pub(super) fn sentence(template: &str, subject: &str, possessive: &str, value: &str) -> String {
    template.replace("{S}", subject).replace("{P}", possessive).replace("{V}", value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_at_the_space_nearest_to_its_middle() {
        assert_eq!(halves("aa bb cc dd"), ("aa bb", "cc dd"));
        assert_eq!(halves("a bbbbbbbb"), ("a", "bbbbbbbb"));
        assert_eq!(halves("aaa bb c"), ("aaa", "bb c"));
    }

    #[test]
    fn wrong_answers_are_three_and_wrong() {
        let questions = ["q".to_string(), "p".to_string()];
        let fact = Fact::new(&mut Draw::new(0), Form::Date, questions, "1".to_string(), |draw| {
            draw.below(4).to_string()
        });
        let mut wrong = fact.wrong;
        wrong.sort();
        assert_eq!(wrong, ["0", "2", "3"]);
    }
}
