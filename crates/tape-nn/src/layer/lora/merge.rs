//! Adapters added to the weights they belong to.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{DType, Tensor};
use tensor_tree::Tree;

use super::{A, B, shape};
use crate::error::{Error, Result};

/// The model's tree with `scale B A` added to each weight that has an adapter. `scale` is
/// [`LoraConfig::scale`](super::LoraConfig::scale). Neither tree is changed.
///
/// # Errors
/// [`Error::MissingParam`] if `base` lacks the weight of an adapter or one of its two matrices is missing;
/// [`Error::ParamShape`] if shapes do not fit; [`Error::NothingSelected`] if a leaf of `adapters` belongs
/// to no adapter, or there is none.
pub fn merge(base: &Tree, adapters: &Tree, scale: f64) -> Result<Tree> {
    let mut layers = BTreeSet::new();
    for name in adapters.names() {
        match name.strip_suffix(A).or_else(|| name.strip_suffix(B)) {
            Some(layer) => layers.insert(layer),
            None => return Err(no_adapter(name, adapters)),
        };
    }
    if layers.is_empty() {
        return Err(no_adapter("", adapters));
    }
    let get = |tree: &Tree, name: String| match tree.get(&name) {
        Some(leaf) => Ok(leaf.clone()),
        None => Err(Error::MissingParam { name }),
    };
    let mut merged = BTreeMap::new();
    for layer in layers {
        let weight = get(base, format!("{layer}.weight"))?;
        let a = get(adapters, format!("{layer}{A}"))?;
        let b = get(adapters, format!("{layer}{B}"))?;
        let rank = a.dims().first().copied().unwrap_or(0);
        let (p, d) = match weight.dims() {
            [p, d] => (*p, *d),
            other => return Err(shape(format!("{layer}.weight"), &[0, 0], other)),
        };
        for (suffix, leaf, want) in [(A, &a, [rank, d]), (B, &b, [p, rank])] {
            if leaf.dims() != want {
                return Err(shape(format!("{layer}{suffix}"), &want, leaf.dims()));
            }
        }
        let wide = if weight.device().is_cpu() { DType::F64 } else { DType::F32 };
        let to_wide = |t: &Tensor| t.to_device(weight.device())?.to_dtype(wide);
        let addition = (to_wide(&b)?.matmul(&to_wide(&a)?)? * scale)?;
        let sum = (to_wide(&weight)? + addition)?.to_dtype(weight.dtype())?;
        merged.insert(format!("{layer}.weight"), sum);
    }
    Ok(base.map(|name, leaf| Ok(merged.get(name).unwrap_or(leaf).clone()))?)
}

fn no_adapter(name: &str, adapters: &Tree) -> Error {
    Error::NothingSelected {
        what: "adapters to merge",
        pattern: if name.is_empty() { format!("*{A}") } else { name.to_owned() },
        available: adapters.names().map(str::to_owned).collect(),
    }
}
