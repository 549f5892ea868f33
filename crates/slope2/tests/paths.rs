//! Paths: every point is the solution of its own problem, and a path ends where it should.

use std::ops::ControlFlow;

use slope2::{
    Alphas, Binomial, Center, Datafit, DualNorm, Error, Family, Fista, Gaussian, LossScale,
    PathEnd, PathSettings, Poisson, Problem, Scale, Silent, Solver, SortedL1, Start, TwoLevel,
    ZoneDescent,
};

use crate::data::{Data, distance};

fn zone() -> ZoneDescent {
    ZoneDescent { tolerance: 1e-13, ..ZoneDescent::default() }
}

#[test]
fn every_point_of_a_path_is_the_solution_of_a_cold_start() {
    let families: [(&dyn Family, usize, usize); 4] =
        [(&Gaussian, 60, 12), (&Gaussian, 25, 60), (&Binomial, 80, 10), (&Poisson, 60, 9)];
    for (family, n, p) in families {
        let data = Data::draw(family, n, p, 3);
        let design = data.design().standardized(&Center::Mean, &Scale::Sd, None).unwrap();
        let datafit = Datafit::new(family, &data.y, LossScale::Mean).unwrap();
        for (ratio, k) in [(0.3, 4), (0.0, 3), (1.0, p)] {
            let penalty = TwoLevel::new(1.0, ratio, k, p).unwrap();
            let problem = Problem { design: &design, datafit, penalty, intercept: true };
            let settings = PathSettings {
                alphas: Alphas::Geometric { n_points: 15, ratio: Some(0.02) },
                ..PathSettings::default()
            };
            let path = settings.fit(&zone(), &problem, &Silent).unwrap();
            assert!(path.points[0].solution.coefficients.iter().all(|b| *b == 0.0));
            assert!(path.points[1].n_clusters > 0, "non-zero just below the first strength");
            assert!(
                path.points.windows(2).all(|p| p[0].deviance_ratio <= p[1].deviance_ratio + 1e-9)
            );
            for point in &path.points {
                let penalty = penalty.scaled(point.alpha).unwrap();
                let cold =
                    zone().solve(&Problem { penalty, ..problem }, &Start::default()).unwrap();
                let apart = distance(&cold.coefficients, &point.solution.coefficients);
                let gap = point.solution.certificate.relative_gap();
                assert!(
                    gap < 1e-11,
                    "{} {n} x {p}, alpha {}: gap {gap}",
                    family.name(),
                    point.alpha
                );
                assert!(
                    apart < 1e-5,
                    "{} {n} x {p}, alpha {}: {apart}",
                    family.name(),
                    point.alpha
                );
            }
            let last = &path.points[path.points.len() - 1];
            let raw = data.design();
            let (mut fitted, mut original) = (vec![0.0; n], vec![0.0; n]);
            design.apply(&last.solution.coefficients, &mut fitted);
            raw.apply(&last.original_coefficients, &mut original);
            let shift = last.original_intercepts[0] - last.solution.intercept();
            original.iter_mut().for_each(|e| *e += shift);
            assert!(distance(&fitted, &original) < 1e-10, "both scales predict the same");
        }
    }
}

#[test]
fn a_path_of_a_sorted_norm_with_two_levels_is_that_of_two_levels() {
    let data = Data::draw(&Gaussian, 50, 8, 4);
    let design = data.design().standardized(&Center::Mean, &Scale::Sd, None).unwrap();
    let datafit = Datafit::new(&Gaussian, &data.y, LossScale::Mean).unwrap();
    let penalty = TwoLevel::new(1.0, 0.4, 3, 8).unwrap();
    let problem = Problem { design: &design, datafit, penalty, intercept: true };
    let settings = PathSettings {
        alphas: Alphas::Geometric { n_points: 8, ratio: Some(0.05) },
        ..PathSettings::default()
    };
    let two = settings.fit(&zone(), &problem, &Silent).unwrap();
    let penalty = SortedL1::new(penalty.sequence()).unwrap();
    let general = Problem { design: &design, datafit, penalty, intercept: true };
    let fista = Fista { tolerance: 1e-13, ..Fista::default() };
    let sorted = settings.fit(&fista, &general, &Silent).unwrap();
    assert_eq!(two.end, sorted.end);
    assert_eq!(two.points.len(), sorted.points.len());
    for (two, sorted) in two.points.iter().zip(&sorted.points) {
        assert!((two.alpha - sorted.alpha).abs() < 1e-12 * two.alpha);
        assert!(distance(&two.solution.coefficients, &sorted.solution.coefficients) < 1e-6);
        assert_eq!(two.n_clusters, sorted.n_clusters, "degrees of freedom at {}", two.alpha);
    }
}

#[test]
fn a_geometric_grid_stops_early_and_a_given_one_does_not() {
    let mut data = Data::draw(&Gaussian, 40, 6, 5);
    // No noise: all is explained long before the last strength.
    data.y = (0..40).map(|i| data.x[i] - data.x[3 * 40 + i]).collect();
    let design = data.design().standardized(&Center::Mean, &Scale::Sd, None).unwrap();
    let datafit = Datafit::new(&Gaussian, &data.y, LossScale::Mean).unwrap();
    let penalty = TwoLevel::new(1.0, 0.5, 2, 6).unwrap();
    let problem = Problem { design: &design, datafit, penalty, intercept: true };
    let path = PathSettings::default().fit(&zone(), &problem, &Silent).unwrap();
    assert_eq!(path.end, PathEnd::Explained);
    assert!(path.points.len() < 100);
    let ratios: Vec<f64> = path.points.iter().map(|p| p.deviance_ratio).collect();
    assert!(ratios.iter().rev().skip(1).all(|r| *r <= 0.999), "only the last one is above");
    let top = path.alpha_max;
    let alphas = Alphas::Given(vec![1e-6 * top, 2.0 * top, 1e-5 * top, 1e-4 * top]);
    let settings = PathSettings { alphas, ..PathSettings::default() };
    let path = settings.fit(&zone(), &problem, &Silent).unwrap();
    assert_eq!((path.end, path.points.len()), (PathEnd::AllSolved, 4));
    assert!(path.points.windows(2).all(|p| p[1].alpha < p[0].alpha), "sorted");
    assert_eq!(path.points[0].n_clusters, 0);
}

#[test]
fn a_path_of_nothing_to_explain_is_one_point() {
    let data = Data::draw(&Gaussian, 12, 5, 6);
    for (y, intercept) in [(vec![0.0; 12], false), (vec![0.1; 12], true)] {
        let design = data.design().standardized(&Center::Mean, &Scale::Sd, None).unwrap();
        let datafit = Datafit::new(&Gaussian, &y, LossScale::Mean).unwrap();
        let penalty = TwoLevel::new(1.0, 0.5, 2, 5).unwrap();
        let problem = Problem { design: &design, datafit, penalty, intercept };
        let path = PathSettings::default().fit(&zone(), &problem, &Silent).unwrap();
        assert_eq!((path.points.len(), path.end), (1, PathEnd::Explained));
        assert!(path.points[0].solution.coefficients.iter().all(|b| *b == 0.0), "{path:?}");
        assert!((path.points[0].original_intercepts[0] - y[0]).abs() < 1e-15);
    }
}

#[test]
fn an_entry_that_is_not_finite_is_named() {
    let mut data = Data::draw(&Gaussian, 12, 5, 6);
    data.x[3 * 12 + 7] = f64::NAN;
    let design = data.design();
    let datafit = Datafit::new(&Gaussian, &data.y, LossScale::Mean).unwrap();
    let penalty = TwoLevel::new(1.0, 0.5, 2, 5).unwrap();
    let problem = Problem { design: &design, datafit, penalty, intercept: true };
    let failed = PathSettings::default().fit(&zone(), &problem, &Silent).unwrap_err();
    assert!(failed.to_string().contains("row 7, column 3"), "{failed}");
}

#[test]
fn a_path_can_be_cancelled_and_counts_its_points() {
    let data = Data::draw(&Gaussian, 30, 6, 7);
    let design = data.design();
    let datafit = Datafit::new(&Gaussian, &data.y, LossScale::Mean).unwrap();
    let penalty = TwoLevel::new(1.0, 0.5, 2, 6).unwrap();
    let problem = Problem { design: &design, datafit, penalty, intercept: true };
    let seen = std::sync::Mutex::new(Vec::new());
    let stop_at_third = |done: usize, total: usize| {
        seen.lock().unwrap().push((done, total));
        if done < 3 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    let cancelled = PathSettings::default().fit(&zone(), &problem, &stop_at_third);
    assert_eq!(cancelled, Err(Error::Cancelled));
    assert_eq!(*seen.lock().unwrap(), [(1, 100), (2, 100), (3, 100)]);
    let nothing = Problem { penalty: TwoLevel::new(0.0, 0.0, 2, 6).unwrap(), ..problem };
    assert!(!nothing.penalty.dual_norm(&[1.0; 6]).is_finite());
    let path = PathSettings::default().fit(&zone(), &nothing, &Silent);
    assert_eq!(path, Err(Error::NoAlphaMax));
}
