//! Functions: kernels with the attributes that a program sets.

use super::device::{MAX_THREADS, REGISTERS, SCHEDULERS, device};
use super::error::*;
use super::{Handle, State, Status, set, with_context};
use crate::machine::cluster_shape::{ClusterRules, ClusterShape, Refused};
use crate::ptx::kernel::{Kernel, LOCAL_BASE};
use std::ffi::c_int;
use std::sync::Arc;

pub struct Function {
    pub kernel: Arc<Kernel>,
    pub context: Handle,
    pub module: Handle,
    /// bytes that a launch may ask for
    pub max_dynamic_shared: i32,
    /// only kept
    pub shared_carveout: i32,
    pub ptx_version: i32,
    pub registers: i32,
    /// set by the program; zeros without
    pub cluster: [u32; 3],
    pub is_non_portable: bool,
}

impl Function {
    /// The cluster of a launch. A device without clusters does not support them; every other
    /// refusal is a cluster misconfiguration, the driver's word for INVALID_CLUSTER_SIZE.
    pub fn cluster_shape(
        &self,
        asked: Option<[u32; 3]>,
        grid: [u32; 3],
        capability: u32,
    ) -> Result<Option<ClusterShape>, Status> {
        let rules = ClusterRules {
            kernel: &self.kernel,
            required: self.cluster,
            is_non_portable: self.is_non_portable,
            capability,
        };
        rules.shape(asked, grid).map_err(|refused| {
            let (why, status) = match refused {
                Refused::NotSupported(why) => (why, CUDA_ERROR_NOT_SUPPORTED),
                Refused::Size(why) => (why, CUDA_ERROR_INVALID_CLUSTER_SIZE),
            };
            self.refuse(status, why)
        })
    }

    /// Says why a launch is refused.
    pub fn refuse(&self, status: Status, why: impl std::fmt::Display) -> Status {
        eprintln!("cudaemu: launch of {} refused: {why}", self.kernel.name);
        status
    }

    /// A component of the cluster that every launch has; 0 where launches may differ.
    fn required_cluster(&self, axis: usize) -> i32 {
        let declared = self.kernel.cluster.required[axis];
        if declared > 0 { declared as i32 } else { self.cluster[axis] as i32 }
    }

    /// Warps of one block, or of one multiprocessor, whose registers fit: a warp takes them in
    /// steps of 256, and each of the four parts of a multiprocessor holds a quarter of them.
    pub fn register_warps(&self) -> i32 {
        let warp = (self.registers.max(1) as u32).saturating_mul(32).next_multiple_of(256);
        (REGISTERS / SCHEDULERS / warp * SCHEDULERS) as i32
    }

    pub fn max_threads(&self) -> i32 {
        let declared = match self.kernel.max_threads {
            [0, ..] => MAX_THREADS as u64,
            dims => dims.iter().fold(1u64, |n, &d| n.saturating_mul(d as u64)),
        };
        declared.min(MAX_THREADS as u64).min(self.register_warps() as u64 * 32) as i32
    }
}

/// A call about a function.
pub(super) fn with_function(
    function: Handle,
    call: impl FnOnce(&State, &Function) -> Status,
) -> Status {
    with_context(|s, _| match s.functions.get(&function) {
        Some(f) => call(s, f),
        None => CUDA_ERROR_INVALID_HANDLE,
    })
}

/// CUfunction_attribute.
mod attribute {
    pub const MAX_THREADS_PER_BLOCK: u32 = 0;
    pub const SHARED_SIZE_BYTES: u32 = 1;
    pub const CONST_SIZE_BYTES: u32 = 2;
    pub const LOCAL_SIZE_BYTES: u32 = 3;
    pub const NUM_REGS: u32 = 4;
    pub const PTX_VERSION: u32 = 5;
    pub const BINARY_VERSION: u32 = 6;
    pub const CACHE_MODE_CA: u32 = 7;
    pub const MAX_DYNAMIC_SHARED_SIZE_BYTES: u32 = 8;
    pub const PREFERRED_SHARED_MEMORY_CARVEOUT: u32 = 9;
    pub const CLUSTER_SIZE_MUST_BE_SET: u32 = 10;
    /// and height and depth
    pub const REQUIRED_CLUSTER_WIDTH: u32 = 11;
    pub const REQUIRED_CLUSTER_DEPTH: u32 = 13;
    pub const NON_PORTABLE_CLUSTER_SIZE_ALLOWED: u32 = 14;
    pub const CLUSTER_SCHEDULING_POLICY_PREFERENCE: u32 = 15;
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuFuncGetAttribute(
    value: *mut c_int,
    attribute: u32,
    function: Handle,
) -> Status {
    use attribute::*;
    with_function(function, |s, f| {
        let found = match attribute {
            MAX_THREADS_PER_BLOCK => f.max_threads(),
            SHARED_SIZE_BYTES => f.kernel.static_shared as i32,
            LOCAL_SIZE_BYTES => (f.kernel.local_size - LOCAL_BASE) as i32,
            NUM_REGS => f.registers,
            PTX_VERSION => f.ptx_version,
            BINARY_VERSION => s.options.capability as i32,
            MAX_DYNAMIC_SHARED_SIZE_BYTES => f.max_dynamic_shared,
            PREFERRED_SHARED_MEMORY_CARVEOUT => f.shared_carveout,
            CLUSTER_SIZE_MUST_BE_SET => f.kernel.cluster.explicit as i32,
            REQUIRED_CLUSTER_WIDTH..=REQUIRED_CLUSTER_DEPTH => {
                f.required_cluster((attribute - REQUIRED_CLUSTER_WIDTH) as usize)
            }
            NON_PORTABLE_CLUSTER_SIZE_ALLOWED => f.is_non_portable as i32,
            CONST_SIZE_BYTES | CACHE_MODE_CA | CLUSTER_SCHEDULING_POLICY_PREFERENCE => 0,
            _ => return CUDA_ERROR_INVALID_VALUE,
        };
        set(value, found)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuFuncSetAttribute(
    function: Handle,
    attribute: u32,
    value: c_int,
) -> Status {
    use attribute::*;
    with_context(|s, _| {
        let most = device(s.options.capability).max_shared_of_block as i64;
        let Some(f) = s.functions.get_mut(&function) else { return CUDA_ERROR_INVALID_HANDLE };
        match attribute {
            MAX_DYNAMIC_SHARED_SIZE_BYTES => {
                if value < 0 || value as i64 + f.kernel.static_shared as i64 > most {
                    return CUDA_ERROR_INVALID_VALUE;
                }
                f.max_dynamic_shared = value
            }
            PREFERRED_SHARED_MEMORY_CARVEOUT => {
                if !(-1..=100).contains(&value) {
                    return CUDA_ERROR_INVALID_VALUE;
                }
                f.shared_carveout = value
            }
            REQUIRED_CLUSTER_WIDTH..=REQUIRED_CLUSTER_DEPTH => {
                if f.kernel.cluster.required != [0; 3] {
                    return CUDA_ERROR_NOT_PERMITTED;
                }
                if value < 0 {
                    return CUDA_ERROR_INVALID_VALUE;
                }
                f.cluster[(attribute - REQUIRED_CLUSTER_WIDTH) as usize] = value as u32;
            }
            NON_PORTABLE_CLUSTER_SIZE_ALLOWED => f.is_non_portable = value != 0,
            CLUSTER_SCHEDULING_POLICY_PREFERENCE => {}
            _ => return CUDA_ERROR_INVALID_VALUE,
        }
        CUDA_SUCCESS
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuFuncSetCacheConfig(function: Handle, _config: u32) -> Status {
    with_function(function, |_, _| CUDA_SUCCESS)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuFuncGetModule(module: *mut Handle, function: Handle) -> Status {
    with_function(function, |_, f| set(module, f.module))
}
