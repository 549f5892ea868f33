//! `lethe epsilon`: answers, what they say of themselves, and what is refused.

use dp_core::{Delta, DpEvent, PldAccountant};
use serde_json::Value;

use crate::program::Place;

const USUAL: &str = "--rate 0.01 --noise 1 --steps 1000 --delta 1e-5";

fn json(place: &Place, arguments: &str) -> Value {
    serde_json::from_str(&place.runs(&format!("epsilon {arguments} --json"))).unwrap()
}

fn ends(answer: &Value) -> (f64, f64) {
    let end = |name: &str| answer["epsilon"][name].as_f64().unwrap();
    (end("lower"), end("upper"))
}

fn upper_end(answer: &Value) -> f64 {
    answer["epsilon"]["upper"].as_f64().unwrap()
}

#[test]
fn a_run_has_the_bracket_of_the_library_and_its_circumstances() {
    let place = Place::new();
    let answer = json(&place, USUAL);
    let event = DpEvent::gaussian(1.0).unwrap().sampled(0.01).unwrap().repeated(1000);
    let found = PldAccountant::new().optimize(&event, Delta::new(1e-5).unwrap()).unwrap();
    let (lower, upper) = ends(&answer);
    assert_eq!(lower, found.lower);
    assert!(found.upper <= upper && upper < found.upper + 1e-8);
    // The event is stored as ledgers store it.
    let stored: DpEvent = serde_json::from_value(answer["run"]["event"].clone()).unwrap();
    assert_eq!(stored, event.canonical().unwrap());
    assert_eq!((&answer["format"], &answer["version"]), (&"lethe-epsilon".into(), &1.into()));

    let text = place.runs(&format!("epsilon {USUAL}"));
    for part in ["at most 1.83", "1000 times", "add or remove one record", "1e-5"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(place.names().is_empty());
}

#[test]
fn one_run_may_be_said_in_several_ways() {
    let place = Place::new();
    let plain = ends(&json(&place, "--rate 0.01 --noise 1 --steps 1000 --delta 1e-5"));
    for other in [
        "--samples 50000 --batch 500 --noise 1 --epochs 10 --delta 1e-5",
        "--phase rate=0.01,noise=1,steps=400 --phase rate=0.01,noise=1,steps=600 --delta 1e-5",
        "--samples 5e4 --phase batch=500,noise=1,epochs=10 --delta 0.00001",
    ] {
        assert_eq!(ends(&json(&place, other)), plain, "{other}");
    }
    // 1.1 and 8 on one batch are one answer of more precision.
    let joint = ends(&json(&place, "--rate 0.01 --noise 1.1 --joint 8 --steps 1000 --delta 1e-5"));
    let together = (1.1f64.powi(-2) + 8f64.powi(-2)).powf(-0.5);
    let one =
        ends(&json(&place, &format!("--rate 0.01 --noise {together} --steps 1000 --delta 1e-5")));
    assert!((joint.1 - one.1).abs() < 1e-9, "{joint:?} {one:?}");
}

#[test]
fn sampling_gets_no_credit_where_none_is_due() {
    let place = Place::new();
    let whole = ends(&json(&place, "--rate 1 --noise 20 --steps 100 --delta 1e-5"));
    for flags in ["--shuffled", "--relation replace"] {
        let answer =
            json(&place, &format!("--rate 0.01 --noise 20 --steps 100 --delta 1e-5 {flags}"));
        assert_eq!(ends(&answer), whole, "{flags}");
        assert_eq!(answer["run"]["credit_for_sampling"], false);
    }
    let laplace = json(&place, "--rate 1 --laplace 10 --steps 5 --delta 0");
    assert!((ends(&laplace).1 - 0.5).abs() < 1e-8, "{laplace}");
}

#[test]
fn a_record_of_shuffled_batches_counts_once_an_epoch() {
    let place = Place::new();
    let of = |flags: &str| json(&place, &format!("--noise 1.1 --delta 1e-5 {flags}"));
    let releases = |n: u32| ends(&of(&format!("--rate 1 --steps {n}")));
    let shuffled = "--samples 60000 --batch 256 --shuffled";
    let ten = of(&format!("{shuffled} --epochs 10"));
    assert_eq!(ends(&ten), releases(10));
    assert!((ends(&ten).1 - 15.78).abs() < 0.01, "{ten}");
    assert_eq!(
        (&ten["run"]["steps"], &ten["run"]["batches_with_a_record"]),
        (&2344.into(), &10.into())
    );
    // An epoch that was begun counts, and may have 234 batches: the rest of 96 records need not make one.
    for (flags, n) in [
        ("--epochs 9.2", 10),
        ("--steps 234", 1),
        ("--steps 235", 2),
        ("--steps 2344", 11),
        ("--relation replace --epochs 10", 10),
    ] {
        assert_eq!(ends(&of(&format!("{shuffled} {flags}"))), releases(n), "{flags}");
    }
    let phases = "--samples 60000 --shuffled --phase batch=256,noise=1.1,epochs=2 --phase batch=512,noise=1.1,steps=118";
    assert_eq!(ends(&json(&place, &format!("{phases} --delta 1e-5"))), releases(4));
    // Without the size of an epoch every step counts, which is said.
    assert_eq!(ends(&of("--rate 0.01 --steps 20 --shuffled")), releases(20));
    let said =
        |flags: &str| place.runs(&format!("epsilon --noise 1.1 --delta 1e-5 --shuffled {flags}"));
    assert!(
        said("--rate 0.01 --steps 20")
            .contains("a record may be in every batch: all 20 steps count; with --samples")
    );
    let ten = said("--samples 60000 --batch 256 --epochs 10");
    assert!(ten.contains("a record is in one batch of each epoch: 10 releases count\n"), "{ten}");
    assert!(
        ten.contains("2344 times: Gaussian noise") && !ten.contains("Poisson sample at"),
        "{ten}"
    );
    // What is stored claims no sampling either.
    assert!(!of(&format!("{shuffled} --epochs 1"))["run"]["event"].to_string().contains("poisson"));
    for (flags, disjoint) in
        [("--samples 60000 --batch 256 --epochs 10", true), ("--rate 0.01 --steps 20", false)]
    {
        let text =
            place.runs(&format!("epsilon explain --noise 1.1 --delta 1e-5 --shuffled {flags}"));
        assert_eq!(
            text.contains("the batches of an epoch are disjoint parts of the records"),
            disjoint,
            "{text}"
        );
    }
    // The steps that are found are all of the epochs that fit.
    let base = format!("calibrate --epsilon 15.8 {shuffled} --noise 1.1 --delta 1e-5");
    assert_eq!(json(&place, &base)["found"]["steps"], 2340);
    place.runs(&format!(
        "epsilon curve --over steps {shuffled} --epochs 3 --noise 1.1 --delta 1e-5 --points 704"
    ));
    let curve = place.read("epsilon/curve.csv");
    let mut uppers: Vec<&str> =
        curve.lines().skip(1).filter_map(|row| row.split(',').nth(2)).collect();
    uppers.dedup();
    assert_eq!(uppers.len(), 3, "one release more with each epoch: {uppers:?}");
    // Larger batches make shorter epochs.
    let said = place.runs(&format!(
        "epsilon curve --over rate {shuffled} --steps 300 --noise 9 --delta 1e-5 --from 0.01 --to 0.04 --points 3"
    ));
    let curve = place.read("epsilon/curve.csv");
    assert!(
        said.contains("larger batches make more epochs") && !said.contains("releases"),
        "{said}"
    );
    let upper = |row: &str| row.split(',').nth(2).unwrap().parse::<f64>().unwrap();
    let uppers: Vec<f64> = curve.lines().skip(1).map(upper).collect();
    for (upper, epochs) in uppers.iter().zip([3, 6, 12]) {
        let (_, alone) =
            ends(&json(&place, &format!("--rate 1 --noise 9 --delta 1e-5 --steps {epochs}")));
        assert_eq!(*upper, alone, "{uppers:?}");
    }
}

#[test]
fn estimates_and_looser_accountants_say_what_they_are() {
    let place = Place::new();
    let renyi = json(&place, &format!("{USUAL} --accountant rdp"));
    assert_eq!(renyi["epsilon"]["kind"], "upper bound");
    assert!(1.83 < renyi["epsilon"]["upper"].as_f64().unwrap());
    let run = place.run(&format!("epsilon {USUAL} --accountant central-limit"));
    assert!(
        run.stdout.contains("about 1.617") && run.stderr.contains("no guarantee"),
        "{}",
        run.stderr
    );
    let narrow = ends(&json(&place, &format!("{USUAL} --width 1e-4")));
    assert!(narrow.1 - narrow.0 <= 1e-4 + 1e-8);
    let large = place.run("epsilon --samples 100 --rate 0.1 --noise 5 --steps 10 --delta 0.01");
    assert!(large.stderr.contains("not below 1/100"), "{}", large.stderr);
    let none = place.run("epsilon --rate 0.1 --noise 0 --steps 10 --delta 1e-5");
    assert!(none.stdout.contains("at most inf") && none.stderr.contains("without noise"));
}

#[test]
fn numbers_that_cannot_be_meant_are_refused_with_what_to_do() {
    let place = Place::new();
    for (flags, message) in [
        (
            "--rate 256 --noise 1 --steps 10 --delta 1e-5",
            "--rate: expected a probability above 0 and up to 1, got 256; for a batch size give batch together with samples",
        ),
        (
            "--rate -0.1 --noise 1 --steps 10 --delta 1e-5",
            "--rate: expected a probability above 0 and up to 1, got -0.1",
        ),
        (
            "--batch 256 --noise 1 --steps 10 --delta 1e-5",
            "--samples: missing: a batch size says nothing without the number of records",
        ),
        (
            "--samples 100 --batch 256 --noise 1 --steps 10 --delta 1e-5",
            "--batch: expected at most the 100 records there are, got 256",
        ),
        (
            "--rate 0.1 --noise -1 --steps 10 --delta 1e-5",
            "--noise: expected a noise multiplier (standard deviation over clip norm) of at least 0, got -1",
        ),
        (
            "--rate 0.1 --noise 1 --steps 10.5 --delta 1e-5",
            "--steps: expected a whole number, got 10.5; passes over the data are epochs",
        ),
        (
            "--rate 0.1 --noise 1 --steps 10 --epochs 2 --delta 1e-5",
            "--epochs: a number of steps is given too; one of both is enough",
        ),
        (
            "--rate 0.1 --noise 1 --steps 10 --delta 5",
            "--delta: expected a probability from 0 to below 1, got 5; 1e-1 is one over 1e1",
        ),
        (
            "--rate 0.1 --noise 1 --steps 10 --delta 1",
            "--delta: expected a probability from 0 to below 1, got 1",
        ),
        (
            "--samples 60000 --rate 0.1 --noise 1 --steps 10",
            "--delta: missing: a probability well below 1 over the 60000 records, for example 2e-6",
        ),
        (
            "--rate 0.1 --laplace 1 --joint 2 --steps 10 --delta 0",
            "--laplace: Gaussian noise is given too; joint answers are accounted for with Gaussian noise only",
        ),
        (
            "--phase rate=0.1,noise=1,steps=5 --phase rate=2,noise=1,steps=5 --delta 1e-5",
            "--phase 2, rate: expected a probability above 0 and up to 1, got 2; for a batch size give batch together with samples",
        ),
        (
            "--noise 1 --phase rate=0.1,noise=1,steps=5 --delta 1e-5",
            "--phase: numbers of a single phase are given too; each phase has its own",
        ),
        (
            "--rate 0.1 --noise 1 --steps 10 --delta 1e-5 --width 0",
            "--width: expected a width above 0, got 0",
        ),
    ] {
        place.refuses(&format!("epsilon {flags}"), 2, message);
    }
    for flag in ["--rate", "--noise", "--steps"] {
        let all = [("--rate", "0.1"), ("--noise", "1"), ("--steps", "10"), ("--delta", "1e-5")];
        let rest = all.iter().filter(|(name, _)| *name != flag);
        let rest: Vec<String> = rest.map(|(name, value)| format!("{name} {value}")).collect();
        let run = place.run(&format!("epsilon {}", rest.join(" ")));
        assert_eq!(run.code, 2);
        assert!(run.stderr.starts_with(&format!("error: {flag}: missing: ")), "{}", run.stderr);
    }
}

#[test]
fn whatever_is_missing_is_found_and_never_above_the_target() {
    let place = Place::new();
    // At a rate of 0.01, noise 1, 1000 steps and delta 1e-5 the upper end is just below this.
    let base = "calibrate --epsilon 1.8303 --delta 1e-5";
    for (flags, name, near) in [
        ("--rate 0.01 --steps 1000", "noise", 1.0),
        ("--rate 0.01 --noise 1", "steps", 1000.0),
        ("--noise 1 --steps 1000", "rate", 0.01),
        ("--samples 10000 --noise 1 --epochs 10", "rate", 0.01),
        ("--phase rate=0.01,steps=500 --phase rate=0.01,steps=500", "noise", 1.0),
    ] {
        for accountant in ["pld", "rdp"] {
            let answer = json(&place, &format!("{base} {flags} --accountant {accountant}"));
            let found = answer["found"][name].as_f64().unwrap();
            let upper = upper_end(&answer);
            assert!(upper <= 1.8303 && 1.82 < upper, "{flags}: {answer}");
            if accountant == "pld" {
                assert!((found / near - 1.0).abs() < 0.005, "{flags}: {found} and not {near}");
            }
            if !flags.contains("--phase") {
                // The printed value means the same run.
                let run =
                    format!("{flags} --{name} {found} --delta 1e-5 --accountant {accountant}");
                assert_eq!(upper_end(&json(&place, &run)), upper);
            }
        }
    }
    let noise = |flags: &str| json(&place, &format!("{base} --steps 100 {flags}"))["found"].clone();
    assert_eq!(noise("--rate 0.01 --relation replace"), noise("--rate 1"));
}

#[test]
fn targets_out_of_reach_and_questions_without_an_unknown_are_explained() {
    let place = Place::new();
    place.refuses(
        "epsilon calibrate --epsilon 1e-9 --delta 1e-15 --rate 1 --steps 1000",
        1,
        "no noise multiplier up to 1e6 keeps this run within epsilon 0.000000001 at delta 1e-15: ask for a larger epsilon or \
         delta, for fewer steps or a lower rate",
    );
    place.refuses(
        "epsilon calibrate --epsilon 0.1 --delta 1e-9 --rate 1 --noise 1",
        1,
        "not a single step stays within epsilon 0.1: add noise, lower the rate, or ask for more",
    );
    for (flags, part) in [
        ("--epsilon 1e9 --delta 1e-5 --rate 0.01 --steps 10", "ask for a smaller epsilon"),
        ("--epsilon 1e-6 --delta 1e-12 --noise 0.1 --steps 100000", "no rate from 1e-9"),
    ] {
        let run = place.run(&format!("epsilon calibrate {flags}"));
        assert!(run.code == 1 && run.stderr.contains(part), "{}", run.stderr);
    }
    for (flags, part) in [
        ("--epsilon 1 --delta 1e-5 --rate 0.1 --noise 1 --steps 10", "nothing is left to find"),
        ("--epsilon 1 --delta 1e-5 --rate 0.1", "too much is left to find"),
        ("--epsilon -1 --delta 1e-5 --rate 0.1 --noise 1", "--epsilon: expected a number above 0"),
        (
            "--epsilon 1 --delta 1e-5 --rate 0.1 --noise 1 --accountant central-limit",
            "nothing to rely on",
        ),
        ("--epsilon 1 --delta 1e-5 --phase rate=0.1,noise=1 --phase rate=0.1,noise=2", "one phase"),
    ] {
        let run = place.run(&format!("epsilon calibrate {flags}"));
        assert!(run.code == 2 && run.stderr.contains(part), "{}", run.stderr);
    }
}

#[test]
fn curves_are_files_whose_bounds_enclose_and_rise_or_fall() {
    let place = Place::new();
    for (over, sign, flags) in [
        ("steps", 1.0, "--rate 0.01 --noise 1 --steps 1000 --delta 1e-5"),
        ("delta", -1.0, "--rate 0.01 --noise 1 --steps 1000"),
        ("noise", -1.0, "--rate 0.01 --steps 1000 --delta 1e-5 --from 0.7 --to 3"),
        ("rate", 1.0, "--samples 10000 --noise 1 --epochs 10 --delta 1e-5"),
    ] {
        place.runs(&format!("epsilon curve --over {over} {flags} --points 12 --out {over}"));
        let rows = place.read(&format!("{over}/curve.csv"));
        let mut rows = rows.lines().map(|line| line.split(',').collect::<Vec<_>>());
        assert_eq!(rows.next().unwrap(), [over, "lower", "upper", "renyi", "central_limit"]);
        let rows: Vec<Vec<f64>> =
            rows.map(|row| row.iter().map(|cell| cell.parse().unwrap()).collect()).collect();
        assert_eq!(rows.len(), 12);
        for row in &rows {
            assert!(row[1] <= row[2] && row[2] <= row[3] * (1.0 + 1e-8), "{row:?}");
        }
        for pair in rows.windows(2) {
            let (a, b) = if 0.0 < sign { (&pair[0], &pair[1]) } else { (&pair[1], &pair[0]) };
            assert!(a[1] <= b[2] && a[3] <= b[3] * (1.0 + 1e-8), "{over}: {pair:?}");
        }
        let stored = place.json(&format!("{over}/curve.json"));
        assert_eq!(stored["curve"].as_array().unwrap().len(), 12);
        for file in ["curve.svg", "report.html"] {
            assert!(place.read(&format!("{over}/{file}")).contains("<svg"));
        }
    }
    place.refuses(
        "epsilon curve --over noise --phase rate=0.1,noise=1,steps=5 --delta 1e-5",
        2,
        "--over noise: expected a run of one phase, got 1",
    );
    let run = place.run(&format!("epsilon curve --over delta {USUAL} --from 0.1 --to 2"));
    assert!(run.code == 2 && run.stderr.contains("in rising order"), "{}", run.stderr);
}

#[test]
fn a_curve_tells_of_the_run_what_is_given_and_no_placeholder() {
    let place = Place::new();
    for (over, flags, given, placeholders) in [
        (
            "noise",
            "--rate 0.01 --steps 1000",
            "rate 0.01 steps 1000 relation",
            ["noise multiplier", "of: Gaussian"],
        ),
        (
            "rate",
            "--noise 2 --epochs 10",
            "noise 2 epochs 10 relation",
            ["0 times", "Gaussian noise"],
        ),
    ] {
        let said = place.runs(&format!(
            "epsilon curve --over {over} {flags} --delta 1e-5 --from 0.5 --to 1 --points 3 --out {over}"
        ));
        let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(&format!("{over} from 0.5000 to 1.000 {given} ")), "{said}");
        let stored = place.json(&format!("{over}/curve.json"));
        assert!(stored["run"]["event"].is_null() && stored["run"][over].is_null(), "{stored}");
        assert_eq!(stored["run"]["delta"], 1e-5);
        for placeholder in placeholders {
            assert!(!said.contains(placeholder), "{placeholder}: {said}");
            assert!(
                !place.read(&format!("{over}/report.html")).contains(placeholder),
                "{placeholder}"
            );
        }
    }
    place
        .runs("epsilon curve --over delta --rate 0.01 --noise 1 --steps 10 --points 3 --out delta");
    assert!(place.json("delta/curve.json")["run"]["delta"].is_null(), "delta is what changes");
}

#[test]
fn a_curve_without_a_finite_epsilon_is_refused_with_what_to_do() {
    let place = Place::new();
    for (flags, what) in [
        ("--noise 0 --delta 1e-5", "without noise there is no guarantee; give noise above 0"),
        (
            "--noise 1 --delta 0",
            "Gaussian noise gives no finite epsilon at delta 0; give a delta above 0",
        ),
    ] {
        let message = format!("epsilon is infinite everywhere, so there is no curve: {what}");
        place.refuses(
            &format!("epsilon curve --over steps --rate 0.1 --steps 10 {flags} --out none --quiet"),
            1,
            &message,
        );
    }
}

#[test]
fn an_explanation_names_assumptions_and_all_accountants() {
    let place = Place::new();
    let text = place.runs(&format!("epsilon explain {USUAL}"));
    for part in ["independently", "public number", "privacy filter", "rdp", "central-limit", "6.23"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    let joint = json(&place, &format!("explain {USUAL} --joint 8 --relation replace"));
    let all = joint["assumptions"].to_string();
    assert!(all.contains("one and the same batch") && all.contains("twice the clip norm"));
    assert!(!all.contains("independently"));
    assert_eq!(joint["accountants"].as_array().unwrap().len(), 3);
}

#[test]
fn no_test_of_membership_beats_the_trade_off() {
    let place = Place::new();
    place.runs("epsilon tradeoff --rate 1 --noise 2 --steps 1 --points 20 --out t");
    let stored = place.json("t/tradeoff.json");
    let exact = dp_core::GaussianDp::new(0.5).unwrap();
    for pair in stored["curve"].as_array().unwrap() {
        let (alpha, power) = (pair[0].as_f64().unwrap(), pair[1].as_f64().unwrap());
        let best = 1.0 - exact.type_ii_error(alpha);
        assert!(best <= power + 1e-9 && power < 1.1 * best + 1e-3, "{alpha}: {power} and {best}");
    }
    assert!(place.read("t/report.html").contains("<svg"));
    let run = place.run("epsilon tradeoff --rate 1 --noise 0 --steps 1");
    assert!(run.code == 1 && run.stderr.contains("without noise"), "{}", run.stderr);
}

#[test]
fn a_file_of_runs_is_answered_like_each_run_alone() {
    let place = Place::new();
    place.write(
        "runs.jsonl",
        "{\"name\": \"a\", \"rate\": 0.01, \"noise\": 1, \"steps\": 1000, \"delta\": 1e-5}\n\n\
         {\"samples\": 50000, \"delta\": 1e-6, \"phases\": [{\"batch\": 500, \"noise\": 1.2, \"epochs\": 2}, \
         {\"rate\": 0.02, \"noise\": 2, \"joint\": [8], \"steps\": 50}]}\n",
    );
    place.write(
        "runs.csv",
        "name,rate,noise,steps,delta,relation,joint\na,0.01,1,1000,1e-5,,\nb,0.01,30,100,1e-5,replace,50+60\n",
    );
    let alone = json(&place, USUAL);
    let phases = "--samples 50000 --delta 1e-6 --phase batch=500,noise=1.2,epochs=2 --phase rate=0.02,noise=2,joint=8,steps=50";
    let phases = json(&place, phases);
    let lines = place.runs("epsilon batch runs.jsonl --json");
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!((&lines[0]["epsilon"], &lines[0]["name"]), (&alone["epsilon"], &"a".into()));
    assert_eq!((&lines[1]["epsilon"], &lines[1]["name"]), (&phases["epsilon"], &"line 3".into()));

    place.runs("epsilon batch runs.csv --out answers.csv");
    let answers = place.read("answers.csv");
    let rows: Vec<Vec<&str>> = answers.lines().map(|line| line.splitn(5, ',').collect()).collect();
    assert_eq!(rows[0], ["name", "delta", "lower", "upper", "run"]);
    assert_eq!(rows[1][3].parse::<f64>().unwrap(), ends(&alone).1);
    assert_eq!(rows[2][0], "b");
}

#[test]
fn faults_of_a_file_of_runs_are_named_by_line() {
    for (name, text, message) in [
        ("r.jsonl", "\n", "r.jsonl: expected at least one run, got none"),
        (
            "r.jsonl",
            "{\"rate\": 0.1, \"noise\": 1, \"steps\": 5, \"delta\": 1e-5}\n{\"rate\": 3, \"noise\": 1, \"steps\": 5, \"delta\": 1e-5}\n",
            "r.jsonl: line 2, rate: expected a probability above 0 and up to 1, got 3; for a batch size give batch together with samples",
        ),
        (
            "r.jsonl",
            "{\"delta\": 2, \"rate\": 0.1, \"noise\": 1, \"steps\": 5}\n",
            "r.jsonl: line 1, delta: expected a probability from 0 to below 1, got 2; 1e-1 is one over 1e1",
        ),
        (
            "r.csv",
            "rate,sigma\n0.1,1\n",
            "r.csv: line 1: no column `sigma` is known; expected name, samples, delta, relation, shuffled, rate, batch, noise, joint, laplace, steps, epochs",
        ),
        ("r.csv", "rate,noise\n0.1,x\n", "r.csv: line 2, noise: expected a number, got `x`"),
        (
            "r.csv",
            "rate,noise,steps,delta\n0.1,1,5,\n",
            "r.csv: line 2, delta: missing: a probability well below 1 over the number of records, for example 1e-6",
        ),
    ] {
        let place = Place::new();
        place.write(name, text);
        place.refuses(&format!("epsilon batch {name}"), 1, message);
    }
    let place = Place::new();
    place.write("r.jsonl", "{\"sigma\": 1}\n");
    let run = place.run("epsilon batch r.jsonl");
    assert!(run.code == 1 && run.stderr.contains("line 1: not a run: unknown field `sigma`"));
    let run = place.run("epsilon batch none.jsonl");
    assert!(run.code == 1 && run.stderr.starts_with("error: none.jsonl: cannot be read: "));
}
