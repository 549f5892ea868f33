//! Files of questions.

use std::fs;

use unlearn::Error;
use unlearn::data::questions;

const HEAD: &str = r#"{"format": "multiple-choice", "version": 1, "name": "n", "source": "here"}"#;

#[test]
fn a_file_of_questions_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("questions.jsonl");
    let line = r#"{"subject": "a", "question": "q", "options": ["x", "y"], "answer": 1}"#;
    fs::write(&path, format!("{HEAD}\r\n{line}\r\n")).unwrap();
    let read = questions(&path).unwrap();
    assert_eq!((read.name(), read.source(), read.items().len()), ("n", "here", 1));
    assert_eq!(read.items()[0].options, ["x", "y"]);
}

#[test]
fn an_error_names_file_line_and_field() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("questions.jsonl");
    let missing = questions(&path).unwrap_err();
    assert!(matches!(missing, Error::Read { .. }), "{missing}");
    fs::write(&path, format!("{HEAD}\n{{\"subject\": \"a\"}}\n")).unwrap();
    let error = questions(&path).unwrap_err().to_string();
    assert!(error.contains("questions.jsonl: line 2, field `options`"), "{error}");
    fs::write(&path, [0xff, 0xfe]).unwrap();
    let error = questions(&path).unwrap_err().to_string();
    assert!(error.contains("line 1") && error.contains("0xff"), "{error}");
}
