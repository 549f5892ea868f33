//! The features that are worked on.

use crate::solver::gram::Gram;
use crate::solver::source::Source;

/// A set of features, each a column of its own, with their inner products.
#[derive(Debug, Default)]
pub(super) struct WorkingSet {
    /// Feature numbers.
    pub(super) columns: Vec<usize>,
    pub(super) gram: Gram,
}

impl WorkingSet {
    /// Forgets all features, as after a change of the weights.
    pub(super) fn clear(&mut self) {
        *self = WorkingSet::default();
    }

    /// Whether each of `n` features is in the set.
    pub(super) fn marks(&self, n: usize) -> Vec<bool> {
        let mut marks = vec![false; n];
        self.columns.iter().for_each(|j| marks[*j] = true);
        marks
    }

    /// Adds `wanted` to the set. What was there stays as long as the set is at most a quarter larger than wanted, and has at most
    /// `most` columns; else only what is wanted stays.
    pub(super) fn update(&mut self, source: &Source<'_>, wanted: &[usize], most: usize) {
        let marked = |columns: &[usize]| {
            let mut marks = vec![false; source.n_features()];
            columns.iter().for_each(|j| marks[*j] = true);
            marks
        };
        let inside = marked(&self.columns);
        let new: Vec<usize> = wanted.iter().copied().filter(|j| !inside[*j]).collect();
        let room = (wanted.len() + wanted.len() / 4).min(most);
        if room < self.columns.len() + new.len() {
            let is_wanted = marked(wanted);
            let stays: Vec<bool> = self.columns.iter().map(|j| is_wanted[*j]).collect();
            self.gram.retain(&stays);
            self.columns.retain(|j| is_wanted[*j]);
        }
        self.gram.append(source, new.iter().map(|j| vec![(*j, 1.0)]).collect());
        self.columns.extend(new);
    }
}
