//! `lethe train`: what it promises, what it refuses, and what a kill leaves.

use std::time::Duration;

use crate::program::Place;

/// Two clouds of points, some of them labelled by the side of a line.
fn table(n: u32) -> String {
    let wave = |i: u32, a: f64| (f64::from(i) * a).sin();
    let rows = (0..n).map(|i| {
        let (x, y) = (wave(i, 12.9898), wave(i, 78.233));
        format!("{x:.5},{y:.5},{}\n", if 0.0 < x + y { "up" } else { "down" })
    });
    std::iter::once("left,right,kind\n".to_owned()).chain(rows).collect()
}

const TABLE: &str = r#"version = 1
[data]
format = "csv"
train = "points.csv"
test = "points.csv"
response = "kind"
classes = ["down", "up"]
range = [-1.0, 1.0]
[model]
kind = "mlp"
hidden = [8]
[training]
batch_size = 200
steps = 40
rate = 0.05
[privacy]
epsilon = 2.0
delta = 1e-5
"#;

fn place(config: &str) -> Place {
    let place = Place::new();
    place.write("points.csv", table(2000));
    place.write("run.toml", config);
    place
}

#[test]
fn a_private_run_leaves_a_model_and_a_statement_within_its_target() {
    for (config, losses) in
        [(TABLE.to_owned(), false), (TABLE.replace("rate = 0.05", "rate = \"private\""), true)]
    {
        let place = place(&config);
        let run = place.run("train run.toml -o out");
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert!(run.stdout.contains("differential privacy: epsilon at most"), "{}", run.stdout);
        let result = place.json("out/result.json");
        let epsilon = result["epsilon"].as_f64().unwrap();
        assert!(1.99 < epsilon && epsilon <= 2.0, "{epsilon}");
        // The noise is secret, so each run is another; rates from losses as noisy as these may miss.
        let accuracy = result["test_accuracy"].as_f64().unwrap();
        assert!(losses || 0.8 < accuracy, "{result}");
        assert_eq!((result["steps"].as_u64(), result["charges"].as_u64()), (Some(40), Some(40)));
        let said = place.run("epsilon ledger out/run.ledger --delta 1e-5");
        assert!(said.stdout.contains("40 charges"), "{}", said.stderr);
        assert!(run.stdout.contains(said.stdout.trim_start_matches("40 charges\n")));
        let ledger = dp_core::LedgerFile::read(place.path("out/run.ledger")).unwrap();
        assert_eq!(ledger.phases().len(), if losses { 3 } else { 1 });
        let weights = tape_nn::load::safetensors::read(
            place.path("out/model.safetensors"),
            candle_core::DType::F32,
            &candle_core::Device::Cpu,
        );
        assert_eq!(weights.unwrap().tree.n_elements(), 2 * 8 + 8 + 8 * 2 + 2);
        assert_eq!(place.read("out/course.csv").lines().count(), 41);
        // A run that is over is over: nothing more is charged.
        assert_eq!(place.run("train run.toml -o out").code, 0);
        assert_eq!(place.json("out/result.json")["charges"].as_u64(), Some(40));
    }
}

#[test]
fn a_seeded_run_repeats_and_states_nothing() {
    let config = TABLE.replace("rate = 0.05", "rate = 0.05\nseed = 4");
    let place = place(&config);
    for folder in ["a", "b"] {
        let run = place.run(&format!("train run.toml -o {folder}"));
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert!(run.stdout.contains("no privacy statement can be made"), "{}", run.stdout);
        assert!(place.json(&format!("{folder}/result.json"))["epsilon"].is_null());
        let said = place.run(&format!("epsilon ledger {folder}/run.ledger --delta 1e-5"));
        assert!(said.code == 1 && said.stderr.contains("known seed"), "{}", said.stderr);
    }
    let bytes = |folder: &str| std::fs::read(place.path(&format!("{folder}/model.safetensors")));
    assert_eq!(bytes("a").unwrap(), bytes("b").unwrap());
}

#[test]
fn texts_and_images_are_trained_by_every_kind_of_network() {
    let place = Place::new();
    let texts = (0..300).map(|i| {
        let (text, label) =
            if i % 2 == 0 { ("win a prize now", "spam") } else { ("see you at home", "ham") };
        format!("{{\"text\": \"{text} {i}\", \"label\": \"{label}\"}}\n")
    });
    place.write("texts.jsonl", texts.collect::<String>());
    let header = |dims: &[u8]| -> Vec<u8> {
        let sizes = dims.iter().flat_map(|d| [0, 0, 0, *d]);
        [0, 0, 8, u8::try_from(dims.len()).unwrap()].into_iter().chain(sizes).collect()
    };
    let pixel = |i: usize| if (i % 8 < 4) == (i / 64).is_multiple_of(2) { 220 } else { 30 };
    place.write("images", [header(&[200, 8, 8]), (0..200 * 64).map(pixel).collect()].concat());
    place.write("labels", [header(&[200]), (0..200).map(|i| i % 2).collect()].concat());

    let texts = "format = \"jsonl\"\ntrain = \"texts.jsonl\"\ntest = \"texts.jsonl\"\nclasses = [\"ham\", \"spam\"]\nlength = 24";
    let images = "format = \"idx\"\ntrain = [\"images\", \"labels\"]\ntest = [\"images\", \"labels\"]\nclasses = 2";
    for (data, model) in [
        (texts, "kind = \"gru\"\nwidth = 6\nhidden = 8"),
        (texts, "kind = \"lstm\"\nwidth = 6\nhidden = 8"),
        (texts, "kind = \"bag\"\nrows = 500\nwidth = 8\nhidden = []"),
        (images, "kind = \"cnn\"\nchannels = [4]\ngroups = 2\nhidden = 8"),
        (images, "kind = \"linear\""),
    ] {
        place.write(
            "run.toml",
            format!(
                "version = 1\n[data]\n{data}\n[model]\n{model}\n[training]\nbatch_size = 60\nsteps = 15\nrate = 0.03\n\
                 [privacy]\nepsilon = 8.0\ndelta = 1e-4\nclip_style = \"layer\"\nclip_quantile = 0.5\nclip = \"abadi\"\n"
            ),
        );
        let run = place.run("train run.toml -o out");
        assert_eq!(run.code, 0, "{model}: {}", run.stderr);
        let result = place.json("out/result.json");
        assert!(result["epsilon"].as_f64().unwrap() <= 8.0, "{model}");
        std::fs::remove_dir_all(place.path("out")).unwrap();
    }
}

#[test]
fn what_cannot_be_meant_is_refused_with_what_to_do() {
    for (from, to, says) in [
        (
            "classes = [\"down\", \"up\"]",
            "classes = [\"down\", \"top\"]",
            "one of data.classes: down, top",
        ),
        ("classes = [\"down\", \"up\"]", "classes = []", "must name two or more classes"),
        (
            "kind = \"mlp\"\nhidden = [8]",
            "kind = \"gru\"\nwidth = 3\nhidden = 3",
            "linear or mlp for a table",
        ),
        ("kind = \"mlp\"", "kind = \"batchnorm\"", "unknown variant `batchnorm`"),
        ("batch_size = 200", "batch_size = 5000", "exceeds the 2000 samples"),
        ("delta = 1e-5", "delta = 1.0", "delta must be at least 0 and less than 1"),
        ("delta = 1e-5", "delta = 0.0", "no noise multiplier on this side of the limit"),
        ("epsilon = 2.0", "", "the plan needs a target epsilon or a noise multiplier"),
        ("rate = 0.05", "rate = \"fast\"", "must be a number or \"private\""),
        ("rate = 0.05", "rate = -1.0", "must be finite and positive"),
        ("rate = 0.05", "rates = 0.05", "unknown field `rates`"),
        ("range = [-1.0, 1.0]", "range = [1.0, -1.0]", "two finite numbers in order"),
        ("steps = 40", "steps = 40\nepochs = 2.0", "not both"),
        ("steps = 40", "steps = 40\ntrained = [\"head\"]", "head"),
        ("version = 1", "version = 7", "version must be 1"),
        ("train = \"points.csv\"", "train = \"none.csv\"", "none.csv"),
    ] {
        let place = place(&TABLE.replace(from, to));
        let run = place.run("train run.toml -o out");
        assert_ne!(run.code, 0, "{to}");
        assert!(run.stderr.contains(says), "{to}: {}", run.stderr);
        assert!(!place.path("out").exists(), "{to}: something was written");
    }
}

#[test]
fn a_folder_of_another_run_is_refused() {
    let place = place(TABLE);
    assert_eq!(place.run("train run.toml -o out").code, 0);
    place.write("run.toml", TABLE.replace("steps = 40", "steps = 50"));
    let run = place.run("train run.toml -o out");
    assert_eq!(run.code, 1, "{}", run.stdout);
    assert!(run.stderr.contains("checkpoint"), "{}", run.stderr);
}

#[test]
fn a_checkpoint_without_its_ledger_is_refused() {
    let place = place(TABLE);
    assert_eq!(place.run("train run.toml -o out").code, 0);
    std::fs::remove_file(place.path("out/run.ledger")).unwrap();
    let run = place.run("train run.toml -o out");
    assert_eq!(run.code, 1, "{}", run.stdout);
    assert!(run.stderr.contains("counts 0 steps, the checkpoint beside it 40"), "{}", run.stderr);
}

#[test]
fn the_plan_alone_touches_nothing() {
    let place = place(TABLE);
    let run = place.run("train run.toml -o out --plan");
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.contains("noise multiplier") && !place.path("out").exists());
}

fn killed(times: u32) {
    // Enough work that kills meet training and saving.
    let config = TABLE
        .replace("steps = 40", "steps = 400\ncheckpoint_every = 1")
        .replace("hidden = [8]", "hidden = [400]");
    let place = place(&config);
    let mut interrupted = 0;
    for kill in 0..times {
        let mut child = place.command("train run.toml -o out --quiet").spawn().unwrap();
        std::thread::sleep(Duration::from_millis(60 + u64::from(kill * 37 % 90)));
        if child.try_wait().unwrap().is_none() {
            interrupted += 1;
            child.kill().unwrap();
        }
        child.wait().unwrap();
    }
    assert!(0 < interrupted, "no run was killed");
    let run = place.run("train run.toml -o out");
    assert_eq!(run.code, 0, "{}", run.stderr);
    let result = place.json("out/result.json");
    let (steps, charges) = (result["steps"].as_u64().unwrap(), result["charges"].as_u64().unwrap());
    // Nothing that was released is missing, and the promise holds for all of it.
    assert!(steps <= charges, "{steps} steps, {charges} charges");
    assert!(result["epsilon"].as_f64().unwrap() <= 2.0, "{result}");
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
