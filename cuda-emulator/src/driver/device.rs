//! The device: what it says of itself, and what it has.

use super::error::*;
use super::{Handle, Status, set, with_device, with_state};
use crate::options::Options;
use std::ffi::{c_char, c_int, c_uint};

/// of the first one; others have their number after it
const NAME: &str = "CPU emulation of a CUDA device";
/// The last digit is the device's number.
const UUID: [u8; 16] = *b"cudaemu-device-0";
/// CU_DEVICE_ATTRIBUTE_PCI_BUS_ID, by which programs may tell devices apart.
const PCI_BUS: u32 = 33;
const DRIVER_VERSION: c_int = 13000;

/// Default pools have the handles from there on, below those of other objects.
const FIRST_POOL: Handle = 0x100;

// Limits of every device of capability 7.5 to 9.0.
pub const MAX_THREADS: u32 = 1024;
pub const MAX_BLOCK: [u32; 3] = [1024, 1024, 64];
pub const MAX_GRID: [u32; 3] = [i32::MAX as u32, 65535, 65535];
/// shared memory of a block, static and dynamic, unless the kernel asks for more
pub const DEFAULT_SHARED: i32 = 49152;
/// of a block, and of a multiprocessor
pub const REGISTERS: u32 = 65536;
/// a multiprocessor has four schedulers, warps are dealt out evenly
pub const SCHEDULERS: u32 = 4;

/// What differs between devices. Shared memory is in bytes.
pub struct Device {
    pub multiprocessors: i32,
    /// of a block that asks for it
    pub max_shared_of_block: i32,
    pub shared_of_multiprocessor: i32,
    pub threads_of_multiprocessor: i32,
    pub blocks_of_multiprocessor: i32,
    /// what the system takes
    pub reserved_shared_of_block: i32,
}

/// What the driver knows of one of the devices, which are all of the same kind.
pub struct DeviceState {
    /// the primary context, while somebody holds it
    pub primary: Option<Handle>,
    pub references: u32,
    /// of the primary context
    pub flags: u32,
    pub default_pool: Handle,
    /// what allocations come from
    pub pool: Handle,
}

impl DeviceState {
    pub fn new(number: usize) -> DeviceState {
        let pool = FIRST_POOL + 16 * number as Handle;
        DeviceState { primary: None, references: 0, flags: 0, default_pool: pool, pool }
    }
}

/// The device of a compute capability, times ten: T4, A100, A10, L4 (as L40) or H100.
pub fn device(capability: u32) -> Device {
    let (multiprocessors, max_shared, shared, threads, blocks, reserved) = match capability {
        75 => (40, 65536, 65536, 1024, 16, 0),
        86 => (84, 101_376, 102_400, 1536, 16, 1024),
        89 => (128, 101_376, 102_400, 1536, 24, 1024),
        90 => (132, 232_448, 233_472, 2048, 32, 1024),
        _ => (108, 166_912, 167_936, 2048, 32, 1024),
    };
    Device {
        multiprocessors,
        max_shared_of_block: max_shared,
        shared_of_multiprocessor: shared,
        threads_of_multiprocessor: threads,
        blocks_of_multiprocessor: blocks,
        reserved_shared_of_block: reserved,
    }
}

/// CUdevice_attribute. Those that are known to CUDA and not modelled are 0.
fn attribute(number: u32, options: &Options) -> Option<i32> {
    let capability = options.capability;
    let d = device(capability);
    Some(match number {
        1 => MAX_THREADS as i32,
        2..=4 => MAX_BLOCK[number as usize - 2] as i32,
        5..=7 => MAX_GRID[number as usize - 5] as i32,
        8 => DEFAULT_SHARED,
        // constant memory
        9 => 65536,
        // lanes of a warp
        10 => 32,
        // pitch
        11 => i32::MAX,
        12 | 82 => REGISTERS as i32,
        // clock, kHz
        13 => 1_410_000,
        // alignment of textures, surfaces
        14 | 30 => 512,
        // copies and kernels overlap; mapped host memory; concurrent kernels; unified addresses
        15 | 19 | 31 | 41 => 1,
        16 => d.multiprocessors,
        // memory clock, kHz; bus width; L2
        36 => 1_215_000,
        37 => 5120,
        38 => 40 << 20,
        39 => d.threads_of_multiprocessor,
        // copy engines
        40 => 3,
        51 => 32,
        75 => (capability / 10) as i32,
        76 => (capability % 10) as i32,
        // stream priorities; L1 of global and local memory
        78..=80 => 1,
        81 => d.shared_of_multiprocessor,
        // managed memory
        83 => 1,
        // single to double precision
        87 => 2,
        // concurrent managed access; compute preemption; pointers of registered host memory
        89..=91 => 1,
        // cooperative launches
        95 => 1,
        97 => d.max_shared_of_block,
        99 => 1,
        106 => d.blocks_of_multiprocessor,
        111 => d.reserved_shared_of_block,
        115 => options.pools as i32,
        // clusters
        120 => (capability >= 90) as i32,
        number if number <= 144 => 0,
        _ => return None,
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuInit(_flags: c_uint) -> Status {
    with_state(|s| {
        if s.devices.is_empty() {
            return CUDA_ERROR_NO_DEVICE;
        }
        s.is_initialized = true;
        CUDA_SUCCESS
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDriverGetVersion(version: *mut c_int) -> Status {
    set(version, DRIVER_VERSION)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGet(device: *mut c_int, ordinal: c_int) -> Status {
    with_device(ordinal, |_, _| set(device, ordinal))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetCount(count: *mut c_int) -> Status {
    with_state(|s| match s.is_initialized {
        false => CUDA_ERROR_NOT_INITIALIZED,
        true => set(count, s.devices.len() as c_int),
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetName(name: *mut c_char, size: c_int, device: c_int) -> Status {
    with_device(device, |_, device| {
        if name.is_null() || size <= 0 {
            return CUDA_ERROR_INVALID_VALUE;
        }
        let text = if device == 0 { NAME.into() } else { format!("{NAME}, number {device}") };
        let shown = text.len().min(size as usize - 1);
        std::ptr::copy_nonoverlapping(text.as_ptr() as *const c_char, name, shown);
        *name.add(shown) = 0;
        CUDA_SUCCESS
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetUuid(uuid: *mut [u8; 16], device: c_int) -> Status {
    with_device(device, |_, device| {
        let mut own = UUID;
        own[UUID.len() - 1] += device as u8;
        set(uuid, own)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetUuid_v2(uuid: *mut [u8; 16], device: c_int) -> Status {
    cuDeviceGetUuid(uuid, device)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceTotalMem_v2(bytes: *mut usize, device: c_int) -> Status {
    with_device(device, |s, _| set(bytes, s.memory.limit as usize))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetAttribute(value: *mut c_int, id: u32, device: c_int) -> Status {
    with_device(device, |s, device| match attribute(id, &s.options) {
        Some(_) if id == PCI_BUS => set(value, device as c_int),
        Some(found) => set(value, found),
        None => CUDA_ERROR_INVALID_VALUE,
    })
}

/// No device reaches the memory of another one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceCanAccessPeer(
    can: *mut c_int,
    device: c_int,
    peer: c_int,
) -> Status {
    with_device(device, |s, _| match usize::try_from(peer) {
        Ok(peer) if peer < s.devices.len() => set(can, 0),
        _ => CUDA_ERROR_INVALID_DEVICE,
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuProfilerStart() -> Status {
    CUDA_SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuProfilerStop() -> Status {
    CUDA_SUCCESS
}
