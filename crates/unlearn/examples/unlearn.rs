//! Unlearning from beginning to end: a made world, a small network that learns all of it, one that never sees what is to be forgotten, and
//! NGDiff, which is to make one of the other. Then an exam of all three.
//!
//! `cargo run --release -p unlearn --example unlearn`: under a minute on one core.

#![allow(clippy::print_stdout, reason = "an example prints")]

use candle_core::{DType, Device};
use tape_nn::Builder;
use tape_nn::load::Tokenizer;
use tape_nn::net::{Gpt, GptConfig};
use tensor_tree::{AdamW, Key, Schedule, Sgd, Tree};
use unlearn::auto_rate::gen_smoothed;
use unlearn::batch::{Batch, Item};
use unlearn::exam::{Exam, Findings, Subject};
use unlearn::feed::Anchor;
use unlearn::made::{PerTask, Settings as Made, World};
use unlearn::method::Method;
use unlearn::prepare::Preparing;
use unlearn::row::{Join, Row};
use unlearn::run::{Ceiling, Checks, Keep, Optimizer, Outcome, Rate, Run, Settings, Stop};
use unlearn::score::semeval::Gate;
use unlearn::text::{Encoder, OverLong};
use unlearn::{Error, Result};

/// Most tokens that the network reads.
const POSITIONS: usize = 192;

fn main() -> Result<()> {
    // What is to be forgotten, what is kept, and documents of the same kind that nobody ever learns.
    let documents = PerTask { stories: 1, biographies: 2, public: 3 };
    let world = World::new(Made { documents, holdout: documents, ..Made::default() })?;
    let texts = |rows: &[Row]| -> Vec<String> {
        rows.iter().map(|row| Join::Space.text(&row.input, &row.output)).collect()
    };
    let all = [world.forget.clone(), world.retain.clone()].concat();
    let tokenizer = Tokenizer::train(texts(&all).iter().map(String::as_str), 512)?;

    // A network of random weights.
    let builder = Builder::init(Key::from_seed(1), DType::F32, &Device::Cpu);
    let config =
        GptConfig { tied: true, ..GptConfig::new(tokenizer.n_tokens(), POSITIONS, 48, 2, 4) };
    let model = Gpt::new(&config, builder.vb())?;
    let student = Student { model, tokenizer, first: builder.into_tree()?, frozen: Tree::new() };

    // The target learns everything, gold the same without the forget set.
    println!("{} rows to forget, {} to keep", world.forget.len(), world.retain.len());
    let target = student.taught(&all)?;
    let gold = student.taught(&world.retain)?;

    // NGDiff by plain descent, at a rate that follows the curvature of what is kept. It ends where the forget loss is that of gold.
    let outcome = student.unlearned(&target, &gold, &world)?;
    println!("after unlearning: {:?}", outcome.check);

    // The exam.
    let mut exam = Exam::new(world.forget, world.retain)?;
    exam.holdout = world.holdout;
    exam.questions = world.questions;
    exam.max_new = 48;
    let sit =
        |params: &Tree| exam.sit(&student.subject(params), Key::from_seed(0), &mut |_, _, _| true);
    let (target, unlearned, gold) = (sit(&target)?, sit(&outcome.params)?, sit(&gold)?);
    println!("\n{}\n", unlearned.semeval(Gate::OfTarget(target.accuracy))?);
    table(&[("target", &target), ("NGDiff", &unlearned), ("gold", &gold)], &gold)
}

struct Student {
    model: Gpt,
    tokenizer: Tokenizer,
    first: Tree,
    frozen: Tree,
}

impl Student {
    fn items(&self, rows: &[Row]) -> Result<Vec<Item>> {
        let encoder = Encoder {
            tokenizer: &self.tokenizer,
            end: self.tokenizer.id("</s>"),
            most: POSITIONS + 1,
            over_long: OverLong::Refuse,
        };
        Ok(Preparing::new(encoder, Join::Space).items(rows)?.items)
    }

    /// Ordinary training is a run of the method `retain`, which takes no notice of what is to be forgotten.
    fn taught(&self, rows: &[Row]) -> Result<Tree> {
        let items = self.items(rows)?;
        let steps = 180;
        let settings = Settings {
            optimizer: Optimizer::AdamW(AdamW::default()),
            rate: Rate::Fixed {
                rate: 0.005,
                schedule: Schedule::Linear { warmup: 10, total: steps, floor: 0.1 },
            },
            batch: 12,
            micro_batch: 12,
            anchor: Anchor::Retain,
            stop: Stop { forget_ceiling: Ceiling::None, ..Stop::after(steps) },
            check_every: steps,
            ..Settings::new(Method::named("retain")?, 0.005, steps)
        };
        let outcome = self.run(&self.first, (&items, &items), settings)?;
        println!("taught {} rows in {steps} steps: loss {:.3}", rows.len(), outcome.check.retain);
        Ok(outcome.params)
    }

    fn unlearned(&self, target: &Tree, gold: &Tree, world: &World) -> Result<Outcome> {
        let (forget, retain) = (self.items(&world.forget)?, self.items(&world.retain)?);
        let of_gold = self.subject(gold).set(
            "forget",
            &world.forget,
            None,
            Key::from_seed(0),
            &mut |_| true,
        )?;
        let steps = 90;
        let settings = Settings {
            optimizer: Optimizer::Sgd(Sgd::default()),
            rate: Rate::Auto(gen_smoothed(0.02)),
            batch: 12,
            micro_batch: 12,
            stop: Stop { forget_ceiling: Ceiling::Nats(of_gold.loss()), ..Stop::after(steps) },
            check_every: 10,
            keep: Keep::Best,
            ..Settings::new(Method::named("ngdiff")?, 0.02, steps)
        };
        self.run(target, (&forget, &retain), settings)
    }

    fn run(
        &self,
        start: &Tree,
        (forget, retain): (&[Item], &[Item]),
        settings: Settings,
    ) -> Result<Outcome> {
        let passes = |items: &[Item]| -> Result<Vec<Batch>> {
            items.chunks(16).map(|items| Batch::new(items.to_vec(), &Device::Cpu)).collect()
        };
        let checks = Checks { forget: passes(forget)?, retain: passes(retain)? };
        let model = (&self.model, &self.frozen);
        let run = Run::new(model, (forget, retain), checks, settings, &Device::Cpu)?;
        let mut state = run.init(start.clone())?;
        // One step after the other: whoever calls may save the state, look at the clock, or stop.
        while run.advance(&mut state)?.is_none() {}
        run.outcome(&mut state)
    }

    fn subject<'a>(&'a self, params: &'a Tree) -> Subject<'a, Gpt> {
        Subject {
            model: &self.model,
            trainable: params,
            frozen: &self.frozen,
            tokenizer: &self.tokenizer,
            join: Join::Space,
            end: self.tokenizer.id("</s>"),
            stops: &[],
            device: &Device::Cpu,
            batch: 16,
        }
    }
}

/// Every number of each model, and how far it is from gold.
fn table(models: &[(&str, &Findings)], gold: &Findings) -> Result<()> {
    let cells = |of: &mut dyn FnMut(&Findings) -> Result<f64>| -> Result<String> {
        let cells: Result<Vec<String>> =
            models.iter().map(|(_, findings)| Ok(format!("{:>9.4}", of(findings)?))).collect();
        Ok(cells?.join(" | "))
    };
    let heads: Vec<String> = models.iter().map(|(name, _)| format!("{name:>9}")).collect();
    println!("| {:<24} | {} |", "", heads.join(" | "));
    println!("| {:-<24} | {} |", "", vec!["---------"; models.len()].join(" | "));
    for (i, distance) in gold.distances(gold)?.iter().enumerate() {
        let of = &mut |findings: &Findings| -> Result<f64> {
            let all = findings.distances(gold)?;
            Ok(all.get(i).ok_or(Error::Empty { what: "number" })?.value)
        };
        println!("| {:<24} | {} |", distance.name, cells(of)?);
    }
    println!("| {:<24} | {} |", "mean distance to gold", cells(&mut |f| f.distance(gold))?);
    Ok(())
}
