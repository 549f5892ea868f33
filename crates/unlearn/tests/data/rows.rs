//! Formats, their rows and joins, and folders of files.

use proptest::collection::vec;
use proptest::prelude::*;

use unlearn::Error;
use unlearn::data::{Format, Rows, rows, tofu_split};
use unlearn::row::{Join, Kind, Row};

use super::{Folder, in_file, place};

#[test]
fn the_first_line_tells_the_format() {
    let options = r#"{"question": "q", "option1": "a", "option2": "b", "option3": "c", "option4": "d", "answer": "c"}"#;
    let perturbed = r#"{"question": "q", "answer": "a", "paraphrased_answer": "d", "perturbed_answer": ["b"], "paraphrased_question": "p"}"#;
    let owned = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<String>>();
    let of = |id: &str, kind, input: &str, output: &str| Row::new(id, kind, input, output);
    for (line, format, join, row) in [
        (
            r#"{"id": "\"8\"sc1", "input": "i", "output": "o", "task": "Task2"}"#,
            Format::Lume,
            Join::Space,
            Row { task: Some("Task2".into()), ..of("\"8\"sc1", Kind::Completion, "i", "o") },
        ),
        (
            r#"{"question": "q", "answer": "a"}"#,
            Format::Tofu,
            Join::QuestionAnswer,
            of("mine-1", Kind::Question, "q", "a"),
        ),
        (
            perturbed,
            Format::TofuPerturbed,
            Join::QuestionAnswer,
            Row {
                paraphrased_inputs: owned(&["p"]),
                paraphrased_output: Some("d".into()),
                wrong_outputs: owned(&["b"]),
                ..of("mine-1", Kind::Question, "q", "a")
            },
        ),
        (
            r#"{"question": "q", "answer": "a", "perturbed_answer": ["b", "c"]}"#,
            Format::TofuFacts,
            Join::QuestionAnswer,
            Row { wrong_outputs: owned(&["b", "c"]), ..of("mine-1", Kind::Question, "q", "a") },
        ),
        (
            options,
            Format::TofuOptions,
            Join::QuestionAnswer,
            Row {
                wrong_outputs: owned(&["a", "b", "d"]),
                ..of("mine-1", Kind::Question, "q", "c")
            },
        ),
        (
            r#"{"input": " i", "output": "o\n"}"#,
            Format::InputOutput,
            Join::Space,
            of("mine-1", Kind::Completion, " i", "o\n"),
        ),
        (
            r#"{"id": "7", "prompt": "i", "completion": " o"}"#,
            Format::PromptCompletion,
            Join::None,
            of("7", Kind::Completion, "i", " o"),
        ),
        (r#"{"text": "é"}"#, Format::Text, Join::None, of("mine-1", Kind::Text, "", "é")),
    ] {
        let read = Rows::parse("mine", line).unwrap();
        assert_eq!((read.format, read.join()), (format, join), "{line}");
        assert_eq!(read.rows, [row]);
    }
}

#[test]
fn a_folder_is_read_in_the_order_of_names() {
    let folder = Folder::new();
    let line = |answer: &str| format!("{{\"question\": \"q\", \"answer\": \"{answer}\"}}\n");
    folder.write("b.jsonl", line("2"));
    folder.write("a.jsonl", line("0") + &line("1"));
    folder.write("README.md", "not a row");
    let read = rows(folder.0.path()).unwrap();
    let ids: Vec<&str> = read.rows.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(ids, ["a-1", "a-2", "b-1"]);
    assert_eq!(read.rows[2].output, "2");

    let other = folder.write("c.jsonl", line("3") + r#"{"text": "t"}"#);
    assert_eq!(place(rows(folder.0.path()), &other), (2, "text".to_string()));
    let empty = folder.write("c.jsonl", "");
    assert_eq!(in_file(rows(folder.0.path())).0, empty);
}

#[test]
fn ids_are_told_apart_over_all_files_of_a_folder() {
    let folder = Folder::new();
    let line = |id: &str| format!("{{\"id\": \"{id}\", \"text\": \"t\"}}\n");
    folder.write("a.jsonl", line("x") + &line("y"));
    let other = folder.write("b.jsonl", line("z") + &line("x"));
    assert_eq!(place(rows(folder.0.path()), &other), (2, "id".to_string()));
}

#[test]
fn a_folder_without_rows_is_an_error() {
    let folder = Folder::new();
    folder.write("rows.json", "[]");
    let (path, source) = in_file(rows(folder.0.path()));
    assert!(path == folder.0.path() && matches!(source, Error::Empty { .. }), "{source}");
}

#[test]
fn a_split_of_tofu_is_by_authors() {
    let row = |at: usize| Row::new(at.to_string(), Kind::Question, "q", "a");
    let full: Vec<Row> = (0..2000).map(row).collect();
    let (forget, retain) = tofu_split(&full, 5).unwrap();
    assert_eq!((forget.len(), forget[0].id.as_str()), (100, "1900"));
    assert_eq!((retain.len(), retain[0].id.as_str()), (1900, "0"));
    for (rows, percent) in [
        (&full[..], 0),
        (&full[..], 100),
        (&full[..1990], 10),
        (&full[..0], 10),
        (&full[..200], 5), // half an author
    ] {
        let error = tofu_split(rows, percent).unwrap_err();
        assert!(matches!(error, Error::OutOfRange { .. }), "{percent}: {error}");
    }
}

fn text() -> impl Strategy<Value = String> {
    ".{0,12}[a-z\"\\\\\u{e9}\u{2028}\n]".prop_filter("not blank", |text| !text.trim().is_empty())
}

/// A row that a file can hold, but for its id.
fn row() -> impl Strategy<Value = Row> {
    let kinds = prop_oneof![Just(Kind::Completion), Just(Kind::Question), Just(Kind::Text)];
    let texts = (text(), text(), vec(text(), 0..3), proptest::option::of(text()));
    (kinds, proptest::option::of(1..4), texts, vec(text(), 0..4)).prop_map(
        |(kind, task, (input, output, mut paraphrases, other), mut wrong)| {
            if kind == Kind::Text {
                return Row::new("", kind, "", output);
            }
            wrong.sort();
            wrong.dedup();
            wrong.retain(|wrong| *wrong != output && Some(wrong) != other.as_ref());
            paraphrases.sort();
            paraphrases.dedup();
            Row {
                task: task.map(|task| format!("Task{task}")),
                paraphrased_inputs: paraphrases,
                paraphrased_output: other,
                wrong_outputs: wrong,
                ..Row::new("", kind, input, output)
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rows_are_written_as_they_are_read(mut rows in vec(row(), 1..6)) {
        let first = (rows[0].kind == Kind::Text, rows[0].task.is_some());
        rows.retain(|row| (row.kind == Kind::Text, row.task.is_some()) == first);
        for (at, row) in rows.iter_mut().enumerate() {
            let end = if row.kind == Kind::Question { "qa0" } else { "sc1" };
            row.id = format!("\"{at}\"{end}");
        }
        let text: String = rows.iter().map(|row| row.to_line() + "\n").collect();
        prop_assert_eq!(Rows::parse("x", &text).unwrap().rows, rows);
    }

    #[test]
    fn a_prompt_is_where_the_text_begins(input in text(), output in text()) {
        for join in Join::ALL {
            let (prompt, answer) = join.parts(&input, &output);
            prop_assert!(prompt.contains(&input) && answer.contains(&output));
            prop_assert_eq!(prompt + &answer, join.text(&input, &output));
        }
    }
}
