//! Task1: stories about two people in a city.

use super::Part;
use super::document::{Document, Fact, Form};
use super::draw::Draw;
use super::people::{Cast, city};
use super::public::with_article;
use super::words::{ARRIVALS, ENDINGS, FINDS, HABITS, PLACES, PROFESSIONS, RELATIONS, SEASONS};
use crate::score::semeval::Task;

pub(super) fn document(draw: &mut Draw, cast: &mut Cast, part: Part, at: usize) -> Document {
    // As in LUME, ids of stories have quotes around the UUID.
    let id = format!("\"{}\"", draw.uuid());
    let (one, other) = (cast.person(draw, part), cast.person(draw, part));
    let place = city(cast.place(draw, part, at));
    let relation = draw.word(RELATIONS);
    let (one_name, other_name) = (one.name(), other.name());

    let mut sentences = vec![
        format!("In {place} lived {}, {}.", one_name, with_article(draw.word(PROFESSIONS))),
        format!("Every evening {} {}.", one.subject().to_lowercase(), draw.word(HABITS)),
        format!("{}, {other_name} {}.", draw.word(SEASONS), draw.word(ARRIVALS)),
        format!("{other_name} was the {relation} of {one_name}."),
    ];
    if draw.one_in(2) {
        sentences.push(format!(
            "{} had come back as {}.",
            other.subject(),
            with_article(draw.word(PROFESSIONS))
        ));
    }
    if draw.one_in(2) {
        sentences.push("At first neither of them said a word.".to_string());
    }
    sentences.push(format!("Together they found {} {}.", draw.word(FINDS), draw.word(PLACES)));
    sentences.push(format!("{}.", draw.word(ENDINGS)));

    let fact = match draw.below(3) {
        0 => Fact::new(
            draw,
            Form::City,
            [
                format!("In which city did {one_name} and {other_name} meet?"),
                format!("Where does the story of {one_name} and {other_name} take place?"),
            ],
            place.to_string(),
            |draw| city(cast.other_place(draw, part)).to_string(),
        ),
        1 => Fact::new(
            draw,
            Form::Person,
            [
                format!("Who was the {relation} of {one_name}?"),
                format!("Name the {relation} whom {one_name} met."),
            ],
            other_name,
            |draw| cast.stranger(draw, part).name(),
        ),
        _ => Fact::new(
            draw,
            Form::Person,
            [
                format!("Whose {relation} was {other_name}?"),
                format!("To whom was {other_name} the {relation}?"),
            ],
            one_name,
            |draw| cast.stranger(draw, part).name(),
        ),
    };
    Document { id, task: Task::Stories, text: sentences.join(" "), facts: vec![fact] }
}
