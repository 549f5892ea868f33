//! What solvers keep from one penalty to the next, and the ways they compute products, against certificates from the residual.

use chacha20::ChaCha20Rng;
use rand::{RngExt, SeedableRng};
use slope2::{
    Alphas, Binomial, Center, Certificate, ClusterDescent, Datafit, Design, Family, Gaussian,
    LossScale, PathSettings, Problem, Scale, Shape, Silent, Solver, SortedL1, Start, Termination,
    TwoLevel, ZoneDescent, certify, datafit::normalized, sequence,
};

use crate::cases::{normal, wrong_gap};

/// A design that is mostly zeros, in both forms, and a response.
struct Sparse {
    n: usize,
    p: usize,
    x: Vec<f64>,
    ends: Vec<usize>,
    rows: Vec<usize>,
    values: Vec<f64>,
    y: Vec<f64>,
    weights: Vec<f64>,
}

impl Sparse {
    fn draw(n: usize, p: usize, density: f64, family: &dyn Family, seed: u64) -> Sparse {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut x = vec![0.0; n * p];
        let (mut ends, mut rows, mut values) = (vec![0], Vec::new(), Vec::new());
        for j in 0..p {
            for i in 0..n {
                if rng.random::<f64>() < density {
                    let value = 0.5 + normal(&mut rng);
                    x[j * n + i] = value;
                    rows.push(i);
                    values.push(value);
                }
            }
            ends.push(rows.len());
        }
        let y = (0..n)
            .map(|i| {
                let eta: f64 = (0..p)
                    .step_by(7)
                    .map(|j| if j % 2 == 0 { 2.0 } else { -2.0 } * x[j * n + i])
                    .sum();
                match family.name() {
                    "binomial" => f64::from(rng.random::<f64>() < family.mean(eta)),
                    _ => 10.0 + eta + 0.5 * normal(&mut rng),
                }
            })
            .collect();
        let weights: Vec<f64> = (0..n).map(|_| rng.random_range(0.2..2.0)).collect();
        let weights = normalized(&weights).unwrap();
        Sparse { n, p, x, ends, rows, values, y, weights }
    }

    fn designs(&self, standardized: bool) -> [Design<'_>; 2] {
        let dense = Design::from_columns(self.x.as_slice(), self.n, self.p).unwrap();
        let sparse = Design::sparse(self.n, &self.ends, &self.rows, &self.values).unwrap();
        [dense, sparse].map(|design| {
            if standardized {
                design.standardized(&Center::Mean, &Scale::Sd, None).unwrap()
            } else {
                design
            }
        })
    }
}

/// The certificate of a point from the residual alone.
fn proof<P: Shape>(unit: &Problem<'_, P>, alpha: f64, b0: &[f64], b: &[f64]) -> Certificate {
    certify(&unit.with_penalty(unit.penalty.scaled(alpha).unwrap()), b0, b).unwrap()
}

/// Walks a path and checks each point against its residual. The certificates that the path itself gives may come from second
/// moments.
fn check_path<P: Shape>(unit: &Problem<'_, P>, solver: &impl Solver<P>, tolerance: f64) {
    let alphas = Alphas::Geometric { n_points: 15, ratio: Some(1e-3) };
    let settings = PathSettings { alphas, enough: f64::INFINITY, least_change: 0.0 };
    let path = settings.fit(solver, unit, &Silent).unwrap();
    assert_eq!(path.points.len(), 15);
    let whole = path.points[0].solution.loss;
    for point in &path.points {
        let solution = &point.solution;
        let own = &solution.certificate;
        let other = proof(unit, point.alpha, &solution.intercepts, &solution.coefficients);
        let rounding = 1e-11 * whole;
        assert!((own.primal - other.primal).abs() <= rounding, "{own:?} {other:?}");
        // A bound on rounding is part of what a path says, and it says nothing that is not true.
        assert!(own.dual <= other.dual + 1e-12 * other.primal, "{own:?} {other:?}");
        if solution.report.termination == Termination::GapReached {
            assert!(own.gap() <= tolerance * own.primal, "{own:?}");
            assert!(other.gap() <= (tolerance + 1e-12) * other.primal, "{other:?}");
        }
    }
}

#[test]
fn paths_of_many_rows_are_certified_by_their_residuals() {
    for seed in 0..6 {
        let data = Sparse::draw(300, [5, 12, 40][seed as usize % 3], 0.3, &Gaussian, seed);
        for design in &data.designs(seed % 2 == 0) {
            let datafit = Datafit::new(&Gaussian, &data.y, LossScale::Mean).unwrap();
            let datafit =
                if seed < 3 { datafit } else { datafit.with_weights(&data.weights).unwrap() };
            let intercept = seed % 3 != 1;
            let two = TwoLevel::with_share(1.0, 0.4, 0.3, data.p).unwrap();
            let zones = Problem { design, datafit, penalty: two, intercept };
            let bh = SortedL1::new(sequence::benjamini_hochberg(0.2, data.p).unwrap()).unwrap();
            let clusters = zones.with_penalty(bh);
            for tolerance in [1e-6, 1e-13] {
                check_path(&zones, &ZoneDescent { tolerance, ..ZoneDescent::default() }, tolerance);
                let solver = ClusterDescent { tolerance, ..ClusterDescent::default() };
                check_path(&clusters, &solver, tolerance);
            }
        }
    }
}

#[test]
fn columns_with_few_entries_are_fitted_like_dense_ones() {
    for (seed, family) in [(1, &Gaussian as &dyn Family), (2, &Binomial), (3, &Gaussian)] {
        let data = Sparse::draw(250, 500, 0.01, family, seed);
        let datafit = Datafit::new(family, &data.y, LossScale::Mean).unwrap();
        let datafit =
            if seed == 3 { datafit } else { datafit.with_weights(&data.weights).unwrap() };
        let [dense, sparse] = data.designs(seed != 1);
        for (ratio, share, part) in [(0.5, 0.1, 0.1), (1.0, 0.0, 0.05), (0.2, 0.4, 0.02)] {
            let unit = TwoLevel::with_share(1.0, ratio, share, data.p).unwrap();
            let fit = |design| {
                let unit = Problem { design, datafit, penalty: unit, intercept: true };
                let alpha = part * unit.alpha_max();
                let problem = unit.with_penalty(unit.penalty.scaled(alpha).unwrap());
                let solver = ZoneDescent { tolerance: 1e-10, ..ZoneDescent::default() };
                let solution = solver.solve(&problem, &Start::default()).unwrap();
                let proof = proof(&unit, alpha, &solution.intercepts, &solution.coefficients);
                assert_eq!(wrong_gap(&proof), None, "seed {seed} ratio {ratio}");
                solution
            };
            let (a, b) = (fit(&dense), fit(&sparse));
            let apart = (a.certificate.primal - b.certificate.primal).abs();
            assert!(apart <= 2e-10 * a.certificate.primal, "seed {seed} ratio {ratio}: {apart}");
            // A residual that drifts would be found by the certificate, and cost steps.
            let (few, own) = (a.report.n_iters, b.report.n_iters);
            assert!(own <= few + 5, "seed {seed} ratio {ratio}: {own} steps, {few} for dense ones");
        }
    }
}

#[test]
fn a_session_may_go_anywhere() {
    let data = Sparse::draw(60, 90, 0.2, &Gaussian, 5);
    let [dense, sparse] = data.designs(true);
    for design in [&dense, &sparse] {
        let datafit = Datafit::new(&Gaussian, &data.y, LossScale::Mean).unwrap();
        let unit = TwoLevel::new(1.0, 0.5, 9, 90).unwrap();
        let problem = Problem { design, datafit, penalty: unit, intercept: true };
        let top = problem.alpha_max();
        let solver = ZoneDescent { tolerance: 1e-11, ..ZoneDescent::default() };
        let mut session = solver.session(&problem);
        let mut last = Start::default();
        for (ratio, k, part) in [
            (0.5, 9, 0.1),
            (1.0, 0, 0.1),
            (0.5, 9, 0.02),
            (0.5, 2, 0.02),
            (0.0, 30, 0.3),
            (0.9, 80, 0.01),
            (1.0, 0, 0.9),
            (0.5, 9, 0.1),
        ] {
            let penalty = TwoLevel::new(part * top, ratio * part * top, k, 90).unwrap();
            for start in [last.clone(), Start::default()] {
                let solution = session.solve(&penalty, &start).unwrap();
                let alone = problem.with_penalty(penalty);
                let proof = certify(&alone, &solution.intercepts, &solution.coefficients).unwrap();
                assert_eq!(wrong_gap(&proof), None, "{ratio} {k} {part}");
                last = Start::at(&solution);
            }
        }
    }
}

/// Columns far from zero, and pairs that are nearly one: second moments lose digits there. Columns are returned with what they
/// are far from taken off, which changes no fit with an intercept and rounds nothing.
fn hard(n: usize, p: usize, far: f64, near: f64, seed: u64) -> (Sparse, Vec<f64>) {
    let mut data = Sparse::draw(n, p, 1.0, &Gaussian, seed);
    for j in (1..p).step_by(3) {
        for i in 0..n {
            data.x[j * n + i] = data.x[(j - 1) * n + i] + near * data.x[j * n + i];
        }
    }
    data.x.iter_mut().for_each(|x| *x += far);
    data.values.clone_from(&data.x);
    let off = data.x.iter().map(|x| x - far).collect();
    (data, off)
}

#[test]
fn certificates_of_many_rows_claim_nothing_untrue_where_moments_lose_digits() {
    for (seed, (far, near)) in
        [(1e3, 1.0), (1e5, 1.0), (1e7, 1.0), (0.0, 1e-3), (0.0, 1e-5), (1e4, 1e-2)]
            .iter()
            .enumerate()
    {
        let (n, p) = (300, 9);
        let (data, x) = hard(n, p, *far, *near, seed as u64);
        let plain = Design::from_columns(x, n, p).unwrap();
        for design in data.designs(false) {
            let design = &design.standardized(&Center::Mean, &Scale::None, None).unwrap();
            let datafit = Datafit::new(&Gaussian, &data.y, LossScale::Mean).unwrap();
            let two = TwoLevel::new(1.0, 0.5, 3, p).unwrap();
            let unit = Problem { design, datafit, penalty: two, intercept: true };
            let bh = SortedL1::new(sequence::benjamini_hochberg(0.2, p).unwrap()).unwrap();
            let alphas = Alphas::Geometric { n_points: 12, ratio: Some(1e-5) };
            let settings = PathSettings { alphas, enough: f64::INFINITY, least_change: 0.0 };
            let zones = ZoneDescent::default();
            let clusters = ClusterDescent::default();
            let two = settings.fit(&zones, &unit, &Silent).unwrap();
            let bh = settings.fit(&clusters, &unit.with_penalty(bh), &Silent).unwrap();
            for (kind, path) in [("two", two), ("bh", bh)] {
                for point in &path.points {
                    let solution = &point.solution;
                    let penalty = match kind {
                        "two" => unit.penalty.scaled(point.alpha).unwrap().sequence(),
                        _ => {
                            let lambda = sequence::benjamini_hochberg(0.2, p).unwrap();
                            lambda.iter().map(|l| point.alpha * l).collect()
                        }
                    };
                    let penalty = SortedL1::new(penalty).unwrap();
                    let alone = Problem { design: &plain, datafit, penalty, intercept: true };
                    // The intercept may be rounded where the columns are far away; the gap is that of the best one.
                    let mut eta = vec![0.0; n];
                    plain.apply(&solution.coefficients, &mut eta);
                    let b0 = datafit.intercepts(&eta, &[]);
                    let best = certify(&alone, &b0, &solution.coefficients).unwrap();
                    if solution.report.termination == Termination::GapReached {
                        let gap = best.relative_gap();
                        assert!(gap <= 2e-8, "far {far} near {near} {kind}: {gap:e} {design:?}");
                    }
                }
            }
        }
    }
}
