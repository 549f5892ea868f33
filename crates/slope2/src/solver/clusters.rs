//! The solver for any non-increasing sequence.
//!
//! Coefficients of one magnitude move together as one column. On such columns everything happens in terms of inner products:
//! coordinate descent that merges and reorders clusters, and joint Newton steps. Between them the gradient splits clusters,
//! zeros among them, along the steepest descent of the objective.
//!
//! Source: hybrid coordinate descent, arXiv 2210.14780. Its proximal step, which alone may split, is taken here in the limit of
//! a short step, where it only says which clusters fall apart and how fast; the length is that of an exact line search.

mod collapsed;
mod inner;
mod joint;
mod ranks;
mod split;
mod strong;

use super::gram::Gram;
use super::outer::{Descent, Method};
use super::source::Source;
use super::{Session, Solver, Start};
use crate::error::Result;
use crate::pattern::clusters;
use crate::penalty::SortedL1;
use crate::problem::{Problem, Solution};
use inner::{Inner, Order};
use ranks::Ranks;

/// Coordinate descent over clusters with a working set, for sorted-L1 penalties with any sequence.
///
/// For two levels [`crate::ZoneDescent`] is faster.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ClusterDescent {
    /// Relative duality gap to stop at, over all features.
    pub tolerance: f64,
    /// Most outer steps, each with one product with all features.
    pub max_iters: usize,
    /// Least number of clusters that are worked on at a time.
    pub working_set: usize,
    /// The seed of a random order of the coordinate steps; from large to small magnitudes without one.
    pub permuted: Option<u64>,
}

impl Default for ClusterDescent {
    fn default() -> Self {
        ClusterDescent { tolerance: 1e-8, max_iters: 1000, working_set: 100, permuted: None }
    }
}

/// Epochs of coordinate steps between joint steps.
const EPOCHS: usize = 20;
/// Rounds on one set of clusters.
const MOST_ROUNDS: usize = 100;
/// Sets of clusters on one model: products with the features that passed the strong rule, between two with all.
const MOST_PASSES: usize = 10;

impl Solver<SortedL1> for ClusterDescent {
    fn solve(&self, problem: &Problem<'_, SortedL1>, start: &Start) -> Result<Solution> {
        self.at_work(problem).solve(&problem.penalty, start)
    }

    fn session<'a>(&'a self, problem: &Problem<'a, SortedL1>) -> Box<dyn Session<SortedL1> + 'a>
    where
        SortedL1: 'a,
    {
        self.at_work(problem)
    }
}

impl ClusterDescent {
    pub(crate) fn at_work<'a>(
        &self,
        problem: &Problem<'a, SortedL1>,
    ) -> Box<dyn Session<SortedL1> + 'a> {
        let method = Run {
            least: self.working_set.max(1),
            order: self.permuted.map_or(Order::Cyclic, Order::permuted),
            b: Vec::new(),
            set: Gram::default(),
        };
        Box::new(Descent::new(problem, (self.max_iters, self.tolerance), method))
    }
}

struct Run {
    /// Least number of clusters that are worked on.
    least: usize,
    order: Order,
    b: Vec<f64>,
    set: Gram,
}

impl Method<SortedL1> for Run {
    fn coefficients(&self) -> &[f64] {
        &self.b
    }

    fn restart(&mut self, _: &SortedL1, b: Vec<f64>) {
        self.b = b;
    }

    fn forget(&mut self) {
        self.set.clear();
    }

    fn step(&mut self, penalty: &SortedL1, source: &Source<'_>, start: &[f64], gap: f64) {
        let ranks = Ranks::new(penalty.lambda());
        let enough = (1e-3 * gap * ranks.mean()).max(1e-15 * ranks.of(0, 1));
        let kept = strong::kept(start, &ranks, &self.b);
        let before = self.b.clone();
        let mut gradient = start.to_vec();
        for pass in 0..MOST_PASSES {
            if 0 < pass {
                let mut columns = kept.clone();
                let members = self.set.members().iter().flatten().map(|m| m.0);
                columns.extend(members.filter(|j| kept.binary_search(j).is_err()));
                let moved: Vec<(usize, f64)> = (self.b.iter().zip(&before).enumerate())
                    .filter(|(_, (new, old))| new != old)
                    .map(|(j, (new, old))| (j, new - old))
                    .collect();
                let along = source.along(moved.iter().copied(), &columns);
                gradient.fill(0.0);
                let changes = columns.iter().zip(along.features);
                changes.for_each(|(j, change)| gradient[*j] = start[*j] - change);
            }
            if !self.pass(source, &ranks, &gradient, enough) || kept.len() == self.b.len() {
                return;
            }
        }
    }
}

impl Run {
    /// Splits what the gradient splits, and solves for the magnitudes. Whether there was more than `enough` to gain from it.
    fn pass(
        &mut self,
        source: &Source<'_>,
        ranks: &Ranks<'_>,
        gradient: &[f64],
        enough: f64,
    ) -> bool {
        let clusters = clusters(&self.b);
        let size = self.least.max(2 * clusters.len());
        let mut pieces = split::split(&clusters, gradient, ranks, enough, size / 2);
        let room = size.saturating_sub(pieces.len()).max(size / 4);
        pieces.extend(split::entering(&self.b, gradient, ranks, enough, room));
        let worst = pieces.iter().map(|piece| piece.rise.abs()).fold(0.0, f64::max);
        let room = size.saturating_sub(pieces.len());
        pieces.extend(split::waiting(&pieces, &self.b, gradient, ranks, room));
        let slots = self.set.arrange(source, &pieces);
        let mut inner = Inner::new(&mut self.set, ranks, &pieces, &slots, gradient);
        inner.steepest_step();
        for _ in 0..MOST_ROUNDS {
            for _ in 0..EPOCHS {
                inner.epoch(&mut self.order);
            }
            if inner.violation() <= enough {
                break;
            }
            inner.newton_steps();
            if inner.violation() <= enough {
                break;
            }
        }
        let sizes = inner.finish();
        self.b.fill(0.0);
        for (members, size) in self.set.members().iter().zip(sizes) {
            if 0.0 < size {
                members.iter().for_each(|(j, sign)| self.b[*j] = sign * size);
            }
        }
        enough < worst
    }
}
