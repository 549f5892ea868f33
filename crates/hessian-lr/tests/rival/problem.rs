//! A small quadratic with a disturbance that changes from step to step, in plain doubles and on trees.

use candle_core::{DType, Device, Tensor};
use hessian_lr::rival::{Move, Rival, Trial};
use tensor_tree::Tree;

pub(super) const N: usize = 5;
pub(super) type Point = [f64; N];

const CURVATURE: Point = [1.0, 0.3, 2.0, 0.05, 0.7];
const TARGET: Point = [1.0, -2.0, 0.5, 3.0, -1.0];
pub(super) const START: Point = [0.2, 0.4, -0.3, 1.0, 2.0];

/// `scale * sum_i a_i (w_i - t_i)^2 / 2 + noise * sin(1.7 step + 3 i) w_i + floor`.
#[derive(Clone, Copy)]
pub(super) struct Problem {
    pub(super) scale: f64,
    pub(super) noise: f64,
    pub(super) floor: f64,
}

impl Problem {
    pub(super) const PLAIN: Problem = Problem { scale: 1.0, noise: 0.0, floor: 0.0 };
    pub(super) const NOISY: Problem = Problem { scale: 1.0, noise: 0.1, floor: 3.0 };

    fn force(self, step: usize, i: usize) -> f64 {
        self.noise * (1.7 * step as f64 + 3.0 * i as f64).sin()
    }

    pub(super) fn loss(self, w: &Point, step: usize) -> f64 {
        let term =
            |i: usize| 0.5 * CURVATURE[i] * (w[i] - TARGET[i]).powi(2) + self.force(step, i) * w[i];
        self.scale * (0..N).map(term).sum::<f64>() + self.floor
    }

    pub(super) fn gradient(self, w: &Point, step: usize) -> Point {
        let term = |i: usize| CURVATURE[i] * (w[i] - TARGET[i]) + self.force(step, i);
        std::array::from_fn(|i| self.scale * term(i))
    }
}

/// Two leaves of different rank, whose order by name is that of the elements.
pub(super) fn tree(w: &Point) -> Tree {
    let a = Tensor::new(&w[..3], &Device::Cpu).unwrap();
    let b = Tensor::new(&w[3..], &Device::Cpu).unwrap().reshape((1, 2)).unwrap();
    Tree::from_leaves([("a", a), ("b.c", b)]).unwrap()
}

pub(super) fn flat(tree: &Tree) -> Point {
    let mut values = Vec::new();
    for (_, leaf) in tree.iter() {
        let leaf = leaf.flatten_all().unwrap().to_dtype(DType::F64).unwrap();
        values.extend(leaf.to_vec1::<f64>().unwrap());
    }
    values.try_into().unwrap()
}

/// One whole step, with its questions answered.
pub(super) fn advance<R: Rival>(
    rival: &R,
    problem: Problem,
    step: usize,
    params: &Tree,
    state: &mut R::State,
) -> hessian_lr::Result<Tree> {
    let at = flat(&rival.train_params(params, state)?);
    let dtype = params.leaf("a")?.dtype();
    let grads = tree(&problem.gradient(&at, step)).to_dtype(dtype)?;
    let mut next = rival.step(grads, problem.loss(&at, step), params, state)?;
    while let Move::Try(trial) = next {
        let loss = problem.loss(&flat(trial.params()), step);
        next = rival.answer(trial, loss, state)?;
    }
    next.done()
}

/// The parameters after each step, with the state after it.
pub(super) fn run<R: Rival>(rival: &R, problem: Problem, steps: usize) -> Vec<(Point, R::State)> {
    let mut params = tree(&START);
    let mut state = rival.init(&params).unwrap();
    let one = |step| {
        params = advance(rival, problem, step, &params, &mut state).unwrap();
        (flat(&params), state.clone())
    };
    (0..steps).map(one).collect()
}

pub(super) fn dot(a: &Point, b: &Point) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

pub(super) fn norm(a: &Point) -> f64 {
    dot(a, a).sqrt()
}

/// Whether two points agree to a relative tolerance.
#[track_caller]
pub(super) fn assert_close(got: &Point, want: &Point, tolerance: f64) {
    for (g, w) in got.iter().zip(want) {
        assert!((g - w).abs() <= tolerance * (1.0 + w.abs()), "{got:?} is not {want:?}");
    }
}
