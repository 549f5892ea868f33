//! What coordinate descent needs of the columns of a working set.

/// A residual and a cluster, as the columns of a working set see them. Positions are those in the set.
pub(super) trait Space {
    /// Whether [`Space::q`] costs next to nothing.
    const CHEAP_READS: bool;

    /// `x_i' omega x_i`.
    fn own(&self, i: usize) -> f64;
    /// `x_i' omega r`.
    fn q(&self, i: usize) -> f64;
    /// `x_i' omega x~`, with `x~` the sum of the signed columns of the cluster.
    fn t(&self, i: usize) -> f64;
    /// The coefficient `i` grows by `by`.
    fn shift(&mut self, i: usize, by: f64);
    /// All members of the cluster grow by `by`.
    fn raise(&mut self, by: f64);
    /// The signed column `i` joins the cluster; with minus its sign it leaves.
    fn join(&mut self, i: usize, sign: f64);
    /// The cluster has no members any more.
    fn dissolve(&mut self);
    /// The joint Newton step of the coefficients `free` and, if there is a cluster that moves, its height. `wanted` is minus the
    /// gradient for each, `tt` the curvature of the height. None where it cannot be had.
    fn newton(
        &mut self,
        free: &[usize],
        wanted: &[f64],
        cluster: Option<Pull>,
        enough: f64,
    ) -> Option<(Vec<f64>, f64)>;
    /// `d' X_F' omega X_F d` for a direction of the coefficients `free`, which [`Space::go`] can follow.
    fn aim(&mut self, free: &[usize], d: &[f64]) -> f64;
    /// The coefficients grow by `length` times the direction.
    fn go(&mut self, length: f64);
}

/// Minus the gradient of the objective in the height, and its curvature.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pull {
    pub(super) wanted: f64,
    pub(super) tt: f64,
}
