//! Tests of generation on a small model of random weights.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::Builder;
use crate::layer::RotaryOrder;
use crate::net::{Llama, LlamaConfig};

fn model() -> (Llama, Tree) {
    let config = LlamaConfig {
        hidden_size: 8,
        intermediate_size: 12,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        num_key_value_heads: 1,
        head_dim: 4,
        vocab_size: 11,
        max_position_embeddings: 16,
        rms_norm_eps: 1e-5,
        rope_theta: 100.0,
        tie_word_embeddings: false,
        bos_token_id: None,
        eos_token_ids: vec![],
        rotary_order: RotaryOrder::Halves,
    };
    let builder = Builder::init(Key::from_seed(1), DType::F64, &Device::Cpu);
    let model = Llama::new(&config, builder.vb()).unwrap();
    // Wider matrices than usual, so that the tokens' probabilities differ.
    let widened =
        |_: &str, leaf: &Tensor| Ok(if leaf.rank() == 2 { (leaf * 20.0)? } else { leaf.clone() });
    (model, builder.into_tree().unwrap().map(widened).unwrap())
}

fn sampled(max_new: usize) -> Settings {
    let choice = Choice::Sample { temperature: 0.9, top_k: Some(8), top_p: Some(0.95) };
    Settings { max_new, stop: vec![], choice }
}

#[test]
fn the_greedy_text_is_that_of_the_whole_model() {
    let (model, params) = model();
    let none = Tree::new();
    let key = Key::from_seed(1);
    let got = generate(&model, &params, &none, &[3, 1], &Settings::greedy(9, &[]), key).unwrap();
    let mut ids = vec![3u32, 1];
    for _ in 0..9 {
        let tensor = Tensor::from_vec(ids.clone(), (1, ids.len()), &Device::Cpu).unwrap();
        let cx = crate::Context::eval(&params, &none);
        let logits = model.logits(&cx, &tensor).unwrap().squeeze(0).unwrap();
        let last = logits.get(ids.len() - 1).unwrap().to_vec1::<f64>().unwrap();
        ids.push(Choice::Greedy.choose(&last, 0.0).unwrap());
    }
    assert_eq!(got, ids[2..]);
}

#[test]
fn a_seed_gives_the_same_text_whatever_the_length() {
    let (model, params) = model();
    let none = Tree::new();
    let run = |seed, n| {
        let key = Key::from_seed(seed);
        generate(&model, &params, &none, &[5], &sampled(n), key).unwrap()
    };
    let long = run(1, 12);
    assert_eq!(long[..7], run(1, 7));
    assert!((2..8).any(|seed| run(seed, 12) != long));
    assert!(run(1, 0).is_empty());
}

#[test]
fn it_ends_at_a_stop_token_and_at_the_last_position() {
    let (model, params) = model();
    let none = Tree::new();
    let key = Key::from_seed(1);
    let all = generate(&model, &params, &none, &[5, 6], &sampled(100), key).unwrap();
    // The token behind the last position is predicted but not read.
    assert_eq!(all.len(), 16 - 2 + 1);
    let full = generate(&model, &params, &none, &[5; 16], &sampled(100), key).unwrap();
    assert_eq!(full.len(), 1);
    let stop = all[3];
    let first = all.iter().position(|t| *t == stop).unwrap();
    let settings = Settings { stop: vec![stop], ..sampled(100) };
    let cut = generate(&model, &params, &none, &[5, 6], &settings, key).unwrap();
    assert_eq!(cut, all[..=first]);
}

#[test]
fn prompts_that_cannot_be_continued_are_refused() {
    let (model, params) = model();
    let none = Tree::new();
    let key = Key::from_seed(1);
    let settings = Settings::greedy(3, &[]);
    for prompt in [vec![], vec![1; 17]] {
        let result = generate(&model, &params, &none, &prompt, &settings, key);
        assert!(matches!(result, Err(Error::InvalidSetting { .. })));
    }
    assert!(generate(&model, &params, &none, &[11], &settings, key).is_err());
    let missing = generate(&model, &none, &none, &[1], &settings, key);
    assert!(matches!(missing, Err(Error::MissingParam { .. })));
    let choice = Choice::Sample { temperature: -1.0, top_k: None, top_p: None };
    let bad = Settings { choice, ..settings };
    assert!(generate(&model, &params, &none, &[1], &bad, key).is_err());
}

/// Each prompt alone with its own key.
fn one_by_one(prompts: &[Vec<u32>], settings: &Settings, key: Key) -> Vec<Vec<u32>> {
    let (model, params) = model();
    let none = Tree::new();
    let alone = |(i, prompt): (usize, &Vec<u32>)| {
        let key = key.child(Label::Sample(i as u64));
        generate(&model, &params, &none, prompt, settings, key).unwrap()
    };
    prompts.iter().enumerate().map(alone).collect()
}

fn together(
    prompts: Prompts<'_, Vec<u32>>,
    settings: &Settings,
    key: Key,
) -> Result<Vec<Vec<u32>>> {
    let (model, params) = model();
    generate_batch(&model, &params, &Tree::new(), prompts, settings, key)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_batch_gives_what_each_prompt_gives_alone(
        prompts in vec(vec(0..11u32, 1..=16), 0..10),
        batch in 1..12usize,
        max_new in 0..20usize,
        stop in vec(0..11u32, 0..3),
        greedy in any::<bool>(),
        seed in 0..99u64,
    ) {
        let choice = if greedy { Choice::Greedy } else { sampled(1).choice };
        let settings = Settings { max_new, stop, choice };
        let key = Key::from_seed(seed);
        let got = together(Prompts::new(&prompts, batch), &settings, key).unwrap();
        prop_assert_eq!(got, one_by_one(&prompts, &settings, key));
    }
}

#[test]
fn equal_prompts_are_drawn_for_each_on_its_own() {
    let prompts = vec![vec![3u32, 1]; 4];
    let key = Key::from_seed(2);
    let got = together(Prompts::new(&prompts, 4), &sampled(10), key).unwrap();
    assert!(got.iter().skip(1).any(|new| *new != got[0]));
    let greedy = together(Prompts::new(&prompts, 4), &Settings::greedy(10, &[]), key).unwrap();
    assert!(greedy.iter().all(|new| *new == greedy[0]));
}

#[test]
fn progress_counts_prompts_and_can_end_the_generation() {
    let prompts: Vec<Vec<u32>> = (1..=5).map(|n| vec![2; n]).collect();
    let settings = Settings::greedy(3, &[]);
    let key = Key::from_seed(1);
    let mut seen = Vec::new();
    let mut note = |done| {
        seen.push(done);
        true
    };
    let all = together(Prompts::new(&prompts, 2).with_progress(&mut note), &settings, key).unwrap();
    assert!(seen.is_sorted());
    assert_eq!((seen[0], *seen.last().unwrap()), (0, 5));
    // A prompt of one token and one of two: four passes for three tokens each.
    assert_eq!(seen[..5], [0, 0, 1, 2, 2]);
    let mut stop = |done| done < 2;
    let error = together(Prompts::new(&prompts, 2).with_progress(&mut stop), &settings, key);
    assert!(matches!(error, Err(Error::Stopped { done: 2, total: 5, .. })));
    // There is nothing to be stopped behind the last pass.
    let mut stop = |done| done < 5;
    let same = together(Prompts::new(&prompts, 2).with_progress(&mut stop), &settings, key);
    assert_eq!(same.unwrap(), all);
}

#[test]
fn a_prompt_that_cannot_be_continued_is_named_before_anything_is_generated() {
    let prompts = vec![vec![1u32], vec![1; 17]];
    let settings = Settings::greedy(3, &[]);
    let key = Key::from_seed(1);
    let mut passes = 0;
    let mut count = |_| {
        passes += 1;
        true
    };
    let error = together(Prompts::new(&prompts, 2).with_progress(&mut count), &settings, key);
    let error = error.unwrap_err();
    assert!(error.to_string().contains("prompt 1"), "{error}");
    assert_eq!(passes, 0);
    let none = together(Prompts::new(&prompts[..1], 0), &settings, key);
    assert!(matches!(none, Err(Error::InvalidSetting { .. })));
    assert!(together(Prompts::new(&[vec![11]], 1), &settings, key).is_err());
}
