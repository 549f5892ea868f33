//! Schedule-Free learning and averages of iterates.

use hessian_lr::rival::{Averaged, Dog, Paced, Rival, ScheduleFree, Scheduled};
use tensor_tree::{AdamW, Schedule, Sgd};

use super::problem::{N, Point, Problem, START, advance, assert_close, flat, run, tree};

fn mix(c: f64, a: &Point, b: &Point) -> Point {
    std::array::from_fn(|i| (1.0 - c) * a[i] + c * b[i])
}

#[test]
fn schedule_free_sgd_follows_its_recursion() {
    for (beta, warmup, step_power, rate_power, weight_decay) in
        [(0.9, 0, 0.0, 2.0, 0.0), (0.8, 7, 0.5, 2.0, 0.05), (1.0, 3, 0.0, 0.0, 0.0)]
    {
        let rival = ScheduleFree {
            beta,
            warmup,
            step_power,
            rate_power,
            ..ScheduleFree::new(Sgd { weight_decay }, 0.3)
        };
        let (mut x, mut z, mut sum) = (START, START, 0.0);
        for (k, (got, _)) in run(&rival, Problem::NOISY, 50).iter().enumerate() {
            let y = mix(beta, &z, &x);
            let g = Problem::NOISY.gradient(&y, k);
            let t = k as f64 + 1.0;
            let rate = 0.3 * if warmup == 0 { 1.0 } else { f64::min(1.0, t / warmup as f64) };
            for i in 0..N {
                z[i] -= rate * (g[i] + weight_decay * y[i]);
            }
            let weight = t.powf(step_power) * rate.powf(rate_power);
            sum += weight;
            x = mix(weight / sum, &x, &z);
            assert_close(got, &x, 1e-12);
        }
    }
}

#[test]
fn schedule_free_adamw_follows_its_recursion() {
    let mut rival = ScheduleFree { warmup: 10, ..ScheduleFree::adamw(0.05) };
    rival.transform.weight_decay = 0.1;
    let (mut x, mut z, mut v, mut sum) = (START, START, [0.0; N], 0.0);
    for (k, (got, _)) in run(&rival, Problem::NOISY, 50).iter().enumerate() {
        let y = mix(0.9, &z, &x);
        let g = Problem::NOISY.gradient(&y, k);
        let t = k as f64 + 1.0;
        let rate = 0.05 * f64::min(1.0, t / 10.0);
        for i in 0..N {
            v[i] = 0.999 * v[i] + 0.001 * g[i] * g[i];
            let v_hat: f64 = v[i] / (1.0 - 0.999f64.powi(k as i32 + 1));
            z[i] -= rate * (g[i] / (v_hat.sqrt() + 1e-8) + 0.1 * y[i]);
        }
        sum += rate * rate;
        x = mix(rate * rate / sum, &x, &z);
        assert_close(got, &x, 1e-12);
    }
}

#[test]
fn without_interpolation_schedule_free_is_the_mean_of_plain_training() {
    let rival = ScheduleFree { beta: 0.0, ..ScheduleFree::sgd(0.2) };
    let plain = Scheduled { transform: Sgd::default(), rate: 0.2, schedule: Schedule::Constant };
    let mean = Averaged { rival: plain, gamma: 0.0 };
    let (free, mean) = (run(&rival, Problem::NOISY, 40), run(&mean, Problem::NOISY, 40));
    for ((x, free), (iterate, mean)) in free.iter().zip(&mean) {
        assert_close(&flat(&free.z), iterate, 1e-13);
        assert_close(x, &flat(&mean.average), 1e-13);
    }
}

#[test]
fn schedule_free_trains_between_and_evaluates_at_the_average() {
    let rival = ScheduleFree::sgd(0.2);
    let mut params = tree(&START);
    let mut state = rival.init(&params).unwrap();
    for step in 0..5 {
        params = advance(&rival, Problem::NOISY, step, &params, &mut state).unwrap();
    }
    let (x, z) = (flat(&params), flat(&state.z));
    assert_close(&flat(&rival.train_params(&params, &state).unwrap()), &mix(0.9, &z, &x), 1e-15);
    assert_eq!(flat(&rival.eval_params(&params, &state).unwrap()), x);
    assert_ne!(x, z);
}

#[test]
fn polynomial_averages_follow_their_recursion_and_leave_training_alone() {
    let rival = Averaged::new(Paced(Dog::default()));
    let plain = run(&Paced(Dog::default()), Problem::NOISY, 60);
    let mut average = START;
    for (k, ((got, state), (want, _))) in
        run(&rival, Problem::NOISY, 60).iter().zip(&plain).enumerate()
    {
        assert_eq!(got, want);
        let t = k as f64 + 1.0;
        average = mix(9.0 / (t + 8.0), &average, want);
        assert_close(&flat(&rival.eval_params(&tree(got), state).unwrap()), &average, 1e-13);
    }
}

#[test]
fn a_scheduled_transformation_is_the_transformation_with_its_rate() {
    let schedule = Schedule::Cosine { warmup: 3, total: 20, floor: 0.1 };
    let rival = Scheduled { transform: AdamW::default(), rate: 0.1, schedule };
    let (mut x, mut m, mut v) = (START, [0.0; N], [0.0; N]);
    for (k, (got, _)) in run(&rival, Problem::NOISY, 25).iter().enumerate() {
        let g = Problem::NOISY.gradient(&x, k);
        let t = k as i32 + 1;
        for i in 0..N {
            m[i] = 0.9 * m[i] + 0.1 * g[i];
            v[i] = 0.999 * v[i] + 0.001 * g[i] * g[i];
            let (m, v): (f64, f64) =
                (m[i] / (1.0 - 0.9f64.powi(t)), v[i] / (1.0 - 0.999f64.powi(t)));
            x[i] -= 0.1 * schedule.factor(k as u64) * m / (v.sqrt() + 1e-8);
        }
        assert_close(got, &x, 1e-12);
    }
}
