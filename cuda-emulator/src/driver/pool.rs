//! Memory pools. There is one, which all allocations come from, and handles of others are only numbers.

use super::error::*;
use super::memory::cuMemAllocAsync;
use super::{Handle, Status, set, with_state};
use crate::machine::memory::Side;
use std::ffi::{c_int, c_void};

const DEFAULT_POOL: Handle = 0x1000;

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetDefaultMemPool(p: *mut Handle, _d: c_int) -> Status {
    set(p, DEFAULT_POOL)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetMemPool(p: *mut Handle, _d: c_int) -> Status {
    set(p, DEFAULT_POOL)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceSetMemPool(_d: c_int, _p: Handle) -> Status {
    CUDA_SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemPoolCreate(p: *mut Handle, _props: *const c_void) -> Status {
    with_state(|s| {
        let h = s.new_handle();
        set(p, h)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemPoolDestroy(_p: Handle) -> Status {
    CUDA_SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemPoolTrimTo(_p: Handle, _n: usize) -> Status {
    CUDA_SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemPoolSetAttribute(_p: Handle, _a: u32, _v: *mut c_void) -> Status {
    CUDA_SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemPoolGetAttribute(_p: Handle, a: u32, v: *mut c_void) -> Status {
    // 1..3 are ints, the others 64 bits wide
    with_state(|s| {
        if a <= 3 {
            set(v as *mut i32, 1)
        } else {
            set(v as *mut u64, s.memory.used_on(Side::Device))
        }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemAllocFromPoolAsync(
    p: *mut u64,
    n: usize,
    _pool: Handle,
    h: Handle,
) -> Status {
    cuMemAllocAsync(p, n, h)
}
