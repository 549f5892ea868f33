//! Masses on a lattice of losses, tilted exponentially so that the part that decides is not rounded away.

use super::bins::Bins;

/// Which of two neighbors is the first of the pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// The record is present under the first: the loss is `ln(P/Q)` under `P`.
    Remove,
    /// The record is absent under the first: the loss is `ln(Q/P)` under `Q`.
    Add,
}

/// Masses at consecutive integers, of one step, and how many such steps there are.
#[derive(Clone, Debug)]
pub(super) struct Lattice {
    pub(super) first: i64,
    pub(super) masses: Vec<f64>,
    pub(super) count: u64,
}

/// What bounds the composed delta from above: masses at nodes whose ratio is `exp(loss)`.
#[derive(Clone, Debug)]
pub(super) struct Upper {
    pub(super) lattice: Lattice,
    /// Loss of the integer 0.
    pub(super) offset: f64,
    /// Mass of infinite loss.
    pub(super) infinite: f64,
}

/// What bounds it from below: masses of bins under both of the pair.
#[derive(Clone, Debug)]
pub(super) struct Lower {
    pub(super) first_of_pair: Lattice,
    pub(super) second_of_pair: Lattice,
}

impl Bins {
    /// Rounded so that delta can only rise.
    pub(super) fn upper(&self, direction: Direction, count: u64) -> Upper {
        let mut masses: Vec<f64> = self.down.clone();
        masses.push(0.0);
        masses[1..].iter_mut().zip(&self.up).for_each(|(mass, up)| *mass += up);
        match direction {
            Direction::Remove => {
                masses[0] += self.below.present;
                Upper {
                    lattice: Lattice { first: self.first, masses, count },
                    offset: self.offset,
                    infinite: self.above.present,
                }
            }
            Direction::Add => {
                // A node of mass p has q = p exp(-t): the reverse pair is the same one, mirrored.
                masses.iter_mut().zip(&self.ratio).for_each(|(mass, ratio)| *mass *= ratio);
                masses.reverse();
                masses[0] += self.above.absent;
                Upper {
                    lattice: Lattice { first: -self.last(), masses, count },
                    offset: -self.offset,
                    infinite: self.below.absent,
                }
            }
        }
    }

    /// What remains if only the number of the bin is seen: delta can only fall.
    pub(super) fn lower(&self, direction: Direction, count: u64) -> Lower {
        let mut present: Vec<f64> = self.down.iter().zip(&self.up).map(|(d, u)| d + u).collect();
        let mut absent: Vec<f64> = self
            .down
            .iter()
            .zip(&self.up)
            .zip(self.ratio.windows(2))
            .map(|((d, u), ratio)| d * ratio[0] + u * ratio[1])
            .collect();
        present.push(self.above.present);
        absent.push(self.above.absent);
        present[0] += self.below.present;
        absent[0] += self.below.absent;
        let (first, second) = match direction {
            Direction::Remove => (present, absent),
            Direction::Add => {
                present.reverse();
                absent.reverse();
                (absent, present)
            }
        };
        let start = match direction {
            Direction::Remove => self.first,
            Direction::Add => -self.last(),
        };
        Lower {
            first_of_pair: Lattice { first: start, masses: first, count },
            second_of_pair: Lattice { first: start, masses: second, count },
        }
    }

    fn last(&self) -> i64 {
        self.first + self.down.len() as i64
    }
}

/// Weights `p_k exp(x k) / M` that sum to 1.
#[derive(Clone, Debug)]
pub(super) struct Tilted {
    pub(super) first: i64,
    pub(super) weights: Vec<f64>,
    pub(super) count: u64,
    /// `ln M`.
    pub(super) ln_moment: f64,
}

/// A logarithm of a moment and its derivative.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cumulant {
    pub(super) value: f64,
    pub(super) slope: f64,
}

/// How often powers are computed anew, so that their rounding errors do not add up.
const ANCHOR: usize = 32;

impl Lattice {
    /// Tilts by `x` per node. None if the moment is out of range.
    pub(super) fn tilt(&self, x: f64) -> Option<Tilted> {
        // Relative to the end where the factor is largest: nothing overflows.
        let n = self.masses.len();
        let reference = if 0.0 < x { n as f64 - 1.0 } else { 0.0 };
        let ratio = x.exp();
        let mut weights = Vec::with_capacity(n);
        // Steep factors one by one: a block that starts below the range of floats must not end within it.
        let anchor = if x.abs() < 5.0 { ANCHOR } else { 1 };
        for (block, masses) in self.masses.chunks(anchor).enumerate() {
            let mut factor = (x * ((block * anchor) as f64 - reference)).exp();
            for mass in masses {
                weights.push(mass * factor);
                factor *= ratio;
            }
        }
        let total = sum(&weights);
        if !(1e-290 < total && total < f64::INFINITY) {
            return None;
        }
        weights.iter_mut().for_each(|weight| *weight /= total);
        let ln_moment = total.ln() + x * (reference + self.first as f64);
        Some(Tilted { first: self.first, weights, count: self.count, ln_moment })
    }

    /// `ln sum_k p_k exp(x k)` and its derivative in `x`.
    pub(super) fn cumulant(&self, x: f64) -> Cumulant {
        cumulant(&self.masses, self.first, x)
    }
}

impl Tilted {
    /// The same of the weights.
    pub(super) fn cumulant(&self, x: f64) -> Cumulant {
        cumulant(&self.weights, self.first, x)
    }

    /// Mean and variance of the integer.
    pub(super) fn moments(&self) -> (f64, f64) {
        let (mut mean, mut square) = (0.0, 0.0);
        // Relative to node 0 of the lattice, where most of the mass is.
        for (k, weight) in self.weights.iter().enumerate() {
            let at = k as f64 + self.first as f64;
            mean += weight * at;
            square += weight * at * at;
        }
        (mean, (square - mean * mean).max(0.0))
    }

    /// The highest integer.
    pub(super) fn last(&self) -> i64 {
        self.first + self.weights.len() as i64 - 1
    }
}

/// Sums of blocks, then of their sums.
fn sum(values: &[f64]) -> f64 {
    values.chunks(128).map(|chunk| chunk.iter().sum::<f64>()).sum()
}

/// Horner's scheme from the end where `exp(x k)` is small: no overflow, and small terms first. Four interleaved sums, since
/// one alone would wait for each of its products.
fn cumulant(masses: &[f64], first: i64, x: f64) -> Cumulant {
    let shrink = (-x.abs()).exp();
    let n = masses.len();
    let (value, weighted, end) = if 0.0 <= x {
        let (head, rest) = masses.split_at(n % 4);
        let mut start = [0.0; 4];
        start[4 - head.len()..].copy_from_slice(head);
        let (fours, _) = rest.as_chunks::<4>();
        let (value, weighted) = horner(std::iter::once(start).chain(fours.iter().copied()), shrink);
        (value, weighted, first as f64 + n as f64 - 1.0)
    } else {
        let (rest, tail) = masses.split_at(n - n % 4);
        let mut start = [0.0; 4];
        start[..tail.len()].copy_from_slice(tail);
        start.reverse();
        let (fours, _) = rest.as_chunks::<4>();
        let fours = fours.iter().rev().map(|[a, b, c, d]| [*d, *c, *b, *a]);
        let (value, weighted) = horner(std::iter::once(start).chain(fours), shrink);
        (value, weighted, first as f64)
    };
    let distance = weighted / value;
    let slope = if 0.0 <= x { end - distance } else { end + distance };
    Cumulant { value: x * end + value.ln(), slope }
}

/// Sums of `mass shrink^d` and `d mass shrink^d`, with `d` the distance to the last of all masses.
fn horner(fours: impl Iterator<Item = [f64; 4]>, shrink: f64) -> (f64, f64) {
    let (square, mut value, mut weighted) = (shrink * shrink, [0.0_f64; 4], [0.0_f64; 4]);
    let fourth = square * square;
    for masses in fours {
        for ((value, weighted), mass) in value.iter_mut().zip(&mut weighted).zip(masses) {
            *weighted = (*weighted + 4.0 * *value) * fourth;
            *value = *value * fourth + mass;
        }
    }
    let ([v0, v1, v2, v3], [w0, w1, w2, w3]) = (value, weighted);
    let cube = square * shrink;
    let weighted = (w0 + 3.0 * v0) * cube + (w1 + 2.0 * v1) * square + (w2 + v2) * shrink + w3;
    (v0 * cube + v1 * square + v2 * shrink + v3, weighted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cumulants_and_tilts_agree_with_plain_sums() {
        let lattice = Lattice { first: -3, masses: vec![0.1, 0.0, 0.4, 0.3, 0.2], count: 1 };
        for x in [-2.0, -1e-3, 0.0, 0.5, 300.0] {
            // Of any number of masses; the steepest factor would underflow in the plain sum.
            for n in if x < 100.0 { 1..5 } else { 5..5 } {
                let part = Lattice { masses: lattice.masses[..n].to_vec(), ..lattice };
                let sum = |f: fn(f64) -> f64| -> f64 {
                    (0..n)
                        .map(|i| f(i as f64 - 3.0) * part.masses[i] * (x * (i as f64 - 3.0)).exp())
                        .sum()
                };
                let (plain, slope, got) = (sum(|_| 1.0), sum(|k| k), part.cumulant(x));
                assert!(
                    (got.value - plain.ln()).abs() < 1e-12 * (1.0 + plain.ln().abs()),
                    "{x} {n}"
                );
                assert!((got.slope - slope / plain).abs() < 1e-13, "{x} {n}");
            }
            let plain: f64 = (0..5).map(|i| lattice.masses[i] * (x * (i as f64 - 3.0)).exp()).sum();
            let slope: f64 = (0..5)
                .map(|i| (i as f64 - 3.0) * lattice.masses[i] * (x * (i as f64 - 3.0)).exp())
                .sum();
            let got = lattice.cumulant(x);
            assert!((got.value - plain.ln()).abs() < 1e-13 * (1.0 + plain.ln().abs()), "{x}");
            assert!((got.slope - slope / plain).abs() < 1e-13, "{x}");
            let tilted = lattice.tilt(x).unwrap();
            assert!((tilted.ln_moment - plain.ln()).abs() < 1e-13 * (1.0 + plain.ln().abs()));
            assert!((tilted.weights.iter().sum::<f64>() - 1.0).abs() < 1e-14);
            assert!((tilted.moments().0 - slope / plain).abs() < 1e-13);
        }
    }
}
