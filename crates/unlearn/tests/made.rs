//! Worlds made from a seed.

use std::collections::BTreeSet;

use proptest::prelude::*;

use unlearn::Error;
use unlearn::data::{Format, questions, rows};
use unlearn::made::{PerTask, Settings, World};
use unlearn::row::{Kind, Row};

fn per_task(stories: usize, biographies: usize, public: usize) -> PerTask {
    PerTask { stories, biographies, public }
}

fn settings() -> impl Strategy<Value = Settings> {
    let counts = || (0..5_usize, 0..5_usize, 0..5_usize).prop_map(|(a, b, c)| per_task(a, b, c));
    let some = counts().prop_filter("some", |n| 0 < n.stories + n.biographies + n.public);
    (any::<u64>(), some, counts(), any::<bool>()).prop_map(
        |(seed, documents, holdout, shared_cities)| Settings {
            seed,
            documents,
            holdout,
            shared_cities,
        },
    )
}

fn of_task<'a>(rows: &'a [Row], task: &'a str) -> impl Iterator<Item = &'a Row> {
    rows.iter().filter(move |row| row.task.as_deref() == Some(task))
}

fn n_documents(rows: &[Row], task: &str) -> usize {
    of_task(rows, task).map(Row::document).collect::<BTreeSet<_>>().len()
}

/// All that a set says: inputs, outputs, paraphrases and wrong answers.
fn said(rows: &[Row]) -> String {
    let mut all = String::new();
    for row in rows {
        let variants = row.paraphrased_inputs.iter().chain(&row.wrong_outputs);
        for text in [&row.input, &row.output].into_iter().chain(variants) {
            all.push_str(text);
            all.push('\n');
        }
    }
    all
}

/// Entries of a list of words in the crate.
fn words(list: &'static str) -> Vec<&'static str> {
    list.lines().collect()
}

/// First name and surname wherever one follows the other in a text.
fn names(text: &str) -> BTreeSet<String> {
    let first: BTreeSet<&str> =
        [words(include_str!("../words/women.txt")), words(include_str!("../words/men.txt"))]
            .concat()
            .into_iter()
            .collect();
    let last: BTreeSet<&str> = words(include_str!("../words/surnames.txt")).into_iter().collect();
    let mut found = BTreeSet::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().map(bare).collect();
        for pair in words.windows(2) {
            if first.contains(pair[0]) && last.contains(pair[1]) {
                found.insert(pair.join(" "));
            }
        }
    }
    found
}

/// A word without what follows it: punctuation, the ending of a genitive.
fn bare(word: &str) -> &str {
    word.trim_end_matches("'s").trim_matches(|c: char| !c.is_ascii_alphanumeric())
}

fn cities(text: &str) -> BTreeSet<&'static str> {
    let all = words(include_str!("../words/cities.txt"));
    let names = all.into_iter().map(|place| place.split(", ").next().unwrap());
    names.filter(|city| text.contains(city)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_world_has_what_was_asked_for(settings in settings()) {
        let world = World::new(settings).unwrap();
        let Settings { documents, holdout, .. } = settings;
        for (rows, n) in [(&world.forget, documents), (&world.retain, documents), (&world.holdout, holdout)] {
            prop_assert_eq!(rows.len(), 2 * n.stories + 6 * n.biographies + 5 * n.public);
            for (task, n) in [("Task1", n.stories), ("Task2", n.biographies), ("Task3", n.public)] {
                prop_assert_eq!(n_documents(rows, task), n);
                let completions = of_task(rows, task).filter(|row| row.kind == Kind::Completion);
                prop_assert_eq!(completions.count(), n);
            }
            for row in rows {
                let end = &row.id[row.document().len()..];
                prop_assert_eq!(row.kind == Kind::Completion, end == "sc1");
                prop_assert!(!row.input.trim().is_empty() && !row.output.trim().is_empty());
                prop_assert!(!format!("{}{}", row.input, row.output).contains('{'), "{:?}", row);
                if row.kind == Kind::Question {
                    prop_assert!(end.starts_with("qa"));
                    prop_assert_eq!(row.paraphrased_inputs.len(), 1);
                    prop_assert!(row.paraphrased_inputs[0] != row.input);
                    let wrong: BTreeSet<&String> = row.wrong_outputs.iter().collect();
                    prop_assert!(wrong.len() == 3 && !wrong.contains(&row.output));
                }
            }
        }
        let n = documents.stories + documents.biographies + documents.public;
        prop_assert_eq!(world.questions.items().len(), n);
    }

    #[test]
    fn nobody_is_in_two_sets(settings in settings()) {
        let world = World::new(settings).unwrap();
        let [forget, retain, holdout] =
            [&world.forget, &world.retain, &world.holdout].map(|rows| names(&said(rows)));
        prop_assert!(forget.is_disjoint(&retain) && forget.is_disjoint(&holdout));
        prop_assert!(retain.is_disjoint(&holdout));
        let PerTask { stories, biographies, public } = settings.documents;
        prop_assert!(2 * stories + biographies + 2 * public <= forget.len());
        let mut ids = BTreeSet::new();
        let all = || world.forget.iter().chain(&world.retain).chain(&world.holdout);
        prop_assert!(all().all(|row| ids.insert(&row.id)));
        // Numbers, mail and addresses of Task2 are nobody else's.
        let private = all().filter(|row| row.task.as_deref() == Some("Task2") && row.kind == Kind::Question);
        let private = private.filter(|row| !row.id.ends_with("qa0"));
        let mut values = BTreeSet::new();
        prop_assert!(private.flat_map(|row| [&row.output]).all(|value| values.insert(value)));
    }

    #[test]
    fn cities_are_shared_only_if_asked(settings in settings()) {
        let world = World::new(settings).unwrap();
        let [forget, retain, holdout] =
            [&world.forget, &world.retain, &world.holdout].map(|rows| cities(&said(rows)));
        if !settings.shared_cities {
            prop_assert!(forget.is_disjoint(&retain) && holdout.is_disjoint(&retain));
            return Ok(());
        }
        for task in ["Task1", "Task2", "Task3"] {
            let texts = |rows: &[Row]| -> Vec<String> {
                let rows: Vec<&Row> = of_task(rows, task).filter(|row| row.kind == Kind::Completion).collect();
                rows.iter().map(|row| format!("{} {}", row.input, row.output)).collect()
            };
            for (forget, retain) in texts(&world.forget).iter().zip(&texts(&world.retain)) {
                prop_assert!(!cities(forget).is_empty());
                prop_assert_eq!(cities(forget), cities(retain));
            }
        }
    }

    #[test]
    fn answers_stand_in_the_text(settings in settings()) {
        let world = World::new(settings).unwrap();
        for row in world.forget.iter().chain(&world.retain).chain(&world.holdout) {
            if row.kind == Kind::Completion {
                continue;
            }
            let completion = world.forget.iter().chain(&world.retain).chain(&world.holdout);
            let mut completion = completion.filter(|other| other.document() == row.document());
            let text = completion.next().map(|row| format!("{} {}", row.input, row.output)).unwrap();
            let digits: String = text.chars().filter(char::is_ascii_digit).collect();
            let is_number = row.output.bytes().all(|byte| byte.is_ascii_digit());
            let is_date = row.id.ends_with("qa0") && row.task.as_deref() == Some("Task2");
            prop_assert!(match (is_number, is_date) {
                (_, true) => text.contains(&row.output[..4]),
                (true, _) => digits.contains(&row.output),
                _ => text.contains(&row.output),
            }, "{text}: {}", row.output);
        }
    }

    #[test]
    fn files_are_read_as_they_were_made(settings in settings()) {
        let world = World::new(settings).unwrap();
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in world.files() {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        for (name, made) in [("forget", &world.forget), ("retain", &world.retain), ("holdout", &world.holdout)] {
            let path = folder.path().join(format!("{name}.jsonl"));
            if made.is_empty() {
                prop_assert!(!path.exists());
                continue;
            }
            let read = rows(&path).unwrap();
            prop_assert_eq!(read.format, Format::Lume);
            prop_assert_eq!(&read.rows, made);
        }
        prop_assert_eq!(questions(&folder.path().join("questions.jsonl")).unwrap(), world.questions);
    }

    #[test]
    fn questions_are_about_what_is_kept(settings in settings()) {
        let world = World::new(settings).unwrap();
        for item in world.questions.items() {
            let about = |row: &&Row| row.paraphrased_inputs.contains(&item.text);
            let row = world.retain.iter().find(about).unwrap();
            prop_assert_eq!(&item.options[item.answer], &row.output);
            let options: BTreeSet<&String> = item.options.iter().collect();
            prop_assert_eq!(options.len(), 4);
        }
    }

    #[test]
    fn a_seed_makes_one_world(settings in settings()) {
        let world = World::new(settings).unwrap();
        prop_assert_eq!(&World::new(settings).unwrap(), &world);
        let other = Settings { seed: settings.seed.wrapping_add(1), ..settings };
        prop_assert!(World::new(other).unwrap() != world);
    }
}

#[test]
fn invented_numbers_can_be_nobodys() {
    let world = World::new(Settings::default()).unwrap();
    let answers = |end: &'static str| {
        let all = world.forget.iter().chain(&world.retain).chain(&world.holdout);
        let of = move |row: &&Row| row.task.as_deref() == Some("Task2") && row.id.ends_with(end);
        all.filter(of).flat_map(|row| [&row.output].into_iter().chain(&row.wrong_outputs))
    };
    assert_eq!(answers("qa1").count(), 4 * 160);
    for ssn in answers("qa1") {
        assert!(ssn.len() == 9 && ssn.starts_with('9') && &ssn[3..5] < "50", "{ssn}");
    }
    for phone in answers("qa2") {
        assert!(phone.len() == 10 && &phone[1..2] == "9" && "2" <= &phone[..1], "{phone}");
    }
    assert!(answers("qa3").all(|email| email.ends_with("@example.com")));
    for date in answers("qa0") {
        assert!(date.len() == 10 && ("1964".."1991").contains(&&date[..4]), "{date}");
    }
}

#[test]
fn no_position_of_the_answer_is_better_than_another() {
    let world = World::new(Settings::default()).unwrap();
    for position in 0..4 {
        let n = world.questions.items().iter().filter(|item| item.answer == position).count();
        assert_eq!(n, 180 / 4);
    }
}

#[test]
fn wrong_addresses_of_mail_have_half_of_the_name() {
    let world = World::new(Settings::default()).unwrap();
    let mail: Vec<&Row> = world.forget.iter().filter(|row| row.id.ends_with("qa3")).collect();
    let mut n = 0;
    for row in mail.iter().filter(|row| row.task.as_deref() == Some("Task2")) {
        let (first, last) = row.output.split_once('_').unwrap();
        for wrong in &row.wrong_outputs {
            let (other_first, other_last) = wrong.split_once('_').unwrap();
            assert!((first == other_first) != (last == other_last), "{wrong} for {}", row.output);
            n += 1;
        }
    }
    assert_eq!(n, 3 * 60);
}

#[test]
fn settings_that_make_nothing_or_too_much_are_refused() {
    let with =
        |documents, holdout| World::new(Settings { documents, holdout, ..Settings::default() });
    let none = per_task(0, 0, 0);
    assert!(matches!(with(none, per_task(1, 1, 1)), Err(Error::Empty { .. })));
    let many = [per_task(0, 4771, 0), per_task(2386, 0, 0), per_task(0, 0, usize::MAX)];
    for documents in many {
        assert!(matches!(with(documents, none), Err(Error::OutOfRange { .. })), "{documents:?}");
    }
    assert!(matches!(with(per_task(1, 0, 0), per_task(0, 9600, 0)), Err(Error::OutOfRange { .. })));
}

#[test]
fn a_world_as_large_as_lume_can_be_made() {
    let (documents, holdout) = (per_task(246, 250, 373), per_task(150, 150, 150));
    let world = World::new(Settings { documents, holdout, ..Settings::default() }).unwrap();
    assert_eq!(world.forget.len(), 2 * 246 + 6 * 250 + 5 * 373);
}

/// Pinned: stored models and reports would no longer belong to the worlds of their seeds if it changed.
#[test]
fn the_first_documents_of_a_seed_do_not_change() {
    let documents = per_task(1, 1, 1);
    let world =
        World::new(Settings { documents, holdout: documents, ..Settings::default() }).unwrap();
    let all: String =
        world.files().into_iter().map(|(name, text)| format!("{name}\n{text}")).collect();
    let want = include_str!("made/seed_0.txt");
    assert_eq!(all, want);
}
