//! The problem on the working set.

use super::space::Space;
use super::zone::{Levels, Zone};

/// Coordinates that the cluster may swallow in one step of the height.
const MOST_JOINS: usize = 8;

/// A free coefficient by position, with its magnitude.
type Neighbor = (usize, f64);

/// Coefficients of the working set, the height, and the residual that follows them.
pub(super) struct Inner<S> {
    pub(super) space: S,
    pub(super) levels: Levels,
    /// Coefficients of the set.
    pub(super) b: Vec<f64>,
    pub(super) zone: Vec<Zone>,
    /// Sign of members of the cluster and of coefficients that are not zero.
    pub(super) sign: Vec<f64>,
    pub(super) h: f64,
    pub(super) n_cluster: usize,
    pub(super) n_upper: usize,
    /// `x~' omega x~`, with `x~` the sum of the signed columns of the cluster.
    pub(super) tt: f64,
    /// `x~' omega r`.
    pub(super) tr: f64,
}

impl<S: Space> Inner<S> {
    fn len(&self) -> usize {
        self.b.len()
    }

    /// Moves a coefficient that is not in the cluster.
    fn shift(&mut self, i: usize, by: f64) {
        if by != 0.0 {
            self.space.shift(i, by);
            if 0 < self.n_cluster {
                self.tr -= by * self.space.t(i);
            }
            self.b[i] += by;
        }
    }

    /// Moves the height with all members.
    pub(super) fn raise(&mut self, by: f64) {
        if by != 0.0 && 0 < self.n_cluster {
            self.space.raise(by);
            self.tr -= by * self.tt;
        }
        self.h += by;
        for i in 0..self.len() {
            if self.zone[i] == Zone::Cluster {
                self.b[i] = self.sign[i] * self.h;
            }
        }
    }

    /// Makes a coefficient at the height a member.
    fn join(&mut self, i: usize, sign: f64) {
        self.tt += 2.0 * sign * self.space.t(i) + self.space.own(i);
        self.tr += sign * self.space.q(i);
        self.space.join(i, sign);
        self.n_cluster += 1;
        self.place(i, Zone::Cluster, sign);
        self.b[i] = sign * self.h;
    }

    /// Makes a member an ordinary coefficient, still at the height.
    fn leave(&mut self, i: usize) {
        let (own, sign) = (self.space.own(i), self.sign[i]);
        self.tt = (self.tt - 2.0 * sign * self.space.t(i) + own).max(0.0);
        self.tr -= sign * self.space.q(i);
        self.space.join(i, -sign);
        self.n_cluster -= 1;
        self.zone[i] = Zone::Low;
    }

    /// Sets the zone of a coefficient that is no member, or becomes one.
    fn place(&mut self, i: usize, zone: Zone, sign: f64) {
        self.n_upper -= usize::from(self.zone[i] == Zone::Upper);
        self.n_upper += usize::from(zone == Zone::Upper);
        (self.zone[i], self.sign[i]) = (zone, sign);
    }

    /// Puts a coefficient that is no member into the zone of its value.
    pub(super) fn sort_in(&mut self, i: usize) {
        let (b, h) = (self.b[i], self.h);
        let zone = match b.abs() {
            0.0 => Zone::Zero,
            size if 0.0 < h && size < h => Zone::Low,
            size if 0.0 < h && size == h => return self.join(i, b.signum()),
            _ => Zone::Upper,
        };
        self.place(i, zone, b.signum());
    }

    /// The exact minimum over one coefficient with the height fixed.
    ///
    /// # Source
    /// Derived: `rho_h(b) = lambda2 |b| + D (|b| - h)_+` has the kinks 0 and `h` alone.
    fn coordinate_step(&mut self, i: usize) {
        let own = self.space.own(i);
        if own <= 0.0 {
            return;
        }
        let Levels { lambda1, lambda2, .. } = self.levels;
        let (g, h) = (self.space.q(i), self.h);
        match self.zone[i] {
            // Most coefficients stay where they are.
            Zone::Zero if g.abs() <= self.levels.of_zero(h) => return,
            Zone::Cluster if (lambda2..=lambda1).contains(&(self.sign[i] * g)) => return,
            _ => {}
        }
        let v = self.b[i] + g / own;
        let over = v.abs() - lambda2 / own;
        let above = v.abs() - lambda1 / own;
        let sign = v.signum();
        if 0.0 < h && above <= h && h <= over {
            // It lands on the height.
            if self.zone[i] == Zone::Cluster {
                if sign == self.sign[i] {
                    return;
                }
                self.leave(i);
            }
            self.shift(i, sign * h - self.b[i]);
            return self.join(i, sign);
        }
        let size = if h <= above { above } else { over.min(if 0.0 < h { over } else { above }) };
        if self.zone[i] == Zone::Cluster {
            self.leave(i);
        }
        let target = if 0.0 < size { sign * size } else { 0.0 };
        self.shift(i, target - self.b[i]);
        self.b[i] = target;
        self.sort_in(i);
    }

    /// One pass of coordinate steps over all or over those that are neither zero nor at the height, then the step of the height.
    pub(super) fn epoch(&mut self, all: bool) {
        for i in 0..self.len() {
            if all || matches!(self.zone[i], Zone::Low | Zone::Upper) {
                self.coordinate_step(i);
            }
        }
        self.height_step();
    }

    /// The free coefficients nearest to the height from below and from above.
    fn neighbors(&self) -> (Option<Neighbor>, Option<Neighbor>) {
        let (mut below, mut above): (Option<Neighbor>, Option<Neighbor>) = (None, None);
        for i in 0..self.len() {
            let size = self.b[i].abs();
            match self.zone[i] {
                Zone::Low if below.is_none_or(|(_, b)| b < size) => below = Some((i, size)),
                Zone::Upper if above.is_none_or(|(_, a)| size < a) => above = Some((i, size)),
                _ => {}
            }
        }
        (below, above)
    }

    /// The exact minimum over the height with all members, which swallows whom it meets.
    pub(super) fn height_step(&mut self) {
        if self.h <= 0.0 {
            return;
        }
        for _ in 0..MOST_JOINS {
            let (below, above) = self.neighbors();
            if self.n_cluster == 0 {
                let more = self.n_upper as f64;
                match (below, above) {
                    (_, Some((i, size))) if self.levels.k < more => self.meet(i, size),
                    (Some((i, size)), _) if more < self.levels.k => self.meet(i, size),
                    (None, _) if more < self.levels.k => {
                        self.dissolve();
                        return;
                    }
                    _ => return,
                }
                continue;
            }
            let slope = self.levels.cluster_slope(self.n_cluster, self.n_upper);
            let wanted = if 0.0 < self.tt { self.h + (self.tr - slope) / self.tt } else { self.h };
            if let Some((i, size)) = above.filter(|(_, size)| *size <= wanted) {
                self.raise(size - self.h);
                self.meet(i, size);
            } else if let Some((i, size)) = below.filter(|(_, size)| wanted <= *size) {
                self.raise(size - self.h);
                self.meet(i, size);
            } else if wanted <= 0.0 {
                self.raise(-self.h);
                self.dissolve();
                return;
            } else {
                self.raise(wanted - self.h);
                return;
            }
        }
    }

    /// The first step of a height that was lifted from zero, where all free coefficients lie above. Without members the lowest
    /// of those is the first.
    pub(super) fn first_height(&mut self) {
        let lowest = self.neighbors().1;
        if self.n_cluster == 0 {
            if let Some((i, size)) = lowest {
                self.meet(i, size);
                self.height_step();
            }
            return;
        }
        let slope = self.levels.cluster_slope(self.n_cluster, self.n_upper);
        let wanted = if 0.0 < self.tt { (self.tr - slope) / self.tt } else { 0.0 };
        if wanted <= 0.0 {
            return self.dissolve();
        }
        match lowest.filter(|(_, size)| *size <= wanted) {
            Some((i, size)) => {
                self.raise(size);
                self.meet(i, size);
                self.height_step();
            }
            None => self.raise(wanted),
        }
    }

    /// The height stands at this free coefficient, which becomes a member.
    fn meet(&mut self, i: usize, size: f64) {
        self.h = size;
        let sign = self.b[i].signum();
        self.join(i, sign);
    }

    /// The height is 0: members become zeros, and all others lie above.
    pub(super) fn dissolve(&mut self) {
        self.h = 0.0;
        for i in 0..self.len() {
            match self.zone[i] {
                Zone::Cluster => {
                    self.b[i] = 0.0;
                    self.zone[i] = Zone::Zero;
                }
                Zone::Low => self.place(i, Zone::Upper, self.sign[i]),
                _ => {}
            }
        }
        self.n_cluster = 0;
        self.space.dissolve();
        (self.tt, self.tr) = (0.0, 0.0);
    }

    /// The largest violation of optimality on the set, that of the height per member.
    pub(super) fn violation(&self) -> f64 {
        let own = (0..self.len())
            .map(|i| self.levels.violation(self.zone[i], self.sign[i], self.space.q(i), self.h))
            .fold(0.0, f64::max);
        if self.n_cluster == 0 {
            return own;
        }
        let slope = self.levels.cluster_slope(self.n_cluster, self.n_upper);
        own.max((self.tr - slope).abs() / self.n_cluster as f64)
    }
}
