//! Noise that is estimated, criteria along a path, and relaxed fits.

use chacha20::ChaCha20Rng;
use rand::SeedableRng;
use slope2::selection::{Criterion, NoiseEnd, UnknownNoise, relaxed};
use slope2::{
    Binomial, Center, Datafit, Error, Family, Fista, Gaussian, LossScale, PathSettings, Poisson,
    Problem, Scale, Silent, Solver, SortedL1, Start, TwoLevel, ZoneDescent, clusters, sequence,
};

use crate::cases::normal;
use crate::data::{Data, distance};

fn zone() -> ZoneDescent {
    ZoneDescent { tolerance: 1e-12, ..ZoneDescent::default() }
}

/// Independent columns, a few with a part, noise of standard deviation 2.
fn sparse(n: usize, p: usize, seed: u64) -> Data {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let x: Vec<f64> = (0..n * p).map(|_| normal(&mut rng)).collect();
    let y =
        (0..n).map(|i| 5.0 + 3.0 * x[i] - 3.0 * x[2 * n + i] + 2.0 * normal(&mut rng)).collect();
    Data { n, p, x, y }
}

#[test]
fn the_noise_is_found_and_its_fit_is_that_of_the_scaled_penalty() {
    let data = sparse(200, 30, 21);
    let design = data.design().standardized(&Center::Mean, &Scale::Sd, None).unwrap();
    let datafit = Datafit::new(&Gaussian, &data.y, LossScale::Mean).unwrap();
    let unit = sequence::benjamini_hochberg(0.1, 30).unwrap();
    let unit: Vec<f64> = unit.iter().map(|l| l / 200f64.sqrt()).collect();
    let penalty = SortedL1::new(unit.clone()).unwrap();
    let problem = Problem { design: &design, datafit, penalty, intercept: true };
    let solver = Fista { tolerance: 1e-12, ..Fista::default() };
    let fit = UnknownNoise::default().fit(&solver, &problem, &Silent).unwrap();
    assert_eq!(fit.end, NoiseEnd::Settled);
    // The relative standard error of the estimate is 1 / sqrt(2 * 195).
    assert!((fit.noise_std - 2.0).abs() < 5.0 * 2.0 / 390f64.sqrt(), "{}", fit.noise_std);
    assert!(fit.history[0] > 4.0, "the response varies more than its noise");
    let scaled: Vec<f64> = unit.iter().map(|l| l * fit.noise_std).collect();
    let alone = problem.with_penalty(SortedL1::new(scaled).unwrap());
    let alone = solver.solve(&alone, &Start::default()).unwrap();
    assert!(distance(&alone.coefficients, &fit.solution.coefficients) < 1e-6);
    assert!(fit.solution.coefficients[0] > 2.0 && fit.solution.coefficients[2] < -2.0);
}

#[test]
fn rounds_of_estimating_noise_end_in_every_case() {
    // Many columns, little penalty: the support takes all degrees of freedom.
    let data = sparse(12, 40, 22);
    let design = data.design().standardized(&Center::Mean, &Scale::Sd, None).unwrap();
    let of = |y: &[f64], level: f64, max_rounds: usize| {
        let datafit = Datafit::new(&Gaussian, y, LossScale::Mean).unwrap();
        let penalty = TwoLevel::new(level, level, 40, 40).unwrap();
        let problem = Problem { design: &design, datafit, penalty, intercept: true };
        UnknownNoise { max_rounds }.fit(&zone(), &problem, &Silent).unwrap()
    };
    assert_eq!(of(&data.y, 1e-3, 20).end, NoiseEnd::Saturated);
    assert_eq!(of(&data.y, 0.3, 1).end, NoiseEnd::MaxRounds);
    let constant = of(&[4.0; 12], 0.3, 20);
    assert_eq!(constant.end, NoiseEnd::Settled);
    assert!(constant.solution.coefficients.iter().all(|b| *b == 0.0));
    let exact: Vec<f64> = data.x[..12].to_vec();
    let exact = of(&exact, 0.3, 20);
    assert_eq!(exact.end, NoiseEnd::Exact);
    assert!(exact.noise_std > 0.0);
    let y = [0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 1.0];
    let datafit = Datafit::new(&Binomial, &y, LossScale::Mean).unwrap();
    let penalty = TwoLevel::new(1.0, 0.5, 3, 40).unwrap();
    let problem = Problem { design: &design, datafit, penalty, intercept: true };
    let failed = UnknownNoise::default().fit(&zone(), &problem, &Silent);
    assert!(matches!(failed, Err(Error::Response(_))));
}

#[test]
fn criteria_choose_few_features_of_a_sparse_truth() {
    let data = sparse(150, 25, 23);
    let design = data.design().standardized(&Center::Mean, &Scale::Sd, None).unwrap();
    let datafit = Datafit::new(&Gaussian, &data.y, LossScale::Mean).unwrap();
    let penalty = TwoLevel::new(1.0, 0.5, 2, 25).unwrap();
    let problem = Problem { design: &design, datafit, penalty, intercept: true };
    let path = PathSettings::default().fit(&zone(), &problem, &Silent).unwrap();
    let best = |c: Criterion| c.along(&path, &problem, None).unwrap().best;
    let (aic, bic) = (best(Criterion::Aic), best(Criterion::Bic));
    let (ebic, gcv) = (best(Criterion::Ebic { gamma: 1.0 }), best(Criterion::Gcv));
    assert!(0 < ebic && ebic <= bic && bic <= aic, "costlier criteria choose stronger penalties");
    assert!(0 < gcv && path.points[bic].n_clusters <= 8);
    // The variance is that of the weakest penalty.
    let last = &path.points[path.points.len() - 1];
    let df = last.n_clusters + 1;
    let variance = last.deviance / (150 - df) as f64;
    let values = Criterion::Aic.along(&path, &problem, None).unwrap().values;
    let known = Criterion::Aic.along(&path, &problem, Some(variance)).unwrap().values;
    assert_eq!(values, known);
    let point = &path.points[5];
    let want = point.deviance / variance + 2.0 * (point.n_clusters + 1) as f64;
    assert!((values[5] - want).abs() < 1e-9 * want);
}

#[test]
fn criteria_do_not_follow_noise_where_columns_outnumber_rows() {
    for seed in 0..4 {
        let data = sparse(50, 200, seed);
        let mut rng = ChaCha20Rng::seed_from_u64(100 + seed);
        let noise: Vec<f64> = (0..50).map(|_| normal(&mut rng)).collect();
        let design = data.design().standardized(&Center::Mean, &Scale::Sd, None).unwrap();
        for (ratio, k) in [(1.0, 200), (0.5, 40)] {
            let penalty = TwoLevel::new(1.0, ratio, k, 200).unwrap();
            let found = |y: &[f64], criterion: Criterion| {
                let datafit = Datafit::new(&Gaussian, y, LossScale::Mean).unwrap();
                let problem = Problem { design: &design, datafit, penalty, intercept: true };
                let path = PathSettings::default().fit(&zone(), &problem, &Silent).unwrap();
                let chosen = criterion.along(&path, &problem, None).unwrap();
                assert_eq!(chosen.most_df, 25);
                for (point, value) in path.points.iter().zip(&chosen.values) {
                    assert_eq!(value.is_finite(), point.n_clusters < 25);
                }
                assert!(0 < chosen.n_left_out(), "the path goes on to interpolation");
                let b = path.points[chosen.best].solution.coefficients.clone();
                (b.iter().filter(|b| **b != 0.0).count(), b, chosen.variance.unwrap())
            };
            for criterion in [Criterion::Bic, Criterion::Ebic { gamma: 1.0 }] {
                let (size, _, variance) = found(&noise, criterion);
                assert!(size <= 1, "seed {seed}, k {k}: {size} columns for noise");
                // The relative standard error of a variance of 49 degrees of freedom is sqrt(2 / 49).
                assert!((variance - 1.0).abs() < 3.0 * (2.0f64 / 49.0).sqrt(), "{variance}");
                let (size, b, _) = found(&data.y, criterion);
                assert!(b[0] > 0.0 && b[2] < 0.0 && size <= 10, "seed {seed}, k {k}: {size}");
            }
            found(&noise, Criterion::Gcv);
        }
    }
}

#[test]
fn criteria_find_a_truth_of_most_columns_where_rows_outnumber_them() {
    let (n, p) = (100, 70);
    let mut data = sparse(n, p, 26);
    let part = |j: usize| if j < 60 { 1.0 } else { 0.0 };
    let signal = |i: usize| (0..p).map(|j| part(j) * data.x[j * n + i]).sum::<f64>();
    let mut rng = ChaCha20Rng::seed_from_u64(126);
    data.y = (0..n).map(|i| signal(i) + 0.1 * normal(&mut rng)).collect();
    let design = data.design().standardized(&Center::Mean, &Scale::Sd, None).unwrap();
    let datafit = Datafit::new(&Gaussian, &data.y, LossScale::Mean).unwrap();
    let penalty = TwoLevel::new(1.0, 1.0, p, p).unwrap();
    let problem = Problem { design: &design, datafit, penalty, intercept: true };
    let path = PathSettings::default().fit(&zone(), &problem, &Silent).unwrap();
    let chosen = Criterion::Bic.along(&path, &problem, None).unwrap();
    let b = &path.points[chosen.best].solution.coefficients;
    assert!(b[..60].iter().all(|b| *b != 0.0), "{} of 60", b.iter().filter(|b| **b != 0.0).count());
    assert_eq!(chosen.n_left_out(), 0);
}

#[test]
fn criteria_count_observations_of_several_classes_once() {
    let data = Data::draw(&Gaussian, 60, 4, 25);
    let y: Vec<f64> = (0..60).map(|i| f64::from(i % 3)).collect();
    let design = data.design().standardized(&Center::Mean, &Scale::Sd, None).unwrap();
    let design = design.in_blocks(2);
    let datafit =
        Datafit::new(slope2::Loss::Multinomial { n_classes: 3 }, &y, LossScale::Mean).unwrap();
    let penalty = TwoLevel::new(1.0, 1.0, 8, 8).unwrap();
    let problem = Problem { design: &design, datafit, penalty, intercept: true };
    let path = PathSettings::default().fit(&zone(), &problem, &Silent).unwrap();
    let values = Criterion::Bic.along(&path, &problem, None).unwrap().values;
    let want = path.points[0].deviance + 2.0 * 60f64.ln();
    assert!((values[0] - want).abs() < 1e-12 * want, "two intercepts, 60 rows: {}", values[0]);
}

#[test]
fn relaxed_fits_lie_between_the_penalized_and_the_free_one() {
    let families: [(&dyn Family, usize); 3] = [(&Gaussian, 50), (&Binomial, 150), (&Poisson, 60)];
    for (family, n) in families {
        let data = Data::draw(family, n, 8, 24);
        let design = data.design().standardized(&Center::Mean, &Scale::Sd, None).unwrap();
        let datafit = Datafit::new(family, &data.y, LossScale::Mean).unwrap();
        let penalty = TwoLevel::new(0.1, 0.04, 3, 8).unwrap();
        let problem = Problem { design: &design, datafit, penalty, intercept: true };
        let fit = zone().solve(&problem, &Start::default()).unwrap();
        let name = family.name();
        let same = relaxed(&problem, &fit, 1.0).unwrap();
        assert!(distance(&same.coefficients, &fit.coefficients) < 1e-14, "{name}");
        let free = relaxed(&problem, &fit, 0.0).unwrap();
        assert!(free.settled, "{name}");
        // The free fit has no pull on any column of the pattern.
        let eta = |b0: f64, b: &[f64]| {
            let mut eta = vec![0.0; n];
            design.apply(b, &mut eta);
            eta.iter_mut().for_each(|e| *e += b0);
            eta
        };
        let (mut pull, mut g) = (vec![0.0; n], vec![0.0; 8]);
        datafit.pull(&eta(free.intercept, &free.coefficients), &mut pull);
        design.adjoint(&pull, &mut g);
        let pattern = clusters(&fit.coefficients);
        for cluster in &pattern {
            let pull: f64 = cluster.members.iter().map(|(j, sign)| sign * g[*j]).sum();
            assert!(pull.abs() < 1e-7, "{name}: pull {pull}");
        }
        assert!(pull.iter().sum::<f64>().abs() < 1e-7, "{name}");
        assert!(!pattern.is_empty() && clusters(&free.coefficients).len() <= pattern.len());
        let half = relaxed(&problem, &fit, 0.5).unwrap();
        for j in 0..8 {
            let want = 0.5 * (fit.coefficients[j] + free.coefficients[j]);
            assert!((half.coefficients[j] - want).abs() < 1e-13);
        }
        let value =
            |r: &slope2::selection::Relaxed| datafit.value(&eta(r.intercept, &r.coefficients));
        assert!(value(&free) <= value(&half) && value(&half) <= value(&same), "{name}");
        assert!(relaxed(&problem, &fit, 1.5).is_err());
    }
}
