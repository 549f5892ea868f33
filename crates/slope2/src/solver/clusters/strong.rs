//! Which features may be expected to stay zero.

use super::ranks::Ranks;

/// Columns that are not expected to be zero at the solution, from the gradient at `b`, with all that are not zero now.
///
/// `b` is taken for the solution of the penalty that is larger by the dual norm of its gradient. Where that is more than
/// twice the penalty, the rule keeps all. It may be wrong, so the full gradient has the last word.
///
/// # Source
/// The strong rule for SLOPE, arXiv 2005.03730, Algorithm 1.
pub(super) fn kept(gradient: &[f64], ranks: &Ranks<'_>, b: &[f64]) -> Vec<usize> {
    let lambda = ranks.lambda();
    let mut order: Vec<(f64, usize)> = gradient.iter().map(|g| g.abs()).zip(0..).collect();
    order.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let before = ranks.dual_norm(order.iter().map(|(size, _)| *size)).max(1.0);
    let (mut n_kept, mut sum) = (0, 0.0);
    if before < 2.0 {
        for (i, ((size, _), l)) in order.iter().zip(lambda).enumerate() {
            sum += size + before * l - 2.0 * l;
            if 0.0 <= sum {
                (n_kept, sum) = (i + 1, 0.0);
            }
        }
    } else {
        n_kept = order.len();
    }
    let mut is_kept: Vec<bool> = b.iter().map(|b| *b != 0.0).collect();
    order[..n_kept].iter().for_each(|(_, j)| is_kept[*j] = true);
    (0..b.len()).filter(|j| is_kept[*j]).collect()
}
