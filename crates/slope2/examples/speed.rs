//! Times fits, paths and grids on simulated designs: AR(0.5) features, signal-to-noise ratio 3, relative gap 1e-6; CPU time.
//!
//! `RAYON_NUM_THREADS=1 cargo run --release -p slope2 --example speed [wide|tall|mid|sparse]... [clusters] [fista]`

#![allow(clippy::print_stdout, clippy::cast_possible_truncation, reason = "an example prints")]

use chacha20::ChaCha20Rng;
use cpu_time::ProcessTime;
use rand::{Rng, RngExt, SeedableRng};
use slope2::{
    Alphas, ClusterDescent, Datafit, Design, Fista, Gaussian, GridSettings, LossScale,
    PathSettings, Problem, Result, Shape, Silent, Solver, SortedL1, Start, TwoLevel, ZoneDescent,
    n_clusters, sequence,
};

/// Two normals by Box and Muller.
fn normal(rng: &mut impl Rng) -> f64 {
    let (u, v): (f64, f64) = (rng.random(), rng.random());
    (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// Columns of an autoregressive design, one after the other.
fn dense(n: usize, p: usize, rho: f64, rng: &mut impl Rng) -> Vec<f64> {
    let mut x = vec![0.0; n * p];
    for i in 0..n {
        let mut last = normal(rng);
        for j in 0..p {
            if 0 < j {
                last = rho * last + (1.0 - rho * rho).sqrt() * normal(rng);
            }
            x[j * n + i] = last;
        }
    }
    x
}

/// Compressed columns with normal entries at random rows.
fn sparse(n: usize, p: usize, per_column: usize, rng: &mut impl Rng) -> [Vec<usize>; 2] {
    let (mut ends, mut rows) = (vec![0], Vec::new());
    for _ in 0..p {
        let mut own: Vec<usize> = (0..per_column).map(|_| rng.random_range(0..n)).collect();
        own.sort_unstable();
        own.dedup();
        rows.extend(own);
        ends.push(rows.len());
    }
    [ends, rows]
}

/// A response from twenty coefficients of alternating sign, with noise a third of the signal.
fn response(design: &Design<'_>, rng: &mut impl Rng) -> Vec<f64> {
    let (n, p) = (design.n_rows(), design.n_cols());
    let mut b = vec![0.0; p];
    (0..20).for_each(|s| b[s * p / 20] = if s % 2 == 0 { 1.0 } else { -1.0 });
    let mut y = vec![0.0; n];
    design.apply(&b, &mut y);
    let norm = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>().sqrt();
    let noise: Vec<f64> = (0..n).map(|_| normal(rng)).collect();
    let scale = norm(&y) / (3.0 * norm(&noise));
    y.iter_mut().zip(&noise).for_each(|(y, e)| *y += scale * e);
    y
}

/// The median CPU time of three runs, and what the last gave.
fn timed<T>(run: impl Fn() -> Result<T>) -> Result<(f64, T)> {
    let mut times = Vec::new();
    loop {
        let start = ProcessTime::now();
        let last = run()?;
        times.push(start.elapsed().as_secs_f64());
        if times.len() == 3 {
            times.sort_by(f64::total_cmp);
            return Ok((times[1], last));
        }
    }
}

fn fits<P: Shape>(
    name: &str,
    unit: &Problem<'_, P>,
    parts: &[f64],
    solver: &impl Solver<P>,
) -> Result<()> {
    for part in parts {
        let problem = unit.with_penalty(unit.penalty.scaled(unit.alpha_max() / part)?);
        let (seconds, fit) = timed(|| solver.solve(&problem, &Start::default()))?;
        println!(
            "{name} /{part}: {seconds:.4} s, gap {:.1e}, {} steps, {} nonzero, {} magnitudes",
            fit.certificate.relative_gap(),
            fit.report.n_iters,
            fit.coefficients.iter().filter(|b| **b != 0.0).count(),
            n_clusters(&fit.coefficients),
        );
    }
    Ok(())
}

/// Fifty strengths down to a fiftieth of the largest.
fn path<P: Shape>(name: &str, unit: &Problem<'_, P>, solver: &impl Solver<P>) -> Result<()> {
    let alphas = Alphas::Geometric { n_points: 50, ratio: Some(0.02) };
    let settings = PathSettings { alphas, enough: f64::INFINITY, least_change: 0.0 };
    let (seconds, path) = timed(|| settings.fit(solver, unit, &Silent))?;
    let steps: usize = path.points.iter().map(|point| point.solution.report.n_iters).sum();
    let gap = path.points.iter().map(|point| point.solution.certificate.relative_gap());
    let gap = gap.fold(0.0, f64::max);
    println!("{name} path of {}: {seconds:.4} s, {steps} steps, gap {gap:.1e}", path.points.len());
    Ok(())
}

fn main() -> Result<()> {
    let only: Vec<String> = std::env::args().skip(1).collect();
    let wants = |what: &str| only.iter().any(|o| o == what);
    let shapes = [
        ("wide", 200, 20_000, 0.02),
        ("tall", 20_000, 200, 0.2),
        ("mid", 500, 2_000, 0.02),
        ("sparse", 10_000, 100_000, 0.02),
    ];
    let all = !shapes.iter().any(|shape| wants(shape.0));
    for (name, n, p, s) in shapes {
        if !all && !wants(name) {
            continue;
        }
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let (x, [ends, rows]);
        let values;
        let design = if name == "sparse" {
            [ends, rows] = sparse(n, p, n / 1000, &mut rng);
            values = rows.iter().map(|_| normal(&mut rng)).collect::<Vec<f64>>();
            Design::sparse(n, &ends, &rows, &values)?
        } else {
            x = dense(n, p, 0.5, &mut rng);
            Design::from_columns(x.as_slice(), n, p)?
        };
        let y = response(&design, &mut rng);
        let datafit = Datafit::new(&Gaussian, &y, LossScale::Mean)?;
        let with = |penalty| Problem { design: &design, datafit, penalty, intercept: false };
        let two = TwoLevel::with_share(1.0, 0.5, s, p)?;
        let zones = ZoneDescent { tolerance: 1e-6, ..ZoneDescent::default() };
        let parts = [2.0, 10.0, 50.0];
        for (what, unit) in [("two levels", two), ("lasso", TwoLevel::new(1.0, 1.0, p, p)?)] {
            fits(&format!("{name} {what}"), &with(unit), &parts, &zones)?;
            path(&format!("{name} {what}"), &with(unit), &zones)?;
        }
        if name == "wide" {
            let corner = TwoLevel::with_share(1.0, 0.1, 0.01, p)?;
            fits("wide slow corner", &with(corner), &[10.0, 50.0], &zones)?;
        }
        if name == "mid" {
            let settings = GridSettings {
                lambda1: Alphas::Geometric { n_points: 10, ratio: Some(0.1) },
                ratios: vec![0.25, 0.5, 0.75],
                shares: vec![0.01, 0.05, 0.25],
            };
            let (seconds, grid) = timed(|| settings.fit(&zones, &with(two), &Silent))?;
            let (cells, fits) = (grid.cells.len(), grid.n_cell_fits);
            let steps: usize = grid.solutions.iter().map(|s| s.report.n_iters).sum();
            println!("mid grid: {seconds:.4} s, {cells} cells, {fits} fits, {steps} steps");
        }
        if !wants("clusters") {
            continue;
        }
        for (what, shape) in [
            ("two levels", two.sequence()),
            ("bh .1", sequence::benjamini_hochberg(0.1, p)?),
            ("gaussian .1", sequence::gaussian(0.1, p, n)?),
            ("oscar", sequence::oscar(1.0, 1.0 / p as f64, p)?),
        ] {
            let penalty = SortedL1::new(shape)?;
            let unit = Problem { design: &design, datafit, penalty, intercept: false };
            let clusters = ClusterDescent { tolerance: 1e-6, ..ClusterDescent::default() };
            fits(&format!("{name} {what} by clusters"), &unit, &parts, &clusters)?;
            path(&format!("{name} {what} by clusters"), &unit, &clusters)?;
            if wants("fista") {
                let fista = Fista { tolerance: 1e-6, ..Fista::default() };
                fits(&format!("{name} {what} by fista"), &unit, &parts, &fista)?;
            }
        }
    }
    Ok(())
}
