//! Grids of two levels share fits and give what separate fits give.

use std::ops::ControlFlow;

use slope2::{
    Alphas, Binomial, Center, Datafit, Error, Family, Gaussian, GridSettings, LossScale, Poisson,
    Problem, Scale, Silent, Solver, Start, ZoneDescent, certify,
};

use crate::data::{Data, distance};

fn zone() -> ZoneDescent {
    ZoneDescent { tolerance: 1e-14, ..ZoneDescent::default() }
}

#[test]
fn a_grid_gives_what_separate_fits_give_and_saves_most_of_them() {
    let families: [(&dyn Family, usize, usize); 4] =
        [(&Gaussian, 60, 20), (&Gaussian, 25, 60), (&Binomial, 90, 12), (&Poisson, 60, 10)];
    for (family, n, p) in families {
        let data = Data::draw(family, n, p, 8);
        let design = data.design().standardized(&Center::Mean, &Scale::Sd, None).unwrap();
        let datafit = Datafit::new(family, &data.y, LossScale::Mean).unwrap();
        let problem = Problem { design: &design, datafit, penalty: (), intercept: true };
        let settings = GridSettings {
            lambda1: Alphas::Geometric { n_points: 12, ratio: Some(0.03) },
            ..GridSettings::default()
        };
        let grid = settings.fit(&zone(), &problem, &Silent).unwrap();
        let name = family.name();
        assert_eq!(grid.cells.len(), 12 * 36);
        let mut lasso = 0;
        for (i, cell) in grid.cells.iter().enumerate() {
            let shared = grid.solution(i).unwrap();
            let alone = problem.with_penalty(cell.penalty);
            let cold = zone().solve(&alone, &Start::default()).unwrap();
            let what = format!("{name} {n} x {p}, {:?}", cell.penalty);
            let apart = distance(&cold.coefficients, &shared.coefficients);
            assert!(apart < 2e-5, "{what}: {apart}");
            let proof = certify(&alone, &shared.intercepts, &shared.coefficients).unwrap();
            assert!(proof.relative_gap() < 1e-10, "{what}: gap {}", proof.relative_gap());
            assert!((proof.gap() - cell.certificate.gap()).abs() < 1e-11 * proof.primal.abs());
            assert_eq!(cell.penalty.lambda2(), cell.ratio * cell.penalty.lambda1());
            lasso += usize::from(cell.ratio == 1.0);
        }
        let fits = grid.n_lasso_fits + grid.n_cell_fits;
        eprintln!("{name} {n} x {p}: {} cells, {fits} fits", grid.cells.len());
        assert!(grid.n_lasso_fits <= 12 && lasso == 12 * 6);
        assert!(2 * fits < grid.cells.len(), "{name} {n} x {p}: {fits} fits");
        // Every cell of the first strength is zero.
        assert!(grid.cells[..36].iter().enumerate().all(|(i, _)| {
            grid.solution(i).is_some_and(|s| s.coefficients.iter().all(|b| *b == 0.0))
        }));
    }
}

#[test]
fn grids_that_cannot_be_meant_are_refused_and_a_grid_can_be_cancelled() {
    let data = Data::draw(&Gaussian, 20, 8, 9);
    let design = data.design();
    let datafit = Datafit::new(&Gaussian, &data.y, LossScale::Mean).unwrap();
    let problem = Problem { design: &design, datafit, penalty: (), intercept: true };
    let of = |ratios: &[f64], shares: &[f64]| {
        let lambda1 = Alphas::Geometric { n_points: 3, ratio: None };
        GridSettings { lambda1, ratios: ratios.to_vec(), shares: shares.to_vec() }
    };
    let fit = |settings: GridSettings| settings.fit(&zone(), &problem, &Silent);
    assert!(matches!(fit(of(&[0.5, 1.5], &[0.1])), Err(Error::InvalidNumber { .. })));
    assert!(matches!(fit(of(&[], &[0.1])), Err(Error::Length { .. })));
    assert_eq!(fit(of(&[0.0], &[0.0])), Err(Error::NoAlphaMax));
    // A share of the least size still has one coefficient.
    assert_eq!(fit(of(&[0.0], &[0.001])).unwrap().cells[0].penalty.k(), 1);
    // Nothing to explain: one strength, one solution for all cells.
    let constant = vec![0.1; 20];
    let datafit = Datafit::new(&Gaussian, &constant, LossScale::Mean).unwrap();
    let nothing = Problem { datafit, ..problem };
    let grid = GridSettings::default().fit(&zone(), &nothing, &Silent).unwrap();
    assert_eq!((grid.cells.len(), grid.solutions.len()), (36, 1));
    assert!(grid.solutions[0].coefficients.iter().all(|b| *b == 0.0));
    let stop = |done: usize, _: usize| {
        if done < 5 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    let settings = GridSettings::default();
    assert_eq!(settings.fit(&zone(), &problem, &stop), Err(Error::Cancelled));
}
