//! Trees from and to safetensors, in one file or in shards with an index.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use ::safetensors::{Dtype, SafeTensors, View};
use candle_core::{DType, Device, Tensor};
use tensor_tree::Tree;

use super::{broken, in_file, read_file};
use crate::error::{Error, Result};

const WHAT: &str = "safetensors file";
/// Key of the header under which texts stand.
const METADATA: &str = "__metadata__";
const INDEX: &str = "index of safetensors files";

/// What a safetensors file holds.
#[derive(Clone, Debug, Default)]
pub struct Weights {
    /// The tensors of floating point numbers.
    pub tree: Tree,
    /// Texts that the file says of itself.
    pub metadata: BTreeMap<String, String>,
    /// Names of tensors of other types, such as masks and position numbers: no parameters, so not in the tree.
    pub others: Vec<String>,
}

/// Reads a file, a folder, or an index of shards.
///
/// A folder must hold `model.safetensors` or `model.safetensors.index.json`; shards lie beside their index.
/// Numbers (`f64`, `f32`, `f16`, `bf16`) are converted to `dtype`.
///
/// # Errors
/// [`Error::Load`] if a file cannot be read or is damaged, if an index names a file outside its folder, or if
/// index and shards disagree.
pub fn read(path: impl AsRef<Path>, dtype: DType, device: &Device) -> Result<Weights> {
    let path = path.as_ref();
    if path.is_dir() {
        let (whole, index) =
            (path.join("model.safetensors"), path.join("model.safetensors.index.json"));
        return match (whole.is_file(), index.is_file()) {
            (true, _) => read(whole, dtype, device),
            (false, true) => read_shards(&index, dtype, device),
            (false, false) => in_file(
                path,
                Err(broken(
                    WHAT,
                    "the folder has neither model.safetensors nor model.safetensors.index.json",
                )),
            ),
        };
    }
    if path.extension().is_some_and(|e| e == "json") {
        return read_shards(path, dtype, device);
    }
    in_file(path, from_bytes(&read_file(WHAT, path)?, dtype, device))
}

/// Reads the bytes of one file.
///
/// # Errors
/// [`Error::Load`] if they are no safetensors file; from the back-end.
pub fn from_bytes(bytes: &[u8], dtype: DType, device: &Device) -> Result<Weights> {
    let bad = |e: ::safetensors::SafeTensorError| broken(WHAT, format!("damaged: {e}"));
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(bad)?;
    let file = SafeTensors::deserialize(bytes).map_err(bad)?;
    let mut weights = Weights::default();
    if let Some(metadata) = header.metadata() {
        weights.metadata = metadata.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    }
    for (name, view) in file.tensors() {
        let stored = match view.dtype() {
            Dtype::F64 => DType::F64,
            Dtype::F32 => DType::F32,
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::BF16,
            _ => {
                weights.others.push(name);
                continue;
            }
        };
        let tensor = Tensor::from_raw_buffer(view.data(), stored, view.shape(), &Device::Cpu)?;
        weights.tree.insert(name, tensor.to_dtype(dtype)?.to_device(device)?)?;
    }
    weights.others.sort();
    Ok(weights)
}

/// The bytes of a file that holds the tree, such as adapters or a merged model.
///
/// The bytes depend on the tree and `metadata` alone. Put them into a file atomically (`report::atomic::write`):
/// this crate writes none.
///
/// # Errors
/// [`Error::UnsupportedDType`] for a leaf that is not of floating point numbers; [`Error::Load`] for a leaf
/// called `__metadata__`.
pub fn to_bytes(tree: &Tree, metadata: &BTreeMap<String, String>) -> Result<Vec<u8>> {
    let mut leaves = Vec::with_capacity(tree.len());
    for (name, leaf) in tree.iter() {
        if name == METADATA {
            return Err(broken(WHAT, format!("no leaf may be called `{METADATA}`")));
        }
        match leaf.dtype() {
            DType::F64 | DType::F32 | DType::F16 | DType::BF16 => {
                leaves.push((name, leaf.to_device(&Device::Cpu)?));
            }
            other => {
                let got = format!("{other:?}");
                return Err(Error::UnsupportedDType { what: "saving a tree", got });
            }
        }
    }
    // Wide types first, so that every tensor is aligned. The library would write metadata in the order of
    // a hash map, so the header is made here.
    leaves.sort_by_key(|(name, leaf)| (std::cmp::Reverse(leaf.dtype().size_in_bytes()), *name));
    let mut header = serde_json::Map::new();
    if !metadata.is_empty() {
        header.insert(METADATA.into(), serde_json::json!(metadata));
    }
    let mut end = 0;
    for (name, leaf) in &leaves {
        let start = end;
        end += leaf.elem_count() * leaf.dtype().size_in_bytes();
        let dtype = Dtype::from(leaf.dtype()).to_string();
        let entry = serde_json::json!({
            "dtype": dtype, "shape": leaf.dims(), "data_offsets": [start, end]
        });
        header.insert((*name).into(), entry);
    }
    let mut header = serde_json::Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut bytes = Vec::with_capacity(8 + header.len() + end);
    bytes.extend((header.len() as u64).to_le_bytes());
    bytes.extend(header);
    for (_, leaf) in &leaves {
        bytes.extend_from_slice(&leaf.data());
    }
    Ok(bytes)
}

/// Reads shards as their index says.
fn read_shards(index: &Path, dtype: DType, device: &Device) -> Result<Weights> {
    let text = read_file(INDEX, index)?;
    let map = in_file(index, weight_map(&text))?;
    let folder = index.parent().unwrap_or_else(|| Path::new("."));
    let mut all = Weights::default();
    let mut shards: Vec<&String> = map.values().collect();
    shards.sort_unstable();
    shards.dedup();
    for shard in shards {
        let part = read(folder.join(shard), dtype, device)?;
        for (name, leaf) in part.tree.iter() {
            match map.get(name) {
                Some(home) if home == shard => all.tree.insert(name, leaf.clone())?,
                home => {
                    let said = home.map_or("no file", String::as_str);
                    let reason =
                        format!("`{name}` lies in `{shard}`, but the index says in `{said}`");
                    return in_file(index, Err(broken(INDEX, reason)));
                }
            }
        }
        all.others.extend(part.others);
        all.metadata.extend(part.metadata);
    }
    let found = |name: &String| all.tree.get(name).is_some() || all.others.contains(name);
    match map.keys().find(|name| !found(name)) {
        Some(name) => {
            let reason = format!("`{name}` is not in `{}`", map[name]);
            in_file(index, Err(broken(INDEX, reason)))
        }
        None => Ok(all),
    }
}

/// Tensor names and the files they lie in.
fn weight_map(text: &[u8]) -> Result<BTreeMap<String, String>> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let index: Index = serde_json::from_slice(text)
        .map_err(|e| broken(INDEX, format!("not an index with a `weight_map`: {e}")))?;
    for file in index.weight_map.values() {
        let mut parts = Path::new(file).components();
        let plain = matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None));
        if !plain || !file.ends_with(".safetensors") {
            return Err(broken(
                INDEX,
                format!("`{file}` is not the name of a safetensors file beside it"),
            ));
        }
    }
    if index.weight_map.is_empty() {
        return Err(broken(INDEX, "it names no tensor"));
    }
    Ok(index.weight_map)
}

#[cfg(test)]
mod tests;
