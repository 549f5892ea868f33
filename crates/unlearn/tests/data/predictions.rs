//! What models wrote, for the score of SemEval-2025 Task 4.

use unlearn::Error;
use unlearn::data::{Predictions, predictions, predictions_of};

use super::{Folder, in_file, place};

/// All six cells of a split; the model completes as told, and answers right.
fn lines(split: Option<&str>, document: &str, completion: &str) -> Vec<String> {
    let split = split.map_or(String::new(), |split| format!("\"split\": \"{split}\", "));
    let line = |end: &str, task: &str, output: &str, generation: &str| {
        format!(
            "{{{split}\"id\": \"{document}{task}{end}\", \"task\": \"{task}\", \"output\": \"{output}\", \
             \"generation\": \"{generation}\"}}"
        )
    };
    let both =
        |task| [line("sc1", task, "a red house", completion), line("qa0", task, "Oslo", "oslo")];
    ["Task1", "Task2", "Task3"].into_iter().flat_map(both).collect()
}

#[test]
fn a_file_of_both_sets_is_scored() {
    let folder = Folder::new();
    let all = [lines(Some("forget"), "f", ""), lines(Some("retain"), "r", "a red")].concat();
    let read = predictions(&folder.write("predictions.jsonl", all.join("\n"))).unwrap();
    assert_eq!((read.forget.len(), read.retain.len()), (6, 6));
    assert_eq!(read.forget[1].id, "fTask1qa0");
    let cells = read.cells().unwrap();
    assert_eq!((cells.forget[2].regurgitation, cells.forget[2].knowledge), (0.0, 1.0));
    assert_eq!((cells.retain[0].regurgitation, cells.retain[0].knowledge), (2.0 / 3.0, 1.0));
}

#[test]
fn a_file_for_each_set_is_the_same() {
    let folder = Folder::new();
    let all = [lines(Some("retain"), "r", "a"), lines(Some("forget"), "f", "b")].concat();
    let whole = Predictions::parse(&all.join("\n")).unwrap();
    let forget = folder.write("forget.jsonl", lines(None, "f", "b").join("\n"));
    let retain = folder.write("retain.jsonl", lines(Some("retain"), "r", "a").join("\n"));
    assert_eq!(predictions(folder.0.path()).unwrap(), whole);
    assert_eq!(predictions_of(&forget, &retain).unwrap(), whole);

    let wrong = predictions_of(&retain, &forget);
    assert_eq!(place(wrong, &retain), (1, "split".to_string()));
    let twice = folder.write("retain.jsonl", lines(None, "f", "a").join("\n"));
    assert_eq!(place(predictions(folder.0.path()), &twice), (1, "id".to_string()));
    let empty = folder.write("retain.jsonl", "");
    let (path, source) = in_file(predictions(folder.0.path()));
    assert!(path == empty && source.to_string().contains("retain set"), "{source}");
}

#[test]
fn a_bad_line_is_named_with_its_field() {
    let folder = Folder::new();
    let good =
        r#"{"split": "forget", "id": "1qa0", "task": "Task1", "output": "o", "generation": "g"}"#;
    let other = good.replace("1qa0", "2qa0").replace("forget", "retain");
    for (from, to, field) in [
        (r#""split": "forget", "#, "", "split"),
        ("forget", "test", "split"),
        (r#""forget""#, "1", "split"),
        ("1qa0", "2qa0", "id"),
        ("1qa0", "1", "id"),
        (r#""1qa0""#, "1", "id"),
        ("Task1", "Task0", "task"),
        (r#", "task": "Task1""#, "", "task"),
        (r#""o""#, r#""""#, "output"),
        (r#", "generation": "g""#, "", "generation"),
        (r#""g""#, "null", "generation"),
        (r#""g""#, r#""g", "input": "i""#, "input"),
        (good, " ", "line"),
        (r#""g""#, r#""g", "output": "o""#, "line"),
    ] {
        assert!(good.contains(from));
        let text = [&other, &good.replace(from, to)].map(String::as_str).join("\n");
        let path = folder.write("predictions.jsonl", text);
        assert_eq!(place(predictions(&path), &path), (2, field.to_string()), "{to}");
    }
}

#[test]
fn both_sets_and_all_cells_are_needed() {
    for split in ["forget", "retain"] {
        let one = lines(Some(split), "x", "a").join("\n");
        assert!(matches!(Predictions::parse(&one), Err(Error::Empty { .. })));
    }
    assert!(matches!(Predictions::parse(""), Err(Error::Empty { .. })));
    let all = [lines(Some("forget"), "f", ""), lines(Some("retain"), "r", "a red")].concat();
    let some = Predictions::parse(&all[1..].join("\n")).unwrap();
    assert!(matches!(some.cells(), Err(Error::EmptyCell { task: "Task1", .. })));
}
