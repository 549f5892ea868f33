//! What a layer leaves on the tape, and how per-sample norms and weighted sums come out of it.

pub(crate) mod deferred;
mod grad;
mod grads;
mod kept;
mod linear;
mod norms;
mod rows;
mod table;

use std::sync::Arc;

use candle_core::{DType, Shape, Tensor};
use tensor_tree::host::{Host, Real, from_vec};

use crate::error::{Error, Result};
use crate::head::SoftmaxHead;
use crate::kernel::gram::accumulate;
use deferred::Deferred;
use grad::Grad;

pub use grads::TapeGrads;
pub(crate) use grads::sums;

/// Name of a leaf.
pub(crate) type Name = Arc<str>;

/// What one layer saw in one pass. The first axis of every tensor is the sample.
#[derive(Clone, Debug)]
pub(crate) enum Record {
    /// `y = x w^T + b`: per sample the gradient of `w` is `g^T x`, that of `b` the sum of the rows of `g`.
    Linear {
        weight: Option<Name>,
        bias: Option<Name>,
        /// `[batch, positions, inputs]`; there if the weight is wanted.
        x: Option<Tensor>,
        /// `[batch, positions, outputs]`.
        g: Tensor,
        /// Factor of each sample's `g` that was not yet applied.
        scale: Option<Arc<Vec<f64>>>,
    },
    /// As `Linear`, of the head of a network with its loss, which makes `g` when asked for it.
    Head {
        weight: Option<Name>,
        bias: Option<Name>,
        head: Arc<SoftmaxHead>,
        /// Factor of each sample's `g`.
        scale: Option<Arc<Vec<f64>>>,
    },
    /// Rows taken from a table.
    Table {
        name: Name,
        /// `batch * positions` row numbers.
        rows: Arc<Vec<u32>>,
        /// A row that never gets a gradient.
        padding: Option<u32>,
        /// `[batch, positions, width]`.
        g: Tensor,
        /// Rows of the table.
        n_rows: usize,
    },
    /// The per-sample gradients themselves, `[batch, ...leaf]`.
    Kept { name: Name, grads: Tensor },
    /// Per-sample gradients in a form that the layer knows.
    Deferred { name: Name, grads: Arc<dyn Deferred> },
}

/// One way in which a record contributes to a leaf.
#[derive(Clone, Copy, Debug)]
enum Use<'a> {
    Weight { x: &'a Tensor, g: Grad<'a>, scale: Option<&'a Arc<Vec<f64>>> },
    Bias { g: Grad<'a>, scale: Option<&'a Arc<Vec<f64>>> },
    Table { rows: &'a [u32], padding: Option<u32>, g: &'a Tensor, n_rows: usize },
    Kept { grads: &'a Tensor },
    Deferred { grads: &'a dyn Deferred },
}

/// A tensor in the type in which gradients are added up over positions and samples.
pub(crate) fn wide(t: Tensor) -> Result<Tensor> {
    Ok(match t.dtype() {
        DType::F16 | DType::BF16 => t.to_dtype(DType::F32)?,
        _ => t,
    })
}

impl Record {
    fn uses(&self) -> Vec<(&Name, Use<'_>)> {
        match self {
            Record::Linear { weight, bias, x, g, scale } => {
                let (scale, g) = (scale.as_ref(), Grad::Kept(g));
                let weight = weight
                    .as_ref()
                    .zip(x.as_ref())
                    .map(|(name, x)| (name, Use::Weight { x, g, scale }));
                let bias = bias.as_ref().map(|name| (name, Use::Bias { g, scale }));
                weight.into_iter().chain(bias).collect()
            }
            Record::Head { weight, bias, head, scale } => {
                let (scale, g) = (scale.as_ref(), Grad::Head(head));
                let weight =
                    weight.as_ref().map(|name| (name, Use::Weight { x: &head.x, g, scale }));
                let bias = bias.as_ref().map(|name| (name, Use::Bias { g, scale }));
                weight.into_iter().chain(bias).collect()
            }
            Record::Table { name, rows, padding, g, n_rows } => {
                vec![(name, Use::Table { rows, padding: *padding, g, n_rows: *n_rows })]
            }
            Record::Kept { name, grads } => vec![(name, Use::Kept { grads })],
            Record::Deferred { name, grads } => vec![(name, Use::Deferred { grads: &**grads })],
        }
    }

    /// The record in a type that norms and sums are made in: halves become `f32`, as norms of them would overflow.
    pub(crate) fn widened(self) -> Result<Self> {
        Ok(match self {
            Record::Linear { weight, bias, x, g, scale } => {
                Record::Linear { weight, bias, x: x.map(wide).transpose()?, g: wide(g)?, scale }
            }
            Record::Table { name, rows, padding, g, n_rows } => {
                Record::Table { name, rows, padding, g: wide(g)?, n_rows }
            }
            Record::Kept { name, grads } => Record::Kept { name, grads: wide(grads)? },
            // Those are made in a wide type.
            other @ (Record::Deferred { .. } | Record::Head { .. }) => other,
        })
    }

    /// Bytes of the tensors that it keeps.
    fn bytes(&self) -> usize {
        let of = |t: &Tensor| t.elem_count() * t.dtype().size_in_bytes();
        match self {
            Record::Linear { x, g, .. } => x.as_ref().map_or(0, of) + of(g),
            Record::Table { g, .. } => of(g),
            Record::Kept { grads, .. } => of(grads),
            Record::Head { head, .. } => of(&head.x),
            Record::Deferred { .. } => 0,
        }
    }

    /// The gradients of this record alone, summed over samples with the given factors (ones if `None`).
    pub(crate) fn sums(&self, factors: Option<&[f64]>) -> Result<Vec<(Name, Tensor)>> {
        self.uses()
            .into_iter()
            .map(|(name, u)| Ok((name.clone(), summed(&[u], factors, &u.leaf_shape())?)))
            .collect()
    }
}

impl Use<'_> {
    fn n_samples(&self) -> usize {
        match self {
            Use::Weight { g, .. } | Use::Bias { g, .. } => g.n_samples(),
            Use::Table { g, .. } => g.dims()[0],
            Use::Kept { grads } => grads.dims()[0],
            Use::Deferred { grads } => grads.n_samples(),
        }
    }

    fn dtype(&self) -> DType {
        match self {
            Use::Weight { g, .. } | Use::Bias { g, .. } => g.dtype(),
            Use::Table { g, .. } => g.dtype(),
            Use::Kept { grads } => grads.dtype(),
            Use::Deferred { grads } => grads.dtype(),
        }
    }

    fn leaf_shape(&self) -> Shape {
        let last = |t: &Tensor| t.dims().last().copied().unwrap_or(1);
        match self {
            Use::Weight { x, g, .. } => Shape::from((g.width(), last(x))),
            Use::Bias { g, .. } => Shape::from(g.width()),
            Use::Table { g, n_rows, .. } => Shape::from((*n_rows, last(g))),
            Use::Kept { grads } => Shape::from(&grads.dims()[1..]),
            Use::Deferred { grads } => grads.leaf_shape(),
        }
    }
}

/// The ways in which these records contribute to a leaf.
fn uses_of<'r>(records: &'r [Record], leaf: &str) -> Vec<Use<'r>> {
    let uses = records.iter().flat_map(Record::uses);
    uses.filter(|(name, _)| &***name == leaf).map(|(_, u)| u).collect()
}

/// `sum_i factors[i] * g_i` over all uses of a leaf. Samples of factor zero are left out, not multiplied.
fn summed(uses: &[Use<'_>], factors: Option<&[f64]>, shape: &Shape) -> Result<Tensor> {
    match uses.first().map(Use::dtype) {
        Some(DType::F64) => summed_typed::<f64>(uses, factors, shape),
        Some(DType::F32) | None => summed_typed::<f32>(uses, factors, shape),
        Some(other) => {
            Err(Error::UnsupportedDType { what: "per-sample gradients", got: format!("{other:?}") })
        }
    }
}

fn summed_typed<T: Real>(
    uses: &[Use<'_>],
    factors: Option<&[f64]>,
    shape: &Shape,
) -> Result<Tensor> {
    if let [Use::Deferred { grads }] = uses {
        return grads.sum(factors);
    }
    let mut out = vec![T::default(); shape.elem_count()];
    let mut first = true;
    for u in uses {
        match u {
            Use::Weight { x, g, scale } => {
                linear::add_weight(&mut out, !first, x, *g, *scale, factors)?;
            }
            Use::Bias { g, scale } => linear::add_bias(&mut out, *g, *scale, factors)?,
            Use::Table { rows, padding, g, .. } => {
                table::add(&mut out, rows, *padding, g, factors)?;
            }
            Use::Kept { grads } => kept::add(&mut out, grads, factors)?,
            Use::Deferred { grads } => {
                let host = Host::of(&grads.sum(factors)?)?;
                let view = host.view();
                accumulate(&mut out, T::ONE, view.slice::<T>()?);
            }
        }
        first = false;
    }
    Ok(from_vec(out, shape.clone())?)
}

/// The factor of each sample, a pending scale included; `None` where all are one.
fn combined(n: usize, factors: Option<&[f64]>, scale: Option<&Arc<Vec<f64>>>) -> Option<Vec<f64>> {
    match (factors, scale) {
        (None, None) => None,
        (Some(f), None) => Some(f.to_vec()),
        (None, Some(s)) => Some(s.to_vec()),
        (Some(f), Some(s)) => {
            Some((0..n).map(|i| if f[i] == 0.0 { 0.0 } else { f[i] * s[i] }).collect())
        }
    }
}

/// Runs of consecutive samples with factors other than zero.
fn runs(n: usize, factors: Option<&[f64]>) -> Vec<std::ops::Range<usize>> {
    let Some(factors) = factors else {
        return if n == 0 { Vec::new() } else { std::iter::once(0..n).collect() };
    };
    let mut out: Vec<std::ops::Range<usize>> = Vec::new();
    for i in (0..n).filter(|i| factors[*i] != 0.0) {
        match out.last_mut() {
            Some(run) if run.end == i => run.end = i + 1,
            _ => out.push(i..i + 1),
        }
    }
    out
}

#[cfg(test)]
mod tests;
