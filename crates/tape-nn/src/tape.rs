//! The tape of one backward pass: what each layer saw, and the gradient of what it returned.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{DType, Device, Tensor, Var};
use tensor_tree::Tree;

use crate::error::{Error, Result};
use crate::record::{Record, TapeGrads, sums};

/// Bytes of per-sample gradients that the layers of one pass may keep, unless set otherwise.
const KEEP_BYTES: usize = 256 << 20;

/// Records of one forward and backward pass. Clones share the records.
///
/// A tape belongs to one pass: make it, run forward with [`crate::Context::recording`], call `backward` on the
/// summed loss, and take the result. Nothing but candle's graph holds the layers' inputs meanwhile.
#[derive(Clone, Debug)]
pub struct Tape {
    shared: Arc<Mutex<Content>>,
    anchor: Tensor,
    /// Bytes of per-sample gradients that may still be kept.
    budget: Arc<AtomicUsize>,
    two_pass_heads: bool,
}

#[derive(Debug)]
enum Content {
    /// Keeps every record: for per-sample gradients.
    Records(Vec<Record>),
    /// Adds up each record's gradient at once and drops the record: for ordinary gradients.
    Sums(BTreeMap<Arc<str>, Tensor>),
}

impl Tape {
    /// A tape that keeps records for per-sample gradients.
    ///
    /// # Errors
    /// From the back-end.
    pub fn recording(device: &Device) -> Result<Self> {
        Self::with(Content::Records(Vec::new()), device)
    }

    /// A tape that adds up gradients over samples as they come and keeps nothing else.
    ///
    /// # Errors
    /// From the back-end.
    pub fn summing(device: &Device) -> Result<Self> {
        Self::with(Content::Sums(BTreeMap::new()), device)
    }

    fn with(content: Content, device: &Device) -> Result<Self> {
        let anchor = Var::zeros(1, DType::F32, device)?.as_tensor().clone();
        let budget = Arc::new(AtomicUsize::new(KEEP_BYTES));
        Ok(Tape { shared: Arc::new(Mutex::new(content)), anchor, budget, two_pass_heads: false })
    }

    /// Lets layers keep at most `bytes` of per-sample gradients between norms and sums (256 MiB unless set).
    /// What does not fit is computed twice; results agree up to rounding.
    #[must_use]
    pub fn with_keep_budget(self, bytes: usize) -> Self {
        self.budget.store(bytes, Ordering::Relaxed);
        self
    }

    /// Lets losses that have the head of a network in them make the gradient of the logits twice, a few samples at a time,
    /// instead of keeping it between norms and sums; see [`crate::TwoPass`].
    #[must_use]
    pub fn with_two_pass_heads(self, two_pass_heads: bool) -> Self {
        Tape { two_pass_heads, ..self }
    }

    pub(crate) fn two_pass_heads(&self) -> bool {
        self.two_pass_heads
    }

    /// Takes `bytes` from the budget, if it has them. Backward passes run in one thread in a fixed order,
    /// so which layers are served does not depend on chance.
    pub(crate) fn reserve(&self, bytes: usize) -> bool {
        let take = |left: usize| left.checked_sub(bytes);
        self.budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    /// The variable that keeps recording operations in the graph.
    pub(crate) fn anchor(&self) -> &Tensor {
        &self.anchor
    }

    /// Whether records are kept, so that work for per-sample norms can be done early.
    pub(crate) fn keeps_records(&self) -> bool {
        matches!(*self.lock(), Content::Records(_))
    }

    pub(crate) fn push(&self, record: Record) -> Result<()> {
        let record = record.widened()?;
        if !self.keeps_records() {
            for (name, part) in record.sums(None)? {
                self.add(&name, part)?;
            }
        } else if let Content::Records(records) = &mut *self.lock() {
            records.push(record);
        }
        Ok(())
    }

    /// Adds a gradient that is summed over samples already. Only for tapes that keep no records.
    pub(crate) fn add(&self, name: &Arc<str>, part: Tensor) -> Result<()> {
        debug_assert!(!self.keeps_records(), "a sum on a tape of records");
        if let Content::Sums(sums) = &mut *self.lock() {
            let sum = match sums.get(name) {
                Some(sum) => (sum + part.reshape(sum.shape())?)?,
                None => part,
            };
            sums.insert(name.clone(), sum);
        }
        Ok(())
    }

    /// The summed gradients of every leaf of `params`, on its device and of its type.
    ///
    /// # Errors
    /// [`Error::NotRecorded`] if a leaf has none.
    pub fn into_sum(self, params: &Tree) -> Result<Tree> {
        let mut content = self.lock();
        let mut found = match &mut *content {
            Content::Sums(found) => std::mem::take(found),
            Content::Records(records) => {
                let records = std::mem::take(records);
                drop(content);
                return sums(&records, params);
            }
        };
        let mut tree = Tree::new();
        let mut missing = Vec::new();
        for (name, leaf) in params.iter() {
            match found.remove(name) {
                Some(grad) => {
                    let grad = grad.reshape(leaf.shape())?.to_device(leaf.device())?;
                    tree.insert(name, grad.to_dtype(leaf.dtype())?)?;
                }
                None => missing.push(name.to_owned()),
            }
        }
        if missing.is_empty() { Ok(tree) } else { Err(Error::NotRecorded { names: missing }) }
    }

    /// The per-sample gradients of every leaf of `params`, as records.
    ///
    /// # Errors
    /// [`Error::NotRecorded`] if a leaf has none; [`Error::SampleAxis`] if a layer saw another number of samples
    /// than `n_samples`.
    pub fn into_grads(self, params: &Tree, n_samples: usize) -> Result<TapeGrads> {
        TapeGrads::new(self.take_records(), params, n_samples)
    }

    pub(crate) fn take_records(&self) -> Vec<Record> {
        match &mut *self.lock() {
            Content::Records(records) => std::mem::take(records),
            Content::Sums(_) => Vec::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
