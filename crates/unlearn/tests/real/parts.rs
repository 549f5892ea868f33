//! What of a model is trained: it moves, nothing else does, and the whole comes back under the names it came with.

use std::collections::BTreeSet;

use candle_core::{DType, Device, Tensor};
use hessian_lr::adapeft::Chooser;
use hessian_lr::grouping::Grouping;
use hessian_lr::select::Budget;
use tape_nn::load::safetensors;
use tape_nn::net::{LanguageModel, Llama};
use tape_nn::{Context, LoraConfig, lora};
use tensor_tree::{AdamW, Key, Tree};
use unlearn::method::Method;
use unlearn::run::{Checks, Optimizer, Run};
use unlearn::total::Choosing;
use unlearn::trained::Trained;

use super::{MODEL, Real, cut, fixture, settings, shortest};

fn logits(model: &Llama, trainable: &Tree, frozen: &Tree) -> Vec<f64> {
    let ids = Tensor::new(&[[1u32, 403, 407, 261, 300]], &Device::Cpu).unwrap();
    let logits = model.logits(&Context::eval(trainable, frozen), &ids).unwrap();
    logits.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Leaves of which some element differs.
fn moved<'t>(before: &'t Tree, after: &Tree) -> BTreeSet<&'t str> {
    let differs = |name: &str, leaf: &Tensor| {
        let change = (leaf - after.leaf(name).unwrap()).unwrap().abs().unwrap();
        0.0 < change.max_all().unwrap().to_scalar::<f32>().unwrap()
    };
    before.iter().filter(|(name, leaf)| differs(name, leaf)).map(|(name, _)| name).collect()
}

/// Names of weights that a short run of NGDiff moves in the merged model.
fn run(trained: &Trained) -> BTreeSet<String> {
    let mut real = Real::new(DType::F32);
    let forget = real.items(&shortest("tofu/forget01.jsonl", 4));
    let retain = real.items(&shortest("tofu/real_authors_perturbed.jsonl", 4));
    let full = real.llama.params.clone();
    let key = Key::from_seed(1);
    let parts = trained.split(&mut real.llama.model, full.clone(), key, &Device::Cpu).unwrap();
    let settings = settings("ngdiff", Optimizer::AdamW(AdamW::default()), 0.01, 4);
    let checks = Checks { forget: cut(&forget, 4), retain: cut(&retain, 4) };
    let model = (&real.llama.model, &parts.frozen);
    let run = Run::new(model, (&forget, &retain), checks, settings, &Device::Cpu).unwrap();
    let mut state = run.init(parts.trainable.clone()).unwrap();
    while run.advance(&mut state).unwrap().is_none() {}
    let outcome = run.outcome(&mut state).unwrap();
    assert_eq!((outcome.n_skipped, outcome.no_op), (0, None), "{trained:?}");
    outcome.params.check_like(&parts.trainable).unwrap();

    let merged = trained.merge(&outcome.params, &parts.frozen).unwrap();
    let file = safetensors::read(fixture(MODEL), DType::F32, &Device::Cpu).unwrap().tree;
    merged.check_like(&file).unwrap();
    // The merged model says what the one in parts says.
    let split = logits(&real.llama.model, &outcome.params, &parts.frozen);
    lora::detach(&mut real.llama.model);
    let whole = logits(&real.llama.model, &merged, &Tree::new());
    let largest = whole.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
    for (a, b) in split.iter().zip(&whole) {
        assert!((a - b).abs() <= 1e-5 * largest, "{trained:?}: {a} {b}");
    }
    let before = logits(&real.llama.model, &full, &Tree::new());
    assert_ne!(before, whole);
    moved(&full, &merged).into_iter().map(str::to_owned).collect()
}

fn names() -> BTreeSet<String> {
    let tree = safetensors::read(fixture(MODEL), DType::F32, &Device::Cpu).unwrap().tree;
    tree.names().map(str::to_owned).collect()
}

fn of_names(keep: impl Fn(&str) -> bool) -> BTreeSet<String> {
    names().into_iter().filter(|name| keep(name)).collect()
}

#[test]
fn full_training_moves_everything() {
    assert_eq!(run(&Trained::Full), names());
}

#[test]
fn the_last_blocks_move_alone() {
    let last = |name: &str| name.contains("layers.3.") || name.contains("layers.4.");
    assert_eq!(run(&Trained::LastBlocks(2)), of_names(last));
}

#[test]
fn leaves_that_patterns_fit_move_alone() {
    let trained = Trained::Leaves(vec!["up_proj.weight".into(), "model.norm.weight".into()]);
    let fits = |name: &str| name.ends_with("up_proj.weight") || name == "model.norm.weight";
    assert_eq!(run(&trained), of_names(fits));
}

#[test]
fn adapters_move_the_weights_of_their_layers_alone() {
    let config = LoraConfig { rank: 4, ..LoraConfig::for_layers(["q_proj", "down_proj"]) };
    let fits = |name: &str| name.contains("q_proj") || name.contains("down_proj");
    assert_eq!(run(&Trained::Lora(config)), of_names(fits));
}

#[test]
fn groups_that_adapeft_chooses_move_alone() {
    let real = Real::new(DType::F32);
    let mut forget = real.items(&shortest("tofu/forget01.jsonl", 4));
    let retain = real.items(&shortest("tofu/real_authors_perturbed.jsonl", 4));
    let method = Method::named("npo").unwrap();
    real.fill(&mut forget, method.forget);
    let grouping = Grouping::kinds().unwrap();
    let choosing = Choosing {
        grouping: grouping.clone(),
        chooser: Chooser::within(Budget::Fraction(0.5)),
        steps: 6,
        batch: 4,
        micro_batch: 4,
        seed: 0,
    };
    let params = &real.llama.params;
    let model = (&real.llama.model, &real.frozen, params);
    let sets = (&forget[..], &retain[..]);
    let choose = || choosing.choose(model, sets, &method, &Device::Cpu).unwrap();
    let choice = choose();
    assert_eq!(choice, choose());
    let groups = grouping.groups(params).unwrap();
    let (chosen, rest) = choice.split(&groups, params).unwrap();
    assert!(!chosen.is_empty() && !rest.is_empty(), "{choice:?}");
    assert!(2 * chosen.n_elements() <= params.n_elements());
    let names: Vec<String> = chosen.names().map(str::to_owned).collect();
    assert_eq!(run(&Trained::Leaves(names.clone())), names.into_iter().collect());
}

#[test]
fn adapters_with_dropout_are_refused() {
    let mut real = Real::new(DType::F32);
    let full = real.llama.params.clone();
    let config = LoraConfig { dropout: 0.1, ..LoraConfig::for_layers(["q_proj"]) };
    let key = Key::from_seed(1);
    let refused = Trained::Lora(config).split(&mut real.llama.model, full, key, &Device::Cpu);
    assert!(matches!(refused, Err(unlearn::Error::OutOfRange { got: 0.1, .. })), "{refused:?}");
}
