//! Stochastic Polyak steps.

use candle_core::{Device, Tensor};
use hessian_lr::rival::{PolyakState, PolyakStep, RateLimit, Rival};
use tensor_tree::Tree;

use super::problem::{N, Problem, START, assert_close, dot, run, tree};

#[test]
fn polyak_steps_follow_their_formula() {
    let smooth = RateLimit::Smooth { gamma: 2.0, n_batches: 4, first: 0.1 };
    for limit in [RateLimit::Unlimited, RateLimit::Constant(0.2), smooth] {
        let rival = PolyakStep { f_star: 1.5, limit, ..PolyakStep::default() };
        let (mut x, mut last) = (START, 0.1);
        for (k, (got, state)) in run(&rival, Problem::NOISY, 30).iter().enumerate() {
            let g = Problem::NOISY.gradient(&x, k);
            let rate = (Problem::NOISY.loss(&x, k) - 1.5) / (0.5 * dot(&g, &g) + 1e-8);
            if 0.0 < rate {
                last = match limit {
                    RateLimit::Unlimited => rate,
                    RateLimit::Constant(bound) => f64::min(rate, bound),
                    RateLimit::Smooth { .. } => f64::min(rate, last * 2f64.powf(0.25)),
                };
                for i in 0..N {
                    x[i] -= last * g[i];
                }
            }
            assert_close(got, &x, 1e-10);
            assert!((state.rate - last).abs() <= 1e-10 * last);
        }
    }
}

#[test]
fn where_all_batches_can_be_fitted_polyak_steps_are_projections_and_converge() {
    // With c = 1/2 and the loss r^2 / 2 of one row, the rate is 1 / |row|^2: Kaczmarz' method.
    let rows = [[1.0, 2.0, 0.5], [0.3, -1.0, 2.0], [2.0, 0.1, -0.4]];
    let solution = [0.7, -1.3, 2.1];
    let rival = PolyakStep { eps: 0.0, limit: RateLimit::Unlimited, ..PolyakStep::default() };
    let leaf =
        |w: &[f64]| Tree::from_leaves([("w", Tensor::new(w, &Device::Cpu).unwrap())]).unwrap();
    let mut w = [0.0; 3];
    let mut params = leaf(&w);
    let mut state = rival.init(&params).unwrap();
    for step in 0..600 {
        let row = rows[step % 3];
        let miss: f64 = (0..3).map(|i| row[i] * (w[i] - solution[i])).sum();
        let square: f64 = row.iter().map(|a| a * a).sum();
        let grads = leaf(&row.map(|a| a * miss));
        params = rival.step(grads, 0.5 * miss * miss, &params, &mut state).unwrap().done().unwrap();
        let projected: [f64; 3] = std::array::from_fn(|i| w[i] - miss / square * row[i]);
        w = params.leaf("w").unwrap().to_vec1::<f64>().unwrap().try_into().unwrap();
        assert!((0..3).all(|i| (w[i] - projected[i]).abs() < 1e-10));
    }
    assert!((0..3).all(|i| (w[i] - solution[i]).abs() < 1e-9), "{w:?}");
}

#[test]
fn nothing_moves_at_the_least_loss_or_at_a_flat_point_and_the_bound_stays() {
    let rival = PolyakStep { f_star: 1.0, ..PolyakStep::default() };
    let params = tree(&START);
    for (grads, loss) in [(params.clone(), 0.9), (params.zeros_like().unwrap(), 7.0)] {
        let mut state = PolyakState { rate: 0.25 };
        let next = rival.step(grads, loss, &params, &mut state).unwrap().done().unwrap();
        assert_eq!(next.add_scaled(-1.0, &params).unwrap().norm().unwrap(), 0.0);
        assert_eq!(state.rate, 0.25);
    }
}
