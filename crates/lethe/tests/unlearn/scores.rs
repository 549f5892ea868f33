//! Scores of anyone's generations, and comparisons that are refused.

use super::{SETS, place};
use crate::program::Place;

/// Predictions in which forgotten rows are wrong and kept ones right.
fn predictions(split: &str, generation: &str) -> String {
    let mut text = String::new();
    for task in ["Task1", "Task2", "Task3"] {
        for kind in ["sc1", "qa0"] {
            let line = serde_json::json!({
                "split": split, "id": format!("{split}{task}{kind}"), "task": task, "output": "a red house", "generation": generation,
            });
            text += &format!("{line}\n");
        }
    }
    text
}

#[test]
fn generations_are_scored_and_what_is_missing_is_said() {
    let place = Place::new();
    let text = predictions("forget", "nothing") + &predictions("retain", "a red house");
    place.write("p.jsonl", text);
    let said = place.runs("unlearn score semeval p.jsonl");
    for part in [
        "forget",
        "Task3",
        "1.0000 (task aggregate of SemEval-2025 Task 4",
        "no final score: it also needs losses of members and nonmembers (--members, --nonmembers) and an accuracy",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    place.write("m.json", "[2.0, 3.0]");
    place.write("n.json", "[2.5, 2.5]");
    let parts = "--members m.json --nonmembers n.json";
    let said = place.runs(&format!("unlearn score semeval p.jsonl {parts}"));
    assert!(said.contains("it also needs an accuracy"), "{said}");
    let said =
        place.runs(&format!("unlearn score semeval p.jsonl {parts} --accuracy 0.4 --gate-7b"));
    // (1 + 1 + .4) / 3.
    for part in ["0.8000 (final score", "accuracy on `MMLU`", "at least 0.3710, passed"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    let json = place.runs(&format!(
        "unlearn score semeval p.jsonl {parts} --accuracy 0.4 --questions mine --target-accuracy 0.6 --json"
    ));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!((json["final_score"]["value"].as_f64().unwrap() - 0.8).abs() < 1e-12);
    assert_eq!(
        (json["passes_gate"].as_bool(), &json["missing"]),
        (Some(false), &serde_json::Value::Null)
    );
    // A folder with a file for each set is the same.
    std::fs::create_dir(place.path("p")).unwrap();
    place.write("p/forget.jsonl", predictions("forget", "nothing"));
    place.write("p/retain.jsonl", predictions("retain", "a red house"));
    let of_folder = place.runs("unlearn score semeval p");
    assert_eq!(of_folder, place.runs("unlearn score semeval p.jsonl"));

    place.write("bad.jsonl", predictions("forget", "x").replace("Task2", "Task9"));
    place.refuses(
        "unlearn score semeval bad.jsonl",
        1,
        "bad.jsonl: line 3, field `task`: expected `Task1`, `Task2` or `Task3`, got Task9",
    );
    place.write("l.json", "{}");
    let run = place.run("unlearn score semeval p.jsonl --members l.json --nonmembers n.json");
    assert!(
        run.stderr.starts_with("error: l.json: expected a JSON list of numbers"),
        "{}",
        run.stderr
    );
}

#[test]
fn findings_of_other_questions_rows_or_joins_are_not_compared() {
    let place = place();
    let exam = |flags: &str, out: &str| {
        place.runs(&format!("unlearn eval --model gold --no-texts {flags} -q --out {out}"));
    };
    exam(SETS, "a");
    exam(&format!("{SETS} --questions data/questions.jsonl"), "b");
    exam(&format!("{SETS} --join none"), "c");
    exam("--forget data/holdout.jsonl --retain data/retain.jsonl", "d");
    for (other, says) in [
        ("b", "a and b sat different exams, questions made"),
        ("c", "join space and join none"),
        ("d", "of the forget set"),
    ] {
        let run = place.run(&format!("unlearn compare a {other}"));
        assert!(run.code != 0 && run.stderr.contains(says), "{other}: {}", run.stderr);
    }
    // Two models whose further sets differ, behind one that has none.
    exam(&format!("{SETS} --others world_facts=data/retain.jsonl"), "e");
    exam(&format!("{SETS} --others world_facts=data/holdout.jsonl"), "f");
    let run = place.run("unlearn compare a e f");
    assert!(run.code != 0 && run.stderr.contains("e and f sat different exams"), "{}", run.stderr);
    place.runs("unlearn compare a e");
    let said = place.runs("unlearn compare a a/findings.json");
    assert!(said.contains("a (2)") && said.contains("no forget ROUGE-L: "), "{said}");
}

#[test]
fn other_sets_give_the_utility_of_tofu() {
    let place = place();
    // Questions with wrong answers alone.
    for (name, of) in [("authors", "holdout"), ("facts", "retain")] {
        let rows = place.read(&format!("data/{of}.jsonl"));
        let with = rows.lines().filter(|line| line.contains("wrong_outputs"));
        place.write(&format!("{name}.jsonl"), with.map(|l| format!("{l}\n")).collect::<String>());
    }
    let others = "--others real_authors=authors.jsonl world_facts=facts.jsonl";
    let said = place.runs(&format!(
        "unlearn eval --model target {SETS} {others} --max-new 24 --gold gold -q --out out"
    ));
    assert!(said.contains("TOFU model utility") && said.contains("TOFU forget quality"), "{said}");
    assert!(said.contains("forget quality, log10 p"), "{said}");
    let page = place.read("out/report.html");
    assert!(page.contains("greedy, of at most 24 tokens"), "{page}");
    assert!(page.contains("join `space`, greedy texts of at most 24 tokens"), "{page}");
    assert!(
        page.contains("harmonic mean of 9 numbers")
            && page.contains("stand-in") | page.contains("made")
    );
}
