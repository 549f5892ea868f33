//! Kernels on contiguous slices, and matrix products.

pub(crate) mod activation;
pub(crate) mod gram;
pub(crate) mod product;
pub(crate) mod softmax;

use rayon::prelude::*;

/// Runs `f(i, piece)` on the pieces of `out` of `size` elements, in parallel where that pays.
///
/// Each piece is written by one task from inputs alone, so results do not depend on threads.
pub(crate) fn for_pieces<T: Send>(out: &mut [T], size: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    if size == 0 {
        return;
    }
    if out.len() <= size || out.len() < 32 * 1024 || rayon::current_num_threads() == 1 {
        out.chunks_mut(size).enumerate().for_each(|(i, piece)| f(i, piece));
    } else {
        out.par_chunks_mut(size).enumerate().for_each(|(i, piece)| f(i, piece));
    }
}

/// Maps `0..n`, in parallel where there are threads; the results are in order.
pub(crate) fn map_indices<R: Send>(n: usize, f: impl Fn(usize) -> R + Sync + Send) -> Vec<R> {
    if n <= 1 || rayon::current_num_threads() == 1 {
        (0..n).map(f).collect()
    } else {
        (0..n).into_par_iter().map(f).collect()
    }
}
