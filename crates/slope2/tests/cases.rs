//! Random problems for the tests of solvers.

use chacha20::ChaCha20Rng;
use rand::{Rng, RngExt};
use slope2::{
    Certificate, Datafit, Design, DualNorm, Family, LossScale, Problem, Report, TwoLevel,
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

    /// Calls `f` with the problem, unless there is none: no penalty at all, or nothing to explain.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&Problem<'_, TwoLevel>) -> R) -> Option<R> {
        let design = Design::from_columns(self.x.as_slice(), self.n, self.p).unwrap();
        let datafit = Datafit::new(self.family, &self.y, LossScale::Mean).unwrap();
        let unit = TwoLevel::new(1.0, self.ratio, self.k, self.p).unwrap();
        let mut problem =
            Problem { design: &design, datafit, penalty: unit, intercept: self.intercept };
        problem.check().ok()?;
        let top = unit.dual_norm(&problem.null_gradient());
        if !top.is_finite() || top <= 1e-12 {
            return None;
        }
        problem.penalty = unit.scaled(self.part * top).unwrap();
        Some(f(&problem))
    }

    /// The case in words, for a test that fails.
    pub(crate) fn describe(&self, what: &str, report: Report) -> String {
        format!(
            "{what}: {} n {} p {} k {} ratio {} part {} intercept {} {report:?}",
            self.family.name(),
            self.n,
            self.p,
            self.k,
            self.ratio,
            self.part,
            self.intercept,
        )
    }
}

/// What is wrong with a gap, if it is above `1e-9 |P|` or below zero by more than rounding.
pub(crate) fn wrong_gap(proof: &Certificate) -> Option<String> {
    let size = proof.primal.abs();
    // What is not a number lies in no range.
    let right = (-1e-12 * size..=1e-9 * size).contains(&proof.gap());
    (!right).then(|| format!("gap {:e}", proof.relative_gap()))
}
