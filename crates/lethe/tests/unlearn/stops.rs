//! Runs that are stopped, killed, or out of time.

use std::process::Stdio;
use std::time::{Duration, Instant};

use super::{SETS, distance, model, place};
use crate::program::Place;

/// A run long enough to be stopped, with a check at every step.
fn long(out: &str) -> String {
    format!(
        "unlearn run --model target {SETS} --method npo --rate 3e-4 --batch 13 --steps 40 --check-every 2 --no-eval -q --out {out}"
    )
}

/// Steps of the checkpoint; none before the first.
fn steps(place: &Place) -> u64 {
    let Ok(bytes) = std::fs::read(place.path("out/checkpoint.safetensors")) else { return 0 };
    let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let metadata = metadata.metadata().clone().unwrap();
    let values: serde_json::Value = serde_json::from_str(&metadata["values"]).unwrap();
    values["run/step"].as_str().unwrap().trim_start_matches('n').parse().unwrap()
}

/// Starts a run, waits until some steps are saved, and sends the signal.
fn signal(place: &Place, command: &str, after: u64, signal: &str) -> std::process::Output {
    signal_when(place, command, || after <= steps(place), signal)
}

/// Starts a run, waits until something is so, and sends the signal.
fn signal_when(
    place: &Place,
    command: &str,
    is_so: impl Fn() -> bool,
    signal: &str,
) -> std::process::Output {
    let child =
        place.command(command).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(300), "nothing in five minutes");
        std::thread::sleep(Duration::from_millis(2));
    }
    let mut kill = std::process::Command::new("kill");
    assert!(kill.args([signal, &child.id().to_string()]).status().unwrap().success());
    child.wait_with_output().unwrap()
}

#[cfg(unix)]
#[test]
fn ctrl_c_keeps_the_best_model_and_resuming_ends_as_if_nothing_had_happened() {
    let place = place();
    place.runs(&long("whole"));
    let output = signal(&place, &long("out"), 6, "-INT");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("stopped by Ctrl-C: the model is that after step"), "{said}");
    assert!(said.contains("--resume goes on"), "{said}");
    let run = place.json("out/run.json");
    assert_eq!(run["ended"], "stopped");
    // The best of all checks.
    let checks = run["checks"].as_array().unwrap();
    let quality = |check: &serde_json::Value| check["quality"].as_f64().unwrap();
    let best = checks.iter().map(quality).fold(0.0, f64::max);
    assert!(0.0 < best && quality(&run["kept_check"]) == best, "{run}");
    assert!(0.0 < distance(&model(&place.path("out")), &model(&place.path("target"))));
    place.runs(&format!("{} --resume", long("out")));
    for name in ["model.safetensors", "run.json"] {
        let bytes = |folder| std::fs::read(place.path(&format!("{folder}/{name}"))).unwrap();
        assert!(bytes("out") == bytes("whole"), "{name} differs");
    }
    assert!(!place.path("out/checkpoint.safetensors").exists());
    place.refuses(
        &format!("{} --resume", long("out")),
        1,
        "out: its run is complete: there is nothing to go on with",
    );
}

#[cfg(unix)]
#[test]
fn a_killed_run_goes_on_from_its_checkpoint_to_the_same_bytes() {
    let place = place();
    place.runs(&long("whole"));
    for after in [2, 10] {
        let output = signal(&place, &format!("{} --resume", long("out")), after, "-KILL");
        assert_eq!(output.status.code(), None);
        assert!(!place.path("out/model.safetensors").exists());
    }
    // Another run does not go on from there.
    let other = long("out").replace("3e-4", "2e-4");
    let run = place.run(&format!("{other} --resume"));
    assert_eq!(run.code, 1);
    for part in ["it is of another run", "method.rate = 0.0003 and not 0.0002", "another --out,"] {
        assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
    }
    let run = place.run(&long("out"));
    assert!(
        run.stderr.contains("the folder is not empty") && run.stderr.contains("--resume"),
        "{}",
        run.stderr
    );
    place.runs(&format!("{} --resume", long("out")));
    for name in ["model.safetensors", "run.json"] {
        let bytes = |folder| std::fs::read(place.path(&format!("{folder}/{name}"))).unwrap();
        assert!(bytes("out") == bytes("whole"), "{name} differs");
    }
}

#[test]
fn a_run_without_time_keeps_its_best_model_and_goes_on_later() {
    let place = place();
    let run = place.run(&format!("{} --budget 0.001s", long("out")));
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(
        run.stderr.contains("the time was up: the model is that after step 0"),
        "{}",
        run.stderr
    );
    assert_eq!(distance(&model(&place.path("out")), &model(&place.path("target"))), 0.0);
    place.runs(&format!("{} --resume", long("out")));
    assert_eq!(place.json("out/run.json")["steps"], 40);
}

#[test]
fn a_floor_ends_with_the_best_model_above_it() {
    let place = place();
    let said = place.runs(&format!(
        "unlearn run --model target {SETS} --method ga --rate 3e-4 --batch 13 --steps 200 --check-every 1 --utility-floor 0.9 \
         --no-eval -q --out out"
    ));
    assert!(said.contains("below its floor"), "{said}");
    let kept = &place.json("out/run.json")["kept_check"];
    assert!(
        0.9 <= kept["utility"].as_f64().unwrap() && 0 < kept["step"].as_u64().unwrap(),
        "{kept}"
    );
}

#[test]
fn teaching_does_not_go_on_with_other_rows_of_a_folder() {
    let place = place();
    std::fs::create_dir(place.path("rows")).unwrap();
    place.write("rows/a.jsonl", place.read("data/forget.jsonl"));
    let teach = "unlearn teach --rows rows --model target --rate 1e-3 --steps 2 -q --out out";
    place.runs(&format!("{teach} --budget 0.001s"));
    let whole = place.read("rows/a.jsonl");
    place.write("rows/a.jsonl", whole.replace("the", "teh"));
    let run = place.run(&format!("{teach} --resume"));
    assert_eq!(run.code, 1, "{}", run.stdout);
    assert!(
        run.stderr.contains("it is of another run, with sha256 of rows 0 0 = "),
        "{}",
        run.stderr
    );
    place.write("rows/a.jsonl", whole);
    place.runs(&format!("{teach} --resume"));
    assert!(!place.path("out/checkpoint.safetensors").exists());
}

/// A short run with exams.
const EXAMINED: &str = "--method npo --rate 3e-4 --batch 13 --steps 4 -q --out out";

#[cfg(unix)]
#[test]
fn ctrl_c_in_an_exam_after_the_run_loses_nothing() {
    let place = place();
    let run = format!("unlearn run --model target {SETS} {EXAMINED} --gold gold");
    // One row at a time, so that the exams take long; the model is written before them.
    let slow = format!("{run} --exam-batch 1 --max-new 200");
    let is_written = || place.path("out/model.safetensors").exists();
    let output = signal_when(&place, &slow, is_written, "-INT");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{said}");
    for part in ["the model was not examined: Ctrl-C", "the gold model was not examined: Ctrl-C"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(said.contains("the model is complete; --resume examines it again"), "{said}");
    assert_eq!(place.json("out/run.json")["steps"], 4);
    let bytes = || std::fs::read(place.path("out/model.safetensors")).unwrap();
    let written = bytes();
    let before = place.read("out/before.json");
    assert!(place.read("out/report.html").contains("was not examined"));
    let said = place.runs(&format!("{slow} --resume"));
    assert!(said.contains("distance to gold") && bytes() == written, "{said}");
    assert_eq!(place.read("out/before.json"), before);
    assert!(!place.path("out/checkpoint.safetensors").exists());
}

#[test]
fn a_gold_model_that_cannot_be_examined_costs_its_column_alone() {
    let place = place();
    let whole = std::fs::read(place.path("gold/model.safetensors")).unwrap();
    let mut broken = whole.clone();
    let n = broken.len();
    broken[n - 64..].copy_from_slice(&[0xff; 64]);
    place.write("gold/model.safetensors", &broken);
    let command = format!("unlearn run --model target {SETS} {EXAMINED} --no-texts --gold gold");
    let run = place.run(&command);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stderr.contains("the gold model was not examined: "), "{}", run.stderr);
    assert!(run.stdout.contains("after") && !run.stdout.contains("distance to gold"));
    assert!(place.path("out/findings.json").exists());
    let model = std::fs::read(place.path("out/model.safetensors")).unwrap();
    place.write("gold/model.safetensors", &whole);
    let said = place.runs(&format!("{command} --resume"));
    assert!(said.contains("distance to gold"), "{said}");
    assert!(model == std::fs::read(place.path("out/model.safetensors")).unwrap());
}

#[test]
fn gold_findings_of_other_rows_are_refused_before_the_first_step() {
    let place = place();
    let others = "--forget data/holdout.jsonl --retain data/retain.jsonl";
    place.runs(&format!("unlearn eval --model gold {others} --no-texts -q --out other"));
    let run = format!("unlearn run --model target {SETS} {EXAMINED} --no-texts");
    let refused = place.run(&format!("{run} --gold other"));
    assert_eq!((refused.code, refused.stdout.as_str()), (2, ""));
    assert!(
        refused.stderr.contains("sat different exams")
            && refused.stderr.contains("of the forget set"),
        "{}",
        refused.stderr
    );
    assert!(!place.path("out").exists());
    // Nor does an exam begin.
    let exam = format!("unlearn eval --model target {SETS} --no-texts -q --out out --gold other");
    assert_eq!(place.run(&exam).code, 2);
    assert!(!place.path("out").exists());
}

#[test]
fn findings_are_those_of_the_model_beside_them_or_none() {
    let place = place();
    let run = format!("unlearn run --model target {SETS} {EXAMINED} --no-texts");
    place.runs(&format!("{run} --budget 0.001s"));
    assert!(place.path("out/findings.json").exists());
    // The rest of the steps, and no exam.
    let rest = run.replace("--no-texts", "--no-eval --resume");
    place.runs(&rest);
    assert_eq!(place.json("out/run.json")["steps"], 4);
    assert!(!place.path("out/findings.json").exists());
}

#[test]
fn an_exam_keeps_what_it_found_whatever_becomes_of_gold() {
    let place = place();
    let mut broken = std::fs::read(place.path("gold/model.safetensors")).unwrap();
    let n = broken.len();
    broken[n - 64..].copy_from_slice(&[0xff; 64]);
    place.write("gold/model.safetensors", &broken);
    // A model that is called as one of the columns is one all the same.
    std::fs::rename(place.path("target"), place.path("before")).unwrap();
    let exam = format!("unlearn eval --model before {SETS} --no-texts -q --out out --gold gold");
    let run = place.run(&exam);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stderr.contains("the gold model was not examined: "), "{}", run.stderr);
    assert!(place.json("out/findings.json")["forget"]["rows"].is_array());
}

#[test]
fn what_was_found_before_is_used_again_only_for_the_same_exam_of_the_same_model() {
    let place = place();
    let run = |exam: &str| {
        let flags = EXAMINED.replace("--steps 4", "--steps 4 --check-every 1");
        place.runs(&format!(
            "unlearn run --model target {SETS} {flags} {exam} --resume --budget 0.001s"
        ));
        place.read("out/before.json")
    };
    let first = run("--no-texts");
    // Marked, to see whether it is used again; a file that was changed is none that was found.
    let kept = || std::fs::metadata(place.path("out/before.json")).unwrap().modified().unwrap();
    let then = kept();
    assert_eq!(run("--no-texts"), first);
    assert_eq!(kept(), then);
    let texts = run("--max-new 8");
    assert!(texts != first && texts != run("--max-new 9"));
    let held = run("--no-texts --holdout data/holdout.jsonl");
    assert!(held != first);
    // Other contents under the same name.
    let rows = place.read("data/holdout.jsonl");
    place.write(
        "data/holdout.jsonl",
        rows.lines().take(4).map(|l| format!("{l}\n")).collect::<String>(),
    );
    assert!(run("--no-texts --holdout data/holdout.jsonl") != held);
    place.write("out/before.json", first.replace("0.", "1."));
    assert_eq!(run("--no-texts"), first);
}
