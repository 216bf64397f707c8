//! Occupancy: how many blocks and clusters fit on a multiprocessor and the device.

use super::device::device;
use super::error::*;
use super::function::Function;
use super::launch::{CLUSTER_DIMENSION, LaunchConfig};
use super::{Handle, State, Status, set, with_context};
use crate::machine::cluster_shape;
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
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuOccupancyMaxActiveBlocksPerMultiprocessor(
    p: *mut c_int,
    f: Handle,
    b: c_int,
    d: usize,
) -> Status {
    with_context(|s, _| match s.functions.get(&f) {
        None => CUDA_ERROR_INVALID_HANDLE,
        Some(x) => set(p, s.occupancy(x, b, d as u64)),
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
    p: *mut c_int,
    f: Handle,
    b: c_int,
    d: usize,
    _fl: c_uint,
) -> Status {
    cuOccupancyMaxActiveBlocksPerMultiprocessor(p, f, b, d)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuOccupancyAvailableDynamicSMemPerBlock(
    p: *mut usize,
    f: Handle,
    nb: c_int,
    _b: c_int,
) -> Status {
    with_context(|s, _| match s.functions.get(&f) {
        None => CUDA_ERROR_INVALID_HANDLE,
        Some(x) => {
            let d = device(s.options.capability);
            let v = (d.shared_of_multiprocessor / nb.max(1)
                - d.reserved_shared_of_block
                - x.kernel.static_shared as i32)
                .min(d.max_shared_of_block - x.kernel.static_shared as i32)
                .max(0);
            set(p, v as usize)
        }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuOccupancyMaxPotentialBlockSize(
    mg: *mut c_int,
    bs: *mut c_int,
    f: Handle,
    cb: Option<unsafe extern "C" fn(c_int) -> usize>,
    d: usize,
    lim: c_int,
) -> Status {
    with_context(|s, _| match s.functions.get(&f) {
        None => CUDA_ERROR_INVALID_HANDLE,
        Some(x) => {
            let (mut best, mut at) = (0, 0);
            let top = if lim > 0 { lim.min(1024) } else { 1024 };
            let mut b = top / 32 * 32;
            while b >= 32 {
                let dy = match cb {
                    Some(c) => c(b),
                    None => d,
                };
                let n = s.occupancy(x, b, dy as u64);
                if n * b > best {
                    best = n * b;
                    at = b
                }
                b -= 32;
            }
            if at == 0 {
                return CUDA_ERROR_INVALID_VALUE;
            }
            *mg = best / at * device(s.options.capability).multiprocessors;
            set(bs, at)
        }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuOccupancyMaxPotentialBlockSizeWithFlags(
    mg: *mut c_int,
    bs: *mut c_int,
    f: Handle,
    cb: Option<unsafe extern "C" fn(c_int) -> usize>,
    d: usize,
    lim: c_int,
    _fl: c_uint,
) -> Status {
    cuOccupancyMaxPotentialBlockSize(mg, bs, f, cb, d, lim)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuOccupancyMaxActiveClusters(
    p: *mut c_int,
    f: Handle,
    cfg: *const LaunchConfig,
) -> Status {
    with_context(|s, _| {
        let (Some(x), Some(c)) = (s.functions.get(&f), cfg.as_ref()) else {
            return CUDA_ERROR_INVALID_VALUE;
        };
        let shape =
            match x.cluster_shape(c.attribute(CLUSTER_DIMENSION), c.grid, s.options.capability) {
                Ok(Some(shape)) => shape,
                Ok(None) => return CUDA_ERROR_INVALID_CLUSTER_SIZE,
                Err(e) => return e,
            };
        set(p, shape.resident(s.room(x, c)) as c_int)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuOccupancyMaxPotentialClusterSize(
    p: *mut c_int,
    f: Handle,
    cfg: *const LaunchConfig,
) -> Status {
    with_context(|s, _| {
        let (Some(x), Some(c)) = (s.functions.get(&f), cfg.as_ref()) else {
            return CUDA_ERROR_INVALID_VALUE;
        };
        if s.options.capability < 90 {
            return CUDA_ERROR_NOT_SUPPORTED;
        }
        // a processing cluster has room for the largest size if a multiprocessor has for a block
        if s.room(x, c) == 0 {
            return CUDA_ERROR_INVALID_CLUSTER_SIZE;
        }
        let most = if x.is_non_portable { cluster_shape::LARGEST } else { cluster_shape::PORTABLE };
        let declared = x.kernel.cluster.max_blocks;
        set(p, if declared > 0 { most.min(declared) } else { most } as c_int)
    })
}
