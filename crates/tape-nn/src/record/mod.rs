//! What a layer leaves on the tape, and how per-sample norms and weighted sums come out of it.

pub(crate) mod deferred;
mod kept;
mod linear;
mod norms;
mod rows;
mod table;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{DType, Shape, Tensor};
use tensor_tree::host::{Host, Real, from_vec};
use tensor_tree::{Groups, PerSample, Tree};

use crate::error::{Error, Result};
use crate::kernel::gram::accumulate;
use deferred::Deferred;

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
    Weight { x: &'a Tensor, g: &'a Tensor, scale: Option<&'a Arc<Vec<f64>>> },
    Bias { g: &'a Tensor, scale: Option<&'a Arc<Vec<f64>>> },
    Table { rows: &'a [u32], padding: Option<u32>, g: &'a Tensor, n_rows: usize },
    Kept { grads: &'a Tensor },
    Deferred { grads: &'a dyn Deferred },
}

impl Record {
    fn uses(&self) -> Vec<(&Name, Use<'_>)> {
        match self {
            Record::Linear { weight, bias, x, g, scale } => {
                let scale = scale.as_ref();
                let weight = weight
                    .as_ref()
                    .zip(x.as_ref())
                    .map(|(name, x)| (name, Use::Weight { x, g, scale }));
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

    /// Bytes of the tensors that it keeps.
    fn bytes(&self) -> usize {
        let of = |t: &Tensor| t.elem_count() * t.dtype().size_in_bytes();
        match self {
            Record::Linear { x, g, .. } => x.as_ref().map_or(0, of) + of(g),
            Record::Table { g, .. } => of(g),
            Record::Kept { grads, .. } => of(grads),
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
            Use::Weight { g, .. } | Use::Bias { g, .. } | Use::Table { g, .. } => g.dims()[0],
            Use::Kept { grads } => grads.dims()[0],
            Use::Deferred { grads } => grads.n_samples(),
        }
    }

    fn dtype(&self) -> DType {
        match self {
            Use::Weight { g, .. } | Use::Bias { g, .. } | Use::Table { g, .. } => g.dtype(),
            Use::Kept { grads } => grads.dtype(),
            Use::Deferred { grads } => grads.dtype(),
        }
    }

    fn leaf_shape(&self) -> Shape {
        let last = |t: &Tensor| t.dims().last().copied().unwrap_or(1);
        match self {
            Use::Weight { x, g, .. } => Shape::from((last(g), last(x))),
            Use::Bias { g, .. } => Shape::from(last(g)),
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

/// Per-sample gradients of one backward pass, not instantiated.
#[derive(Debug)]
pub struct TapeGrads {
    /// What the layers left; `None` once all gradients of a record are in the cache.
    records: Mutex<Vec<Option<Record>>>,
    /// For each leaf of the parameters its shape and type, and the records that contribute.
    leaves: BTreeMap<String, Leaf>,
    n_samples: usize,
    cache: norms::Cache,
}

#[derive(Debug)]
struct Leaf {
    shape: Shape,
    dtype: DType,
    device: candle_core::Device,
    records: Vec<usize>,
}

impl Leaf {
    /// `sum_i factors[i] * g_i` on the leaf's device; zeros if nothing was recorded, as for an empty batch.
    fn sum(&self, uses: &[Use<'_>], factors: Option<&[f64]>) -> Result<Tensor> {
        if uses.is_empty() {
            return Ok(Tensor::zeros(self.shape.clone(), self.dtype, &self.device)?);
        }
        Ok(summed(uses, factors, &self.shape)?.to_device(&self.device)?)
    }
}

impl TapeGrads {
    /// Sorts records by leaf. With `n_samples` zero the number is taken from the records.
    pub(crate) fn new(records: Vec<Record>, params: &Tree, n_samples: usize) -> Result<Self> {
        let mut leaves: BTreeMap<String, Leaf> = params
            .iter()
            .map(|(name, leaf)| {
                let leaf = Leaf {
                    shape: leaf.shape().clone(),
                    dtype: leaf.dtype(),
                    device: leaf.device().clone(),
                    records: vec![],
                };
                (name.to_owned(), leaf)
            })
            .collect();
        let mut found = n_samples;
        for (i, record) in records.iter().enumerate() {
            for (name, u) in record.uses() {
                if found == 0 {
                    found = u.n_samples();
                }
                if let Some(leaf) = leaves.get_mut(&**name) {
                    leaf.records.push(i);
                }
            }
        }
        // An empty batch records nothing, and its sum is zero.
        let names: Vec<String> =
            leaves.iter().filter(|(_, l)| l.records.is_empty()).map(|(n, _)| n.clone()).collect();
        if 0 < found && !names.is_empty() {
            return Err(Error::NotRecorded { names });
        }
        let cache = norms::Cache::new(records.iter().map(Record::bytes).sum());
        let records = Mutex::new(records.into_iter().map(Some).collect());
        Ok(TapeGrads { records, leaves, n_samples: found, cache })
    }

    /// Joins the records of several passes over the same samples: gradients are added per sample.
    pub(crate) fn join(parts: Vec<Vec<Record>>, params: &Tree, n_samples: usize) -> Result<Self> {
        Self::new(parts.into_iter().flatten().collect(), params, n_samples)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Option<Record>>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The records that contribute to a leaf (tensors are shared, not copied), or what was kept of them.
    fn records_of(&self, leaf: &str) -> Vec<Record> {
        if let Some(grads) = self.cache.get(leaf) {
            return vec![Record::Deferred { name: leaf.into(), grads }];
        }
        let Some(entry) = self.leaves.get(leaf) else { return Vec::new() };
        let mut indices = entry.records.clone();
        indices.dedup();
        let records = self.lock();
        indices.into_iter().filter_map(|i| records.get(i).cloned().flatten()).collect()
    }

    /// Drops the records of a leaf of which nothing is needed any more.
    fn release(&self, leaf: &str) {
        let Some(entry) = self.leaves.get(leaf) else { return };
        let mut records = self.lock();
        for i in &entry.records {
            let Some(slot) = records.get_mut(*i) else { continue };
            let kept =
                |name: &str| self.cache.get(name).is_some() || !self.leaves.contains_key(name);
            if slot.as_ref().is_some_and(|record| record.uses().iter().all(|(name, _)| kept(name)))
            {
                *slot = None;
            }
        }
    }

    /// The sum over samples, unclipped.
    ///
    /// # Errors
    /// From the back-end.
    pub fn into_unclipped_sum(self) -> Result<Tree> {
        let mut tree = Tree::new();
        for (name, leaf) in &self.leaves {
            let records = self.records_of(name);
            tree.insert(name.as_str(), leaf.sum(&uses_of(&records, name), None)?)?;
        }
        Ok(tree)
    }

    /// The per-sample gradients as tensors `[batch, ...leaf]`: for tests and small models.
    ///
    /// # Errors
    /// From the back-end.
    pub fn instantiate(&self) -> Result<Tree> {
        let mut tree = Tree::new();
        for (name, leaf) in &self.leaves {
            let records = self.records_of(name);
            let uses = uses_of(&records, name);
            let mut rows = Vec::with_capacity(self.n_samples);
            for i in 0..self.n_samples {
                let mut factors = vec![0.0; self.n_samples];
                factors[i] = 1.0;
                rows.push(summed(&uses, Some(&factors), &leaf.shape)?);
            }
            let stacked = if rows.is_empty() {
                let mut dims = vec![0];
                dims.extend(leaf.shape.dims());
                Tensor::zeros(dims, leaf.dtype, &candle_core::Device::Cpu)?
            } else {
                Tensor::stack(&rows, 0)?
            };
            tree.insert(name.as_str(), stacked)?;
        }
        Ok(tree)
    }
}

impl PerSample for TapeGrads {
    fn n_samples(&self) -> usize {
        self.n_samples
    }

    fn squared_norms(&self, groups: &Groups) -> tensor_tree::Result<Vec<Vec<f64>>> {
        let mut out = vec![vec![0.0; self.n_samples]; groups.len()];
        for name in self.leaves.keys() {
            let group = groups.of(name)?;
            let records = self.records_of(name);
            let norms = norms::squared_norms(&uses_of(&records, name), name, &self.cache)?;
            drop(records);
            self.release(name);
            for (sum, part) in out[group].iter_mut().zip(norms) {
                *sum += part;
            }
        }
        Ok(out)
    }

    fn weighted_sum(self, groups: &Groups, factors: &[Vec<f64>]) -> tensor_tree::Result<Tree> {
        if factors.len() != groups.len() || factors.iter().any(|f| f.len() != self.n_samples) {
            return Err(tensor_tree::Error::Groups {
                reason: format!(
                    "clip factors for {} groups, expected {} groups of {} samples",
                    factors.len(),
                    groups.len(),
                    self.n_samples
                ),
            });
        }
        let mut tree = Tree::new();
        for (name, leaf) in &self.leaves {
            let factors = &factors[groups.of(name)?];
            let sum = match self.cache.take(name) {
                Some(kept) => leaf.sum(&[Use::Deferred { grads: &*kept }], Some(factors))?,
                None => {
                    let records = self.records_of(name);
                    leaf.sum(&uses_of(&records, name), Some(factors))?
                }
            };
            tree.insert(name.as_str(), sum)?;
        }
        Ok(tree)
    }
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
                linear::add_weight(&mut out, !first, x, g, *scale, factors)?;
            }
            Use::Bias { g, scale } => linear::add_bias(&mut out, g, *scale, factors)?,
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
