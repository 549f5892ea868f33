//! Combine, then clip: one sample moves the sum by the clip norm at most, whatever the weights are. The other order does not.

use dp_core::{ClipFunction, RunKey};
use dp_filters::{Disk, LookAhead};
use proptest::prelude::*;
use tensor_tree::{ProbePoint, Transform, Tree};

use crate::support::{cases, distance, leaf, normals, plan, private, problem};

const R: f64 = 0.7;

/// A filter whose second gradient has weight `c`.
fn disk(c: f64) -> Disk {
    let kappa = 0.5;
    Disk::new(kappa, LookAhead::Fixed((1.0 - kappa) / (kappa * c))).unwrap()
}

/// The points of `disk` after a step from `params` to `moved`.
fn points(disk: &Disk, params: &Tree, moved: &Tree) -> Vec<ProbePoint> {
    let mut state = disk.init(params).unwrap();
    disk.update(params.clone(), params, &mut state).unwrap();
    disk.points(moved, &mut state).unwrap()
}

/// The clipped sum: a plan without noise, of one expected sample.
fn clipped_sum(
    function: ClipFunction,
    problem: &crate::support::Polynomial,
    points: &[ProbePoint],
    batch: &[usize],
) -> Tree {
    let plan = plan(12, 1.0, 1, R, 0.0);
    private((&plan, function), problem, points, batch, RunKey::seeded(1, 0).next_step())
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn one_sample_moves_the_sum_by_the_clip_norm_at_most(
        c in prop::sample::select(vec![0.1, 1.0, 3.0]), seed in 0u64..1000, quartic in 0.0..2.0f64,
        function in prop::sample::select(vec![
            ClipFunction::Abadi { stability: 0.0 }, ClipFunction::AutoV, ClipFunction::automatic(), ClipFunction::Global,
        ]),
        dropped in 0usize..12, far in 0.1..5.0f64,
    ) {
        let problem = problem(12, 3, quartic, seed);
        let params = normals(3, seed, 1).scale(far).unwrap();
        let moved = params.add_scaled(far, &normals(3, seed, 2)).unwrap();
        let points = points(&disk(c), &params, &moved);
        prop_assert_eq!(points.len(), if c == 1.0 { 1 } else { 2 });
        let all: Vec<usize> = (0..12).collect();
        let less: Vec<usize> = all.iter().copied().filter(|i| *i != dropped).collect();
        let sum = |batch: &[usize]| clipped_sum(function, &problem, &points, batch);
        let moved_by = distance(&sum(&all), &sum(&less));
        prop_assert!(moved_by <= R * (1.0 + 1e-12), "{}", moved_by);
        // The bound is met by a sample that is clipped, and by each one of automatic clipping without a constant.
        if function == ClipFunction::AutoV {
            prop_assert!(R * (1.0 - 1e-9) <= moved_by, "{}", moved_by);
        }
    }
}

/// A sample whose gradients at the two points are opposite and both of norm `R`.
#[test]
fn clipping_first_and_combining_then_exceeds_the_bound() {
    let problem = crate::support::Polynomial::bowl(1, 2, 1.0);
    let function = ClipFunction::Abadi { stability: 0.0 };
    for (c, bound) in [(0.1, R), (1.0, R), (3.0, 5.0 * R)] {
        // The gradient is the point itself: at the parameters (R, 0), ahead (-R, 0).
        let disk = disk(c);
        let moved = leaf(&[R, 0.0]);
        let gamma = 1.0 / c;
        let params = leaf(&[R + 2.0 * R / gamma, 0.0]);
        let points = points(&disk, &params, &moved);
        let norm_at = |point: &ProbePoint| {
            let one = [ProbePoint { weight: 1.0, ..point.clone() }];
            clipped_sum(function, &problem, &one, &[0]).norm().unwrap()
        };
        assert!(points.iter().all(|point| (norm_at(point) - R).abs() < 1e-12));
        // Clipped, then combined: no parts are left out, since both have norm R.
        let apart = points.iter().fold(leaf(&[0.0; 2]), |sum, point| {
            let one = [ProbePoint { weight: 1.0, ..point.clone() }];
            sum.add_scaled(point.weight, &clipped_sum(function, &problem, &one, &[0])).unwrap()
        });
        let together = clipped_sum(function, &problem, &points, &[0]);
        assert!(together.norm().unwrap() <= R * (1.0 + 1e-12));
        let apart = apart.norm().unwrap();
        if c == 3.0 {
            // |1 - c| + |c| = 5 times the bound.
            assert!((apart - bound).abs() < 1e-12 * bound, "{apart}");
        } else {
            assert!(apart <= R * (1.0 + 1e-12));
        }
    }
}
