//! What holds of the solutions for two levels, whatever the data.

use chacha20::ChaCha20Rng;
use rand::{RngExt, SeedableRng};
use slope2::estimator::{FamilyKind, PenaltyForm, Strength};
use slope2::{
    Center, Datafit, Design, DualNorm, Error, Family, Fista, Gaussian, LossScale, Operator,
    Penalty, Poisson, Problem, Scale, Silent, Slope2, Solution, Solver, SortedL1, Start,
    Termination, TwoLevel, ZoneDescent, datafit::normalized,
};

use crate::cases::{Case, normal, wrong_gap};
use crate::data::{Data, distance};

fn zones() -> ZoneDescent {
    ZoneDescent { tolerance: 1e-12, ..ZoneDescent::default() }
}

/// The fit of Gaussian data under `part` of the largest penalty.
fn fit(data: &Data, y: &[f64], penalty: TwoLevel) -> Solution {
    let design = data.design().standardized(&Center::Mean, &Scale::Sd, None).unwrap();
    let datafit = Datafit::new(&Gaussian, y, LossScale::Mean).unwrap();
    let problem = Problem { design: &design, datafit, penalty, intercept: true };
    zones().solve(&problem, &Start::default()).unwrap()
}

#[test]
fn two_levels_are_zero_from_the_largest_penalty_on_and_not_just_below() {
    let mut rng = ChaCha20Rng::seed_from_u64(31);
    let mut seen = 0;
    for _ in 0..60 {
        let case = Case::draw(&mut rng, (40, 60), &Gaussian);
        case.with(|problem| {
            let unit = problem.penalty.scaled(1.0 / case.part).unwrap();
            let at = |factor: f64| {
                let problem = problem.with_penalty(unit.scaled(factor).unwrap());
                let solution = zones().solve(&problem, &Start::default()).unwrap();
                solution.coefficients.iter().filter(|b| **b != 0.0).count()
            };
            assert_eq!((at(1.0 + 1e-9), at(10.0)), (0, 0));
            assert!(0 < at(1.0 - 1e-4), "k {} ratio {}", case.k, case.ratio);
            seen += 1;
        });
    }
    assert!(40 < seen, "{seen}");
}

#[test]
fn scaled_turned_and_exchanged_data_have_scaled_turned_and_exchanged_fits() {
    let data = Data::draw(&Gaussian, 50, 12, 5);
    let penalty = TwoLevel::new(0.6, 0.2, 3, 12).unwrap();
    let base = fit(&data, &data.y, penalty);
    // Response and penalty by a factor.
    let y: Vec<f64> = data.y.iter().map(|y| 7.0 * y).collect();
    let scaled = fit(&data, &y, penalty.scaled(7.0).unwrap());
    let want: Vec<f64> = base.coefficients.iter().map(|b| 7.0 * b).collect();
    assert!(distance(&scaled.coefficients, &want) < 1e-8);
    // One column turned.
    let mut turned = Data { x: data.x.clone(), y: data.y.clone(), ..data };
    turned.x[3 * 50..4 * 50].iter_mut().for_each(|x| *x = -*x);
    let mut want = base.coefficients.clone();
    want[3] = -want[3];
    assert!(distance(&fit(&turned, &data.y, penalty).coefficients, &want) < 1e-9);
    // Columns in the opposite order.
    let mut exchanged = Data { x: Vec::new(), y: data.y.clone(), ..data };
    (0..12).rev().for_each(|j| exchanged.x.extend(&data.x[j * 50..(j + 1) * 50]));
    let mut want = base.coefficients.clone();
    want.reverse();
    assert!(distance(&fit(&exchanged, &data.y, penalty).coefficients, &want) < 1e-9);
    // The norm itself.
    let norm = penalty.value(&base.coefficients);
    assert!((penalty.value(&scaled.coefficients) - 7.0 * norm).abs() < 1e-7 * norm);
}

#[test]
fn two_levels_need_no_columns() {
    struct Hidden<'a>(&'a Design<'a>);
    impl Operator for Hidden<'_> {
        fn n_rows(&self) -> usize {
            self.0.n_rows()
        }
        fn n_cols(&self) -> usize {
            self.0.n_cols()
        }
        fn apply(&self, b: &[f64], out: &mut [f64]) {
            self.0.apply(b, out);
        }
        fn adjoint(&self, r: &[f64], out: &mut [f64]) {
            self.0.adjoint(r, out);
        }
    }
    let data = Data::draw(&Gaussian, 40, 9, 6);
    let design = data.design().standardized(&Center::Mean, &Scale::Sd, None).unwrap();
    let hidden = Hidden(&design);
    let hidden = Design::operator(&hidden);
    let datafit = Datafit::new(&Gaussian, &data.y, LossScale::Mean).unwrap();
    let penalty = TwoLevel::new(0.5, 0.2, 2, 9).unwrap();
    let with = |design| Problem { design, datafit, penalty, intercept: true };
    let known = zones().solve(&with(&design), &Start::default()).unwrap();
    let solver = Fista { tolerance: 1e-13, ..Fista::default() };
    let unknown = solver.solve(&with(&hidden), &Start::default()).unwrap();
    assert!(distance(&known.coefficients, &unknown.coefficients) < 1e-5);
    let refused = zones().solve(&with(&hidden), &Start::default());
    assert_eq!(refused.unwrap_err(), Error::NeedsColumns);
}

#[test]
fn duplicates_and_opposites_have_the_fits_of_one_column() {
    // With the higher slope at work copies share the cluster; otherwise only their sum is determined.
    let one = Data::draw(&Gaussian, 40, 6, 8);
    let mut three = Data { x: one.x.clone(), y: one.y.clone(), n: 40, p: 8 };
    let (copy, opposite): (Vec<f64>, Vec<f64>) = one.x[..40].iter().map(|x| (*x, -*x)).unzip();
    three.x.extend(copy);
    three.x.extend(opposite);
    for (ratio, k, part) in [(0.5, 2, 0.05), (0.9, 4, 0.2), (0.1, 1, 0.02)] {
        let unit = TwoLevel::new(1.0, ratio, k, 8).unwrap();
        let design = three.design().standardized(&Center::Mean, &Scale::Sd, None).unwrap();
        let datafit = Datafit::new(&Gaussian, &three.y, LossScale::Mean).unwrap();
        let unit = Problem { design: &design, datafit, penalty: unit, intercept: true };
        let problem = unit.with_penalty(unit.penalty.scaled(part * unit.alpha_max()).unwrap());
        let eta = |b: &[f64]| {
            let mut eta = vec![0.0; 40];
            design.apply(b, &mut eta);
            eta
        };
        let a = zones().solve(&problem, &Start::default()).unwrap();
        let general = problem.with_penalty(SortedL1::new(problem.penalty.sequence()).unwrap());
        let oracle = Fista { tolerance: 1e-13, max_iters: 100_000, ..Fista::default() };
        let b = oracle.solve(&general, &Start::default()).unwrap();
        assert!(distance(&eta(&a.coefficients), &eta(&b.coefficients)) < 1e-4);
        assert!((a.certificate.primal - b.certificate.primal).abs() < 1e-11);
    }
}

#[test]
fn the_objective_does_not_rise() {
    let mut rng = ChaCha20Rng::seed_from_u64(12);
    for family in [&Gaussian as &dyn Family, &slope2::Binomial, &Poisson] {
        for _ in 0..10 {
            let case = Case::draw(&mut rng, (40, 80), family);
            case.with(|problem| {
                let mut last = f64::INFINITY;
                for max_iters in 0..12 {
                    let solver = ZoneDescent { max_iters, tolerance: 0.0, ..zones() };
                    // From zeros, so that no stronger penalty is solved first.
                    let start = Start { intercepts: vec![], coefficients: vec![0.0; case.p] };
                    let primal = solver.solve(problem, &start).unwrap().certificate.primal;
                    assert!(primal <= last + 1e-12 * last.abs().min(1e9), "{primal} {last}");
                    last = primal;
                }
            });
        }
    }
}

#[test]
fn large_counts_are_fitted_though_their_objective_is_negative() {
    let mut rng = ChaCha20Rng::seed_from_u64(14);
    for seed in 0..20 {
        let (n, p) = (60, 15);
        let x: Vec<f64> = (0..n * p).map(|_| normal(&mut rng)).collect();
        let y: Vec<f64> =
            (0..n).map(|i| (2.0 + 0.8 * x[i] - 0.5 * x[n + i]).exp().round()).collect();
        let design = Design::from_columns(x, n, p).unwrap();
        for part in [0.5, 0.1, 0.01] {
            let form = [
                PenaltyForm::TwoLevel { ratio: 0.5, share: 0.2 },
                PenaltyForm::BenjaminiHochberg { q: 0.1 },
            ][seed % 2]
                .clone();
            let slope = Slope2::builder()
                .family(FamilyKind::Poisson)
                .penalty(form)
                .strength(Strength::Relative(part))
                .build()
                .unwrap();
            let fit = slope.fit(&design, &y).unwrap();
            assert!(fit.certificate().primal < 0.0);
            assert!(fit.converged(), "{seed} {part}: {:?} {:?}", fit.report(), fit.certificate());
        }
    }
}

#[test]
fn constant_columns_stay_at_zero_whatever_they_and_the_penalty_are() {
    let data = Data::draw(&Gaussian, 30, 4, 3);
    for constant in [0.1, 7.0, -1e9, 1e-9, 0.0] {
        for alone in [true, false] {
            let mut x = if alone { Vec::new() } else { data.x.clone() };
            x.extend(std::iter::repeat_n(constant, 60));
            let p = x.len() / 30;
            let design = Design::from_columns(x, 30, p).unwrap();
            for alpha in [0.0, 1e-12, 1e-3, 1.0] {
                for scale in [Scale::Sd, Scale::None, Scale::MaxAbs] {
                    let form = PenaltyForm::TwoLevel { ratio: 0.5, share: 0.3 };
                    let slope = Slope2::builder()
                        .penalty(form)
                        .standardize(Center::Mean, scale)
                        .strength(Strength::Alpha(alpha))
                        .build()
                        .unwrap();
                    let fit = slope.fit(&design, &data.y).unwrap();
                    let b = fit.coefficients();
                    assert_eq!(b[p - 2..], [0.0, 0.0], "{constant} {alpha} {fit:?}");
                    assert!(b.iter().all(|b| b.abs() < 1e3), "{constant} {alpha} {b:?}");
                }
            }
        }
    }
}

#[test]
fn no_penalty_on_more_columns_than_rows_is_refused_and_on_fewer_is_least_squares() {
    let wide = Data::draw(&Gaussian, 8, 20, 1);
    let tall = Data::draw(&Gaussian, 40, 5, 1);
    for penalty in [PenaltyForm::Lasso, PenaltyForm::BenjaminiHochberg { q: 0.1 }] {
        let slope =
            Slope2::builder().penalty(penalty).strength(Strength::Alpha(0.0)).build().unwrap();
        let error = slope.fit(&wide.design(), &wide.y).unwrap_err();
        assert_eq!(error, Error::NotUnique { n: 8, p: 20 });
        let fit = slope.fit(&tall.design(), &tall.y).unwrap();
        let design = tall.design().standardized(&Center::Mean, &Scale::Sd, None).unwrap();
        let mean = fit.predict(&tall.design()).unwrap();
        let residual: Vec<f64> = tall.y.iter().zip(&mean).map(|(y, m)| y - m).collect();
        let mut pull = vec![0.0; 5];
        design.adjoint(&residual, &mut pull);
        assert!(pull.iter().all(|g| g.abs() < 1e-8), "{pull:?}");
    }
}

#[test]
fn rows_without_weight_are_no_rows() {
    let data = Data::draw(&Gaussian, 30, 5, 9);
    let rows: Vec<usize> = (0..30).filter(|i| i % 4 != 1).collect();
    let weights: Vec<f64> = (0..30).map(|i| f64::from(u8::from(i % 4 != 1))).collect();
    let kept = data.design().stored_rows(&rows).unwrap();
    let y: Vec<f64> = rows.iter().map(|i| data.y[*i]).collect();
    for center in [Center::Mean, Center::Min] {
        for scale in [Scale::Sd, Scale::Range, Scale::MaxAbs, Scale::None] {
            let slope = Slope2::builder()
                .penalty(PenaltyForm::TwoLevel { ratio: 0.3, share: 0.4 })
                .strength(Strength::Alpha(0.05))
                .standardize(center.clone(), scale.clone())
                .tolerance(1e-13)
                .build()
                .unwrap();
            let weighted =
                slope.fit_with(&data.design(), &data.y, Some(&weights), &Silent).unwrap();
            let without = slope.fit(&kept, &y).unwrap();
            let apart = distance(&weighted.coefficients(), &without.coefficients());
            assert!(apart < 1e-7, "{center:?} {scale:?}: {apart}");
        }
    }
}

#[test]
fn what_is_not_finite_is_refused() {
    let penalty = TwoLevel::new(1.0, 0.5, 1, 3).unwrap();
    let sorted = SortedL1::new(penalty.sequence()).unwrap();
    for bad in [f64::INFINITY, f64::NAN] {
        for penalty in [&penalty as &dyn DualNorm, &sorted] {
            let mut v = [bad, 1.0, 2.0];
            assert!(matches!(penalty.prox(&mut v, 1.0), Err(Error::InvalidEntry { .. })));
            assert!(!penalty.dual_norm(&[bad, 1.0, 2.0]).is_finite());
        }
        assert!(matches!(normalized(&[1.0, bad]), Err(Error::InvalidEntry { .. })));
    }
    // A start from which nothing can be computed is not where the solver stays.
    let data = Data::draw(&Gaussian, 20, 3, 2);
    let design = data.design();
    let datafit = Datafit::new(&Gaussian, &data.y, LossScale::Mean).unwrap();
    let problem = Problem { design: &design, datafit, penalty, intercept: true };
    let start = Start { intercepts: vec![0.0], coefficients: vec![1e200; 3] };
    let solution = zones().solve(&problem, &start).unwrap();
    assert_eq!(wrong_gap(&solution.certificate), None);
    assert_eq!(solution.report.termination, Termination::GapReached);
}

#[test]
fn tiny_and_empty_data_say_what_is_true() {
    let mut rng = ChaCha20Rng::seed_from_u64(5);
    let x: Vec<f64> = (0..60).map(|_| 1e-160 * normal(&mut rng)).collect();
    let y: Vec<f64> = (0..20).map(|_| rng.random::<f64>()).collect();
    let design = Design::from_columns(x, 20, 3).unwrap();
    let fit = Slope2::builder().strength(Strength::Relative(0.1)).build().unwrap().fit(&design, &y);
    if let Ok(fit) = fit {
        assert!(!fit.converged() || fit.certificate().relative_gap() <= 1e-8, "{fit:?}");
    }
    let none = Design::from_columns(Vec::new(), 20, 0).unwrap();
    let fit = Slope2::builder().build().unwrap().fit(&none, &y).unwrap();
    let mean = y.iter().sum::<f64>() / 20.0;
    assert!((fit.intercept() - mean).abs() < 1e-14 && fit.coefficients().is_empty());
}
