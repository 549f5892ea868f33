//! What a fit holds beside its data.

use chacha20::ChaCha20Rng;
use rand::SeedableRng;
use report::heap::{Counting, peak_of};
use slope2::{
    Datafit, Design, DualNorm, Fista, Gaussian, LossScale, Problem, Solver, Start, TwoLevel,
    ZoneDescent,
};

use crate::cases::normal;

#[global_allocator]
static HEAP: Counting = Counting;

/// Most vectors of `n + p`.
const MOST: f64 = 24.0;

/// What a fit at a tenth of the largest useful strength holds at once, in vectors of `n + p`.
fn vectors(solver: &impl Solver<TwoLevel>, n: usize, p: usize, ratio: f64) -> f64 {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let x: Vec<f64> = (0..n * p).map(|_| normal(&mut rng)).collect();
    let design = Design::from_columns(x, n, p).unwrap();
    let mut b = vec![0.0; p];
    (0..20).for_each(|s| b[s * p / 20] = if s % 2 == 0 { 1.0 } else { -1.0 });
    let mut y = vec![0.0; n];
    design.apply(&b, &mut y);
    y.iter_mut().for_each(|y| *y += 1.5 * normal(&mut rng));
    let datafit = Datafit::new(&Gaussian, &y, LossScale::Mean).unwrap();
    let share = if p < n { 0.2 } else { 0.02 };
    let penalty = TwoLevel::with_share(1.0, ratio, share, p).unwrap();
    let problem = Problem { design: &design, datafit, penalty, intercept: false };
    let mut gradient = vec![0.0; p];
    design.adjoint(&y, &mut gradient);
    let alpha = problem.penalty.dual_norm(&gradient) / (10.0 * n as f64);
    let problem = problem.with_penalty(problem.penalty.scaled(alpha).unwrap());
    let (fit, bytes) = peak_of(|| solver.solve(&problem, &Start::default()).unwrap());
    assert!(fit.certificate.holds(1e-6), "{n} x {p}");
    bytes as f64 / (8.0 * (n + p) as f64)
}

#[test]
fn a_fit_holds_at_most_24_vectors_beside_its_data() {
    let solver = ZoneDescent { tolerance: 1e-6, ..ZoneDescent::default() };
    // The matrix library takes its scratch space once.
    vectors(&solver, 30, 60, 0.5);
    for (n, p) in [
        (1_000, 50),
        (2_000, 50),
        (20_000, 50),
        (200, 1_000),
        (200, 3_162),
        (100, 8_000),
        (200, 20_000),
    ] {
        for ratio in [0.5, 1.0] {
            let vectors = vectors(&solver, n, p, ratio);
            assert!(vectors <= MOST, "{n} x {p}, ratio {ratio}: {vectors} vectors");
            // The solution alone is one.
            assert!(1.0 < vectors, "{n} x {p}: nothing was counted");
        }
    }
}

/// First-order steps need no inner products at all.
#[test]
fn accelerated_steps_hold_at_most_24_vectors_at_any_size() {
    let solver = Fista { tolerance: 1e-6, ..Fista::default() };
    for (n, p) in [(1_000, 50), (200, 1_000), (200, 3_162)] {
        let vectors = vectors(&solver, n, p, 0.5);
        assert!(1.0 < vectors && vectors <= MOST, "{n} x {p}: {vectors} vectors");
    }
}
