//! How the gradient splits clusters of coefficients.

use super::ranks::Ranks;
use crate::pattern::Cluster;
use crate::penalty::pava;

/// A part of a cluster that moves as one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Piece {
    pub(super) members: Vec<(usize, f64)>,
    /// The magnitude it comes from.
    pub(super) size: f64,
    /// How fast its magnitude rises along the steepest descent.
    pub(super) rise: f64,
}

/// Members by falling pull, cut where a short proximal step would part them, with the rise of each part.
///
/// # Source
/// The proximal map for a vanishing step: arXiv 1407.3824, Algorithm 4, within one cluster.
fn parts(
    mut members: Vec<(usize, f64)>,
    gradient: &[f64],
    lambda: &[f64],
) -> Vec<(Vec<(usize, f64)>, f64)> {
    let pull = |m: &(usize, f64)| m.1 * gradient[m.0];
    members.sort_by(|a, b| pull(b).total_cmp(&pull(a)));
    let blocks = pava::non_increasing(members.iter().zip(lambda).map(|(m, l)| pull(m) - l));
    let ends = blocks.iter().skip(1).map(|b| b.start).chain([members.len()]);
    let cut =
        |(block, end): (&pava::Block, usize)| (members[block.start..end].to_vec(), block.mean);
    blocks.iter().zip(ends).map(cut).collect()
}

/// Joins neighbors whose rises differ by at most `enough`, and the middle where there are more than `most` cuts.
fn coarse(
    parts: Vec<(Vec<(usize, f64)>, f64)>,
    enough: f64,
    most: usize,
) -> Vec<(Vec<(usize, f64)>, f64)> {
    let mut out: Vec<(Vec<(usize, f64)>, f64)> = Vec::new();
    let n = parts.len();
    let (front, back) = (most.div_ceil(2), n - (most / 2).min(n));
    let mut joins_middle = false;
    for (i, (members, rise)) in parts.into_iter().enumerate() {
        let is_middle = most + 1 < n && front <= i && i < back;
        let last = out
            .last_mut()
            .filter(|last| (is_middle && joins_middle) || (last.1 - rise).abs() <= enough);
        if let Some((into, mean)) = last {
            let (a, b) = (into.len() as f64, members.len() as f64);
            *mean = (a * *mean + b * rise) / (a + b);
            into.extend(members);
        } else {
            out.push((members, rise));
        }
        joins_middle = is_middle;
    }
    out
}

/// All clusters, split as the gradient says into at most `most` parts more; each may at least fall in two.
pub(super) fn split(
    clusters: &[Cluster],
    gradient: &[f64],
    ranks: &Ranks<'_>,
    enough: f64,
    most: usize,
) -> Vec<Piece> {
    let mut room = most;
    let mut first = 0;
    let mut pieces = Vec::new();
    for cluster in clusters {
        let lambda = &ranks.lambda()[first..first + cluster.members.len()];
        first += cluster.members.len();
        let parts = coarse(parts(cluster.members.clone(), gradient, lambda), enough, room.max(1));
        room -= (parts.len() - 1).min(room);
        pieces.extend(parts.into_iter().map(|(mut members, rise)| {
            members.sort_by_key(|m| m.0);
            Piece { members, size: cluster.magnitude, rise }
        }));
    }
    pieces
}

/// Parts of the cluster of zeros that rise by more than `enough`, at most `most`.
pub(super) fn entering(
    b: &[f64],
    gradient: &[f64],
    ranks: &Ranks<'_>,
    enough: f64,
    most: usize,
) -> Vec<Piece> {
    let first = b.iter().filter(|b| **b != 0.0).count();
    let lambda = &ranks.lambda()[first..];
    let least = lambda.last().copied().unwrap_or(0.0);
    let zeros: Vec<(usize, f64)> = (0..b.len())
        .filter(|j| b[*j] == 0.0 && least < gradient[*j].abs())
        .map(|j| (j, gradient[j].signum()))
        .collect();
    let rising: Vec<_> = parts(zeros, gradient, lambda)
        .into_iter()
        .take_while(|(_, rise)| enough < *rise)
        .take(most)
        .collect();
    rising
        .into_iter()
        .map(|(mut members, rise)| {
            members.sort_by_key(|m| m.0);
            Piece { members, size: 0.0, rise }
        })
        .collect()
}

/// The zeros nearest to entering, each alone, at most `most`.
pub(super) fn waiting(
    pieces: &[Piece],
    b: &[f64],
    gradient: &[f64],
    ranks: &Ranks<'_>,
    most: usize,
) -> Vec<Piece> {
    let mut is_taken: Vec<bool> = b.iter().map(|b| *b != 0.0).collect();
    pieces.iter().flat_map(|p| &p.members).for_each(|(j, _)| is_taken[*j] = true);
    let least = 0.5 * ranks.lambda().last().copied().unwrap_or(0.0);
    let mut zeros: Vec<(f64, usize)> = (gradient.iter().map(|g| g.abs()).zip(0..))
        .filter(|(size, j)| !is_taken[*j] && least <= *size)
        .collect();
    if most < zeros.len() {
        if 0 < most {
            zeros.select_nth_unstable_by(most - 1, |a, b| b.0.total_cmp(&a.0));
        }
        zeros.truncate(most);
    }
    let alone = |(_, j): (f64, usize)| Piece {
        members: vec![(j, gradient[j].signum())],
        size: 0.0,
        rise: 0.0,
    };
    zeros.into_iter().map(alone).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::clusters;
    use crate::{Penalty, SortedL1};

    #[test]
    fn a_short_proximal_step_parts_clusters_alike() {
        let lambda = [2.0, 1.6, 1.5, 1.1, 0.7, 0.4, 0.3, 0.1];
        let b = [3.0, -3.0, 3.0, 0.0, 1.0, 0.0, 1.0, 0.0];
        let gradient = [1.0, -2.5, 1.8, 0.6, 0.2, -0.5, 1.9, 0.05];
        let ranks = Ranks::new(&lambda);
        let mut pieces = split(&clusters(&b), &gradient, &ranks, 1e-12, 10);
        pieces.extend(entering(&b, &gradient, &ranks, 1e-12, 10));
        let step = 1e-6;
        let mut near: Vec<f64> = b.iter().zip(&gradient).map(|(b, g)| b + step * g).collect();
        SortedL1::new(lambda).unwrap().prox(&mut near, step).unwrap();
        let mut seen = 0;
        for piece in &pieces {
            for (j, sign) in &piece.members {
                let moved = (sign * near[*j] - piece.size) / step;
                assert!((moved - piece.rise).abs() < 1e-8, "{j}: {moved} and {}", piece.rise);
                seen += 1;
            }
        }
        assert_eq!(seen, near.iter().filter(|b| **b != 0.0).count());
    }

    #[test]
    fn few_parts_keep_the_ends_and_join_the_middle() {
        let parts = (0..6).map(|i| (vec![(i, 1.0)], 5.0 - i as f64)).collect();
        let ends: Vec<usize> =
            coarse(parts, 0.1, 3).iter().map(|(members, _)| members.len()).collect();
        assert_eq!(ends, [1, 1, 3, 1]);
    }
}
