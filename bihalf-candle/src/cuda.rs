//! CUDA tensors: ops run on candle's own stream and context.
//!
//! Tensors are read in place and results are buffers that candle frees like its own; work is queued
//! and not waited for. Only [`to_codes`](crate::BihalfExt::to_codes) waits, for its result is on
//! the host.
//!
//! - **Kernels** are loaded once for a context, by the first op on it, or earlier by [`load`].
//! - **Threads**: `Device::new_cuda` has the default stream of the calling thread, another one on each.
//!   As with candle's own ops, synchronise a device before its tensors go to another thread, or use
//!   `Device::new_cuda_with_stream`.
//! - **CUDA graphs**: nothing can be loaded inside a capture, so call [`load`] before. candle loads
//!   its own kernels at their first use as well (the cast at the end of
//!   [`cosine_loss`](crate::cosine_loss) to a dtype other than f64 is one), so let one training
//!   step run before the capture. cudarc's event tracking must be off, and tensors that a graph uses
//!   must outlive it, as for candle's own ops.
//! - **The driver**: candle links it, so a binary with feature `cuda` does not start on a machine
//!   without `libcuda`. Where the library is there, [`bihalf::cuda::context`] tells whether there
//!   is a device, without a panic.

use crate::loss::cosine_with_grad;
use crate::storage::{Float, TensorStorage, View};
use bihalf::cuda::{Buffer, Cuda, DeviceRef, Kernels};
use bihalf::{Backend, Ones};
use candle_core::backend::BackendStorage;
use candle_core::{
    CudaDevice, CudaStorage, DType, Device, Error, Layout, Result, Storage, WithDType,
};
use std::ops::Range;

/// Loads the kernels for a CUDA device, so that no op has to. For other devices there are none.
///
/// ```no_run
/// let device = candle_core::Device::new_cuda(0)?;
/// bihalf_candle::cuda::load(&device)?;
/// # Ok::<(), candle_core::Error>(())
/// ```
///
/// # Errors
/// Where the crate `bihalf` was built without nvcc, or the device is older than every architecture
/// that the kernels were compiled for.
pub fn load(device: &Device) -> Result<()> {
    match device {
        Device::Cuda(device) => kernels(device).map(drop),
        Device::Cpu | Device::Metal(_) => Ok(()),
    }
}

/// The backend of the crate `bihalf` on the stream of a candle device: what it queues is ordered
/// with candle's ops.
///
/// # Errors
/// As [`load`]; also where the device has the default stream of its thread, as that of
/// `Device::new_cuda` has: `Device::new_cuda_with_stream` has one that all threads can use.
pub fn backend(device: &CudaDevice) -> Result<Cuda> {
    let stream = device.cuda_stream();
    Cuda::on_stream(&kernels(device)?, &stream).map_err(Error::wrap)
}

fn kernels(device: &CudaDevice) -> Result<Kernels> {
    Kernels::new(device.cuda_stream().context()).map_err(Error::wrap)
}

/// The backend for ops on tensors.
#[expect(unsafe_code, reason = "candle's devices have streams that only candle's rules make safe")]
fn backend_of_ops(device: &CudaDevice) -> Result<Cuda> {
    let (kernels, stream) = (kernels(device)?, device.cuda_stream());
    // SAFETY: what candle's own ops ask for: a thread's device serves that thread, and whoever
    // captures a graph keeps the tensors that it uses.
    let cuda = unsafe { Cuda::on_stream_unchecked(&kernels, &stream).map(|cuda| cuda.recording()) };
    cuda.map_err(Error::wrap)
}

impl TensorStorage for CudaStorage {
    type Backend = Cuda;

    fn backend(&self) -> Result<Cuda> {
        backend_of_ops(self.device())
    }

    fn of(storage: &Storage) -> Option<&Self> {
        if let Storage::Cuda(storage) = storage { Some(storage) } else { None }
    }

    fn elements<T: Float>(&self, range: Range<usize>) -> Result<DeviceRef<'_, T>> {
        let all = self.as_cuda_slice::<T>()?;
        let end = range.end.min(all.len());
        Ok(all.slice(range.start.min(end)..end).into())
    }

    fn wrap<T: Float>(&self, buffer: Buffer<T>) -> Self {
        CudaStorage::wrap_cuda_slice(buffer.into_inner(), self.device().clone())
    }

    fn bihalf_forward<T: Float>(&self, u: View<'_, Self, T>, ones: Ones) -> Result<Buffer<T>> {
        self.backend()?.bihalf_forward(u, ones).map_err(Error::wrap)
    }

    /// The loss comes with its derivative and stays on the device: candle's own cast turns the f64
    /// into a `T`.
    fn cosine_loss<X: Float, T: Float>(
        &self,
        x: View<'_, Self, X>,
        b: View<'_, Self, T>,
        _: bool,
    ) -> Result<(Self, Option<Self>)> {
        let cuda = self.backend()?;
        let (loss, slope) = cosine_with_grad(&cuda, x, b).map_err(Error::wrap)?;
        let (loss, slope) = (self.wrap(loss), self.wrap(slope));
        let loss = match <T as WithDType>::DTYPE {
            DType::F64 => loss,
            dtype => loss.to_dtype(&Layout::contiguous(()), dtype)?,
        };
        Ok((loss, Some(slope)))
    }
}
