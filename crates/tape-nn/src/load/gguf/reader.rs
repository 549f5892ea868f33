//! The structure of a GGUF file.

use std::collections::BTreeMap;

use super::{Array, Quant, TensorInfo, Value, WHAT, broken};
use crate::error::Result;

type Metadata = BTreeMap<String, Value>;
type Tensors = BTreeMap<String, TensorInfo>;

/// Arrays within arrays.
const MAX_DEPTH: usize = 4;
const MAX_DIMS: u32 = 4;
/// Key, type and the shortest value.
const MIN_ENTRY: usize = 8 + 4 + 1;
/// Name, number of axes, one axis, type and offset.
const MIN_TENSOR: usize = 8 + 4 + 8 + 4 + 8;

/// Reads header, metadata and the table of tensors, and checks that the data are all there.
pub(super) fn parse(bytes: &[u8]) -> Result<(Metadata, Tensors)> {
    let mut at = Cursor { bytes, position: 0 };
    if at.take(4, "the file's mark")? != b"GGUF" {
        return Err(broken(WHAT, "the file does not begin with `GGUF`"));
    }
    match at.u32("version")? {
        2 | 3 => {}
        version if matches!(version.swap_bytes(), 1..=3) => {
            return Err(broken(WHAT, "its numbers are big-endian, which is not supported"));
        }
        version => {
            return Err(broken(
                WHAT,
                format!("version {version} is not supported, expected 2 or 3"),
            ));
        }
    }
    let n_tensors = at.count(MIN_TENSOR, "number of tensors")?;
    let n_entries = at.count(MIN_ENTRY, "number of metadata entries")?;
    let mut metadata = Metadata::new();
    for _ in 0..n_entries {
        let key = at.text("metadata key")?;
        let kind = at.u32("type of a metadata value")?;
        let value = at.value(kind, &key)?;
        if metadata.insert(key.clone(), value).is_some() {
            return Err(broken(WHAT, format!("metadata key `{key}` comes twice")));
        }
    }
    let mut tensors = Tensors::new();
    for _ in 0..n_tensors {
        let name = at.text("tensor name")?;
        let info = at.tensor(&name)?;
        if tensors.insert(name.clone(), info).is_some() {
            return Err(broken(WHAT, format!("tensor `{name}` comes twice")));
        }
    }
    let alignment = match metadata.get("general.alignment") {
        None => 32,
        Some(Value::Unsigned(n)) if n.is_power_of_two() && *n <= 1 << 20 => {
            1usize << n.trailing_zeros()
        }
        Some(other) => {
            return Err(broken(
                WHAT,
                format!("alignment {other:?} is not a power of two up to 2^20"),
            ));
        }
    };
    place(&mut tensors, at.position.next_multiple_of(alignment), alignment, bytes.len())?;
    Ok((metadata, tensors))
}

/// Moves the tensors' ranges behind the header and checks that they lie in the file, side by side.
fn place(tensors: &mut Tensors, start: usize, alignment: usize, file: usize) -> Result<()> {
    let mut order: Vec<(usize, usize, &str)> = Vec::with_capacity(tensors.len());
    for (name, info) in tensors.iter_mut() {
        let offset = info.range.start;
        if !offset.is_multiple_of(alignment) {
            return Err(broken(
                WHAT,
                format!(
                    "tensor `{name}` begins at {offset}, which is not a multiple of the alignment {alignment}"
                ),
            ));
        }
        let end = start.checked_add(info.range.end).filter(|end| *end <= file);
        let Some(end) = end else {
            return Err(broken(WHAT, format!("tensor `{name}` reaches past the end of the file")));
        };
        info.range = start + offset..end;
        order.push((info.range.start, end, name));
    }
    order.sort_unstable();
    match order.windows(2).find(|pair| pair[1].0 < pair[0].1) {
        Some(pair) => {
            Err(broken(WHAT, format!("tensors `{}` and `{}` overlap", pair[0].2, pair[1].2)))
        }
        None => Ok(()),
    }
}

struct Cursor<'a> {
    bytes: &'a [u8],
    position: usize,
}

macro_rules! numbers {
    ($($name:ident: $ty:ty),*) => {$(
        fn $name(&mut self, what: &str) -> Result<$ty> {
            const N: usize = std::mem::size_of::<$ty>();
            let mut raw = [0u8; N];
            raw.copy_from_slice(self.take(N, what)?);
            Ok(<$ty>::from_le_bytes(raw))
        }
    )*};
}

/// An array of `n` numbers whose bytes are known to be there.
macro_rules! array {
    ($self:ident, $kind:ident, $read:ident, $n:ident, $key:ident) => {{
        let mut out = Vec::with_capacity($n);
        for _ in 0..$n {
            out.push($self.$read($key)?);
        }
        Array::$kind(out)
    }};
}

impl<'a> Cursor<'a> {
    numbers!(u8: u8, i8: i8, u16: u16, i16: i16, u32: u32, i32: i32, u64: u64, i64: i64, f32: f32, f64: f64);

    fn rest(&self) -> usize {
        self.bytes.len() - self.position
    }

    fn take(&mut self, n: usize, what: &str) -> Result<&'a [u8]> {
        if self.rest() < n {
            let reason = format!(
                "{what}: {n} bytes expected at byte {}, the file has {} more",
                self.position,
                self.rest()
            );
            return Err(broken(WHAT, reason));
        }
        let out = &self.bytes[self.position..self.position + n];
        self.position += n;
        Ok(out)
    }

    /// A number of things that take at least `min` bytes each.
    fn count(&mut self, min: usize, what: &str) -> Result<usize> {
        let n = self.u64(what)?;
        let fits = usize::try_from(n)
            .ok()
            .filter(|n| n.checked_mul(min).is_some_and(|size| size <= self.rest()));
        fits.ok_or_else(|| {
            broken(
                WHAT,
                format!("{what}: {n} do not fit into the {} bytes that are left", self.rest()),
            )
        })
    }

    fn text(&mut self, what: &str) -> Result<String> {
        let n = self.count(1, what)?;
        let raw = self.take(n, what)?;
        let text = std::str::from_utf8(raw)
            .map_err(|_| broken(WHAT, format!("{what}: a text is not UTF-8")))?;
        Ok(text.to_owned())
    }

    fn bool(&mut self, what: &str) -> Result<bool> {
        match self.u8(what)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(broken(WHAT, format!("{what}: {other} is neither true nor false"))),
        }
    }

    fn value(&mut self, kind: u32, key: &str) -> Result<Value> {
        Ok(match kind {
            0 => Value::Unsigned(self.u8(key)?.into()),
            1 => Value::Signed(self.i8(key)?.into()),
            2 => Value::Unsigned(self.u16(key)?.into()),
            3 => Value::Signed(self.i16(key)?.into()),
            4 => Value::Unsigned(self.u32(key)?.into()),
            5 => Value::Signed(self.i32(key)?.into()),
            6 => Value::F32(self.f32(key)?),
            7 => Value::Bool(self.bool(key)?),
            8 => Value::Text(self.text(key)?),
            9 => Value::Array(self.array(key, 0)?),
            10 => Value::Unsigned(self.u64(key)?),
            11 => Value::Signed(self.i64(key)?),
            12 => Value::F64(self.f64(key)?),
            other => {
                return Err(broken(WHAT, format!("metadata `{key}` has the unknown type {other}")));
            }
        })
    }

    fn array(&mut self, key: &str, depth: usize) -> Result<Array> {
        let kind = self.u32(key)?;
        let min = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            8 | 10..=12 => 8,
            9 if depth < MAX_DEPTH => 12,
            9 => {
                return Err(broken(
                    WHAT,
                    format!("metadata `{key}` nests more than {MAX_DEPTH} arrays"),
                ));
            }
            other => {
                return Err(broken(
                    WHAT,
                    format!("metadata `{key}` has elements of the unknown type {other}"),
                ));
            }
        };
        let n = self.count(min, key)?;
        Ok(match kind {
            0 => array!(self, U8, u8, n, key),
            1 => array!(self, I8, i8, n, key),
            2 => array!(self, U16, u16, n, key),
            3 => array!(self, I16, i16, n, key),
            4 => array!(self, U32, u32, n, key),
            5 => array!(self, I32, i32, n, key),
            6 => array!(self, F32, f32, n, key),
            7 => array!(self, Bool, bool, n, key),
            10 => array!(self, U64, u64, n, key),
            11 => array!(self, I64, i64, n, key),
            12 => array!(self, F64, f64, n, key),
            8 => {
                // A text takes more room in memory than its length in the file, so the list grows as it comes.
                let mut out = Vec::new();
                for _ in 0..n {
                    out.push(self.text(key)?);
                }
                Array::Text(out)
            }
            _ => {
                let mut out = Vec::new();
                for _ in 0..n {
                    out.push(self.array(key, depth + 1)?);
                }
                Array::Array(out)
            }
        })
    }

    /// An entry of the table of tensors; its range is still relative to the data's beginning.
    fn tensor(&mut self, name: &str) -> Result<TensorInfo> {
        let n_dims = self.u32(name)?;
        if !(1..=MAX_DIMS).contains(&n_dims) {
            return Err(broken(
                WHAT,
                format!("tensor `{name}` has {n_dims} axes, expected 1 to {MAX_DIMS}"),
            ));
        }
        let mut shape = Vec::new();
        for _ in 0..n_dims {
            shape.push(self.u64(name)?);
        }
        let quant = self.u32(name)?;
        let offset = self.u64(name)?;
        let quant = Quant::of(quant).ok_or_else(|| {
            broken(
                WHAT,
                format!(
                    "tensor `{name}` is stored in type {quant} ({}), which cannot be dequantised",
                    Quant::name_of(quant)
                ),
            )
        })?;
        let wrong = || {
            broken(
                WHAT,
                format!("tensor `{name}` of shape {shape:?} and type {quant:?} is impossible"),
            )
        };
        let sizes: Option<Vec<usize>> =
            shape.iter().rev().map(|n| usize::try_from(*n).ok().filter(|n| 0 < *n)).collect();
        let sizes = sizes.ok_or_else(wrong)?;
        let elements = sizes.iter().try_fold(1usize, |a, b| a.checked_mul(*b));
        let row = sizes.last().copied().unwrap_or(0);
        let size = elements.filter(|_| row.is_multiple_of(quant.block()));
        let size = size
            .and_then(|n| (n / quant.block()).checked_mul(quant.block_bytes()))
            .ok_or_else(wrong)?;
        let start = usize::try_from(offset).map_err(|_| wrong())?;
        let end = start.checked_add(size).ok_or_else(wrong)?;
        Ok(TensorInfo { shape: sizes, quant, range: start..end })
    }
}
