//! The solver for two levels, and for the LASSO as one of them.
//!
//! A coefficient is zero, below the height, at it, or above it. Those at the height move together as one column, however
//! many they are; the others are a few hundred on a working set, where everything happens in terms of inner products. Zeros
//! and members leave when the gradient says so. No proximal step is needed.
//!
//! Source: derived from the optimality conditions of two levels; the joint treatment of a cluster as one column is that of
//! hybrid coordinate descent, arXiv 2210.14780.

mod by_products;
mod by_residual;
mod inner;
mod reduced;
mod space;
mod working;
mod zone;

use super::outer::{Descent, Method};
use super::source::{Along, Source};
use super::{Session, Solver, Start};
use crate::design::Design;
use crate::error::Result;
use crate::kernel::{clipped_excess, largest};
use crate::penalty::TwoLevel;
use crate::problem::{Problem, Solution};
use by_products::ByProducts;
use by_residual::{ByResidual, DenseColumns, Preconditioner, SparseColumns};
use inner::Inner;
use space::Space;
use working::WorkingSet;
use zone::{Levels, Zone};

/// Coordinate descent over zones with a working set, for two-level penalties and the LASSO.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ZoneDescent {
    /// Relative duality gap to stop at, over all features.
    pub tolerance: f64,
    /// Most outer steps, each with one product with all features.
    pub max_iters: usize,
    /// Least number of columns that are worked on at a time, unless their inner products would cost more than a product with
    /// all columns.
    pub working_set: usize,
}

impl Default for ZoneDescent {
    fn default() -> Self {
        ZoneDescent { tolerance: 1e-8, max_iters: 1000, working_set: 400 }
    }
}

/// Epochs of coordinate steps between joint steps.
const EPOCHS: usize = 20;
/// Of epochs that read costly products, those over the whole set.
const ALL_EVERY: usize = 5;
/// Rounds on one working set.
const MOST_ROUNDS: usize = 100;
/// Inner products that are kept for what one entry of a sparse column costs in a step.
const PRODUCTS_PER_ENTRY: usize = 4;
/// Most numbers that inner products of dense columns and their factor may hold for each observation and each feature.
const NUMBERS_PER_LENGTH: usize = 14;
/// A set of fewer columns than that part of the observations has its products all the same: they save much time, and are few
/// beside the data.
const PART_OF_ROWS: (usize, usize) = (1, 2);
/// So many columns may always have them.
const FEW_COLUMNS: usize = 64;
/// Columns that one pass reads in the time of the inner products of one column with itself, over and over.
const COLUMNS_PER_SQUARE: usize = 8;
/// At least so many may come.
const FEW: usize = 10;
/// The lift waits until the LASSO below it is nearly solved.
const LIFT_FROM: f64 = 1.2;

/// Coefficients with their zones.
#[derive(Clone, Debug)]
struct State {
    b: Vec<f64>,
    zone: Vec<Zone>,
    sign: Vec<f64>,
    h: f64,
}

impl State {
    /// Zones for given coefficients. If the penalty may hold a height, it is the magnitude that most share, or else the one
    /// with `k` larger ones.
    fn of(b: Vec<f64>, levels: &Levels) -> Self {
        let mut state = State {
            zone: vec![Zone::Zero; b.len()],
            sign: b.iter().map(|b| if *b < 0.0 { -1.0 } else { 1.0 }).collect(),
            b,
            h: 0.0,
        };
        if 0.0 < levels.step() {
            let mut sizes: Vec<f64> =
                state.b.iter().map(|b| b.abs()).filter(|size| 0.0 < *size).collect();
            sizes.sort_unstable_by(|a, b| b.total_cmp(a));
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
            let k = levels.k as usize;
            let most = sizes.chunk_by(|a, b| a == b).max_by_key(|same| same.len());
            let shared = most.filter(|same| 1 < same.len()).map(|same| same[0]);
            state.h = shared.or(sizes.get(k).copied()).unwrap_or(0.0);
        }
        let h = state.h;
        for (zone, b) in state.zone.iter_mut().zip(&state.b) {
            *zone = match b.abs() {
                0.0 => Zone::Zero,
                size if 0.0 < h && size < h => Zone::Low,
                size if 0.0 < h && size == h => Zone::Cluster,
                _ => Zone::Upper,
            };
        }
        state
    }

    fn count(&self, zone: Zone) -> usize {
        self.zone.iter().filter(|z| **z == zone).count()
    }

    fn members(&self) -> impl Iterator<Item = (usize, f64)> + Clone {
        let members = self.zone.iter().enumerate().filter(|(_, z)| **z == Zone::Cluster);
        members.map(|(j, _)| (j, self.sign[j]))
    }
}

/// Most dense columns that have their inner products, where so many of them are free.
fn most_columns(design: &Design<'_>, n_free: usize) -> usize {
    let numbers = NUMBERS_PER_LENGTH * (design.n_rows() + design.n_cols());
    let (part, whole) = PART_OF_ROWS;
    let beside_factor = numbers.saturating_sub(n_free * n_free).isqrt();
    beside_factor.max(part * design.n_rows() / whole).max(FEW_COLUMNS)
}

impl Solver<TwoLevel> for ZoneDescent {
    fn solve(&self, problem: &Problem<'_, TwoLevel>, start: &Start) -> Result<Solution> {
        self.at_work(problem).solve(&problem.penalty, start)
    }

    fn session<'a>(&'a self, problem: &Problem<'a, TwoLevel>) -> Box<dyn Session<TwoLevel> + 'a>
    where
        TwoLevel: 'a,
    {
        self.at_work(problem)
    }
}

impl ZoneDescent {
    pub(crate) fn at_work<'a>(
        &self,
        problem: &Problem<'a, TwoLevel>,
    ) -> Box<dyn Session<TwoLevel> + 'a> {
        let method = Run {
            least: self.working_set.max(1),
            state: State::of(Vec::new(), &Levels::of(&problem.penalty)),
            set: WorkingSet::default(),
            preconditioner: None,
        };
        Box::new(Descent::new(problem, (self.max_iters, self.tolerance), method))
    }
}

struct Run {
    /// Least number of columns that are worked on.
    least: usize,
    state: State,
    set: WorkingSet,
    /// Of the residual's joint steps.
    preconditioner: Option<Preconditioner>,
}

impl Method<TwoLevel> for Run {
    fn coefficients(&self) -> &[f64] {
        &self.state.b
    }

    fn restart(&mut self, penalty: &TwoLevel, b: Vec<f64>) {
        let levels = Levels::of(penalty);
        // The same coefficients keep their zones, whatever the penalty.
        if b != self.state.b || (0.0 < self.state.h && levels.step() <= 0.0) {
            self.state = State::of(b, &levels);
        }
    }

    fn forget(&mut self) {
        self.set.clear();
        self.preconditioner = None;
    }

    /// One working set and the solution on it.
    fn step(&mut self, penalty: &TwoLevel, source: &Source<'_>, gradient: &[f64], gap: f64) {
        let levels = Levels::of(penalty);
        let lifted = self.lift(&levels, gradient);
        let has_cluster = self.state.zone.contains(&Zone::Cluster);
        let (mut tt, mut tr) = (0.0, 0.0);
        if has_cluster {
            tr = self.state.members().map(|(j, sign)| sign * gradient[j]).sum();
        }
        let enough = 1e-3 * gap * levels.lambda1;
        let (wanted, with_products) = self.plan(source, &levels, gradient);
        if let Source::Columns { design, model, pull } = source
            && !with_products
        {
            self.set.clear();
            let cluster = model.combination(design, self.state.members());
            let weighted = model.weighted(&cluster);
            if has_cluster {
                tt = weighted.iter().zip(&cluster).map(|(a, b)| a * b).sum();
            }
            let given = ((levels, lifted), (tt, tr), enough);
            let mut known = self.preconditioner.take();
            if design.is_sparse() {
                let columns = (SparseColumns::new(design, model, &wanted), wanted.as_slice());
                let space = ByResidual::new(columns, pull.to_vec(), weighted, &mut known);
                self.descend(space, &wanted, given);
            } else {
                let columns = (DenseColumns::new(design, model, &wanted), wanted.as_slice());
                let space = ByResidual::new(columns, pull.to_vec(), weighted, &mut known);
                self.descend(space, &wanted, given);
            }
            self.preconditioner = known;
            return;
        }
        self.preconditioner = None;
        let most = match source {
            Source::Columns { design, .. } if !design.is_sparse() => {
                most_columns(design, self.n_free())
            }
            _ => usize::MAX,
        };
        self.set.update(source, &wanted, most);
        let columns = self.set.columns.clone();
        let mut t = vec![0.0; columns.len()];
        if has_cluster {
            let Along { features, own } = source.along(self.state.members(), &columns);
            (t, tt) = (features, own);
        }
        let q = columns.iter().map(|j| gradient[*j]).collect();
        let set = std::mem::take(&mut self.set);
        let space = ByProducts::new(&set.gram, q, t);
        self.descend(space, &columns, ((levels, lifted), (tt, tr), enough));
        self.set = set;
    }
}

impl Run {
    /// With the height at zero, and gradients that say it should not be: all zeros above the lower level become members.
    fn lift(&mut self, levels: &Levels, gradient: &[f64]) -> bool {
        if 0.0 < self.state.h || levels.step() <= 0.0 {
            return false;
        }
        let excess = clipped_excess(gradient, levels.lambda2, levels.step());
        let close = largest(gradient) <= LIFT_FROM * levels.lambda1;
        if !close || excess <= levels.k * levels.step() * (1.0 + 1e-12) {
            return false;
        }
        for (j, g) in gradient.iter().enumerate() {
            if self.state.zone[j] == Zone::Zero && levels.lambda2 < g.abs() {
                self.state.zone[j] = Zone::Cluster;
                self.state.sign[j] = g.signum();
            }
        }
        true
    }

    /// Number of coefficients that are neither zero nor at the height.
    fn n_free(&self) -> usize {
        self.state.count(Zone::Low) + self.state.count(Zone::Upper)
    }

    /// The columns to work on, and whether their inner products are worth having.
    fn plan(&self, source: &Source<'_>, levels: &Levels, gradient: &[f64]) -> (Vec<usize>, bool) {
        let choose = |all| self.choose(levels, gradient, all);
        let Source::Columns { design, model, .. } = source else {
            return (choose(false), true);
        };
        if !model.is_diagonal() {
            return (choose(false), true);
        }
        if design.is_sparse() {
            let wanted = choose(true);
            let n_entries: usize = wanted.iter().map(|j| design.n_stored_in(*j)).sum();
            return if PRODUCTS_PER_ENTRY * n_entries < wanted.len() * wanted.len() {
                (wanted, false)
            } else {
                (choose(false), true)
            };
        }
        let wanted = choose(false);
        let kept = wanted.len() <= most_columns(design, self.n_free());
        (wanted, kept)
    }

    /// Solves on the working set until nothing in it violates optimality by more than `enough`.
    fn descend<S: Space>(
        &mut self,
        space: S,
        columns: &[usize],
        ((levels, lifted), (tt, tr), enough): ((Levels, bool), (f64, f64), f64),
    ) {
        let of = |v: &[f64]| -> Vec<f64> { columns.iter().map(|j| v[*j]).collect() };
        let mut inner = Inner {
            space,
            levels,
            b: of(&self.state.b),
            zone: columns.iter().map(|j| self.state.zone[*j]).collect(),
            sign: of(&self.state.sign),
            h: self.state.h,
            n_cluster: self.state.count(Zone::Cluster),
            n_upper: self.state.count(Zone::Upper),
            tt,
            tr,
        };
        if lifted {
            inner.first_height();
        }
        for _ in 0..MOST_ROUNDS {
            for epoch in 0..if S::CHEAP_READS {
                EPOCHS
            } else {
                std::env::var("EPO").ok().and_then(|s| s.parse::<usize>().ok()).unwrap_or(EPOCHS)
            } {
                inner.epoch(
                    S::CHEAP_READS
                        || epoch
                            % std::env::var("ALLE")
                                .ok()
                                .and_then(|s| s.parse::<usize>().ok())
                                .unwrap_or(ALL_EVERY)
                            == 0,
                );
            }
            if inner.violation() <= enough {
                break;
            }
            inner.reduced_steps(enough);
            inner.height_step();
            if inner.violation() <= enough {
                break;
            }
        }
        let Inner { b, zone, sign, h, .. } = inner;
        self.state.h = h;
        for (i, j) in columns.iter().enumerate() {
            self.state.b[*j] = b[i];
            self.state.zone[*j] = zone[i];
            self.state.sign[*j] = sign[i];
        }
        // Members outside the set moved with the height.
        for j in 0..self.state.b.len() {
            if self.state.zone[j] == Zone::Cluster {
                if 0.0 < h {
                    self.state.b[j] = self.state.sign[j] * h;
                } else {
                    self.state.b[j] = 0.0;
                    self.state.zone[j] = Zone::Zero;
                }
            }
        }
    }

    /// All free coefficients and half as many of those nearest to leaving their zone; with `all` everybody who wants to leave.
    fn choose(&self, levels: &Levels, gradient: &[f64], all: bool) -> Vec<usize> {
        let State { zone, sign, h, .. } = &self.state;
        let is_free = |z: Zone| matches!(z, Zone::Low | Zone::Upper);
        let mut chosen: Vec<usize> = (0..zone.len()).filter(|j| is_free(zone[*j])).collect();
        // Inner products of the set are to cost no more than one pass over all columns.
        let balanced = (COLUMNS_PER_SQUARE * zone.len()).isqrt().max(10);
        let size = self.least.min(balanced).max(chosen.len() + chosen.len() / 2);
        let mut room = size - chosen.len().min(size);
        let urgency = |j: usize| levels.violation(zone[j], sign[j], gradient[j], *h);
        let mut others: Vec<(f64, usize)> =
            (0..zone.len()).filter(|j| !is_free(zone[*j])).map(|j| (urgency(j), j)).collect();
        if all {
            room = room.max(others.iter().filter(|(urgency, _)| 0.0 < *urgency).count());
        }
        if room < others.len() {
            if 0 < room {
                others.select_nth_unstable_by(room - 1, |a, b| b.0.total_cmp(&a.0));
            }
            others.truncate(room);
        }
        // Columns that are new to the set and content where they are come in small numbers.
        others.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        let n_violators = others.partition_point(|(urgency, _)| 0.0 < *urgency);
        let mut few = (2 * n_violators).max(FEW);
        let known = self.set.marks(zone.len());
        chosen.extend(others.into_iter().enumerate().filter_map(|(i, (_, j))| {
            if i < n_violators || known[j] {
                return Some(j);
            }
            let fits = 0 < few;
            few -= usize::from(fits);
            fits.then_some(j)
        }));
        chosen
    }
}
