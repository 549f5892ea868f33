//! Cluster descent on random problems, checked by code that no solver uses, by other solvers, and by its symmetries.

use chacha20::ChaCha20Rng;
use rand::{RngExt, SeedableRng};
use slope2::{
    Binomial, ClusterDescent, Datafit, Design, Gaussian, LossScale, Poisson, Problem, Solution,
    Solver, SortedL1, Start, certify, sequence,
};

use super::cases::{Case, wrong_gap};

mod agreement;
mod edges;

const SHAPES: usize = 4;

/// Sequences of weights with the first about 1.
fn shape(which: usize, case: &Case, rng: &mut ChaCha20Rng) -> Vec<f64> {
    let p = case.p;
    let q = [0.02, 0.1, 0.5][rng.random_range(0..3)];
    match which {
        0 => sequence::benjamini_hochberg(q, p).unwrap(),
        1 => sequence::gaussian(q, p, case.n).unwrap(),
        2 => sequence::oscar([0.0, 0.5][rng.random_range(0..2)], 1.0 / p as f64, p).unwrap(),
        _ => (0..p).map(|j| if j < case.k { 1.0 } else { case.ratio }).collect(),
    }
}

/// The gradient at a solution.
fn gradient(problem: &Problem<'_, SortedL1>, solution: &Solution) -> Vec<f64> {
    let mut eta = vec![0.0; problem.design.n_rows()];
    problem.design.apply(&solution.coefficients, &mut eta);
    eta.iter_mut().for_each(|e| *e += solution.intercept());
    let mut pull = vec![0.0; eta.len()];
    problem.datafit.pull(&eta, &mut pull);
    if problem.intercept {
        assert!(
            pull.iter().sum::<f64>().abs()
                < 1e-9 * (1.0 + pull.iter().map(|p| p.abs()).sum::<f64>())
        );
    }
    let mut g = vec![0.0; solution.coefficients.len()];
    problem.design.adjoint(&pull, &mut g);
    g
}

/// The largest violation of optimality, per coefficient and relative to the first weight.
///
/// # Source
/// arXiv 2210.14780, equation 4 (subdifferential of the sorted-L1 norm): the gradients of a cluster, by falling size, have
/// partial sums up to those of its weights; the totals agree where the cluster is not zero.
fn violation(problem: &Problem<'_, SortedL1>, solution: &Solution) -> f64 {
    let (b, g) = (&solution.coefficients, gradient(problem, solution));
    let mut order: Vec<usize> = (0..b.len()).collect();
    order.sort_by(|i, j| b[*j].abs().total_cmp(&b[*i].abs()));
    let (mut first, mut worst) = (0, 0.0f64);
    for block in order.chunk_by(|i, j| b[*i].abs() == b[*j].abs()) {
        let zero = b[block[0]] == 0.0;
        let pull = |j: &usize| if zero { g[*j].abs() } else { b[*j].signum() * g[*j] };
        let mut pulls: Vec<f64> = block.iter().map(pull).collect();
        pulls.sort_by(|a, b| b.total_cmp(a));
        let mut excess = 0.0;
        for (i, (pull, l)) in pulls.iter().zip(&problem.penalty.lambda()[first..]).enumerate() {
            excess += pull - l;
            worst = worst.max(excess / (i + 1) as f64);
        }
        if !zero {
            worst = worst.max(excess.abs() / block.len() as f64);
        }
        first += block.len();
    }
    // A maximum leaves out what is not a number.
    if g.iter().all(|g| g.is_finite()) { worst / problem.penalty.lambda()[0] } else { f64::NAN }
}

/// Calls `f` with the problem of a case and a sequence, unless there is none: no penalty, or nothing to explain.
fn with<R>(case: &Case, shape: Vec<f64>, f: impl FnOnce(&Problem<'_, SortedL1>) -> R) -> Option<R> {
    let design = Design::from_columns(case.x.as_slice(), case.n, case.p).unwrap();
    let datafit = Datafit::new(case.family, &case.y, LossScale::Mean).unwrap();
    let penalty = SortedL1::new(shape).unwrap();
    let mut problem = Problem { design: &design, datafit, penalty, intercept: case.intercept };
    problem.check().ok()?;
    let top = problem.alpha_max();
    if !top.is_finite() || top <= 1e-12 {
        return None;
    }
    problem.penalty = problem.penalty.scaled(case.part * top).unwrap();
    Some(f(&problem))
}

/// What is wrong with the solution, if anything; none if the case has no problem.
fn outcome(
    case: &Case,
    shape: Vec<f64>,
    solver: ClusterDescent,
    name: &str,
) -> Option<Result<(), String>> {
    with(case, shape, |problem| {
        let solution = solver.solve(problem, &Start::default()).unwrap();
        let proof = certify(problem, &solution.intercepts, &solution.coefficients).unwrap();
        let what = case.describe(name, solution.report);
        if let Some(gap) = wrong_gap(&proof) {
            return Err(format!("{what}: {gap}"));
        }
        let worst = violation(problem, &solution);
        if worst <= 1e-3 { Ok(()) } else { Err(format!("{what}: violation {worst:e}")) }
    })
}

/// Solves problems up to this size. Two of three cases must have one, or the test would check little.
fn check(n_cases: u64, first: u64, largest: (usize, usize)) {
    let (mut failures, mut n_solved) = (Vec::new(), 0);
    for seed in first..first + n_cases {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let families: [&dyn slope2::Family; 3] = [&Gaussian, &Binomial, &Poisson];
        let family = if seed % 3 == 0 { families[rng.random_range(1..3)] } else { families[0] };
        let case = Case::draw(&mut rng, largest, family);
        for which in 0..SHAPES {
            let shape = shape(which, &case, &mut rng);
            let permuted = (seed % 4 == 0).then_some(seed);
            let solver = ClusterDescent { tolerance: 1e-10, permuted, ..ClusterDescent::default() };
            let outcome = outcome(&case, shape, solver, &format!("seed {seed} shape {which}"));
            n_solved += u64::from(outcome.is_some());
            failures.extend(outcome.and_then(Result::err));
        }
    }
    let n = n_cases * SHAPES as u64;
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    assert!(2 * n <= 3 * n_solved, "only {n_solved} of {n} cases had a problem");
}

#[test]
fn random_problems_are_certified_over_clusters() {
    check(120, 20_000, (40, 80));
}

#[test]
#[ignore = "heavy: two thousand problems with up to a thousand features"]
fn many_random_problems_are_certified_over_clusters() {
    check(500, 30_000, (200, 1000));
}
