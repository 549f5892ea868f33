//! Times single fits on simulated designs: AR(0.5) features, signal-to-noise ratio 3.
//!
//! `RAYON_NUM_THREADS=1 cargo run --release -p slope2 --example speed [wide|tall|mid]... [fista]`

#![allow(clippy::print_stdout, clippy::cast_possible_truncation, reason = "an example prints")]

use chacha20::ChaCha20Rng;
use rand::{Rng, RngExt, SeedableRng};
use slope2::{
    ClusterDescent, Datafit, Design, Fista, Gaussian, LossScale, Problem, Result, Solver, SortedL1,
    Start, TwoLevel, ZoneDescent, sequence,
};
use std::time::Instant;

/// Two normals by Box and Muller.
fn normal(rng: &mut impl Rng) -> f64 {
    let (u, v): (f64, f64) = (rng.random(), rng.random());
    (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

fn data(n: usize, p: usize, rho: f64, seed: u64) -> (Vec<f64>, Vec<f64>) {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let mut x = vec![0.0; n * p];
    for i in 0..n {
        let mut last = normal(&mut rng);
        for j in 0..p {
            if 0 < j {
                last = rho * last + (1.0 - rho * rho).sqrt() * normal(&mut rng);
            }
            x[j * n + i] = last;
        }
    }
    let mut y = vec![0.0; n];
    for s in 0..20 {
        let j = s * p / 20;
        let sign = if s % 2 == 0 { 1.0 } else { -1.0 };
        (0..n).for_each(|i| y[i] += sign * x[j * n + i]);
    }
    let norm = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>().sqrt();
    let noise: Vec<f64> = (0..n).map(|_| normal(&mut rng)).collect();
    let scale = norm(&y) / (3.0 * norm(&noise));
    y.iter_mut().zip(&noise).for_each(|(y, e)| *y += scale * e);
    (x, y)
}

/// Prints the median time of three fits.
fn time<P>(name: &str, problem: &Problem<'_, P>, solver: &impl Solver<P>) -> Result<()> {
    let mut times = Vec::new();
    let mut last = None;
    for _ in 0..3 {
        let start = Instant::now();
        last = Some(solver.solve(problem, &Start::default())?);
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    if let Some(solution) = last {
        let mut sizes: Vec<f64> = solution.coefficients.iter().map(|b| b.abs()).collect();
        sizes.retain(|size| *size != 0.0);
        let n_nonzero = sizes.len();
        sizes.sort_by(f64::total_cmp);
        sizes.dedup();
        println!(
            "{name}: {:.4} s, gap {:.1e}, {} steps, {n_nonzero} nonzero, {} magnitudes, {:?}",
            times[1],
            solution.certificate.relative_gap(),
            solution.report.n_iters,
            sizes.len(),
            solution.report.termination,
        );
    }
    Ok(())
}

fn main() -> Result<()> {
    let only: Vec<String> = std::env::args().skip(1).collect();
    let wants = |what: &str| only.is_empty() || only.iter().any(|o| o == what);
    for (name, n, p, s) in
        [("wide", 200, 20_000, 0.02), ("tall", 20_000, 200, 0.2), ("mid", 500, 2_000, 0.02)]
    {
        if !wants(name) {
            continue;
        }
        let (x, y) = data(n, p, 0.5, 1);
        let design = Design::from_columns(x.as_slice(), n, p)?;
        let datafit = Datafit::new(&Gaussian, &y, LossScale::Mean)?;
        let two = TwoLevel::with_share(1.0, 0.5, s, p)?;
        for (what, unit) in [("two levels", two), ("lasso", TwoLevel::new(1.0, 1.0, p, p)?)] {
            for part in [2.0, 10.0, 50.0] {
                let mut problem =
                    Problem { design: &design, datafit, penalty: unit, intercept: false };
                problem.penalty = unit.scaled(problem.alpha_max() / part)?;
                let solver = ZoneDescent { tolerance: 1e-6, ..ZoneDescent::default() };
                time(&format!("{name} {what} /{part}"), &problem, &solver)?;
            }
        }
        for (what, shape) in [
            ("two levels", two.sequence()),
            ("bh .1", sequence::benjamini_hochberg(0.1, p)?),
            ("gaussian .1", sequence::gaussian(0.1, p, n)?),
            ("oscar", sequence::oscar(1.0, 1.0 / p as f64, p)?),
        ] {
            for part in [2.0, 10.0, 50.0] {
                let penalty = SortedL1::new(shape.clone())?;
                let mut problem = Problem { design: &design, datafit, penalty, intercept: false };
                problem.penalty = problem.penalty.scaled(problem.alpha_max() / part)?;
                let solver = ClusterDescent { tolerance: 1e-6, ..ClusterDescent::default() };
                time(&format!("{name} {what} by clusters /{part}"), &problem, &solver)?;
                if only.iter().any(|o| o == "fista") {
                    let solver = Fista { tolerance: 1e-6, ..Fista::default() };
                    time(&format!("{name} {what} by fista /{part}"), &problem, &solver)?;
                }
            }
        }
    }
    Ok(())
}
