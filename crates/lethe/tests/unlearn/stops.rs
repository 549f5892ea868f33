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
    let child =
        place.command(command).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    while steps(place) < after {
        assert!(begun.elapsed() < Duration::from_secs(300), "no step in five minutes");
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
