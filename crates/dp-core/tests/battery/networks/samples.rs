//! Samples that every network can take something of.

use candle_core::{DType, Device, Tensor};
use tape_nn::Result;
use tensor_tree::{Key, Label};

/// Sizes of a network and of its samples.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// Positions.
    pub(crate) t: usize,
    /// Features of a position; even.
    pub(crate) d: usize,
    /// Tokens.
    pub(crate) v: usize,
    /// Classes.
    pub(crate) c: usize,
}

/// How the tokens of a sample are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Tokens {
    Random,
    AllEqual,
    PaddingOnly,
}

/// One sample; every network uses some of it.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// `[t, d]`.
    pub(crate) x: Vec<f64>,
    /// `t + 1` of them.
    pub(crate) tokens: Vec<i64>,
    /// A class for each position.
    pub(crate) y: Vec<i64>,
    pub(crate) id: u64,
    /// The loss is multiplied by it: 1, or NaN to poison the sample there.
    pub(crate) poison: f64,
}

impl Sample {
    pub(crate) fn new(seed: u64, s: Sizes, tokens: Tokens) -> Sample {
        let key = Key::from_seed(seed);
        let mut x = vec![0.0; s.t * s.d];
        key.fill_normal(&mut x);
        let draw = |n: usize, below: usize, step: u64| -> Vec<i64> {
            let mut u = vec![0f64; n];
            key.child(Label::Step(step)).fill_uniform(&mut u);
            u.iter().map(|u| (u * below as f64).floor() as i64).collect()
        };
        let mut ids = draw(s.t + 1, s.v, 1);
        match tokens {
            Tokens::Random => {}
            Tokens::AllEqual => ids.fill(1),
            Tokens::PaddingOnly => ids.fill(0),
        }
        Sample { x, tokens: ids, y: draw(s.t, s.c, 2), id: seed, poison: 1.0 }
    }
}

/// A batch of samples.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(super) n: usize,
    pub(super) x: Tensor,
    pub(super) tokens: Tensor,
    pub(super) y: Tensor,
    pub(super) ids: Vec<u64>,
    pub(super) poison: Tensor,
}

impl Batch {
    pub(crate) fn new(samples: &[Sample], s: Sizes, dtype: DType) -> Batch {
        let n = samples.len();
        let cpu = &Device::Cpu;
        let floats = |v: Vec<f64>, shape: &[usize]| {
            Tensor::from_vec(v, shape, cpu).unwrap().to_dtype(dtype).unwrap()
        };
        let ints = |v: Vec<i64>, width: usize| Tensor::from_vec(v, (n, width), cpu).unwrap();
        let all = |f: fn(&Sample) -> &Vec<i64>| samples.iter().flat_map(f).copied().collect();
        Batch {
            n,
            x: floats(samples.iter().flat_map(|s| s.x.clone()).collect(), &[n, s.t, s.d]),
            tokens: ints(all(|s| &s.tokens), s.t + 1),
            y: ints(all(|s| &s.y), s.t),
            ids: samples.iter().map(|s| s.id).collect(),
            poison: floats(samples.iter().map(|s| s.poison).collect(), &[n]),
        }
    }

    pub(super) fn part(t: &Tensor, from: usize, len: usize) -> Result<Tensor> {
        Ok(t.narrow(1, from, len)?.contiguous()?)
    }

    pub(super) fn before(&self) -> Result<Tensor> {
        Self::part(&self.tokens, 0, self.tokens.dims()[1] - 1)
    }

    pub(super) fn next(&self) -> Result<Tensor> {
        Self::part(&self.tokens, 1, self.tokens.dims()[1] - 1)
    }

    /// One class for the whole sample.
    pub(super) fn class(&self) -> Result<Tensor> {
        Ok(self.y.narrow(1, 0, 1)?.contiguous()?.squeeze(1)?)
    }

    /// `[n, channels, t, d / channels]`.
    pub(super) fn image(&self, channels: usize) -> Result<Tensor> {
        let (n, t, d) = self.x.dims3()?;
        let split = self.x.reshape((n, t, channels, d / channels))?;
        Ok(split.transpose(1, 2)?.contiguous()?)
    }
}
