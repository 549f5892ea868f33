//! Responses of several classes, against an objective that is written out here and against each other.

use chacha20::ChaCha20Rng;
use rand::{RngExt, SeedableRng};
use slope2::estimator::{FamilyKind, PenaltyForm, Strength};
use slope2::{
    Binomial, ClusterDescent, Datafit, Design, Error, Fista, Fitted, Loss, LossScale, Problem,
    Slope2, Solution, Solver, SortedL1, Start, Termination, TwoLevel, ZoneDescent, certify,
    sequence,
};

use crate::cases::{normal, wrong_gap};
use crate::data::distance;

/// Columns one after the other, and classes that depend on some of them.
struct Classes {
    n: usize,
    p: usize,
    m: usize,
    x: Vec<f64>,
    y: Vec<f64>,
}

impl Classes {
    fn draw(n: usize, p: usize, m: usize, rho: f64, seed: u64) -> Classes {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut x = vec![0.0; n * p];
        for i in 0..n {
            let mut last = normal(&mut rng);
            for j in 0..p {
                last = rho * last + (1.0 - rho * rho).sqrt() * normal(&mut rng);
                x[j * n + i] = last;
            }
        }
        let y = (0..n)
            .map(|i| {
                let score = |k: usize| 1.5 * x[(k % p) * n + i];
                let scores: Vec<f64> = (0..m).map(|k| score(k) + normal(&mut rng)).collect();
                (0..m).max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap() as f64
            })
            .collect();
        Classes { n, p, m, x, y }
    }

    fn design(&self) -> Design<'_> {
        Design::from_columns(self.x.as_slice(), self.n, self.p).unwrap().in_blocks(self.m - 1)
    }

    fn datafit<'a>(&'a self, scale: LossScale) -> Datafit<'a> {
        Datafit::new(Loss::Multinomial { n_classes: self.m }, &self.y, scale).unwrap()
    }

    /// The mean loss, from probabilities of all classes.
    fn loss(&self, intercepts: &[f64], b: &[f64]) -> f64 {
        let (n, p, q) = (self.n, self.p, self.m - 1);
        let row = |i: usize| {
            let mut eta: Vec<f64> = (0..q)
                .map(|k| {
                    intercepts[k] + (0..p).map(|j| b[k * p + j] * self.x[j * n + i]).sum::<f64>()
                })
                .collect();
            eta.push(0.0);
            let all: f64 = eta.iter().map(|e| e.exp()).sum();
            -(eta[self.y[i] as usize].exp() / all).ln()
        };
        (0..n).map(row).sum::<f64>() / n as f64
    }

    /// Minus the gradient of [`Classes::loss`] by central differences, of intercepts and of coefficients.
    fn pull(&self, intercepts: &[f64], b: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let h = 1e-5;
        let of = |at: usize, v: &[f64], f: &dyn Fn(&[f64]) -> f64| {
            let (mut up, mut down) = (v.to_vec(), v.to_vec());
            up[at] += h;
            down[at] -= h;
            (f(&down) - f(&up)) / (2.0 * h)
        };
        let by_intercept = |v: &[f64]| self.loss(v, b);
        let by_b = |v: &[f64]| self.loss(intercepts, v);
        (
            (0..intercepts.len()).map(|k| of(k, intercepts, &by_intercept)).collect(),
            (0..b.len()).map(|j| of(j, b, &by_b)).collect(),
        )
    }
}

/// Optimality of two levels, with a gradient that no code of the crate has computed.
fn assert_optimal(data: &Classes, penalty: &TwoLevel, solution: &Solution) {
    let (by_intercept, g) = data.pull(&solution.intercepts, &solution.coefficients);
    assert!(by_intercept.iter().all(|g| g.abs() < 1e-6), "{by_intercept:?}");
    let (lambda1, lambda2) = (penalty.lambda1(), penalty.lambda2());
    let mut sizes: Vec<f64> = solution.coefficients.iter().map(|b| b.abs()).collect();
    sizes.sort_by(|a, b| b.total_cmp(a));
    let h = sizes.get(penalty.k()).copied().unwrap_or(0.0);
    for (b, g) in solution.coefficients.iter().zip(&g) {
        let along = g * b.signum();
        let right = match b.abs() {
            0.0 if 0.0 < h => g.abs() <= lambda2 + 1e-6,
            0.0 => g.abs() <= lambda1 + 1e-6,
            size if size < h => (along - lambda2).abs() < 1e-6,
            size if size == h => (lambda2 - 1e-6..=lambda1 + 1e-6).contains(&along),
            _ => (along - lambda1).abs() < 1e-6,
        };
        assert!(right, "b {b} g {g} h {h} levels {lambda1} {lambda2}");
    }
}

#[test]
fn all_solvers_find_the_optimum_of_several_classes() {
    for (seed, (n, p, m, rho)) in
        [(40, 8, 3, 0.0), (60, 25, 4, 0.9), (30, 60, 3, 0.5), (25, 12, 5, 0.99)].iter().enumerate()
    {
        let data = Classes::draw(*n, *p, *m, *rho, seed as u64);
        let design = data.design();
        let columns = p * (m - 1);
        for (ratio, k, part) in [(0.5, columns / 10, 0.1), (1.0, 0, 0.05), (0.0, columns / 4, 0.3)]
        {
            let unit = TwoLevel::new(1.0, ratio, k.max(1), columns).unwrap();
            let datafit = data.datafit(LossScale::Mean);
            let unit = Problem { design: &design, datafit, penalty: unit, intercept: true };
            let alpha = part * unit.alpha_max();
            let problem = unit.with_penalty(unit.penalty.scaled(alpha).unwrap());
            let zone = ZoneDescent { tolerance: 1e-11, ..ZoneDescent::default() }
                .solve(&problem, &Start::default())
                .unwrap();
            assert_eq!(zone.report.termination, Termination::GapReached, "seed {seed} {ratio}");
            let proof = certify(&problem, &zone.intercepts, &zone.coefficients).unwrap();
            assert_eq!(wrong_gap(&proof), None, "seed {seed}");
            let whole = data.loss(&zone.intercepts, &zone.coefficients);
            assert!((whole - zone.loss).abs() < 1e-12 * whole, "{whole} {}", zone.loss);
            assert_optimal(&data, &problem.penalty, &zone);
            let sorted = SortedL1::new(problem.penalty.sequence()).unwrap();
            let general = problem.with_penalty(sorted);
            let cluster = ClusterDescent { tolerance: 1e-11, ..ClusterDescent::default() }
                .solve(&general, &Start::default())
                .unwrap();
            let fista = Fista { tolerance: 1e-9, max_iters: 200_000, ..Fista::default() }
                .solve(&general, &Start::default())
                .unwrap();
            for other in [&cluster, &fista] {
                let apart = (other.certificate.primal - zone.certificate.primal).abs();
                assert!(apart <= 2e-9 * zone.certificate.primal, "seed {seed}: {apart}");
            }
            if columns < *n {
                let apart = distance(&cluster.coefficients, &zone.coefficients);
                assert!(apart < 1e-4, "seed {seed}: {apart}");
            }
        }
    }
}

#[test]
fn two_classes_are_a_binomial_response_with_the_second_as_its_zero() {
    let data = Classes::draw(50, 10, 2, 0.5, 3);
    let flipped: Vec<f64> = data.y.iter().map(|y| 1.0 - y).collect();
    let design = data.design();
    let shape = TwoLevel::new(0.05, 0.02, 3, 10).unwrap();
    let solver = ZoneDescent { tolerance: 1e-13, ..ZoneDescent::default() };
    let fit = |datafit: Datafit<'_>| {
        let problem = Problem { design: &design, datafit, penalty: shape, intercept: true };
        solver.solve(&problem, &Start::default()).unwrap()
    };
    let classes = fit(data.datafit(LossScale::Mean));
    let binomial = fit(Datafit::new(&Binomial, &flipped, LossScale::Mean).unwrap());
    assert!(distance(&classes.coefficients, &binomial.coefficients) < 1e-6);
    assert!(distance(&classes.intercepts, &binomial.intercepts) < 1e-6);
    let apart = classes.certificate.primal - binomial.certificate.primal;
    assert!(apart.abs() < 1e-13, "{apart}");
}

#[test]
fn weights_of_classes_are_repeated_rows_and_scales_agree() {
    let data = Classes::draw(24, 6, 3, 0.3, 4);
    let weights: Vec<f64> = (0..24).map(|i| f64::from(1 + i % 3)).collect();
    let rows: Vec<usize> = (0..24).flat_map(|i| vec![i; 1 + i % 3]).collect();
    let x: Vec<f64> = (0..6)
        .flat_map(|j| rows.iter().map(move |i| (i, j)))
        .map(|(i, j)| data.x[j * 24 + i])
        .collect();
    let y: Vec<f64> = rows.iter().map(|i| data.y[*i]).collect();
    let repeated = Design::from_columns(x, rows.len(), 6).unwrap().in_blocks(2);
    let normalized = slope2::datafit::normalized(&weights).unwrap();
    let design = data.design();
    let lambda = sequence::benjamini_hochberg(0.2, 12).unwrap();
    let penalty = SortedL1::new(lambda.iter().map(|l| 0.02 * l).collect::<Vec<f64>>()).unwrap();
    let solver = ClusterDescent { tolerance: 1e-12, ..ClusterDescent::default() };
    let solve = |design, datafit, penalty| {
        let problem = Problem { design, datafit, penalty, intercept: true };
        solver.solve(&problem, &Start::default()).unwrap()
    };
    let mean = data.datafit(LossScale::Mean);
    let weighted = solve(&design, mean.with_weights(&normalized).unwrap(), penalty.clone());
    let loss = Loss::Multinomial { n_classes: 3 };
    let datafit = Datafit::new(loss, &y, LossScale::Mean).unwrap();
    let repeated = solve(&repeated, datafit, penalty.clone());
    assert!(distance(&weighted.coefficients, &repeated.coefficients) < 1e-5);
    let sum = data.datafit(LossScale::Sum).with_weights(&normalized).unwrap();
    let summed = solve(&design, sum, penalty.scaled(24.0).unwrap());
    assert!(distance(&weighted.coefficients, &summed.coefficients) < 1e-5);
}

#[test]
fn sparse_and_dense_designs_of_several_classes_agree() {
    let mut rng = ChaCha20Rng::seed_from_u64(9);
    let (n, p) = (40, 15);
    let x: Vec<f64> = (0..n * p)
        .map(|_| if rng.random::<f64>() < 0.3 { normal(&mut rng) } else { 0.0 })
        .collect();
    let y: Vec<f64> =
        (0..n).map(|i| f64::from(u8::from(x[i] != 0.0) + u8::from(x[n + i] != 0.0))).collect();
    let mut ends = vec![0];
    let (mut rows, mut values) = (Vec::new(), Vec::new());
    for j in 0..p {
        for i in (0..n).filter(|i| x[j * n + i] != 0.0) {
            rows.push(i);
            values.push(x[j * n + i]);
        }
        ends.push(rows.len());
    }
    let sparse = Design::sparse(n, &ends, &rows, &values).unwrap();
    let dense = Design::from_columns(x.as_slice(), n, p).unwrap();
    let fit = |design: &Design<'_>| {
        Slope2::builder()
            .family(FamilyKind::Multinomial)
            .penalty(PenaltyForm::TwoLevel { ratio: 0.5, share: 0.2 })
            .strength(Strength::Relative(0.1))
            .tolerance(1e-11)
            .build()
            .unwrap()
            .fit(design, &y)
            .unwrap()
    };
    let (a, b) = (fit(&sparse), fit(&dense));
    assert!(distance(&a.coefficients(), &b.coefficients()) < 1e-4);
    assert_eq!((a.n_predictors(), a.n_features(), a.coefficients().len()), (2, p, 2 * p));
    let means = a.predict(&dense).unwrap();
    for (i, class) in a.classify(&sparse).unwrap().into_iter().enumerate() {
        let own: Vec<f64> = (0..3).map(|k| means[k * n + i]).collect();
        assert!((own.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!(own.iter().all(|p| *p <= own[class]), "{own:?} {class}");
    }
    #[cfg(feature = "serde")]
    assert_eq!(Fitted::from_json(&a.to_json().unwrap()).unwrap(), a);
    let _: &Fitted = &a;
}

#[test]
fn responses_that_are_no_classes_are_named() {
    let design = Design::from_columns(vec![1.0, 2.0, 3.0, 4.0], 4, 1).unwrap();
    let slope = || Slope2::builder().family(FamilyKind::Multinomial).build().unwrap();
    for (y, place) in [([0.0, 1.0, 0.5, 2.0], "2"), ([0.0, -1.0, 1.0, 2.0], "1")] {
        let error = slope().fit(&design, &y).unwrap_err();
        assert!(matches!(&error, Error::InvalidEntry { place: p, .. } if p == place), "{error}");
    }
    // Class 1 has no observation.
    let error = slope().fit(&design, &[0.0, 2.0, 0.0, 2.0]).unwrap_err();
    assert!(matches!(error, Error::Response(_)), "{error}");
    let y = [0.0, 1.0, 2.0, 1.0];
    let loss = Loss::Multinomial { n_classes: 3 };
    let datafit = Datafit::new(loss, &y, LossScale::Mean).unwrap();
    let penalty = TwoLevel::new(1.0, 0.5, 1, 2).unwrap();
    let problem = Problem { design: &design, datafit, penalty, intercept: true };
    let error = ZoneDescent::default().solve(&problem, &Start::default()).unwrap_err();
    assert!(matches!(error, Error::InvalidNumber { .. }), "{error}");
}

#[test]
fn separable_classes_end_with_a_certificate() {
    let x: Vec<f64> = (0..30).map(f64::from).collect();
    let y: Vec<f64> = (0..30).map(|i| f64::from(i / 10)).collect();
    let design = Design::from_columns(x, 30, 1).unwrap();
    let slope = Slope2::builder()
        .family(FamilyKind::Multinomial)
        .penalty(PenaltyForm::Lasso)
        .strength(Strength::Relative(1e-3))
        .build()
        .unwrap();
    let fit = slope.fit(&design, &y).unwrap();
    assert!(fit.converged(), "{:?} {:?}", fit.report(), fit.certificate());
    let wrong =
        fit.classify(&design).unwrap().iter().zip(&y).filter(|(c, y)| **c as f64 != **y).count();
    assert_eq!(wrong, 0);
}
