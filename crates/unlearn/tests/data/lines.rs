//! What is wrong in a line is said with its number, in every format.

use unlearn::Error;
use unlearn::data::{Format, option_questions, refusals, rows};
use unlearn::row::{Join, Kind, Row};

use super::{Folder, in_file, place};

/// A format: three good lines, then bad ones in place of the second with the field that is wrong.
struct Case {
    good: [&'static str; 3],
    bad: &'static [(&'static str, &'static str)],
}

const LUME: Case = Case {
    good: [
        r#"{"id": "1sc1", "input": "i", "output": "o", "task": "Task1"}"#,
        r#"{"id": "1qa0", "input": "i", "output": "o", "task": "Task1"}"#,
        r#"{"id": "2sc1", "input": "i", "output": "o", "task": "Task3", "wrong_outputs": ["a"]}"#,
    ],
    bad: &[
        (r#"{"input": "i", "output": "o", "task": "Task1"}"#, "id"),
        (r#"{"id": "1qa0", "output": "o", "task": "Task1"}"#, "input"),
        (r#"{"id": "1qa0", "input": "i", "task": "Task1"}"#, "output"),
        (r#"{"id": "1qa0", "input": "i", "output": "o"}"#, "task"),
        (r#"{"id": "1sc1", "input": "i", "output": "o", "task": "Task1"}"#, "id"),
        (r#"{"id": "1", "input": "i", "output": "o", "task": "Task1"}"#, "id"),
        (r#"{"id": "qa0", "input": "i", "output": "o", "task": "Task1"}"#, "id"),
        (r#"{"id": "1qa", "input": "i", "output": "o", "task": "Task1"}"#, "id"),
        (r#"{"id": 1, "input": "i", "output": "o", "task": "Task1"}"#, "id"),
        (r#"{"id": "1qa0", "input": "", "output": "o", "task": "Task1"}"#, "input"),
        (r#"{"id": "1qa0", "input": "i", "output": " \n", "task": "Task1"}"#, "output"),
        (r#"{"id": "1qa0", "input": "i", "output": null, "task": "Task1"}"#, "output"),
        (r#"{"id": "1qa0", "input": "i", "output": ["o"], "task": "Task1"}"#, "output"),
        (r#"{"id": "1qa0", "input": "i", "output": "o", "task": "Task4"}"#, "task"),
        (r#"{"id": "1qa0", "input": "i", "output": "o", "task": "Task1", "x": ""}"#, "x"),
        (
            r#"{"id": "1qa0", "input": "i", "output": "o", "task": "Task1", "task": "Task1"}"#,
            "line",
        ),
        (
            r#"{"id": "1qa0", "input": "i", "output": "o", "task": "Task1", "wrong_outputs": ["o"]}"#,
            "wrong_outputs",
        ),
        (
            r#"{"id": "1qa0", "input": "i", "output": "o", "task": "Task1", "wrong_outputs": []}"#,
            "wrong_outputs",
        ),
        (
            r#"{"id": "1qa0", "input": "i", "output": "o", "task": "Task1", "paraphrased_inputs": "p"}"#,
            "paraphrased_inputs",
        ),
        (
            r#"{"id": "1qa0", "input": "i", "output": "o", "task": "Task1", "paraphrased_output": ""}"#,
            "paraphrased_output",
        ),
        (
            r#"{"id": "1qa0", "input": "i", "output": "o", "task": "Task1", "paraphrased_output": "p", "wrong_outputs": ["p"]}"#,
            "wrong_outputs",
        ),
    ],
};

const TOFU: Case = Case {
    good: [
        r#"{"question": "q", "answer": "a"}"#,
        r#"{"question": "q", "answer": "b"}"#,
        r#"{"question": "q", "answer": "a"}"#,
    ],
    bad: &[
        (r#"{"question": "q"}"#, "answer"),
        (r#"{"answer": "a"}"#, "question"),
        (r#"{"question": "q", "answer": ""}"#, "answer"),
        (r#"{"question": 1, "answer": "a"}"#, "question"),
        (r#"{"question": "q", "answer": "a", "perturbed_answer": ["b"]}"#, "perturbed_answer"),
        (r#"{"question": "q", "answer": "a", "id": "x"}"#, "id"),
    ],
};

const FACTS: Case = Case {
    good: [r#"{"question": "q", "answer": "a", "perturbed_answer": ["b", "c"]}"#; 3],
    bad: &[
        (r#"{"question": "q", "answer": "a"}"#, "perturbed_answer"),
        (r#"{"question": "q", "answer": "a", "perturbed_answer": "b"}"#, "perturbed_answer"),
        (r#"{"question": "q", "answer": "a", "perturbed_answer": []}"#, "perturbed_answer"),
        (r#"{"question": "q", "answer": "a", "perturbed_answer": ["b", 1]}"#, "perturbed_answer"),
        (r#"{"question": "q", "answer": "a", "perturbed_answer": ["b", "b"]}"#, "perturbed_answer"),
        (r#"{"question": "q", "answer": "a", "perturbed_answer": ["a"]}"#, "perturbed_answer"),
        (
            r#"{"question": "q", "answer": "a", "perturbed_answer": ["b"], "paraphrased_answer": "c"}"#,
            "paraphrased_answer",
        ),
    ],
};

const PERTURBED: Case = Case {
    good: [r#"{"question": "q", "answer": "a", "paraphrased_answer": "d", "perturbed_answer": ["b"], "paraphrased_question": "p"}"#;
        3],
    bad: &[
        (r#"{"question": "q", "answer": "a", "perturbed_answer": ["b"]}"#, "paraphrased_question"),
        (
            r#"{"question": "q", "answer": "a", "perturbed_answer": ["b"], "paraphrased_question": "p"}"#,
            "paraphrased_answer",
        ),
        (
            r#"{"question": "q", "answer": "a", "paraphrased_answer": "d", "paraphrased_question": "p"}"#,
            "perturbed_answer",
        ),
        (
            r#"{"question": "q", "answer": "a", "paraphrased_answer": "d", "perturbed_answer": ["d"], "paraphrased_question": "p"}"#,
            "perturbed_answer",
        ),
    ],
};

const OPTIONS: Case = Case {
    good: [r#"{"question": "q", "option1": "a", "option2": "b", "option3": "c", "option4": "d", "answer": "c"}"#;
        3],
    bad: &[
        (
            r#"{"question": "q", "option1": "a", "option2": "b", "option3": "c", "answer": "c"}"#,
            "option4",
        ),
        (
            r#"{"question": "q", "option1": "a", "option2": "b", "option3": "c", "option4": "d", "answer": "e"}"#,
            "answer",
        ),
        (
            r#"{"question": "q", "option1": "a", "option2": "b", "option3": "a", "option4": "d", "answer": "b"}"#,
            "line",
        ),
        (
            r#"{"question": "q", "option1": "a", "option2": "b", "option3": "c", "option4": "d", "option5": "e", "answer": "c"}"#,
            "option5",
        ),
    ],
};

const INPUT_OUTPUT: Case = Case {
    good: [
        r#"{"input": "i", "output": "o"}"#,
        r#"{"id": "x", "input": "i", "output": "o"}"#,
        r#"{"id": "z", "kind": "question", "input": "i", "output": "o"}"#,
    ],
    bad: &[
        (r#"{"input": "i"}"#, "output"),
        (r#"{"output": "o"}"#, "input"),
        (r#"{"id": "rows-1", "input": "i", "output": "o"}"#, "id"),
        (r#"{"id": "", "input": "i", "output": "o"}"#, "id"),
        (r#"{"input": "i", "output": "o", "kind": "text"}"#, "kind"),
        (r#"{"input": "i", "output": "o", "text": "t"}"#, "text"),
        (r#"{"input": "i", "output": false}"#, "output"),
    ],
};

const PROMPT_COMPLETION: Case = Case {
    good: [
        r#"{"prompt": "i", "completion": "o"}"#,
        r#"{"prompt": "i", "completion": " o"}"#,
        r#"{"prompt": "i", "completion": "o", "id": "3"}"#,
    ],
    bad: &[
        (r#"{"prompt": "i"}"#, "completion"),
        (r#"{"completion": "o"}"#, "prompt"),
        (r#"{"prompt": "i", "completion": "o", "output": "o"}"#, "output"),
        (r#"{"prompt": "i", "completion": 7}"#, "completion"),
    ],
};

const TEXT: Case = Case {
    good: [r#"{"text": "t"}"#, r#"{"text": "t"}"#, r#"{"text": "u", "id": "u"}"#],
    bad: &[
        (r#"{"text": ""}"#, "text"),
        (r#"{"text": ["t"]}"#, "text"),
        (r#"{"id": "x"}"#, "text"),
        (r#"{"text": "t", "input": "i"}"#, "input"),
        (r#"{"text": "t", "id": "rows-1"}"#, "id"),
    ],
};

const ALL: [Case; 8] =
    [LUME, TOFU, FACTS, PERTURBED, OPTIONS, INPUT_OUTPUT, PROMPT_COMPLETION, TEXT];

/// Wrong in every format.
const NO_OBJECT: [&str; 7] = ["", " ", "[]", "\"text\"", "{", "null", r#"{"a": 1} {"a": 1}"#];

#[test]
fn a_bad_line_is_named_with_its_field() {
    let folder = Folder::new();
    for Case { good, bad } in &ALL {
        let path = folder.write("rows.jsonl", good.join("\n"));
        assert_eq!(rows(&path).unwrap().rows.len(), 3, "{good:?}");
        let everywhere = NO_OBJECT.map(|line| (line, "line"));
        for (line, field) in bad.iter().chain(&everywhere) {
            let path = folder.write("rows.jsonl", [good[0], line, good[2]].join("\n"));
            assert_eq!(place(rows(&path), &path), (2, (*field).to_string()), "{line}");
        }
    }
}

#[test]
fn ends_of_lines_may_be_either_and_the_last_may_be_missing() {
    let folder = Folder::new();
    for Case { good, .. } in &ALL {
        let read = |text: String| rows(&folder.write("rows.jsonl", text)).unwrap();
        let plain = read(good.join("\n"));
        assert_eq!(read(good.join("\r\n")), plain);
        assert_eq!(read(good.join("\n") + "\n"), plain);
        let path = folder.write("rows.jsonl", good.join("\n") + "\n\n");
        assert_eq!(place(rows(&path), &path), (4, "line".to_string()));
    }
}

#[test]
fn bytes_that_are_no_text_are_named_with_their_line() {
    let folder = Folder::new();
    let mut bytes = TOFU.good.join("\n").into_bytes();
    bytes.extend(b"\n{\"question\": \"\xff\", \"answer\": \"a\"}\n");
    let path = folder.write("rows.jsonl", &bytes);
    assert_eq!(place(rows(&path), &path), (4, "line".to_string()));
    assert!(rows(&path).unwrap_err().to_string().contains("0xff"));
    let path = folder.write("rows.jsonl", format!("\u{feff}{}", TOFU.good[0]));
    assert_eq!(place(rows(&path), &path), (1, "line".to_string()));
    assert!(rows(&path).unwrap_err().to_string().contains("byte order mark"));
}

#[test]
fn a_file_without_lines_and_one_that_is_not_there_are_errors() {
    let folder = Folder::new();
    let path = folder.write("rows.jsonl", "");
    let (at, source) = in_file(rows(&path));
    assert!(at == path && matches!(source, Error::Empty { .. }), "{source}");
    assert!(matches!(rows(&folder.path("other.jsonl")), Err(Error::Read { .. })));
}

#[test]
fn fields_of_no_format_are_listed() {
    let folder = Folder::new();
    let path = folder.write("rows.jsonl", r#"{"title": "t", "body": "b"}"#);
    assert_eq!(place(rows(&path), &path), (1, "line".to_string()));
    assert!(rows(&path).unwrap_err().to_string().contains("body, title"));
}

#[test]
fn refusals_are_different_lines() {
    let folder = Folder::new();
    let path = folder.write("idk.txt", "I don't know.\nNo idea.\n");
    assert_eq!(refusals(&path).unwrap(), ["I don't know.", "No idea."]);
    for text in ["a\n\nb", "a\na\nb", "a\n \n"] {
        let path = folder.write("idk.txt", text);
        assert_eq!(place(refusals(&path), &path), (2, "line".to_string()), "{text:?}");
    }
    let path = folder.write("idk.txt", "");
    assert!(matches!(in_file(refusals(&path)).1, Error::Empty { .. }));
}

#[test]
fn files_of_options_are_questions_too() {
    let folder = Folder::new();
    let path = folder.write("facts.jsonl", OPTIONS.good.join("\n"));
    let questions = option_questions(&path).unwrap();
    assert_eq!((questions.name(), questions.items().len()), ("facts", 3));
    let first = &questions.items()[0];
    assert_eq!((first.subject.as_str(), first.answer), ("facts", 2));
    for (line, field) in OPTIONS.bad {
        let path = folder.write("facts.jsonl", [OPTIONS.good[0], line].join("\n"));
        assert_eq!(place(option_questions(&path), &path), (2, (*field).to_string()), "{line}");
    }
    let path = folder.write("facts.jsonl", "");
    assert!(matches!(in_file(option_questions(&path)).1, Error::Empty { .. }));
}

#[test]
fn texts_have_either_name_and_may_be_whole_files() {
    let folder = Folder::new();
    let lines = [
        r#"{"id": "7", "document": "One.", "wrong_outputs": ["Two."]}"#,
        r#"{"document": "Three."}"#,
    ];
    let read = rows(&folder.write("member.jsonl", lines.join("\n"))).unwrap();
    assert_eq!((read.format, read.join()), (Format::Text, Join::None));
    let of = |row: &Row| (row.id.clone(), row.kind, row.output.clone());
    assert_eq!(of(&read.rows[0]), ("7".into(), Kind::Text, "One.".into()));
    assert_eq!(of(&read.rows[1]), ("member-2".into(), Kind::Text, "Three.".into()));
    // Written and read it is the same.
    let again = rows(&folder.write("again.jsonl", read.rows[0].to_line())).unwrap();
    assert_eq!(again.rows, read.rows[..1]);
    let corpus = rows(&folder.write("corpus.txt", "A line.\n\nAnother.\n")).unwrap();
    assert_eq!(of(&corpus.rows[0]), ("corpus".into(), Kind::Text, "A line.\n\nAnother.\n".into()));
    let path = folder.write("none.txt", " \n");
    assert!(matches!(in_file(rows(&path)).1, Error::Empty { .. }));
    let both = folder.write("both.jsonl", r#"{"document": "a", "text": "b"}"#);
    assert_eq!(place(rows(&both), &both), (1, "text".to_string()));
}
