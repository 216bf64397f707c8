//! Contexts, the primary one and others. An error of a kernel stays with its context.

use super::error::*;
use super::{CURRENT, Handle, State, Status, current, set, with_context, with_state};
use crate::checks::program;
use crate::machine::memory::SIDES;
use std::collections::HashMap;
use std::ffi::{c_int, c_uint, c_void};

#[derive(Default)]
pub struct Context {
    is_primary: bool,
    flags: u32,
    /// the first error of a kernel, which every later call gets
    pub sticky: Status,
    limits: HashMap<u32, usize>,
    cache_config: u32,
}

impl State {
    /// Ends a context with all that is in it.
    fn destroy_context(&mut self, c: Handle) {
        let is_broken = self.drain_context(c) != CUDA_SUCCESS;
        // after a fault nothing can be freed, which is no leak
        if !is_broken {
            let events = self.events.values().filter(|e| e.context == c).count();
            // the default streams have low bits
            let streams = self.streams.iter().filter(|s| s.1.context == c && *s.0 & 3 == 0).count();
            let modules = self.modules.values().filter(|m| m.context == c).count();
            let leaks = program::leaks(&self.memory, c, events, streams, modules);
            leaks.into_iter().for_each(|finding| self.report(&[finding]));
        }
        for side in SIDES {
            let live = self.memory.live(side).filter(|a| a.context == c);
            for address in live.map(|a| a.address).collect::<Vec<_>>() {
                self.memory.free(side, address);
            }
        }
        self.streams.retain(|_, s| s.context != c);
        self.events.retain(|_, e| e.context != c);
        self.modules.retain(|_, m| m.context != c);
        self.functions.retain(|_, f| f.context != c);
        self.contexts.remove(&c);
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDevicePrimaryCtxRetain(p: *mut Handle, d: c_int) -> Status {
    if d != 0 {
        return CUDA_ERROR_INVALID_DEVICE;
    }
    with_state(|s| {
        if !s.is_initialized {
            return CUDA_ERROR_NOT_INITIALIZED;
        }
        if s.primary.is_none() {
            let h = s.new_handle();
            s.contexts.insert(h, Context { is_primary: true, ..Context::default() });
            s.primary = Some(h);
        }
        s.primary_references += 1;
        set(p, s.primary.unwrap())
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDevicePrimaryCtxRelease_v2(d: c_int) -> Status {
    if d != 0 {
        return CUDA_ERROR_INVALID_DEVICE;
    }
    with_state(|s| {
        if s.primary_references == 0 {
            return CUDA_ERROR_INVALID_CONTEXT;
        }
        s.primary_references -= 1;
        if s.primary_references == 0 {
            let c = s.primary.take().unwrap();
            s.destroy_context(c);
        }
        CUDA_SUCCESS
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDevicePrimaryCtxReset_v2(d: c_int) -> Status {
    if d != 0 {
        return CUDA_ERROR_INVALID_DEVICE;
    }
    with_state(|s| {
        if let Some(c) = s.primary {
            s.destroy_context(c);
            s.contexts.insert(c, Context { is_primary: true, ..Context::default() });
        }
        CUDA_SUCCESS
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDevicePrimaryCtxGetState(
    _d: c_int,
    f: *mut c_uint,
    a: *mut c_int,
) -> Status {
    with_state(|s| {
        *f = 0;
        set(a, s.primary.is_some() as c_int)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDevicePrimaryCtxSetFlags_v2(_d: c_int, _f: c_uint) -> Status {
    CUDA_SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxCreate_v2(p: *mut Handle, flags: c_uint, d: c_int) -> Status {
    if d != 0 {
        return CUDA_ERROR_INVALID_DEVICE;
    }
    with_state(|s| {
        let h = s.new_handle();
        s.contexts.insert(h, Context { flags, ..Context::default() });
        CURRENT.with(|c| c.borrow_mut().push(h));
        set(p, h)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxCreate_v3(
    p: *mut Handle,
    _x: *mut c_void,
    _n: c_int,
    flags: c_uint,
    d: c_int,
) -> Status {
    cuCtxCreate_v2(p, flags, d)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxCreate_v4(
    p: *mut Handle,
    _x: *mut c_void,
    flags: c_uint,
    d: c_int,
) -> Status {
    cuCtxCreate_v2(p, flags, d)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxDestroy_v2(c: Handle) -> Status {
    with_state(|s| {
        match s.contexts.get(&c) {
            None => return CUDA_ERROR_INVALID_CONTEXT,
            Some(x) if x.is_primary => return CUDA_ERROR_INVALID_CONTEXT,
            _ => {}
        }
        s.destroy_context(c);
        CURRENT.with(|v| {
            let mut v = v.borrow_mut();
            if v.last() == Some(&c) {
                v.pop();
            }
        });
        CUDA_SUCCESS
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxSetCurrent(c: Handle) -> Status {
    with_state(|s| {
        if !s.is_initialized {
            return CUDA_ERROR_NOT_INITIALIZED;
        }
        if c != 0 && !s.contexts.contains_key(&c) {
            return CUDA_ERROR_INVALID_CONTEXT;
        }
        CURRENT.with(|v| {
            let mut v = v.borrow_mut();
            v.pop();
            if c != 0 {
                v.push(c)
            }
        });
        CUDA_SUCCESS
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxGetCurrent(p: *mut Handle) -> Status {
    with_state(|s| {
        if !s.is_initialized {
            return CUDA_ERROR_NOT_INITIALIZED;
        }
        set(p, current())
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxPushCurrent_v2(c: Handle) -> Status {
    CURRENT.with(|v| v.borrow_mut().push(c));
    CUDA_SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxPopCurrent_v2(p: *mut Handle) -> Status {
    let t = CURRENT.with(|v| v.borrow_mut().pop());
    match t {
        None => CUDA_ERROR_INVALID_CONTEXT,
        Some(c) => {
            if !p.is_null() {
                *p = c
            }
            CUDA_SUCCESS
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxGetDevice(p: *mut c_int) -> Status {
    with_context(|_, _| set(p, 0))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxGetApiVersion(_c: Handle, p: *mut c_uint) -> Status {
    set(p, 13000)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxGetFlags(p: *mut c_uint) -> Status {
    with_context(|s, c| set(p, s.contexts[&c].flags))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxSetFlags(f: c_uint) -> Status {
    with_context(|s, c| {
        s.contexts.get_mut(&c).unwrap().flags = f;
        CUDA_SUCCESS
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxSynchronize() -> Status {
    with_context(|s, c| {
        if s.streams.values().any(|x| x.context == c && x.capture.is_some()) {
            return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
        }
        s.drain_context(c)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxGetLimit(p: *mut usize, l: u32) -> Status {
    with_context(|s, c| {
        let d = match l {
            0 => 1024,
            1 => 1 << 20,
            2 => 8 << 20,
            5 => 64,
            6 | 7 => 0,
            _ => return CUDA_ERROR_UNSUPPORTED_LIMIT,
        };
        set(p, s.contexts[&c].limits.get(&l).copied().unwrap_or(d))
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxSetLimit(l: u32, v: usize) -> Status {
    with_context(|s, c| {
        if l > 6 {
            return CUDA_ERROR_UNSUPPORTED_LIMIT;
        }
        s.contexts.get_mut(&c).unwrap().limits.insert(l, v);
        CUDA_SUCCESS
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxGetCacheConfig(p: *mut u32) -> Status {
    with_context(|s, c| set(p, s.contexts[&c].cache_config))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxSetCacheConfig(v: u32) -> Status {
    with_context(|s, c| {
        s.contexts.get_mut(&c).unwrap().cache_config = v;
        CUDA_SUCCESS
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxGetStreamPriorityRange(a: *mut c_int, b: *mut c_int) -> Status {
    with_context(|_, _| {
        *a = 0;
        *b = -5;
        CUDA_SUCCESS
    })
}
