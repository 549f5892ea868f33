//! Zone descent on random problems, checked by code that no solver uses.

use chacha20::ChaCha20Rng;
use rand::SeedableRng;
use slope2::{
    Binomial, Center, Datafit, Design, DualNorm, Family, Gaussian, LossScale, Poisson, Problem,
    Scale, Solution, Solver, SortedL1, Start, TwoLevel, ZoneDescent, certify,
};

use super::cases::{Case, normal, wrong_gap};

/// The largest violation of the optimality conditions of two levels, from the coefficients alone.
///
/// # Source
/// Derived: there is a height `h` so that gradients are `lambda1` above it, `lambda2` below, between the two at it and at most
/// `lambda2` at zero, and the excesses over `lambda2` sum to `k D`.
fn violation(problem: &Problem<'_, TwoLevel>, solution: &Solution) -> f64 {
    let (design, b) = (problem.design, &solution.coefficients);
    let mut eta = vec![0.0; design.n_rows()];
    design.apply(b, &mut eta);
    eta.iter_mut().for_each(|e| *e += solution.intercept());
    let mut pull = vec![0.0; eta.len()];
    problem.datafit.pull(&eta, &mut pull);
    let mut g = vec![0.0; b.len()];
    design.adjoint(&pull, &mut g);
    let form = problem.penalty.canonical();
    let (l1, l2, k) = (form.lambda1(), form.lambda2(), form.k());
    let mut sizes: Vec<f64> = b.iter().map(|b| b.abs()).collect();
    sizes.sort_by(|a, b| b.total_cmp(a));
    let h = if l1 > l2 { sizes.get(k).copied().unwrap_or(0.0) } else { 0.0 };
    let excess: f64 = g.iter().map(|g| (g.abs() - l2).clamp(0.0, l1 - l2)).sum();
    let mut worst: f64 = if h > 0.0 {
        (excess - k as f64 * (l1 - l2)).abs()
    } else {
        (excess - k as f64 * (l1 - l2)).max(0.0)
    };
    for (b, g) in b.iter().zip(&g) {
        let toward = b.signum() * g;
        worst = worst.max(match b.abs() {
            0.0 if h > 0.0 => g.abs() - l2,
            0.0 => g.abs() - l1,
            size if h == 0.0 || size > h * (1.0 + 1e-12) => (toward - l1).abs(),
            size if size < h * (1.0 - 1e-12) => (toward - l2).abs(),
            _ => (l2 - toward).max(toward - l1),
        });
    }
    if problem.intercept {
        worst = worst.max(pull.iter().sum::<f64>().abs());
    }
    // A maximum leaves out what is not a number.
    if g.iter().all(|g| g.is_finite()) { worst } else { f64::NAN }
}

/// What is wrong with the solution of a case, if anything; none if the case has no problem.
fn outcome(case: &Case, seed: u64) -> Option<Result<(), String>> {
    case.with(|problem| {
        let solver = ZoneDescent { tolerance: 1e-10, ..ZoneDescent::default() };
        let solution = solver.solve(problem, &Start::default()).unwrap();
        let proof = certify(problem, &solution.intercepts, &solution.coefficients).unwrap();
        let what = case.describe(&format!("seed {seed}"), solution.report);
        if let Some(wrong) = wrong_gap(&proof) {
            return Err(format!("{what}: {wrong}"));
        }
        let general = Problem {
            design: problem.design,
            datafit: problem.datafit,
            penalty: SortedL1::new(problem.penalty.sequence()).unwrap(),
            intercept: problem.intercept,
        };
        let other = certify(&general, &solution.intercepts, &solution.coefficients).unwrap();
        if 1e-12 * proof.primal.abs() < (other.primal - proof.primal).abs() {
            return Err(format!("{what}: {} and {}", other.primal, proof.primal));
        }
        // The gap bounds the objective; gradients follow with its root.
        let worst = violation(problem, &solution) / problem.penalty.lambda1().max(1e-300);
        if worst <= 1e-3 { Ok(()) } else { Err(format!("{what}: violation {worst:e} of lambda1")) }
    })
}

/// Solves a case of each seed. Two of three must have a problem: small cases often have
/// one class or no counts at all, and fewer would check little.
fn check(seeds: std::ops::Range<u64>, largest: (usize, usize), family: &'static dyn Family) {
    let (mut n_solved, n) = (0, seeds.end - seeds.start);
    let mut failures = Vec::new();
    for seed in seeds {
        let case = Case::draw(&mut ChaCha20Rng::seed_from_u64(seed), largest, family);
        let outcome = outcome(&case, seed);
        n_solved += u64::from(outcome.is_some());
        failures.extend(outcome.and_then(Result::err));
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    assert!(2 * n <= 3 * n_solved, "only {n_solved} of {n} cases had a problem");
}

#[test]
fn random_problems_are_certified() {
    check(0..150, (40, 80), &Gaussian);
    check(1000..1040, (40, 60), &Binomial);
    check(2000..2040, (40, 60), &Poisson);
}

#[test]
#[ignore = "heavy: a thousand problems with up to a thousand features"]
fn a_thousand_random_problems_are_certified() {
    check(10_000..11_000, (200, 1000), &Gaussian);
}

/// Wide enough that inner products of the working set would outweigh vectors of all features.
#[test]
fn problems_without_inner_products_are_certified() {
    check(3000..3030, (150, 800), &Gaussian);
    check(4000..4015, (120, 500), &Binomial);
}

/// Both go by the residual, one of them with stored entries alone.
#[test]
fn dense_and_sparse_residuals_find_the_same() {
    let (n, p) = (90, 400);
    let mut rng = ChaCha20Rng::seed_from_u64(5);
    // Far from zero, so that centers matter.
    let x: Vec<f64> = (0..n * p).map(|_| 3.0 + normal(&mut rng)).collect();
    let (ends, rows): (Vec<usize>, Vec<usize>) =
        ((0..=p).map(|j| j * n).collect(), (0..n * p).map(|i| i % n).collect());
    let weights: Vec<f64> = (0..n).map(|i| [0.5, 1.0, 1.5][i % 3]).collect();
    let y: Vec<f64> = (0..n).map(|i| f64::from(0.0 < x[i] + x[n + i] - 6.0)).collect();
    for family in [&Gaussian as &dyn Family, &Binomial] {
        for intercept in [false, true] {
            let fits = [true, false].map(|dense| {
                let design = if dense {
                    Design::from_columns(x.as_slice(), n, p).unwrap()
                } else {
                    Design::sparse(n, &ends, &rows, &x).unwrap()
                };
                let design =
                    design.standardized(&Center::Mean, &Scale::Sd, Some(&weights)).unwrap();
                let datafit = Datafit::new(family, &y, LossScale::Mean).unwrap();
                let datafit = datafit.with_weights(&weights).unwrap();
                let penalty = TwoLevel::new(1.0, 0.5, 10, p).unwrap();
                let problem = Problem { design: &design, datafit, penalty, intercept };
                let top = penalty.dual_norm(&problem.null_gradient());
                let problem = problem.with_penalty(penalty.scaled(top / 40.0).unwrap());
                let solver = ZoneDescent { tolerance: 1e-11, ..ZoneDescent::default() };
                let fit = solver.solve(&problem, &Start::default()).unwrap();
                assert!(fit.certificate.holds(1e-11), "{} {dense}", family.name());
                assert!(65 < fit.coefficients.iter().filter(|b| **b != 0.0).count());
                fit
            });
            for (a, b) in fits[0].coefficients.iter().zip(&fits[1].coefficients) {
                assert!((a - b).abs() < 1e-5, "{} {intercept}: {a} and {b}", family.name());
            }
        }
    }
}
