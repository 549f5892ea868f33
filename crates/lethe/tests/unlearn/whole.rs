//! The whole way: sets, a target, a gold model, a run, exams, a comparison.

use super::{SETS, distance, model, place};

#[test]
fn a_model_forgets_what_it_was_taught_and_keeps_the_rest() {
    let place = place();
    let exam = "--holdout data/holdout.jsonl --questions data/questions.jsonl --max-new 48";
    let said = place.runs(&format!(
        "unlearn run --model target {SETS} --method ngdiff --rate 1e-3 --batch 13 --epochs 16 {exam} --gold gold --out run -q"
    ));
    for part in
        ["before", "gold", "distance to gold", "divergence from gold", "final score", "Task3"]
    {
        assert!(said.contains(part), "{part} in {said}");
    }
    let floor = 0.75 * place.json("run/before.json")["accuracy"].as_f64().unwrap();
    let gate = format!(
        "gate: accuracy of at least {floor:.4}, three quarters of that before: before passed, after "
    );
    assert!(said.contains(&gate) && place.read("run/report.html").contains(&gate), "{said}");
    // What was found is what another exam of the written model finds, to the last bit.
    place.runs(&format!("unlearn eval --model run {SETS} {exam} --gold gold --out after -q"));
    assert_eq!(place.read("after/findings.json"), place.read("run/findings.json"));
    place.runs(&format!("unlearn eval --model target {SETS} {exam} --out before -q"));
    assert_eq!(place.read("before/findings.json"), place.read("run/before.json"));
    place.runs(&format!("unlearn eval --model gold {SETS} {exam} --gold gold --out best -q"));
    // Gold is where it is; a model that unlearned without an end is somewhere else.
    let divergence = |file: &str| place.json(file)["divergence"].as_f64().unwrap();
    assert!(divergence("best/findings.json").abs() < 1e-9 && 1.0 < divergence("run/findings.json"));

    let mean = |file: &str, set: &str, of: fn(&serde_json::Value) -> f64| {
        let json = place.json(file);
        let rows = json[set]["rows"].as_array().unwrap().clone();
        rows.iter().map(of).sum::<f64>() / rows.len() as f64
    };
    let right = |row: &serde_json::Value| f64::from(u8::from(row["generation"] == row["output"]));
    let loss = |row: &serde_json::Value| row["loss"].as_f64().unwrap();
    assert!(0.7 < mean("before/findings.json", "forget", right));
    assert!(mean("after/findings.json", "forget", right) < 0.2);
    assert!(0.5 < mean("after/findings.json", "retain", right));
    let rise =
        |set| mean("after/findings.json", set, loss) - mean("before/findings.json", set, loss);
    assert!(1.0 < rise("forget") && rise("retain") < 0.3, "{} {}", rise("forget"), rise("retain"));

    let said = place.runs("unlearn compare before after/findings.json --gold best --out table");
    for part in ["before", "after", "gold", "TOFU forget quality", "membership AUC"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    // From which gold model a file does not say.
    assert!(!said.contains("gate:") && !said.contains("divergence"), "{said}");
    let said = place.runs("unlearn compare after --before before --gold best");
    assert!(said.contains(&gate), "{said}");
    for page in ["run/report.html", "table/report.html"] {
        let page = place.read(page);
        let writes = "What the models write";
        for part in ["<svg", "Definitions", writes, "mean over rows", "To have forgotten"] {
            assert!(page.contains(part), "{part}");
        }
        assert!(!page.contains("src=") && !page.contains("href=\"http"), "the page needs others");
    }
    let run = place.json("run/run.json");
    assert_eq!(run["format"], "lethe-unlearn-run");
    assert_eq!(run["settings"]["method.method"], "ngdiff");
    assert!(run["no_op"].is_null() && run["log"].as_array().unwrap().len() == 16, "{run}");
    // The same names, sizes and tokenizer; nothing that only a run needs.
    assert!(0.1 < distance(&model(&place.path("run")), &model(&place.path("target"))));
    assert_eq!(place.read("run/tokenizer.json"), place.read("target/tokenizer.json"));
    assert_eq!(place.read("run/config.json"), place.read("target/config.json"));
    assert!(!place.path("run/checkpoint.safetensors").exists());
}

#[test]
fn the_shared_tasks_entry_point_leaves_a_model_within_its_time() {
    let place = place();
    let (forget, retain) = ("data/forget.jsonl", "data/retain.jsonl");
    let said = place.runs(&format!("unlearn submit target out {forget} {retain} --budget 2m -q"));
    assert!(said.contains("ngdiff") && said.contains("all parameters"), "{said}");
    let (out, target) = (model(&place.path("out")), model(&place.path("target")));
    assert!(1e-3 < distance(&out, &target));
    // No time for a step: the model is there all the same, as it was.
    let run =
        place.run(&format!("unlearn submit target late {forget} {retain} --budget 0.001s -q"));
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stderr.contains("NOTHING WAS UNLEARNED"), "{}", run.stderr);
    assert!(run.stdout.contains("the time was up"), "{}", run.stdout);
    assert_eq!(distance(&model(&place.path("late")), &target), 0.0);
}
