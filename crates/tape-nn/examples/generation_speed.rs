//! Times greedy generation for one prompt and for several at once.
//!
//! Run with `RAYON_NUM_THREADS=1 CANDLE_NUM_THREADS=1 cargo run --release -p tape-nn --example generation_speed [MODEL] [NEW]`.
//! Prints tokens per second of wall time, the best of three runs, for each number of prompts at once, and whether the tokens are
//! those of one prompt at a time. MODEL is a folder or file of weights (by default that of the fixtures), or a `config.json` of Llama's,
//! for which weights are drawn; NEW is how many tokens each text gets (128).

#![allow(clippy::print_stdout, reason = "an example prints")]

use std::path::PathBuf;
use std::time::Instant;

use candle_core::{DType, Device};
use tape_nn::Builder;
use tape_nn::generate::{Prompts, Settings, generate_batch};
use tape_nn::load::llama;
use tape_nn::net::{Llama, LlamaConfig};
use tensor_tree::{Key, Tree};

const PROMPTS: usize = 32;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    tensor_tree::keep_freed_memory();
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/data/stories260k");
    let mut args = std::env::args().skip(1);
    let folder = args.next().map_or_else(|| PathBuf::from(own), PathBuf::from);
    let new: usize = args.next().map_or(Ok(128), |a| a.parse())?;
    let (model, params) = if folder.extension().is_some_and(|ending| ending == "json") {
        let config = LlamaConfig::from_json(&std::fs::read_to_string(folder)?)?;
        let builder = Builder::init(Key::from_seed(1), DType::F32, &Device::Cpu);
        (Llama::new(&config, builder.vb())?, builder.into_tree()?)
    } else {
        let llama = llama(folder, DType::F32, &Device::Cpu)?;
        (llama.model, llama.params)
    };
    // Prompts of one to sixteen tokens, which need not mean anything.
    let token = |i: usize, at: usize| u32::try_from((7 * i + 31 * at + i * at) % 500);
    let prompts = (0..PROMPTS).map(|i| (0..=i % 16).map(|at| token(i, at)).collect());
    let prompts: Vec<Vec<u32>> = prompts.collect::<Result<_, _>>()?;
    let settings = Settings::greedy(new, &[]);
    let (none, key) = (Tree::new(), Key::from_seed(1));
    let mut first: Option<Vec<Vec<u32>>> = None;
    for batch in [1, 4, 16, 32] {
        let mut best = f64::INFINITY;
        let mut texts = Vec::new();
        for _ in 0..3 {
            let start = Instant::now();
            let prompts = Prompts::new(&prompts, batch);
            texts = generate_batch(&model, &params, &none, prompts, &settings, key)?;
            best = best.min(start.elapsed().as_secs_f64());
        }
        let n_tokens: usize = texts.iter().map(Vec::len).sum();
        let first = first.get_or_insert_with(|| texts.clone());
        let same = texts.iter().zip(first.iter()).filter(|(a, b)| a == b).count();
        let rate = n_tokens as f64 / best;
        println!(
            "{batch:2} at once: {rate:7.0} tokens a second, {same} of {PROMPTS} texts the same"
        );
    }
    Ok(())
}
