//! Poles of a filter, as eigenvalues of the companion matrix of its denominator.

use std::fmt;

use faer::Mat;

use crate::error::{Error, Result};

/// A pole in the complex plane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pole {
    /// Real part.
    pub re: f64,
    /// Imaginary part.
    pub im: f64,
}

impl Pole {
    /// Distance from the origin: below 1 if what it stands for dies away.
    #[must_use]
    pub fn modulus(&self) -> f64 {
        self.re.hypot(self.im)
    }
}

impl fmt::Display for Pole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.im == 0.0 {
            return write!(f, "{}", self.re);
        }
        let sign = if self.im < 0.0 { '-' } else { '+' };
        write!(f, "{} {sign} {}i", self.re, self.im.abs())
    }
}

/// Roots of `z^n + a_1 z^(n-1) + ... + a_n`, those farthest out first.
pub(super) fn roots(a: &[f64]) -> Result<Vec<Pole>> {
    let mut roots = match a {
        [] => Vec::new(),
        [a1] => vec![Pole { re: -a1, im: 0.0 }],
        [a1, a2] => quadratic(*a1, *a2),
        _ => companion(a)?,
    };
    // Of a pair, the upper one first.
    roots.sort_by(|p, q| q.modulus().total_cmp(&p.modulus()).then(q.im.total_cmp(&p.im)));
    Ok(roots)
}

/// The root farthest out.
pub(super) fn farthest(a: &[f64]) -> Result<Pole> {
    roots(a)?.first().copied().ok_or(Error::Poles { order: a.len() })
}

fn quadratic(a1: f64, a2: f64) -> Vec<Pole> {
    let half = -0.5 * a1;
    let square = half * half - a2;
    if square.abs() <= 4.0 * f64::EPSILON * half * half {
        // Two that coincide: the root of what rounding left would move them apart by 1e-8.
        return vec![Pole { re: half, im: 0.0 }; 2];
    }
    if square < 0.0 {
        let im = (-square).sqrt();
        return vec![Pole { re: half, im }, Pole { re: half, im: -im }];
    }
    let far = half + square.sqrt().copysign(half);
    let near = if far == 0.0 { 0.0 } else { a2 / far };
    vec![Pole { re: far, im: 0.0 }, Pole { re: near, im: 0.0 }]
}

fn companion(a: &[f64]) -> Result<Vec<Pole>> {
    let order = a.len();
    let matrix = Mat::from_fn(order, order, |i, j| {
        if i == 0 {
            -a[j]
        } else if i == j + 1 {
            1.0
        } else {
            0.0
        }
    });
    let values = matrix.eigenvalues().map_err(|_| Error::Poles { order })?;
    Ok(values.iter().map(|z| Pole { re: z.re, im: z.im }).collect())
}
