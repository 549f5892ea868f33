//! The joint Newton step of all free coefficients and the height, with an exact line search through the kinks.

use faer::linalg::solvers::Solve;
use faer::{Mat, Side};

use super::inner::Inner;
use super::zone::Zone;

/// Relative ridge: more free coefficients than observations are normal on the way, and this sends them along the null
/// directions until they meet a kink.
const RIDGE: f64 = 1e-12;
/// Least curvature of the height that the free coefficients leave, relative to its own.
const FLOOR: f64 = 1e-10;
/// A step that moves all coefficients by less than this, relative to the largest, gets nowhere.
const BLOCKED: f64 = 1e-3;
/// Most such steps in a row.
const MOST_BLOCKED: usize = 100;

/// What a coefficient meets on its way.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kink {
    Zero,
    Height,
}

struct Event {
    at: f64,
    /// Position in the list of free coefficients.
    free: usize,
    kink: Kink,
    /// What the slope rises by.
    jump: f64,
}

impl Inner<'_> {
    /// Joint steps until one gets somewhere. Coefficients that an epoch has just set free, often by less than rounding of the
    /// others, may block the way: each such step puts one of them back.
    pub(super) fn reduced_steps(&mut self) {
        for _ in 0..MOST_BLOCKED {
            match self.reduced_step() {
                Some(moved) if moved <= BLOCKED * crate::kernel::largest(&self.b) => {}
                _ => return,
            }
        }
    }

    /// The largest change of a coefficient where a step ended at a kink; none without a step or a kink.
    fn reduced_step(&mut self) -> Option<f64> {
        let free: Vec<usize> = (0..self.b.len())
            .filter(|i| matches!(self.zone[*i], Zone::Low | Zone::Upper))
            .collect();
        let moves = 0 < self.n_cluster && 0.0 < self.h && 0.0 < self.tt;
        if free.is_empty() && !moves {
            return None;
        }
        let (d, dh) = self.newton(&free, moves)?;
        self.search(&free, &d, dh)
    }

    fn wanted(&self, i: usize) -> f64 {
        let level =
            if self.zone[i] == Zone::Low { self.levels.lambda2 } else { self.levels.lambda1 };
        self.q[i] - self.sign[i] * level
    }

    fn newton(&self, free: &[usize], moves: bool) -> Option<(Vec<f64>, f64)> {
        let m = free.len();
        let mut block = Mat::<f64>::zeros(m, m);
        self.set.block(free, block.as_mut());
        let top = (0..m).map(|i| block[(i, i)]).fold(0.0, f64::max);
        for i in 0..m {
            block[(i, i)] += RIDGE * top;
        }
        let factor = block.llt(Side::Lower).ok()?;
        let mut rhs = Mat::<f64>::zeros(m, 2);
        for (a, i) in free.iter().enumerate() {
            rhs[(a, 0)] = self.wanted(*i);
            rhs[(a, 1)] = self.t[*i];
        }
        let solved = factor.solve(&rhs);
        let mut dh = 0.0;
        if moves {
            let slope = self.levels.cluster_slope(self.n_cluster, self.n_upper);
            let (mut pull, mut curvature) = (self.tr - slope, self.tt);
            for (a, i) in free.iter().enumerate() {
                pull -= self.t[*i] * solved[(a, 0)];
                curvature -= self.t[*i] * solved[(a, 1)];
            }
            dh = pull / curvature.max(FLOOR * self.tt);
        }
        let d: Vec<f64> = (0..m).map(|a| solved[(a, 0)] - dh * solved[(a, 1)]).collect();
        (dh.is_finite() && d.iter().all(|d| d.is_finite())).then_some((d, dh))
    }

    /// Kinks on the way of one free coefficient for step lengths in `(0, 1]`.
    fn kinks(&self, a: usize, i: usize, d: f64, dh: f64, events: &mut Vec<Event>) {
        let (size, toward) = (self.b[i].abs(), self.sign[i] * d);
        let (h, step) = (self.h, self.levels.step());
        let zero = if toward < 0.0 { size / -toward } else { f64::INFINITY };
        if zero <= 1.0 {
            let level = if 0.0 < h { self.levels.lambda2 } else { self.levels.lambda1 };
            events.push(Event { at: zero, free: a, kink: Kink::Zero, jump: 2.0 * level * d.abs() });
        }
        if h <= 0.0 {
            return;
        }
        // |b| - h falls or rises at one rate before zero and at another behind it.
        let mut meet = |gap: f64, rate: f64, from: f64, to: f64| {
            let at = -gap / rate;
            if rate != 0.0 && from < at && at <= to.min(1.0) {
                let jump = step * rate.abs();
                events.push(Event { at, free: a, kink: Kink::Height, jump });
            }
        };
        meet(size - h, toward - dh, 0.0, zero);
        if zero <= 1.0 {
            meet(-size - h, -toward - dh, zero, 1.0);
        }
    }

    fn search(&mut self, free: &[usize], d: &[f64], dh: f64) -> Option<f64> {
        // Products of the direction with the set.
        let mut along = vec![0.0; self.b.len()];
        for (i, d) in free.iter().zip(d) {
            crate::kernel::axpy(*d, self.set.row(*i), &mut along);
        }
        let t_d: f64 = free.iter().zip(d).map(|(i, d)| self.t[*i] * d).sum();
        let slope_h = self.levels.cluster_slope(self.n_cluster, self.n_upper);
        let mut slope = -dh * (self.tr - slope_h);
        let mut curvature = 2.0 * dh * t_d + dh * dh * self.tt;
        for (i, d) in free.iter().zip(d) {
            slope -= self.wanted(*i) * d;
            curvature += d * along[*i];
        }
        if 0.0 <= slope || slope.is_nan() {
            return None;
        }
        let mut events = Vec::new();
        for (a, (i, d)) in free.iter().zip(d).enumerate() {
            self.kinks(a, *i, *d, dh, &mut events);
        }
        events.sort_by(|a, b| a.at.total_cmp(&b.at));
        let end = if dh < 0.0 { 1.0f64.min(self.h / -dh) } else { 1.0 };
        let (mut at, mut stopped): (f64, Option<(usize, Kink)>) = (0.0, None);
        let mut length = None;
        for event in events.iter().filter(|e| e.at <= end) {
            let here = slope + curvature * (event.at - at);
            if 0.0 <= here {
                break;
            }
            (slope, at) = (here + event.jump, event.at);
            if 0.0 <= slope {
                (length, stopped) = (Some(at), Some((event.free, event.kink)));
                break;
            }
        }
        let length = length.unwrap_or_else(|| {
            let least = if 0.0 < curvature { at - slope / curvature } else { end };
            least.min(end)
        });
        self.go(free, d, dh, length, &along, t_d, stopped);
        stopped.map(|_| length * crate::kernel::largest(d).max(dh.abs()))
    }

    #[allow(clippy::too_many_arguments, reason = "one move and the products that follow it")]
    fn go(
        &mut self,
        free: &[usize],
        d: &[f64],
        dh: f64,
        length: f64,
        along: &[f64],
        t_d: f64,
        stopped: Option<(usize, Kink)>,
    ) {
        crate::kernel::axpy(-length, along, &mut self.q);
        self.tr -= length * t_d;
        self.raise(length * dh);
        if self.h <= 1e-300 {
            self.h = 0.0;
        }
        for (a, (i, d)) in free.iter().zip(d).enumerate() {
            let target = match stopped {
                Some((at, Kink::Zero)) if at == a => 0.0,
                Some((at, Kink::Height)) if at == a => self.h.copysign(self.b[*i] + length * d),
                _ => self.b[*i] + length * d,
            };
            self.b[*i] = target;
        }
        if self.h == 0.0 && 0 < self.n_cluster {
            self.dissolve();
        }
        for i in free {
            self.sort_in(*i);
        }
    }
}
