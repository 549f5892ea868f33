//! Faults of files and flags end with one sentence that names the place, before anything is written.

use super::{SETS, place};
use crate::program::fixtures;

const RUN: &str = "unlearn run --model target --no-eval -q --out out";

#[test]
fn faults_of_rows_are_named_by_file_and_line() {
    let place = place();
    let good = place.read("data/forget.jsonl");
    let first = good.lines().next().unwrap();
    let row = |task: &str| {
        format!("{{\"id\": \"9qa0\", \"input\": \"a\", \"output\": \"b\", \"task\": \"{task}\"}}")
    };
    for (text, says) in [
        (String::new(), "bad.jsonl: rows: expected at least one, got none"),
        (
            format!("{first}\n{{\"id\": 3\n"),
            "bad.jsonl: line 2, field `line`: expected a JSON object",
        ),
        (
            format!("{first}\n\n"),
            "bad.jsonl: line 2, field `line`: expected a JSON object, got an empty line",
        ),
        (
            row("Task9"),
            "bad.jsonl: line 1, field `task`: expected `Task1`, `Task2` or `Task3`, got Task9",
        ),
        (
            format!("{first}\n{first}\n"),
            "bad.jsonl: line 2, field `id`: expected an id that no row before has",
        ),
        ("{\"what\": \"else\"}\n".into(), "bad.jsonl: line 1"),
    ] {
        place.write("bad.jsonl", text);
        for (command, out) in [
            (format!("{RUN} --forget bad.jsonl --retain data/retain.jsonl"), "out"),
            (format!("{RUN} --forget data/forget.jsonl --retain bad.jsonl"), "out"),
            ("unlearn teach --rows bad.jsonl --new 16x1 --out out -q".into(), "out"),
            ("unlearn eval --model target --forget bad.jsonl --retain data/retain.jsonl --out out -q".into(), "out"),
        ] {
            let run = place.run(&command);
            assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{command}");
            assert!(run.stderr.starts_with(&format!("error: {says}")), "{command}: {}", run.stderr);
            assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
            assert!(!place.path(out).exists());
        }
    }
    place.refuses(
        &format!("{RUN} --forget none.jsonl --retain data/retain.jsonl"),
        1,
        "none.jsonl: No such file or directory (os error 2)",
    );
}

#[test]
fn rows_that_are_too_long_are_refused_by_id_or_cut_and_counted() {
    let place = place();
    let long = "word ".repeat(400);
    let rows = format!(
        "{{\"id\": \"7qa0\", \"input\": \"{long}\", \"output\": \"b\", \"task\": \"Task2\"}}\n"
    );
    place.write("long.jsonl", rows);
    let command =
        format!("{RUN} --forget long.jsonl --retain data/retain.jsonl --steps 1 --rate 1e-3");
    let run = place.run(&command);
    assert_eq!(run.code, 1);
    for part in
        ["error: long.jsonl: row `7qa0`: a text of ", "expected at most 257", "--over-long cut"]
    {
        assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
    }
    assert!(!place.path("out").exists());
    let run = place.run(&format!("{command} --over-long cut"));
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stderr.contains("1 rows of the forget set have more tokens"), "{}", run.stderr);
}

#[test]
fn models_that_cannot_be_used_are_refused() {
    let place = place();
    let sets = SETS;
    place.refuses(
        &format!("unlearn run --model none {sets} --out out"),
        1,
        "none: there is no such model",
    );
    place.write("m.gguf", "GGUF");
    place.refuses(
        &format!("unlearn run --model m.gguf {sets} --out out"),
        2,
        "--model m.gguf: a single file has no tokenizer beside it; add --tokenizer FILE",
    );
    let tokenizer = fixtures().join("data/smollm2-135m-tokenizer");
    let run = place.run(&format!(
        "unlearn run --model target --tokenizer {} {sets} --out out",
        tokenizer.display()
    ));
    assert_eq!(run.code, 1);
    for part in [
        "the tokenizer has 49152 tokens, expected at most the 4",
        "tokenizer and model do not match",
    ] {
        assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
    }
    std::fs::remove_file(place.path("gold/tokenizer.json")).unwrap();
    place.refuses(
        &format!("unlearn run --model gold {sets} --out out"),
        1,
        "gold/tokenizer.json: there is no tokenizer; name one by --tokenizer FILE",
    );
    for gold in ["nowhere", "data"] {
        place.refuses(
            &format!("unlearn run --model target {sets} --gold {gold} --out out"),
            1,
            &format!("{gold}: there is no gold standard: expected findings.json, a folder with it, or a model"),
        );
    }
    place.write("gold.json", "{\"a\": 1}");
    let run = place.run(&format!("unlearn eval --model target {sets} --gold gold.json --out out"));
    assert!(
        run.stderr.starts_with("error: gold.json: expected findings of `lethe unlearn eval`"),
        "{}",
        run.stderr
    );
}

#[test]
fn weights_that_are_no_numbers_and_steps_that_leave_them_are_said() {
    let place = place();
    let whole = std::fs::read(place.path("target/model.safetensors")).unwrap();
    let mut broken = whole.clone();
    let n = broken.len();
    // The last tensors are weights in single precision: NaN.
    broken[n - 64..].copy_from_slice(&[0xff; 64]);
    place.write("target/model.safetensors", &broken);
    let run = place.run(&format!("{RUN} {SETS} --steps 1 --rate 1e-3"));
    assert_eq!(run.code, 1, "{}", run.stdout);
    assert!(run.stderr.contains("expected a finite number"), "{}", run.stderr);
    place.write("target/model.safetensors", &whole);
    // A rate that blows up: steps are skipped, and the run ends with what it had.
    let _ = std::fs::remove_dir_all(place.path("out"));
    let run = place.run(&format!("{RUN} {SETS} --method ga --steps 20 --rate 1e30 --forget-ceiling none --check-every 100 --batch 13"));
    assert_eq!(run.code, 0, "{}", run.stderr);
    for part in ["steps were skipped", "not finite: lower the rate"] {
        assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
    }
}

#[test]
fn flags_that_cannot_be_meant_end_with_code_2() {
    let place = place();
    let run = place.run(&format!("{RUN} {SETS} --method forget-it"));
    assert_eq!(run.code, 2);
    for name in ["'forget-it'", "ngdiff", "blur-swapped", "task-vector", "undial"] {
        assert!(run.stderr.contains(name), "{name}: {}", run.stderr);
    }
    for (flags, says) in [
        (
            "--method kl",
            "--method kl: no rate can be found from the retain loss of this method: a divergence to the model as it is has its least value \
             there, and every step raises it; expected a given rate, by --rate without --auto-lr",
        ),
        (
            "--method ga --rate 1e-3 --auto-lr",
            "--method ga: no rate can be found from the retain loss of this method: the direction has nothing of what is kept; expected a \
             given rate, by --rate without --auto-lr",
        ),
        ("--method dpo", "--method dpo needs --refusals FILE, a refusal on each line"),
        ("--factor 2", "--factor 2 is for --method task-vector, got ngdiff"),
        ("--epochs 0", "--epochs: expected a positive number, got 0"),
        ("--adapeft 2", "--adapeft: expected a fraction above 0, at most 1, got 2"),
        (
            "--method task-vector --rate 1e-3 --adapeft 0.5",
            "--adapeft is not for --method task-vector, which learns the forget set alone: nothing is weighed against keeping, by which \
             layers are chosen",
        ),
        (
            "--method npo --adapeft 0.5",
            "--adapeft is not for --method npo, which looks back at the model as it was",
        ),
        (
            "--schedule cosine",
            "--schedule is for rates that are given by --rate without --auto-lr, not for rates that are found",
        ),
        (
            "--rate 1e-3 --auto-lr --warmup 3",
            "--warmup 3 is for rates that are given by --rate without --auto-lr, not for rates that are found",
        ),
        (
            "--rate 1e-3 --warmup 3",
            "--warmup 3 is for --schedule linear or cosine, the rate is constant",
        ),
        (
            "--rate 1e-3 --schedule constant --warmup 3",
            "--warmup 3 is for --schedule linear or cosine, the rate is constant",
        ),
    ] {
        place.refuses(&format!("{RUN} {SETS} {flags}"), 2, says);
    }
    place.write("no.txt", "No.\n");
    place.refuses(
        &format!("{RUN} {SETS} --refusals no.txt"),
        2,
        "--refusals is for methods that prefer them to answers, got --method ngdiff",
    );
    for flags in [
        "--steps 3 --epochs 2",
        "--lora 4 --last-blocks 1",
        "--lora-alpha 3",
        "--join tab",
        "--budget soon",
        "--forget-ceiling -1",
        "--others name",
    ] {
        let run = place.run(&format!("{RUN} {SETS} {flags}"));
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{flags}");
    }
    place.refuses(
        "unlearn teach --rows data/forget.jsonl --new 16x1 --schedule constant --warmup 2 --out out",
        2,
        "--warmup 2 is for --schedule linear or cosine, the rate is constant",
    );
    for flags in ["--new 60x1", "--new 64", "--new x2", "--new 0x1", ""] {
        let run = place.run(&format!("unlearn teach --rows data/forget.jsonl {flags} --out out"));
        assert_eq!(run.code, 2, "{flags}: {}", run.stderr);
    }
    for (flags, says) in [
        ("--rate -1", "rate must be finite and positive, got -1"),
        ("--steps 0", "steps must be at least 1, got 0"),
        ("--batch 0", "rows of a batch must be at least 1, got 0"),
        ("--utility-floor 2", "utility floor must be in [0, 1], got 2"),
    ] {
        let run = place.run(&format!("{RUN} {SETS} {flags}"));
        assert!(
            run.code == 1 && run.stderr == format!("error: {says}\n"),
            "{flags}: {}",
            run.stderr
        );
    }
    assert!(!place.path("out").exists());
}

#[test]
fn folders_of_something_else_are_left_alone() {
    let place = place();
    let says = "data: the folder is not empty: name another one";
    place.refuses("unlearn make data", 1, says);
    place.refuses("unlearn teach --rows data/forget.jsonl --new 16x1 --out data", 1, says);
    place.refuses(&format!("unlearn eval --model target {SETS} --out data"), 1, says);
    place.refuses("unlearn submit target data data/forget.jsonl data/retain.jsonl", 1, says);
    place.refuses("unlearn compare gold --out data", 1, says);
    let run = format!("unlearn run --model target {SETS} --out data");
    place.refuses(&run, 1, &format!("{says}, or go on with its run by --resume"));
    // Nor are they a run to go on with, the model itself least of all.
    let all = |folder: &str| -> Vec<Vec<u8>> {
        let names = crate::program::names(&place.path(folder));
        names.iter().map(|name| std::fs::read(place.path(folder).join(name)).unwrap()).collect()
    };
    let before = all("target");
    for command in [
        format!("unlearn run --model target {SETS} --out target --resume"),
        "unlearn teach --rows data/forget.jsonl --model target --out data --resume".to_owned(),
    ] {
        let run = place.run(&command);
        let says = "there is no run to go on with: expected `checkpoint.safetensors` or an empty folder, got `";
        assert!(run.code == 1 && run.stderr.contains(says), "{command}: {}", run.stderr);
    }
    assert!(before == all("target"));
    place.write("file", "x");
    place.refuses("unlearn make file", 1, "file: expected a folder or nothing, got a file");
}

#[test]
fn sets_of_other_formats_are_joined_only_as_the_user_says() {
    let place = place();
    let lume = place.read("data/retain.jsonl");
    let rows: Vec<serde_json::Value> =
        lume.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let write = |name: &str, of: &dyn Fn(&serde_json::Value) -> serde_json::Value| {
        let lines: Vec<String> = rows.iter().map(|row| of(row).to_string()).collect();
        place.write(name, lines.join("\n"));
    };
    write("tofu.jsonl", &|r| serde_json::json!({"question": r["input"], "answer": r["output"]}));
    write("texts.jsonl", &|r| serde_json::json!({"text": r["output"]}));
    let run = |forget: &str, more: &str| {
        format!(
            "{RUN} --forget {forget} --retain tofu.jsonl --steps 1 --rate 1e-3 --over-long cut {more}"
        )
    };
    place.refuses(
        &run("data/forget.jsonl", ""),
        1,
        "tofu.jsonl: its input and output are joined by `question-answer`, those of the files before by `space`: say which by --join",
    );
    let eval = "unlearn eval --model target --no-texts -q --out exam";
    let refused = place.run(&format!("{eval} {SETS} --others authors=tofu.jsonl"));
    assert!(
        refused.code == 1 && refused.stderr.contains("tofu.jsonl: its input"),
        "{}",
        refused.stderr
    );
    place.runs(&run("data/forget.jsonl", "--join space"));
    // Whole texts go with every join.
    std::fs::remove_dir_all(place.path("out")).unwrap();
    let said = place.runs(&run("texts.jsonl", ""));
    assert!(said.contains("question-answer"), "{said}");
    place.runs("unlearn eval --model target --forget texts.jsonl --retain tofu.jsonl --max-new 4 -q --out exam");
    let found = place.json("exam/findings.json");
    assert!(found["forget"]["rows"][0]["generation"].is_null());
    assert!(found["retain"]["rows"][0]["generation"].is_string());
}
