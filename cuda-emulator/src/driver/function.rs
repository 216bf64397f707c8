//! Functions: kernels with the attributes that a program sets.

use super::device::{MAX_THREADS, REGISTERS, SCHEDULERS, device};
use super::error::*;
use super::{Handle, Status, set, with_context};
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

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuFuncGetAttribute(p: *mut c_int, a: u32, f: Handle) -> Status {
    with_context(|s, _| {
        let capability = s.options.capability as i32;
        let Some(x) = s.functions.get(&f) else { return CUDA_ERROR_INVALID_HANDLE };
        let v = match a {
            0 => x.max_threads(),
            1 => x.kernel.static_shared as i32,
            2 => 0,
            3 => (x.kernel.local_size - LOCAL_BASE) as i32,
            4 => x.registers,
            5 => x.ptx_version,
            6 => capability,
            7 => 0,
            8 => x.max_dynamic_shared,
            9 => x.shared_carveout,
            10 => x.kernel.cluster.explicit as i32,
            11..=13 => x.required_cluster(a as usize - 11),
            14 => x.is_non_portable as i32,
            15 => 0,
            _ => return CUDA_ERROR_INVALID_VALUE,
        };
        set(p, v)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuFuncSetAttribute(f: Handle, a: u32, v: c_int) -> Status {
    with_context(|s, _| {
        let o = device(s.options.capability).max_shared_of_block;
        let Some(x) = s.functions.get_mut(&f) else { return CUDA_ERROR_INVALID_HANDLE };
        match a {
            8 => {
                if v < 0 || v as i64 + x.kernel.static_shared as i64 > o as i64 {
                    return CUDA_ERROR_INVALID_VALUE;
                }
                x.max_dynamic_shared = v
            }
            9 => {
                if !(-1..=100).contains(&v) {
                    return CUDA_ERROR_INVALID_VALUE;
                }
                x.shared_carveout = v
            }
            11..=13 => {
                if x.kernel.cluster.required != [0; 3] {
                    return CUDA_ERROR_NOT_PERMITTED;
                }
                if v < 0 {
                    return CUDA_ERROR_INVALID_VALUE;
                }
                x.cluster[a as usize - 11] = v as u32;
            }
            14 => x.is_non_portable = v != 0,
            15 => {}
            _ => return CUDA_ERROR_INVALID_VALUE,
        }
        CUDA_SUCCESS
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuFuncSetCacheConfig(f: Handle, _c: u32) -> Status {
    with_context(|s, _| {
        if s.functions.contains_key(&f) { CUDA_SUCCESS } else { CUDA_ERROR_INVALID_HANDLE }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuFuncGetModule(p: *mut Handle, f: Handle) -> Status {
    with_context(|s, _| match s.functions.get(&f) {
        Some(x) => set(p, x.module),
        None => CUDA_ERROR_INVALID_HANDLE,
    })
}
