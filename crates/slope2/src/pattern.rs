//! The pattern of a solution: which coefficients share a magnitude, and with which signs.

/// Coefficients of one magnitude.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// The magnitude, positive.
    pub magnitude: f64,
    /// The coefficients, in order, each with its sign.
    pub members: Vec<(usize, f64)>,
}

/// The clusters of non-zero coefficients, magnitudes from large to small. Magnitudes are compared bit by bit, as solvers of
/// this crate leave members of a cluster exactly equal.
///
/// # Examples
/// ```
/// let clusters = slope2::clusters(&[0.5, 0.0, -2.0, -0.5]);
/// assert_eq!(clusters[0].members, [(2, -1.0)]);
/// assert_eq!(clusters[1].members, [(0, 1.0), (3, -1.0)]);
/// ```
#[must_use]
pub fn clusters(coefficients: &[f64]) -> Vec<Cluster> {
    let mut order: Vec<usize> =
        (0..coefficients.len()).filter(|j| coefficients[*j] != 0.0).collect();
    // Stable, so that members stay in order.
    order.sort_by(|a, b| coefficients[*b].abs().total_cmp(&coefficients[*a].abs()));
    let mut clusters: Vec<Cluster> = Vec::new();
    for j in order {
        let (magnitude, sign) = (coefficients[j].abs(), coefficients[j].signum());
        match clusters.last_mut() {
            Some(last) if last.magnitude == magnitude => last.members.push((j, sign)),
            _ => clusters.push(Cluster { magnitude, members: vec![(j, sign)] }),
        }
    }
    clusters
}

/// Number of distinct non-zero magnitudes: the degrees of freedom of a SLOPE fit with Gaussian noise.
///
/// # Source
/// arXiv 1407.3824 for the norm; unbiased as an estimate of the degrees of freedom by Stein's identity.
#[must_use]
pub fn n_clusters(coefficients: &[f64]) -> usize {
    let mut sizes: Vec<f64> = coefficients.iter().map(|b| b.abs()).filter(|b| 0.0 < *b).collect();
    sizes.sort_by(f64::total_cmp);
    sizes.dedup();
    sizes.len()
}
