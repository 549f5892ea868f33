//! `lethe train` where it goes on: after a stop, after a kill, in another folder, and where it must not.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use dp_core::{Delta, DpEvent, LedgerFile, PldAccountant};
use serde_json::Value;

use crate::program::Place;
use crate::train::{TABLE, place};

/// Steps of the checkpoint; none before the first.
fn steps(place: &Place) -> u64 {
    let Ok(bytes) = std::fs::read(place.path("out/checkpoint.safetensors")) else { return 0 };
    let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let metadata: HashMap<String, String> = metadata.metadata().clone().unwrap();
    let values: Value = serde_json::from_str(&metadata["values"]).unwrap();
    values["step"].as_str().unwrap().trim_start_matches('n').parse().unwrap()
}

/// Steps of the ledger; none before the first.
fn charges(place: &Place) -> u64 {
    LedgerFile::read(place.path("out/run.ledger")).map_or(0, |ledger| ledger.n_charges())
}

/// Starts a run and kills it a while after its next charge; whether it was killed within a step, between charge and checkpoint.
fn kill_while_training(place: &Place, wait_ms: u64) -> bool {
    let (before, begun) = (charges(place), Instant::now());
    let mut child = place.command("train run.toml -o out --quiet").spawn().unwrap();
    while charges(place) == before && child.try_wait().unwrap().is_none() {
        assert!(begun.elapsed() < Duration::from_secs(60), "no step in a minute");
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(Duration::from_millis(wait_ms));
    assert!(child.try_wait().unwrap().is_none(), "the run was over before it was killed");
    child.kill().unwrap();
    child.wait().unwrap();
    let (steps, charges) = (steps(place), charges(place));
    assert!(steps <= charges, "{steps} steps were saved, {charges} counted");
    steps < charges
}

fn killed(times: u64) {
    const MOST_KILLS: u64 = 200;
    let config = TABLE
        .replace("steps = 40", "steps = 400\ncheckpoint_every = 1")
        .replace("hidden = [8]", "hidden = [400]");
    let place = place(&config);
    let (mut n_kills, mut n_within) = (0, 0);
    // A kill between a checkpoint and the next charge loses nothing; go on until one has lost something.
    while n_kills < times || n_within == 0 {
        assert!(n_kills < MOST_KILLS, "no kill fell between a charge and its checkpoint");
        // A step that is lost is counted twice from now on, so the gap between ledger and checkpoint only grows.
        let gap = charges(&place) - steps(&place);
        let within = kill_while_training(&place, n_kills * 5 % 13);
        n_within += u64::from(within && gap < charges(&place) - steps(&place));
        n_kills += 1;
    }
    let lost = charges(&place) - steps(&place);
    assert!(n_within <= lost, "{n_within} steps were lost, {lost} more are counted than saved");
    let run = place.run("train run.toml -o out");
    assert_eq!(run.code, 0, "{}", run.stderr);
    let result = place.json("out/result.json");
    let (steps, charges) = (result["steps"].as_u64().unwrap(), result["charges"].as_u64().unwrap());
    // Every release counts, those that a kill lost too, and the promise holds for all of them.
    assert_eq!(charges, steps + lost);
    let epsilon = result["epsilon"].as_f64().unwrap();
    assert!(epsilon <= 2.0, "{result}");
    let noise = run.stdout.lines().find_map(|line| line.strip_prefix("noise multiplier")).unwrap();
    let step = DpEvent::gaussian(noise.trim().parse().unwrap()).unwrap().sampled(0.1).unwrap();
    let delta = Delta::new(1e-5).unwrap();
    let of = |n: u64| PldAccountant::new().optimize(&step.clone().repeated(n), delta).unwrap();
    assert!(of(charges).lower <= epsilon && steps < 400, "{result}");
}

#[test]
fn a_killed_run_goes_on_and_keeps_its_promise() {
    killed(4);
}

#[test]
#[ignore = "heavy: kills 50 processes"]
fn a_run_killed_fifty_times_goes_on_and_keeps_its_promise() {
    killed(50);
}

#[test]
fn a_seeded_run_that_is_killed_takes_all_steps_and_ends_as_if_it_had_not_been() {
    for (from, to) in [
        ("rate = 0.05", "rate = 0.05\nseed = 4\nschedule = \"cosine\""),
        ("rate = 0.05", "rate = \"private\"\nseed = 4"),
        ("delta = 1e-5", "delta = 1e-5\nclip_quantile = 0.5"),
    ] {
        let config = TABLE
            .replace(from, to)
            .replace("rate = 0.05\n[", "rate = 0.05\nseed = 4\n[")
            .replace("steps = 40", "steps = 120\ncheckpoint_every = 3\nevaluate_every = 50")
            .replace("hidden = [8]", "hidden = [100]");
        let place = place(&config);
        place.runs("train run.toml -o whole");
        for wait_ms in [0, 7, 4] {
            kill_while_training(&place, wait_ms);
        }
        assert!(steps(&place) < charges(&place), "no step was lost");
        place.runs("train run.toml -o out");
        let result = place.json("out/result.json");
        assert_eq!(result["steps"].as_u64(), Some(120), "{result}");
        for name in ["model.safetensors", "course.csv"] {
            let bytes = |folder| std::fs::read(place.path(&format!("{folder}/{name}"))).unwrap();
            assert_eq!(bytes("out"), bytes("whole"), "{to}: {name}");
        }
    }
}

#[test]
fn a_trained_model_is_not_replaced_by_one_of_fewer_steps() {
    let fixed = TABLE.replace("epsilon = 2.0", "noise = 3.0");
    let place = place(&fixed);
    place.runs("train run.toml -o out");
    let kept = ["model.safetensors", "statement.txt", "result.json", "run.ledger"];
    let read = || kept.map(|name| std::fs::read(place.path(&format!("out/{name}"))).unwrap());
    let before = read();
    std::fs::remove_file(place.path("out/checkpoint.safetensors")).unwrap();
    let run = place.run("train run.toml -o out");
    assert_eq!(run.code, 1, "{}", run.stdout);
    for part in
        ["it counts 40 steps", "restore", "another --output", "A new ledger here is no way out"]
    {
        assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
    }
    // Some steps are affordable, but fewer than were taken.
    place.write("run.toml", fixed.replace("steps = 40", "steps = 60"));
    let run = place.run("train run.toml -o out");
    assert_eq!(run.code, 1, "{}", run.stdout);
    for part in ["result.json: it is of 40 steps", "never replaced", "another --output"] {
        assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
    }
    assert_eq!(read(), before, "something was replaced");
    assert!(!place.path("out/checkpoint.safetensors").exists());
}

#[test]
fn a_run_goes_on_from_wherever_the_program_is_started_and_with_other_parts() {
    let place = place(&TABLE.replace("steps = 40", "steps = 40\nevaluate_every = 20"));
    place.runs("train run.toml -o out");
    let other = "steps = 40\nevaluate_every = 10\ncheckpoint_every = 7\nmicro_batch = 16";
    place.write("run.toml", TABLE.replace("steps = 40", other));
    std::fs::create_dir(place.path("below")).unwrap();
    let mut command = place.command("train ../run.toml -o ../out --quiet");
    let output = command.current_dir(place.path("below")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(place.json("out/result.json")["charges"].as_u64(), Some(40));
}

#[test]
fn a_folder_of_another_run_is_refused_by_the_key_that_differs() {
    let place = place(TABLE);
    place.runs("train run.toml -o out");
    for (from, to, says) in [
        ("steps = 40", "steps = 50", "training.steps = 40 and not 50"),
        (
            "kind = \"mlp\"\nhidden = [8]",
            "kind = \"linear\"",
            "model.kind = \"mlp\" and not \"linear\"",
        ),
        (
            "delta = 1e-5",
            "delta = 1e-5\nrecords = 1900",
            "privacy.records = not given and not 1900",
        ),
        (
            "train = \"points.csv\"",
            "train = \"more.csv\"",
            "data.train = \"points.csv\" and not \"more.csv\"",
        ),
    ] {
        place.write("more.csv", place.read("points.csv"));
        place.write("run.toml", TABLE.replace(from, to));
        let run = place.run("train run.toml -o out");
        assert_eq!(run.code, 1, "{}", run.stdout);
        assert!(run.stderr.contains(says), "{}", run.stderr);
        let advice = "use another --output, or restore that configuration";
        assert!(run.stderr.contains("checkpoint") && run.stderr.contains(advice), "{}", run.stderr);
    }
    // The configuration is the same, the number of records is not.
    let rows = place.read("points.csv");
    place.write(
        "points.csv",
        rows.lines().take(1901).map(|row| format!("{row}\n")).collect::<String>(),
    );
    place.write("run.toml", TABLE);
    let run = place.run("train run.toml -o out");
    assert!(run.stderr.contains("records = 2000 and not 1900"), "{}", run.stderr);
}

#[test]
fn a_damaged_checkpoint_and_one_without_its_ledger_are_refused_with_what_to_do() {
    let place = place(TABLE);
    place.runs("train run.toml -o out");
    let file = place.path("out/checkpoint.safetensors");
    let whole = std::fs::read(&file).unwrap();
    let mut damaged = whole.clone();
    *damaged.last_mut().unwrap() ^= 1;
    for (bytes, says) in
        [(&damaged[..], "damaged"), (&whole[..whole.len() / 2], "not a safetensors file")]
    {
        std::fs::write(&file, bytes).unwrap();
        let run = place.run("train run.toml -o out");
        assert_eq!(run.code, 1, "{}", run.stdout);
        let advice = "use another --output, or restore the checkpoint";
        assert!(run.stderr.contains(says) && run.stderr.contains(advice), "{}", run.stderr);
    }
    std::fs::write(&file, whole).unwrap();
    std::fs::remove_file(place.path("out/run.ledger")).unwrap();
    let run = place.run("train run.toml -o out");
    assert_eq!(run.code, 1, "{}", run.stdout);
    for part in [
        "it counts 0 steps, the checkpoint beside it 40",
        "use another --output, or restore the ledger that belongs to the checkpoint",
    ] {
        assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
    }
}
