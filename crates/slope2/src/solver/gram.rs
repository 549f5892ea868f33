//! Columns that are worked on, with their inner products.

use faer::MatMut;

use super::source::Source;
use crate::kernel::axpy;

/// Columns, each a sum of signed features or one feature alone, with their Gram matrix.
#[derive(Debug, Default)]
pub(super) struct Gram {
    /// Features of each column by number, with signs.
    members: Vec<Vec<(usize, f64)>>,
    /// Columns of several features, written out where that is worth its memory.
    sums: Vec<Option<Vec<f64>>>,
    /// The inner products, `capacity` of them a column.
    products: Vec<f64>,
    capacity: usize,
}

impl Gram {
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// Features of each column, with signs.
    pub(super) fn members(&self) -> &[Vec<(usize, f64)>] {
        &self.members
    }

    /// Inner products of a column with all.
    pub(super) fn row(&self, a: usize) -> &[f64] {
        &self.products[a * self.capacity..a * self.capacity + self.len()]
    }

    /// Forgets all columns, as after a change of the weights.
    pub(super) fn clear(&mut self) {
        *self = Gram::default();
    }

    /// Keeps these columns alone.
    pub(super) fn retain(&mut self, stays: &[bool]) {
        let kept: Vec<usize> = (0..self.len()).filter(|a| stays[*a]).collect();
        if kept.len() == self.len() {
            return;
        }
        let capacity = self.capacity;
        for (new, old) in kept.iter().enumerate() {
            for (i, from) in kept.iter().enumerate() {
                self.products[new * capacity + i] = self.products[old * capacity + from];
            }
            self.members.swap(new, *old);
            self.sums.swap(new, *old);
        }
        self.members.truncate(kept.len());
        self.sums.truncate(kept.len());
    }

    /// Turns the sign of a column.
    pub(super) fn negate(&mut self, a: usize) {
        self.members[a].iter_mut().for_each(|m| m.1 = -m.1);
        self.sums[a].iter_mut().flatten().for_each(|x| *x = -*x);
        for k in 0..self.len() {
            if k != a {
                let value = -self.products[a * self.capacity + k];
                self.set(a, k, value);
            }
        }
    }

    /// Adds the column `a` to the column `into`. `a` is left without members.
    pub(super) fn absorb(&mut self, into: usize, a: usize) {
        let own = self.row(into)[into] + 2.0 * self.row(into)[a] + self.row(a)[a];
        let other = self.row(a).to_vec();
        let (start, m) = (into * self.capacity, self.len());
        axpy(1.0, &other, &mut self.products[start..start + m]);
        for k in 0..m {
            let value = self.products[start + k];
            self.products[k * self.capacity + into] = value;
        }
        self.set(into, into, own.max(0.0));
        let more = std::mem::take(&mut self.members[a]);
        self.members[into].extend(more);
        // What is missing is written out when it is needed.
        self.sums[into] = match (self.sums[into].take(), self.sums[a].take()) {
            (Some(mut own), Some(other)) => {
                axpy(1.0, &other, &mut own);
                Some(own)
            }
            _ => None,
        };
        self.members[into].sort_by_key(|m| m.0);
    }

    fn set(&mut self, a: usize, b: usize, value: f64) {
        self.products[a * self.capacity + b] = value;
        self.products[b * self.capacity + a] = value;
    }

    /// Adds columns with these members.
    pub(super) fn append(&mut self, source: &Source<'_>, new: Vec<Vec<(usize, f64)>>) {
        let old = self.len();
        if new.is_empty() {
            return;
        }
        self.grow(old + new.len());
        self.members.extend(new);
        self.sums.resize(self.len(), None);
        if source.keeps_sums() {
            for (members, sum) in self.members.iter().zip(&mut self.sums) {
                if members.len() != 1 && sum.is_none() {
                    *sum = Some(source.sum(members));
                }
            }
        }
        let (m, capacity) = (self.len(), self.capacity);
        // The products with a column are a row here and a column there.
        let fresh = &mut self.products[old * capacity..];
        let fresh = MatMut::from_column_major_slice_with_stride_mut(fresh, m, m - old, capacity);
        source.products(&self.members, &self.sums, old, fresh);
        for i in old..m {
            for k in (0..old).chain(i + 1..m) {
                self.products[k * capacity + i] = self.products[i * capacity + k];
            }
        }
    }

    fn grow(&mut self, m: usize) {
        let (old, len) = (self.capacity, self.len());
        if m <= old {
            return;
        }
        // Room for a few columns more; the whole is moved when it is used up.
        let capacity = m + m / 32;
        self.products.reserve_exact(capacity * capacity - self.products.len());
        self.products.resize(capacity * capacity, 0.0);
        for a in (1..len).rev() {
            self.products.copy_within(a * old..a * old + len, a * capacity);
        }
        self.capacity = capacity;
    }

    /// The block of the inner products at these positions.
    pub(super) fn block(&self, positions: &[usize], mut out: MatMut<'_, f64>) {
        for (b, j) in positions.iter().enumerate() {
            let row = self.row(*j);
            for (a, i) in positions.iter().enumerate() {
                out[(a, b)] = row[*i];
            }
        }
    }
}
