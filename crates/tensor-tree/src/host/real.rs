//! The two element types kernels are written for.

use candle_core::{DType, WithDType};

/// `f32` or `f64`, with the arithmetic that kernels need.
pub trait Real:
    WithDType
    + std::fmt::Debug
    + Default
    + std::ops::Neg<Output = Self>
    + std::iter::Sum
    + gemm_bound::Sealed
{
    /// One.
    const ONE: Self;
    /// Square root, correctly rounded.
    #[must_use]
    fn root(self) -> Self;
    /// `e^self`: for `f32` a branch-free polynomial (relative error below 2e-7) that loops vectorise.
    #[must_use]
    fn exponential(self) -> Self;
    /// The larger of the two; the second if the first is not a number.
    #[must_use]
    fn larger(self, other: Self) -> Self;
    /// Whether neither infinite nor NaN.
    fn finite(self) -> bool;
    /// From a double, rounded.
    #[must_use]
    fn of(value: f64) -> Self;
    /// As a double, exact.
    #[must_use]
    fn double(self) -> f64;
}

mod gemm_bound {
    /// Closes [`super::Real`] to other types.
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

impl Real for f32 {
    const ONE: f32 = 1.0;
    #[inline(always)]
    fn root(self) -> f32 {
        self.sqrt()
    }
    #[inline(always)]
    fn exponential(self) -> f32 {
        // exp(x) = 2^k exp(r), k = round(x / ln 2), |r| <= ln 2 / 2; ln 2 in two parts.
        const MAGIC: f32 = 12_582_912.0; // 1.5 * 2^23: adding it rounds to an integer
        let x = if self > 88.72 { 88.72 } else { self };
        let x = if x < -104.0 { -104.0 } else { x };
        let shifted = x * std::f32::consts::LOG2_E + MAGIC;
        let k = shifted - MAGIC;
        let r = x - k * 0.693_359_4 - k * -2.121_944_4e-4;
        let mut p = 1.987_569_1e-4;
        p = p * r + 1.398_199_9e-3;
        p = p * r + 8.333_452e-3;
        p = p * r + 4.166_579_6e-2;
        p = p * r + 1.666_666_5e-1;
        p = p * r + 5e-1;
        let y = p * r * r + r + 1.0;
        // 2^k in two factors, so that results below the smallest normal number are still rounded well.
        #[allow(clippy::cast_possible_truncation, reason = "|k| <= 150 by the clamps above")]
        let k = k as i32;
        let half = k >> 1;
        let a = f32::from_bits(((half + 127) << 23) as u32);
        let b = f32::from_bits(((k - half + 127) << 23) as u32);
        let y = y * a * b;
        if self.is_nan() { self } else { y }
    }
    #[inline(always)]
    fn larger(self, other: f32) -> f32 {
        if self > other { self } else { other }
    }
    #[inline(always)]
    fn finite(self) -> bool {
        self.is_finite()
    }
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation, reason = "rounding is the purpose")]
    fn of(value: f64) -> f32 {
        value as f32
    }
    #[inline(always)]
    fn double(self) -> f64 {
        f64::from(self)
    }
}

impl Real for f64 {
    const ONE: f64 = 1.0;
    #[inline(always)]
    fn root(self) -> f64 {
        self.sqrt()
    }
    #[inline(always)]
    fn exponential(self) -> f64 {
        libm::exp(self)
    }
    #[inline(always)]
    fn larger(self, other: f64) -> f64 {
        if self > other { self } else { other }
    }
    #[inline(always)]
    fn finite(self) -> bool {
        self.is_finite()
    }
    #[inline(always)]
    fn of(value: f64) -> f64 {
        value
    }
    #[inline(always)]
    fn double(self) -> f64 {
        self
    }
}

/// Whether kernels exist for a data type.
#[must_use]
pub(crate) fn has_kernels(dtype: DType) -> bool {
    matches!(dtype, DType::F32 | DType::F64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_f32_exponential_agrees_with_the_exact_one() {
        let mut worst = 0.0f64;
        for i in -8700..8850 {
            let x = i as f32 * 0.01 + 0.001;
            let exact = f64::from(x).exp();
            worst = worst.max((f64::from(x.exponential()) / exact - 1.0).abs());
        }
        assert!(worst < 2e-7, "relative error {worst}");
        assert_eq!(0f32.exponential(), 1.0);
        assert_eq!((-200f32).exponential(), 0.0);
        assert!(f32::NAN.exponential().is_nan());
        assert_eq!(f32::NEG_INFINITY.exponential(), 0.0);
    }
}
