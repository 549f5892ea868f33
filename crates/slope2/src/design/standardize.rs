//! Centers and scales of columns.

use super::{Design, Entries};
use crate::error::{Result, entries, length};

/// What is taken off each column.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Center {
    /// Nothing.
    #[default]
    None,
    /// Its mean, weighted as the observations are.
    Mean,
    /// Its smallest entry.
    Min,
    /// The given numbers.
    Given(Vec<f64>),
}

/// What each centered column is divided by. A column of which that is zero is divided by 1.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Scale {
    /// Nothing.
    #[default]
    None,
    /// Its standard deviation with divisor `n`, weighted as the observations are.
    Sd,
    /// The sum of its magnitudes.
    L1,
    /// The root of its sum of squares.
    L2,
    /// Largest minus smallest entry.
    Range,
    /// Its largest magnitude.
    MaxAbs,
    /// The given numbers, all positive.
    Given(Vec<f64>),
}

/// What one pass over a column tells.
#[derive(Clone, Copy, Debug)]
struct Column {
    mean: f64,
    min: f64,
    max: f64,
}

impl Column {
    /// Whether nothing is left of it without its center.
    fn is_constant_around(&self, center: f64) -> bool {
        self.min == self.max && center == self.mean
    }
}

impl Design<'_> {
    /// The same design with columns centered and scaled. `weights` are those of the observations, with mean 1; none means
    /// all ones.
    ///
    /// # Errors
    /// [`crate::Error::Length`] or [`crate::Error::InvalidEntry`] for given numbers that do not fit;
    /// [`crate::Error::NeedsColumns`] for a design known by its products, unless both are given or none.
    pub fn standardized(
        mut self,
        center: &Center,
        scale: &Scale,
        weights: Option<&[f64]>,
    ) -> Result<Self> {
        let p = self.block_cols();
        let computed = !matches!(center, Center::None | Center::Given(_))
            || !matches!(scale, Scale::None | Scale::Given(_));
        if computed && !self.has_columns() {
            return Err(crate::Error::NeedsColumns);
        }
        self.constant = Vec::new();
        let centers = !matches!(center, Center::None);
        let columns: Vec<Column> = if self.has_columns() && (computed || centers) {
            (0..p).map(|j| self.column(j, weights)).collect()
        } else {
            Vec::new()
        };
        self.centers = match center {
            Center::None => Vec::new(),
            Center::Mean => columns.iter().map(|column| column.mean).collect(),
            Center::Min => columns.iter().map(|column| column.min).collect(),
            Center::Given(centers) => {
                length("centers", p, centers.len())?;
                entries("centers", "finite", centers, f64::is_finite)?;
                centers.clone()
            }
        };
        if centers {
            let all = columns.iter().enumerate();
            let constant: Vec<bool> =
                all.map(|(j, column)| column.is_constant_around(self.center(j))).collect();
            self.constant = if constant.contains(&true) { constant } else { Vec::new() };
        }
        self.scales = match scale {
            Scale::None => Vec::new(),
            Scale::Given(scales) => {
                length("scales", p, scales.len())?;
                let holds = |s: f64| s.is_finite() && 0.0 < s;
                entries("scales", "finite and positive", scales, holds)?;
                scales.clone()
            }
            _ => {
                let all = columns.iter().enumerate();
                all.map(|(j, column)| self.size(j, column, scale, weights)).collect()
            }
        };
        Ok(self)
    }

    /// Intercepts, one for each block, and coefficients of the columns as they are stored, from those of the columns as they
    /// were fitted: `b_j / s_j` and `b0 - sum_j m_j b_j / s_j`.
    #[must_use]
    pub fn on_original_scale(
        &self,
        intercepts: &[f64],
        coefficients: &[f64],
    ) -> (Vec<f64>, Vec<f64>) {
        let original: Vec<f64> =
            coefficients.iter().enumerate().map(|(j, b)| b * self.factor(j)).collect();
        let shift = |b: &[f64]| b.iter().enumerate().map(|(j, b)| self.center(j) * b).sum::<f64>();
        let blocks = original.chunks(self.block_cols().max(1)).map(shift);
        let shifts = blocks.chain(std::iter::repeat(0.0));
        (intercepts.iter().zip(shifts).map(|(b0, shift)| b0 - shift).collect(), original)
    }

    /// Calls `f(entry, weight)` for each stored entry, and returns the weight of those not stored.
    fn visit(&self, j: usize, weights: Option<&[f64]>, mut f: impl FnMut(f64, f64)) -> f64 {
        let w = |i: usize| weights.map_or(1.0, |w| w[i]);
        match &self.entries {
            Entries::Dense(x) => {
                x.column(j).iter().enumerate().for_each(|(i, x)| f(*x, w(i)));
                0.0
            }
            Entries::Sparse(x) => {
                let (rows, values) = x.column(j);
                let mut stored = 0.0;
                for (i, x) in rows.iter().zip(values) {
                    f(*x, w(*i));
                    stored += w(*i);
                }
                if rows.len() == x.n { 0.0 } else { x.n as f64 - stored }
            }
            Entries::Operator(_) => 0.0,
        }
    }

    fn column(&self, j: usize, weights: Option<&[f64]>) -> Column {
        let (mut sum, mut min, mut max) = (0.0, f64::INFINITY, f64::NEG_INFINITY);
        let missing = self.visit(j, weights, |x, w| {
            sum += w * x;
            // A row without weight is no row.
            if 0.0 < w {
                min = min.min(x);
                max = max.max(x);
            }
        });
        if 0.0 < missing || min > max {
            (min, max) = (min.min(0.0), max.max(0.0));
        }
        // The mean of equal entries is that entry, whatever the sum was rounded to.
        let mean = if min == max { min } else { sum / self.block_rows().max(1) as f64 };
        Column { mean, min, max }
    }

    fn size(&self, j: usize, whole: &Column, scale: &Scale, weights: Option<&[f64]>) -> f64 {
        let center = self.center(j);
        if whole.is_constant_around(center) {
            return 1.0;
        }
        let (mut sum, mut squares, mut top) = (0.0, 0.0, 0.0f64);
        let mut add = |x: f64, w: f64| {
            sum += w * x.abs();
            squares += w * x * x;
            top = if 0.0 < w { top.max(x.abs()) } else { top };
        };
        let mean = whole.mean;
        let missing = match scale {
            // The standard deviation is about the mean, whatever the center.
            Scale::Sd => self.visit(j, weights, |x, w| add(x - mean, w)),
            _ => self.visit(j, weights, |x, w| add(x - center, w)),
        };
        if 0.0 < missing {
            add(if matches!(scale, Scale::Sd) { mean } else { center }, missing);
        }
        let size = match scale {
            Scale::Sd => (squares / self.block_rows().max(1) as f64).sqrt(),
            Scale::L1 => sum,
            Scale::L2 => squares.sqrt(),
            Scale::Range => whole.max - whole.min,
            _ => top,
        };
        if 0.0 < size { size } else { 1.0 }
    }
}
