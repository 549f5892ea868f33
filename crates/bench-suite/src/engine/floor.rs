//! What the machine could do: the speed of its matrix product, and of the noise.

use candle_core::{DType, Device, Tensor};
use tensor_tree::Key;
use tensor_tree::host::Level;

use super::Shape;
use crate::error::Result;
use crate::machine::cpu_seconds;

impl Shape {
    /// Floating point operations of the products of one ordinary step: twice the forward pass for the backward
    /// pass, less the input gradient of the first layer.
    #[must_use]
    pub fn flops(&self) -> f64 {
        let pairs = |sizes: &[(usize, usize)], rows: usize| -> f64 {
            let all: usize = sizes.iter().map(|(d, p)| d * p).sum();
            let first = sizes.first().map_or(0, |(d, p)| d * p);
            2.0 * rows as f64 * (3.0 * all as f64 - first as f64)
        };
        match self {
            Shape::Mlp { batch, sizes } => {
                let sizes: Vec<_> = sizes.windows(2).map(|w| (w[0], w[1])).collect();
                pairs(&sizes, *batch)
            }
            Shape::Cnn { batch } => {
                let conv1 = pairs(&[(9, 32)], batch * 28 * 28);
                let conv2 = 3.0 * 2.0 * (batch * 14 * 14 * 9 * 32 * 64) as f64;
                let dense = 3.0 * 2.0 * (batch * (7 * 7 * 64 * 128 + 128 * 10)) as f64;
                conv1 + conv2 + dense
            }
            Shape::Gpt { batch, positions, width, blocks, vocab, .. } => {
                let rows = (batch * positions) as f64;
                let linear = (blocks * 12 * width * width + width * vocab) as f64;
                // Scores and mixing, two products each of positions x positions x width; the causal half.
                let attention = (blocks * 2 * positions * width) as f64 / 2.0;
                3.0 * 2.0 * rows * (linear + attention)
            }
        }
    }
}

/// Billions of floating point operations a second that the product of two 1024 x 1024 matrices reaches, per
/// second of processor time: the best of several.
///
/// # Errors
/// From the back-end.
pub fn product_gflops() -> Result<f64> {
    let n = 1024usize;
    let zero = Tensor::zeros((n, n), DType::F32, &Device::Cpu)?;
    let a = Key::from_seed(1).normal_like(&zero)?;
    let mut best = 0.0f64;
    for _ in 0..12 {
        let start = cpu_seconds();
        let product = a.matmul(&a)?;
        let elapsed = cpu_seconds() - start;
        drop(product);
        best = best.max(2.0 * (n as f64).powi(3) / elapsed / 1e9);
    }
    Ok(best)
}

/// Nanoseconds of processor time per normal drawn, best of several, for each instruction set of this machine.
#[must_use]
pub fn noise_ns(n: usize) -> Vec<(Level, f64)> {
    let mut out = vec![0f32; n];
    let levels = [Level::Baseline, Level::V3, Level::V4];
    let mut times = Vec::new();
    for level in levels.into_iter().filter(|l| *l <= Level::detected()) {
        Level::limit(level);
        let mut best = f64::INFINITY;
        for seed in 0..7 {
            let start = cpu_seconds();
            Key::from_seed(seed).fill_normal(&mut out);
            best = best.min((cpu_seconds() - start) / n as f64 * 1e9);
        }
        times.push((level, best));
    }
    Level::limit(Level::V4);
    times
}
