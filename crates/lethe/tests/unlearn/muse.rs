//! Folders in the shape of MUSE.

use serde_json::{Value, json};

use super::place;
use crate::program::Place;

/// The sets of the world in that shape.
fn folder(place: &Place) {
    for name in ["muse/raw", "muse/verbmem", "muse/knowmem", "muse/privleak"] {
        std::fs::create_dir_all(place.path(name)).unwrap();
    }
    let rows = |set: &str| -> Vec<Value> {
        let text = place.read(&format!("data/{set}.jsonl"));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let is_question = |row: &&Value| row["id"].as_str().unwrap().contains("qa");
    let of = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
    let texts = |set: &str| -> Vec<String> {
        let whole = |row: &Value| format!("{} {}", of(row, "input"), of(row, "output"));
        rows(set).iter().filter(|row| !is_question(row)).map(whole).collect()
    };
    let write = |name: &str, list: &[Value]| {
        place.write(&format!("muse/{name}.json"), serde_json::to_string_pretty(list).unwrap());
    };
    for (name, set) in [("forget", "forget"), ("holdout", "holdout"), ("retain1", "retain")] {
        place.write(&format!("muse/raw/{name}.txt"), texts(set).join("\n"));
    }
    let forget = rows("forget");
    let pair = |row: &Value| json!({ "prompt": of(row, "input"), "gt": of(row, "output") });
    let begun: Vec<Value> = forget.iter().filter(|row| !is_question(row)).map(pair).collect();
    write("verbmem/forget", &begun);
    for set in ["forget", "retain"] {
        let pair =
            |row: &Value| json!({ "question": of(row, "input"), "answer": of(row, "output") });
        let asked: Vec<Value> = rows(set).iter().filter(is_question).map(pair).collect();
        write(&format!("knowmem/{set}_qa"), &asked);
        write(&format!("knowmem/{set}_qa_icl"), &asked[..1]);
    }
    for set in ["forget", "retain", "holdout"] {
        let list: Vec<Value> = texts(set).into_iter().map(Value::from).collect();
        write(&format!("privleak/{set}"), &list);
    }
}

#[test]
fn what_was_learned_is_written_and_betrayed_and_gold_does_neither() {
    let place = place();
    folder(&place);
    let command = "unlearn eval --model target --muse muse -q";
    let said = place.runs(&format!("{command} --gold gold --out out"));
    for part in ["VerbMem_f", "KnowMem_f", "KnowMem_r", "PrivLeak", "target", "gold"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    let json = place.json("out/muse.json");
    assert_eq!(json["models"], json!(["target", "gold"]));
    let of = |name: &str| -> [f64; 2] {
        let all = json["numbers"].as_array().unwrap();
        let values = &all.iter().find(|n| n["name"] == name).unwrap()["values"];
        [values[0].as_f64().unwrap(), values[1].as_f64().unwrap()]
    };
    let [target, gold] = of("VerbMem_f");
    assert!(gold + 20.0 < target && target <= 100.0, "{json}");
    let [target, gold] = of("AUC");
    assert!(target < gold, "{json}");
    let [leak, of_gold] = of("PrivLeak");
    assert!(of_gold == 0.0 && (leak - 100.0 * (target - gold) / gold).abs() < 1e-9, "{json}");
    let page = place.read("out/report.html");
    for part in ["Definitions", "ROUGE-L F-measure without stemmer", "Min-40% attack"] {
        assert!(page.contains(part), "{part}");
    }
    // Without gold there is nothing to be relative to.
    let run = place.run(&format!("{command} --out alone"));
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stderr.contains("no PrivLeak: ") && !run.stdout.contains("PrivLeak"));
}

#[test]
fn folders_and_flags_of_something_else_are_refused() {
    let place = place();
    folder(&place);
    let command = "unlearn eval --model target --out out -q";
    place.write("muse/knowmem/forget_qa.json", "[{\"question\": \"q\"}]");
    let run = place.run(&format!("{command} --muse muse"));
    assert_eq!(run.code, 1);
    for part in ["muse/knowmem/forget_qa.json", "line 1", "answer"] {
        assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
    }
    for flags in
        ["", "--muse muse --forget data/forget.jsonl", "--muse muse --holdout data/holdout.jsonl"]
    {
        let run = place.run(&format!("{command} {flags}"));
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{flags}: {}", run.stderr);
    }
    assert!(!place.path("out").exists());
}
