//! Device memory that the backend allocates.
#![allow(unsafe_code)]

use super::driver::{bind, refused};
use crate::element::Scalar;
use crate::{Error, Result};
use cudarc::driver::{CudaSlice, CudaStream, DriverError, result};
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// Memory of a device: cudarc's [`CudaSlice`], which is what it dereferences to, but one that any
/// thread may drop. A `CudaSlice` is freed in whatever context the thread has.
///
/// It belongs to the stream that it was allocated on, and is freed in the order of its work.
#[derive(Debug)]
pub struct Buffer<T>(ManuallyDrop<CudaSlice<T>>);

impl<T> Buffer<T> {
    /// The slice, which frees the memory from now on.
    pub fn into_inner(self) -> CudaSlice<T> {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is neither used again nor dropped.
        unsafe { ManuallyDrop::take(&mut this.0) }
    }

    /// Memory for `len` elements, of which none is written.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when the bytes cannot be counted, [`Error::DeviceMemory`] when there are
    /// not so many, [`Error::Driver`].
    pub(super) fn uninit(stream: &Arc<CudaStream>, len: usize) -> Result<Self>
    where
        T: Scalar,
    {
        let bytes = bytes_of::<T>(len)?;
        let failed = |source| out_of_memory(bytes, source);
        if bytes == 0 {
            // Drivers refuse to allocate nothing.
            // SAFETY: nobody reads the byte.
            let memory = unsafe { stream.alloc::<u8>(1) }.map_err(failed)?;
            // SAFETY: an allocation that nobody else frees, for no elements.
            return Ok(unsafe { stream.upgrade_device_ptr(memory.leak(), len) }.into());
        }
        // SAFETY: any bits are a number.
        Ok(unsafe { stream.alloc(len) }.map_err(failed)?.into())
    }

    /// Memory of zeros.
    ///
    /// # Errors
    /// As [`uninit`](Self::uninit).
    pub(super) fn zeros(stream: &Arc<CudaStream>, len: usize) -> Result<Self>
    where
        T: Scalar,
    {
        let mut buffer = Self::uninit(stream, len)?;
        if buffer.num_bytes() > 0 {
            stream.memset_zeros(&mut *buffer).map_err(refused("fill memory with zeros"))?;
        }
        Ok(buffer)
    }
}

/// Bytes of so many elements.
fn bytes_of<T>(len: usize) -> Result<usize> {
    let bytes = len.checked_mul(size_of::<T>()).filter(|&bytes| isize::try_from(bytes).is_ok());
    bytes.ok_or(Error::TooLarge { rows: 1, cols: len, row_stride: len, col_stride: 1 })
}

fn out_of_memory(bytes: usize, source: DriverError) -> Error {
    use cudarc::driver::sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY;
    match result::mem_get_info() {
        Ok((free, total)) if source.0 == CUDA_ERROR_OUT_OF_MEMORY => {
            Error::DeviceMemory { bytes, free, total }
        }
        _ => Error::Driver { what: "allocate memory", source },
    }
}

impl<T> From<CudaSlice<T>> for Buffer<T> {
    fn from(slice: CudaSlice<T>) -> Self {
        Self(ManuallyDrop::new(slice))
    }
}

impl<T> Deref for Buffer<T> {
    type Target = CudaSlice<T>;

    fn deref(&self) -> &CudaSlice<T> {
        &self.0
    }
}

impl<T> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut CudaSlice<T> {
        &mut self.0
    }
}

impl<T> Drop for Buffer<T> {
    fn drop(&mut self) {
        let context = Arc::clone(self.0.context());
        // An error that is kept would keep cudarc from waiting for whoever uses the memory.
        let kept = context.check_err();
        let bound = bind(&context);
        // SAFETY: once, at the end.
        unsafe { ManuallyDrop::drop(&mut self.0) };
        context.record_err(bound);
        context.record_err(kept);
    }
}
