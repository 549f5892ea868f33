//! `lethe train`: what it promises and what it refuses.

use std::ops::Range;

use crate::program::Place;

/// Points in a square, labelled by the side of a line.
fn table(numbers: Range<u32>) -> String {
    let wave = |i: u32, a: f64| (f64::from(i) * a).sin();
    let rows = numbers.map(|i| {
        let (x, y) = (wave(i, 12.9898), wave(i, 78.233));
        format!("{x:.5},{y:.5},{}\n", if 0.0 < x + y { "up" } else { "down" })
    });
    std::iter::once("left,right,kind\n".to_owned()).chain(rows).collect()
}

pub(crate) const TABLE: &str = r#"version = 1
[data]
format = "csv"
train = "points.csv"
test = "others.csv"
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

pub(crate) fn place(config: &str) -> Place {
    let place = Place::new();
    place.write("points.csv", table(0..2000));
    place.write("others.csv", table(2000..2500));
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
    let text = |i: usize| {
        let (text, label) = if i.is_multiple_of(2) {
            ("win a prize now", "spam")
        } else {
            ("see you at home", "ham")
        };
        format!("{{\"text\": \"{text} {i}\", \"label\": \"{label}\"}}\n")
    };
    place.write("texts.jsonl", (0..300).map(text).collect::<String>());
    place.write("others.jsonl", (300..400).map(text).collect::<String>());
    let header = |dims: &[u8]| -> Vec<u8> {
        let sizes = dims.iter().flat_map(|d| [0, 0, 0, *d]);
        [0, 0, 8, u8::try_from(dims.len()).unwrap()].into_iter().chain(sizes).collect()
    };
    let pixel = |i: usize| if (i % 8 < 4) == (i / 64).is_multiple_of(2) { 220 } else { 30 };
    for (n, images, labels) in [(200, "images", "labels"), (50, "images2", "labels2")] {
        let pixels = (0..usize::from(n) * 64).map(pixel).collect();
        place.write(images, [header(&[n, 8, 8]), pixels].concat());
        place.write(labels, [header(&[n]), (0..n).map(|i| i % 2).collect()].concat());
    }

    let texts = "format = \"jsonl\"\ntrain = \"texts.jsonl\"\ntest = \"others.jsonl\"\nclasses = [\"ham\", \"spam\"]\nlength = 24";
    let images = "format = \"idx\"\ntrain = [\"images\", \"labels\"]\ntest = [\"images2\", \"labels2\"]\nclasses = 2";
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
        (
            "kind = \"mlp\"",
            "kind = \"batchnorm\"",
            "model.kind must be one of linear, mlp, cnn, bag, lstm, gru, got \"batchnorm\"; batch normalisation mixes the records of a \
             batch, so that no record has a gradient of its own that could be clipped: take cnn, which normalises groups",
        ),
        (
            "kind = \"mlp\"",
            "kind = \"resnet\"",
            "linear, mlp, cnn, bag, lstm, gru, got \"resnet\"\n",
        ),
        ("batch_size = 200", "batch_size = 5000", "exceeds the 2000 samples"),
        ("delta = 1e-5", "delta = 1.0", "delta must be at least 0 and less than 1"),
        ("delta = 1e-5", "delta = 0.0", "no finite epsilon at delta 0: give a delta above 0"),
        (
            "epsilon = 2.0\ndelta = 1e-5",
            "epsilon = 1e-9\ndelta = 1e-15",
            "no noise multiplier up to 1e6 keeps this run within epsilon 0.000000001 at delta 1e-15: raise privacy.epsilon or \
             privacy.delta, or lower training.batch_size or the number of steps",
        ),
        (
            "batch_size = 200\nsteps = 40\nrate = 0.05\n[privacy]",
            "batch_size = 10\nsteps = 4000\nrate = 0.05\n[privacy]\nclip_quantile = 0.5",
            "their noise multiplier is 0.5, 0.05 of training.batch_size; take larger batches, fewer steps or a larger \
             privacy.epsilon, or leave clip_quantile out",
        ),
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
fn a_test_set_of_training_records_is_refused_and_another_is_said_to_be_unprotected() {
    let place = place(TABLE);
    place.write("copy.csv", table(0..2000));
    let rows = table(0..2000);
    let (header, rows) = rows.split_once('\n').unwrap();
    let reversed = rows.lines().rev().map(|row| format!("{row}\n")).collect::<String>();
    place.write("reversed.csv", format!("{header}\n{reversed}"));
    for test in ["points.csv", "./points.csv", "copy.csv", "reversed.csv"] {
        place.write("run.toml", TABLE.replace("others.csv", test));
        let run = place.run("train run.toml -o out");
        assert_eq!(run.code, 1, "{test}: {}", run.stdout);
        let says = "data.test holds the records of data.train";
        assert!(
            run.stderr.contains(says) && run.stderr.contains("leave data.test out"),
            "{}",
            run.stderr
        );
        assert!(!place.path("out").exists(), "{test}: something was written");
    }
    let unprotected = "  test records are not protected by this statement\n";
    for (config, tested) in [(TABLE, true), (&TABLE.replace("test = \"others.csv\"\n", ""), false)]
    {
        place.write("run.toml", config.replace("steps = 40", "steps = 4"));
        let folder = if tested { "with" } else { "without" };
        let said = place.runs(&format!("train run.toml -o {folder}"));
        let (_, assumptions) = said.split_once("\nassuming:\n").unwrap();
        assert_eq!(assumptions.contains(unprotected), tested, "{said}");
        assert_eq!(place.read(&format!("{folder}/statement.txt")).ends_with(unprotected), tested);
    }
}

#[test]
fn epsilon_with_secret_noise_is_told_only_where_secret_noise_would_give_one() {
    let told = |noise: &str| {
        let place = place(
            &TABLE
                .replace("steps = 40", "steps = 3\nseed = 1")
                .replace("epsilon = 2.0", &format!("noise = {noise}")),
        );
        let said = place.runs("train run.toml -o out");
        assert!(said.contains("the noise came from a known seed"), "{said}");
        said.contains("With secret noise, epsilon would be")
    };
    assert!(told("1.0") && !told("0.0"));
}

#[test]
fn the_plan_alone_touches_nothing() {
    let place = place(TABLE);
    let run = place.run("train run.toml -o out --plan");
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.contains("noise multiplier") && !place.path("out").exists());
}
