//! Contexts, the primary one and others. An error of a kernel stays with its context.

use super::error::*;
use super::{CURRENT, Handle, State, Status, current, set, with_context, with_device, with_state};
use crate::checks::program;
use std::collections::HashMap;
use std::ffi::{c_int, c_uint, c_void};

#[derive(Default)]
pub struct Context {
    is_primary: bool,
    /// number of its device
    pub device: usize,
    flags: u32,
    /// the first error of a kernel, which every later call gets
    pub sticky: Status,
    limits: HashMap<u32, usize>,
    cache_config: u32,
}

impl State {
    /// The number of a context's device.
    pub fn device_of(&self, context: Handle) -> usize {
        self.contexts.get(&context).map_or(0, |c| c.device)
    }

    /// A primary context that begins, or begins again.
    fn begin_primary(&mut self, context: Handle, device: usize) {
        let flags = self.devices[device].flags;
        let new = Context { is_primary: true, device, flags, ..Context::default() };
        self.contexts.insert(context, new);
    }

    /// Ends a context with all that is in it.
    fn destroy_context(&mut self, c: Handle) {
        let is_broken = self.wait_for_context(c) != CUDA_SUCCESS;
        // after a fault nothing can be freed, which is no leak
        if !is_broken {
            let events = self.events.values().filter(|e| e.context == c).count();
            // the default streams have low bits
            let streams = self.streams.iter().filter(|s| s.1.context == c && *s.0 & 3 == 0).count();
            let leaks = program::leaks(&self.memory, c, events, streams);
            leaks.into_iter().for_each(|finding| self.report(&[finding]));
        }
        for side in self.memory.sides() {
            let live = self.memory.live(side).filter(|a| a.context == c);
            for address in live.map(|a| a.address).collect::<Vec<_>>() {
                self.memory.free(side, address);
            }
        }
        let of_context = self.streams.iter().filter(|(_, s)| s.context == c);
        for id in of_context.map(|(h, _)| *h).collect::<Vec<_>>() {
            self.abandon_capture(id);
        }
        self.streams.retain(|_, s| s.context != c);
        self.events.retain(|_, e| e.context != c);
        self.modules.retain(|_, m| m.context != c);
        self.functions.retain(|_, f| f.context != c);
        self.contexts.remove(&c);
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDevicePrimaryCtxRetain(context: *mut Handle, device: c_int) -> Status {
    with_device(device, |s, device| {
        let primary = match s.devices[device].primary {
            Some(primary) => primary,
            None => {
                let new = s.new_handle();
                s.begin_primary(new, device);
                new
            }
        };
        let of_device = &mut s.devices[device];
        of_device.primary = Some(primary);
        of_device.references += 1;
        set(context, primary)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDevicePrimaryCtxRelease_v2(device: c_int) -> Status {
    with_device(device, |s, device| {
        let of_device = &mut s.devices[device];
        if of_device.references == 0 {
            return CUDA_ERROR_INVALID_CONTEXT;
        }
        of_device.references -= 1;
        if of_device.references == 0
            && let Some(context) = of_device.primary.take()
        {
            s.destroy_context(context);
        }
        CUDA_SUCCESS
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDevicePrimaryCtxReset_v2(device: c_int) -> Status {
    with_device(device, |s, device| {
        if let Some(context) = s.devices[device].primary {
            s.destroy_context(context);
            s.begin_primary(context, device);
        }
        CUDA_SUCCESS
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDevicePrimaryCtxGetState(
    device: c_int,
    flags: *mut c_uint,
    is_active: *mut c_int,
) -> Status {
    with_device(device, |s, device| {
        let of_device = &s.devices[device];
        set(flags, of_device.flags);
        set(is_active, of_device.primary.is_some() as c_int)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDevicePrimaryCtxSetFlags_v2(device: c_int, flags: c_uint) -> Status {
    with_device(device, |s, device| {
        let of_device = &mut s.devices[device];
        of_device.flags = flags;
        if let Some(context) = of_device.primary.and_then(|c| s.contexts.get_mut(&c)) {
            context.flags = flags;
        }
        CUDA_SUCCESS
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxCreate_v2(
    context: *mut Handle,
    flags: c_uint,
    device: c_int,
) -> Status {
    with_device(device, |s, device| {
        let new = s.new_handle();
        s.contexts.insert(new, Context { device, flags, ..Context::default() });
        CURRENT.with(|stack| stack.borrow_mut().push(new));
        set(context, new)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxCreate_v3(
    context: *mut Handle,
    _affinity: *mut c_void,
    _count: c_int,
    flags: c_uint,
    device: c_int,
) -> Status {
    cuCtxCreate_v2(context, flags, device)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxCreate_v4(
    context: *mut Handle,
    _parameters: *mut c_void,
    flags: c_uint,
    device: c_int,
) -> Status {
    cuCtxCreate_v2(context, flags, device)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxDestroy_v2(context: Handle) -> Status {
    with_state(|s| {
        match s.contexts.get(&context) {
            None => return CUDA_ERROR_INVALID_CONTEXT,
            Some(c) if c.is_primary => return CUDA_ERROR_INVALID_CONTEXT,
            _ => {}
        }
        s.destroy_context(context);
        CURRENT.with(|stack| {
            let mut stack = stack.borrow_mut();
            if stack.last() == Some(&context) {
                stack.pop();
            }
        });
        CUDA_SUCCESS
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxSetCurrent(context: Handle) -> Status {
    with_state(|s| {
        if !s.is_initialized {
            return CUDA_ERROR_NOT_INITIALIZED;
        }
        if context != 0 && !s.contexts.contains_key(&context) {
            return CUDA_ERROR_INVALID_CONTEXT;
        }
        CURRENT.with(|stack| {
            let mut stack = stack.borrow_mut();
            stack.pop();
            if context != 0 {
                stack.push(context)
            }
        });
        CUDA_SUCCESS
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxGetCurrent(context: *mut Handle) -> Status {
    with_state(|s| {
        if !s.is_initialized {
            return CUDA_ERROR_NOT_INITIALIZED;
        }
        set(context, current())
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxPushCurrent_v2(context: Handle) -> Status {
    with_state(|s| {
        if !s.contexts.contains_key(&context) {
            return CUDA_ERROR_INVALID_CONTEXT;
        }
        CURRENT.with(|stack| stack.borrow_mut().push(context));
        CUDA_SUCCESS
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxPopCurrent_v2(context: *mut Handle) -> Status {
    let popped = CURRENT.with(|stack| stack.borrow_mut().pop());
    match popped {
        None => CUDA_ERROR_INVALID_CONTEXT,
        Some(top) => {
            if !context.is_null() {
                *context = top
            }
            CUDA_SUCCESS
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxGetDevice(device: *mut c_int) -> Status {
    with_context(|s, context| set(device, s.device_of(context) as c_int))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxGetApiVersion(_context: Handle, version: *mut c_uint) -> Status {
    set(version, 13000)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxGetFlags(flags: *mut c_uint) -> Status {
    with_context(|s, context| set(flags, s.contexts[&context].flags))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxSetFlags(flags: c_uint) -> Status {
    with_context(|s, context| {
        s.contexts.get_mut(&context).unwrap().flags = flags;
        CUDA_SUCCESS
    })
}

/// No device reaches the memory of another one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxEnablePeerAccess(peer: Handle, flags: c_uint) -> Status {
    with_context(|s, _| match s.contexts.contains_key(&peer) {
        false => CUDA_ERROR_INVALID_CONTEXT,
        true if flags != 0 => CUDA_ERROR_INVALID_VALUE,
        true => CUDA_ERROR_PEER_ACCESS_UNSUPPORTED,
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxDisablePeerAccess(peer: Handle) -> Status {
    with_context(|s, _| match s.contexts.contains_key(&peer) {
        false => CUDA_ERROR_INVALID_CONTEXT,
        true => CUDA_ERROR_PEER_ACCESS_NOT_ENABLED,
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxSynchronize() -> Status {
    with_context(|s, context| {
        let of_context = s.streams.values().filter(|stream| stream.context == context);
        let captures: Vec<u64> = of_context.filter_map(|stream| stream.capture).collect();
        captures.iter().for_each(|&capture| s.invalidate(capture));
        match s.act_at_once() {
            CUDA_SUCCESS if captures.is_empty() => s.wait_for_context(context),
            _ => CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED,
        }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxGetLimit(value: *mut usize, limit: u32) -> Status {
    with_context(|s, context| {
        let default = match limit {
            0 => 1024,
            1 => 1 << 20,
            2 => 8 << 20,
            5 => 64,
            6 | 7 => 0,
            _ => return CUDA_ERROR_UNSUPPORTED_LIMIT,
        };
        set(value, s.contexts[&context].limits.get(&limit).copied().unwrap_or(default))
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxSetLimit(limit: u32, value: usize) -> Status {
    with_context(|s, context| {
        if limit > 6 {
            return CUDA_ERROR_UNSUPPORTED_LIMIT;
        }
        s.contexts.get_mut(&context).unwrap().limits.insert(limit, value);
        CUDA_SUCCESS
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxGetCacheConfig(config: *mut u32) -> Status {
    with_context(|s, context| set(config, s.contexts[&context].cache_config))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxSetCacheConfig(config: u32) -> Status {
    with_context(|s, context| {
        s.contexts.get_mut(&context).unwrap().cache_config = config;
        CUDA_SUCCESS
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxGetStreamPriorityRange(
    least: *mut c_int,
    greatest: *mut c_int,
) -> Status {
    with_context(|_, _| {
        // either may be null
        set(least, 0);
        set(greatest, -5);
        CUDA_SUCCESS
    })
}
