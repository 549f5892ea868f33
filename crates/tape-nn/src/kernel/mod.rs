//! Kernels on contiguous slices, and matrix products.

pub(crate) mod activation;
pub(crate) mod attention;
pub(crate) mod conv;
pub(crate) mod gram;
pub(crate) mod group_norm;
pub(crate) mod norm;
pub(crate) mod pairs;
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

/// As [`map_indices`], with scratch memory that consecutive indices share.
pub(crate) fn map_indices_with<R: Send, S>(
    n: usize,
    scratch: impl Fn() -> S + Sync + Send,
    f: impl Fn(&mut S, usize) -> R + Sync + Send,
) -> Vec<R> {
    if n <= 1 || rayon::current_num_threads() == 1 {
        let mut s = scratch();
        (0..n).map(|i| f(&mut s, i)).collect()
    } else {
        (0..n).into_par_iter().map_init(scratch, f).collect()
    }
}

/// As [`for_pieces`], in parallel from two pieces on, with scratch memory that consecutive pieces share.
pub(crate) fn for_pieces_with<T: Send, S>(
    out: &mut [T],
    size: usize,
    scratch: impl Fn() -> S + Sync + Send,
    f: impl Fn(&mut S, usize, &mut [T]) + Sync + Send,
) {
    if size == 0 || out.is_empty() {
        return;
    }
    let pieces = out.len().div_ceil(size);
    if pieces == 1 || rayon::current_num_threads() == 1 {
        let mut s = scratch();
        out.chunks_mut(size).enumerate().for_each(|(i, piece)| f(&mut s, i, piece));
    } else {
        out.par_chunks_mut(size)
            .with_min_len(pieces.div_ceil(4 * rayon::current_num_threads()))
            .enumerate()
            .for_each_init(scratch, |s, (i, piece)| f(s, i, piece));
    }
}

/// A copy of `start` for each companion, changed by `f(scratch, i, companion, copy)` while it is in the cache.
/// Unlike a large zeroed buffer that is written afterwards, this passes over the memory once.
pub(crate) fn filled<T: Copy + Send + Sync, K: Send, S>(
    companions: Vec<K>,
    start: &[T],
    scratch: impl Fn() -> S + Sync + Send,
    f: impl Fn(&mut S, usize, K, &mut [T]) + Sync + Send,
) -> Vec<T> {
    let (n, size) = (companions.len(), start.len());
    let mut out: Vec<T> = Vec::with_capacity(n * size);
    if n * size == 0 {
        return out;
    }
    let pieces = out.spare_capacity_mut()[..n * size].chunks_exact_mut(size);
    let pieces = pieces.zip(companions).enumerate().collect::<Vec<_>>();
    for_tasks(pieces, scratch, |s, (i, (piece, companion))| {
        f(s, i, companion, piece.write_copy_of_slice(start));
    });
    #[allow(unsafe_code)]
    // SAFETY: every piece was written from `start` above, and the pieces cover the first `n * size` elements.
    unsafe {
        out.set_len(n * size);
    }
    out
}

/// Runs `f` on each task, in parallel where there are threads, with scratch memory that tasks share.
pub(crate) fn for_tasks<K: Send, S>(
    tasks: Vec<K>,
    scratch: impl Fn() -> S + Sync + Send,
    f: impl Fn(&mut S, K) + Sync + Send,
) {
    if tasks.len() <= 1 || rayon::current_num_threads() == 1 {
        let mut s = scratch();
        tasks.into_iter().for_each(|task| f(&mut s, task));
    } else {
        tasks.into_par_iter().for_each_init(scratch, |s, task| f(s, task));
    }
}

/// Shares of a batch of `n` samples that are summed on their own and then added in order. They depend on
/// the batch and the size of one sum alone, so sums do not depend on threads.
pub(crate) fn samples_per_share(n: usize, sum_bytes: usize) -> usize {
    const SHARES: usize = 16;
    const BYTES: usize = 64 << 20;
    n.div_ceil(SHARES.min((BYTES / sum_bytes.max(1)).max(1))).max(1)
}

/// `data` in `n` equal pieces, or `n` empty ones if there is no data.
pub(crate) fn pieces_mut<T>(data: &mut [T], n: usize) -> Vec<&mut [T]> {
    let size = data.len() / n.max(1);
    if size == 0 {
        (0..n).map(|_| <&mut [T]>::default()).collect()
    } else {
        data.chunks_mut(size).take(n).collect()
    }
}
