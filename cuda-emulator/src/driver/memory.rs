//! Memory: allocations, copies and fills.

use super::error::*;
use super::queue::Work;
use super::{Handle, State, Status, set, with_context, with_state};
use crate::checks::program;
use crate::machine::memory::{Side, state};
use std::ffi::{c_uint, c_void};
use std::sync::Arc;

impl State {
    /// What is wrong with `n` bytes at `a` for what is done, if anything is; that has been said.
    fn check_range(&mut self, what: &str, a: u64, n: u64, reads: bool) -> Result<(), Status> {
        let found = program::range(&self.memory, self.options.undefined, what, a, n, reads);
        match found {
            Ok(None) => Ok(()),
            Ok(Some(finding)) => {
                self.report(&[finding]);
                Ok(())
            }
            Err(finding) => {
                self.report(&[finding]);
                Err(CUDA_ERROR_INVALID_VALUE)
            }
        }
    }

    /// `src` points to `n` bytes of the host.
    pub(super) fn copy_from_host(&mut self, dst: u64, src: *const u8, n: u64) -> Status {
        if n == 0 {
            return CUDA_SUCCESS;
        }
        if let Err(e) = self.check_range("host-to-device copy", dst, n, false) {
            return e;
        }
        // SAFETY: the source is the program's word; the destination is allocated
        unsafe { std::ptr::copy_nonoverlapping(src, self.memory.host(dst), n as usize) };
        self.memory.add_state(dst, n, state::WRITTEN);
        CUDA_SUCCESS
    }

    /// `dst` points to `n` bytes of the host.
    pub(super) fn copy_to_host(&mut self, dst: *mut u8, src: u64, n: u64) -> Status {
        if n == 0 {
            return CUDA_SUCCESS;
        }
        if let Err(e) = self.check_range("device-to-host copy", src, n, true) {
            return e;
        }
        // SAFETY: the destination is the program's word; the source is allocated
        unsafe { std::ptr::copy_nonoverlapping(self.memory.host(src), dst, n as usize) };
        CUDA_SUCCESS
    }

    pub(super) fn copy_on_device(&mut self, dst: u64, src: u64, n: u64) -> Status {
        if n == 0 {
            return CUDA_SUCCESS;
        }
        let source = self.check_range("device copy (source)", src, n, false);
        let destination = self.check_range("device copy (destination)", dst, n, false);
        if let Err(e) = source.and(destination) {
            return e;
        }
        if let Some(finding) = program::overlap(dst, src, n) {
            self.report(&[finding]);
        }
        // SAFETY: both are allocated; they may overlap
        unsafe { std::ptr::copy(self.memory.host(src), self.memory.host(dst), n as usize) };
        self.memory.copy_written(dst, src, n);
        CUDA_SUCCESS
    }

    pub(super) fn fill(&mut self, dst: u64, count: u64, width: u8, value: u32) -> Status {
        let Some(n) = count.checked_mul(width as u64) else { return CUDA_ERROR_INVALID_VALUE };
        if n == 0 {
            return CUDA_SUCCESS;
        }
        if let Err(e) = self.check_range("memset", dst, n, false) {
            return e;
        }
        let bytes = value.to_le_bytes();
        // SAFETY: allocated; the driver has its lock and no kernel runs
        let target = unsafe { std::slice::from_raw_parts_mut(self.memory.host(dst), n as usize) };
        if width == 1 {
            target.fill(bytes[0]);
        } else {
            let width = width as usize;
            target.chunks_exact_mut(width).for_each(|v| v.copy_from_slice(&bytes[..width]));
        }
        self.memory.add_state(dst, n, state::WRITTEN);
        CUDA_SUCCESS
    }

    /// # Safety
    /// `p` is null or may be written.
    unsafe fn allocate(
        &mut self,
        p: *mut u64,
        n: usize,
        side: Side,
        kind: &'static str,
        context: Handle,
    ) -> Status {
        const ALIGN: u64 = 512;
        if p.is_null() || n == 0 {
            return CUDA_ERROR_INVALID_VALUE;
        }
        let mut found = self.memory.allocate(side, n as u64, ALIGN, kind, context);
        if found.is_none() {
            // work not yet done may give memory back
            self.drain_context(context);
            found = self.memory.allocate(side, n as u64, ALIGN, kind, context);
        }
        match found {
            Some(address) => set(p, address),
            None => CUDA_ERROR_OUT_OF_MEMORY,
        }
    }

    /// At once, for the context.
    ///
    /// # Safety
    /// `p` is null or may be written.
    unsafe fn allocate_now(
        &mut self,
        p: *mut u64,
        n: usize,
        side: Side,
        kind: &'static str,
        context: Handle,
    ) -> Status {
        match self.act_at_once() {
            CUDA_SUCCESS => self.allocate(p, n, side, kind, context),
            e => e,
        }
    }

    /// In the order of a stream, on its device unless another one is named.
    ///
    /// # Safety
    /// `p` is null or may be written.
    pub(super) unsafe fn allocate_async(
        &mut self,
        p: *mut u64,
        n: usize,
        stream: Handle,
        device: Option<usize>,
    ) -> Status {
        let id = match self.stream(stream) {
            Ok(id) => id,
            Err(e) => return e,
        };
        let e = self.use_stream(id);
        if e != CUDA_SUCCESS {
            return e;
        }
        let context = self.streams[&id].context;
        let side = Side::Device(device.unwrap_or_else(|| self.device_of(context)));
        self.allocate(p, n, side, "cuMemAllocAsync", context)
    }

    /// The context of the allocation that begins at an address.
    fn owner_of(&self, address: u64) -> Option<Handle> {
        let found = self.memory.allocation_before(address)?;
        (found.address == address).then_some(found.context)
    }

    fn is_capturing(&mut self, stream: Handle) -> bool {
        self.stream(stream).is_ok_and(|id| self.streams[&id].capture.is_some())
    }

    /// Copies pinned memory, and all in a capture, when the work runs; other memory may change by
    /// then and is copied now.
    ///
    /// # Safety
    /// `src` points to `n` bytes.
    unsafe fn enqueue_from_host(
        &mut self,
        dst: u64,
        src: *const c_void,
        n: usize,
        stream: Handle,
    ) -> Status {
        if n == 0 {
            return CUDA_SUCCESS;
        }
        if src.is_null() {
            return CUDA_ERROR_INVALID_VALUE;
        }
        if self.memory.is_pinned(src as u64, n as u64) || self.is_capturing(stream) {
            let work = Work::CopyFromHostLater { dst, src: src as u64, n: n as u64 };
            return self.push(stream, work);
        }
        let data = Arc::new(std::slice::from_raw_parts(src as *const u8, n).to_vec());
        self.push(stream, Work::CopyFromHost { dst, data })
    }

    /// A copy to memory that is not pinned is done when the call returns.
    fn enqueue_to_host(&mut self, dst: *mut c_void, src: u64, n: usize, stream: Handle) -> Status {
        if n == 0 {
            return CUDA_SUCCESS;
        }
        let e = self.push(stream, Work::CopyToHost { dst: dst as u64, src, n: n as u64 });
        if e != CUDA_SUCCESS {
            return e;
        }
        if self.is_capturing(stream) || self.memory.is_pinned(dst as u64, n as u64) {
            return CUDA_SUCCESS;
        }
        match self.stream(stream) {
            Ok(id) => self.wait_for(id),
            Err(e) => e,
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemGetInfo_v2(free: *mut usize, total: *mut usize) -> Status {
    with_context(|s, context| {
        let limit = s.memory.limit;
        set(total, limit as usize);
        let used = s.memory.used(Side::Device(s.device_of(context)));
        set(free, (limit - used) as usize)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemAlloc_v2(address: *mut u64, size: usize) -> Status {
    with_context(|s, context| {
        let side = Side::Device(s.device_of(context));
        s.allocate_now(address, size, side, "cuMemAlloc", context)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemAllocAsync(address: *mut u64, size: usize, stream: Handle) -> Status {
    with_context(|s, _| s.allocate_async(address, size, stream, None))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemAllocManaged(
    address: *mut u64,
    size: usize,
    _flags: c_uint,
) -> Status {
    with_context(|s, context| s.allocate_now(address, size, Side::Host, "managed", context))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemAllocHost_v2(address: *mut u64, size: usize) -> Status {
    with_context(|s, context| s.allocate_now(address, size, Side::Host, "pinned host", context))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemHostAlloc(address: *mut u64, size: usize, _flags: c_uint) -> Status {
    with_context(|s, context| s.allocate_now(address, size, Side::Host, "pinned host", context))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemFreeHost(address: u64) -> Status {
    with_state(|s| {
        let e = s.act_at_once();
        if e != CUDA_SUCCESS {
            return e;
        }
        // pending copies may still use it
        let ids: Vec<Handle> = s.contexts.keys().copied().collect();
        for context in ids {
            s.drain_context(context);
        }
        if s.memory.free(Side::Host, address) { CUDA_SUCCESS } else { CUDA_ERROR_INVALID_VALUE }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemHostGetDevicePointer_v2(
    device: *mut u64,
    host: u64,
    _flags: c_uint,
) -> Status {
    with_context(|s, _| {
        if s.memory.is_pinned(host, 1) { set(device, host) } else { CUDA_ERROR_INVALID_VALUE }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemFree_v2(address: u64) -> Status {
    with_context(|s, context| {
        if address == 0 {
            return CUDA_SUCCESS;
        }
        let e = match s.act_at_once() {
            CUDA_SUCCESS => s.wait_for_context(context),
            e => e,
        };
        if e != CUDA_SUCCESS {
            return e;
        }
        if let Some(owner) = s.owner_of(address).filter(|&owner| owner != context) {
            s.wait_for_context(owner);
        }
        s.free(address)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemFreeAsync(address: u64, stream: Handle) -> Status {
    with_context(|s, _| match address {
        0 => CUDA_ERROR_INVALID_VALUE,
        _ => s.push(stream, Work::Free(address)),
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemcpyHtoD_v2(dst: u64, src: *const c_void, size: usize) -> Status {
    with_context(|s, context| {
        if size == 0 {
            return CUDA_SUCCESS;
        }
        let data = Arc::new(std::slice::from_raw_parts(src as *const u8, size).to_vec());
        s.run_now(context, Work::CopyFromHost { dst, data })
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemcpyHtoDAsync_v2(
    dst: u64,
    src: *const c_void,
    size: usize,
    stream: Handle,
) -> Status {
    with_context(|s, _| s.enqueue_from_host(dst, src, size, stream))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemcpyDtoH_v2(dst: *mut c_void, src: u64, size: usize) -> Status {
    with_context(|s, context| match size {
        0 => CUDA_SUCCESS,
        _ => s.run_now(context, Work::CopyToHost { dst: dst as u64, src, n: size as u64 }),
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemcpyDtoHAsync_v2(
    dst: *mut c_void,
    src: u64,
    size: usize,
    stream: Handle,
) -> Status {
    with_context(|s, _| s.enqueue_to_host(dst, src, size, stream))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemcpyDtoD_v2(dst: u64, src: u64, size: usize) -> Status {
    with_context(|s, context| s.run_now(context, Work::CopyOnDevice { dst, src, n: size as u64 }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemcpyDtoDAsync_v2(
    dst: u64,
    src: u64,
    size: usize,
    stream: Handle,
) -> Status {
    with_context(|s, _| s.push(stream, Work::CopyOnDevice { dst, src, n: size as u64 }))
}

/// A copy reaches the memory of every device.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemcpyPeerAsync(
    dst: u64,
    dst_context: Handle,
    src: u64,
    src_context: Handle,
    size: usize,
    stream: Handle,
) -> Status {
    with_context(|s, _| {
        if ![dst_context, src_context].iter().all(|c| s.contexts.contains_key(c)) {
            return CUDA_ERROR_INVALID_CONTEXT;
        }
        s.push(stream, Work::CopyOnDevice { dst, src, n: size as u64 })
    })
}

fn fill(dst: u64, count: usize, width: u8, value: u32) -> Work {
    Work::Fill { dst, count: count as u64, width, value }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemsetD8_v2(dst: u64, value: u8, count: usize) -> Status {
    with_context(|s, context| s.run_now(context, fill(dst, count, 1, value as u32)))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemsetD16_v2(dst: u64, value: u16, count: usize) -> Status {
    with_context(|s, context| s.run_now(context, fill(dst, count, 2, value as u32)))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemsetD32_v2(dst: u64, value: u32, count: usize) -> Status {
    with_context(|s, context| s.run_now(context, fill(dst, count, 4, value)))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemsetD8Async(
    dst: u64,
    value: u8,
    count: usize,
    stream: Handle,
) -> Status {
    with_context(|s, _| s.push(stream, fill(dst, count, 1, value as u32)))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemsetD16Async(
    dst: u64,
    value: u16,
    count: usize,
    stream: Handle,
) -> Status {
    with_context(|s, _| s.push(stream, fill(dst, count, 2, value as u32)))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemsetD32Async(
    dst: u64,
    value: u32,
    count: usize,
    stream: Handle,
) -> Status {
    with_context(|s, _| s.push(stream, fill(dst, count, 4, value)))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemAdvise_v2(
    _address: u64,
    _size: usize,
    _advice: u32,
    _location: u64,
) -> Status {
    with_context(|_, _| CUDA_SUCCESS)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemPrefetchAsync_v2(
    _address: u64,
    _size: usize,
    _location: u64,
    _flags: c_uint,
    stream: Handle,
) -> Status {
    with_context(|s, _| s.push(stream, Work::Nothing))
}
