//! Columns that are worked on, with their inner products.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};

use super::model::Model;
use crate::design::Design;
use crate::kernel::axpy;

/// Columns, each a sum of signed features or one feature alone, with their Gram matrix under a model's weights.
#[derive(Debug, Default)]
pub(super) struct Gram {
    /// Features of each column by number, with signs.
    members: Vec<Vec<(usize, f64)>>,
    /// Columns scaled by the roots of the weights and centered, one after the other; empty for sparse designs.
    scaled: Vec<f64>,
    n: usize,
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
        let (n, capacity) = (self.n, self.capacity);
        for (new, old) in kept.iter().enumerate() {
            if !self.scaled.is_empty() {
                self.scaled.copy_within(old * n..(old + 1) * n, new * n);
            }
            for (i, from) in kept.iter().enumerate() {
                self.products[new * capacity + i] = self.products[old * capacity + from];
            }
            self.members.swap(new, *old);
        }
        self.members.truncate(kept.len());
        if !self.scaled.is_empty() {
            self.scaled.truncate(kept.len() * n);
        }
    }

    /// Turns the sign of a column.
    pub(super) fn negate(&mut self, a: usize) {
        self.members[a].iter_mut().for_each(|m| m.1 = -m.1);
        if !self.scaled.is_empty() {
            self.scaled[a * self.n..(a + 1) * self.n].iter_mut().for_each(|x| *x = -*x);
        }
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
        if !self.scaled.is_empty() {
            let n = self.n;
            let column = self.scaled[a * n..(a + 1) * n].to_vec();
            axpy(1.0, &column, &mut self.scaled[into * n..(into + 1) * n]);
        }
        let more = std::mem::take(&mut self.members[a]);
        self.members[into].extend(more);
        self.members[into].sort_by_key(|m| m.0);
    }

    fn set(&mut self, a: usize, b: usize, value: f64) {
        self.products[a * self.capacity + b] = value;
        self.products[b * self.capacity + a] = value;
    }

    /// Adds columns with these members.
    pub(super) fn append(
        &mut self,
        design: &Design<'_>,
        model: &Model,
        new: Vec<Vec<(usize, f64)>>,
    ) {
        self.n = design.n_rows();
        let (old, n) = (self.len(), self.n);
        let n_new = new.len();
        let m = old + n_new;
        self.grow(m);
        self.members.extend(new);
        if n_new == 0 {
            return;
        }
        if design.is_sparse() {
            self.sparse_products(design, model, old);
            return;
        }
        let roots: Vec<f64> = model.omega.iter().map(|w| w.sqrt()).collect();
        self.scaled.resize(m * n, 0.0);
        let columns = self.scaled[old * n..].chunks_exact_mut(n.max(1));
        for (members, column) in self.members[old..].iter().zip(columns) {
            design.add_columns(members.iter().copied(), column);
            model.center(column);
            column.iter_mut().zip(&roots).for_each(|(x, root)| *x *= root);
        }
        let all = MatRef::from_column_major_slice(&self.scaled, n, m);
        let mut products = Mat::<f64>::zeros(m, n_new);
        let fresh = all.get(.., old..);
        matmul(products.as_mut(), Accum::Replace, all.transpose(), fresh, 1.0, Par::Seq);
        for i in 0..n_new {
            for k in 0..m {
                self.set(k, old + i, products[(k, i)]);
            }
        }
    }

    fn grow(&mut self, m: usize) {
        if m <= self.capacity {
            return;
        }
        let capacity = m + m / 2;
        let mut products = vec![0.0; capacity * capacity];
        for a in 0..self.len() {
            products[a * capacity..a * capacity + self.len()].copy_from_slice(self.row(a));
        }
        (self.products, self.capacity) = (products, capacity);
    }

    /// One written-out column at a time against the stored entries of the others.
    fn sparse_products(&mut self, design: &Design<'_>, model: &Model, old: usize) {
        let features: Vec<usize> = self.members.iter().flatten().map(|m| m.0).collect();
        let mut products = vec![0.0; features.len()];
        let mut end: usize = self.members[..old].iter().map(Vec::len).sum();
        for i in old..self.len() {
            end += self.members[i].len();
            let column = model.combination(design, self.members[i].iter().copied());
            let weighted = model.weighted(&column);
            design.adjoint_of(&features[..end], &weighted, &mut products[..end]);
            let mut first = 0;
            for k in 0..=i {
                let members = &self.members[k];
                let own = &products[first..first + members.len()];
                first += members.len();
                let value = members.iter().zip(own).map(|(m, product)| m.1 * product).sum();
                self.set(k, i, value);
            }
        }
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
