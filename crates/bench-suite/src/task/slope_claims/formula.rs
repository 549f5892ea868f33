//! The best LASSO and the best two levels by formula, and what simulated problems say of the prediction.

use chacha20::ChaCha20Rng;
use rand::{RngExt, SeedableRng};
use report::html::Section;
use report::number::significant;
use report::table::{Align, Table};
use slope2::theory::{FixedPoint, Prior, Setting, best_lasso_mse, best_two_level_mse};
use slope2::{Datafit, Design, Gaussian, LossScale, Problem, Solver, Start, TwoLevel, ZoneDescent};

use super::Store;
use super::settings::figure;
use crate::error::Result;
use crate::session::Session;
use crate::slope::simulate::normal;
use crate::task::claim::{Asks, Check, Claim};
use crate::task::curves::mean_and_std;

/// Features of the simulated problems.
const P: usize = 1000;
const SEEDS: u64 = 10;
const SEEDS_OF_FULL: u64 = 50;
/// How far a finite problem may be from the limit, as a share.
const ALLOWANCE: f64 = 0.05;

/// Coefficients `N(0, variance)` with probability `eps`, `delta` rows a column, noise of standard deviation `noise_std`.
struct Case {
    name: &'static str,
    eps: f64,
    variance: f64,
    delta: f64,
    noise_std: f64,
}

const CASES: [Case; 3] = [
    Case { name: "eps-0.4", eps: 0.4, variance: 4.0, delta: 0.7, noise_std: 1.0 },
    Case { name: "eps-0.5", eps: 0.5, variance: 1.0, delta: 0.8, noise_std: 2.0 },
    Case { name: "eps-0.7", eps: 0.7, variance: 1.0, delta: 1.0, noise_std: 1.0 },
];

/// A drawn problem of the setting of [`slope2::theory`].
pub(super) struct Drawn {
    pub(super) x: Vec<f64>,
    pub(super) y: Vec<f64>,
    pub(super) truth: Vec<f64>,
}

/// Independent entries `N(0, 1/n)`, and a response with noise.
pub(super) fn draw(
    n: usize,
    truth: Vec<f64>,
    noise_std: f64,
    rng: &mut ChaCha20Rng,
) -> Result<Drawn> {
    let (p, scale) = (truth.len(), 1.0 / (n as f64).sqrt());
    let x: Vec<f64> = (0..n * p).map(|_| scale * normal(rng)).collect();
    let mut y = vec![0.0; n];
    Design::from_columns(x.as_slice(), n, p)?.apply(&truth, &mut y);
    y.iter_mut().for_each(|y| *y += noise_std * normal(rng));
    Ok(Drawn { x, y, truth })
}

/// The fit with the penalties of a fixed point.
pub(super) fn fit(drawn: &Drawn, point: &FixedPoint) -> Result<Vec<f64>> {
    let (n, p) = (drawn.y.len(), drawn.truth.len());
    let design = Design::from_columns(drawn.x.as_slice(), n, p)?;
    let datafit = Datafit::new(&Gaussian, &drawn.y, LossScale::Sum)?;
    let lambda = point.lambda;
    let penalty = TwoLevel::with_share(lambda.upper, lambda.lower, lambda.share, p)?;
    let problem = Problem { design: &design, datafit, penalty, intercept: false };
    let solver = ZoneDescent { tolerance: 1e-7, ..ZoneDescent::default() };
    Ok(solver.solve(&problem, &Start::default())?.coefficients)
}

/// Mean squared errors of the LASSO and of two levels on one draw.
fn errors(case: &Case, points: [&FixedPoint; 2], seed: u64) -> Result<Vec<f64>> {
    let mut rng = ChaCha20Rng::seed_from_u64(2000 + seed);
    let truth: Vec<f64> = (0..P)
        .map(|_| {
            let (size, u): (f64, f64) = (case.variance.sqrt() * normal(&mut rng), rng.random());
            if u < case.eps { size } else { 0.0 }
        })
        .collect();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
    let n = (case.delta * P as f64).round() as usize;
    let drawn = draw(n, truth, case.noise_std, &mut rng)?;
    points
        .into_iter()
        .map(|point| {
            let b = fit(&drawn, point)?;
            let squares = b.iter().zip(&drawn.truth).map(|(a, b)| (a - b).powi(2));
            Ok(squares.sum::<f64>() / P as f64)
        })
        .collect()
}

pub(super) fn run(session: &Session, store: &mut Store) -> Result<Section> {
    let seeds = if session.full { SEEDS_OF_FULL } else { SEEDS };
    let task = session.progress.task("slope-claims: formula", CASES.len() as u64 * seeds);
    let mut table = Table::new([
        "signals",
        "LASSO, limit",
        "simulated",
        "two levels, limit",
        "simulated",
        "limits, %",
    ]);
    for column in 1..6 {
        table = table.align(column, Align::Right);
    }
    let (mut near, mut smaller) = (Vec::new(), Vec::new());
    for case in &CASES {
        let prior = Prior::bernoulli_gaussian(case.eps, case.variance)?;
        let setting = Setting::new(prior, case.delta, case.noise_std)?;
        let (lasso, two) = (best_lasso_mse(&setting)?, best_two_level_mse(&setting)?);
        let mut by_seed = Vec::new();
        for seed in 0..seeds {
            let name = format!("formula/{}/{seed}", case.name);
            by_seed.push(store.values(session, &name, || errors(case, [&lasso, &two], seed))?);
            task.advance(1);
        }
        let of = |m: usize| -> Vec<f64> { by_seed.iter().map(|e| e[m]).collect() };
        let mean = |m: usize| mean_and_std(&of(m)).0;
        table.push_row([
            format!("share {}, delta {}, noise {}", case.eps, case.delta, case.noise_std),
            significant(lasso.mse, 4),
            significant(mean(0), 4),
            significant(two.mse, 4),
            significant(mean(1), 4),
            significant(100.0 * (two.mse / lasso.mse - 1.0), 3),
        ]);
        for (m, (name, point)) in [("lasso", &lasso), ("two-levels", &two)].into_iter().enumerate()
        {
            figure(session, &format!("formula-{}-{name}-mse", case.name), &of(m), "mse")?;
            near.push(Check {
                what: format!("share of signals {}: mse of {name} simulated", case.eps),
                asks: Asks::Near(point.mse, ALLOWANCE * point.mse),
                values: of(m),
            });
        }
        let gain = by_seed.iter().map(|e| 100.0 * (e[1] - e[0]) / mean(0)).collect::<Vec<_>>();
        let name = format!("formula-{}-two-levels-less-lasso", case.name);
        figure(session, &name, &gain, "% of the error of the LASSO")?;
        smaller.push(Check {
            what: format!("share of signals {}: two levels less LASSO, %", case.eps),
            asks: Asks::Smaller,
            values: gain,
        });
    }
    task.finish();
    let miniature = format!(
        "independent entries, {P} features, normal signals; both penalties from the fixed point with the least error, without \
         cross-validation"
    );
    let claim = |published, checks| Claim {
        published,
        miniature: miniature.clone(),
        command: "cargo xtask bench slope-claims --only formula",
        seeds: format!("{seeds}, the same draws for both"),
        checks,
    };
    Ok(Section::new("Tuned by formula")
        .table(&table)
        .section(
            claim("state evolution predicts the error of sorted-L1 fits (1907.07502)", near)
                .section(),
        )
        .section(
            claim(
                "the best two levels have a smaller error than the best LASSO (2507.09110)",
                smaller,
            )
            .section(),
        ))
}
