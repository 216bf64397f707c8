//! The compiled kernels of a context.
#![allow(unsafe_code)]

use super::driver::refused;
use crate::plan::{DType, Kernel, Launch, Limits, SHARED_BYTES};
use crate::{Error, Result};
use cudarc::driver::sys::{
    CUdevice_attribute, CUfunction, CUfunction_attribute, CUmodule, CUresult,
};
use cudarc::driver::{CudaContext, CudaStream, result};
use std::ffi::{CString, c_void};
use std::sync::Arc;

/// The image, aligned as a driver may want it.
#[cfg(bihalf_kernels)]
static FATBIN: &Aligned<[u8]> = &Aligned(*include_bytes!(env!("BIHALF_FATBIN")));

#[cfg(bihalf_kernels)]
#[repr(align(64))]
struct Aligned<T: ?Sized>(T);

#[cfg(bihalf_kernels)]
fn image() -> Result<&'static [u8]> {
    Ok(&FATBIN.0)
}

#[cfg(not(bihalf_kernels))]
fn image() -> Result<&'static [u8]> {
    Err(Error::KernelsNotBuilt)
}

/// The kernels, loaded into a context. Make one for a context and clone it; clones share the module.
#[derive(Clone, Debug)]
pub struct Kernels {
    loaded: Arc<Loaded>,
    limits: Limits,
}

#[derive(Debug)]
struct Loaded {
    context: Arc<CudaContext>,
    module: CUmodule,
    /// By kernel, then by type.
    functions: Vec<[Option<CUfunction>; DType::ALL.len()]>,
}

// SAFETY: handles of a module and its functions may be used from any thread in which the context is
// current, and `Kernels` makes it current before each use.
unsafe impl Send for Loaded {}
// SAFETY: as for Send; nothing is changed after loading.
unsafe impl Sync for Loaded {}

impl Kernels {
    /// Loads all kernels into a context, at once: no later call loads anything.
    ///
    /// # Errors
    /// [`Error::KernelsNotBuilt`]; [`Error::Driver`], for instance when the device is older than
    /// every architecture that the kernels were compiled for.
    pub fn new(context: &Arc<CudaContext>) -> Result<Self> {
        let image = image()?;
        context.bind_to_thread().map_err(refused("bind the context"))?;
        let attribute = |which| {
            let value = context.attribute(which).map_err(refused("tell its limits"))?;
            Ok::<_, Error>(u32::try_from(value).unwrap_or(0))
        };
        let mut limits = Limits {
            shared_bytes_optin: attribute(
                CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN,
            )?,
            grid_y: attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y)?,
            multiprocessors: attribute(
                CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT,
            )?,
            capability: (
                attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
                attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
            ),
            clusters: false,
        };
        // SAFETY: a whole fatbin, which tells its own length.
        let module = unsafe { result::module::load_data(image.as_ptr().cast()) }
            .map_err(refused("load the kernels"))?;
        let context = Arc::clone(context);
        let mut loaded = Loaded { context, module, functions: Vec::new() };
        // What the device loads may be older than itself: without kernels for clusters.
        limits.clusters = limits.capability >= (9, 0) && loaded.has_clusters()?;
        for &kernel in Kernel::ALL {
            let there = limits.clusters || !kernel.in_clusters();
            let functions = if there { loaded.functions_of(kernel)? } else { Default::default() };
            loaded.functions.push(functions);
        }
        Ok(Self { loaded: Arc::new(loaded), limits })
    }

    /// The context that they are loaded into.
    pub fn context(&self) -> &Arc<CudaContext> {
        &self.loaded.context
    }

    /// What the device allows.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The same kernels, launched as on a device with so many multiprocessors: plans choose the
    /// kernels of large matrices where a few columns fill it, and of 0 any do, and those of small
    /// ones where it has many. For measurements and tests; results are the same bits.
    #[must_use]
    pub fn with_multiprocessors(&self, multiprocessors: u32) -> Self {
        let limits = Limits { multiprocessors, ..self.limits };
        Self { loaded: Arc::clone(&self.loaded), limits }
    }

    /// The same kernels, launched as on a device whose blocks do not form clusters. For measurements
    /// and tests; results are the same bits.
    #[must_use]
    pub fn without_clusters(&self) -> Self {
        let limits = Limits { clusters: false, ..self.limits };
        Self { loaded: Arc::clone(&self.loaded), limits }
    }

    /// Queues one launch. `dtype` is of no account for kernels that do not depend on it.
    ///
    /// # Safety
    /// `Args` is the argument struct of the kernel; its addresses are of this context, and what the
    /// kernel reads and writes behind them is there until the launch is done.
    pub(super) unsafe fn launch<Args>(
        &self,
        stream: &CudaStream,
        launch: Launch,
        dtype: DType,
        args: &Args,
    ) -> Result<()> {
        let Launch { kernel, grid: (x, y), shared_bytes } = launch;
        let function = self.loaded.functions[kernel as usize][dtype as usize];
        let function = function.expect("plans choose kernels of their type");
        let mut parameters = [std::ptr::from_ref(args).cast_mut().cast::<c_void>()];
        // SAFETY: the function is of a module that is loaded as long as `self` lives; the rest is
        // the caller's promise. The driver copies the arguments before it returns.
        unsafe {
            result::launch_kernel(
                function,
                (x, y, 1),
                (kernel.threads(), 1, 1),
                shared_bytes,
                stream.cu_stream(),
                &mut parameters,
            )
        }
        .map_err(refused("launch a kernel"))
    }
}

impl Loaded {
    /// Whether kernels for clusters are among those that the device has loaded.
    fn has_clusters(&self) -> Result<bool> {
        let kernel = Kernel::BihalfClusterSlices8192;
        match self.function(kernel.symbol(DType::F32), kernel.shared_bytes(DType::F32)) {
            Ok(_) => Ok(true),
            Err(Error::Driver { source, .. }) if source.0 == CUresult::CUDA_ERROR_NOT_FOUND => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn functions_of(&self, kernel: Kernel) -> Result<[Option<CUfunction>; DType::ALL.len()]> {
        let mut functions = [None; DType::ALL.len()];
        // A kernel that does not depend on the type is in every place.
        let dtypes = if kernel.dtypes().is_empty() { &DType::ALL } else { kernel.dtypes() };
        for &dtype in dtypes {
            let (symbol, shared) = (kernel.symbol(dtype), kernel.shared_bytes(dtype));
            functions[dtype as usize] = Some(self.function(symbol, shared)?);
        }
        Ok(functions)
    }

    fn function(&self, symbol: String, shared_bytes: u32) -> Result<CUfunction> {
        let name = CString::new(symbol).expect("names of kernels have no zeros");
        // SAFETY: the module is loaded as long as `self` lives, and the context is current.
        let function = unsafe { result::module::get_function(self.module, name) }
            .map_err(refused("find a kernel"))?;
        if shared_bytes > SHARED_BYTES {
            let which = CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            // SAFETY: a function of a loaded module.
            unsafe {
                result::function::set_function_attribute(function, which, shared_bytes as i32)
            }
            .map_err(refused("give a kernel its shared memory"))?;
        }
        Ok(function)
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        self.context.record_err(self.context.bind_to_thread());
        // SAFETY: the module was loaded by `new`, and nobody has its functions any more.
        self.context.record_err(unsafe { result::module::unload(self.module) });
    }
}
