//! The joint Newton step of all free coefficients and the height, with an exact line search through the kinks.

use super::inner::Inner;
use super::space::{Pull, Space};
use super::zone::Zone;

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

impl<S: Space> Inner<S> {
    /// Joint steps until one gets somewhere. Coefficients that an epoch has just set free, often by less than rounding of the
    /// others, may block the way: each such step puts one of them back.
    pub(super) fn reduced_steps(&mut self, enough: f64) {
        for _ in 0..MOST_BLOCKED {
            match self.reduced_step(enough) {
                Some(moved) if moved <= BLOCKED * crate::kernel::largest(&self.b) => {}
                _ => return,
            }
        }
    }

    /// The largest change of a coefficient where a step ended at a kink; none without a step or a kink.
    fn reduced_step(&mut self, enough: f64) -> Option<f64> {
        let free: Vec<usize> = (0..self.b.len())
            .filter(|i| matches!(self.zone[*i], Zone::Low | Zone::Upper))
            .collect();
        let moves = 0 < self.n_cluster && 0.0 < self.h && 0.0 < self.tt;
        if free.is_empty() && !moves {
            return None;
        }
        let wanted: Vec<f64> = free.iter().map(|i| self.wanted(*i)).collect();
        let slope = self.levels.cluster_slope(self.n_cluster, self.n_upper);
        let cluster = moves.then_some(Pull { wanted: self.tr - slope, tt: self.tt });
        let (d, dh) = self.space.newton(&free, &wanted, cluster, enough)?;
        self.search(&free, &d, dh)
    }

    fn wanted(&self, i: usize) -> f64 {
        let level =
            if self.zone[i] == Zone::Low { self.levels.lambda2 } else { self.levels.lambda1 };
        self.space.q(i) - self.sign[i] * level
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
        let bend = self.space.aim(free, d);
        let t_d: f64 = if self.n_cluster == 0 {
            0.0
        } else {
            free.iter().zip(d).map(|(i, d)| self.space.t(*i) * d).sum()
        };
        let slope_h = self.levels.cluster_slope(self.n_cluster, self.n_upper);
        let mut slope = -dh * (self.tr - slope_h);
        let curvature = bend + 2.0 * dh * t_d + dh * dh * self.tt;
        for (i, d) in free.iter().zip(d) {
            slope -= self.wanted(*i) * d;
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
        self.go(free, d, dh, length, t_d, stopped);
        stopped.map(|_| length * crate::kernel::largest(d).max(dh.abs()))
    }

    #[allow(clippy::too_many_arguments, reason = "one move and the products that follow it")]
    fn go(
        &mut self,
        free: &[usize],
        d: &[f64],
        dh: f64,
        length: f64,
        t_d: f64,
        stopped: Option<(usize, Kink)>,
    ) {
        self.space.go(length);
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
