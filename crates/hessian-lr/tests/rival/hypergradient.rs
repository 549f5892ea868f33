//! Hypergradient descent.

use hessian_lr::rival::{Hypergradient, MetaRule, Paced, Scheduled};
use tensor_tree::{AdamW, Momentum, Schedule, Sgd, Transform};

use super::problem::{N, Point, Problem, START, assert_close, dot, norm, run};

/// The recursion over any rule that turns the gradient at a step (from 1) into a direction.
fn recursion(
    (rate, meta_rate, rule): (f64, f64, MetaRule),
    steps: usize,
    mut direction: impl FnMut(&Point, i32) -> Point,
) -> Vec<(Point, f64)> {
    let (mut x, mut alpha, mut last) = (START, rate, [0.0; N]);
    let one = |k: usize| {
        let g = Problem::NOISY.gradient(&x, k);
        let h = dot(&g, &last);
        alpha = match rule {
            MetaRule::Additive => alpha + meta_rate * h,
            MetaRule::Multiplicative if k == 0 => alpha,
            MetaRule::Multiplicative => alpha * (1.0 + meta_rate * h / (norm(&g) * norm(&last))),
        };
        last = direction(&g, k as i32 + 1);
        for i in 0..N {
            x[i] -= alpha * last[i];
        }
        (x, alpha)
    };
    (0..steps).map(one).collect()
}

#[track_caller]
fn compare<T: Transform>(rival: Hypergradient<T>, want: &[(Point, f64)]) {
    let got = run(&Paced(rival), Problem::NOISY, want.len());
    for ((x, state), (want, alpha)) in got.iter().zip(want) {
        assert_close(x, want, 1e-11);
        assert!((state.rate - alpha).abs() < 1e-11);
    }
}

#[test]
fn sgd_adam_and_momentum_follow_their_recursions_under_both_rules() {
    for (meta_rate, rule) in [(1e-3, MetaRule::Additive), (0.05, MetaRule::Multiplicative)] {
        compare(
            Hypergradient::sgd(0.01, meta_rate, rule),
            &recursion((0.01, meta_rate, rule), 60, |g, _| *g),
        );

        let mut buffer = [0.0; N];
        let momentum = |g: &Point, _| {
            buffer = std::array::from_fn(|i| 0.9 * buffer[i] + g[i]);
            std::array::from_fn(|i| g[i] + 0.9 * buffer[i])
        };
        let transform = Momentum { nesterov: true, ..Momentum::default() };
        compare(
            Hypergradient { transform, rate: 0.001, meta_rate, rule },
            &recursion((0.001, meta_rate, rule), 60, momentum),
        );

        let (mut m, mut v) = ([0.0; N], [0.0; N]);
        let adam = |g: &Point, t| {
            std::array::from_fn(|i| {
                m[i] = 0.9 * m[i] + 0.1 * g[i];
                v[i] = 0.999 * v[i] + 0.001 * g[i] * g[i];
                let v_hat: f64 = v[i] / (1.0 - 0.999f64.powi(t));
                m[i] / (1.0 - 0.9f64.powi(t)) / (v_hat.sqrt() + 1e-8)
            })
        };
        compare(
            Hypergradient::adam(0.01, meta_rate, rule),
            &recursion((0.01, meta_rate, rule), 60, adam),
        );
    }
}

#[test]
fn a_rate_that_does_not_move_gives_the_plain_method() {
    for rule in [MetaRule::Additive, MetaRule::Multiplicative] {
        let schedule = Schedule::Constant;
        let sgd = Scheduled { transform: Sgd::default(), rate: 0.1, schedule };
        let adam = Scheduled { transform: AdamW::default(), rate: 0.1, schedule };
        let pairs = [
            (
                run(&Paced(Hypergradient::sgd(0.1, 0.0, rule)), Problem::NOISY, 30)[29].0,
                run(&sgd, Problem::NOISY, 30)[29].0,
            ),
            (
                run(&Paced(Hypergradient::adam(0.1, 0.0, rule)), Problem::NOISY, 30)[29].0,
                run(&adam, Problem::NOISY, 30)[29].0,
            ),
        ];
        for (hyper, plain) in pairs {
            assert_close(&hyper, &plain, 1e-14);
        }
    }
}

#[test]
fn the_rate_rises_while_gradients_agree() {
    for (meta_rate, rule) in [(1e-4, MetaRule::Additive), (0.1, MetaRule::Multiplicative)] {
        let rival = Paced(Hypergradient::sgd(1e-4, meta_rate, rule));
        let rates: Vec<f64> =
            run(&rival, Problem::PLAIN, 10).iter().map(|(_, state)| state.rate).collect();
        assert!(rates.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
