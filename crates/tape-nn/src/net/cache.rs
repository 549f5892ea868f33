//! Keys and values of the tokens that a model has read.

use candle_core::Tensor;

use crate::error::{Error, Result};

/// Room for positions grows by at least this factor, so that a text costs few copies.
const GROWTH: usize = 2;
const SMALLEST: usize = 32;

/// Keys and values of each block for the tokens read so far: what [`super::LanguageModel::step`] continues from.
///
/// A cache is a value of its own: it holds no parameters, and [`Cache::fork`] gives an independent one. It is
/// valid only with the parameters it was filled with.
#[derive(Debug)]
pub struct Cache {
    len: usize,
    blocks: Vec<Option<Slot>>,
}

/// Room for keys and values, `[batch, capacity, width]`.
#[derive(Debug)]
struct Slot {
    k: Tensor,
    v: Tensor,
}

impl Cache {
    /// An empty cache for so many blocks.
    #[must_use]
    pub fn new(n_blocks: usize) -> Self {
        Cache { len: 0, blocks: (0..n_blocks).map(|_| None).collect() }
    }

    /// Number of tokens read.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no token was read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets all but the first `len` tokens.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// An independent copy, to continue one text in several ways.
    ///
    /// # Errors
    /// From the back-end.
    pub fn fork(&self) -> Result<Cache> {
        let copy = |slot: &Slot| Ok(Slot { k: slot.k.copy()?, v: slot.v.copy()? });
        let blocks = self.blocks.iter().map(|b| b.as_ref().map(copy).transpose());
        Ok(Cache { len: self.len, blocks: blocks.collect::<Result<_>>()? })
    }

    /// The cache of some texts of the batch, in the order of `rows`. A text may come several times, to be continued in
    /// several ways.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a row that the batch does not have, [`Error::InvalidSetting`] without rows.
    pub fn select(&self, rows: &[usize]) -> Result<Cache> {
        if rows.is_empty() {
            let (name, must) = ("rows of a key-value cache".into(), "at least one");
            return Err(Error::InvalidSetting { name, must, got: "none".into() });
        }
        let numbers: Vec<u32> =
            rows.iter().map(|row| u32::try_from(*row).unwrap_or(u32::MAX)).collect();
        let pick = |room: &Tensor| {
            let limit = room.dims()[0];
            if let Some(position) = rows.iter().position(|row| limit <= *row) {
                let got = i64::try_from(rows[position]).unwrap_or(i64::MAX);
                return Err(Error::OutOfRange { what: "row of a cache", got, position, limit });
            }
            let numbers = Tensor::from_slice(&numbers, numbers.len(), room.device())?;
            Ok(room.index_select(&numbers, 0)?)
        };
        let of = |slot: &Slot| Ok(Slot { k: pick(&slot.k)?, v: pick(&slot.v)? });
        let blocks = self.blocks.iter().map(|b| b.as_ref().map(of).transpose());
        Ok(Cache { len: self.len, blocks: blocks.collect::<Result<_>>()? })
    }

    /// Writes keys and values `[batch, t, width]` of a block behind the tokens read, and returns all of them,
    /// `[batch, len + t, width]`. They are overwritten by the next call for that block until the tokens count
    /// as read.
    ///
    /// # Errors
    /// [`Error::InputShape`] if batch or width are others than before, or the cache has too few blocks.
    pub fn extend(&mut self, block: usize, k: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        let misfit = |x: &Tensor, expected: String| Error::InputShape {
            layer: "key-value cache".into(),
            expected,
            got: x.dims().to_vec(),
        };
        let &[batch, t, width] = k.dims() else {
            return Err(misfit(k, "[batch, t, width]".into()));
        };
        if v.dims() != k.dims() {
            return Err(misfit(v, format!("[{batch}, {t}, {width}]")));
        }
        let n_blocks = self.blocks.len();
        let Some(slot) = self.blocks.get_mut(block) else {
            return Err(misfit(k, format!("keys of at most {n_blocks} blocks")));
        };
        let end = self.len + t;
        let kept = if self.len == 0 { None } else { slot.as_ref() };
        if let Some(old) = kept
            && (old.k.dims()[0] != batch || old.k.dims()[2] != width)
        {
            let (batch, width) = (old.k.dims()[0], old.k.dims()[2]);
            return Err(misfit(k, format!("[{batch}, t, {width}]")));
        }
        let fits = |s: &Slot| {
            let dims = s.k.dims();
            dims[0] == batch && end <= dims[1] && dims[2] == width && s.k.dtype() == k.dtype()
        };
        if !slot.as_ref().is_some_and(fits) {
            let capacity = end.max(GROWTH * self.len).max(SMALLEST);
            let room = |old: Option<&Tensor>, like: &Tensor| {
                let new = Tensor::zeros((batch, capacity, width), like.dtype(), like.device())?;
                if let Some(old) = old {
                    new.slice_set(&old.narrow(1, 0, self.len)?.contiguous()?, 1, 0)?;
                }
                candle_core::Result::Ok(new)
            };
            let grown = Slot { k: room(kept.map(|s| &s.k), k)?, v: room(kept.map(|s| &s.v), v)? };
            *slot = Some(grown);
        }
        let Some(slot) = slot else { return Err(misfit(k, "a slot".into())) };
        let put = |room: &Tensor, x: &Tensor| {
            room.slice_set(&x.detach().contiguous()?, 1, self.len)?;
            room.narrow(1, 0, end)
        };
        Ok((put(&slot.k, k)?, put(&slot.v, v)?))
    }

    /// Counts the last `t` tokens as read.
    pub(crate) fn advance(&mut self, t: usize) {
        self.len += t;
    }
}
