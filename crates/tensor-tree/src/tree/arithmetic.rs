//! Sums, multiples and inner products of trees, one pass per output leaf.

use candle_core::{DType, Tensor};

use crate::error::Result;
use crate::host::{Host, Real, for_chunks, from_vec, sum_chunks};
use crate::rate::Rates;
use crate::tree::Tree;

impl Tree {
    /// `alpha * self`.
    ///
    /// # Errors
    /// From the back-end.
    pub fn scale(&self, alpha: f64) -> Result<Tree> {
        self.map(|_, leaf| scale(leaf, alpha))
    }

    /// `self + alpha * other`.
    ///
    /// # Errors
    /// As [`Tree::check_like`].
    pub fn add_scaled(&self, alpha: f64, other: &Tree) -> Result<Tree> {
        self.zip_map(other, |a, b| lin_comb(1.0, a, alpha, b))
    }

    /// `alpha * self + beta * other`.
    ///
    /// # Errors
    /// As [`Tree::check_like`].
    pub fn lin_comb(&self, alpha: f64, beta: f64, other: &Tree) -> Result<Tree> {
        self.zip_map(other, |a, b| lin_comb(alpha, a, beta, b))
    }

    /// The inner product over all leaves, accumulated in `f64` in a fixed order.
    ///
    /// # Errors
    /// As [`Tree::check_like`].
    pub fn dot(&self, other: &Tree) -> Result<f64> {
        self.check_like(other)?;
        let mut sum = 0.0;
        for (name, leaf) in self.iter() {
            sum += dot(leaf, other.leaf(name)?)?;
        }
        Ok(sum)
    }

    /// The Euclidean norm over all leaves, accumulated in `f64`.
    ///
    /// # Errors
    /// From the back-end.
    pub fn norm(&self) -> Result<f64> {
        let mut sum = 0.0;
        for (_, leaf) in self.iter() {
            sum += dot(leaf, leaf)?;
        }
        Ok(sum.sqrt())
    }

    /// Whether every element is finite.
    ///
    /// # Errors
    /// From the back-end.
    pub fn is_finite(&self) -> Result<bool> {
        for (_, leaf) in self.iter() {
            let ok = match leaf.dtype() {
                DType::F64 => all_finite::<f64>(leaf)?,
                DType::F32 => all_finite::<f32>(leaf)?,
                _ => all_finite::<f32>(&leaf.to_dtype(DType::F32)?)?,
            };
            if !ok {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// `self - rate * direction`, each leaf with the rate of its group. A leaf with a rate of 0 is the leaf itself, not a copy,
    /// whatever the direction.
    ///
    /// # Errors
    /// As [`Tree::check_like`], or if a leaf has no rate.
    pub fn descend(&self, direction: &Tree, rates: &Rates) -> Result<Tree> {
        self.check_like(direction)?;
        self.map(|name, leaf| match rates.of(name)? {
            0.0 => Ok(leaf.clone()),
            rate => lin_comb(1.0, leaf, -rate, direction.leaf(name)?),
        })
    }
}

fn on_host(a: &Tensor) -> bool {
    a.device().is_cpu() && crate::host::has_kernels(a.dtype())
}

fn scale(a: &Tensor, alpha: f64) -> Result<Tensor> {
    fn typed<T: Real>(a: &Tensor, alpha: f64) -> Result<Tensor> {
        let host = Host::of(a)?;
        let view = host.view();
        let x = view.slice::<T>()?;
        let mut out = vec![T::default(); x.len()];
        let alpha = T::of(alpha);
        for_chunks(&mut out, |start, o| {
            let x = &x[start..start + o.len()];
            scale_kernel(o, x, alpha);
        });
        from_vec(out, a.shape())
    }
    match a.dtype() {
        DType::F32 if on_host(a) => typed::<f32>(a, alpha),
        DType::F64 if on_host(a) => typed::<f64>(a, alpha),
        _ => Ok((a * alpha)?),
    }
}

fn lin_comb(alpha: f64, a: &Tensor, beta: f64, b: &Tensor) -> Result<Tensor> {
    fn typed<T: Real>(alpha: f64, a: &Tensor, beta: f64, b: &Tensor) -> Result<Tensor> {
        let (ha, hb) = (Host::of(a)?, Host::of(b)?);
        let (va, vb) = (ha.view(), hb.view());
        let (x, y) = (va.slice::<T>()?, vb.slice::<T>()?);
        let mut out = vec![T::default(); x.len()];
        let (alpha, beta) = (T::of(alpha), T::of(beta));
        for_chunks(&mut out, |start, o| {
            let (x, y) = (&x[start..start + o.len()], &y[start..start + o.len()]);
            lin_comb_kernel(o, x, y, alpha, beta);
        });
        from_vec(out, a.shape())
    }
    match (a.dtype(), b.dtype()) {
        (DType::F32, DType::F32) if on_host(a) && on_host(b) => typed::<f32>(alpha, a, beta, b),
        (DType::F64, DType::F64) if on_host(a) && on_host(b) => typed::<f64>(alpha, a, beta, b),
        // Halves are rounded once, at the end.
        (DType::F16 | DType::BF16, _) => {
            let (x, y) = (a.to_dtype(DType::F32)?, b.to_dtype(DType::F32)?);
            Ok(((x * alpha)? + (y * beta)?)?.to_dtype(a.dtype())?)
        }
        _ => Ok(((a * alpha)? + (b.to_dtype(a.dtype())? * beta)?)?),
    }
}

fn dot(a: &Tensor, b: &Tensor) -> Result<f64> {
    fn typed<T: Real>(a: &Tensor, b: &Tensor) -> Result<f64> {
        let (ha, hb) = (Host::of(a)?, Host::of(b)?);
        let (va, vb) = (ha.view(), hb.view());
        let (x, y) = (va.slice::<T>()?, vb.slice::<T>()?);
        Ok(sum_chunks(x.len(), |from, to| dot_kernel(&x[from..to], &y[from..to])))
    }
    match (a.dtype(), b.dtype()) {
        (DType::F32, DType::F32) => typed::<f32>(a, b),
        (DType::F64, DType::F64) => typed::<f64>(a, b),
        _ => typed::<f64>(&a.to_dtype(DType::F64)?, &b.to_dtype(DType::F64)?),
    }
}

fn all_finite<T: Real>(a: &Tensor) -> Result<bool> {
    let host = Host::of(a)?;
    let view = host.view();
    Ok(finite_kernel(view.slice::<T>()?))
}

crate::kernels! {
    fn scale_kernel<T: Real>(out: &mut [T], x: &[T], alpha: T) {
        for (o, x) in out.iter_mut().zip(x) {
            *o = alpha * *x;
        }
    }

    fn lin_comb_kernel<T: Real>(out: &mut [T], x: &[T], y: &[T], alpha: T, beta: T) {
        for ((o, x), y) in out.iter_mut().zip(x).zip(y) {
            *o = alpha * *x + beta * *y;
        }
    }

    /// Whether all are finite. Blocks without an early end are looked at many values at once.
    fn finite_kernel<T: Real>(x: &[T]) -> bool {
        x.chunks(1024).all(|block| block.iter().fold(true, |all, x| all & x.finite()))
    }

    /// Sixteen partial sums in `f64`, added in a fixed order.
    pub(crate) fn dot_kernel<T: Real>(x: &[T], y: &[T]) -> f64 {
        let mut lanes = [0f64; 16];
        let (xs, ys) = (x.chunks_exact(16), y.chunks_exact(16));
        let (rest_x, rest_y) = (xs.remainder(), ys.remainder());
        for (a, b) in xs.zip(ys) {
            for l in 0..16 {
                lanes[l] += a[l].double() * b[l].double();
            }
        }
        for (l, (a, b)) in rest_x.iter().zip(rest_y).enumerate() {
            lanes[l] += a.double() * b.double();
        }
        let mut width = 8;
        while 0 < width {
            for l in 0..width {
                lanes[l] += lanes[l + width];
            }
            width /= 2;
        }
        lanes[0]
    }
}
