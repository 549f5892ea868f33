//! The columns that are worked on, with their inner products.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};

use crate::design::Design;
use crate::solver::model::Model;

/// A set of columns with its Gram matrix under a model's weights.
#[derive(Debug, Default)]
pub(super) struct WorkingSet {
    /// Column numbers.
    pub(super) columns: Vec<usize>,
    /// Position of each column in the set.
    position: Vec<Option<u32>>,
    /// Columns scaled by the roots of the weights and centered, one after the other; empty for sparse designs.
    scaled: Vec<f64>,
    /// The Gram matrix, `capacity` entries a column.
    gram: Vec<f64>,
    capacity: usize,
}

impl WorkingSet {
    pub(super) fn len(&self) -> usize {
        self.columns.len()
    }

    /// Inner products of the column at `position` with all of the set.
    pub(super) fn row(&self, position: usize) -> &[f64] {
        &self.gram[position * self.capacity..position * self.capacity + self.len()]
    }

    /// Whether a column is in the set.
    pub(super) fn has(&self, column: usize) -> bool {
        self.position.get(column).is_some_and(Option::is_some)
    }

    /// Forgets all columns, as after a change of the weights.
    pub(super) fn clear(&mut self) {
        self.columns.clear();
        self.position.clear();
        self.scaled.clear();
        self.gram.clear();
        self.capacity = 0;
    }

    /// Adds `wanted` to the set. What was there stays as long as the set is at most half as large again as wanted; else only
    /// what is wanted stays.
    pub(super) fn update(&mut self, design: &Design<'_>, model: &Model, wanted: &[usize]) {
        self.position.resize(design.n_cols(), None);
        let new: Vec<usize> = wanted.iter().copied().filter(|j| !self.has(*j)).collect();
        if wanted.len() + wanted.len() / 2 < self.len() + new.len() {
            self.keep_only(wanted, model.omega.len());
        }
        self.append(design, model, &new);
    }

    fn keep_only(&mut self, wanted: &[usize], n: usize) {
        let mut is_wanted = vec![false; self.position.len()];
        wanted.iter().for_each(|j| is_wanted[*j] = true);
        let kept: Vec<usize> = (0..self.len()).filter(|i| is_wanted[self.columns[*i]]).collect();
        let capacity = self.capacity;
        for (new, old) in kept.iter().enumerate() {
            if !self.scaled.is_empty() {
                self.scaled.copy_within(old * n..(old + 1) * n, new * n);
            }
            for (i, from) in kept.iter().enumerate() {
                self.gram[new * capacity + i] = self.gram[old * capacity + from];
            }
        }
        for j in &self.columns {
            self.position[*j] = None;
        }
        self.columns = kept.iter().map(|i| self.columns[*i]).collect();
        self.scaled.truncate(kept.len() * n);
        for (i, j) in self.columns.iter().enumerate() {
            self.position[*j] = u32::try_from(i).ok();
        }
    }

    fn append(&mut self, design: &Design<'_>, model: &Model, new: &[usize]) {
        let (old, n) = (self.len(), design.n_rows());
        let m = old + new.len();
        self.grow(m);
        for (i, j) in new.iter().enumerate() {
            self.position[*j] = u32::try_from(old + i).ok();
        }
        self.columns.extend_from_slice(new);
        if design.is_sparse() {
            self.sparse_products(design, model, old);
            return;
        }
        let roots: Vec<f64> = model.omega.iter().map(|w| w.sqrt()).collect();
        self.scaled.resize(m * n, 0.0);
        for (j, column) in new.iter().zip(self.scaled[old * n..].chunks_exact_mut(n.max(1))) {
            design.column_into(*j, column);
            model.center(column);
            column.iter_mut().zip(&roots).for_each(|(x, root)| *x *= root);
        }
        if new.is_empty() {
            return;
        }
        let all = MatRef::from_column_major_slice(&self.scaled, n, m);
        let fresh = all.get(.., old..);
        let mut products = Mat::<f64>::zeros(m, new.len());
        matmul(products.as_mut(), Accum::Replace, all.transpose(), fresh, 1.0, Par::Seq);
        for i in 0..new.len() {
            for k in 0..m {
                self.set(k, old + i, products[(k, i)]);
            }
        }
    }

    fn set(&mut self, a: usize, b: usize, value: f64) {
        self.gram[a * self.capacity + b] = value;
        self.gram[b * self.capacity + a] = value;
    }

    fn grow(&mut self, m: usize) {
        if m <= self.capacity {
            return;
        }
        let capacity = m + m / 2;
        let mut gram = vec![0.0; capacity * capacity];
        for i in 0..self.len() {
            gram[i * capacity..i * capacity + self.len()].copy_from_slice(self.row(i));
        }
        (self.gram, self.capacity) = (gram, capacity);
    }

    /// One written-out column at a time against the stored entries of the others.
    fn sparse_products(&mut self, design: &Design<'_>, model: &Model, old: usize) {
        let m = self.len();
        let mut column = vec![0.0; design.n_rows()];
        let mut products = vec![0.0; m];
        for i in old..m {
            design.column_into(self.columns[i], &mut column);
            model.center(&mut column);
            let weighted = model.weighted(&column);
            design.adjoint_of(&self.columns[..=i], &weighted, &mut products[..=i]);
            for (k, product) in products[..=i].iter().enumerate() {
                self.gram[k * self.capacity + i] = *product;
                self.gram[i * self.capacity + k] = *product;
            }
        }
    }

    /// The block of the Gram matrix at these positions.
    pub(super) fn block(&self, positions: &[usize], mut out: MatMut<'_, f64>) {
        for (b, j) in positions.iter().enumerate() {
            let row = self.row(*j);
            for (a, i) in positions.iter().enumerate() {
                out[(a, b)] = row[*i];
            }
        }
    }
}
