//! Message passing on drawn problems: what it minimizes, and how near finite problems are to the limit.

use faer::Mat;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, RngExt, SeedableRng};
use slope2::theory::{
    Amp, AmpOutcome, AmpRun, Levels, Prior, Products, Setting, quantile, state_evolution,
    trajectory,
};
use slope2::{DualNorm, Error, L1, SortedL1, TwoLevel};

fn normal(rng: &mut impl Rng) -> f64 {
    quantile(rng.random_range(1e-300..1.0)).unwrap()
}

struct Drawn {
    x: Mat<f64>,
    y: Vec<f64>,
    beta: Vec<f64>,
}

/// Independent entries `N(0, 1/n)`, coefficients that are normal with probability `eps`.
fn draw(seed: u64, n: usize, p: usize, eps: f64, variance: f64, noise_std: f64) -> Drawn {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let scale = 1.0 / (n as f64).sqrt();
    let x = Mat::from_fn(n, p, |_, _| scale * normal(&mut rng));
    let beta: Vec<f64> = (0..p)
        .map(|_| {
            let signal = variance.sqrt() * normal(&mut rng);
            if rng.random_range(0.0..1.0) < eps { signal } else { 0.0 }
        })
        .collect();
    let mut y = vec![0.0; n];
    x.as_ref().times(&beta, &mut y);
    y.iter_mut().for_each(|y| *y += noise_std * normal(&mut rng));
    Drawn { x, y, beta }
}

/// The duality gap of `|y - X b|^2 / 2 + J(b)` over the objective.
fn relative_gap(drawn: &Drawn, penalty: &impl DualNorm, beta: &[f64]) -> f64 {
    let (n, p) = drawn.x.as_ref().shape();
    let (mut fitted, mut gradient) = (vec![0.0; n], vec![0.0; p]);
    drawn.x.as_ref().times(beta, &mut fitted);
    let residual: Vec<f64> = drawn.y.iter().zip(&fitted).map(|(y, f)| y - f).collect();
    drawn.x.as_ref().transpose_times(&residual, &mut gradient);
    let square: f64 = residual.iter().map(|r| r * r).sum();
    let product: f64 = drawn.y.iter().zip(&residual).map(|(y, r)| y * r).sum();
    let scale = (product / square).min(1.0 / penalty.dual_norm(&gradient));
    let primal = 0.5 * square + penalty.value(beta);
    (primal - (scale * product - 0.5 * scale * scale * square)) / primal
}

fn run(drawn: &Drawn, alpha: &TwoLevel) -> AmpRun {
    Amp { tolerance: 1e-10, ..Amp::default() }.run(&drawn.x.as_ref(), &drawn.y, alpha).unwrap()
}

/// The published demonstration: no noise, half of the weights zero. At level 1 the limit is the truth itself.
#[test]
fn message_passing_recovers_the_truth_where_its_limit_does() {
    let setting = Setting::new(Prior::bernoulli_gaussian(0.1, 1.0).unwrap(), 0.5, 0.0).unwrap();
    let point = state_evolution(&setting, &Levels::new(1.0, 0.0, 0.5).unwrap());
    assert_eq!(point, Err(Error::ExactRecovery));
    let drawn = draw(1, 500, 1000, 0.1, 1.0, 0.0);
    let run = run(&drawn, &TwoLevel::new(1.0, 0.0, 500, 1000).unwrap());
    assert_eq!(run.outcome, AmpOutcome::Converged);
    let [mse, ..] = seen(&drawn, &run.beta);
    assert!(mse < 1e-18, "{mse:e}");
}

/// The same at level 2, where the limit is a fit with zeros.
#[test]
fn message_passing_reaches_the_minimizer() {
    let drawn = draw(1, 500, 1000, 0.1, 1.0, 0.0);
    let alpha = TwoLevel::new(2.0, 0.0, 500, 1000).unwrap();
    let gap_after = |max_iters| {
        let amp = Amp { max_iters, tolerance: 1e-10 };
        let run = amp.run(&drawn.x.as_ref(), &drawn.y, &alpha).unwrap();
        let lambda = alpha.scaled(run.lambda_per_alpha).unwrap();
        (run.outcome, relative_gap(&drawn, &lambda, &run.beta))
    };
    let (outcome, gap) = gap_after(1000);
    assert!(outcome == AmpOutcome::Converged && gap.abs() < 1e-9, "{outcome:?} {gap:e}");
    // State evolution contracts by 0.988 an iteration here, so two digits take tens of iterations and ten take hundreds.
    assert!(gap_after(40).1 < 0.02 && gap_after(200).1 < 1e-4);
}

#[test]
fn message_passing_reaches_the_minimizer_of_every_penalty() {
    let drawn = draw(2, 300, 400, 0.15, 4.0, 0.5);
    let amp = Amp { tolerance: 1e-12, ..Amp::default() };
    let sequence: Vec<f64> = (0..400).map(|j| 2.0 - 0.003 * f64::from(j)).collect();
    let sorted = SortedL1::new(sequence.clone()).unwrap();
    let run = amp.run(&drawn.x.as_ref(), &drawn.y, &sorted).unwrap();
    let scaled: Vec<f64> = sequence.iter().map(|l| run.lambda_per_alpha * l).collect();
    let gap = relative_gap(&drawn, &SortedL1::new(scaled).unwrap(), &run.beta);
    assert!(run.outcome == AmpOutcome::Converged && gap.abs() < 1e-9, "{gap:e}");

    let run = amp.run(&drawn.x.as_ref(), &drawn.y, &L1::new(1.5, 400).unwrap()).unwrap();
    let l1 = L1::new(1.5 * run.lambda_per_alpha, 400).unwrap();
    let gap = relative_gap(&drawn, &l1, &run.beta);
    assert!(run.outcome == AmpOutcome::Converged && gap.abs() < 1e-9, "{gap:e}");
}

/// Mean squared error, shares of selected signals and of false selections, share in the cluster.
fn seen(drawn: &Drawn, beta: &[f64]) -> [f64; 4] {
    let p = beta.len() as f64;
    let mse = beta.iter().zip(&drawn.beta).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / p;
    let count = |holds: &dyn Fn(f64, f64) -> bool| {
        beta.iter().zip(&drawn.beta).filter(|(a, b)| holds(**a, **b)).count() as f64
    };
    let selected = count(&|a, _| a != 0.0);
    let hits = count(&|a, b| a != 0.0 && b != 0.0);
    let mut magnitudes: Vec<f64> = beta.iter().map(|b| b.abs()).filter(|b| 0.0 < *b).collect();
    magnitudes.sort_by(f64::total_cmp);
    let (mut longest, mut length) = (0, 1);
    for pair in magnitudes.windows(2) {
        length = if pair[1] - pair[0] < 1e-9 { length + 1 } else { 1 };
        longest = longest.max(length);
    }
    let flat = if longest < 2 { 0.0 } else { f64::from(longest) / p };
    [mse, hits / count(&|_, b| b != 0.0), 1.0 - hits / selected, flat]
}

#[test]
fn finite_problems_agree_with_the_limit() {
    let (n, p, draws) = (700, 1000, 6);
    let prior = Prior::bernoulli_gaussian(0.2, 4.0).unwrap();
    let setting = Setting::new(prior, 0.7, 0.5).unwrap();
    for (upper, lower, share) in [(2.0, 1.0, 0.1), (1.8, 1.2, 0.15), (2.0, 1.0, 0.3)] {
        let levels = Levels::new(upper, lower, share).unwrap();
        let point = state_evolution(&setting, &levels).unwrap();
        let alpha = TwoLevel::with_share(upper, lower, share, p).unwrap();
        let mut sum = [0.0; 4];
        for seed in 0..draws {
            let drawn = draw(100 + seed, n, p, 0.2, 4.0, 0.5);
            let run = run(&drawn, &alpha);
            assert_eq!(run.outcome, AmpOutcome::Converged);
            for (sum, part) in sum.iter_mut().zip(seen(&drawn, &run.beta)) {
                *sum += part / draws as f64;
            }
        }
        let limit = [point.mse, point.tpp, point.fdp, point.flat];
        // Of 6000 coefficients 1200 are signals. The share of selected ones has a standard deviation of at most
        // sqrt(0.25 / 1200) = 0.014, the squared errors of signals are of size 1 and spread 2, so their mean over all has
        // 0.2 * 2 / sqrt(1200) = 0.012; bounds are four of each, plus 0.01 for the finite size.
        let bounds = [0.06, 0.07, 0.06, 0.03];
        for ((limit, got), bound) in limit.iter().zip(sum).zip(bounds) {
            assert!((limit - got).abs() < bound, "{limit} {got}");
        }
    }
}

#[test]
fn message_passing_follows_state_evolution() {
    let (n, p) = (700, 1000);
    let prior = Prior::bernoulli_gaussian(0.2, 4.0).unwrap();
    let setting = Setting::new(prior, 0.7, 0.5).unwrap();
    let taus = trajectory(&setting, &Levels::new(2.0, 1.0, 0.1).unwrap(), 12).unwrap();
    let alpha = TwoLevel::with_share(2.0, 1.0, 0.1, p).unwrap();
    let run = run(&draw(7, n, p, 0.2, 4.0, 0.5), &alpha);
    for (tau, step) in taus.iter().zip(&run.history) {
        // |z| / sqrt(n) has a relative standard deviation near 1 / sqrt(2 n) = 0.027 at its start, from signals of
        // spread 3 in 200 more: 0.5 sqrt(2 * 1.5 / 200) = 0.06.
        assert!((step.tau / tau - 1.0).abs() < 0.2, "{} {tau}", step.tau);
    }
}

#[test]
fn divergence_is_an_outcome() {
    // A design of equal columns is as far from independent entries as can be.
    let x = Mat::from_fn(50, 200, |i, _| 1.0 + 0.01 * i as f64);
    let y: Vec<f64> = (0..50).map(|i| f64::from(i % 7) - 3.0).collect();
    let alpha = TwoLevel::new(0.5, 0.1, 20, 200).unwrap();
    let run = Amp::default().run(&x.as_ref(), &y, &alpha).unwrap();
    assert_eq!(run.outcome, AmpOutcome::Diverged);
    assert!(run.beta.iter().all(|b| b.is_finite()));

    let short = Amp { max_iters: 3, ..Amp::default() };
    let drawn = draw(3, 100, 150, 0.1, 1.0, 0.5);
    let alpha = TwoLevel::new(2.0, 1.5, 15, 150).unwrap();
    let run = short.run(&drawn.x.as_ref(), &drawn.y, &alpha).unwrap();
    assert_eq!((run.outcome, run.history.len()), (AmpOutcome::MaxIters, 3));
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    let x = Mat::<f64>::zeros(4, 3);
    let alpha = L1::new(1.0, 3).unwrap();
    let wrong = Amp::default().run(&x.as_ref(), &[0.0; 5], &alpha);
    assert!(matches!(wrong, Err(Error::Length { name: "response", .. })));
    let wrong = Amp::default().run(&x.as_ref(), &[0.0; 4], &L1::new(1.0, 2).unwrap());
    assert!(matches!(wrong, Err(Error::Length { name: "penalty", .. })));
    let zero = Amp::default().run(&x.as_ref(), &[0.0; 4], &alpha).unwrap();
    assert!(zero.outcome == AmpOutcome::Converged && zero.beta == [0.0; 3]);
}
