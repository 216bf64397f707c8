//! Whether there is a driver and a device. cudarc panics where no driver is installed, so the
//! library is looked for before cudarc is asked anything.
#![allow(unsafe_code)]

use crate::{Error, Result};
use cudarc::driver::sys::CUresult;
use cudarc::driver::{CudaContext, CudaStream, DriverError, result};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

/// What the driver is called.
const NAMES: &[&str] =
    if cfg!(windows) { &["nvcuda.dll"] } else { &["libcuda.so.1", "libcuda.so"] };

/// The primary context of device `ordinal`, which cudarc and other libraries of the process share.
/// Calls for the same device get the same object while one of it is alive.
///
/// # Errors
/// [`Error::NoDriverLibrary`] on a machine without a driver, [`Error::NoDevice`] when there is no
/// such device, [`Error::Driver`] when the driver refuses.
pub fn context(ordinal: usize) -> Result<Arc<CudaContext>> {
    if !driver_is_there() {
        let has_kernels = super::module::HAS_KERNELS;
        return Err(Error::NoDriverLibrary { names: NAMES, has_kernels });
    }
    let count = match CudaContext::device_count() {
        // Of a machine that has the driver alone.
        Err(DriverError(CUresult::CUDA_ERROR_NO_DEVICE)) => 0,
        count => count.map_err(refused("count devices"))?,
    };
    let count = usize::try_from(count).unwrap_or(0);
    if ordinal >= count {
        return Err(Error::NoDevice { ordinal, count });
    }
    // By device.
    static CONTEXTS: Mutex<Vec<Weak<CudaContext>>> = Mutex::new(Vec::new());
    let mut contexts = CONTEXTS.lock().unwrap_or_else(PoisonError::into_inner);
    let known = contexts.len().max(count);
    contexts.resize(known, Weak::new());
    if let Some(context) = contexts[ordinal].upgrade() {
        return Ok(context);
    }
    let context = CudaContext::new(ordinal).map_err(refused("make a context"))?;
    contexts[ordinal] = Arc::downgrade(&context);
    Ok(context)
}

fn driver_is_there() -> bool {
    static THERE: OnceLock<bool> = OnceLock::new();
    *THERE.get_or_init(|| {
        NAMES.iter().any(|&name| {
            // SAFETY: this is the library that cudarc loads next; its initialisers run either way.
            let library = unsafe { libloading::Library::new(name) };
            // It stays open: a driver is not made to be unloaded.
            library.map(std::mem::forget).is_ok()
        })
    })
}

/// Waits until the work queued on a stream is done, whatever error of an earlier call, of any
/// thread, cudarc has kept in the context: its own `synchronize` would return that one at once.
pub(super) fn wait_for(stream: &CudaStream) -> std::result::Result<(), DriverError> {
    bind(stream.context())?;
    // SAFETY: a stream of the context that is bound.
    unsafe { result::stream::synchronize(stream.cu_stream()) }
}

/// Makes a context the thread's, whatever error cudarc has kept in it.
pub(super) fn bind(context: &CudaContext) -> std::result::Result<(), DriverError> {
    // SAFETY: the context lives.
    unsafe { result::ctx::set_current(context.cu_ctx()) }
}

/// Turns the driver's error into this crate's.
pub(super) fn refused(what: &'static str) -> impl Fn(DriverError) -> Error {
    move |source| Error::Driver { what, source }
}
