//! D-Adaptation and Prodigy.

use approx::assert_relative_eq;
use hessian_lr::rival::{DAdaptAdam, DAdaptSgd, Paced, Prodigy, Rival, SelfPaced};
use tensor_tree::Schedule;

use super::problem::{N, Point, Problem, START, advance, assert_close, dot, flat, norm, run, tree};

const STEPS: usize = 40;

#[test]
fn d_adapted_sgd_follows_its_recursion() {
    let warm = Schedule::Linear { warmup: 5, total: 60, floor: 0.1 };
    for (growth_rate, momentum, weight_decay, rate, schedule) in [
        (f64::INFINITY, 0.0, 0.0, 1.0, Schedule::Constant),
        (1.5, 0.9, 0.01, 0.5, warm),
        (f64::INFINITY, 0.9, 0.1, 1.0, warm),
    ] {
        let rival = DAdaptSgd {
            growth_rate,
            momentum,
            weight_decay,
            rate,
            schedule,
            ..DAdaptSgd::default()
        };
        let (mut x, mut s, mut d, mut r, mut g0) = (START, [0.0; N], 1e-6, 0.0, 0.0);
        for (k, (got, state)) in run(&Paced(rival), Problem::NOISY, STEPS).iter().enumerate() {
            let raw = Problem::NOISY.gradient(&x, k);
            if k == 0 {
                g0 = norm(&raw);
            }
            let g: Point = std::array::from_fn(|i| raw[i] + weight_decay * x[i]);
            let lambda = d * rate * schedule.factor(k as u64) / g0;
            r += lambda * dot(&g, &s);
            for i in 0..N {
                s[i] += lambda * g[i];
            }
            d = f64::max(d, f64::min(2.0 * r / norm(&s), growth_rate * d));
            for i in 0..N {
                x[i] = momentum * x[i] + (1.0 - momentum) * (START[i] - s[i]);
            }
            assert_close(got, &x, 1e-11);
            assert_relative_eq!(state.d, d, max_relative = 1e-10);
        }
        assert!(d > 1e-5, "the estimate moved: {d}");
    }
}

#[test]
fn d_adapted_adam_follows_its_recursion() {
    for (growth_rate, weight_decay, bias_correction, rate) in
        [(f64::INFINITY, 0.0, false, 1.0), (1.3, 0.1, true, 0.5), (f64::INFINITY, 0.1, true, 2.0)]
    {
        let rival = DAdaptAdam {
            growth_rate,
            weight_decay,
            bias_correction,
            rate,
            ..DAdaptAdam::default()
        };
        let (beta1, beta2, eps) = (0.9f64, 0.999f64, 1e-8);
        let b = beta2.sqrt();
        let (mut x, mut m, mut v, mut s) = (START, [0.0; N], [0.0f64; N], [0.0f64; N]);
        let (mut d, mut r) = (1e-6, 0.0);
        for (k, (got, state)) in run(&Paced(rival), Problem::NOISY, STEPS).iter().enumerate() {
            let g = Problem::NOISY.gradient(&x, k);
            let t = k as i32 + 1;
            let bias = (1.0 - beta2.powi(t)).sqrt() / (1.0 - beta1.powi(t));
            let gamma = d * rate * if bias_correction { bias } else { 1.0 };
            let gain: f64 = (0..N).map(|i| g[i] * s[i] / (v[i].sqrt() + eps)).sum();
            r = b * r + (1.0 - b) * gamma * gain;
            for i in 0..N {
                m[i] = beta1 * m[i] + (1.0 - beta1) * gamma * g[i];
                v[i] = beta2 * v[i] + (1.0 - beta2) * g[i] * g[i];
                s[i] = b * s[i] + (1.0 - b) * gamma * g[i];
            }
            let length: f64 = s.iter().map(|s| s.abs()).sum();
            d = f64::max(d, f64::min(r / ((1.0 - b) * length), growth_rate * d));
            for i in 0..N {
                x[i] -= gamma * weight_decay * x[i] + m[i] / (v[i].sqrt() + eps);
            }
            assert_close(got, &x, 1e-11);
            assert_relative_eq!(state.d, d, max_relative = 1e-10);
        }
        assert!(d > 1e-5, "the estimate moved: {d}");
    }
}

#[test]
fn prodigy_follows_its_recursion() {
    let warm = Schedule::Cosine { warmup: 3, total: 60, floor: 0.1 };
    let plain = Prodigy::default();
    for rival in [
        plain,
        Prodigy {
            growth_rate: 1.4,
            weight_decay: 0.1,
            bias_correction: true,
            safeguard_warmup: true,
            schedule: warm,
            d_coef: 1.5,
            d0: 1e-2,
            ..plain
        },
        Prodigy { beta3: Some(0.9), d_coef: 2.0, schedule: warm, d0: 1e-4, ..plain },
    ] {
        let (beta1, beta2, eps) = (rival.beta1, rival.beta2, rival.eps);
        let beta3 = rival.beta3.unwrap_or(beta2.sqrt());
        let (mut x, mut m, mut v, mut s) = (START, [0.0; N], [0.0f64; N], [0.0f64; N]);
        let (mut d, mut d_max, mut r) = (rival.d0, rival.d0, 0.0);
        for (k, (got, state)) in run(&Paced(rival), Problem::NOISY, STEPS).iter().enumerate() {
            let g = Problem::NOISY.gradient(&x, k);
            let t = k as i32 + 1;
            let bias = (1.0 - beta2.powi(t)).sqrt() / (1.0 - beta1.powi(t));
            let lr =
                rival.schedule.factor(k as u64) * if rival.bias_correction { bias } else { 1.0 };
            let gap: Point = std::array::from_fn(|i| START[i] - x[i]);
            r = beta3 * r + d / rival.d0 * d * lr * dot(&g, &gap);
            for i in 0..N {
                m[i] = beta1 * m[i] + (1.0 - beta1) * d * g[i];
                v[i] = beta2 * v[i] + (1.0 - beta2) * d * d * g[i] * g[i];
                let lr = if rival.safeguard_warmup { 1.0 } else { lr };
                s[i] = beta3 * s[i] + d / rival.d0 * d * lr * g[i];
            }
            let d_hat = rival.d_coef * r / s.iter().map(|s| s.abs()).sum::<f64>();
            let old = d;
            if d == rival.d0 {
                d = d.max(d_hat);
            }
            d_max = d_max.max(d_hat);
            d = d_max.min(d * rival.growth_rate);
            for i in 0..N {
                let adam = m[i] / (v[i].sqrt() + d * eps);
                x[i] -= old * lr * (adam + rival.weight_decay * x[i]);
            }
            assert_close(got, &x, 1e-11);
            assert_relative_eq!(state.d, d, max_relative = 1e-10);
        }
        assert!(d > 1.5 * rival.d0, "the estimate moved: {d}");
    }
}

#[test]
fn estimates_of_the_distance_never_fall_and_are_bounded_where_that_is_proven() {
    let target: Point = [1.0, -2.0, 0.5, 3.0, -1.0];
    let distance = norm(&std::array::from_fn(|i| target[i] - START[i]));
    // A fifth of the rate: one over the curvature is less than the distance over the norm of the first gradient.
    let sgd = DAdaptSgd { rate: 0.2, ..DAdaptSgd::default() };
    let sgd: Vec<f64> =
        run(&Paced(sgd), Problem::PLAIN, 2000).iter().map(|(_, state)| state.d).collect();
    let adam: Vec<f64> = run(&Paced(DAdaptAdam::default()), Problem::NOISY, 500)
        .iter()
        .map(|(_, state)| state.d)
        .collect();
    let prodigy: Vec<f64> = run(&Paced(Prodigy::default()), Problem::NOISY, 500)
        .iter()
        .map(|(_, state)| state.d)
        .collect();
    for d in [&sgd, &adam, &prodigy] {
        assert!(d.windows(2).all(|pair| pair[0] <= pair[1]));
        assert!(1e-3 < d[d.len() - 1]);
    }
    // Convex and without momentum: 0 <= sum_k l_k <g_k, x_k - x*> = sum_k l_k <g_k, x_0 - x*> - r with
    // x_k = x_0 - s_k, so r <= |s| |x_0 - x*|, and d is at most 2 r / |s|.
    assert!(sgd[sgd.len() - 1] <= 2.0 * distance, "{} {distance}", sgd[sgd.len() - 1]);
}

#[test]
fn zero_gradients_before_the_first_say_nothing() {
    fn late<T: SelfPaced>(transform: T) {
        let rival = Paced(transform);
        let mut params = tree(&START);
        let mut state = rival.init(&params).unwrap();
        for _ in 0..3 {
            let zero = params.zeros_like().unwrap();
            params = rival.step(zero, 0.0, &params, &mut state).unwrap().done().unwrap();
            assert_eq!(flat(&params), START);
        }
        for (step, (want, _)) in run(&rival, Problem::NOISY, 20).iter().enumerate() {
            params = advance(&rival, Problem::NOISY, step, &params, &mut state).unwrap();
            assert_eq!(flat(&params), *want);
        }
    }
    late(DAdaptSgd { momentum: 0.9, ..DAdaptSgd::default() });
    late(DAdaptAdam::default());
    late(Prodigy::default());
}

#[test]
fn the_growth_of_the_estimate_is_bounded() {
    let rival = DAdaptAdam { growth_rate: 1.02, ..DAdaptAdam::default() };
    let prodigy = Prodigy { growth_rate: 1.02, ..Prodigy::default() };
    let adam = run(&Paced(rival), Problem::NOISY, 100);
    let prodigy = run(&Paced(prodigy), Problem::NOISY, 100);
    let d = [
        adam.iter().map(|(_, state)| state.d).collect::<Vec<_>>(),
        prodigy.iter().skip(1).map(|(_, state)| state.d).collect(),
    ];
    for d in d {
        assert!(d.windows(2).all(|pair| pair[1] <= 1.02 * pair[0] * (1.0 + 1e-15)));
    }
}

#[test]
fn the_scale_of_the_loss_does_not_matter() {
    let scaled = Problem { scale: 1000.0, ..Problem::NOISY };
    let pairs = [
        (
            run(&Paced(DAdaptSgd::default()), Problem::NOISY, 100)[99].0,
            run(&Paced(DAdaptSgd::default()), scaled, 100)[99].0,
        ),
        (
            run(&Paced(DAdaptAdam::default()), Problem::NOISY, 100)[99].0,
            run(&Paced(DAdaptAdam::default()), scaled, 100)[99].0,
        ),
        (
            run(&Paced(Prodigy::default()), Problem::NOISY, 100)[99].0,
            run(&Paced(Prodigy::default()), scaled, 100)[99].0,
        ),
    ];
    for (plain, scaled) in pairs {
        assert_close(&scaled, &plain, 1e-4); // eps stands beside gradients of one and of a thousand
    }
}

#[test]
fn they_find_the_minimum_from_a_rate_of_a_millionth() {
    let start = Problem::PLAIN.loss(&START, 0);
    let last = |w: &Point| Problem::PLAIN.loss(w, 0) / start;
    let sgd = DAdaptSgd { rate: 0.2, ..DAdaptSgd::default() };
    assert!(last(&run(&Paced(sgd), Problem::PLAIN, 2000)[1999].0) < 1e-2);
    assert!(last(&run(&Paced(DAdaptAdam::default()), Problem::PLAIN, 2000)[1999].0) < 1e-2);
    assert!(last(&run(&Paced(Prodigy::default()), Problem::PLAIN, 2000)[1999].0) < 1e-2);
}
