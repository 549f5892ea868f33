//! What directions cost: steps of NGDiff and BLUR over those of a gradient difference with the same two gradients.

use candle_core::{DType, Device};
use cpu_time::ThreadTime;
use report::figures::Better;
use report::html::Section;
use report::number::significant;
use report::table::{Align, Table};
use tape_nn::Builder;
use tape_nn::net::{Gpt, GptConfig};
use tensor_tree::{Key, Tree};
use unlearn::batch::Item;
use unlearn::direction::Direction;
use unlearn::method::{Method, Recipe};
use unlearn::run::{Ceiling, Checks, Run, Settings, Stop};
use unlearn::text::Sample;

use super::TASK;
use crate::error::{Error, Result};
use crate::session::{Session, Spread};
use crate::task::claim::{Asks, Check, Claim};

const ROUNDS: usize = 61;
const ROWS: u32 = 16;
const TOKENS: u32 = 64;
const VOCAB: u32 = 512;
const ALLOWED: f64 = 1.05;

/// Directions of the same two gradients.
const DIRECTIONS: [(&str, &str, Direction); 5] = [
    ("gdiff", "gradient difference", Direction::Weighted { retain: 0.5 }),
    ("ngdiff", "NGDiff", Direction::NgDiff),
    ("blur", "BLUR", Direction::Blur { gamma: 1.0 }),
    ("pcgrad", "PCGrad", Direction::PcGrad),
    ("mgda", "MGDA", Direction::Mgda),
];

fn rows(set: u32) -> Result<Vec<Item>> {
    let row = |i: u32| {
        let tokens = (0..TOKENS).map(|t| (set + 31 * i + 17 * t * (i + 1)) % VOCAB).collect();
        Ok(Item::from(Sample::new(tokens, 8)?))
    };
    (0..ROWS).map(row).collect()
}

pub(super) fn run(session: &Session) -> Result<Section> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let pool = pool.map_err(|e| Error::Worker { reason: e.to_string() })?;
    let builder = Builder::init(Key::from_seed(1), DType::F32, &Device::Cpu);
    let config =
        GptConfig { tied: true, ..GptConfig::new(VOCAB as usize, TOKENS as usize, 192, 4, 4) };
    let model = Gpt::new(&config, builder.vb())?;
    let (params, frozen) = (builder.into_tree()?, Tree::new());
    let (forget, retain) = (rows(0)?, rows(1)?);
    let mut running = Vec::new();
    for (key, _, direction) in DIRECTIONS {
        let method = Method { recipe: Recipe::Fixed(direction), ..Method::named("gdiff")? };
        let settings = Settings {
            batch: ROWS as usize,
            micro_batch: ROWS as usize,
            check_every: u64::MAX,
            // The rows are nonsense, above the loss of a random guess.
            stop: Stop { forget_ceiling: Ceiling::None, ..Stop::after(u64::MAX) },
            ..Settings::new(method, 1e-5, 1)
        };
        let checks = Checks::new((&forget[..1], &retain[..1]), 1, &Device::Cpu)?;
        let sets = (&forget[..], &retain[..]);
        let run = Run::new((&model, &frozen), sets, checks, settings, &Device::Cpu)?;
        let state = run.init(params.clone())?;
        running.push((key, run, state, Vec::new()));
    }
    let task = session.progress.task(format!("{TASK}: time of steps"), ROUNDS as u64);
    pool.install(|| -> Result<()> {
        for round in 0..=ROUNDS {
            // Each has each place in turn.
            running.rotate_left(1);
            for (_, run, state, seconds) in &mut running {
                if session.interrupt.is_set() {
                    return Err(Error::Interrupted);
                }
                let started = ThreadTime::now();
                if run.advance(state)?.is_some() {
                    return Err(Error::TooFewRuns);
                }
                // The first one fills moments.
                if 0 < round {
                    seconds.push(started.elapsed().as_secs_f64());
                }
            }
            task.advance(u64::from(0 < round));
        }
        Ok(())
    })?;
    task.finish();
    let of = |key: &str| {
        let found = running.iter().find(|(other, ..)| *other == key);
        found.map_or(f64::NAN, |(.., seconds)| median(seconds))
    };
    let medians = DIRECTIONS.map(|(key, ..)| of(key));
    let mut table = Table::new(["step", "cpu ms", "over a gradient difference"]);
    for column in 1..3 {
        table = table.align(column, Align::Right);
    }
    let mut checks = Vec::new();
    for ((key, name, _), seconds) in DIRECTIONS.iter().zip(&medians) {
        let ratio = seconds / medians[0];
        table.push_row([(*name).to_owned(), significant(1e3 * seconds, 4), significant(ratio, 4)]);
        let spread =
            Spread { better: Better::Lower, std: None, n_seeds: 1, config: "default".into() };
        session.figure(TASK, &format!("cost-{key}-over-gdiff"), ratio, "times", spread)?;
        if ["ngdiff", "blur"].contains(key) {
            checks.push(Check {
                what: format!("{name}: time of a step over that of a gradient difference"),
                asks: Asks::AtMost(ALLOWED),
                values: vec![ratio],
            });
        }
    }
    let claim = Claim {
        published: "Ours: a direction costs next to nothing beside the two gradients that it is made of",
        miniature: format!(
            "whole steps with AdamW of a GPT with {} parameters on {ROWS} rows of {TOKENS} tokens of each set, one thread, medians of {ROUNDS} steps in turn",
            report::number::count(params.n_elements() as u64)
        ),
        command: "cargo xtask bench unlearn --only cost",
        seeds: "none: timings".into(),
        checks,
    };
    Ok(Section::new("Time of a step").table(&table).section(claim.section()))
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
