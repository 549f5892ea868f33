//! Batches of samples with what is known of them before unlearning.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use tape_nn::net::{IGNORED, Texts};

use crate::text::Sample;
use crate::{Error, Result};

/// A sample with what a loss needs beside it. All of it is computed once, before the first step: no second model is in memory.
#[derive(Clone, Debug)]
pub struct Item {
    /// The prompt and the answer.
    pub sample: Sample,
    /// The same prompt with a refusal as its answer.
    pub refusal: Option<Sample>,
    /// `log p0` of the answer.
    pub reference: Option<f64>,
    /// `log p0` of the refusal.
    pub refusal_reference: Option<f64>,
    /// Logits of the reference model at the positions that count, one after the other.
    pub distributions: Option<Arc<[f32]>>,
}

impl From<Sample> for Item {
    fn from(sample: Sample) -> Self {
        Item {
            sample,
            refusal: None,
            reference: None,
            refusal_reference: None,
            distributions: None,
        }
    }
}

/// Most positions of a pass on a CPU: activations of more fall out of its caches.
const ON_CPU: usize = 1024;

/// Samples of one pass, padded to the longest of them.
#[derive(Clone, Debug)]
pub struct Batch {
    pub(crate) items: Vec<Item>,
    pub(crate) texts: Texts,
    pub(crate) refusals: Option<Texts>,
}

impl Batch {
    /// A batch of these samples. Padding behind a text is read by nobody and counts nowhere, whatever its length.
    ///
    /// # Errors
    /// [`Error::Empty`] without samples; from the back-end.
    pub fn new(items: impl IntoIterator<Item = Item>, device: &Device) -> Result<Self> {
        let items: Vec<Item> = items.into_iter().collect();
        let texts = padded(items.iter().map(|item| &item.sample), 0, device)?;
        let refusals: Option<Vec<&Sample>> = items.iter().map(|i| i.refusal.as_ref()).collect();
        let refusals = refusals.map(|r| padded(r.into_iter(), 0, device)).transpose()?;
        Ok(Batch { items, texts, refusals })
    }

    /// Samples in passes of at most so many, fewer where lengths differ or texts are long: less than half as much padding as text is in a
    /// pass. What a mean over all passes is does not depend on their order.
    ///
    /// # Errors
    /// From the back-end.
    pub fn passes(mut items: Vec<Item>, most: usize, device: &Device) -> Result<Vec<Batch>> {
        items.sort_by_key(|item| item.sample.n_positions());
        let length = |item: &Item| item.sample.n_positions();
        similar(&items, length, most, device).map(|i| Batch::new(i.to_vec(), device)).collect()
    }

    /// The same with so many more positions of padding; only tests have a use for it.
    ///
    /// # Errors
    /// As [`Batch::new`].
    pub fn with_padding(self, more: usize, device: &Device) -> Result<Self> {
        let texts = padded(self.items.iter().map(|item| &item.sample), more, device)?;
        let refusals: Option<Vec<&Sample>> =
            self.items.iter().map(|i| i.refusal.as_ref()).collect();
        let refusals = refusals.map(|r| padded(r.into_iter(), more, device)).transpose()?;
        Ok(Batch { texts, refusals, ..self })
    }

    /// Number of samples.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are none; never so.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The samples in tokens, with their labels.
    #[must_use]
    pub fn texts(&self) -> &Texts {
        &self.texts
    }
}

/// Cuts things that are sorted by length into passes of at most so many. None is longer than one and a half of another in its pass.
pub(crate) fn similar<'t, T>(
    sorted: &'t [T],
    length: impl Fn(&T) -> usize,
    most: usize,
    device: &Device,
) -> impl Iterator<Item = &'t [T]> {
    let most_positions = if device.is_cpu() { ON_CPU } else { usize::MAX };
    let mut rest = sorted;
    std::iter::from_fn(move || {
        let shortest = length(rest.first()?);
        let fits = |(i, t): (usize, &T)| {
            let t = length(t);
            i < most.max(1) && 2 * t <= 3 * shortest && t.saturating_mul(i + 1) <= most_positions
        };
        let others = rest.iter().enumerate().skip(1);
        let n = others.take_while(|(i, t)| fits((*i, t))).count() + 1;
        let (pass, behind) = rest.split_at(n);
        rest = behind;
        Some(pass)
    })
}

/// Texts side by side, with the token 0 and no label where a text has ended.
pub(crate) fn padded<'s>(
    samples: impl Iterator<Item = &'s Sample> + Clone,
    more: usize,
    device: &Device,
) -> Result<Texts> {
    let n = samples.clone().count();
    let Some(longest) = samples.clone().map(Sample::n_positions).max() else {
        return Err(Error::Empty { what: "samples of a batch" });
    };
    let width = longest + more;
    let mut ids = vec![0u32; n * width];
    let mut labels = vec![IGNORED; n * width];
    for (i, sample) in samples.enumerate() {
        let (from, t) = (i * width, sample.n_positions());
        ids[from..from + t].copy_from_slice(&sample.tokens()[..t]);
        for p in sample.first_label()..t {
            labels[from + p] = i64::from(sample.tokens()[p + 1]);
        }
    }
    let ids = Tensor::from_vec(ids, (n, width), device)?;
    let labels = Tensor::from_vec(labels, (n, width), device)?;
    Ok(Texts { ids, labels, sample_ids: None })
}

#[cfg(test)]
mod tests;
