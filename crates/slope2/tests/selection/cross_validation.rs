//! Cross-validation against separate fits.

use std::ops::ControlFlow;

use chacha20::ChaCha20Rng;
use rand::SeedableRng;
use slope2::selection::{
    Candidates, CrossValidation, Folds, GridCandidates, PathCandidates, Score, Validated,
};
use slope2::{
    Alphas, Binomial, Center, Datafit, Design, Error, Family, FoldPart, Gaussian, GridSettings,
    Loss, LossScale, Observations, Preparation, Problem, Scale, Silent, Solver, Start, TwoLevel,
    ZoneDescent,
};

use crate::data::{Data, distance};

fn zone() -> ZoneDescent {
    ZoneDescent { tolerance: 1e-12, ..ZoneDescent::default() }
}

fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

fn path(p: usize, alphas: &[f64]) -> PathCandidates<TwoLevel, ZoneDescent> {
    let shape = TwoLevel::new(1.0, 0.5, 2, p).unwrap();
    PathCandidates { shape, alphas: alphas.to_vec(), solver: zone() }
}

const ALPHAS: [f64; 8] = [2.0, 1.0, 0.5, 0.25, 0.12, 0.06, 0.03, 0.015];

fn run(data: &Data, family: &dyn Family, score: Score, loss_scale: LossScale) -> Validated {
    let design = data.design();
    let observations =
        Observations { design: &design, y: &data.y, weights: None, loss: family.into() };
    let preparation = Preparation { loss_scale, ..Preparation::default() };
    let factor = if loss_scale == LossScale::Sum { data.n as f64 } else { 1.0 };
    let candidates = path(data.p, &ALPHAS.map(|a| factor * a));
    let folds = Folds::stratified(&data.y, 4, &mut rng(5)).unwrap();
    let validation = CrossValidation { folds, score };
    validation.run(&observations, &preparation, &candidates, &Silent).unwrap()
}

#[test]
fn scores_of_folds_are_those_of_separate_fits_standardized_by_their_own_rows() {
    let data = Data::draw(&Gaussian, 36, 7, 11);
    let folds = Folds::k_fold(36, 4, &mut rng(5)).unwrap();
    let weights: Vec<f64> = (0..36).map(|i| 1.0 + f64::from(i % 3)).collect();
    let design = data.design();
    let observations = Observations {
        design: &design,
        y: &data.y,
        weights: Some(&weights),
        loss: Loss::Of(&Gaussian),
    };
    let validation = CrossValidation { folds: folds.clone(), score: Score::SquaredError };
    let found =
        validation.run(&observations, &Preparation::default(), &path(7, &ALPHAS), &Silent).unwrap();
    for (split, scores) in folds.splits().iter().zip(&found.by_fold) {
        let n = split.train.len();
        let x: Vec<f64> = (0..7)
            .flat_map(|j| split.train.iter().map(move |i| (i, j)))
            .map(|(i, j)| data.x[j * 36 + i])
            .collect();
        let y: Vec<f64> = split.train.iter().map(|i| data.y[*i]).collect();
        let total: f64 = split.train.iter().map(|i| weights[*i]).sum();
        let w: Vec<f64> = split.train.iter().map(|i| weights[*i] * n as f64 / total).collect();
        let train = Design::from_columns(x, n, 7).unwrap();
        let train = train.standardized(&Center::Mean, &Scale::Sd, Some(&w)).unwrap();
        let datafit = Datafit::new(&Gaussian, &y, LossScale::Mean).unwrap();
        let datafit = datafit.with_weights(&w).unwrap();
        for (alpha, score) in ALPHAS.iter().zip(scores) {
            let penalty = TwoLevel::new(*alpha, 0.5 * alpha, 2, 7).unwrap();
            let problem = Problem { design: &train, datafit, penalty, intercept: true };
            let fit = zone().solve(&problem, &Start::default()).unwrap();
            let (intercepts, b) = train.on_original_scale(&fit.intercepts, &fit.coefficients);
            let (mut sum, mut total) = (0.0, 0.0);
            for i in &split.test {
                let eta: f64 =
                    intercepts[0] + (0..7).map(|j| b[j] * data.x[j * 36 + i]).sum::<f64>();
                sum += weights[*i] * (data.y[*i] - eta).powi(2);
                total += weights[*i];
            }
            assert!((sum / total - score).abs() < 1e-6 * score, "alpha {alpha}");
        }
    }
    // Mean and standard error over four folds.
    let column: Vec<f64> = found.by_fold.iter().map(|s| s[3]).collect();
    let mean = column.iter().sum::<f64>() / 4.0;
    let variance = column.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / 3.0;
    assert!((found.scores[3].mean - mean).abs() < 1e-14 * mean);
    assert!((found.scores[3].standard_error - (variance / 4.0).sqrt()).abs() < 1e-13 * mean);
}

#[test]
fn the_best_has_the_best_mean_and_one_standard_error_is_the_strongest_within_it() {
    for (family, score) in [
        (&Gaussian as &dyn Family, Score::SquaredError),
        (&Gaussian, Score::AbsoluteError),
        (&Binomial, Score::Deviance),
        (&Binomial, Score::Misclassification),
        (&Binomial, Score::Auc),
    ] {
        let data = Data::draw(family, 80, 6, 12);
        let found = run(&data, family, score, LossScale::Mean);
        let loss = |c: usize| score.loss(found.scores[c].mean);
        assert!((0..8).all(|c| loss(found.best) <= loss(c)));
        let limit = loss(found.best) + found.scores[found.best].standard_error;
        assert!(found.one_standard_error <= found.best && loss(found.one_standard_error) <= limit);
        assert!((0..found.one_standard_error).all(|c| limit < loss(c)));
        let sum = run(&data, family, score, LossScale::Sum);
        assert_eq!(sum.best, found.best, "{score:?}: both scales of the loss choose the same");
    }
}

#[test]
fn results_do_not_depend_on_threads() {
    let data = Data::draw(&Binomial, 90, 8, 13);
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| run(&data, &Binomial, Score::Deviance, LossScale::Mean))
    };
    let one = with(1);
    assert_eq!(one, with(2));
    assert_eq!(one, with(5));
}

#[test]
fn a_grid_is_cross_validated_and_refitted() {
    let data = Data::draw(&Gaussian, 40, 12, 14);
    let design = data.design();
    let observations =
        Observations { design: &design, y: &data.y, weights: None, loss: Loss::Of(&Gaussian) };
    let preparation = Preparation::default();
    let settings = GridSettings {
        lambda1: Alphas::Geometric { n_points: 10, ratio: Some(0.02) },
        ratios: vec![0.0, 0.4, 1.0],
        shares: vec![0.1, 0.4],
    };
    let (candidates, grid) = observations
        .with_problem(&preparation, |problem| {
            let candidates = GridCandidates::new(&settings, problem, zone())?;
            Ok((candidates, settings.fit(&zone(), problem, &Silent)?))
        })
        .unwrap();
    assert_eq!(candidates.len(), 60);
    let folds = Folds::k_fold(40, 5, &mut rng(6)).unwrap();
    let validation = CrossValidation { folds, score: Score::SquaredError };
    let found = validation.run(&observations, &preparation, &candidates, &Silent).unwrap();
    assert_eq!((found.scores.len(), found.by_fold.len()), (60, 5));
    assert!(found.scores.iter().all(|s| s.mean.is_finite()));
    // Cells of the LASSO do not depend on the share.
    assert!((0..10).all(|i| found.scores[6 * i + 4] == found.scores[6 * i + 5]));
    assert_eq!(found.one_standard_error % 6, found.best % 6, "same ratio and share");
    let chosen = found.best;
    let fit = CrossValidation::refit(&observations, &preparation, &candidates, chosen).unwrap();
    let shared = grid.solution(chosen).unwrap();
    assert!(distance(&fit.coefficients, &shared.coefficients) < 1e-5);
    let (lambda1, ratio, share) = candidates.cell(chosen).unwrap();
    let cell = grid.cells[chosen];
    assert_eq!((cell.penalty.lambda1(), cell.ratio, cell.share), (lambda1, ratio, share));
    assert!(CrossValidation::refit(&observations, &preparation, &candidates, 60).is_err());
}

#[test]
fn sparse_designs_have_the_folds_of_dense_ones() {
    let data = Data::draw(&Gaussian, 30, 5, 15);
    let ptr: Vec<usize> = (0..=5).map(|j| 30 * j).collect();
    let idx: Vec<usize> = (0..5).flat_map(|_| 0..30).collect();
    let (dense, sparse) = (data.design(), Design::sparse(30, &ptr, &idx, &data.x).unwrap());
    let folds = Folds::k_fold(30, 3, &mut rng(7)).unwrap();
    let validation = CrossValidation { folds, score: Score::SquaredError };
    let run = |design: &Design<'_>| {
        let observations =
            Observations { design, y: &data.y, weights: None, loss: Loss::Of(&Gaussian) };
        validation.run(&observations, &Preparation::default(), &path(5, &ALPHAS), &Silent).unwrap()
    };
    let (dense, sparse) = (run(&dense), run(&sparse));
    for (dense, sparse) in dense.scores.iter().zip(&sparse.scores) {
        assert!((dense.mean - sparse.mean).abs() < 1e-8 * dense.mean);
    }
}

#[test]
fn it_can_be_cancelled_and_errors_of_a_fold_are_told() {
    let mut data = Data::draw(&Binomial, 40, 5, 16);
    let folds = Folds::k_fold(40, 4, &mut rng(8)).unwrap();
    let validation = CrossValidation { folds, score: Score::Deviance };
    let run = |data: &Data, progress: &dyn slope2::Progress| {
        let design = data.design();
        let observations =
            Observations { design: &design, y: &data.y, weights: None, loss: Loss::Of(&Binomial) };
        validation.run(&observations, &Preparation::default(), &path(5, &ALPHAS), progress)
    };
    let stop = |done: usize, total: usize| {
        assert_eq!(total, 4 * 8);
        if done < 10 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    assert_eq!(run(&data, &stop), Err(Error::Cancelled));
    // The one row of its class is held out once, and the others then have no finite intercept.
    data.y = (0..40).map(|i| f64::from(i == 3)).collect();
    let held_out = validation.folds.splits().iter().position(|s| s.test.contains(&3)).unwrap();
    for threads in [1, 4] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let failed = pool.install(|| run(&data, &Silent));
        let Err(Error::Fold { repeat: 1, fold, part: FoldPart::Fitted, source }) = failed else {
            panic!("{failed:?}")
        };
        assert_eq!(fold, held_out + 1);
        assert!(matches!(*source, Error::Response(_)));
    }
    let text = run(&data, &Silent).unwrap_err().to_string();
    let begin = format!("fold {} of repeat 1, the rows that are fitted: a class ", held_out + 1);
    assert!(text.starts_with(&begin), "{text}");
    let wrong = CrossValidation { folds: Folds::given(&[0, 1]).unwrap(), score: Score::Deviance };
    let design = data.design();
    let observations =
        Observations { design: &design, y: &data.y, weights: None, loss: Loss::Of(&Binomial) };
    let failed = wrong.run(&observations, &Preparation::default(), &path(5, &ALPHAS), &Silent);
    assert!(matches!(failed, Err(Error::Length { .. })));
}

#[test]
fn held_out_rows_without_weight_are_named_by_their_fold() {
    let data = Data::draw(&Gaussian, 40, 5, 17);
    let design = data.design();
    let folds: Vec<usize> = (0..40).map(|i| i % 4).collect();
    let weights: Vec<f64> = folds.iter().map(|fold| f64::from(u8::from(*fold != 2))).collect();
    let weights = Some(&weights[..]);
    let observations =
        Observations { design: &design, y: &data.y, weights, loss: Loss::Of(&Gaussian) };
    let validation =
        CrossValidation { folds: Folds::given(&folds).unwrap(), score: Score::SquaredError };
    let failed = validation.run(&observations, &Preparation::default(), &path(5, &ALPHAS), &Silent);
    let part = FoldPart::HeldOut;
    assert!(
        matches!(&failed, Err(Error::Fold { repeat: 1, fold: 3, part: p, .. }) if *p == part),
        "{failed:?}"
    );
}
