//! Linear systems of inner products, which may be singular.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::{factor, solve};
use faer::reborrow::{Reborrow, ReborrowMut};
use faer::traits::RealField;
use faer::{MatMut, MatRef, Par};

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
    factor(a.rb_mut())?;
    solve_factored(a.rb(), rhs);
    Some(())
}

/// The Cholesky factor of `a` in its place. Only the lower triangle is read and written. None where it is not positive definite.
pub(super) fn factor<T: RealField>(a: MatMut<'_, T>) -> Option<()> {
    let (par, params) = (Par::Seq, faer::Spec::default());
    let scratch = factor::cholesky_in_place_scratch::<T>(a.nrows(), par, params);
    let mut memory = MemBuffer::new(scratch);
    let none = factor::LltRegularization::default();
    factor::cholesky_in_place(a, none, par, MemStack::new(&mut memory), params).ok()?;
    Some(())
}

/// Solves with a factor of [`factor`] in the place of `rhs`.
pub(super) fn solve_factored<T: RealField>(factor: MatRef<'_, T>, rhs: MatMut<'_, T>) {
    solve::solve_in_place(factor, rhs, Par::Seq, MemStack::new(&mut []));
}
