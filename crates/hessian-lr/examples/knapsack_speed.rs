//! Times the choice of groups: fronts of groups shaped like a language model of 135 million parameters, whole and split,
//! and certified sets of ten thousand random groups. Wall time.
//!
//! `cargo run --release -p hessian-lr --no-default-features --example knapsack_speed`

#![allow(clippy::print_stdout, reason = "an example prints")]

use std::time::Instant;

use hessian_lr::Result;
use hessian_lr::select::{BranchAndBound, Knapsack};

/// Splitmix: good enough for values.
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in `(0, 1)`.
    fn unit(&mut self) -> f64 {
        ((self.bits() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        let (u, v) = (self.unit(), self.unit());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }
}

/// Numbers of parameters: 30 layers, the embedding, the last norm.
fn whole() -> Vec<u64> {
    let layer = [331_776, 110_592, 110_592, 331_776, 884_736, 884_736, 884_736, 576, 576];
    let mut weights: Vec<u64> = layer.into_iter().cycle().take(30 * layer.len()).collect();
    weights.extend([28_311_552, 576]);
    weights
}

/// Each matrix of queries and outputs by head, each of the rest and the embedding in the given number of blocks.
fn split(attention: u64, feed_forward: u64, embedding: u64) -> Vec<u64> {
    let blocks = |weight: u64| match weight {
        331_776 => attention,
        884_736 => feed_forward,
        28_311_552 => embedding,
        _ => 1,
    };
    let part = |weight: u64| (0..blocks(weight)).map(move |_| weight / blocks(weight));
    whole().into_iter().flat_map(part).collect()
}

/// The same total, cut at places that share no divisor.
fn ragged(random: &mut Random) -> Vec<u64> {
    let cut = |weight: u64| {
        let first = (weight as f64 * (0.3 + 0.4 * random.unit())).round();
        #[allow(clippy::cast_possible_truncation, reason = "a part of a u64")]
        let first = first as u64;
        [first, weight - first]
    };
    whole().into_iter().flat_map(cut).collect()
}

fn main() -> Result<()> {
    let mut random = Random(1);
    let shapes = [
        ("whole", whole()),
        ("feed-forward in two, embedding in 135", split(1, 2, 135)),
        ("attention in three, embedding in 8", split(3, 2, 8)),
        ("attention in nine", split(9, 1, 1)),
        ("cut at random", ragged(&mut random)),
    ];
    println!(
        "| model | values | groups | front | ms | best within 1 %, ms | nodes of search, ms |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for (name, weights) in &shapes {
        // Values independent of the size, by size, and by the square root of the size.
        for power in [0.0, 0.5, 1.0] {
            let value = |w: &u64| (*w as f64).powf(power) * (1.5 * random.normal()).exp();
            let values: Vec<f64> = weights.iter().map(value).collect();
            model(name, power, &Knapsack::new(&values, weights)?)?;
        }
    }
    println!("\n| random groups | values | gap asked | gap | nodes | ms | exact, ms |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for (name, power, noise) in
        [("independent", 0.0, 1.5), ("by size", 1.0, 0.3), ("nearly by size", 1.0, 0.001)]
    {
        #[allow(clippy::cast_possible_truncation, reason = "sizes of groups")]
        let weights: Vec<u64> =
            (0..10_000).map(|_| (1e5 * (1.5 * random.normal()).exp()) as u64 + 1).collect();
        let value = |w: &u64| (*w as f64).powf(power) * (noise * random.normal()).exp();
        let values: Vec<f64> = weights.iter().map(value).collect();
        many(name, &Knapsack::new(&values, &weights)?)?;
    }
    Ok(())
}

fn model(name: &str, power: f64, knapsack: &Knapsack) -> Result<()> {
    let budget = knapsack.total_weight() / 100;
    let start = Instant::now();
    let front = knapsack.pareto_front().map(|front| front.n_points().to_string());
    let front_ms = ms(start);
    let start = Instant::now();
    let best = knapsack.solve_exact(budget)?;
    let best_ms = ms(start);
    let start = Instant::now();
    let found = knapsack.branch_and_bound(budget, &BranchAndBound::default())?;
    let search = format!("{} ({:.1e}), {:.1}", found.n_nodes, found.relative_gap(), ms(start));
    debug_assert!(best.value <= found.bound * (1.0 + 1e-9));
    println!(
        "| {name} | size^{power} | {} | {} | {front_ms:.0} | {best_ms:.1} | {search} |",
        knapsack.n_items(),
        front.unwrap_or_else(|_| "over the limit".into()),
    );
    Ok(())
}

fn many(name: &str, knapsack: &Knapsack) -> Result<()> {
    for divisor in [1000, 100, 2] {
        let budget = knapsack.total_weight() / divisor;
        for relative_gap in [1e-3, 0.0] {
            let settings = BranchAndBound { relative_gap, max_nodes: 10_000_000 };
            let start = Instant::now();
            let found = knapsack.branch_and_bound(budget, &settings)?;
            let search_ms = ms(start);
            let start = Instant::now();
            let exact = match knapsack.solve_exact(budget) {
                Ok(_) => format!("{:.1}", ms(start)),
                Err(_) => format!("over the limit after {:.1}", ms(start)),
            };
            println!(
                "| {name}, 1/{divisor} | {:.4e} | {relative_gap} | {:.1e} | {} | {search_ms:.1} | {exact} |",
                found.best.value,
                found.relative_gap(),
                found.n_nodes,
            );
        }
    }
    Ok(())
}

fn ms(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}
