//! What must hold for every gain, look-ahead and problem.

use proptest::prelude::*;

use super::*;
use crate::support::cases;

proptest! {
    #![proptest_config(cases(48))]

    /// Noise-free, on the whole data set, without clipping: the estimate is the gradient. With Adam behind it the parameters do not move
    /// along the estimates, so the displacement must be the measured one.
    #[test]
    fn on_a_quadratic_without_noise_the_estimate_is_the_gradient(
        kappa in 0.05..1.0f64, gamma in 0.2..3.0f64, auto in any::<bool>(), seed in 0u64..500,
    ) {
        let problem = problem(N, 3, 0.0, seed);
        let look_ahead = if auto { LookAhead::Auto } else { LookAhead::Fixed(gamma) };
        let disk = Disk::new(kappa, look_ahead).unwrap();
        let adaptive = Disk::adaptive(kalman(), look_ahead).unwrap();
        let decayed = AdamW { weight_decay: 0.1, ..AdamW::default() };
        for disk in [disk, adaptive] {
            let mut at = start();
            let (plan, all): (_, Vec<usize>) = (whole(FAR), (0..N).collect());
            let mut state = disk.init(&at).unwrap();
            let mut memory = decayed.init(&at).unwrap();
            let mut keys = RunKey::seeded(1, 0);
            for t in 0..10 {
                let points = disk.points(&at, &mut state).unwrap();
                let grads = private((&plan, PLAIN), &problem, &points, &all, keys.next_step());
                let estimate = disk.update(grads, &at, &mut state).unwrap();
                let single = ProbePoint::single(&at);
                let want = private((&plan, PLAIN), &problem, &single, &all, RunKey::seeded(1, 0).next_step());
                // Weights of size c multiply gradients that cancel.
                let size = (1.0 + 1.0 / (kappa * gamma)) * (1.0 + want.norm().unwrap());
                prop_assert!(distance(&estimate, &want) <= 1e-12 * size, "{} {}", t, distance(&estimate, &want));
                let direction = decayed.update(estimate, &at, &mut memory).unwrap();
                at = at.descend(&direction, &Rates::uniform(0.2)).unwrap();
            }
        }
    }

    /// On quadratic losses a combined gradient does not depend on `gamma`, so neither does its clipping.
    #[test]
    fn on_quadratic_losses_gamma_is_irrelevant(
        kappa in 0.1..0.95f64, gamma in 0.2..3.0f64, seed in 0u64..500,
        function in prop::sample::select(vec![PLAIN, ClipFunction::AutoV, ClipFunction::automatic()]),
        adam in any::<bool>(),
    ) {
        let problem = problem(N, 3, 0.0, seed);
        let plan = plan(N as u64, 5.0, 10, 0.5, 0.3);
        let runs = [LookAhead::Auto, LookAhead::Fixed(gamma)].map(|look_ahead| {
            let disk = Disk::new(kappa, look_ahead).unwrap();
            if adam {
                train(&disk, &AdamW::default(), &problem, (&plan, function))
            } else {
                train(&disk, &Identity, &problem, (&plan, function))
            }
        });
        for ((s, x), (t, y)) in runs[0].iter().zip(&runs[1]) {
            // Rounding is amplified by the weights, by clipping of short gradients, and over the steps.
            let scale = (1.0 + 1.0 / (kappa * gamma)).powi(2) * 1e-9;
            prop_assert!(distance(s, t) <= scale && distance(x, y) <= scale, "{}", distance(s, t));
        }
        // It is relevant where losses are not quadratic.
        let bent = Polynomial { quartic: 1.0, ..problem };
        let [a, b] = [LookAhead::Auto, LookAhead::Fixed(0.1 * (1.0 - kappa) / kappa)].map(|look_ahead| {
            train(&Disk::new(kappa, look_ahead).unwrap(), &Identity, &bent, (&plan, function))
        });
        prop_assert!(1e-9 < distance(&a[2].0, &b[2].0));
    }

    /// One gradient at the point ahead is what two with weights 0 and 1 are.
    #[test]
    fn one_gradient_is_enough_where_its_weight_is_one(kappa in 0.05..0.95f64, seed in 0u64..500) {
        let problem = problem(N, 3, 0.5, seed);
        let plan = plan(N as u64, 5.0, 10, 0.5, 0.3);
        let disk = Disk::new(kappa, LookAhead::Auto).unwrap();
        let function = ClipFunction::automatic();
        let (mut state, params, moved) = (disk.init(&start()).unwrap(), start(), normals(3, seed, 7));
        disk.update(normals(3, seed, 0), &params, &mut state).unwrap();
        let one = disk.points(&moved, &mut state).unwrap();
        let two = [
            ProbePoint { params: moved.clone(), weight: 0.0 },
            ProbePoint { params: one[0].params.clone(), weight: 1.0 },
        ];
        let batch: Vec<usize> = (0..6).collect();
        let grads = |points: &[ProbePoint]| {
            private((&plan, function), &problem, points, &batch, RunKey::seeded(2, 0).next_step())
        };
        prop_assert_eq!(one.len(), 1);
        prop_assert_eq!(bits(&grads(&one)), bits(&grads(&two)));
    }

    #[test]
    fn kalman_gains_move_to_the_stationary_one(
        initial in 1e-3..1e3f64, process in 1e-4..10.0f64, observation in 1e-3..1e3f64,
    ) {
        let kalman = ScalarKalman::new(initial, process, observation).unwrap();
        let limit = kalman.stationary_gain();
        let gains: Vec<f64> = kalman.gains(60).iter().map(|step| step.gain).collect();
        prop_assert!(gains.iter().all(|gain| 0.0 < *gain && *gain < 1.0));
        let slack = 1e-12;
        for pair in gains.windows(2) {
            // From above they fall and stay above, from below they rise and stay below.
            let (far, near) = (pair[0] - limit, pair[1] - limit);
            prop_assert!(far * near >= -slack && near.abs() <= far.abs() + slack, "{:?} {}", pair, limit);
        }
        // It is a fixed point.
        let variance = limit * observation;
        prop_assert!((kalman.after(variance).gain - limit).abs() <= 1e-12);
        let vague = ScalarKalman::new(1e3 + initial, process, observation).unwrap();
        let start = vague.first().gain;
        prop_assert!(limit <= start + slack);
    }
}
