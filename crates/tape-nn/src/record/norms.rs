//! Squared norms of per-sample gradients: ghost, direct or mixed, chosen for each leaf.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::DType;
use tensor_tree::host::{Host, Real, View};

use super::deferred::Deferred;
use super::grad::{self, Opened};
use super::rows::Rows;
use super::{Use, summed, table};
use crate::error::{Error, Result};
use crate::kernel::gram::{Scratch, accumulate, add_rows, ghost_norm_with, inner};
use crate::kernel::product::{Mat, MatMut, Threads, fresh_product, product};
use crate::kernel::{map_indices, map_indices_with};

/// Bytes of per-sample gradients that may be kept between norms and sums in any case.
const KEEP_BYTES: usize = 64 << 20;

/// Per-sample gradients that the norms made anyway, kept so that the product that gave the norm need not be
/// made again. A record whose gradients are all here is dropped, so they may take as much memory as the records.
#[derive(Debug)]
pub(super) struct Cache {
    kept: Mutex<Kept>,
}

type Kept = (usize, BTreeMap<String, Arc<dyn Deferred>>);

impl Cache {
    /// A cache beside records of so many bytes.
    pub(super) fn new(record_bytes: usize) -> Self {
        Cache { kept: Mutex::new((record_bytes.max(KEEP_BYTES), BTreeMap::new())) }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a leaf's gradients out, once.
    pub(super) fn take(&self, leaf: &str) -> Option<Arc<dyn Deferred>> {
        self.lock().1.remove(leaf)
    }

    /// A leaf's gradients, if they are here.
    pub(super) fn get(&self, leaf: &str) -> Option<Arc<dyn Deferred>> {
        self.lock().1.get(leaf).cloned()
    }

    fn reserve(&self, bytes: usize) -> bool {
        let mut kept = self.lock();
        let left = kept.0.checked_sub(bytes);
        kept.0 = left.unwrap_or(kept.0);
        left.is_some()
    }

    fn put<T: Real>(&self, leaf: &str, rows: Rows<T>) {
        self.lock().1.insert(leaf.to_owned(), Arc::new(rows));
    }
}

/// Whether making and keeping the gradient takes less time than the ghost form, if the sum then needs no
/// product: three passes over `p d` elements against the Gram matrices.
///
/// # Source
/// The constants are rough: timings of both forms on one processor, where three passes over an element took the
/// time of about 32 multiplications of a product, and packing an element for a Gram matrix that of 24. No
/// command repeats them. The factor 1.5 pays for the memory. A wrong constant costs time and never the result.
fn product_is_faster(t: usize, p: usize, d: usize) -> bool {
    let (t, p, d) = (t as f64, p as f64, d as f64);
    1.5 * 32.0 * p * d < (0.625 * t * t + 24.0 * t) * (p + d)
}

/// Whether the ghost form (two Gram matrices of size `t x t`) is smaller than the gradient itself.
///
/// # Source
/// arXiv 2205.10683: ghost if `2 t^2 <= p d`.
pub(super) fn ghost_is_smaller(t: usize, p: usize, d: usize) -> bool {
    2 * t * t <= p * d
}

/// Squared norm of each sample's gradient of one leaf, over all its uses.
pub(super) fn squared_norms(uses: &[Use<'_>], leaf: &str, cache: &Cache) -> Result<Vec<f64>> {
    match uses.first().map(Use::dtype) {
        None => Ok(Vec::new()),
        Some(DType::F32) => typed::<f32>(uses, leaf, cache),
        Some(DType::F64) => typed::<f64>(uses, leaf, cache),
        Some(other) => {
            Err(Error::UnsupportedDType { what: "per-sample norms", got: format!("{other:?}") })
        }
    }
}

fn typed<T: Real>(uses: &[Use<'_>], leaf: &str, cache: &Cache) -> Result<Vec<f64>> {
    let n = uses[0].n_samples();
    if let [Use::Deferred { grads }] = uses {
        return grads.squared_norms();
    }
    let all = |f: fn(&Use<'_>) -> bool| uses.iter().all(f);
    if all(|u| matches!(u, Use::Weight { .. })) {
        return weights::<T>(uses, n, leaf, cache);
    }
    if all(|u| matches!(u, Use::Bias { .. })) {
        return biases::<T>(uses, n, leaf, cache);
    }
    if all(|u| matches!(u, Use::Kept { .. })) {
        return kept::<T>(uses, n);
    }
    if all(|u| matches!(u, Use::Table { .. } | Use::Weight { .. })) {
        return tables_and_weights::<T>(uses, n);
    }
    instantiated::<T>(uses, n)
}

/// A linear use on the host.
struct Pair<'a> {
    x: Host,
    g: Opened<'a>,
    t: usize,
    scale: Option<Arc<Vec<f64>>>,
}

/// All linear uses of one sample, stacked along the positions.
struct Stacked<'a, T: Real> {
    x: std::borrow::Cow<'a, [T]>,
    g: std::borrow::Cow<'a, [T]>,
    t: usize,
    factor: f64,
}

impl<'a> Pair<'a> {
    fn of(u: &Use<'a>) -> Result<Option<Self>> {
        let Use::Weight { x, g, scale } = u else { return Ok(None) };
        let (x, t) = (Host::of(x)?, g.positions());
        Ok(Some(Pair { x, g: g.open()?, t, scale: scale.cloned() }))
    }

    fn view(&'a self) -> (View<'a>, grad::View<'a>) {
        (self.x.view(), self.g.view())
    }
}

fn weights<T: Real>(uses: &[Use<'_>], n: usize, leaf: &str, cache: &Cache) -> Result<Vec<f64>> {
    let dims = uses[0].leaf_shape().dims().to_vec();
    let (p, d) = (dims[0], dims[1]);
    let pairs = pairs(uses)?;
    let views: Vec<_> = pairs.iter().map(Pair::view).collect();
    let sides = sides::<T>(&pairs, &views)?;
    let t: usize = pairs.iter().map(|q| q.t).sum();
    if t != 1 && (!ghost_is_smaller(t, p, d) || product_is_faster(t, p, d)) {
        let size = p * d;
        if cache.reserve(n * size * std::mem::size_of::<T>()) {
            let one = |i| {
                let sample = stack(&sides, i, d, p)?;
                let (g, x) = (Mat::new(&sample.g, sample.t, p), Mat::new(&sample.x, sample.t, d));
                let gradient = fresh_product(g.t(), x, T::of(sample.factor), Threads::One);
                let norm = inner(&gradient, &gradient);
                Ok((gradient, norm))
            };
            let made: Result<Vec<(Vec<T>, f64)>> = map_indices(n, one).into_iter().collect();
            let (grads, norms): (Vec<Vec<T>>, Vec<f64>) = made?.into_iter().unzip();
            if norms.iter().all(|x| x.is_finite()) {
                cache.put(leaf, Rows { grads, norms: norms.clone(), leaf: uses[0].leaf_shape() });
                return Ok(norms);
            }
        }
    }
    let norms = map_indices_with(n, Scratch::default, |scratch, i| {
        let sample = stack(&sides, i, d, p)?;
        let norm = one_norm(scratch, &sample, d, p);
        Ok(if norm.is_finite() { norm } else { careful_norm(&sample, d, p) })
    });
    norms.into_iter().collect()
}

fn pairs<'a>(uses: &[Use<'a>]) -> Result<Vec<Pair<'a>>> {
    uses.iter().filter_map(|u| Pair::of(u).transpose()).collect()
}

/// What [`stack`] takes of one use.
struct Side<'a, T> {
    x: &'a [T],
    g: &'a grad::View<'a>,
    t: usize,
    scale: Option<&'a [f64]>,
}

fn sides<'a, T: Real>(
    pairs: &'a [Pair<'a>],
    views: &'a [(View<'a>, grad::View<'a>)],
) -> Result<Vec<Side<'a, T>>> {
    let side = |(pair, (x, g)): (&'a Pair<'a>, &'a (View<'a>, grad::View<'a>))| {
        let scale = pair.scale.as_ref().map(|scale| scale.as_slice());
        Ok(Side { x: x.slice::<T>()?, g, t: pair.t, scale })
    };
    pairs.iter().zip(views).map(side).collect()
}

fn stack<'a, T: Real>(
    sides: &'a [Side<'a, T>],
    i: usize,
    d: usize,
    p: usize,
) -> Result<Stacked<'a, T>> {
    let part = |side: &'a Side<'a, T>| {
        let x = Cow::from(&side.x[i * side.t * d..(i + 1) * side.t * d]);
        let g = side.g.rows::<T>(i..i + 1, Threads::One)?;
        Ok::<_, Error>(Stacked { x, g, t: side.t, factor: side.scale.map_or(1.0, |s| s[i]) })
    };
    if let [only] = sides {
        return part(only);
    }
    let t = sides.iter().map(|side| side.t).sum();
    let (mut xs, mut gs) = (Vec::with_capacity(t * d), Vec::with_capacity(t * p));
    for side in sides {
        let Stacked { x, g, factor, .. } = part(side)?;
        xs.extend_from_slice(&x);
        gs.extend(g.iter().map(|v| *v * T::of(factor)));
    }
    Ok(Stacked { x: xs.into(), g: gs.into(), t, factor: 1.0 })
}

fn direct<T: Real>(sample: &Stacked<'_, T>, d: usize, p: usize, out: &mut [T]) {
    product(
        MatMut::new(out, p, d),
        false,
        Mat::new(&sample.g, sample.t, p).t(),
        Mat::new(&sample.x, sample.t, d),
        T::of(sample.factor),
        Threads::One,
    );
}

fn one_norm<T: Real>(scratch: &mut Scratch<T>, sample: &Stacked<'_, T>, d: usize, p: usize) -> f64 {
    let (x, g, t) = (&*sample.x, &*sample.g, sample.t);
    let square = sample.factor * sample.factor;
    if t == 1 {
        square * inner(x, x) * inner(g, g)
    } else if ghost_is_smaller(t, p, d) {
        square * ghost_norm_with(scratch, x, d, g, p, t)
    } else {
        let mut out = vec![T::default(); p * d];
        direct(sample, d, p, &mut out);
        inner(&out, &out)
    }
}

/// The norm of a sample whose products overflow: in doubles, after division by the largest entries.
/// NaN if an entry is not finite.
fn careful_norm<T: Real>(sample: &Stacked<'_, T>, d: usize, p: usize) -> f64 {
    let largest = |v: &[T]| v.iter().map(|x| x.double().abs()).fold(0.0, f64::max);
    let entries = sample.x.iter().chain(sample.g.iter());
    if !sample.factor.is_finite() || !entries.into_iter().all(|x| x.finite()) {
        return f64::NAN;
    }
    let (lx, lg) = (largest(&sample.x), largest(&sample.g));
    if lx == 0.0 || lg == 0.0 {
        return 0.0;
    }
    let shrink = |v: &[T], by: f64| v.iter().map(|x| x.double() / by).collect::<Vec<f64>>();
    let small = Stacked {
        x: shrink(&sample.x, lx).into(),
        g: shrink(&sample.g, lg).into(),
        t: sample.t,
        factor: 1.0,
    };
    let scale = lx * lg * sample.factor;
    one_norm(&mut Scratch::default(), &small, d, p) * scale * scale
}

fn biases<T: Real>(uses: &[Use<'_>], n: usize, leaf: &str, cache: &Cache) -> Result<Vec<f64>> {
    let mut opened = Vec::with_capacity(uses.len());
    let mut positions = 0;
    for u in uses {
        let Use::Bias { g, scale } = u else { continue };
        positions += g.positions();
        opened.push((g.open()?, *scale));
    }
    let parts: Vec<_> = opened.iter().map(|(g, scale)| (g.view(), *scale)).collect();
    let p = uses[0].leaf_shape().elem_count();
    let sums: Result<Vec<Vec<T>>> = map_indices(n, |i| {
        let mut sum = vec![T::default(); p];
        for (g, scale) in &parts {
            let part = g.rows::<T>(i..i + 1, Threads::One)?;
            if let Some(scale) = scale {
                let mut own = vec![T::default(); p];
                add_rows(&mut own, &part);
                accumulate(&mut sum, T::of(scale[i]), &own);
            } else {
                add_rows(&mut sum, &part);
            }
        }
        Ok(sum)
    })
    .into_iter()
    .collect();
    let sums = sums?;
    let norms: Vec<f64> = sums.iter().map(|sum| inner(sum, sum)).collect();
    let bytes = n * p * std::mem::size_of::<T>();
    if 1 < positions && norms.iter().all(|x| x.is_finite()) && cache.reserve(bytes) {
        cache.put(leaf, Rows { grads: sums, norms: norms.clone(), leaf: uses[0].leaf_shape() });
    }
    Ok(norms)
}

fn kept<T: Real>(uses: &[Use<'_>], n: usize) -> Result<Vec<f64>> {
    let hosts = hosts(uses)?;
    let views: Vec<View<'_>> = hosts.iter().map(Host::view).collect();
    let slices: Vec<&[T]> = views.iter().map(|v| v.slice::<T>()).collect::<Result<_, _>>()?;
    let size = uses[0].leaf_shape().elem_count();
    Ok(map_indices(n, |i| {
        let part = |g: &&[T]| i * size..(i + 1) * size.min(g.len());
        if let [only] = slices.as_slice() {
            let g = &only[part(only)];
            return inner(g, g);
        }
        let mut sum = vec![T::default(); size];
        for g in &slices {
            accumulate(&mut sum, T::ONE, &g[part(g)]);
        }
        inner(&sum, &sum)
    }))
}

fn hosts(uses: &[Use<'_>]) -> Result<Vec<Host>> {
    uses.iter()
        .filter_map(|u| {
            let Use::Kept { grads } = u else { return None };
            Some(Host::of(grads).map_err(Into::into))
        })
        .collect()
}

/// A table that is also the weight of linear layers (tied embedding and head): norms of both parts and
/// twice their inner product.
///
/// # Source
/// Derived: with left factors stacked along the positions, `norm^2 = sum (L L^T) * (Q Q^T)`.
fn tables_and_weights<T: Real>(uses: &[Use<'_>], n: usize) -> Result<Vec<f64>> {
    let dims = uses[0].leaf_shape().dims().to_vec();
    let (n_rows, width) = (dims[0], dims[1]);
    let mut tables: Vec<(&[u32], Option<u32>, Host)> = Vec::new();
    for u in uses {
        if let Use::Table { rows, padding, g, .. } = u {
            tables.push((rows, *padding, Host::of(g)?));
        }
    }
    let table_views: Vec<View<'_>> = tables.iter().map(|(_, _, g)| g.view()).collect();
    let lookups: Vec<(&[u32], Option<u32>, &[T])> = tables
        .iter()
        .zip(&table_views)
        .map(|((rows, padding, _), v)| Ok((*rows, *padding, v.slice::<T>()?)))
        .collect::<Result<_>>()?;
    let norms = table::squared_norms(&lookups, n, width);
    let pairs = pairs(uses)?;
    if pairs.is_empty() {
        return Ok(norms);
    }
    let views: Vec<_> = pairs.iter().map(Pair::view).collect();
    let sides = sides::<T>(&pairs, &views)?;
    let norms = map_indices_with(n, Scratch::default, |scratch, i| {
        let sample = stack(&sides, i, width, n_rows)?;
        let parts = norms[i] + one_norm(scratch, &sample, width, n_rows);
        let used: Vec<table::Lookup<'_, T>> = lookups
            .iter()
            .map(|(rows, padding, g)| {
                let t = rows.len() / n;
                table::Lookup {
                    rows: &rows[i * t..(i + 1) * t],
                    padding: *padding,
                    g: &g[i * t * width..(i + 1) * t * width],
                }
            })
            .collect();
        let cross = used.iter().map(|u| table::cross(u, &sample.x, &sample.g, width, n_rows));
        let total = parts + 2.0 * sample.factor * cross.sum::<f64>();
        if parts * 0.01 <= total || !total.is_finite() {
            return Ok(total);
        }
        // The parts cancel, and the sum of their norms with it most of its digits.
        let mut out = vec![T::default(); n_rows * width];
        direct(&sample, width, n_rows, &mut out);
        used.iter().for_each(|u| u.add_to(&mut out, width));
        Ok(inner(&out, &out))
    });
    norms.into_iter().collect()
}

/// Any other mixture of uses: each sample's gradient is made and measured.
fn instantiated<T: Real>(uses: &[Use<'_>], n: usize) -> Result<Vec<f64>> {
    let shape = uses[0].leaf_shape();
    let mut norms = Vec::with_capacity(n);
    for i in 0..n {
        let mut factors = vec![0.0; n];
        factors[i] = 1.0;
        let host = Host::of(&summed(uses, Some(&factors), &shape)?)?;
        let view = host.view();
        let g = view.slice::<T>()?;
        norms.push(inner(g, g));
    }
    Ok(norms)
}
