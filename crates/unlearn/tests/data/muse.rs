//! Folders in the shape of MUSE.

use std::fs;

use unlearn::Error;
use unlearn::data::muse;
use unlearn::row::Kind;

use super::{Folder, in_file, place};

const FILES: [(&str, &str); 12] = [
    ("raw/forget.txt", "A long text.\n"),
    ("raw/holdout.txt", "Another."),
    ("raw/retain2.txt", "Second."),
    ("raw/retain1.txt", "First."),
    ("verbmem/forget.json", "[{\"prompt\": \"A long\", \"gt\": \"text.\"}]"),
    (
        "knowmem/forget_qa.json",
        "[\n{\"question\": \"q\", \"answer\": \"a\"},\n{\"question\": \"r\", \"answer\": \"b\"}]",
    ),
    ("knowmem/forget_qa_icl.json", "[{\"question\": \"q\", \"answer\": \"a\"}]"),
    ("knowmem/retain_qa.json", "[{\"question\": \"q\", \"answer\": \"a\"}]"),
    ("knowmem/retain_qa_icl.json", "[{\"question\": \"q\", \"answer\": \"a\"}]"),
    ("privleak/forget.json", "[\"x\", \"y\"]"),
    ("privleak/retain.json", "[\"x\"]"),
    ("privleak/holdout.json", "[\"x\"]"),
];

fn corpus() -> Folder {
    let folder = Folder::new();
    FILES.iter().for_each(|(name, text)| {
        folder.write(name, text);
    });
    folder
}

#[test]
fn a_corpus_is_read() {
    let folder = corpus();
    let read = muse(folder.0.path()).unwrap();
    assert_eq!(read.raw.forget.output, "A long text.\n");
    assert_eq!((read.raw.forget.kind, read.raw.forget.input.as_str()), (Kind::Text, ""));
    let retain: Vec<&str> = read.raw.retain.iter().map(|row| row.output.as_str()).collect();
    assert_eq!(retain, ["First.", "Second."]);
    assert_eq!(read.raw.retain[1].id, "raw/retain2");
    assert_eq!(read.raw.holdout.output, "Another.");
    let verbatim = &read.verbmem[0];
    assert_eq!((verbatim.kind, verbatim.input.as_str()), (Kind::Completion, "A long"));
    assert_eq!((verbatim.id.as_str(), verbatim.output.as_str()), ("verbmem/forget-1", "text."));
    assert_eq!(read.knowmem.forget.len(), 2);
    assert_eq!(read.knowmem.forget[1].id, "knowmem/forget_qa-2");
    assert_eq!(read.knowmem.forget[1].kind, Kind::Question);
    assert_eq!(read.knowmem.retain_examples[0].output, "a");
    assert_eq!(read.privleak.forget[1].output, "y");
}

#[test]
fn a_bad_item_is_named_with_its_line() {
    let pair =
        |text: &str| text.replace("Q", "\"question\": \"q\"").replace("A", "\"answer\": \"a\"");
    for (name, text, line, field) in [
        ("knowmem/forget_qa.json", pair("[{Q, A},\n{Q}]"), 2, "answer"),
        ("knowmem/retain_qa.json", pair("[{Q, A},\n{Q, A, \"x\": 1}]"), 2, "x"),
        ("knowmem/forget_qa_icl.json", pair("[{Q, A},\n\n{Q, \"answer\": \" \"}]"), 3, "answer"),
        ("knowmem/retain_qa_icl.json", pair("[{Q, A},\n{Q, Q, A}]"), 2, "line"),
        ("knowmem/retain_qa.json", pair("[{Q, A}\n{Q, A}]"), 2, "line"),
        ("verbmem/forget.json", pair("[{\"prompt\": \"p\", \"gt\": \"\"}]"), 1, "gt"),
        ("verbmem/forget.json", pair("{\"prompt\": \"p\", \"gt\": \"g\"}"), 1, "line"),
        ("privleak/forget.json", pair("[\"x\",\n3]"), 2, "line"),
        ("privleak/retain.json", pair("[\"x\",\n\"\"]"), 2, "line"),
        ("privleak/holdout.json", pair("[\"x\",\n{\"text\": \"t\"}]"), 2, "line"),
    ] {
        let folder = corpus();
        let path = folder.write(name, text);
        assert_eq!(place(muse(folder.0.path()), &path), (line, field.to_string()), "{name}");
    }
}

#[test]
fn every_file_is_needed() {
    for (name, _) in FILES {
        if name == "raw/retain1.txt" {
            continue; // one retain text is enough
        }
        let folder = corpus();
        let path = folder.path(name);
        fs::remove_file(&path).unwrap();
        if name == "raw/retain2.txt" {
            assert_eq!(muse(folder.0.path()).unwrap().raw.retain.len(), 1);
            fs::remove_file(folder.path("raw/retain1.txt")).unwrap();
            let (path, source) = in_file(muse(folder.0.path()));
            assert!(path.ends_with("raw") && matches!(source, Error::Empty { .. }), "{source}");
            continue;
        }
        match muse(folder.0.path()) {
            Err(Error::Read { path: at, .. }) => assert_eq!(at, path),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn empty_files_and_lists_are_errors() {
    for (name, _) in FILES {
        let folder = corpus();
        let is_list = name.ends_with("json");
        let path = folder.write(name, if is_list { "[ ]" } else { " \n" });
        let (at, source) = in_file(muse(folder.0.path()));
        assert!(at == path && matches!(source, Error::Empty { .. }), "{name}: {source}");
    }
}

#[test]
fn other_texts_are_not_passed_over() {
    for name in ["raw/train.txt", "raw/forget.json", "raw/retain"] {
        let folder = corpus();
        let other = folder.write(name, "text");
        match muse(folder.0.path()) {
            Err(Error::UnknownFile { path, .. }) => assert_eq!(path, other),
            result => panic!("{name}: {result:?}"),
        }
    }
}
