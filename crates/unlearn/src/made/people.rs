//! Who is in the documents, and where.

use super::Part;
use super::draw::Draw;
use super::words::{CITIES, MEN, STREETS, SURNAMES, WOMEN, entries};

/// Women and men by surnames; a test counts them.
pub(super) const N_NAMES: usize = 9600;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Person {
    first: &'static str,
    last: &'static str,
    woman: bool,
}

impl Person {
    pub(super) fn name(self) -> String {
        format!("{} {}", self.first, self.last)
    }

    pub(super) fn email(self) -> String {
        let (first, last) = (self.first.to_lowercase(), self.last.to_lowercase());
        format!("{first}_{last}@example.com")
    }

    /// She or he.
    pub(super) fn subject(self) -> &'static str {
        if self.woman { "She" } else { "He" }
    }

    /// Her or his.
    pub(super) fn possessive(self) -> &'static str {
        if self.woman { "Her" } else { "His" }
    }
}

/// People and cities, dealt out so that the parts of the world have none in common but where they shall.
pub(super) struct Cast {
    /// Those that are in no document yet.
    people: Vec<Person>,
    /// Those that are in no document ever, for wrong answers of each part.
    strangers: [Vec<Person>; 3],
    /// Cities of each part.
    cities: [Vec<&'static str>; 3],
    shared_cities: bool,
}

impl Cast {
    pub(super) fn new(draw: &mut Draw, n_people: usize, shared_cities: bool) -> Self {
        let mut people = Vec::new();
        for (list, woman) in [(WOMEN, true), (MEN, false)] {
            for first in entries(list) {
                people.extend(entries(SURNAMES).into_iter().map(|last| Person {
                    first,
                    last,
                    woman,
                }));
            }
        }
        draw.shuffle(&mut people);
        let rest = people.split_off(n_people.min(people.len()));
        let mut strangers = [const { Vec::new() }; 3];
        rest.into_iter().enumerate().for_each(|(at, person)| strangers[at % 3].push(person));
        let mut cities = entries(CITIES);
        draw.shuffle(&mut cities);
        let cities = if shared_cities {
            [cities.clone(), cities.clone(), cities]
        } else {
            let kept = cities.split_off(cities.len() / 2);
            [cities.clone(), kept, cities]
        };
        Cast { people, strangers, cities, shared_cities }
    }

    /// Somebody who is in no other document.
    pub(super) fn person(&mut self, draw: &mut Draw, part: Part) -> Person {
        self.people.pop().unwrap_or_else(|| self.stranger(draw, part))
    }

    /// Somebody who is in no document.
    pub(super) fn stranger(&self, draw: &mut Draw, part: Part) -> Person {
        draw.pick(&self.strangers[part as usize])
    }

    /// Somebody who is in no document and has the first name or the surname of this person, if there are enough of those.
    pub(super) fn namesake(&self, draw: &mut Draw, part: Part, of: Person) -> Person {
        let strangers = self.strangers[part as usize].iter().copied();
        let namesakes: Vec<Person> =
            strangers.filter(|other| other.first == of.first || other.last == of.last).collect();
        if namesakes.len() < 4 { self.stranger(draw, part) } else { draw.pick(&namesakes) }
    }

    /// City, state and ZIP code of document `at` of a task. Where cities are shared, documents with the same number to forget and to
    /// keep have the same one.
    pub(super) fn place(&self, draw: &mut Draw, part: Part, at: usize) -> &'static str {
        let cities = &self.cities[part as usize];
        if self.shared_cities && part != Part::Holdout {
            cities[at % cities.len()]
        } else {
            draw.pick(cities)
        }
    }

    /// A place of the same part.
    pub(super) fn other_place(&self, draw: &mut Draw, part: Part) -> &'static str {
        draw.pick(&self.cities[part as usize])
    }
}

/// The name of the city alone.
pub(super) fn city(place: &'static str) -> &'static str {
    place.split(", ").next().unwrap_or(place)
}

/// A street and number that nobody else has, in this place.
pub(super) fn address(draw: &mut Draw, place: &str) -> String {
    draw.new_one(|draw| format!("{} {}, {place}", draw.from(1, 999), draw.word(STREETS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_counted() {
        let n_first = entries(WOMEN).len() + entries(MEN).len();
        assert_eq!(n_first * entries(SURNAMES).len(), N_NAMES);
        let mut first = [entries(WOMEN), entries(MEN)].concat();
        first.sort_unstable();
        first.dedup();
        assert_eq!(first.len(), n_first);
    }
}
