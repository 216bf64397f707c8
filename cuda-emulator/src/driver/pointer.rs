//! What the driver tells of addresses. Memory of the host that it did not allocate is unknown to it.

use super::error::*;
use super::{Handle, State, Status, current, set, with_context, with_state};
use crate::machine::memory::Allocation;
use std::ffi::{c_uint, c_void};

/// CUpointer_attribute.
mod attribute {
    pub const CONTEXT: u32 = 1;
    pub const MEMORY_TYPE: u32 = 2;
    pub const DEVICE_POINTER: u32 = 3;
    pub const HOST_POINTER: u32 = 4;
    pub const SYNC_MEMOPS: u32 = 6;
    pub const BUFFER_ID: u32 = 7;
    pub const IS_MANAGED: u32 = 8;
    pub const DEVICE_ORDINAL: u32 = 9;
    pub const RANGE_START_ADDR: u32 = 11;
    pub const RANGE_SIZE: u32 = 12;
    pub const MAPPED: u32 = 13;
}
use attribute::*;

/// CUmemorytype.
const OF_HOST: u64 = 1;
const OF_DEVICE: u64 = 2;

impl State {
    /// The live allocation with this address.
    fn allocation_of(&self, address: u64) -> Option<&Allocation> {
        let before = self.memory.allocation_before(address)?;
        (address - before.address < before.size).then_some(before)
    }

    /// An attribute of an address within an allocation.
    fn pointer_attribute(
        &self,
        a: &Allocation,
        attribute: u32,
        address: u64,
        context: Handle,
    ) -> Result<u64, Status> {
        let device = self.memory.device_of(address);
        Ok(match attribute {
            CONTEXT => a.context,
            MEMORY_TYPE => {
                if a.kind == "pinned host" {
                    OF_HOST
                } else {
                    OF_DEVICE
                }
            }
            DEVICE_POINTER => {
                if !self.contexts.contains_key(&context) {
                    return Err(CUDA_ERROR_INVALID_CONTEXT);
                }
                if device.is_some_and(|device| device != self.device_of(context)) {
                    return Err(CUDA_ERROR_INVALID_VALUE);
                }
                address
            }
            HOST_POINTER if device.is_some() => return Err(CUDA_ERROR_INVALID_VALUE),
            HOST_POINTER => address,
            SYNC_MEMOPS => 0,
            BUFFER_ID => a.number << 8 | device.map_or(0, |device| device as u64 + 1),
            IS_MANAGED => (a.kind == "managed") as u64,
            DEVICE_ORDINAL => device.unwrap_or_else(|| self.device_of(a.context)) as u64,
            RANGE_START_ADDR => a.address,
            RANGE_SIZE => a.size,
            MAPPED => 1,
            _ => return Err(CUDA_ERROR_NOT_SUPPORTED),
        })
    }
}

/// Gives the program an attribute, as wide as that is.
fn give(to: *mut c_void, attribute: u32, value: u64) -> Status {
    match attribute {
        MEMORY_TYPE | SYNC_MEMOPS | IS_MANAGED | DEVICE_ORDINAL | MAPPED => {
            set(to as *mut u32, value as u32)
        }
        _ => set(to as *mut u64, value),
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuPointerGetAttribute(
    value: *mut c_void,
    attribute: u32,
    address: u64,
) -> Status {
    with_state(|s| match s.allocation_of(address) {
        None => CUDA_ERROR_INVALID_VALUE,
        Some(allocation) => match s.pointer_attribute(allocation, attribute, address, current()) {
            Ok(found) => give(value, attribute, found),
            Err(e) => e,
        },
    })
}

/// What is not known, or there is not, is zero here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuPointerGetAttributes(
    count: c_uint,
    attributes: *const u32,
    values: *const *mut c_void,
    address: u64,
) -> Status {
    if count == 0 || attributes.is_null() || values.is_null() {
        return CUDA_ERROR_INVALID_VALUE;
    }
    with_context(|s, context| {
        for n in 0..count as usize {
            let attribute = *attributes.add(n);
            let found = s.allocation_of(address).map_or(Err(CUDA_ERROR_INVALID_VALUE), |a| {
                s.pointer_attribute(a, attribute, address, context)
            });
            let value = match found {
                Err(CUDA_ERROR_NOT_SUPPORTED) => return CUDA_ERROR_NOT_SUPPORTED,
                found => found.unwrap_or(0),
            };
            let e = give(*values.add(n), attribute, value);
            if e != CUDA_SUCCESS {
                return e;
            }
        }
        CUDA_SUCCESS
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemGetAddressRange_v2(
    base: *mut u64,
    size: *mut usize,
    address: u64,
) -> Status {
    with_context(|s, _| {
        if s.memory.side_of(address).is_none() {
            return CUDA_ERROR_INVALID_VALUE;
        }
        match s.memory.allocation_before(address) {
            Some(a) if address < a.address + a.size => {
                // either may be null
                set(base, a.address);
                set(size, a.size as usize);
                CUDA_SUCCESS
            }
            _ => CUDA_ERROR_NOT_FOUND,
        }
    })
}
