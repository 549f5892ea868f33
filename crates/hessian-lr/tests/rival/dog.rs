//! Distance over gradients.

use candle_core::{Device, Tensor};
use hessian_lr::rival::{Dog, Move, Paced, Rival};
use tensor_tree::{Groups, Tree};

use super::problem::{N, Point, Problem, START, assert_close, norm, run, tree};

/// The recursion with one rate for each of the given ranges of elements.
fn recursion(blocks: &[std::ops::Range<usize>], decay: f64, steps: usize) -> Vec<Point> {
    let part = |w: &Point, block: &std::ops::Range<usize>| {
        w[block.clone()].iter().map(|w| w * w).sum::<f64>()
    };
    let mut x = START;
    let mut r_bar: Vec<f64> =
        blocks.iter().map(|b| 1e-6 * (1.0 + part(&START, b).sqrt())).collect();
    let mut squares = vec![1e-8; blocks.len()];
    let one = |k: usize| {
        let raw = Problem::NOISY.gradient(&x, k);
        let g: Point = std::array::from_fn(|i| raw[i] + decay * x[i]);
        let moved: Point = std::array::from_fn(|i| x[i] - START[i]);
        for (b, block) in blocks.iter().enumerate() {
            r_bar[b] = r_bar[b].max(part(&moved, block).sqrt());
            squares[b] += part(&g, block);
            for i in block.clone() {
                x[i] -= r_bar[b] / squares[b].sqrt() * g[i];
            }
        }
        x
    };
    (0..steps).map(one).collect()
}

#[test]
fn dog_follows_its_recursion_with_one_rate_and_with_one_per_leaf() {
    let groups = Groups::per_leaf(&tree(&START));
    let layers = [0..3, 3..5];
    let whole = std::slice::from_ref(&(0..5));
    for (groups, blocks) in [(None, whole), (Some(groups), &layers[..])] {
        for weight_decay in [0.0, 0.05] {
            let rival = Dog { weight_decay, groups: groups.clone(), ..Dog::default() };
            let want = recursion(blocks, weight_decay, 60);
            for ((got, _), want) in run(&Paced(rival), Problem::NOISY, 60).iter().zip(&want) {
                assert_close(got, want, 1e-11);
            }
        }
    }
}

#[test]
fn one_group_of_all_leaves_is_dog_without_groups() {
    let groups = Some(Groups::one(&tree(&START)));
    let grouped = run(&Paced(Dog { groups, ..Dog::default() }), Problem::NOISY, 40);
    let plain = run(&Paced(Dog::default()), Problem::NOISY, 40);
    assert!(grouped.iter().zip(&plain).all(|(a, b)| a.0 == b.0));
}

#[test]
fn dog_converges_on_a_parabola_from_any_start() {
    let rival = Paced(Dog::default());
    for start in [-1000.0, -1.0, 1e-3, 0.5, 30.0] {
        let leaf =
            |w: f64| Tree::from_leaves([("w", Tensor::new(&[w], &Device::Cpu).unwrap())]).unwrap();
        let mut params = leaf(start);
        let mut state = rival.init(&params).unwrap();
        for _ in 0..3000 {
            let w = params.norm().unwrap();
            let next = rival.step(params.clone(), 0.5 * w * w, &params, &mut state).unwrap();
            let Move::To(new) = next; // DoG asks nothing, and its type says so
            params = new;
        }
        let left = params.norm().unwrap() / f64::abs(start);
        assert!(left < 1e-3, "from {start}: {left} of the distance is left");
    }
}

#[test]
fn the_scale_of_the_loss_does_not_matter_to_dog() {
    let scaled = Problem { scale: 100.0, ..Problem::NOISY };
    let plain = run(&Paced(Dog::default()), Problem::NOISY, 200)[199].0;
    assert_close(&run(&Paced(Dog::default()), scaled, 200)[199].0, &plain, 1e-6);
    assert!(norm(&std::array::from_fn(|i: usize| plain[i] - START[i])) > 0.1 && N == 5);
}
