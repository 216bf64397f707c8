//! The compiled kernels of a context.
#![allow(unsafe_code)]

use super::driver::refused;
use crate::plan::{CLUSTER, DType, Kernel, Launch, Limits, SHARED_BYTES};
use crate::{Error, Result};
use cudarc::driver::sys::{
    self, CUdevice_attribute, CUfunction, CUfunction_attribute, CUlaunchConfig, CUmodule, CUresult,
};
use cudarc::driver::{CudaContext, CudaStream, DriverError, result};
use std::ffi::{CString, c_void};
use std::sync::{Arc, Mutex, PoisonError, Weak};

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

/// Whether this binary has kernels.
pub(super) const HAS_KERNELS: bool = cfg!(bihalf_kernels);

/// The kernels, loaded into a context. They stay there as long as the context, whatever is dropped:
/// launches may be queued, and graphs may be replayed.
#[derive(Clone, Debug)]
pub struct Kernels {
    context: Arc<CudaContext>,
    loaded: Arc<Loaded>,
    limits: Limits,
}

#[derive(Debug)]
struct Loaded {
    limits: Limits,
    /// By kernel, then by type.
    functions: Vec<[Option<CUfunction>; DType::ALL.len()]>,
}

// SAFETY: handles of functions may be used from any thread in which the context is current, and
// `Kernels` makes it current before each use.
unsafe impl Send for Loaded {}
// SAFETY: as for Send; nothing is changed after loading.
unsafe impl Sync for Loaded {}

impl Kernels {
    /// Loads all kernels into a context, at once: no later call loads anything. In a context that
    /// has them already this is cheap.
    ///
    /// # Errors
    /// [`Error::KernelsNotBuilt`]; [`Error::KernelsDoNotFit`] when the device is older than every
    /// architecture that the kernels were compiled for, or the driver too old for what it would
    /// have to compile; [`Error::Driver`].
    pub fn new(context: &Arc<CudaContext>) -> Result<Self> {
        static LOADED: Mutex<Vec<(Weak<CudaContext>, Arc<Loaded>)>> = Mutex::new(Vec::new());
        // Held while loading, so that nobody loads twice.
        let mut all = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(of, _)| of.strong_count() > 0);
        // Objects of one context share what is loaded, as long as one of them lives.
        let is_same =
            |of: &Weak<CudaContext>| of.upgrade().is_some_and(|of| of.cu_ctx() == context.cu_ctx());
        let found = all.iter().find(|(of, _)| is_same(of)).map(|(_, loaded)| Arc::clone(loaded));
        let loaded = match found {
            Some(loaded) => loaded,
            None => Arc::new(Loaded::new(context)?),
        };
        if !all.iter().any(|(of, _)| std::ptr::eq(of.as_ptr(), Arc::as_ptr(context))) {
            all.push((Arc::downgrade(context), Arc::clone(&loaded)));
        }
        let limits = loaded.limits;
        Ok(Self { context: Arc::clone(context), loaded, limits })
    }

    /// The context that they are loaded into.
    pub fn context(&self) -> &Arc<CudaContext> {
        &self.context
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
        Self { limits, ..self.clone() }
    }

    /// The same kernels, of which Bi-half's forward takes this one wherever it can, and radix
    /// selection elsewhere. For measurements and tests; results are the same bits.
    #[must_use]
    pub fn with_forward(&self, kernel: Kernel) -> Self {
        let limits = Limits { forward: Some(kernel), ..self.limits };
        Self { limits, ..self.clone() }
    }

    /// The same kernels, launched as on a device whose blocks do not form clusters. For
    /// measurements and tests; results are the same bits.
    #[must_use]
    pub fn without_clusters(&self) -> Self {
        let limits = Limits { clusters: false, ..self.limits };
        Self { limits, ..self.clone() }
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
        // SAFETY: the function is of a module that stays loaded as long as the context; the rest is
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
    fn new(context: &Arc<CudaContext>) -> Result<Self> {
        let image = image()?;
        context.bind_to_thread().map_err(refused("bind the context"))?;
        let attribute = |which| {
            let value = context.attribute(which).map_err(refused("tell its limits"))?;
            Ok::<_, Error>(u32::try_from(value).unwrap_or(0))
        };
        let capability = (
            attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        );
        // SAFETY: a whole fatbin, which tells its own length.
        let module = unsafe { result::module::load_data(image.as_ptr().cast()) };
        let module = Module(module.map_err(|source| cannot_load(capability, source))?);
        let capability = capability.min(module.capability()?);
        let limits = Limits {
            shared_bytes_optin: attribute(
                CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN,
            )?,
            grid_y: attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y)?,
            multiprocessors: attribute(
                CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT,
            )?,
            capability,
            clusters: capability >= (9, 0) && module.clusters_fit()?,
            forward: None,
        };
        let functions_of = |&kernel: &Kernel| {
            let there = limits.clusters || !kernel.in_clusters();
            if there { module.functions_of(kernel) } else { Ok(Default::default()) }
        };
        let functions = Kernel::ALL.iter().map(functions_of).collect::<Result<_>>()?;
        Ok(Self { limits, functions })
    }
}

/// A module in the current context. It is never unloaded: what is queued or kept in a graph runs
/// its code.
struct Module(CUmodule);

impl Module {
    /// What the code that the device runs was compiled for: at most what it is itself.
    fn capability(&self) -> Result<(u32, u32)> {
        let kernel = Kernel::SignForward;
        let function = self.function(kernel, DType::F32)?;
        let version = CUfunction_attribute::CU_FUNC_ATTRIBUTE_PTX_VERSION;
        // SAFETY: a function of a loaded module.
        let version = unsafe { result::function::get_function_attribute(function, version) };
        let version = version.map_err(refused("tell what the kernels were compiled for"))?;
        let version = u32::try_from(version).unwrap_or(0);
        Ok((version / 10, version % 10))
    }

    /// Whether a cluster of each kernel fits on the device, which may have too few multiprocessors
    /// side by side.
    fn clusters_fit(&self) -> Result<bool> {
        for &kernel in Kernel::ALL.iter().filter(|kernel| kernel.in_clusters()) {
            for &dtype in kernel.dtypes() {
                let function = self.function(kernel, dtype)?;
                let config = CUlaunchConfig {
                    gridDimX: 1,
                    gridDimY: CLUSTER,
                    gridDimZ: 1,
                    blockDimX: kernel.threads(),
                    blockDimY: 1,
                    blockDimZ: 1,
                    sharedMemBytes: kernel.shared_bytes(dtype),
                    hStream: std::ptr::null_mut(),
                    attrs: std::ptr::null_mut(),
                    numAttrs: 0,
                };
                let mut clusters = 0;
                // SAFETY: a function of a loaded module, and results and arguments that outlive the
                // call.
                let asked =
                    unsafe { sys::cuOccupancyMaxActiveClusters(&mut clusters, function, &config) };
                match asked {
                    CUresult::CUDA_SUCCESS if clusters > 0 => {}
                    CUresult::CUDA_SUCCESS | CUresult::CUDA_ERROR_INVALID_CLUSTER_SIZE => {
                        return Ok(false);
                    }
                    error => return Err(refused("tell how many clusters fit")(DriverError(error))),
                }
            }
        }
        Ok(true)
    }

    fn functions_of(&self, kernel: Kernel) -> Result<[Option<CUfunction>; DType::ALL.len()]> {
        let mut functions = [None; DType::ALL.len()];
        // A kernel that does not depend on the type is in every place.
        let dtypes = if kernel.dtypes().is_empty() { &DType::ALL } else { kernel.dtypes() };
        for &dtype in dtypes {
            functions[dtype as usize] = Some(self.function(kernel, dtype)?);
        }
        Ok(functions)
    }

    fn function(&self, kernel: Kernel, dtype: DType) -> Result<CUfunction> {
        let name = CString::new(kernel.symbol(dtype)).expect("names of kernels have no zeros");
        let shared_bytes = kernel.shared_bytes(dtype);
        // SAFETY: a loaded module, whose context is current.
        let function = unsafe { result::module::get_function(self.0, name) }
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

/// What the image was compiled for, and by what.
#[cfg(bihalf_kernels)]
const BUILT: &str = env!("BIHALF_BUILT");
#[cfg(not(bihalf_kernels))]
const BUILT: &str = "nothing";

fn cannot_load(capability: (u32, u32), source: DriverError) -> Error {
    use CUresult::{
        CUDA_ERROR_INVALID_PTX, CUDA_ERROR_NO_BINARY_FOR_GPU, CUDA_ERROR_UNSUPPORTED_PTX_VERSION,
    };
    match source.0 {
        CUDA_ERROR_NO_BINARY_FOR_GPU
        | CUDA_ERROR_UNSUPPORTED_PTX_VERSION
        | CUDA_ERROR_INVALID_PTX => {
            let mut driver = 0;
            // SAFETY: a result that outlives the call; where there is none it stays 0.
            let _ = unsafe { sys::cuDriverGetVersion(&mut driver) };
            let driver = (driver / 1000, driver % 1000 / 10);
            Error::KernelsDoNotFit { capability, driver, built: BUILT, source }
        }
        _ => Error::Driver { what: "load the kernels", source },
    }
}
