//! Launches: what a device would refuse is refused, with the reason, and the rest is run.

use super::device::{MAX_BLOCK, MAX_GRID, MAX_THREADS, device};
use super::error::*;
use super::queue::{KernelLaunch, Work};
use super::{Handle, State, Status, with_context};
use crate::checks::Finding;
use crate::counters::{LaunchSummary, append_line};
use crate::machine::cluster_shape::ClusterShape;
use crate::machine::grid::{self, Launch};
use crate::machine::memory::{Side, View, state};
use crate::options::Fail;
use crate::ptx::kernel::Kernel;
use std::ffi::{c_uint, c_void};
use std::sync::atomic::AtomicU32;
use std::time::Instant;

/// CUlaunchConfig.
#[repr(C)]
pub struct LaunchConfig {
    pub grid: [u32; 3],
    pub block: [u32; 3],
    pub dynamic_shared: u32,
    pub stream: Handle,
    attributes: *const Attribute,
    attribute_count: u32,
}

/// CUlaunchAttribute.
#[repr(C)]
struct Attribute {
    id: u32,
    /// on a boundary of 8 bytes
    _pad: u32,
    value: [u32; 16],
}

const COOPERATIVE: u32 = 2;
pub(super) const CLUSTER_DIMENSION: u32 = 4;

impl LaunchConfig {
    /// The start of the value of this attribute, the last one if it is there more than once.
    pub fn attribute(&self, id: u32) -> Option<[u32; 3]> {
        if self.attributes.is_null() {
            return None;
        }
        // SAFETY: as many as the program says
        let all =
            unsafe { std::slice::from_raw_parts(self.attributes, self.attribute_count as usize) };
        all.iter().rfind(|a| a.id == id).map(|a| [a.value[0], a.value[1], a.value[2]])
    }
}

/// How a kernel is to be launched.
struct Request {
    function: Handle,
    grid: [u32; 3],
    block: [u32; 3],
    /// of the launch; the kernel may have one of its own
    cluster: Option<[u32; 3]>,
    dynamic_shared: u32,
    stream: Handle,
    is_cooperative: bool,
    /// either, as cuLaunchKernel has them
    params: *mut *mut c_void,
    extra: *mut *mut c_void,
}

impl Request {
    /// Without a cluster of its own, not cooperative and without parameters.
    fn new(function: Handle, [grid, block]: [[u32; 3]; 2], shared: u32, stream: Handle) -> Request {
        let (params, extra) = (std::ptr::null_mut(), std::ptr::null_mut());
        let (cluster, is_cooperative, dynamic_shared) = (None, false, shared);
        Request {
            function,
            grid,
            block,
            cluster,
            dynamic_shared,
            stream,
            is_cooperative,
            params,
            extra,
        }
    }
}

impl State {
    /// # Safety
    /// The parameters are as CUDA wants them.
    unsafe fn launch(&mut self, request: Request) -> Status {
        let Some(f) = self.functions.get(&request.function) else {
            return CUDA_ERROR_INVALID_HANDLE;
        };
        let Request { grid, block, dynamic_shared, stream, is_cooperative, .. } = request;
        let accepted = self.check_shape(f, &request).and_then(|()| self.check_cluster(f, &request));
        let cluster = match accepted {
            Ok(cluster) => cluster,
            Err(e) => return e,
        };
        let params = match parameters(&f.kernel, request.params, request.extra) {
            Ok(params) => params,
            Err(why) => return f.refuse(CUDA_ERROR_INVALID_VALUE, why),
        };
        let (kernel, context) = (f.kernel.clone(), f.context);
        let launch = KernelLaunch {
            kernel,
            context,
            grid,
            block,
            cluster,
            dynamic_shared,
            params,
            is_cooperative,
        };
        self.push(stream, Work::Kernel(launch))
    }

    /// The limits of the device and of the kernel on grid, block, registers and shared memory.
    fn check_shape(&self, f: &super::function::Function, request: &Request) -> Result<(), Status> {
        let (grid, block) = (request.grid, request.block);
        let invalid = |why: String| Err(f.refuse(CUDA_ERROR_INVALID_VALUE, why));
        let resources = |why: String| Err(f.refuse(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, why));
        if grid.contains(&0) || block.contains(&0) {
            return invalid(format!("grid {grid:?} block {block:?} has a zero"));
        }
        let over = |dims: [u32; 3], max: [u32; 3]| dims.iter().zip(max).any(|(&x, m)| x > m);
        if over(grid, MAX_GRID) {
            return invalid(format!("grid {grid:?}, at most {MAX_GRID:?}"));
        }
        if over(block, MAX_BLOCK) {
            return invalid(format!("block {block:?}, at most {MAX_BLOCK:?}"));
        }
        let threads = block.iter().product::<u32>();
        if threads > MAX_THREADS {
            return invalid(format!("{threads} threads, at most {MAX_THREADS}"));
        }
        let declared = f.kernel.max_threads;
        if declared[0] > 0 {
            let most = declared.iter().fold(1u64, |n, &d| n.saturating_mul(d as u64));
            if threads as u64 > most {
                return resources(format!("{threads} threads, but .maxntid is {most}"));
            }
            if f.kernel.exact_threads && block != declared {
                return invalid(format!("block {block:?}, but .reqntid is {declared:?}"));
            }
        }
        let warps = f.register_warps();
        if threads.div_ceil(32) as i32 > warps {
            let (registers, most) = (f.registers, warps * 32);
            return resources(format!(
                "{threads} threads of {registers} registers, at most {most} threads have room"
            ));
        }
        let dynamic = request.dynamic_shared;
        let shared = f.kernel.static_shared + dynamic as u64;
        let most = device(self.options.capability).max_shared_of_block;
        if shared > most as u64 {
            return invalid(format!("{shared} bytes of shared memory, the device has {most}"));
        }
        if dynamic as i64 > f.max_dynamic_shared as i64 {
            let most = f.max_dynamic_shared;
            return invalid(format!(
                "{dynamic} bytes of dynamic shared memory, the function allows {most} (MAX_DYNAMIC_SHARED_SIZE_BYTES)"
            ));
        }
        Ok(())
    }

    /// The cluster of the launch, which fits on the device; a cooperative grid does as a whole.
    fn check_cluster(
        &self,
        f: &super::function::Function,
        request: &Request,
    ) -> Result<Option<ClusterShape>, Status> {
        let capability = self.options.capability;
        let cluster = f.cluster_shape(request.cluster, request.grid, capability)?;
        let threads = request.block.iter().product::<u32>();
        let room = self.occupancy(f, threads as i32, request.dynamic_shared as u64) as u32;
        if cluster.is_some_and(|c| self.resident_clusters(c, room) == 0) {
            let why = "the device has no room for a cluster";
            return Err(f.refuse(CUDA_ERROR_INVALID_CLUSTER_SIZE, why));
        }
        if request.is_cooperative {
            let most = match cluster {
                Some(c) => self.resident_clusters(c, room) as u64 * c.size() as u64,
                None => room as u64 * device(capability).multiprocessors as u64,
            };
            let blocks = count(request.grid);
            if blocks > most {
                let why = format!("{blocks} blocks of a cooperative grid, at most {most} fit");
                return Err(f.refuse(CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE, why));
            }
        }
        Ok(cluster)
    }

    /// Runs a launch that was accepted.
    pub(super) fn run_kernel(&mut self, launch: KernelLaunch, by: (Handle, u64)) -> Status {
        let KernelLaunch { kernel, context, grid, block, cluster, .. } = launch;
        let KernelLaunch { dynamic_shared, params, is_cooperative, .. } = launch;
        let device_number = self.device_of(context);
        let shape = cluster.unwrap_or(ClusterShape::ONE);
        let workspace = match is_cooperative.then(|| self.grid_workspace(context)) {
            None => 0,
            Some(Some(address)) => address,
            Some(None) => return CUDA_ERROR_OUT_OF_MEMORY,
        };
        let start = Instant::now();
        self.launches = self.launches.wrapping_add(1);
        // marks have 20 bits for it; one block has no other to race with
        let id = if count(grid) > 1 { (self.launches & 0xf_ffff).max(1) } else { 0 };
        let launch = Launch {
            kernel: &kernel,
            device: device_number,
            grid,
            block,
            cluster: shape,
            is_explicit_cluster: cluster.is_some(),
            dynamic_shared,
            params,
            view: View::of(&self.memory, device_number),
            memory: &self.memory,
            options: &self.options,
            findings: &self.findings,
            error: AtomicU32::new(0),
            start,
            multiprocessors: device(self.options.capability).multiprocessors as u32,
            workspace,
            id,
            ordered: kernel.orders_blocks || kernel.strong_shared && cluster.is_some(),
        };
        let counters = grid::run(&launch, is_cooperative);
        let mut result = launch.error.into_inner();
        if workspace != 0 {
            self.memory.free(Side::Device(device_number), workspace);
        }
        let touched = self.memory.take_touched(by);
        let found = self.findings.take();
        if result == CUDA_SUCCESS && self.options.fail.applies_to(&found) {
            result = CUDA_ERROR_LAUNCH_FAILED;
        }
        if let Some(file) = &self.options.counters_file {
            let wall_ns = start.elapsed().as_nanos() as u64;
            let cluster = shape.0;
            let summary =
                LaunchSummary { grid, block, cluster, dynamic_shared, wall_ns, result, touched };
            append_line(file, &counters.to_json(&kernel, &summary, &found));
        }
        self.report(&found);
        result
    }

    /// Where the blocks of a cooperative grid meet.
    fn grid_workspace(&mut self, context: Handle) -> Option<u64> {
        const SIZE: u64 = 256;
        let side = Side::Device(self.device_of(context));
        let address = self.memory.allocate(side, SIZE, SIZE, "grid workspace", context)?;
        // SAFETY: as many bytes were just allocated
        unsafe { std::ptr::write_bytes(self.memory.host(address), 0, SIZE as usize) };
        self.memory.add_state(address, SIZE, state::WRITTEN);
        Some(address)
    }
}

fn count(dims: [u32; 3]) -> u64 {
    dims.iter().map(|&x| x as u64).product()
}

/// The parameters of a launch, in one buffer.
unsafe fn parameters(
    kernel: &Kernel,
    params: *mut *mut c_void,
    extra: *mut *mut c_void,
) -> Result<Vec<u8>, String> {
    // CU_LAUNCH_PARAM_BUFFER_POINTER and CU_LAUNCH_PARAM_BUFFER_SIZE
    const BUFFER: usize = 1;
    const SIZE: usize = 2;
    let mut buffer = vec![0u8; kernel.params_size as usize];
    if !params.is_null() {
        for (i, &(offset, size)) in kernel.params.iter().enumerate() {
            let p = *params.add(i) as *const u8;
            if p.is_null() {
                return Err(format!("parameter {i} is null"));
            }
            let target = &mut buffer[offset as usize..(offset + size) as usize];
            target.copy_from_slice(std::slice::from_raw_parts(p, size as usize));
        }
    } else if !extra.is_null() {
        let (mut p, mut len, mut i) = (std::ptr::null::<u8>(), 0usize, 0);
        loop {
            let value = || *extra.add(i + 1);
            match *extra.add(i) as usize {
                0 => break,
                BUFFER => p = value() as *const u8,
                SIZE => len = *(value() as *const usize),
                other => return Err(format!("extra option {other}")),
            }
            i += 2;
        }
        if !p.is_null() {
            let n = len.min(buffer.len());
            buffer[..n].copy_from_slice(std::slice::from_raw_parts(p, n));
        }
    } else if !kernel.params.is_empty() {
        return Err("no parameters given".into());
    }
    Ok(buffer)
}

impl Fail {
    pub(super) fn applies_to(&self, findings: &[Finding]) -> bool {
        match self {
            Fail::Never => false,
            Fail::OnAny => !findings.is_empty(),
            Fail::OnError => findings.iter().any(|f| f.is_error),
            Fail::On(kinds) => {
                findings.iter().any(|f| kinds.iter().any(|k| f.kind.name().starts_with(k)))
            }
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuLaunchKernel(
    function: Handle,
    grid_x: c_uint,
    grid_y: c_uint,
    grid_z: c_uint,
    block_x: c_uint,
    block_y: c_uint,
    block_z: c_uint,
    dynamic_shared: c_uint,
    stream: Handle,
    params: *mut *mut c_void,
    extra: *mut *mut c_void,
) -> Status {
    let dims = [[grid_x, grid_y, grid_z], [block_x, block_y, block_z]];
    let request = Request::new(function, dims, dynamic_shared, stream);
    with_context(|s, _| s.launch(Request { params, extra, ..request }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuLaunchCooperativeKernel(
    function: Handle,
    grid_x: c_uint,
    grid_y: c_uint,
    grid_z: c_uint,
    block_x: c_uint,
    block_y: c_uint,
    block_z: c_uint,
    dynamic_shared: c_uint,
    stream: Handle,
    params: *mut *mut c_void,
) -> Status {
    let dims = [[grid_x, grid_y, grid_z], [block_x, block_y, block_z]];
    let request = Request::new(function, dims, dynamic_shared, stream);
    with_context(|s, _| s.launch(Request { params, is_cooperative: true, ..request }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuLaunchKernelEx(
    config: *const LaunchConfig,
    function: Handle,
    params: *mut *mut c_void,
    extra: *mut *mut c_void,
) -> Status {
    let Some(config) = config.as_ref() else { return CUDA_ERROR_INVALID_VALUE };
    let dims = [config.grid, config.block];
    let request = Request::new(function, dims, config.dynamic_shared, config.stream);
    // other attributes are hints or not supported
    let cluster = config.attribute(CLUSTER_DIMENSION);
    let is_cooperative = config.attribute(COOPERATIVE).is_some_and(|value| value[0] != 0);
    with_context(|s, _| s.launch(Request { cluster, is_cooperative, params, extra, ..request }))
}
