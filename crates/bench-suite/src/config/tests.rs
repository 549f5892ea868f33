//! Tests of reading configurations.

use proptest::prelude::*;

use super::*;

fn example() -> RunConfig {
    RunConfig {
        problem: "mnist/cnn".into(),
        optimizer: OptimizerConfig::Sgd { momentum: 0.9 },
        learning_rate: 0.5,
        batch_size: 256.0,
        steps: 40,
        privacy: Some(PrivacyConfig {
            epsilon: 3.0,
            delta: 1e-5,
            clipping: ClipConfig::Flat { norm: 1.0 },
        }),
        seed: 1,
        eval_every: 10,
    }
}

fn parse(text: &str) -> Result<RunConfig> {
    RunConfig::parse(text, Path::new("run.json"))
}

#[test]
fn a_configuration_survives_writing_and_reading() {
    let text = example().to_text().unwrap();
    assert_eq!(parse(&text).unwrap(), example());
    assert_eq!(parse(&text).unwrap().hash().unwrap(), example().hash().unwrap());
    let other = RunConfig { seed: 2, ..example() };
    assert_ne!(other.hash().unwrap(), example().hash().unwrap());
}

#[test]
fn misspelt_keys_unknown_versions_and_bad_numbers_are_refused_by_name() {
    let text = example().to_text().unwrap();
    for (from, to, word) in [
        ("\"steps\"", "\"stepz\"", "stepz"),
        ("\"version\": \"1\"", "\"version\": \"9\"", "9"),
        ("\"momentum\"", "\"momentun\"", "momentun"),
        ("0.5", "-0.5", "learning_rate"),
        ("256.0", "0.0", "batch_size"),
        ("40", "\"forty\"", "forty"),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from}");
        let error = parse(&changed).unwrap_err().to_string();
        assert!(error.contains(word), "{to}: {error}");
    }
}

fn survive(n: u64) {
    use tensor_tree::{Key, Label};
    let text = example().to_text().unwrap();
    for i in 0..n {
        let mut bytes = text.clone().into_bytes();
        let mut draws = [0f64; 12];
        Key::from_seed(4).child(Label::Sample(i)).fill_uniform(&mut draws);
        for pair in draws.chunks(3) {
            let at = ((pair[0] * bytes.len() as f64) as usize).min(bytes.len().saturating_sub(1));
            let byte = (pair[1] * 256.0) as u8;
            match (pair[2] * 3.0) as u32 {
                0 if !bytes.is_empty() => bytes[at] = byte,
                1 => bytes.truncate(at.max(1)),
                _ => bytes.insert(at, byte),
            }
        }
        let _ = parse(&String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn mutated_configurations_never_panic() {
    survive(2_000);
}

#[test]
#[ignore = "heavy: 100,000 mutations"]
fn a_hundred_thousand_mutated_configurations_never_panic() {
    survive(100_000);
}

proptest! {
    #[test]
    fn arbitrary_text_is_never_a_panic(text in ".{0,200}") {
        prop_assert!(parse(&text).is_err());
    }
}
