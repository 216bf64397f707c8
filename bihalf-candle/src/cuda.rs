//! CUDA tensors: ops run on candle's own stream and context.
//!
//! Tensors are read in place and results are buffers that candle frees like its own; work is queued
//! and not waited for. Only [`to_codes`](crate::BihalfExt::to_codes) waits, for its result is on
//! the host.
//!
//! - **Kernels** are loaded once for a context, by the first op on it, or earlier by [`load`].
//! - **CUDA graphs**: nothing can be loaded inside a capture, so call [`load`] before. candle loads
//!   its own kernels at their first use as well (the cast at the end of
//!   [`cosine_loss`](crate::cosine_loss) to a dtype other than f64 is one), so let one training
//!   step run before the capture. cudarc's event tracking must be off, as for candle's own ops.
//! - **The driver**: candle links it, so a binary with feature `cuda` does not start on a machine
//!   without `libcuda`. Where the library is there, [`bihalf::cuda::context`] tells whether there
//!   is a device, without a panic.

use crate::loss::cosine_with_grad;
use crate::storage::{Float, TensorStorage, View};
use bihalf::cuda::{Cuda, DeviceRef, Kernels};
use bihalf::cudarc::driver::{CudaContext, CudaSlice};
use bihalf::{Backend, Ones};
use candle_core::backend::BackendStorage;
use candle_core::{CudaDevice, CudaStorage, DType, Device, Error, Layout, Result, WithDType};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

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
        Device::Cuda(device) => kernels(device.cuda_stream().context()).map(drop),
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
    Cuda::new(&kernels(stream.context())?, &stream).map_err(Error::wrap)
}

/// The kernels of a context. Candle devices on one GPU share its context, and so the kernels.
fn kernels(context: &Arc<CudaContext>) -> Result<Kernels> {
    // By the context's address. No other context gets it: kernels keep theirs alive.
    static LOADED: LazyLock<Mutex<HashMap<usize, Kernels>>> = LazyLock::new(Mutex::default);

    let key = context.cu_ctx() as usize;
    // Held while loading, so that nobody loads twice. A map without an entry is right too, so a
    // panic elsewhere is no reason to stop.
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(kernels) = loaded.get(&key) {
        return Ok(kernels.clone());
    }
    let kernels = Kernels::new(context).map_err(Error::wrap)?;
    loaded.insert(key, kernels.clone());
    Ok(kernels)
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

    fn wrap<T: Float>(&self, buffer: CudaSlice<T>) -> Self {
        CudaStorage::wrap_cuda_slice(buffer, self.device().clone())
    }

    fn bihalf_forward<T: Float>(&self, u: View<'_, Self, T>, ones: Ones) -> Result<CudaSlice<T>> {
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
