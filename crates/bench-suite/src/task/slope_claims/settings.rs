//! LASSO, two levels and SLOPE in simulations where one thing at a time is made hard.

use chacha20::ChaCha20Rng;
use rand::{RngExt, SeedableRng};
use report::figures::Better;
use report::html::Section;
use report::number::mean_std;
use report::plot::Bars;
use report::table::{Align, Table};
use slope2::selection::{Folds, Score};
use slope2::{Center, Design, Gaussian, Observations, Preparation, Scale};

use super::Store;
use crate::error::Result;
use crate::session::{Session, Spread};
use crate::slope::choose::{Choice, Method};
use crate::slope::simulate::{autoregression, normal};
use crate::task::claim::{Asks, Check, Claim, mean_and_error};
use crate::task::curves::mean_and_std;

const N: usize = 100;
const P: usize = 200;
const SEEDS: u64 = 20;
const SEEDS_OF_FULL: u64 = 100;

/// A simulation.
struct Setting {
    name: &'static str,
    about: &'static str,
    /// Correlation of neighbouring features.
    rho: f64,
    /// Norm of the signal over norm of the noise.
    signal_to_noise: f64,
    /// Share of coefficients that are not zero.
    density: f64,
    /// Whether the claim is about it.
    claimed: bool,
}

const SETTINGS: [Setting; 4] = [
    Setting {
        name: "easy",
        about: "correlation .5, signal over noise 3, 5 % signals",
        rho: 0.5,
        signal_to_noise: 3.0,
        density: 0.05,
        claimed: false,
    },
    Setting {
        name: "correlated",
        about: "correlation .95",
        rho: 0.95,
        signal_to_noise: 3.0,
        density: 0.05,
        claimed: true,
    },
    Setting {
        name: "noisy",
        about: "signal over noise 1",
        rho: 0.5,
        signal_to_noise: 1.0,
        density: 0.05,
        claimed: true,
    },
    Setting {
        name: "dense",
        about: "50 % signals",
        rho: 0.5,
        signal_to_noise: 3.0,
        density: 0.5,
        claimed: true,
    },
];

/// Errors of the methods on one draw: of estimation, then of prediction, each relative to the size of the truth.
fn errors(session: &Session, setting: &Setting, seed: u64) -> Result<Vec<f64>> {
    let mut rng = ChaCha20Rng::seed_from_u64(1000 + seed);
    let x = autoregression(N, P, setting.rho, &mut rng);
    let truth: Vec<f64> = (0..P)
        .map(|_| {
            let (size, u): (f64, f64) = (normal(&mut rng), rng.random());
            if u < setting.density { size } else { 0.0 }
        })
        .collect();
    let design = Design::from_columns(x, N, P)?;
    let mut y = vec![0.0; N];
    design.apply(&truth, &mut y);
    let noise_std = variance(&truth, setting.rho).sqrt() / setting.signal_to_noise;
    y.iter_mut().for_each(|y| *y += noise_std * normal(&mut rng));
    let choice = Choice {
        strengths: 20,
        part: 200.0,
        folds: Folds::k_fold(N, 5, &mut rng)?,
        score: Score::SquaredError,
        tolerance: 1e-5,
    };
    let observations =
        Observations { design: &design, y: &y, weights: None, loss: (&Gaussian).into() };
    let preparation = Preparation {
        center: Center::None,
        scale: Scale::None,
        intercept: false,
        ..Preparation::default()
    };
    let size = truth.iter().map(|b| b * b).sum::<f64>();
    let mut errors = Vec::new();
    for method in Method::ALL {
        let model =
            choice.choose(method, &observations, &preparation, &session.slope_progress())?;
        let off: Vec<f64> = model.coefficients.iter().zip(&truth).map(|(a, b)| a - b).collect();
        errors.push(off.iter().map(|d| d * d).sum::<f64>() / size);
        errors.push(variance(&off, setting.rho) / variance(&truth, setting.rho));
    }
    Ok(errors)
}

/// `b' S b` with `S_ij = rho^|i - j|`: the variance of a combination of neighbouring features.
fn variance(b: &[f64], rho: f64) -> f64 {
    // The part of what came before that is seen at each feature.
    let (mut carried, mut sum) = (0.0, 0.0);
    for b in b {
        sum += b * (b + 2.0 * rho * carried);
        carried = b + rho * carried;
    }
    sum
}

const WHAT: [&str; 2] = ["estimation", "prediction"];

pub(super) fn run(session: &Session, store: &mut Store) -> Result<Section> {
    let seeds = if session.full { SEEDS_OF_FULL } else { SEEDS };
    let task = session.progress.task("slope-claims: settings", SETTINGS.len() as u64 * seeds);
    let mut headings = vec!["setting".to_owned(), "error of".into()];
    headings.extend(Method::ALL.map(|m| m.name().to_owned()));
    headings.push("difference, %".into());
    let mut table = Table::new(headings).with_caption("Means with their standard errors over seeds; the difference is two levels less LASSO, draw by draw.");
    for column in 2..6 {
        table = table.align(column, Align::Right);
    }
    let (mut smaller, mut not_larger, mut general) = (Vec::new(), Vec::new(), Vec::new());
    let mut section = Section::new("Three hard settings");
    let mut means = [Vec::new(), Vec::new(), Vec::new()];
    for setting in &SETTINGS {
        let mut by_seed = Vec::new();
        for seed in 0..seeds {
            let name = format!("settings/{}/{seed}", setting.name);
            by_seed.push(store.values(session, &name, || errors(session, setting, seed))?);
            task.advance(1);
        }
        for (w, what) in WHAT.into_iter().enumerate() {
            let of = |m: usize| -> Vec<f64> { by_seed.iter().map(|e| e[2 * m + w]).collect() };
            let mut cells = vec![setting.about.to_owned(), what.to_owned()];
            for (m, method) in Method::ALL.into_iter().enumerate() {
                let (mean, error) = mean_and_error(&of(m));
                cells.push(mean_std(mean, Some(error)));
                if w == 0 {
                    means[m].push(mean);
                }
                let name = format!("{}-{}-{what}", setting.name, method.figure());
                figure(session, &name, &of(m), "relative squared error")?;
            }
            let lasso_mean = mean_and_std(&of(0)).0;
            let paired = |a: usize, b: usize| -> Vec<f64> {
                of(a).iter().zip(of(b)).map(|(a, b)| 100.0 * (a - b) / lasso_mean).collect()
            };
            let gain = paired(1, 0);
            let (mean, error) = mean_and_error(&gain);
            cells.push(mean_std(mean, Some(error)));
            table.push_row(cells);
            let name = format!("{}-two-levels-less-lasso-{what}", setting.name);
            figure(session, &name, &gain, "% of the error of the LASSO")?;
            let check = |asks, values| Check {
                what: format!("{}: {what}, % of the error of the LASSO", setting.about),
                asks,
                values,
            };
            if setting.claimed {
                smaller.push(check(Asks::Smaller, gain.clone()));
                general.push(check(Asks::NotLarger, paired(1, 2)));
            }
            not_larger.push(check(Asks::NotLarger, gain));
        }
    }
    task.finish();
    let mut bars = Bars::new("Error of estimation", SETTINGS.map(|s| s.name))
        .y_label("relative squared error")
        .with_values();
    for (method, means) in Method::ALL.into_iter().zip(means) {
        bars = bars.series(method.name(), means)?;
    }
    section = section
        .table(&table)
        .plot(&bars.to_svg()?, "Means over seeds, chosen by cross-validation.");
    let miniature = format!(
        "{N} observations of {P} features; from an easy setting one thing at a time is made hard. Signals are standard normal at \
         random places. Five folds choose among 120 penalties for each method; errors are those of the \
         coefficients and of predictions of new rows, relative to the truth's size"
    );
    let seeds = format!("{seeds}, the same draws and folds for all methods");
    let command = "cargo xtask bench slope-claims --only settings";
    for (published, checks) in [
        (
            "two levels estimate and predict better than the LASSO where features are highly correlated, noise is large \
             or the signal is dense (2507.09110)",
            smaller,
        ),
        ("two levels are never worse than the LASSO when tuned (2507.09110)", not_larger),
        ("two levels are as good as general SLOPE with fewer parameters (2507.09110)", general),
    ] {
        let claim = Claim {
            published,
            miniature: miniature.clone(),
            command,
            seeds: seeds.clone(),
            checks,
        };
        section = section.section(claim.section());
    }
    Ok(section)
}

/// Appends the mean over seeds of something that is better when it is smaller.
pub(super) fn figure(session: &Session, name: &str, values: &[f64], unit: &str) -> Result<()> {
    figure_with(session, name, values, unit, Better::Lower)
}

/// Appends the mean over seeds.
pub(super) fn figure_with(
    session: &Session,
    name: &str,
    values: &[f64],
    unit: &str,
    better: Better,
) -> Result<()> {
    let (mean, std) = mean_and_std(values);
    let n_seeds = u32::try_from(values.len()).unwrap_or(u32::MAX);
    let spread = Spread { better, std, n_seeds, config: "slope-claims".into() };
    session.figure("slope-claims", name, mean, unit, spread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variance_is_that_of_the_correlations() {
        let b = [1.0, -0.5, 0.0, 2.0];
        let rho = 0.7f64;
        let mut expected = 0.0;
        for (i, a) in (0..).zip(b) {
            for (j, c) in (0..).zip(b) {
                let distance: i32 = i - j;
                expected += a * c * rho.powi(distance.abs());
            }
        }
        assert!((variance(&b, rho) - expected).abs() < 1e-12);
    }
}
