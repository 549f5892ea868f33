//! What must not change the solution, and what other solvers find.

use chacha20::ChaCha20Rng;
use rand::{RngExt, SeedableRng};
use slope2::{
    Binomial, Center, ClusterDescent, Datafit, Design, Error, Family, Fista, Gaussian, LossScale,
    Operator, Poisson, Problem, Scale, Solution, Solver, SortedL1, Start, TwoLevel, ZoneDescent,
    datafit, sequence,
};

use crate::cases::normal;

/// A design without ties, half of its entries zero, and a response.
struct Data {
    n: usize,
    p: usize,
    /// One column after the other.
    x: Vec<f64>,
    y: Vec<f64>,
    family: &'static dyn Family,
}

const FAMILIES: [&dyn Family; 3] = [&Gaussian, &Binomial, &Poisson];

impl Data {
    fn draw(n: usize, p: usize, family: &'static dyn Family, seed: u64) -> Data {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut entry = || if rng.random() { 0.0 } else { normal(&mut rng) };
        let x: Vec<f64> = (0..n * p).map(|_| entry()).collect();
        let y = (0..n)
            .map(|i| {
                let eta = x[i] - x[n + i] + 0.5 * x[2 * n + i] + 0.3 * normal(&mut rng);
                match family.name() {
                    "binomial" => f64::from(0.0 < eta),
                    "poisson" => eta.clamp(-2.0, 2.0).exp().round(),
                    _ => eta,
                }
            })
            .collect();
        Data { n, p, x, y, family }
    }

    fn design(&self) -> Design<'_> {
        Design::from_columns(self.x.as_slice(), self.n, self.p).unwrap()
    }

    fn datafit(&self) -> Datafit<'_> {
        Datafit::new(self.family, &self.y, LossScale::Mean).unwrap()
    }
}

/// The problem with a sequence at a share of the strength at which all is zero.
fn problem<'a>(
    design: &'a Design<'a>,
    datafit: Datafit<'a>,
    shape: Vec<f64>,
    part: f64,
) -> Problem<'a, SortedL1> {
    let penalty = SortedL1::new(shape).unwrap();
    let mut problem = Problem { design, datafit, penalty, intercept: true };
    problem.penalty = problem.penalty.scaled(part * problem.alpha_max()).unwrap();
    problem
}

fn solve(problem: &Problem<'_, SortedL1>) -> Solution {
    let solver = ClusterDescent { tolerance: 1e-14, ..ClusterDescent::default() };
    let solution = solver.solve(problem, &Start::default()).unwrap();
    assert!(solution.certificate.relative_gap() < 1e-11, "{:?}", solution.certificate);
    solution
}

#[track_caller]
fn same(a: &Solution, b: &Solution, tolerance: f64) {
    let (of_a, of_b) = (a.intercept(), b.intercept());
    assert!((of_a - of_b).abs() < tolerance, "{of_a} {of_b}");
    for (j, (a, b)) in a.coefficients.iter().zip(&b.coefficients).enumerate() {
        assert!((a - b).abs() < tolerance, "coefficient {j}: {a} and {b}");
    }
}

fn shapes(n: usize, p: usize) -> Vec<Vec<f64>> {
    vec![
        sequence::benjamini_hochberg(0.1, p).unwrap(),
        sequence::gaussian(0.2, p, n).unwrap(),
        sequence::oscar(0.3, 0.05, p).unwrap(),
    ]
}

#[test]
fn many_accelerated_steps_find_the_same_with_and_without_weights() {
    for (seed, family) in (0..).zip(FAMILIES) {
        let data = Data::draw(60, 25, family, seed);
        let design = data.design();
        let raw: Vec<f64> = (0..60).map(|i| f64::from(i % 4) + 0.5).collect();
        let weights = datafit::normalized(&raw).unwrap();
        for shape in shapes(60, 25) {
            for fit in [data.datafit(), data.datafit().with_weights(&weights).unwrap()] {
                let problem = problem(&design, fit, shape.clone(), 0.2);
                let oracle = Fista { tolerance: 0.0, max_iters: 4000, check_every: 4000 };
                let want = oracle.solve(&problem, &Start::default()).unwrap();
                same(&solve(&problem), &want, 1e-8);
            }
        }
    }
}

#[test]
fn two_levels_are_solved_like_over_zones() {
    for (seed, family) in (10..).zip(FAMILIES) {
        let data = Data::draw(50, 80, family, seed);
        let design = data.design();
        for (ratio, k) in [(0.5, 8), (0.9, 30), (0.2, 2), (1.0, 80)] {
            let two = TwoLevel::new(1.0, ratio, k, 80).unwrap();
            let general = problem(&design, data.datafit(), two.sequence(), 0.3);
            let penalty = two.scaled(general.penalty.lambda()[0]).unwrap();
            let Problem { design, datafit, intercept, .. } = general;
            let special = Problem { design, datafit, penalty, intercept };
            let solver = ZoneDescent { tolerance: 1e-14, ..ZoneDescent::default() };
            let want = solver.solve(&special, &Start::default()).unwrap();
            same(&solve(&general), &want, 1e-7);
        }
    }
}

#[test]
fn whole_weights_are_repeated_rows() {
    for (seed, family) in (20..).zip(FAMILIES) {
        let data = Data::draw(30, 50, family, seed);
        let times = |i: usize| i % 3;
        let weights: Vec<f64> = (0..30).map(|i| times(i) as f64).collect();
        let weights = datafit::normalized(&weights).unwrap();
        let rows: Vec<usize> = (0..30).flat_map(|i| std::iter::repeat_n(i, times(i))).collect();
        let columns = data.x.chunks_exact(30);
        let x: Vec<f64> = columns.flat_map(|x| rows.iter().map(|i| x[*i])).collect();
        let y = rows.iter().map(|i| data.y[*i]).collect();
        let long = Data { n: rows.len(), p: 50, x, y, family };
        let (a, b) = (data.design(), long.design());
        for shape in shapes(30, 50) {
            let fit = data.datafit().with_weights(&weights).unwrap();
            let short = solve(&problem(&a, fit, shape.clone(), 0.3));
            same(&short, &solve(&problem(&b, long.datafit(), shape, 0.3)), 1e-7);
        }
    }
}

/// Hides the columns of a matrix.
struct Products<'a>(&'a Data);

impl Operator for Products<'_> {
    fn n_rows(&self) -> usize {
        self.0.n
    }
    fn n_cols(&self) -> usize {
        self.0.p
    }
    fn apply(&self, b: &[f64], out: &mut [f64]) {
        self.0.design().apply(b, out);
    }
    fn adjoint(&self, r: &[f64], out: &mut [f64]) {
        self.0.design().adjoint(r, out);
    }
}

#[test]
fn dense_sparse_and_hidden_columns_give_the_same() {
    for (seed, family) in (30..).zip(FAMILIES) {
        let data = Data::draw(40, 20, family, seed);
        let (mut ptr, mut idx, mut values) = (vec![0], Vec::new(), Vec::new());
        for column in data.x.chunks_exact(40) {
            for (i, x) in column.iter().enumerate().filter(|(_, x)| **x != 0.0) {
                idx.push(i);
                values.push(*x);
            }
            ptr.push(idx.len());
        }
        let products = Products(&data);
        let plain = [
            data.design(),
            Design::sparse(40, &ptr, &idx, &values).unwrap(),
            Design::operator(&products),
        ];
        for shape in shapes(40, 20) {
            let dense = problem(&plain[0], data.datafit(), shape.clone(), 0.2);
            let want = solve(&dense);
            same(&solve(&Problem { design: &plain[1], ..dense.clone() }), &want, 1e-9);
            let hidden = Problem { design: &plain[2], ..dense.clone() };
            let oracle = Fista { tolerance: 0.0, max_iters: 4000, check_every: 4000 };
            same(&oracle.solve(&hidden, &Start::default()).unwrap(), &want, 1e-8);
            let refused = ClusterDescent::default().solve(&hidden, &Start::default());
            assert_eq!(refused, Err(Error::NeedsColumns));
        }
        let [a, b, _] = plain;
        let a = a.standardized(&Center::Mean, &Scale::Sd, None).unwrap();
        let b = b.standardized(&Center::Mean, &Scale::Sd, None).unwrap();
        for shape in shapes(40, 20) {
            let dense = problem(&a, data.datafit(), shape, 0.1);
            same(&solve(&dense), &solve(&Problem { design: &b, ..dense.clone() }), 1e-9);
        }
    }
}

#[test]
fn turned_and_exchanged_columns_turn_and_exchange_coefficients() {
    for (seed, family) in (40..).zip(FAMILIES) {
        let data = Data::draw(30, 60, family, seed);
        let to = |j: usize| (j * 7 + 3) % 60;
        let sign = |j: usize| if j.is_multiple_of(3) { -1.0 } else { 1.0 };
        let mut x = vec![0.0; data.x.len()];
        for (j, column) in data.x.chunks_exact(30).enumerate() {
            let into = x[to(j) * 30..][..30].iter_mut();
            into.zip(column).for_each(|(into, x)| *into = sign(j) * x);
        }
        let other = Data { x, y: data.y.clone(), ..data };
        let (a, b) = (data.design(), other.design());
        for shape in shapes(30, 60) {
            let one = solve(&problem(&a, data.datafit(), shape.clone(), 0.2));
            let mut two = solve(&problem(&b, other.datafit(), shape, 0.2));
            two.coefficients = (0..60).map(|j| sign(j) * two.coefficients[to(j)]).collect();
            same(&one, &two, 1e-8);
        }
    }
}

#[test]
fn all_is_zero_from_the_largest_penalty_on_and_not_just_below() {
    for (seed, family) in (50..).zip(FAMILIES) {
        let data = Data::draw(30, 60, family, seed);
        let design = data.design();
        for shape in shapes(30, 60) {
            for part in [1.0 + 1e-12, 3.0] {
                let solution = solve(&problem(&design, data.datafit(), shape.clone(), part));
                assert!(solution.coefficients.iter().all(|b| *b == 0.0), "{part}");
            }
            let solution = solve(&problem(&design, data.datafit(), shape, 0.999));
            assert!(solution.coefficients.iter().any(|b| *b != 0.0));
        }
    }
}

#[test]
fn it_does_not_matter_where_the_solver_starts() {
    let data = Data::draw(40, 70, &Gaussian, 60);
    let design = data.design();
    for shape in shapes(40, 70) {
        let target = problem(&design, data.datafit(), shape.clone(), 0.1);
        let cold = solve(&target);
        let near = solve(&problem(&design, data.datafit(), shape, 0.15));
        let solver = ClusterDescent { tolerance: 1e-14, ..ClusterDescent::default() };
        for coefficients in [near.coefficients, vec![1.0; 70], (0..70).map(f64::from).collect()] {
            let start = Start { intercepts: near.intercepts.clone(), coefficients };
            same(&solver.solve(&target, &start).unwrap(), &cold, 1e-8);
        }
    }
}

#[test]
fn copies_and_opposites_share_one_magnitude() {
    let mut data = Data::draw(30, 12, &Gaussian, 70);
    data.x.copy_within(0..30, 30);
    (0..30).for_each(|i| data.x[60 + i] = -data.x[i]);
    data.x[90..120].fill(1.0);
    let design = data.design();
    let shape = sequence::oscar(0.3, 0.05, 12).unwrap();
    let b = solve(&problem(&design, data.datafit(), shape, 0.1)).coefficients;
    assert!(b[0] != 0.0 && b[0] == b[1] && b[0] == -b[2], "{b:?}");
    assert_eq!(b[3], 0.0, "a constant column");
}
