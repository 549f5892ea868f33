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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_level_keeps_what_the_rule_of_the_lasso_keeps() {
        let gradient = [1.2, -0.75, 0.81, 0.2, -1.1, 0.0];
        let ranks = Ranks::new(&[1.0; 6]);
        // |g| >= 2 lambda - 1.2 lambda.
        assert_eq!(kept(&gradient, &ranks, &[0.0; 6]), [0, 2, 4]);
        assert_eq!(kept(&gradient, &ranks, &[0.0, 0.0, 0.0, 1.0, 0.0, 0.0]), [0, 2, 3, 4]);
    }

    #[test]
    fn far_from_the_penalty_everything_is_kept() {
        assert_eq!(kept(&[2.0, 0.0, 0.1], &Ranks::new(&[1.0, 0.5, 0.5]), &[0.0; 3]), [0, 1, 2]);
    }
}
