//! Occupancy: how many blocks and clusters fit on a multiprocessor and the device.

use super::device::{MAX_THREADS, device};
use super::error::*;
use super::function::{Function, with_function};
use super::launch::{CLUSTER_DIMENSION, LaunchConfig};
use super::{Handle, State, Status, set};
use crate::machine::cluster_shape::{self, ClusterShape};
use std::ffi::{c_int, c_uint};

/// Shared memory is given out in steps of so many bytes.
const SHARED_STEP: u64 = 128;

impl State {
    /// Blocks of this launch on one multiprocessor.
    fn room(&self, f: &Function, c: &LaunchConfig) -> u32 {
        let threads = c.block.iter().fold(1u32, |n, &d| n.saturating_mul(d));
        self.occupancy(f, i32::try_from(threads).unwrap_or(0), c.dynamic_shared as u64) as u32
    }

    /// Blocks of so many threads on one multiprocessor.
    pub fn occupancy(&self, f: &Function, threads: i32, dynamic_shared: u64) -> i32 {
        let d = device(self.options.capability);
        if threads <= 0 || threads > f.max_threads() {
            return 0;
        }
        let warps = (threads + 31) / 32;
        let mut blocks =
            (d.threads_of_multiprocessor / (warps * 32)).min(d.blocks_of_multiprocessor);
        let shared = f.kernel.static_shared + d.reserved_shared_of_block as u64;
        let shared = shared.saturating_add(dynamic_shared);
        let shared = shared.checked_next_multiple_of(SHARED_STEP).unwrap_or(u64::MAX);
        if let Some(fit) = (d.shared_of_multiprocessor as u64).checked_div(shared) {
            blocks = blocks.min(fit.min(i32::MAX as u64) as i32);
        }
        // each scheduler has as many
        let share = (warps as u32).next_multiple_of(super::device::SCHEDULERS) as i32;
        blocks.min(f.register_warps() / share)
    }

    /// Clusters that are on the device together, when a multiprocessor has room for so many blocks.
    pub fn resident_clusters(&self, shape: ClusterShape, room: u32) -> u32 {
        shape.resident(room).min(self.options.max_clusters.unwrap_or(u32::MAX))
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuOccupancyMaxActiveBlocksPerMultiprocessor(
    blocks: *mut c_int,
    function: Handle,
    threads: c_int,
    dynamic_shared: usize,
) -> Status {
    with_function(function, |s, f| set(blocks, s.occupancy(f, threads, dynamic_shared as u64)))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
    blocks: *mut c_int,
    function: Handle,
    threads: c_int,
    dynamic_shared: usize,
    _flags: c_uint,
) -> Status {
    cuOccupancyMaxActiveBlocksPerMultiprocessor(blocks, function, threads, dynamic_shared)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuOccupancyAvailableDynamicSMemPerBlock(
    dynamic_shared: *mut usize,
    function: Handle,
    blocks: c_int,
    _threads: c_int,
) -> Status {
    with_function(function, |s, f| {
        let d = device(s.options.capability);
        let share = d.shared_of_multiprocessor / blocks.max(1) - d.reserved_shared_of_block;
        let bytes = share.min(d.max_shared_of_block) - f.kernel.static_shared as i32;
        set(dynamic_shared, bytes.max(0) as usize)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuOccupancyMaxPotentialBlockSize(
    least_grid: *mut c_int,
    threads: *mut c_int,
    function: Handle,
    dynamic_shared_of: Option<unsafe extern "C" fn(c_int) -> usize>,
    dynamic_shared: usize,
    limit: c_int,
) -> Status {
    with_function(function, |s, f| {
        let limit = if limit > 0 { limit.min(MAX_THREADS as i32) } else { MAX_THREADS as i32 };
        let resident = |threads: i32| {
            let shared = dynamic_shared_of.map_or(dynamic_shared, |of| of(threads));
            s.occupancy(f, threads, shared as u64) * threads
        };
        // whole warps, the most threads that fit; of equals the larger block
        let sizes = (1..=limit / 32).map(|warps| warps * 32);
        let best = sizes.map(|size| (resident(size), size)).max().filter(|best| best.0 > 0);
        let Some((resident, size)) = best else { return CUDA_ERROR_INVALID_VALUE };
        match set(least_grid, resident / size * device(s.options.capability).multiprocessors) {
            CUDA_SUCCESS => set(threads, size),
            e => e,
        }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuOccupancyMaxPotentialBlockSizeWithFlags(
    least_grid: *mut c_int,
    threads: *mut c_int,
    function: Handle,
    dynamic_shared_of: Option<unsafe extern "C" fn(c_int) -> usize>,
    dynamic_shared: usize,
    limit: c_int,
    _flags: c_uint,
) -> Status {
    cuOccupancyMaxPotentialBlockSize(
        least_grid,
        threads,
        function,
        dynamic_shared_of,
        dynamic_shared,
        limit,
    )
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuOccupancyMaxActiveClusters(
    clusters: *mut c_int,
    function: Handle,
    config: *const LaunchConfig,
) -> Status {
    with_function(function, |s, f| {
        let Some(config) = config.as_ref() else { return CUDA_ERROR_INVALID_VALUE };
        let asked = config.attribute(CLUSTER_DIMENSION);
        match f.cluster_shape(asked, config.grid, s.options.capability) {
            Ok(Some(shape)) => {
                set(clusters, s.resident_clusters(shape, s.room(f, config)) as c_int)
            }
            Ok(None) => CUDA_ERROR_INVALID_CLUSTER_SIZE,
            Err(e) => e,
        }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuOccupancyMaxPotentialClusterSize(
    blocks: *mut c_int,
    function: Handle,
    config: *const LaunchConfig,
) -> Status {
    with_function(function, |s, f| {
        let Some(config) = config.as_ref() else { return CUDA_ERROR_INVALID_VALUE };
        if s.options.capability < 90 {
            return CUDA_ERROR_NOT_SUPPORTED;
        }
        // a processing cluster has room for the largest size if a multiprocessor has for a block
        if s.room(f, config) == 0 || s.options.max_clusters == Some(0) {
            return CUDA_ERROR_INVALID_CLUSTER_SIZE;
        }
        let most = if f.is_non_portable { cluster_shape::LARGEST } else { cluster_shape::PORTABLE };
        let declared = f.kernel.cluster.max_blocks;
        set(blocks, if declared > 0 { most.min(declared) } else { most } as c_int)
    })
}
