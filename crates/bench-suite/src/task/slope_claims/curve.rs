//! True positives against false discoveries, beyond where the LASSO ends.

use chacha20::ChaCha20Rng;
use rand::{RngExt, SeedableRng};
use report::figures::Better;
use report::html::Section;
use report::number::significant;
use report::plot::{Plot, Series};
use report::table::{Align, Table};
use slope2::theory::{
    Component, FixedPoint, Levels, Prior, Setting, density, donoho_tanner, lasso_fdp, quantile,
    slope_upper_fdp, state_evolution, two_level_fdp, upper_tail,
};
use slope2::{
    Alphas, Datafit, Design, Gaussian, LossScale, PathSettings, Problem, TwoLevel, ZoneDescent,
};

use super::Store;
use super::formula::{Drawn, draw, fit};
use super::settings::{figure, figure_with};
use crate::error::Result;
use crate::session::Session;
use crate::task::claim::{Asks, Check, Claim};
use crate::task::curves::mean_and_std;

const DELTA: f64 = 0.3;
const EPS: f64 = 0.2;
const P: usize = 2000;
const SEEDS: u64 = 5;
const SEEDS_OF_FULL: u64 = 20;
/// Shares of the signals that two levels are to select, all beyond the limit of the LASSO.
const POWERS: [f64; 4] = [0.6, 0.7, 0.8, 0.9];
/// Shares at which the curves are drawn.
const CURVE: [f64; 12] = [0.05, 0.15, 0.25, 0.35, 0.45, 0.55, 0.6, 0.65, 0.75, 0.85, 0.92, 0.98];
/// How much of what the limit admits is used: of the large signals, or of the rows.
const BELOW_LIMIT: f64 = 0.9;
/// Sizes of large and small signals per unit of `tau`.
const LARGE: f64 = 10.0;
const SMALL: f64 = 0.05;
/// Heights of the cluster that are tried, per unit of `tau`.
const HEIGHTS: [f64; 6] = [0.15, 0.1, 0.07, 0.05, 0.03, 0.02];
/// Most degrees of freedom over observations, without and with the moving coefficients below the cluster: beyond 1 no penalty
/// leads to the fit, and close to it finite problems fluctuate.
const MOST_FREE: [f64; 2] = [0.8, 0.9];
/// How far a finite problem may be from the limit.
const ALLOWANCE: f64 = 0.03;

/// Which signals reach beyond the LASSO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signals {
    /// Those of arXiv 2105.13302: few large ones, and all others near zero.
    LargeAndSmall,
    /// All of one size, that for which the best two levels select the share that is wanted.
    OneSize,
}

impl Signals {
    const ALL: [Signals; 2] = [Signals::LargeAndSmall, Signals::OneSize];

    fn name(self) -> &'static str {
        match self {
            Signals::LargeAndSmall => "large and small",
            Signals::OneSize => "one size",
        }
    }

    fn figure(self) -> &'static str {
        match self {
            Signals::LargeAndSmall => "large-and-small",
            Signals::OneSize => "one-size",
        }
    }
}

/// A setting with `tau = 1` whose fit selects a given share of the signals.
struct Reaching {
    parts: Vec<Component>,
    noise_std: f64,
    point: FixedPoint,
}

/// `int_low^high P(|N(mean, 1)| > x) dx`.
fn mean_tail(mean: f64, low: f64, high: f64) -> f64 {
    let f = |z: f64| z * upper_tail(z) - density(z);
    f(high - mean) + f(high + mean) - f(low - mean) - f(low + mean)
}

/// Risk of soft thresholding at `a` with a share `large` of infinite signals and nothing else.
fn soft_risk(a: f64, large: f64) -> f64 {
    let noise = 2.0 * ((1.0 + a * a) * upper_tail(a) - a * density(a));
    (1.0 - large) * noise + large * (1.0 + a * a)
}

/// Zeros, and signals of either sign: their shares and sizes.
fn symmetric(signals: &[(f64, f64)]) -> Vec<Component> {
    let mut parts = vec![Component::point(1.0 - EPS, 0.0)];
    for (share, size) in signals {
        parts.push(Component::point(0.5 * share, *size));
        parts.push(Component::point(0.5 * share, -size));
    }
    parts
}

impl Reaching {
    /// A setting in which two levels select the share `power` of the signals.
    fn new(signals: Signals, power: f64) -> Result<Self> {
        match signals {
            Signals::LargeAndSmall => Self::large_and_small(power),
            Signals::OneSize => Self::one_size(power),
        }
    }

    /// The upper level is the best threshold for the large signals that leaves degrees of freedom; the lower level selects what
    /// is wanted of the small ones.
    fn large_and_small(power: f64) -> Result<Self> {
        let large = BELOW_LIMIT * donoho_tanner(DELTA, EPS)?.eps_star;
        let free = |a: f64| large + (1.0 - large) * 2.0 * upper_tail(a);
        let upper = (1..400)
            .map(|i| 0.01 * f64::from(i))
            .filter(|a| free(*a) <= MOST_FREE[0] * DELTA)
            .min_by(|a, b| soft_risk(*a, large).total_cmp(&soft_risk(*b, large)))
            .unwrap_or(1.0);
        let selected = (power * EPS - large) / (EPS - large);
        let lower = quantile(1.0 - 0.5 * selected)?.clamp(0.0, upper);
        Self::with_levels(
            &symmetric(&[(large, LARGE), (EPS - large, SMALL)]),
            lower,
            upper,
            &HEIGHTS,
        )
    }

    /// The levels are the best of a problem with a few rows less, so that there is room for noise.
    fn one_size(power: f64) -> Result<Self> {
        let best = two_level_fdp(BELOW_LIMIT * DELTA, EPS, power)?.shrinkage;
        let selected = |size: f64| upper_tail(best.low - size) + upper_tail(best.low + size);
        let (mut low, mut high) = (0.0, 20.0);
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if selected(middle) < power {
                low = middle;
            } else {
                high = middle;
            }
        }
        let heights = if 0.0 < best.height { vec![best.height] } else { HEIGHTS.to_vec() };
        Self::with_levels(&symmetric(&[(EPS, high)]), best.low, best.low + best.width, &heights)
    }

    /// The first height that leaves degrees of freedom.
    fn with_levels(parts: &[Component], lower: f64, upper: f64, heights: &[f64]) -> Result<Self> {
        let prior = Prior::mixture(parts.iter().copied())?;
        for height in heights {
            let clipped =
                parts.iter().map(|c| c.weight * mean_tail(c.mean, lower + height, upper + height));
            let share = clipped.sum::<f64>() / (upper - lower);
            let (noise_std, point) = unit_tau(&prior, &Levels::new(upper, lower, share.min(1.0))?)?;
            if point.divergence <= MOST_FREE[1] * DELTA {
                return Ok(Reaching { parts: parts.to_vec(), noise_std, point });
            }
        }
        Err(slope2::Error::NoRoot { name: "height", low: 0.0, high: HEIGHTS[0] }.into())
    }

    /// Draws coefficients.
    fn truth(&self, rng: &mut ChaCha20Rng) -> Vec<f64> {
        let one = |mut u: f64| -> f64 {
            for part in &self.parts {
                if u < part.weight {
                    return part.mean;
                }
                u -= part.weight;
            }
            0.0
        };
        (0..P).map(|_| one(rng.random())).collect()
    }
}

/// The noise at which `tau` is 1, which grows with it, and the fixed point.
fn unit_tau(prior: &Prior, levels: &Levels) -> Result<(f64, FixedPoint)> {
    let at = |noise_std: f64| -> Result<FixedPoint> {
        Ok(state_evolution(&Setting::new(prior.clone(), DELTA, noise_std)?, levels)?)
    };
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..50 {
        let middle: f64 = 0.5 * (low + high);
        if at(middle)?.tau < 1.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
    Ok((high, at(high)?))
}

/// Shares of selected signals and of false selections.
fn shares(truth: &[f64], b: &[f64]) -> (f64, f64) {
    let (mut selected, mut hits, mut signals) = (0.0, 0.0, 0.0f64);
    for (truth, b) in truth.iter().zip(b) {
        let (signal, found) = (f64::from(*truth != 0.0), f64::from(*b != 0.0));
        signals += signal;
        selected += found;
        hits += signal * found;
    }
    (hits / signals.max(1.0), if selected == 0.0 { 0.0 } else { 1.0 - hits / selected })
}

/// True positives and false discoveries of two levels, and of the LASSO that selects the largest share of the signals.
fn simulate(session: &Session, reaching: &Reaching, seed: u64) -> Result<Vec<f64>> {
    let mut rng = ChaCha20Rng::seed_from_u64(3000 + seed);
    let truth = reaching.truth(&mut rng);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
    let n = (DELTA * P as f64).round() as usize;
    let drawn = draw(n, truth, reaching.noise_std, &mut rng)?;
    let (tpp, fdp) = shares(&drawn.truth, &fit(&drawn, &reaching.point)?);
    let (lasso_tpp, lasso_fdp) = largest_lasso(session, &drawn)?;
    Ok(vec![tpp, fdp, lasso_tpp, lasso_fdp])
}

/// The point of a LASSO path with the most true positives.
fn largest_lasso(session: &Session, drawn: &Drawn) -> Result<(f64, f64)> {
    let (n, p) = (drawn.y.len(), drawn.truth.len());
    let design = Design::from_columns(drawn.x.as_slice(), n, p)?;
    let datafit = Datafit::new(&Gaussian, &drawn.y, LossScale::Sum)?;
    let penalty = TwoLevel::new(1.0, 1.0, p, p)?;
    let problem = Problem { design: &design, datafit, penalty, intercept: false };
    let alphas = Alphas::Geometric { n_points: 15, ratio: Some(0.01) };
    let settings = PathSettings { alphas, enough: 1.0, least_change: 0.0 };
    let solver = ZoneDescent { tolerance: 1e-4, ..ZoneDescent::default() };
    let path = settings.fit(&solver, &problem, &session.slope_progress())?;
    let points = path.points.iter().map(|p| shares(&drawn.truth, &p.solution.coefficients));
    Ok(points.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or((0.0, 0.0)))
}

pub(super) fn run(session: &Session, store: &mut Store) -> Result<Section> {
    let seeds = if session.full { SEEDS_OF_FULL } else { SEEDS };
    let limit = donoho_tanner(DELTA, EPS)?.u_star;
    let total = (Signals::ALL.len() * POWERS.len()) as u64 * seeds;
    let task = session.progress.task("slope-claims: curve", total);
    let mut table = Table::new([
        "signals",
        "TPP predicted",
        "TPP simulated",
        "FDP predicted",
        "FDP simulated",
        "most TPP, LASSO",
    ]);
    for column in 1..6 {
        table = table.align(column, Align::Right);
    }
    let (mut beyond, mut near) = (Vec::new(), Vec::new());
    let (mut predicted, mut lasso_dots) = (Vec::new(), Vec::new());
    let mut simulated: [Vec<(f64, f64)>; 2] = Default::default();
    for (dots, signals) in simulated.iter_mut().zip(Signals::ALL) {
        for power in POWERS {
            let reaching = Reaching::new(signals, power)?;
            let mut by_seed = Vec::new();
            for seed in 0..seeds {
                let name = format!("curve/{}/{power}/{seed}", signals.figure());
                by_seed.push(store.values(session, &name, || simulate(session, &reaching, seed))?);
                task.advance(1);
            }
            let of = |i: usize| -> Vec<f64> { by_seed.iter().map(|v| v[i]).collect() };
            let mean = |i: usize| mean_and_std(&of(i)).0;
            let point = &reaching.point;
            table.push_row([
                signals.name().to_owned(),
                significant(point.tpp, 3),
                significant(mean(0), 3),
                significant(point.fdp, 3),
                significant(mean(1), 3),
                significant(mean(2), 3),
            ]);
            predicted.push((point.tpp, point.fdp));
            dots.push((mean(0), mean(1)));
            lasso_dots.push((mean(2), mean(3)));
            let name = format!("curve-{}-{power}", signals.figure());
            let (tpp, unit) = (format!("{name}-tpp"), "share of the signals");
            figure_with(session, &tpp, &of(0), unit, Better::Higher)?;
            figure(session, &format!("{name}-fdp"), &of(1), "share of the selected")?;
            beyond.push(Check {
                what: format!("{}: TPP, aimed at {power}", signals.name()),
                asks: Asks::LargerThan(limit),
                values: of(0),
            });
            let targets = [("TPP", point.tpp, 0), ("FDP", point.fdp, 1)];
            near.extend(targets.map(|(what, target, i)| Check {
                what: format!("{}: {what}, aimed at {power}", signals.name()),
                asks: Asks::Near(target, ALLOWANCE),
                values: of(i),
            }));
        }
    }
    task.finish();
    let mut curves: [Vec<(f64, f64)>; 3] = Default::default();
    for u in CURVE {
        if let Some(fdp) = lasso_fdp(DELTA, EPS, u)? {
            curves[0].push((u, fdp));
        }
        curves[1].push((u, slope_upper_fdp(DELTA, EPS, u)?));
        curves[2].push((u, two_level_fdp(DELTA, EPS, u)?.fdp));
    }
    if let Some(fdp) = lasso_fdp(DELTA, EPS, limit)? {
        curves[0].push((limit, fdp));
    }
    let [lasso, upper, two] = curves;
    let [large_and_small, one_size] = simulated;
    let plot = Plot::new(format!("True positives and false discoveries, delta {DELTA}, eps {EPS}"))
        .x_label("true positive proportion")
        .y_label("false discovery proportion")
        .vertical(limit, "limit of the LASSO")
        .series(Series::line("LASSO, least possible", lasso))
        .series(Series::line("SLOPE, upper bound of the least", upper))
        .series(Series::line("two levels, least possible", two))
        .series(Series::points("two levels, state evolution", predicted))
        .series(Series::points("two levels, large and small signals", large_and_small))
        .series(Series::points("two levels, signals of one size", one_size))
        .series(Series::points("LASSO with most true positives, simulated", lasso_dots));
    let claim = |published, checks| Claim {
        published,
        miniature: format!(
            "independent entries, {P} features; either few large signals and others near zero, or all of one size; the noise at \
             which the theory's unit is 1; fits with the penalties of the theory. The levels are those of a limit with {:.0} % less \
             room, so that finite problems do not fluctuate, which keeps the dots a little above the curves",
            100.0 * (1.0 - BELOW_LIMIT)
        ),
        command: "cargo xtask bench slope-claims --only curve",
        seeds: format!("{seeds} for each point"),
        checks,
    };
    Ok(Section::new("Beyond the limit of the LASSO")
        .plot(&plot.to_svg()?, "Curves are of the limit; the dots are means of finite problems.")
        .table(&table)
        .section(
            claim("two levels select more of the signals than any LASSO can (2105.13302)", beyond)
                .section(),
        )
        .section(claim("they do so where state evolution says (1907.07502)", near).section()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_has_unit_tau_and_the_power_asked_for() {
        for (signals, power) in Signals::ALL.iter().flat_map(|s| POWERS.map(|p| (*s, p))) {
            let point = Reaching::new(signals, power).unwrap().point;
            assert!((point.tau - 1.0).abs() < 1e-9, "{}", point.tau);
            assert!((point.tpp - power).abs() < 0.01, "{} {power}", point.tpp);
            assert!(0.0 < point.shrinkage.height && 0.0 < point.lambda.lower, "{point:?}");
        }
    }
}
