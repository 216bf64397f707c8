//! CUDA tensors: ops run on candle's own stream and context.
//!
//! Tensors are read in place and results are buffers that candle frees like its own; work is queued
//! and not waited for. Only [`to_codes`](crate::BihalfExt::to_codes) waits, for its result is on
//! the host.
//!
//! - **Kernels** are loaded once for a context, by the first op on it, or earlier by [`load`].
//! - **CUDA graphs**: ops allocate their results, and nothing can be allocated in a capture: they are
//!   errors there. Capture the calls of [`bihalf::cuda`] on buffers of your own instead, with
//!   [`Cuda::recording`](::bihalf::cuda::Cuda::recording) of [`backend`].
//! - **The driver**: candle links it, so a binary with feature `cuda` does not start on a machine
//!   without `libcuda`. Where the library is there, [`bihalf::cuda::context`] tells whether there
//!   is a device, without a panic.

use crate::loss::cosine_with_grad;
use crate::storage::{Float, TensorStorage, View};
use bihalf::cuda::{Buffer, Cuda, DeviceRef, Kernels};
use bihalf::{Backend, Ones};
use candle_core::backend::BackendStorage;
use candle_core::{CudaDevice, CudaStorage, DType, Device, Error, Layout, Result, WithDType};

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
        Device::Cuda(device) => backend(device).map(drop),
        Device::Cpu | Device::Metal(_) => Ok(()),
    }
}

/// The backend of the crate `bihalf` on the stream of a candle device: what it queues is ordered
/// with candle's ops.
///
/// # Errors
/// As [`load`].
pub fn backend(device: &CudaDevice) -> Result<Cuda> {
    let stream = device.cuda_stream();
    let kernels = Kernels::new(stream.context()).map_err(Error::wrap)?;
    Cuda::new(&kernels, &stream).map_err(Error::wrap)
}

impl TensorStorage for CudaStorage {
    type Backend = Cuda;

    fn backend(&self) -> Result<Cuda> {
        backend(self.device())
    }

    fn elements<T: Float>(&self, offset: usize) -> Result<DeviceRef<'_, T>> {
        let slice = self.as_cuda_slice::<T>()?;
        Ok(slice.slice(offset.min(slice.len())..).into())
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
