//! Which rows are held out together.

use rand::Rng;
use rand::seq::SliceRandom;

use crate::error::{Error, Result};

/// Rows dealt into folds, once or repeatedly. Every row is held out once in each repeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folds {
    n_rows: usize,
    repeats: Vec<Deal>,
}

/// The fold of each row.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Deal {
    fold: Vec<usize>,
    n_folds: usize,
}

/// One fold against all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// The repeat it belongs to.
    pub repeat: usize,
    /// The fold in that repeat.
    pub fold: usize,
    /// Rows to fit on, increasing.
    pub train: Vec<usize>,
    /// Rows held out, increasing.
    pub test: Vec<usize>,
}

fn check(n_folds: usize, most: usize) -> Result<()> {
    let must = "at least 2 and at most the number of rows or groups";
    let holds = 2 <= n_folds && n_folds <= most;
    crate::error::number("folds", must, holds, n_folds as f64)
}

impl Folds {
    /// Rows in random order, dealt in turn.
    ///
    /// # Errors
    /// [`Error::InvalidNumber`] unless `2 <= n_folds <= n_rows`.
    pub fn k_fold(n_rows: usize, n_folds: usize, rng: &mut impl Rng) -> Result<Self> {
        check(n_folds, n_rows)?;
        let mut order: Vec<usize> = (0..n_rows).collect();
        order.shuffle(rng);
        Ok(Self::dealt(n_rows, n_folds, &order))
    }

    /// As [`Folds::k_fold`] within each class, so that folds have the shares of all rows, up to one row of each class.
    ///
    /// # Errors
    /// As [`Folds::k_fold`].
    pub fn stratified(classes: &[f64], n_folds: usize, rng: &mut impl Rng) -> Result<Self> {
        check(n_folds, classes.len())?;
        let mut order: Vec<usize> = (0..classes.len()).collect();
        order.shuffle(rng);
        // Stable: rows of one class stay in random order, and dealing goes on from class to class.
        order.sort_by(|a, b| classes[*a].total_cmp(&classes[*b]));
        Ok(Self::dealt(classes.len(), n_folds, &order))
    }

    /// Rows of one group stay in one fold: groups in random order, the largest first, each to the fold with fewest rows.
    ///
    /// # Errors
    /// [`Error::InvalidNumber`] unless there are at least 2 folds and at most one for each group.
    pub fn grouped(groups: &[usize], n_folds: usize, rng: &mut impl Rng) -> Result<Self> {
        let (group, n_groups) = numbered(groups);
        check(n_folds, n_groups)?;
        let mut size = vec![0usize; n_groups];
        group.iter().for_each(|g| size[*g] += 1);
        let mut order: Vec<usize> = (0..n_groups).collect();
        order.shuffle(rng);
        order.sort_by_key(|g| std::cmp::Reverse(size[*g]));
        let (mut load, mut fold_of) = (vec![0usize; n_folds], vec![0usize; n_groups]);
        for g in order {
            let least = (0..n_folds).min_by_key(|f| load[*f]).unwrap_or(0);
            fold_of[g] = least;
            load[least] += size[g];
        }
        let fold = group.iter().map(|g| fold_of[*g]).collect();
        Ok(Folds { n_rows: groups.len(), repeats: vec![Deal { fold, n_folds }] })
    }

    /// The given folds: rows with equal numbers are held out together.
    ///
    /// # Errors
    /// [`Error::InvalidNumber`] unless there are at least 2 folds.
    pub fn given(folds: &[usize]) -> Result<Self> {
        let (fold, n_folds) = numbered(folds);
        check(n_folds, folds.len())?;
        Ok(Folds { n_rows: folds.len(), repeats: vec![Deal { fold, n_folds }] })
    }

    /// What `make` gives, `times` times with the same generator.
    ///
    /// # Errors
    /// Those of `make`; [`Error::Length`] for no repeats or if `make` changes the number of rows.
    pub fn repeated<R: Rng>(
        times: usize,
        mut make: impl FnMut(&mut R) -> Result<Folds>,
        rng: &mut R,
    ) -> Result<Self> {
        let mut all = Folds { n_rows: 0, repeats: Vec::new() };
        for i in 0..times {
            let next = make(rng)?;
            if i == 0 {
                all.n_rows = next.n_rows;
            }
            crate::error::length("rows of the folds", all.n_rows, next.n_rows)?;
            all.repeats.extend(next.repeats);
        }
        if all.repeats.is_empty() {
            return Err(Error::Length { name: "repeats", expected: 1, got: 0 });
        }
        Ok(all)
    }

    fn dealt(n_rows: usize, n_folds: usize, order: &[usize]) -> Self {
        let mut fold = vec![0; n_rows];
        order.iter().enumerate().for_each(|(i, row)| fold[*row] = i % n_folds);
        Folds { n_rows, repeats: vec![Deal { fold, n_folds }] }
    }

    /// Number of rows.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Number of repeats.
    #[must_use]
    pub fn n_repeats(&self) -> usize {
        self.repeats.len()
    }

    /// All folds of all repeats, in order.
    #[must_use]
    pub fn splits(&self) -> Vec<Split> {
        let mut splits = Vec::new();
        for (repeat, deal) in self.repeats.iter().enumerate() {
            for f in 0..deal.n_folds {
                let (test, train) = (0..self.n_rows).partition(|i| deal.fold[*i] == f);
                splits.push(Split { repeat, fold: f, train, test });
            }
        }
        splits
    }
}

/// Labels as 0, 1, ... in increasing order, and how many there are.
fn numbered(labels: &[usize]) -> (Vec<usize>, usize) {
    let mut distinct = labels.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let of = |label: &usize| distinct.partition_point(|d| d < label);
    (labels.iter().map(of).collect(), distinct.len())
}
