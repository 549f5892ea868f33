//! Whether forgetting lasts.

use super::{SETS, place};

#[test]
fn a_model_that_only_hides_comes_back_and_gold_does_not() {
    let place = place();
    // The target itself forgot nothing.
    let flags = "--holdout data/holdout.jsonl --no-texts --max-new 12 --bits 8,2 --best-of 3";
    let relearn = "--relearn-steps 4 --relearn-every 2 --relearn-rate 1e-4 --relearn-batch 4";
    let command = format!(
        "unlearn robust --model target --gold gold --target target {SETS} {flags} {relearn} -q --out out"
    );
    let said = place.runs(&command);
    for part in [
        "relearning, after 4 steps: knowledge of the other documents",
        "relearn gap",
        "of 3 attempts",
        "membership AUC, Min-K %",
        "2 bits",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    let json = place.json("out/robust.json");
    assert_eq!(
        (json["format"].as_str(), &json["version"]),
        (Some("lethe-unlearn-robust"), &1.into())
    );
    assert!(0.2 < json["relearn_gap"].as_f64().unwrap(), "{}", json["relearn_gap"]);
    let report = &json["report"];
    let curve = |model: &str| {
        let points = report["relearned"]["curves"][model]["points"].as_array().unwrap().clone();
        points.iter().map(|p| p["step"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!((curve("unlearned"), curve("gold")), (vec![0, 2, 4], vec![0, 2, 4]));
    let losses = |at: &serde_json::Value| at["forget"]["rows"][0]["loss"].as_f64().unwrap();
    let rounding = &report["rounding"];
    assert_eq!(rounding["copies"][1]["bits"], 2);
    assert!(losses(&rounding["before"]) < losses(&rounding["copies"][1]["findings"]));
    let page = place.read("out/report.html");
    for part in ["Definitions", "attack by the mean loss over the length", "questions"] {
        assert!(page.contains(part), "{part}");
    }
    assert!(page.contains("<svg") && page.contains("% of the target") && page.contains("<table"));
    assert!(place.read("out/relearning.svg").contains("unlearned"));
    // Again the same, to the last bit.
    place.runs(&command.replace("--out out", "--out again"));
    assert_eq!(place.read("again/robust.json"), place.read("out/robust.json"));
}

#[test]
fn tests_that_lack_something_are_left_out_and_said() {
    let place = place();
    let run = place.run(&format!(
        "unlearn robust --model target --gold gold {SETS} --skip rounding attempts --no-texts -q --out out"
    ));
    assert_eq!(run.code, 0, "{}", run.stderr);
    for part in ["no relearning: ", "--target", "no membership inference: ", "--holdout"] {
        assert!(run.stderr.contains(part), "{part} in {}", run.stderr);
    }
    let page = place.read("out/report.html");
    assert!(page.contains("Definitions") && !page.contains("attack by"), "{page}");
    let report = &place.json("out/robust.json")["report"];
    let made: Vec<&str> = report
        .as_object()
        .unwrap()
        .iter()
        .filter(|(_, v)| !v.is_null())
        .map(|(k, _)| k.as_str())
        .collect();
    assert_eq!(made, ["paraphrases"]);
    let run = place.run(&format!(
        "unlearn robust --model target --gold gold {SETS} --relearn-steps 3 --out other"
    ));
    assert!(run.code == 2 && run.stderr.contains("--target"), "{}", run.stderr);
    let run = place
        .run(&format!("unlearn robust --model target --gold gold {SETS} --bits 9 --out other"));
    assert!(run.code == 1 && run.stderr.contains("got 9"), "{}", run.stderr);
    assert!(!place.path("other").exists());
}

#[test]
fn models_of_other_tokens_are_refused() {
    let place = place();
    place.runs(
        "unlearn teach --rows data/retain.jsonl --new 16x1 --vocab 300 --steps 1 -q --out other",
    );
    place.refuses(
        &format!("unlearn robust --model target --gold other {SETS} --out out"),
        1,
        "other: its tokenizer is not that of target: they cannot be compared",
    );
    place.refuses(
        &format!("unlearn robust --model target --gold gold --target other {SETS} --out out"),
        1,
        "other: its tokenizer is not that of target: they cannot be compared",
    );
}

#[test]
fn a_command_without_tests_is_refused() {
    let place = place();
    let all = "relearning rounding paraphrases attempts membership";
    let run = place.run(&format!(
        "unlearn robust --model target --gold gold {SETS} --skip {all} -q --out out"
    ));
    assert!(run.code == 2 && run.stderr.contains("--skip leaves no test"), "{}", run.stderr);
}
