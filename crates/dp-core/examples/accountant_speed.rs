//! Times queries of the accountants over four usual settings: milliseconds of CPU time a query, warm, the median of
//! many, and the width that the bracket reached.
//!
//! `cargo run --release -p dp-core --no-default-features --example accountant_speed`

#![allow(clippy::print_stdout, reason = "an example prints")]

use std::time::Instant;

use dp_core::{Accountant, Delta, DpEvent, PldAccountant, RdpAccountant, Result};

const SETTINGS: [(f64, f64, u64, f64); 4] = [
    (0.01, 1.0, 1000, 1e-5),
    (0.004_266_7, 1.1, 14_063, 1e-5),
    (0.1, 5.0, 1000, 1e-6),
    (0.001, 0.7, 100_000, 1e-7),
];

/// The median milliseconds of a query, over half a second.
fn timed(query: impl Fn() -> Result<()>) -> Result<f64> {
    query()?;
    let begin = Instant::now();
    let mut times = Vec::new();
    while begin.elapsed().as_secs_f64() < 0.5 || times.len() < 5 {
        let start = Instant::now();
        query()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

fn main() -> Result<()> {
    println!(
        "q, noise, steps, delta | Renyi ms | bracket of .01: ms, width | of .001 + .2%: ms, width, ends"
    );
    let usual = PldAccountant::new();
    let coarse = PldAccountant::with_tolerance(0.01, 0.0)?;
    for (q, noise, steps, delta) in SETTINGS {
        let event = DpEvent::gaussian(noise)?.sampled(q)?.repeated(steps);
        let delta = Delta::new(delta)?;
        let renyi = timed(|| RdpAccountant::new().epsilon(&event, delta).map(drop))?;
        print!("{q}, {noise}, {steps}, {delta} | {renyi:.4}");
        for accountant in [coarse, usual] {
            let time = timed(|| accountant.epsilon(&event, delta).map(drop))?;
            let found = accountant.optimize(&event, delta)?;
            print!(
                " | {time:.3}, {:.5}, {:.5} to {:.5}",
                found.upper - found.lower,
                found.lower,
                found.upper
            );
            if std::env::var_os("DETAILS").is_some() {
                print!(" {:?}", found.method);
            }
        }
        println!();
    }
    Ok(())
}
