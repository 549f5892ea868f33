//! What is promised of small networks holds on a published model with published rows: stories260k, TOFU and LUME.

mod accumulation;
mod invariance;
mod parts;
mod rows;
mod scores;
mod steps;

use std::path::PathBuf;

use candle_core::{DType, Device};
use tape_nn::load::{Pretrained, Tokenizer, llama};
use tensor_tree::Tree;
use unlearn::batch::{Batch, Item};
use unlearn::loss::{Loss, Objective, Pass, Reference};
use unlearn::method::Method;
use unlearn::prepare::Preparing;
use unlearn::row::{Join, Row};
use unlearn::run::{Checks, Optimizer, Run, Settings, State};
use unlearn::text::{Encoder, OverLong};

pub(crate) const MODEL: &str = "stories260k";

pub(crate) fn fixture(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/data")).join(path)
}

/// All rows of a file.
pub(crate) fn all_rows(path: &str) -> Vec<Row> {
    unlearn::data::rows(&fixture(path)).unwrap().rows
}

/// The rows of a file with the shortest texts.
pub(crate) fn shortest(path: &str, n: usize) -> Vec<Row> {
    let mut rows = all_rows(path);
    rows.sort_by_key(|row| row.input.len() + row.output.len());
    rows.truncate(n);
    rows
}

/// The published model.
pub(crate) struct Real {
    pub(crate) llama: Pretrained,
    pub(crate) tokenizer: Tokenizer,
    pub(crate) frozen: Tree,
}

impl Real {
    pub(crate) fn new(dtype: DType) -> Real {
        let path = fixture(MODEL);
        let llama = llama(&path, dtype, &Device::Cpu).unwrap();
        Real { llama, tokenizer: Tokenizer::read(&path).unwrap(), frozen: Tree::new() }
    }

    pub(crate) fn encoder(&self) -> Encoder<'_> {
        Encoder {
            tokenizer: &self.tokenizer,
            end: self.tokenizer.id("</s>"),
            most: self.llama.config.max_position_embeddings + 1,
            over_long: OverLong::Refuse,
        }
    }

    /// Items with the refusals of TOFU.
    pub(crate) fn items(&self, rows: &[Row]) -> Vec<Item> {
        let refusals = unlearn::data::refusals(&fixture("tofu/idontknow.txt")).unwrap();
        let preparing =
            Preparing { refusals: &refusals, ..Preparing::new(self.encoder(), Join::Space) };
        preparing.items(rows).unwrap().items
    }

    /// What a loss needs, as the published parameters say it.
    pub(crate) fn fill(&self, items: &mut [Item], loss: Loss) {
        let reference = Reference {
            model: &self.llama.model,
            params: &self.llama.params,
            frozen: &self.frozen,
            device: &Device::Cpu,
            batch: 8,
            most_bytes: 1 << 28,
        };
        reference.fill(items, loss).unwrap();
    }

    pub(crate) fn gradient(&self, params: &Tree, items: &[Item], loss: Loss, size: usize) -> Pass {
        let objective = Objective { model: &self.llama.model, frozen: &self.frozen, loss };
        objective.gradient(params, &cut(items, size)).unwrap()
    }

    /// A run of the whole model.
    pub(crate) fn run<'a>(
        &'a self,
        (forget, retain): (&'a [Item], &'a [Item]),
        settings: Settings,
    ) -> Run<'a, tape_nn::net::Llama> {
        let checks = Checks { forget: cut(forget, 8), retain: cut(retain, 8) };
        let model = (&self.llama.model, &self.frozen);
        Run::new(model, (forget, retain), checks, settings, &Device::Cpu).unwrap()
    }
}

/// Few rows a step.
pub(crate) fn settings(name: &str, optimizer: Optimizer, rate: f64, steps: u64) -> Settings {
    let method = Method::named(name).unwrap();
    Settings {
        optimizer,
        batch: 4,
        micro_batch: 4,
        check_every: steps,
        ..Settings::new(method, rate, steps)
    }
}

pub(crate) fn to_end(run: &Run<'_, tape_nn::net::Llama>, params: &Tree) -> State {
    let mut state = run.init(params.clone()).unwrap();
    while run.advance(&mut state).unwrap().is_none() {}
    state
}

pub(crate) fn cut(items: &[Item], size: usize) -> Vec<Batch> {
    items.chunks(size).map(|c| Batch::new(c.to_vec(), &Device::Cpu).unwrap()).collect()
}

/// The norm of the difference over that of `b`.
pub(crate) fn distance(a: &Tree, b: &Tree) -> f64 {
    a.add_scaled(-1.0, b).unwrap().norm().unwrap() / b.norm().unwrap()
}
