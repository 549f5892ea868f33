//! The bytes of a checkpoint.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use safetensors::{Dtype, SafeTensors, View, tensor::TensorView};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{Entry, State};
use crate::error::{Error, Result};

const FORMAT: &str = "lethe-checkpoint";
const VERSION: &str = "1";

/// What a checkpoint says of itself besides its entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The crate and kind of state, such as `bench-suite/run`.
    pub kind: String,
    /// Hash of the configuration that the state belongs to.
    pub config: String,
}

/// The state as bytes of a safetensors file.
///
/// # Errors
/// [`Error::UnsupportedDType`] for a tensor that safetensors cannot hold.
pub fn to_bytes(header: &Header, state: &State) -> Result<Vec<u8>> {
    let mut tensors: BTreeMap<&str, (Dtype, Vec<usize>, Vec<u8>)> = BTreeMap::new();
    let mut values = Map::new();
    for (path, entry) in &state.entries {
        match entry {
            Entry::Tensor(tensor) => {
                let (dtype, bytes) = encode(path, tensor)?;
                tensors.insert(path, (dtype, tensor.dims().to_vec(), bytes));
            }
            Entry::Count(n) => drop(values.insert(path.clone(), format!("n{n}").into())),
            Entry::Number(bits) => {
                drop(values.insert(path.clone(), format!("x{bits:016x}").into()))
            }
            Entry::Text(text) => drop(values.insert(path.clone(), format!("t{text}").into())),
        }
    }
    let values = Value::Object(values).to_string();
    let digest = digest(
        header,
        &values,
        tensors.iter().map(|(name, (dtype, shape, bytes))| {
            (*name, *dtype, shape.as_slice(), bytes.as_slice())
        }),
    );
    let metadata: HashMap<String, String> = [
        ("format", FORMAT.to_owned()),
        ("version", VERSION.to_owned()),
        ("kind", header.kind.clone()),
        ("config", header.config.clone()),
        ("values", values),
        ("sha256", digest),
    ]
    .into_iter()
    .map(|(k, v)| (k.to_owned(), v))
    .collect();
    let bad = |e: safetensors::SafeTensorError| broken(format!("cannot be encoded: {e}"));
    let views = tensors
        .iter()
        .map(|(name, (dtype, shape, bytes))| {
            Ok((*name, TensorView::new(*dtype, shape.clone(), bytes).map_err(bad)?))
        })
        .collect::<Result<Vec<_>>>()?;
    safetensors::serialize(views, Some(metadata)).map_err(bad)
}

/// Reads what [`to_bytes`] made.
///
/// # Errors
/// [`Error::Checkpoint`] if the bytes are not a checkpoint of this version, are damaged (a checksum
/// covers everything), or belong to another kind or configuration than `expected`.
pub fn from_bytes(bytes: &[u8], expected: &Header) -> Result<State> {
    let (_, metadata) = SafeTensors::read_metadata(bytes)
        .map_err(|e| broken(format!("not a safetensors file: {e}")))?;
    let file = SafeTensors::deserialize(bytes)
        .map_err(|e| broken(format!("not a safetensors file: {e}")))?;
    let fields = metadata.metadata().as_ref();
    let field = |name: &str| {
        fields.and_then(|f| f.get(name)).ok_or_else(|| broken(format!("metadata has no `{name}`")))
    };
    for (name, want) in [("format", FORMAT), ("version", VERSION)] {
        let got = field(name)?;
        if got != want {
            return Err(broken(format!("{name} is `{got}`, expected `{want}`")));
        }
    }
    let header = Header { kind: field("kind")?.clone(), config: field("config")?.clone() };
    let values = field("values")?;
    let mut views: Vec<(String, TensorView<'_>)> = file.tensors();
    views.sort_by(|a, b| a.0.cmp(&b.0));
    let sum = digest(
        &header,
        values,
        views.iter().map(|(name, v)| (name.as_str(), v.dtype(), v.shape(), v.data())),
    );
    if sum != *field("sha256")? {
        return Err(broken("the checksum does not fit: the file is damaged".into()));
    }
    for (name, got, want) in
        [("kind", &header.kind, &expected.kind), ("config", &header.config, &expected.config)]
    {
        if got != want {
            return Err(broken(format!("{name} is `{got}`, expected `{want}`")));
        }
    }
    let mut entries = BTreeMap::new();
    for (name, view) in views {
        let tensor = decode(&name, &view)?;
        entries.insert(name, Entry::Tensor(tensor));
    }
    let Ok(Value::Object(map)) = serde_json::from_str(values) else {
        return Err(broken("the values are not a JSON object".into()));
    };
    for (path, value) in map {
        let entry = value.as_str().and_then(parse_value);
        let entry =
            entry.ok_or_else(|| broken(format!("value `{path}` cannot be read: {value}")))?;
        if entries.insert(path.clone(), entry).is_some() {
            return Err(broken(format!("`{path}` is both a tensor and a value")));
        }
    }
    Ok(State { entries })
}

/// Writes a checkpoint: the file is either the old one or the whole new one, whenever the process dies.
///
/// # Errors
/// As [`to_bytes`], or if the file cannot be written.
pub fn write(path: &Path, header: &Header, state: &State) -> Result<()> {
    let bytes = to_bytes(header, state)?;
    report::atomic::write(path, &bytes)
        .map_err(|e| Error::Checkpoint { path: Some(path.into()), reason: e.to_string() })
}

/// Reads a checkpoint.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read, else as [`from_bytes`], with the path.
pub fn read(path: &Path, expected: &Header) -> Result<State> {
    let bytes = std::fs::read(path).map_err(|source| Error::Io { path: path.into(), source })?;
    from_bytes(&bytes, expected).map_err(|e| match e {
        Error::Checkpoint { path: None, reason } => {
            Error::Checkpoint { path: Some(path.into()), reason }
        }
        other => other,
    })
}

fn broken(reason: String) -> Error {
    Error::Checkpoint { path: None, reason }
}

fn parse_value(text: &str) -> Option<Entry> {
    let mut chars = text.chars();
    let kind = chars.next()?;
    let rest = chars.as_str();
    match kind {
        'n' => rest.parse().ok().map(Entry::Count),
        'x' => u64::from_str_radix(rest, 16).ok().map(Entry::Number),
        't' => Some(Entry::Text(rest.to_owned())),
        _ => None,
    }
}

fn digest<'a>(
    header: &Header,
    values: &str,
    tensors: impl Iterator<Item = (&'a str, Dtype, &'a [usize], &'a [u8])>,
) -> String {
    let mut hash = Sha256::new();
    let mut text = |s: &[u8]| {
        hash.update((s.len() as u64).to_le_bytes());
        hash.update(s);
    };
    text(header.kind.as_bytes());
    text(header.config.as_bytes());
    text(values.as_bytes());
    for (name, dtype, shape, bytes) in tensors {
        text(name.as_bytes());
        text(format!("{dtype:?} {shape:?}").as_bytes());
        text(bytes);
    }
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

fn encode(name: &str, tensor: &Tensor) -> Result<(Dtype, Vec<u8>)> {
    let flat = tensor.flatten_all()?.to_device(&Device::Cpu)?;
    macro_rules! bytes {
        ($ty:ty) => {
            flat.to_vec1::<$ty>()?.iter().flat_map(|x| x.to_le_bytes()).collect()
        };
    }
    Ok(match flat.dtype() {
        DType::F32 => (Dtype::F32, bytes!(f32)),
        DType::F64 => (Dtype::F64, bytes!(f64)),
        DType::F16 => (Dtype::F16, flat.data().into_owned()),
        DType::BF16 => (Dtype::BF16, flat.data().into_owned()),
        DType::U32 => (Dtype::U32, bytes!(u32)),
        DType::I64 => (Dtype::I64, bytes!(i64)),
        DType::U8 => (Dtype::U8, bytes!(u8)),
        other => {
            return Err(Error::UnsupportedDType {
                what: format!("saving `{name}`"),
                expected: "f16, bf16, f32, f64, u32, i64 or u8",
                got: format!("{other:?}"),
            });
        }
    })
}

fn decode(name: &str, view: &TensorView<'_>) -> Result<Tensor> {
    macro_rules! tensor {
        ($ty:ty, $n:literal) => {{
            let values: Vec<$ty> = view
                .data()
                .chunks_exact($n)
                .map(|b| {
                    let mut bytes = [0u8; $n];
                    bytes.copy_from_slice(b);
                    <$ty>::from_le_bytes(bytes)
                })
                .collect();
            Tensor::from_vec(values, view.shape(), &Device::Cpu)?
        }};
    }
    let half = |dtype| Tensor::from_raw_buffer(view.data(), dtype, view.shape(), &Device::Cpu);
    Ok(match view.dtype() {
        Dtype::F32 => tensor!(f32, 4),
        Dtype::F64 => tensor!(f64, 8),
        Dtype::F16 => half(DType::F16)?,
        Dtype::BF16 => half(DType::BF16)?,
        Dtype::U32 => tensor!(u32, 4),
        Dtype::I64 => tensor!(i64, 8),
        Dtype::U8 => tensor!(u8, 1),
        other => return Err(broken(format!("`{name}` has the unexpected type {other:?}"))),
    })
}
