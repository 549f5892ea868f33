//! GGUF files, versions 2 and 3: metadata, and tensors dequantised to floating point.
//!
//! The reader is strict: every length is compared with what is left of the file before anything is allocated,
//! and tensors may neither reach past the end nor overlap. So what a damaged file costs is bounded by its size.

mod dequant;
mod llama;
mod reader;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};

use super::{broken, in_file, read_file};
use crate::error::{Error, Result};

pub use dequant::Quant;
pub use llama::{llama_config, llama_tree};

const WHAT: &str = "GGUF file";

/// An opened GGUF file.
#[derive(Clone, Debug)]
pub struct Gguf {
    path: Option<PathBuf>,
    metadata: BTreeMap<String, Value>,
    tensors: BTreeMap<String, TensorInfo>,
    bytes: Vec<u8>,
}

/// A tensor of a GGUF file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Shape with the longest stride first, as candle has it (GGUF stores it the other way round).
    pub shape: Vec<usize>,
    /// How its numbers are stored.
    pub quant: Quant,
    /// Where its bytes lie in the file.
    range: std::ops::Range<usize>,
}

/// A metadata value.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// Any unsigned integer.
    Unsigned(u64),
    /// Any signed integer.
    Signed(i64),
    /// 32 bit number.
    F32(f32),
    /// 64 bit number.
    F64(f64),
    /// Truth value.
    Bool(bool),
    /// Text.
    Text(String),
    /// Array.
    Array(Array),
}

/// A metadata array: its elements are of one type.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Array {
    /// Bytes.
    U8(Vec<u8>),
    /// Signed bytes.
    I8(Vec<i8>),
    /// 16 bits.
    U16(Vec<u16>),
    /// 16 bits, signed.
    I16(Vec<i16>),
    /// 32 bits.
    U32(Vec<u32>),
    /// 32 bits, signed.
    I32(Vec<i32>),
    /// 64 bits.
    U64(Vec<u64>),
    /// 64 bits, signed.
    I64(Vec<i64>),
    /// 32 bit numbers.
    F32(Vec<f32>),
    /// 64 bit numbers.
    F64(Vec<f64>),
    /// Truth values.
    Bool(Vec<bool>),
    /// Texts.
    Text(Vec<String>),
    /// Arrays of arrays.
    Array(Vec<Array>),
}

impl Gguf {
    /// Opens a file.
    ///
    /// # Errors
    /// [`Error::Load`] if it cannot be read, is damaged, or holds tensors of a type that cannot be dequantised.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let mut file = in_file(path, Self::from_bytes(read_file(WHAT, path)?))?;
        file.path = Some(path.into());
        Ok(file)
    }

    /// Opens the bytes of a file.
    ///
    /// # Errors
    /// As [`Gguf::read`].
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self> {
        let (metadata, tensors) = reader::parse(&bytes)?;
        Ok(Gguf { path: None, metadata, tensors, bytes })
    }

    /// All metadata, by key.
    #[must_use]
    pub fn metadata(&self) -> &BTreeMap<String, Value> {
        &self.metadata
    }

    /// All tensors, by name.
    #[must_use]
    pub fn tensors(&self) -> &BTreeMap<String, TensorInfo> {
        &self.tensors
    }

    /// A metadata text, if there is one of that key.
    ///
    /// # Errors
    /// [`Error::Load`] if the value is not a text.
    pub fn text(&self, key: &str) -> Result<Option<&str>> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(_) => Err(self.broken(format!("metadata `{key}` is not a text"))),
        }
    }

    /// A metadata number that counts something, if there is one of that key.
    ///
    /// # Errors
    /// [`Error::Load`] if the value is not an integer of at least zero.
    pub fn count(&self, key: &str) -> Result<Option<usize>> {
        let value = match self.metadata.get(key) {
            None => return Ok(None),
            Some(Value::Unsigned(n)) => usize::try_from(*n).ok(),
            Some(Value::Signed(n)) => usize::try_from(*n).ok(),
            Some(_) => None,
        };
        let wrong = || self.broken(format!("metadata `{key}` is not a number of at least zero"));
        value.map(Some).ok_or_else(wrong)
    }

    /// A metadata number with a fraction, if there is one of that key.
    ///
    /// # Errors
    /// [`Error::Load`] if the value is not a finite number.
    pub fn number(&self, key: &str) -> Result<Option<f64>> {
        let value = match self.metadata.get(key) {
            None => return Ok(None),
            // Numbers such as 1e-5 are stored in 32 bits and meant in decimal.
            Some(Value::F32(x)) => x.to_string().parse().ok(),
            Some(Value::F64(x)) => Some(*x),
            Some(_) => None,
        };
        let wrong = || self.broken(format!("metadata `{key}` is not a finite number"));
        value.filter(|x: &f64| x.is_finite()).map(Some).ok_or_else(wrong)
    }

    /// A tensor, dequantised.
    ///
    /// # Errors
    /// [`Error::Load`] if there is none of that name; from the back-end.
    pub fn tensor(&self, name: &str, dtype: DType, device: &Device) -> Result<Tensor> {
        let info = self
            .tensors
            .get(name)
            .ok_or_else(|| self.broken(format!("there is no tensor `{name}`")))?;
        let bytes = &self.bytes[info.range.clone()];
        let tensor = match info.quant.plain() {
            Some(plain) => Tensor::from_raw_buffer(bytes, plain, &info.shape, &Device::Cpu)?,
            None => {
                Tensor::from_vec(info.quant.dequantize(bytes), info.shape.as_slice(), &Device::Cpu)?
            }
        };
        Ok(tensor.to_dtype(dtype)?.to_device(device)?)
    }

    fn broken(&self, reason: impl Into<String>) -> Error {
        Error::Load { what: WHAT, path: self.path.clone(), reason: reason.into() }
    }
}

#[cfg(test)]
mod tests;
