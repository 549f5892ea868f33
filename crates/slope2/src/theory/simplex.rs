//! The minimum of a function of a few numbers without derivatives.
//!
//! Written here because crates of optimization methods bring traits, executors and a linear algebra for a hundred lines,
//! and two things are asked that they lack: infinite values outside the domain, and an end as soon as a value is good enough.

/// Settings of a search.
#[derive(Clone, Copy, Debug)]
pub(super) struct Simplex {
    /// Values the search may ask for.
    pub(super) max_values: usize,
    /// The search ends when the values at the corners differ by less.
    pub(super) tolerance: f64,
    /// The search ends when a value is at most this.
    pub(super) good_enough: f64,
}

impl Simplex {
    /// The best point seen from `start` with first edges `step`, and its value.
    ///
    /// # Source
    /// J. A. Nelder, R. Mead, The Computer Journal 7 (1965) 308-313, with the usual coefficients 1, 2, 1/2, 1/2.
    pub(super) fn minimize<const N: usize>(
        &self,
        start: [f64; N],
        step: [f64; N],
        mut f: impl FnMut(&[f64; N]) -> f64,
    ) -> ([f64; N], f64) {
        let mut values = 0;
        let mut value = |x: [f64; N]| {
            values += 1;
            let v = f(&x);
            (x, if v.is_nan() { f64::INFINITY } else { v })
        };
        let mut corners = vec![value(start)];
        for i in 0..N {
            let mut x = start;
            x[i] += step[i];
            corners.push(value(x));
        }
        let mut asked = N + 1;
        loop {
            corners.sort_by(|a, b| a.1.total_cmp(&b.1));
            let (best, worst) = (corners[0], corners[N]);
            let done = worst.1 - best.1 <= self.tolerance;
            if best.1 <= self.good_enough || self.max_values <= asked || done {
                return best;
            }
            let mut middle = [0.0; N];
            for (x, _) in &corners[..N] {
                for (m, x) in middle.iter_mut().zip(x) {
                    *m += x / N as f64;
                }
            }
            let along =
                |by: f64| std::array::from_fn(|i| middle[i] + by * (worst.0[i] - middle[i]));
            let reflected = value(along(-1.0));
            asked += 1;
            if reflected.1 < best.1 {
                let expanded = value(along(-2.0));
                asked += 1;
                corners[N] = if expanded.1 < reflected.1 { expanded } else { reflected };
                continue;
            }
            if reflected.1 < corners[N - 1].1 {
                corners[N] = reflected;
                continue;
            }
            let by = if reflected.1 < worst.1 { -0.5 } else { 0.5 };
            let contracted = value(along(by));
            asked += 1;
            if contracted.1 < worst.1.min(reflected.1) {
                corners[N] = contracted;
                continue;
            }
            for corner in &mut corners[1..] {
                let x = std::array::from_fn(|i| 0.5 * (best.0[i] + corner.0[i]));
                *corner = value(x);
                asked += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Simplex =
        Simplex { max_values: 2000, tolerance: 1e-16, good_enough: f64::NEG_INFINITY };

    #[test]
    fn a_curved_valley_is_followed_to_its_end() {
        let f = |x: &[f64; 2]| (1.0 - x[0]).powi(2) + 100.0 * (x[1] - x[0] * x[0]).powi(2);
        let (x, _) = SETTINGS.minimize([-1.2, 1.0], [0.1, 0.1], f);
        assert!((x[0] - 1.0).abs() < 1e-6 && (x[1] - 1.0).abs() < 1e-6, "{x:?}");
    }

    #[test]
    fn infinite_values_are_left_behind_and_a_good_value_ends_the_search() {
        let f = |x: &[f64; 1]| if x[0] < 0.0 { f64::NAN } else { (x[0] - 2.0).powi(2) };
        let (x, _) = SETTINGS.minimize([0.1], [-0.5], f);
        assert!((x[0] - 2.0).abs() < 1e-6);
        let mut asked = 0;
        let early = Simplex { good_enough: 10.0, ..SETTINGS };
        let (_, value) = early.minimize([0.1], [-0.5], |x| {
            asked += 1;
            f(x)
        });
        assert!(value <= 10.0 && asked <= 2);
    }
}
