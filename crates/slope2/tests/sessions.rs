//! What solvers keep from one penalty to the next, and the ways they compute products, against certificates from the residual.

use chacha20::ChaCha20Rng;
use rand::{RngExt, SeedableRng};
use slope2::{
    Alphas, Binomial, Center, Certificate, ClusterDescent, Datafit, Design, Family, Gaussian,
    LossScale, PathSettings, Problem, Scale, Shape, Silent, Solver, SortedL1, Start, TwoLevel,
    ZoneDescent, certify, datafit::normalized, sequence,
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
        assert!(other.gap() <= tolerance * other.primal + rounding, "{} {other:?}", point.alpha);
        assert!((own.primal - other.primal).abs() <= rounding, "{own:?} {other:?}");
        assert!((own.dual - other.dual).abs() <= rounding, "{own:?} {other:?}");
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
