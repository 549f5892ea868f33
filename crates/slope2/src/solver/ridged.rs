//! Linear systems of inner products, which may be singular.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::{factor, solve};
use faer::reborrow::{Reborrow, ReborrowMut};
use faer::{MatMut, Par};

/// Solves `(A + ridge) x = b` for each column `b` of `rhs`, which becomes `x`, by a Cholesky factorisation in the place of `a`.
/// Only the lower triangle of `a` is read. The ridge is `relative` times the largest entry of the diagonal.
///
/// None where `a` is not positive definite even so; both are of no use then.
pub(super) fn solve_ridged(
    mut a: MatMut<'_, f64>,
    relative: f64,
    rhs: MatMut<'_, f64>,
) -> Option<()> {
    let m = a.nrows();
    let top = (0..m).map(|i| a[(i, i)]).fold(0.0, f64::max);
    (0..m).for_each(|i| a[(i, i)] += relative * top);
    let par = Par::Seq;
    let params = faer::Spec::default();
    let mut memory = MemBuffer::new(factor::cholesky_in_place_scratch::<f64>(m, par, params));
    let stack = MemStack::new(&mut memory);
    let none = factor::LltRegularization::default();
    factor::cholesky_in_place(a.rb_mut(), none, par, stack, params).ok()?;
    solve::solve_in_place(a.rb(), rhs, par, stack);
    Some(())
}
