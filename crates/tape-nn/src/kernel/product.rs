//! Matrix products on strided slices.

use tensor_tree::host::Real;

/// A matrix that is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mat<'a, T> {
    data: &'a [T],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a, T> Mat<'a, T> {
    /// `rows x cols` in row-major order.
    pub(crate) fn new(data: &'a [T], rows: usize, cols: usize) -> Self {
        Mat { data, rows, cols, row_stride: cols, col_stride: 1 }
    }

    /// Rows that lie `stride` elements apart.
    pub(crate) fn strided(data: &'a [T], rows: usize, cols: usize, stride: usize) -> Self {
        Mat { data, rows, cols, row_stride: stride, col_stride: 1 }
    }

    /// The transposed matrix, without a copy.
    pub(crate) fn t(self) -> Self {
        Mat {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }

    fn fits(&self) -> bool {
        self.rows == 0
            || self.cols == 0
            || (self.rows - 1) * self.row_stride + (self.cols - 1) * self.col_stride
                < self.data.len()
    }
}

/// A matrix that is written, rows `stride` elements apart.
#[derive(Debug)]
pub(crate) struct MatMut<'a, T> {
    data: &'a mut [T],
    rows: usize,
    cols: usize,
    row_stride: usize,
}

impl<'a, T> MatMut<'a, T> {
    /// `rows x cols` in row-major order.
    pub(crate) fn new(data: &'a mut [T], rows: usize, cols: usize) -> Self {
        MatMut { data, rows, cols, row_stride: cols }
    }

    /// Rows that lie `stride` elements apart.
    pub(crate) fn strided(data: &'a mut [T], rows: usize, cols: usize, stride: usize) -> Self {
        MatMut { data, rows, cols, row_stride: stride }
    }
}

/// Whether a product may use all threads of the pool, or runs inside a task of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Threads {
    /// This thread only: for products inside parallel loops.
    One,
    /// All threads. The product's rows and columns are shared out, never its sums, so the result is the same.
    All,
}

/// `dst = keep * dst + alpha * lhs * rhs`.
///
/// # Panics
/// If the shapes do not fit, which is an error of this crate and not of its user.
pub(crate) fn product<T: Real>(
    dst: MatMut<'_, T>,
    keep: bool,
    lhs: Mat<'_, T>,
    rhs: Mat<'_, T>,
    alpha: T,
    threads: Threads,
) {
    let (m, n, k) = (dst.rows, dst.cols, lhs.cols);
    assert!(lhs.rows == m && rhs.cols == n && rhs.rows == k, "shapes of a product");
    assert!(lhs.fits() && rhs.fits(), "sources of a product");
    if m == 0 || n == 0 {
        return;
    }
    assert!((m - 1) * dst.row_stride + n <= dst.data.len(), "target of a product");
    if k == 0 {
        if !keep {
            for row in dst.data.chunks_mut(dst.row_stride).take(m) {
                row[..n].fill(T::default());
            }
        }
        return;
    }
    let target = dst.data.as_mut_ptr();
    #[allow(unsafe_code)]
    // SAFETY: the assertions above keep every access inside the three slices; the target is borrowed
    // mutably and so does not overlap the sources; strides of a row-major target do not alias rows.
    unsafe {
        multiply((target, dst.row_stride), keep, lhs, rhs, alpha, threads);
    }
}

/// Calls the kernel.
///
/// # Safety
/// `lhs.rows` rows of `rhs.cols` elements must be writable at the target and row stride given (and
/// initialised, if they are kept), and overlap with neither source; the sources must fit their slices.
#[allow(unsafe_code)]
unsafe fn multiply<T: Real>(
    (target, row_stride): (*mut T, usize),
    keep: bool,
    lhs: Mat<'_, T>,
    rhs: Mat<'_, T>,
    alpha: T,
    threads: Threads,
) {
    let parallel = match threads {
        Threads::All if 1 < rayon::current_num_threads() => gemm::Parallelism::Rayon(0),
        _ => gemm::Parallelism::None,
    };
    let s = |x: usize| isize::try_from(x).unwrap_or(isize::MAX);
    // SAFETY: as the caller promises.
    unsafe {
        gemm::gemm(
            lhs.rows,
            rhs.cols,
            lhs.cols,
            target,
            1,
            s(row_stride),
            keep,
            lhs.data.as_ptr(),
            s(lhs.col_stride),
            s(lhs.row_stride),
            rhs.data.as_ptr(),
            s(rhs.col_stride),
            s(rhs.row_stride),
            T::ONE,
            alpha,
            false,
            false,
            false,
            parallel,
        );
    }
}

/// `alpha * lhs * rhs` in row-major order, in memory that is not cleared first, which for large products saves as
/// much time as copying them.
///
/// # Panics
/// If the shapes do not fit, which is an error of this crate and not of its user.
pub(crate) fn fresh_product<T: Real>(
    lhs: Mat<'_, T>,
    rhs: Mat<'_, T>,
    alpha: T,
    threads: Threads,
) -> Vec<T> {
    assert!(lhs.cols == rhs.rows, "shapes of a product");
    assert!(lhs.fits() && rhs.fits(), "sources of a product");
    let len = lhs.rows * rhs.cols;
    if lhs.cols == 0 || len == 0 {
        return vec![T::default(); len];
    }
    let mut out: Vec<T> = Vec::with_capacity(len);
    let target = out.spare_capacity_mut().as_mut_ptr().cast::<T>();
    #[allow(unsafe_code)]
    // SAFETY: the assertions above keep every access inside the slices; the target has room for `len` elements,
    // is this function's own, and is written without being read since nothing is kept.
    unsafe {
        multiply((target, rhs.cols), false, lhs, rhs, alpha, threads);
        out.set_len(len);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(n: usize, seed: u64) -> Vec<f64> {
        let mut out = vec![0.0; n];
        tensor_tree::Key::from_seed(seed).fill_normal(&mut out);
        out
    }

    #[test]
    fn products_agree_with_three_loops() {
        for (m, n, k) in [(1, 1, 1), (3, 5, 7), (17, 33, 65), (4, 4, 0)] {
            let (a, b) = (numbers(m * k, 1), numbers(n * k, 2));
            let mut c = numbers(m * n, 3);
            let start = c.clone();
            let (lhs, rhs) = (Mat::new(&a, m, k), Mat::new(&b, n, k).t());
            product(MatMut::new(&mut c, m, n), true, lhs, rhs, 0.5, Threads::All);
            for i in 0..m {
                for j in 0..n {
                    let sum: f64 = (0..k).map(|l| a[i * k + l] * b[j * k + l]).sum();
                    let want = start[i * n + j] + 0.5 * sum;
                    assert!((c[i * n + j] - want).abs() < 1e-12 * (1.0 + want.abs()));
                }
            }
        }
    }

    #[test]
    fn products_in_fresh_memory_are_the_same() {
        for (m, n, k) in [(5, 7, 9), (33, 2, 40), (3, 4, 0), (0, 3, 2), (1, 1, 1)] {
            let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
            let (lhs, rhs) = (Mat::new(&a, m, k), Mat::new(&b, k, n));
            let mut want = vec![f64::NAN; m * n];
            product(MatMut::new(&mut want, m, n), false, lhs, rhs, 2.0, Threads::One);
            assert_eq!(fresh_product(lhs, rhs, 2.0, Threads::One), want);
        }
    }

    #[test]
    fn products_do_not_depend_on_the_number_of_threads() {
        let (m, n, k) = (517, 263, 1300);
        let to32 = |v: Vec<f64>| v.into_iter().map(|x| x as f32).collect::<Vec<_>>();
        let (a, b) = (to32(numbers(m * k, 1)), to32(numbers(n * k, 2)));
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut c = vec![0f32; m * n];
            pool.install(|| {
                let (lhs, rhs) = (Mat::new(&a, m, k), Mat::new(&b, n, k).t());
                product(MatMut::new(&mut c, m, n), false, lhs, rhs, 1.0, Threads::All);
            });
            c
        };
        let one = run(1);
        for threads in [2, 3, 4] {
            assert!(one.iter().zip(&run(threads)).all(|(x, y)| x.to_bits() == y.to_bits()));
        }
    }
}
