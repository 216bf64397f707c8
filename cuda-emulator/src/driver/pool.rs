//! Memory pools. There is one, which all allocations come from, and handles of others are only numbers.

use super::error::*;
use super::memory::cuMemAllocAsync;
use super::{Handle, Status, set, with_state};
use crate::machine::memory::Side;
use std::ffi::{c_int, c_void};

const DEFAULT_POOL: Handle = 0x1000;

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetDefaultMemPool(pool: *mut Handle, _device: c_int) -> Status {
    set(pool, DEFAULT_POOL)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetMemPool(pool: *mut Handle, _device: c_int) -> Status {
    set(pool, DEFAULT_POOL)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceSetMemPool(_device: c_int, _pool: Handle) -> Status {
    CUDA_SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemPoolCreate(pool: *mut Handle, _properties: *const c_void) -> Status {
    with_state(|s| {
        let new = s.new_handle();
        set(pool, new)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemPoolDestroy(_pool: Handle) -> Status {
    CUDA_SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemPoolTrimTo(_pool: Handle, _size: usize) -> Status {
    CUDA_SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemPoolSetAttribute(
    _pool: Handle,
    _attribute: u32,
    _value: *mut c_void,
) -> Status {
    CUDA_SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemPoolGetAttribute(
    _pool: Handle,
    attribute: u32,
    value: *mut c_void,
) -> Status {
    // 1..3 are ints, the others 64 bits wide
    with_state(|s| {
        if attribute <= 3 {
            set(value as *mut i32, 1)
        } else {
            set(value as *mut u64, s.memory.used_on(Side::Device))
        }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemAllocFromPoolAsync(
    address: *mut u64,
    size: usize,
    _pool: Handle,
    stream: Handle,
) -> Status {
    cuMemAllocAsync(address, size, stream)
}
