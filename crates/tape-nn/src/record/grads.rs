//! The records of a pass, sorted by leaf: what clipping asks of them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use candle_core::{DType, Shape, Tensor};
use tensor_tree::{Groups, PerSample, Tree};

use super::{Record, Use, norms, summed, uses_of};
use crate::error::{Error, Result};

/// Per-sample gradients of one backward pass, not instantiated.
#[derive(Debug)]
pub struct TapeGrads {
    /// What the layers left; `None` once all gradients of a record are in the cache.
    records: Mutex<Vec<Option<Record>>>,
    /// For each leaf of the parameters its shape and type, and the records that contribute.
    leaves: BTreeMap<String, Leaf>,
    n_samples: usize,
    cache: norms::Cache,
    /// What every gradient is to be multiplied by, if by anything.
    unit: Option<f64>,
}

#[derive(Debug)]
struct Leaf {
    shape: Shape,
    dtype: DType,
    device: candle_core::Device,
    records: Vec<usize>,
}

impl Leaf {
    fn of(leaf: &Tensor) -> Self {
        Leaf {
            shape: leaf.shape().clone(),
            dtype: leaf.dtype(),
            device: leaf.device().clone(),
            records: Vec::new(),
        }
    }

    /// `sum_i factors[i] * g_i` on the leaf's device, in `f32` if the leaf is in halves, else of its type; zeros
    /// without uses, as for an empty batch.
    fn sum(&self, uses: &[Use<'_>], factors: Option<&[f64]>) -> Result<Tensor> {
        let dtype = match self.dtype {
            DType::F16 | DType::BF16 => DType::F32,
            dtype => dtype,
        };
        if uses.is_empty() {
            return Ok(Tensor::zeros(self.shape.clone(), dtype, &self.device)?);
        }
        Ok(summed(uses, factors, &self.shape)?.to_device(&self.device)?.to_dtype(dtype)?)
    }
}

/// The ordinary gradient of every leaf of `params`: the records summed over samples.
///
/// # Errors
/// [`Error::NotRecorded`] if a leaf has none.
pub(crate) fn sums(records: &[Record], params: &Tree) -> Result<Tree> {
    let mut tree = Tree::new();
    let mut missing = Vec::new();
    for (name, leaf) in params.iter() {
        let uses = uses_of(records, name);
        if uses.is_empty() {
            missing.push(name.to_owned());
        } else {
            tree.insert(name, Leaf::of(leaf).sum(&uses, None)?.to_dtype(leaf.dtype())?)?;
        }
    }
    if missing.is_empty() { Ok(tree) } else { Err(Error::NotRecorded { names: missing }) }
}

impl TapeGrads {
    /// Sorts records by leaf.
    ///
    /// # Errors
    /// [`Error::SampleAxis`] if a record has another number of samples, since then its first axis is not the
    /// sample and a norm taken along it bounds nothing; [`Error::NotRecorded`] if a leaf has no record.
    pub(crate) fn new(records: Vec<Record>, params: &Tree, n_samples: usize) -> Result<Self> {
        let mut grads = Self::zeros(params, n_samples);
        for (i, record) in records.iter().enumerate() {
            for (name, u) in record.uses() {
                if u.n_samples() != n_samples {
                    return Err(Error::SampleAxis {
                        name: name.to_string(),
                        expected: n_samples,
                        got: u.n_samples(),
                    });
                }
                if let Some(leaf) = grads.leaves.get_mut(&**name) {
                    leaf.records.push(i);
                }
            }
        }
        let unused = grads.leaves.iter().filter(|(_, leaf)| leaf.records.is_empty());
        let names: Vec<String> = unused.map(|(name, _)| name.clone()).collect();
        if !names.is_empty() {
            return Err(Error::NotRecorded { names });
        }
        grads.cache = norms::Cache::new(records.iter().map(Record::bytes).sum());
        grads.records = Mutex::new(records.into_iter().map(Some).collect());
        Ok(grads)
    }

    /// Gradients that are known to be zero, such as those of an empty batch.
    pub(crate) fn zeros(params: &Tree, n_samples: usize) -> Self {
        let leaves = params.iter().map(|(name, leaf)| (name.to_owned(), Leaf::of(leaf))).collect();
        let records = Mutex::new(Vec::new());
        TapeGrads { records, leaves, n_samples, cache: norms::Cache::new(0), unit: None }
    }

    /// The same gradients times `unit`.
    pub(crate) fn with_unit(self, unit: Option<f64>) -> Self {
        TapeGrads { unit, ..self }
    }

    /// Factors that take the unit in, `None` where all are one.
    fn in_unit(&self, factors: Option<&[f64]>) -> Option<Vec<f64>> {
        match (factors, self.unit) {
            (None, None) => None,
            (None, Some(unit)) => Some(vec![unit; self.n_samples]),
            (Some(factors), unit) => {
                Some(factors.iter().map(|f| f * unit.unwrap_or(1.0)).collect())
            }
        }
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
            let sum = leaf.sum(&uses_of(&records, name), self.in_unit(None).as_deref())?;
            tree.insert(name.as_str(), sum)?;
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
                factors[i] = self.unit.unwrap_or(1.0);
                rows.push(summed(&uses, Some(&factors), &leaf.shape)?);
            }
            let stacked = if rows.is_empty() {
                let mut dims = vec![0];
                dims.extend(leaf.shape.dims());
                Tensor::zeros(dims, leaf.dtype, &candle_core::Device::Cpu)?
            } else {
                Tensor::stack(&rows, 0)?.to_dtype(leaf.dtype)?
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
        let square = self.unit.map_or(1.0, |unit| unit * unit);
        for name in self.leaves.keys() {
            let group = groups.of(name)?;
            let records = self.records_of(name);
            let norms = norms::squared_norms(&uses_of(&records, name), name, &self.cache)?;
            drop(records);
            self.release(name);
            for (sum, part) in out[group].iter_mut().zip(norms) {
                *sum += square * part;
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
            let factors = self.in_unit(Some(&factors[groups.of(name)?]));
            let factors = factors.as_deref();
            let sum = match self.cache.take(name) {
                Some(kept) => leaf.sum(&[Use::Deferred { grads: &*kept }], factors)?,
                None => {
                    let records = self.records_of(name);
                    leaf.sum(&uses_of(&records, name), factors)?
                }
            };
            tree.insert(name.as_str(), sum)?;
        }
        Ok(tree)
    }
}
