//! Read access to a tensor as one slice in row-major order.

use candle_core::op::BackpropOp;
use candle_core::{CpuStorage, Device, Shape, Storage, StorageRef, Tensor};

use super::Real;
use crate::error::{Error, Result};

/// A contiguous CPU copy of a tensor (no copy is made where it is one already).
#[derive(Clone, Debug)]
pub struct Host(Tensor);

/// A locked [`Host`] whose elements can be read.
pub struct View<'a> {
    guard: StorageRef<'a>,
    start: usize,
    end: usize,
}

impl Host {
    /// Brings `tensor` to the CPU in row-major order.
    ///
    /// # Errors
    /// From the back-end, if the device cannot be read.
    pub fn of(tensor: &Tensor) -> Result<Host> {
        let tensor = match tensor.device() {
            Device::Cpu => tensor.detach(),
            _ => tensor.detach().to_device(&Device::Cpu)?,
        };
        Ok(Host(tensor.contiguous()?))
    }

    /// The shape.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.0.shape().clone()
    }

    /// Locks the storage for reading.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        let (guard, layout) = self.0.storage_and_layout();
        let start = layout.start_offset();
        View { guard, start, end: start + layout.shape().elem_count() }
    }
}

impl View<'_> {
    /// The elements.
    ///
    /// # Errors
    /// [`Error::UnsupportedDType`] if they are not of type `T`.
    pub fn slice<T: candle_core::WithDType>(&self) -> Result<&[T]> {
        let Storage::Cpu(storage) = &*self.guard else {
            return Err(Error::Device {
                name: "cpu".into(),
                reason: "the tensor lies on another device".into(),
            });
        };
        Ok(&T::cpu_storage_as_slice(storage)?[self.start..self.end])
    }
}

/// A tensor on the CPU that takes the buffer as it is.
///
/// # Errors
/// [`Error::ShapeMismatch`] if the length does not fit the shape.
pub fn from_vec<T: Real>(data: Vec<T>, shape: impl Into<Shape>) -> Result<Tensor> {
    let shape = shape.into();
    if shape.elem_count() != data.len() {
        return Err(Error::ShapeMismatch {
            name: "buffer".into(),
            expected: shape.dims().to_vec(),
            got: vec![data.len()],
        });
    }
    let storage: CpuStorage = T::to_cpu_storage_owned(data);
    Ok(Tensor::from_storage(Storage::Cpu(storage), shape, BackpropOp::none(), false))
}
