//! Memory pools. Each device has one, which all its allocations come from; others are only numbers with a
//! device.

use super::error::*;
use super::{Handle, State, Status, set, with_context, with_device, with_state};
use crate::machine::memory::Side;
use std::ffi::{c_int, c_void};

/// CU_MEM_LOCATION_TYPE_DEVICE.
const ON_DEVICE: u32 = 1;

/// The start of CUmemPoolProps.
#[repr(C)]
struct Properties {
    allocation_type: u32,
    handle_types: u32,
    location_type: u32,
    location: c_int,
}

impl State {
    /// The device of a pool.
    fn device_of_pool(&self, pool: Handle) -> Option<usize> {
        let default = self.devices.iter().position(|device| device.default_pool == pool);
        default.or_else(|| self.pools.get(&pool).copied())
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetDefaultMemPool(pool: *mut Handle, device: c_int) -> Status {
    with_device(device, |s, device| set(pool, s.devices[device].default_pool))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetMemPool(pool: *mut Handle, device: c_int) -> Status {
    with_device(device, |s, device| set(pool, s.devices[device].pool))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceSetMemPool(device: c_int, pool: Handle) -> Status {
    with_device(device, |s, device| {
        if s.device_of_pool(pool) != Some(device) {
            return CUDA_ERROR_INVALID_VALUE;
        }
        s.devices[device].pool = pool;
        CUDA_SUCCESS
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemPoolCreate(pool: *mut Handle, properties: *const c_void) -> Status {
    with_state(|s| {
        let Some(properties) = (properties as *const Properties).as_ref() else {
            return CUDA_ERROR_INVALID_VALUE;
        };
        let device = match properties.location_type {
            ON_DEVICE => properties.location as usize,
            _ => return CUDA_ERROR_NOT_SUPPORTED,
        };
        if device >= s.devices.len() {
            return CUDA_ERROR_INVALID_DEVICE;
        }
        let new = s.new_handle();
        s.pools.insert(new, device);
        set(pool, new)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemPoolDestroy(pool: Handle) -> Status {
    with_state(|s| {
        if s.pools.remove(&pool).is_none() {
            return CUDA_ERROR_INVALID_VALUE;
        }
        for device in s.devices.iter_mut().filter(|device| device.pool == pool) {
            device.pool = device.default_pool;
        }
        CUDA_SUCCESS
    })
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
    pool: Handle,
    attribute: u32,
    value: *mut c_void,
) -> Status {
    // 1..3 are ints, the others 64 bits wide
    with_state(|s| match s.device_of_pool(pool) {
        None => CUDA_ERROR_INVALID_VALUE,
        Some(_) if attribute <= 3 => set(value as *mut i32, 1),
        Some(device) => set(value as *mut u64, s.memory.used_on(Side::Device(device))),
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemAllocFromPoolAsync(
    address: *mut u64,
    size: usize,
    pool: Handle,
    stream: Handle,
) -> Status {
    with_context(|s, _| match s.device_of_pool(pool) {
        None => CUDA_ERROR_INVALID_VALUE,
        Some(device) => s.allocate_async(address, size, stream, Some(device)),
    })
}
