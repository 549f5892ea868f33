//! Zone descent on random problems, checked by code that no solver uses.

use chacha20::ChaCha20Rng;
use rand::{Rng, RngExt, SeedableRng};
use slope2::{
    Binomial, Datafit, Design, DualNorm, Family, Gaussian, LossScale, Poisson, Problem, Solution,
    Solver, SortedL1, Start, TwoLevel, ZoneDescent, certify,
};

/// A normal by Box and Muller.
pub(crate) fn normal(rng: &mut impl Rng) -> f64 {
    let (u, v): (f64, f64) = (rng.random(), rng.random());
    (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// A random problem, columns one after the other.
pub(crate) struct Case {
    pub(crate) n: usize,
    pub(crate) p: usize,
    pub(crate) x: Vec<f64>,
    pub(crate) y: Vec<f64>,
    pub(crate) ratio: f64,
    pub(crate) k: usize,
    /// Strength relative to the smallest at which all is zero.
    pub(crate) part: f64,
    pub(crate) intercept: bool,
    pub(crate) family: &'static dyn Family,
}

impl Case {
    pub(crate) fn draw(
        rng: &mut ChaCha20Rng,
        largest: (usize, usize),
        family: &'static dyn Family,
    ) -> Case {
        let n = rng.random_range(5..=largest.0);
        let p = rng.random_range(3..=largest.1);
        let rho = [0.0, 0.3, 0.9, 0.99][rng.random_range(0..4)];
        let mut x = vec![0.0; n * p];
        for i in 0..n {
            let mut last = normal(rng);
            for j in 0..p {
                last = rho * last + (1.0f64 - rho * rho).sqrt() * normal(rng);
                x[j * n + i] = last;
            }
        }
        // Duplicated, negated, zero and integer columns.
        for j in 1..p {
            match rng.random_range(0..12) {
                0 => x.copy_within((j - 1) * n..j * n, j * n),
                1 => (0..n).for_each(|i| x[j * n + i] = -x[(j - 1) * n + i]),
                2 => x[j * n..(j + 1) * n].fill(0.0),
                3 => x[j * n..(j + 1) * n].iter_mut().for_each(|x| *x = x.round()),
                _ => {}
            }
        }
        let mut eta = vec![0.0; n];
        for j in (0..p).step_by(p.div_ceil(5)) {
            let b = normal(rng);
            (0..n).for_each(|i| eta[i] += b * x[j * n + i]);
        }
        let y = eta
            .iter()
            .map(|eta| match family.name() {
                "binomial" => f64::from(rng.random::<f64>() < family.mean(0.5 * *eta)),
                "poisson" => (0.3 * eta).clamp(-2.0, 2.0).exp().round(),
                _ => eta + normal(rng),
            })
            .collect();
        let ratio = [0.0, 0.1, 0.5, 0.99, 1.0][rng.random_range(0..5)];
        let part = [0.9, 0.5, 0.1, 0.02, 0.001]
            [rng.random_range(0..if family.name() == "gaussian" { 5 } else { 3 })];
        Case {
            n,
            p,
            x,
            y,
            ratio,
            k: rng.random_range(0..=p),
            part,
            intercept: rng.random(),
            family,
        }
    }

    fn with<R>(&self, f: impl FnOnce(&Problem<'_, TwoLevel>) -> R) -> Option<R> {
        let design = Design::from_columns(self.x.as_slice(), self.n, self.p).unwrap();
        let datafit = Datafit::new(self.family, &self.y, LossScale::Mean).unwrap();
        let unit = TwoLevel::new(1.0, self.ratio, self.k, self.p).unwrap();
        let mut problem =
            Problem { design: &design, datafit, penalty: unit, intercept: self.intercept };
        problem.check().ok()?;
        let top = unit.dual_norm(&problem.null_gradient());
        // No penalty at all, or nothing to explain.
        if !top.is_finite() || top <= 1e-12 {
            return None;
        }
        problem.penalty = unit.scaled(self.part * top).unwrap();
        Some(f(&problem))
    }
}

/// The largest violation of the optimality conditions of two levels, from the coefficients alone.
///
/// # Source
/// Derived: there is a height `h` so that gradients are `lambda1` above it, `lambda2` below, between the two at it and at most
/// `lambda2` at zero, and the excesses over `lambda2` sum to `k D`.
fn violation(problem: &Problem<'_, TwoLevel>, solution: &Solution) -> f64 {
    let (design, b) = (problem.design, &solution.coefficients);
    let mut eta = vec![0.0; design.n_rows()];
    design.apply(b, &mut eta);
    eta.iter_mut().for_each(|e| *e += solution.intercept);
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
    worst
}

fn check(case: &Case, seed: u64) {
    if let Some(failure) = failure(case, seed) {
        panic!("{failure}");
    }
}

/// What is wrong with the solution of a case, if anything.
fn failure(case: &Case, seed: u64) -> Option<String> {
    case.with(|problem| {
        let solver = ZoneDescent { tolerance: 1e-10, ..ZoneDescent::default() };
        let solution = solver.solve(problem, &Start::default()).unwrap();
        let proof = certify(problem, solution.intercept, &solution.coefficients).unwrap();
        let what = format!(
            "seed {seed}: {} n {} p {} k {} ratio {} part {} intercept {} {:?}",
            case.family.name(),
            case.n,
            case.p,
            case.k,
            case.ratio,
            case.part,
            case.intercept,
            solution.report
        );
        let size = proof.primal.abs();
        if 1e-9 * size < proof.gap() || proof.gap() < -1e-12 * size {
            return Some(format!("{what}: gap {:e}", proof.relative_gap()));
        }
        let general = Problem {
            design: problem.design,
            datafit: problem.datafit,
            penalty: SortedL1::new(problem.penalty.sequence()).unwrap(),
            intercept: problem.intercept,
        };
        let other = certify(&general, solution.intercept, &solution.coefficients).unwrap();
        if 1e-12 * size < (other.primal - proof.primal).abs() {
            return Some(format!("{what}: {} and {}", other.primal, proof.primal));
        }
        // The gap bounds the objective; gradients follow with its root.
        let worst = violation(problem, &solution) / problem.penalty.lambda1().max(1e-300);
        (1e-3 < worst).then(|| format!("{what}: violation {worst:e} of lambda1"))
    })
    .flatten()
}

#[test]
fn random_problems_are_certified() {
    for seed in 0..150 {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        check(&Case::draw(&mut rng, (40, 80), &Gaussian), seed);
    }
    for seed in 0..40 {
        let mut rng = ChaCha20Rng::seed_from_u64(1000 + seed);
        check(&Case::draw(&mut rng, (40, 60), &Binomial), seed);
        check(&Case::draw(&mut rng, (40, 60), &Poisson), seed);
    }
}

#[test]
#[ignore = "heavy: a thousand problems with up to a thousand features"]
fn a_thousand_random_problems_are_certified() {
    let failures: Vec<String> = (0..1000)
        .filter_map(|seed| {
            let mut rng = ChaCha20Rng::seed_from_u64(10_000 + seed);
            failure(&Case::draw(&mut rng, (200, 1000), &Gaussian), seed)
        })
        .collect();
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// More free coefficients than observations near interpolation: epochs set free what joint steps put back.
#[test]
fn dependent_columns_do_not_stall_the_joint_steps() {
    for seed in [7, 117] {
        let mut rng = ChaCha20Rng::seed_from_u64(10_000 + seed);
        check(&Case::draw(&mut rng, (200, 1000), &Gaussian), seed);
    }
}
