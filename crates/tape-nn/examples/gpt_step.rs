//! Times the parts of a training step of a small GPT, with ordinary and with per-sample gradients.
//!
//! Run with `RAYON_NUM_THREADS=1 CANDLE_NUM_THREADS=1 cargo run --release -p tape-nn --example gpt_step`.
//! Times are processor time of the main thread, in milliseconds: medians over steps that alternate between
//! both kinds. An argument sets the number of steps (15), a second the kind (`private` or `plain`).

#![allow(clippy::print_stdout, reason = "an example prints")]

use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use tape_nn::net::{Gpt, GptConfig, NextToken, Texts};
use tape_nn::{Builder, Context, Tape, TapeLoss};
use tensor_tree::{Groups, Key, PerSample, Tree};

const BATCH: usize = 16;
const LENGTH: usize = 128;
const VOCAB: usize = 8192;

type Error = Box<dyn std::error::Error>;

/// Processor time of this thread, or wall time where the system does not tell.
fn now_ms(start: Instant) -> f64 {
    let spent = std::fs::read_to_string("/proc/self/schedstat");
    let spent = spent.ok().and_then(|s| s.split(' ').next()?.parse::<f64>().ok());
    spent.map_or_else(|| start.elapsed().as_secs_f64() * 1e3, |ns| ns / 1e6)
}

struct Setup {
    objective: NextToken<Gpt>,
    params: Tree,
    texts: Texts,
    start: Instant,
}

impl Setup {
    fn new() -> Result<Setup, Error> {
        let builder = Builder::init(Key::from_seed(1), DType::F32, &Device::Cpu);
        let config = GptConfig::new(VOCAB, LENGTH, 256, 4, 8);
        let model = Gpt::new(&config, builder.vb())?;
        let params = builder.into_tree()?;
        let mut ids = vec![0f64; BATCH * (LENGTH + 1)];
        Key::from_seed(2).fill_uniform(&mut ids);
        let ids = Tensor::from_vec(ids, (BATCH, LENGTH + 1), &Device::Cpu)?;
        let texts = Texts::from_windows(&(ids * VOCAB as f64)?.to_dtype(DType::U32)?)?;
        let objective = NextToken { model, frozen: Tree::new() };
        Ok(Setup { objective, params, texts, start: Instant::now() })
    }

    /// Loss in the graph, summed over texts of each text's mean.
    fn forward(&self, tape: &Tape) -> Result<Tensor, Error> {
        let cx = Context::recording(&self.params, &self.objective.frozen, tape);
        let losses = self.objective.losses(&cx, &self.texts)?;
        Ok((losses.sum / losses.weight)?.sum_all()?)
    }

    /// Forward, backward with sums.
    fn plain(&self) -> Result<Vec<f64>, Error> {
        let tape = Tape::summing(&Device::Cpu)?;
        let mut at = vec![now_ms(self.start)];
        let loss = self.forward(&tape)?;
        at.push(now_ms(self.start));
        loss.backward()?;
        drop(loss);
        let sum = tape.into_sum(&self.params)?;
        at.push(now_ms(self.start));
        drop(sum);
        Ok(at)
    }

    /// Forward, backward, norms, weighted sums.
    fn private(&self) -> Result<Vec<f64>, Error> {
        let tape = Tape::recording(&Device::Cpu)?;
        let groups = Groups::one(&self.params);
        let mut at = vec![now_ms(self.start)];
        let loss = self.forward(&tape)?;
        at.push(now_ms(self.start));
        loss.backward()?;
        drop(loss);
        at.push(now_ms(self.start));
        let grads = tape.into_grads(&self.params, BATCH)?;
        let norms = grads.squared_norms(&groups)?;
        at.push(now_ms(self.start));
        let clip = |n: &f64| (1.0 / n.sqrt()).min(1.0);
        let factors: Vec<Vec<f64>> = norms.iter().map(|g| g.iter().map(clip).collect()).collect();
        let sum = grads.weighted_sum(&groups, &factors)?;
        at.push(now_ms(self.start));
        drop(sum);
        Ok(at)
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Medians of each part and of the total; the least total.
fn report(what: &str, parts: &[&str], steps: &[Vec<f64>]) -> f64 {
    let mut line = format!("{what:8}");
    for (i, part) in parts.iter().enumerate() {
        let value = median(steps.iter().map(|at| at[i + 1] - at[i]).collect());
        line += &format!("  {part} {value:.0}");
    }
    let totals: Vec<f64> = steps.iter().map(|at| at[at.len() - 1] - at[0]).collect();
    let least = totals.iter().copied().fold(f64::INFINITY, f64::min);
    let total = median(totals);
    println!("{line}  total {total:.0}  least {least:.0}");
    total
}

fn main() -> Result<(), Error> {
    tensor_tree::keep_freed_memory();
    let mut args = std::env::args().skip(1);
    let n_steps: usize = args.next().map_or(Ok(15), |a| a.parse())?;
    let only = args.next();
    let wants = |kind: &str| only.as_deref().is_none_or(|o| o == kind);
    let setup = Setup::new()?;
    let (mut plain, mut private) = (Vec::new(), Vec::new());
    for step in 0..n_steps + 2 {
        for (kind, which) in ["plain", "private"].into_iter().enumerate() {
            if !wants(which) {
                continue;
            }
            let at = if kind == 0 { setup.plain()? } else { setup.private()? };
            if 2 <= step {
                if kind == 0 { &mut plain } else { &mut private }.push(at);
            }
        }
    }
    let a = report("plain", &["forward", "backward+sums"], &plain);
    let b = report("private", &["forward", "backward", "norms", "sums"], &private);
    println!("private / plain {:.3}", b / a);
    Ok(())
}
