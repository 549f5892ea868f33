//! Lists of words, written for this crate: one entry a line.

pub(super) const WOMEN: &str = include_str!("../../words/women.txt");
pub(super) const MEN: &str = include_str!("../../words/men.txt");
pub(super) const SURNAMES: &str = include_str!("../../words/surnames.txt");
pub(super) const STREETS: &str = include_str!("../../words/streets.txt");
/// City, state, ZIP code. The cities are invented.
pub(super) const CITIES: &str = include_str!("../../words/cities.txt");
pub(super) const PROFESSIONS: &str = include_str!("../../words/professions.txt");
pub(super) const PRIZE_NAMES: &str = include_str!("../../words/prize_names.txt");
pub(super) const PRIZE_KINDS: &str = include_str!("../../words/prize_kinds.txt");
pub(super) const WORKS: &str = include_str!("../../words/works.txt");
pub(super) const HOBBIES: &str = include_str!("../../words/hobbies.txt");
pub(super) const SUBJECTS: &str = include_str!("../../words/subjects.txt");
pub(super) const RELATIONS: &str = include_str!("../../words/relations.txt");
pub(super) const SEASONS: &str = include_str!("../../words/seasons.txt");
pub(super) const HABITS: &str = include_str!("../../words/habits.txt");
pub(super) const ARRIVALS: &str = include_str!("../../words/arrivals.txt");
pub(super) const FINDS: &str = include_str!("../../words/finds.txt");
pub(super) const PLACES: &str = include_str!("../../words/places.txt");
pub(super) const ENDINGS: &str = include_str!("../../words/endings.txt");

/// The entries of a list.
pub(super) fn entries(list: &'static str) -> Vec<&'static str> {
    list.lines().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [&str; 18] = [
        WOMEN,
        MEN,
        SURNAMES,
        STREETS,
        CITIES,
        PROFESSIONS,
        PRIZE_NAMES,
        PRIZE_KINDS,
        WORKS,
        HOBBIES,
        SUBJECTS,
        RELATIONS,
        SEASONS,
        HABITS,
        ARRIVALS,
        FINDS,
        PLACES,
        ENDINGS,
    ];

    #[test]
    fn no_entry_is_empty_or_there_twice() {
        for list in ALL {
            let mut sorted = entries(list);
            let n = sorted.len();
            assert!(12 <= n, "{list}");
            assert!(sorted.iter().all(|entry| *entry == entry.trim() && !entry.is_empty()));
            assert!(sorted.iter().all(|entry| entry.is_ascii() && !entry.contains(['{', '"'])));
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted.len(), n, "{list}");
        }
    }

    #[test]
    fn zip_codes_are_of_no_place() {
        for city in entries(CITIES) {
            let parts: Vec<&str> = city.split(", ").collect();
            assert!(parts.len() == 3 && parts[1].len() == 2 && parts[2].len() == 5, "{city}");
            assert!(parts[2].parse::<u32>().unwrap() < 500, "{city}");
        }
    }
}
