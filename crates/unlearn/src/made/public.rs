//! Task3: invented people of public life.

use super::Part;
use super::document::{Document, Fact, Form, sentence};
use super::draw::Draw;
use super::people::{Cast, city};
use super::words::{PRIZE_KINDS, PRIZE_NAMES, PROFESSIONS, SUBJECTS, WORKS};
use crate::score::semeval::Task;

pub(super) fn document(draw: &mut Draw, cast: &mut Cast, part: Part, at: usize) -> Document {
    let id = draw.new_one(|draw| draw.from(10_000_000, 79_999_999).to_string());
    let (person, spouse) = (cast.person(draw, part), cast.person(draw, part));
    let (name, spouse) = (person.name(), spouse.name());
    let birthplace = city(cast.place(draw, part, at));
    let (profession, prize) = (draw.word(PROFESSIONS), prize(draw));

    let year = draw.from(1950, 1985);
    let known = with_article(profession);
    let first = match draw.below(3) {
        0 => format!("{name}, born in {birthplace} in {year}, is {known}."),
        1 => format!("{name} is {known} who was born in {birthplace} in {year}."),
        _ => format!("{name} ({year}, {birthplace}) works as {known}."),
    };
    let won = format!("the {prize} in {} for {}", year + draw.from(20, 38), draw.word(WORKS));
    let mut said = vec![
        (draw.pick(&["{S} received {V}.", "{S} was awarded {V}."]), won),
        (draw.pick(&["{S} is married to {V}.", "{P} spouse is {V}."]), spouse.clone()),
    ];
    if draw.one_in(2) {
        said.push(("{S} studied {V}.", draw.word(SUBJECTS).to_string()));
    }
    draw.shuffle(&mut said);
    let others = said
        .iter()
        .map(|(template, value)| sentence(template, person.subject(), person.possessive(), value));
    let text = [first].into_iter().chain(others).collect::<Vec<String>>().join(" ");

    let facts = vec![
        Fact::new(
            draw,
            Form::Profession,
            [
                format!("What is the profession of {name}?"),
                format!("What does {name} do for a living?"),
            ],
            profession.to_string(),
            |draw| draw.word(PROFESSIONS).to_string(),
        ),
        Fact::new(
            draw,
            Form::Prize,
            [format!("Which prize did {name} receive?"), format!("What was {name} awarded?")],
            prize,
            self::prize,
        ),
        Fact::new(
            draw,
            Form::City,
            [
                format!("In which city was {name} born?"),
                format!("What is the birthplace of {name}?"),
            ],
            birthplace.to_string(),
            |draw| city(cast.other_place(draw, part)).to_string(),
        ),
        Fact::new(
            draw,
            Form::Person,
            [format!("Who is {name} married to?"), format!("Who is the spouse of {name}?")],
            spouse,
            |draw| cast.stranger(draw, part).name(),
        ),
    ];
    Document { id, task: Task::RealBiographies, text, facts }
}

fn prize(draw: &mut Draw) -> String {
    format!("{} {}", draw.word(PRIZE_NAMES), draw.word(PRIZE_KINDS))
}

pub(super) fn with_article(noun: &str) -> String {
    let article = if noun.starts_with(['a', 'e', 'i', 'o']) { "an" } else { "a" };
    format!("{article} {noun}")
}
