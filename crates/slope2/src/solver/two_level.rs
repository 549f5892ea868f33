//! The solver for two levels, and for the LASSO as one of them.
//!
//! A coefficient is zero, below the height, at it, or above it. Those at the height move together as one column, however
//! many they are; the others are a few hundred on a working set, where everything happens in terms of inner products. Zeros
//! and members leave when the gradient says so. No proximal step is needed.
//!
//! Source: derived from the optimality conditions of two levels; the joint treatment of a cluster as one column is that of
//! hybrid coordinate descent, arXiv 2210.14780.

mod inner;
mod model;
mod reduced;
mod working;
mod zone;

use super::{Solver, Start};
use crate::certificate::{Certificate, Intercept, Point, certify_with_point};
use crate::error::{Error, Result, entries, length, number};
use crate::kernel::{clipped_excess, largest};
use crate::penalty::TwoLevel;
use crate::problem::{Problem, Report, Solution, Termination};
use inner::Inner;
use model::Model;
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
    /// Least number of columns that are worked on at a time.
    pub working_set: usize,
}

impl Default for ZoneDescent {
    fn default() -> Self {
        ZoneDescent { tolerance: 1e-8, max_iters: 1000, working_set: 100 }
    }
}

/// Epochs of coordinate steps between joint steps.
const EPOCHS: usize = 20;
/// Rounds on one working set.
const MOST_ROUNDS: usize = 100;
/// Outer steps without a smaller gap that end a solve.
const PATIENCE: usize = 30;
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
    /// Zones for given coefficients: the height is the magnitude that is met most often, if the penalty may hold one.
    fn of(b: Vec<f64>, levels: &Levels) -> Self {
        let mut state = State {
            zone: vec![Zone::Zero; b.len()],
            sign: b.iter().map(|b| if *b < 0.0 { -1.0 } else { 1.0 }).collect(),
            b,
            h: 0.0,
        };
        if 0.0 < levels.step() {
            let mut sizes: Vec<f64> = state.b.iter().map(|b| b.abs()).collect();
            sizes.sort_by(|a, b| b.total_cmp(a));
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
            let k = levels.k as usize;
            // The k-th and the next largest magnitude are equal where the height is held by a cluster; between them elsewhere.
            let next = sizes.get(k).copied().unwrap_or(0.0);
            state.h = if 0.0 < next { next } else { 0.0 };
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

impl Solver<TwoLevel> for ZoneDescent {
    fn solve(&self, problem: &Problem<'_, TwoLevel>, start: &Start) -> Result<Solution> {
        let holds = self.tolerance.is_finite() && 0.0 <= self.tolerance;
        number("tolerance", "finite and not negative", holds, self.tolerance)?;
        problem.check()?;
        if !problem.design.has_columns() {
            return Err(Error::NeedsColumns);
        }
        let p = problem.design.n_cols();
        let b = match start.coefficients.len() {
            0 => vec![0.0; p],
            got => {
                length("starting coefficients", p, got)?;
                entries("starting coefficients", "finite", &start.coefficients, f64::is_finite)?;
                start.coefficients.clone()
            }
        };
        let mut run = Run {
            problem: *problem,
            settings: *self,
            state: State::of(b, &Levels::of(&problem.penalty)),
            intercept: start.intercept,
            set: WorkingSet::default(),
            n_iters: 0,
        };
        if start.coefficients.is_empty() && problem.design.n_rows() < p {
            run.continue_from_zero()?;
        }
        run.solve_to(self.tolerance)
    }
}

struct Run<'a> {
    problem: Problem<'a, TwoLevel>,
    settings: ZoneDescent,
    state: State,
    intercept: f64,
    set: WorkingSet,
    n_iters: usize,
}

impl Run<'_> {
    /// From the penalty at which all is zero down to the one asked for, halving it with a loose gap.
    fn continue_from_zero(&mut self) -> Result<()> {
        let target = self.problem.penalty;
        let mut ratio = self.problem.alpha_max();
        if !ratio.is_finite() {
            return Ok(());
        }
        while 4.0 < ratio {
            ratio *= 0.5;
            self.problem.penalty = target.scaled(ratio)?;
            self.solve_to(1e-2)?;
        }
        self.problem.penalty = target;
        Ok(())
    }

    fn is_quadratic(&self) -> bool {
        self.problem.datafit.family().name() == "gaussian"
    }

    fn solve_to(&mut self, tolerance: f64) -> Result<Solution> {
        let mut termination = Termination::MaxIters;
        let mut best: Option<(Certificate, f64, Vec<f64>)> = None;
        let mut waited = 0;
        let mut quadratic: Option<Model> = None;
        let mut last_gap = 1.0f64;
        for _ in 0..self.settings.max_iters {
            let (certificate, point) =
                certify_with_point(&self.problem, Intercept::Best(self.intercept), &self.state.b)?;
            self.n_iters += 1;
            self.intercept = point.intercept;
            if let Some(j) = point.gradient.iter().position(|g| !g.is_finite()) {
                return Err(self.not_finite(j, point.gradient[j]));
            }
            let better = best.as_ref().is_none_or(|(b, ..)| certificate.gap() < b.gap());
            if better {
                best = Some((certificate, self.intercept, self.state.b.clone()));
                waited = 0;
            } else {
                waited += 1;
            }
            if certificate.holds(tolerance) {
                termination = Termination::GapReached;
                break;
            }
            if PATIENCE < waited {
                termination = Termination::Stalled;
                break;
            }
            last_gap = certificate.relative_gap().min(1.0).min(2.0 * last_gap);
            if self.is_quadratic() {
                let model = quadratic.get_or_insert_with(|| {
                    Model::at(&self.problem.datafit, &point.eta, self.problem.intercept)
                });
                let model = model.clone();
                self.step(&model, &point, last_gap);
            } else {
                let model = Model::at(&self.problem.datafit, &point.eta, self.problem.intercept);
                self.set.clear();
                let before = self.state.clone();
                self.step(&model, &point, last_gap);
                self.damp(&before, certificate.primal, &point);
            }
        }
        let Some((certificate, intercept, coefficients)) = best else {
            let (certificate, point) =
                certify_with_point(&self.problem, Intercept::Best(self.intercept), &self.state.b)?;
            return Ok(self.solution(
                certificate,
                point.intercept,
                self.state.b.clone(),
                termination,
            ));
        };
        Ok(self.solution(certificate, intercept, coefficients, termination))
    }

    fn solution(
        &self,
        certificate: Certificate,
        intercept: f64,
        coefficients: Vec<f64>,
        termination: Termination,
    ) -> Solution {
        let report = Report { termination, n_iters: self.n_iters };
        Solution { intercept, coefficients, certificate, report }
    }

    fn not_finite(&self, j: usize, got: f64) -> Error {
        self.problem.design.find_bad_entry().unwrap_or(Error::InvalidEntry {
            name: "gradient",
            place: format!("column {j}"),
            must: "finite",
            got,
        })
    }

    /// One working set and the solution on it.
    fn step(&mut self, model: &Model, point: &Point, gap: f64) {
        let levels = Levels::of(&self.problem.penalty);
        let lifted = self.lift(&levels, &point.gradient);
        let wanted = self.choose(&levels, &point.gradient);
        self.set.update(self.problem.design, model, &wanted);
        let cluster = model.combination(self.problem.design, self.state.members());
        let weighted = model.weighted(&cluster);
        let dot = crate::kernel::dot;
        let m = self.set.len();
        let mut t = vec![0.0; m];
        if self.state.count(Zone::Cluster) != 0 {
            self.problem.design.adjoint_of(&self.set.columns, &weighted, &mut t);
        }
        let of = |v: &[f64]| -> Vec<f64> { self.set.columns.iter().map(|j| v[*j]).collect() };
        let mut inner = Inner {
            levels,
            b: of(&self.state.b),
            zone: self.set.columns.iter().map(|j| self.state.zone[*j]).collect(),
            sign: of(&self.state.sign),
            h: self.state.h,
            n_cluster: self.state.count(Zone::Cluster),
            n_upper: self.state.count(Zone::Upper),
            q: of(&point.gradient),
            tt: dot(&weighted, &cluster),
            tr: dot(&point.pull, &cluster),
            t,
            set: &self.set,
        };
        if lifted {
            inner.first_height();
        }
        let enough = 1e-3 * gap * levels.lambda1;
        for _ in 0..MOST_ROUNDS {
            for _ in 0..EPOCHS {
                inner.epoch();
            }
            if inner.violation() <= enough {
                break;
            }
            inner.reduced_step();
            inner.height_step();
            if inner.violation() <= enough {
                break;
            }
        }
        let Inner { b, zone, sign, h, .. } = inner;
        self.state.h = h;
        for (i, j) in self.set.columns.iter().enumerate() {
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

    /// With the height at zero, and gradients that say it should not be: all zeros above the lower level become members.
    fn lift(&mut self, levels: &Levels, gradient: &[f64]) -> bool {
        if 0.0 < self.state.h || levels.step() <= 0.0 {
            return false;
        }
        let sizes: Vec<f64> = gradient.iter().map(|g| g.abs()).collect();
        let excess = clipped_excess(&sizes, levels.lambda2, levels.step());
        let close = largest(&sizes) <= LIFT_FROM * levels.lambda1;
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

    /// All free coefficients, and those nearest to leaving their zone.
    fn choose(&self, levels: &Levels, gradient: &[f64]) -> Vec<usize> {
        let State { zone, sign, h, .. } = &self.state;
        let is_free = |z: Zone| matches!(z, Zone::Low | Zone::Upper);
        let mut chosen: Vec<usize> = (0..zone.len()).filter(|j| is_free(zone[*j])).collect();
        let size = self.settings.working_set.max(2 * chosen.len()).max(1);
        let room = size - chosen.len().min(size);
        let urgency = |j: usize| levels.violation(zone[j], sign[j], gradient[j], *h);
        let mut others: Vec<(f64, usize)> =
            (0..zone.len()).filter(|j| !is_free(zone[*j])).map(|j| (urgency(j), j)).collect();
        if room < others.len() {
            if 0 < room {
                others.select_nth_unstable_by(room - 1, |a, b| b.0.total_cmp(&a.0));
            }
            others.truncate(room);
        }
        chosen.extend(others.into_iter().map(|(_, j)| j));
        chosen
    }

    /// Goes back toward the state before until the objective has fallen. The model is not the objective here.
    fn damp(&mut self, before: &State, primal: f64, point: &Point) {
        let full = self.state.b.clone();
        let mut length = 1.0f64;
        for _ in 0..30 {
            let mut eta = vec![0.0; point.eta.len()];
            self.problem.design.apply(&self.state.b, &mut eta);
            let datafit = &self.problem.datafit;
            let b0 =
                if self.problem.intercept { datafit.intercept(&eta, self.intercept) } else { 0.0 };
            eta.iter_mut().for_each(|e| *e += b0);
            let value =
                datafit.value(&eta) + crate::Penalty::value(&self.problem.penalty, &self.state.b);
            if value <= primal * (1.0 + 1e-14) {
                return;
            }
            length *= 0.5;
            let mixed = before.b.iter().zip(&full).map(|(b, f)| b + length * (f - b)).collect();
            self.state = State::of(mixed, &Levels::of(&self.problem.penalty));
        }
        self.state = before.clone();
    }
}
