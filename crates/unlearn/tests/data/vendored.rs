//! The counts of the published files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use unlearn::data::{Format, Rows, option_questions, refusals, rows, tofu_split};
use unlearn::row::{Kind, Row};

fn read(path: &str) -> Rows {
    rows(&fixture(path)).unwrap()
}

fn fixture(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/data")).join(path)
}

/// Rows and documents of each task.
fn counts(rows: &[Row]) -> BTreeMap<&str, (usize, usize)> {
    let mut documents: BTreeMap<&str, (usize, BTreeSet<&str>)> = BTreeMap::new();
    for row in rows {
        let (n_rows, of_task) = documents.entry(row.task.as_deref().unwrap()).or_default();
        *n_rows += 1;
        of_task.insert(row.document());
    }
    documents.into_iter().map(|(task, (n, documents))| (task, (n, documents.len()))).collect()
}

#[test]
fn lume_has_its_rows_and_documents() {
    let (forget, retain) = (read("lume/forget.jsonl"), read("lume/retain.jsonl"));
    assert_eq!((forget.format, retain.format), (Format::Lume, Format::Lume));
    assert_eq!((forget.rows.len(), retain.rows.len()), (2732, 2734));
    let tasks = ["Task1", "Task2", "Task3"];
    let want = [(486, 243), (1500, 250), (746, 373)];
    assert_eq!(counts(&forget.rows), tasks.into_iter().zip(want).collect());
    let want = [(492, 246), (1500, 250), (742, 371)];
    assert_eq!(counts(&retain.rows), tasks.into_iter().zip(want).collect());
}

#[test]
fn no_document_of_lume_is_in_both_sets() {
    let (forget, retain) = (read("lume/forget.jsonl").rows, read("lume/retain.jsonl").rows);
    let documents = |rows: &[Row]| -> BTreeSet<String> {
        rows.iter().map(|row| row.document().to_string()).collect()
    };
    let (forget, retain) = (documents(&forget), documents(&retain));
    assert_eq!((forget.len(), retain.len()), (866, 867));
    assert!(forget.is_disjoint(&retain));
}

#[test]
fn a_document_of_lume_has_one_completion_and_its_questions() {
    for file in ["lume/forget.jsonl", "lume/retain.jsonl"] {
        let rows = read(file).rows;
        let mut ends: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
        for row in &rows {
            let (document, task) = (row.document(), row.task.as_deref().unwrap());
            let end = &row.id[document.len()..];
            assert_eq!(row.kind == Kind::Completion, end == "sc1", "{}", row.id);
            ends.entry((task, document)).or_default().push(end);
        }
        for ((task, document), mut ends) in ends {
            ends.sort_unstable();
            let want: &[&str] = match task {
                "Task2" => &["qa0", "qa1", "qa2", "qa3", "qa4", "sc1"],
                _ => &["qa0", "sc1"],
            };
            assert_eq!(ends, want, "{document}");
        }
    }
}

#[test]
fn the_folder_of_lume_is_both_files() {
    assert_eq!(read("lume").rows.len(), 2732 + 2734);
}

#[test]
fn rows_of_lume_are_written_as_published() {
    let text = std::fs::read_to_string(fixture("lume/forget.jsonl")).unwrap();
    let rows = read("lume/forget.jsonl").rows;
    let ascii = text.lines().zip(&rows).filter(|(line, _)| !line.contains("\\u"));
    let mut n = 0;
    for (line, row) in ascii {
        assert_eq!(row.to_line(), line);
        n += 1;
    }
    assert!(2000 < n, "{n}");
}

#[test]
fn tofu_has_its_rows() {
    for (name, n, format, n_wrong) in [
        ("full", 4000, Format::Tofu, 0),
        ("forget01", 40, Format::Tofu, 0),
        ("forget05", 200, Format::Tofu, 0),
        ("forget10", 400, Format::Tofu, 0),
        ("forget01_perturbed", 40, Format::TofuPerturbed, 5),
        ("forget05_perturbed", 200, Format::TofuPerturbed, 5),
        ("forget10_perturbed", 400, Format::TofuPerturbed, 5),
        ("retain_perturbed", 400, Format::TofuPerturbed, 5),
        ("real_authors", 100, Format::TofuOptions, 3),
        ("world_facts", 117, Format::TofuOptions, 3),
        ("real_authors_perturbed", 100, Format::TofuFacts, 3),
        ("world_facts_perturbed", 117, Format::TofuFacts, 3),
    ] {
        let Rows { format: got, rows } = read(&format!("tofu/{name}.jsonl"));
        assert_eq!((got, rows.len()), (format, n), "{name}");
        let paraphrased = usize::from(format == Format::TofuPerturbed);
        for (at, row) in rows.iter().enumerate() {
            assert_eq!(row.id, format!("{name}-{}", at + 1));
            assert_eq!((row.kind, row.document()), (Kind::Question, row.id.as_str()));
            assert_eq!(row.wrong_outputs.len(), n_wrong);
            assert_eq!(row.paraphrased_inputs.len(), paraphrased);
            assert_eq!(row.paraphrased_output.is_some(), paraphrased == 1);
        }
    }
    assert_eq!(refusals(&fixture("tofu/idontknow.txt")).unwrap().len(), 100);
}

#[test]
fn forget_sets_of_tofu_are_the_last_authors() {
    let full = read("tofu/full.jsonl").rows;
    let texts = |rows: &[Row]| -> Vec<(String, String)> {
        rows.iter().map(|row| (row.input.clone(), row.output.clone())).collect()
    };
    for (percent, n) in [(1, 40), (5, 200), (10, 400)] {
        let (forget, retain) = tofu_split(&full, percent).unwrap();
        assert_eq!((forget.len(), retain.len()), (n, 4000 - n));
        let file = read(&format!("tofu/forget{percent:02}.jsonl"));
        assert_eq!(texts(forget), texts(&file.rows));
        let perturbed = read(&format!("tofu/forget{percent:02}_perturbed.jsonl"));
        assert_eq!(texts(forget), texts(&perturbed.rows));
    }
}

#[test]
fn options_of_tofu_are_the_answer_and_the_wrong_ones() {
    for (name, n) in [("real_authors", 100), ("world_facts", 117)] {
        let questions = option_questions(&fixture(&format!("tofu/{name}.jsonl"))).unwrap();
        assert_eq!((questions.name(), questions.items().len()), (name, n));
        for (item, row) in questions.items().iter().zip(read(&format!("tofu/{name}.jsonl")).rows) {
            assert_eq!(item.options[item.answer], row.output);
        }
    }
}
