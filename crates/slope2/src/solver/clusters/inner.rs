//! The problem on the collapsed columns, in terms of inner products alone: coordinate descent over clusters.

use super::ranks::Ranks;
use super::split::Piece;
use crate::kernel::axpy;
use crate::solver::gram::Gram;

/// The order of the coordinate steps of an epoch.
#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    /// From large to small magnitudes.
    Cyclic,
    /// Drawn anew for each epoch; holds the state of the generator.
    Permuted(u64),
}

impl Order {
    pub(super) fn permuted(seed: u64) -> Self {
        Order::Permuted(seed)
    }

    /// SplitMix64.
    fn draw(state: &mut u64) -> u64 {
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    #[allow(clippy::cast_possible_truncation, reason = "a remainder of a length")]
    fn arrange(&mut self, list: &mut [usize]) {
        if let Order::Permuted(state) = self {
            for i in (1..list.len()).rev() {
                list.swap(i, (Self::draw(state) % (i as u64 + 1)) as usize);
            }
        }
    }
}

/// Where a coordinate step ends.
enum Landing {
    Zero,
    /// At a magnitude below this many others.
    Between(f64, usize),
    /// At the magnitude of another cluster.
    Merge(usize),
}

/// Marks a cluster that was absorbed.
const GONE: usize = usize::MAX;

/// Magnitudes of the clusters, and the inner products that follow them.
#[derive(Debug)]
pub(super) struct Inner<'a> {
    pub(super) set: &'a mut Gram,
    pub(super) ranks: &'a Ranks<'a>,
    /// The magnitude of each cluster.
    pub(super) c: Vec<f64>,
    /// How fast it rises along the steepest descent at the start.
    pub(super) rise: Vec<f64>,
    /// Number of members; 0 for those that were absorbed.
    pub(super) count: Vec<usize>,
    /// `x~' omega r`.
    pub(super) q: Vec<f64>,
    /// Clusters from large to small, zeros at the end.
    pub(super) order: Vec<usize>,
    /// Where each is in the order.
    place: Vec<usize>,
    /// Number of coefficients before each place.
    pub(super) above: Vec<usize>,
    /// Number of clusters that are not zero.
    pub(super) n_positive: usize,
}

impl<'a> Inner<'a> {
    pub(super) fn new(
        set: &'a mut Gram,
        ranks: &'a Ranks<'a>,
        pieces: &[Piece],
        slots: &[usize],
        gradient: &[f64],
    ) -> Self {
        let m = set.len();
        let (mut c, mut rise) = (vec![0.0; m], vec![0.0; m]);
        for (piece, slot) in pieces.iter().zip(slots) {
            (c[*slot], rise[*slot]) = (piece.size, piece.rise);
        }
        let sum = |members: &Vec<(usize, f64)>| members.iter().map(|(j, s)| s * gradient[*j]).sum();
        let q = set.members().iter().map(sum).collect();
        let count = set.members().iter().map(Vec::len).collect();
        let order = (0..m).collect();
        let (place, above) = (vec![GONE; m], vec![0; m + 1]);
        let mut inner = Inner { set, ranks, c, rise, count, q, order, place, above, n_positive: 0 };
        inner.sort();
        inner
    }

    /// Puts the clusters in order.
    pub(super) fn sort(&mut self) {
        let Inner { order, count, c, rise, .. } = self;
        order.retain(|a| 0 < count[*a]);
        order.sort_by(|a, b| c[*b].total_cmp(&c[*a]).then(rise[*b].total_cmp(&rise[*a])));
        self.n_positive = order.iter().filter(|a| 0.0 < c[**a]).count();
        self.renumber(0, self.order.len());
    }

    fn renumber(&mut self, from: usize, to: usize) {
        for k in from..to {
            let a = self.order[k];
            self.place[a] = k;
            self.above[k + 1] = self.above[k] + self.count[a];
        }
    }

    /// Changes one magnitude, and nothing about the order.
    pub(super) fn shift(&mut self, a: usize, to: f64) {
        let by = to - self.c[a];
        if by != 0.0 {
            axpy(-by, self.set.row(a), &mut self.q);
        }
        self.c[a] = to;
    }

    /// Turns all signs of a cluster, whose magnitude becomes minus itself.
    pub(super) fn negate(&mut self, a: usize) {
        self.set.negate(a);
        (self.q[a], self.c[a]) = (-self.q[a], -self.c[a]);
    }

    /// Joins two clusters of one magnitude. The order does not know it yet.
    pub(super) fn join(&mut self, into: usize, a: usize) {
        self.set.absorb(into, a);
        self.q[into] += self.q[a];
        self.count[into] += self.count[a];
        (self.count[a], self.c[a], self.place[a]) = (0, 0.0, GONE);
    }

    /// The slope of the penalty in the magnitude of the cluster at this place.
    pub(super) fn level(&self, place: usize) -> f64 {
        let first = self.above[place.min(self.n_positive)];
        self.ranks.of(first, self.count[self.order[place]])
    }

    /// Where the minimum over one magnitude lies, all others fixed, for `target = |gamma|`.
    ///
    /// # Source
    /// arXiv 2210.14780, Theorem 2.5 (the SLOPE thresholding operator), searched from where the cluster is.
    fn landing(&self, a: usize, own: f64, target: f64) -> Landing {
        let (at, n) = (self.place[a], self.count[a]);
        let positive = 0.0 < self.c[a];
        let n_others = self.n_positive - usize::from(positive);
        let other = |t: usize| self.order[if t < at { t } else { t + 1 }];
        let level = |t: usize| {
            let first = if t <= at { self.above[t] } else { self.above[t + 1] - n };
            self.ranks.of(first, n)
        };
        let mut t = at.min(n_others);
        let (mut rose, mut sank) = (false, false);
        loop {
            let z = (target - level(t)) / own;
            let upper = if t == 0 { f64::INFINITY } else { self.c[other(t - 1)] };
            let lower = if t == n_others { 0.0 } else { self.c[other(t)] };
            if upper <= z && !sank {
                if target <= own * upper + level(t - 1) {
                    return Landing::Merge(other(t - 1));
                }
                (t, rose) = (t - 1, true);
            } else if z <= lower && !rose {
                if t == n_others {
                    return Landing::Zero;
                }
                if own * lower + level(t + 1) <= target {
                    return Landing::Merge(other(t));
                }
                (t, sank) = (t + 1, true);
            } else {
                return Landing::Between(z.max(lower).min(upper), t);
            }
        }
    }

    /// The exact minimum over one magnitude, which merges clusters or puts them in another order.
    fn coordinate_step(&mut self, a: usize) {
        let own = self.set.row(a)[a];
        let positive = 0.0 < self.c[a];
        if own <= 0.0 && !positive {
            return;
        }
        let gamma = own * self.c[a] + self.q[a];
        let landing = if own <= 0.0 { Landing::Zero } else { self.landing(a, own, gamma.abs()) };
        if gamma < 0.0 && !matches!(landing, Landing::Zero) {
            self.negate(a);
        }
        match landing {
            Landing::Zero if !positive => {}
            Landing::Zero => {
                self.shift(a, 0.0);
                self.n_positive -= 1;
                self.move_to(a, self.n_positive);
            }
            Landing::Between(z, t) => {
                self.shift(a, z);
                self.n_positive += usize::from(!positive);
                self.move_to(a, t);
            }
            Landing::Merge(into) => {
                self.shift(a, self.c[into]);
                self.n_positive -= usize::from(positive);
                let at = self.place[a];
                self.join(into, a);
                self.order.remove(at);
                self.renumber(at.min(self.place[into]), self.order.len());
            }
        }
    }

    fn move_to(&mut self, a: usize, to: usize) {
        let at = self.place[a];
        if to < at {
            self.order[to..=at].rotate_right(1);
        } else if at < to {
            self.order[at..=to].rotate_left(1);
        } else {
            return;
        }
        self.renumber(at.min(to), at.max(to) + 1);
    }

    /// One pass of coordinate steps.
    pub(super) fn epoch(&mut self, order: &mut Order) {
        let mut list = self.order.clone();
        order.arrange(&mut list);
        for a in list {
            if self.place[a] != GONE {
                self.coordinate_step(a);
            }
        }
    }

    /// The largest violation of optimality for these clusters, per member.
    pub(super) fn violation(&self) -> f64 {
        let own = |(k, a): (usize, &usize)| {
            let level = self.level(k);
            let over = if k < self.n_positive {
                (self.q[*a] - level).abs()
            } else {
                self.q[*a].abs() - level
            };
            over / self.count[*a] as f64
        };
        self.order.iter().enumerate().map(own).fold(0.0, f64::max)
    }

    /// Forgets the clusters that were absorbed, and returns the magnitudes of the others.
    pub(super) fn finish(self) -> Vec<f64> {
        let stays: Vec<bool> = self.count.iter().map(|n| 0 < *n).collect();
        self.set.retain(&stays);
        self.c.into_iter().zip(stays).filter(|(_, stays)| *stays).map(|(c, _)| c).collect()
    }
}
