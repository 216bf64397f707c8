//! Events.

use super::error::*;
use super::stream::Work;
use super::{Handle, Status, set, with_context, with_state};
use std::ffi::c_uint;
use std::time::Instant;

/// Queries that say "not ready" before the work is done all the same: somebody may be polling.
const PATIENCE: u32 = 8;

pub struct Event {
    pub context: Handle,
    flags: u32,
    /// the stream and the number of the record
    pub recorded: Option<(Handle, u64)>,
    /// when it was reached
    pub at: Option<Instant>,
    polled: u32,
    /// recorded in a capture
    pub capture: Option<u64>,
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuEventCreate(p: *mut Handle, flags: c_uint) -> Status {
    with_context(|s, c| {
        let h = s.new_handle();
        s.events.insert(
            h,
            Event { context: c, flags, recorded: None, at: None, polled: 0, capture: None },
        );
        set(p, h)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuEventDestroy_v2(e: Handle) -> Status {
    with_state(
        |s| if s.events.remove(&e).is_some() { CUDA_SUCCESS } else { CUDA_ERROR_INVALID_HANDLE },
    )
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuEventRecord(e: Handle, h: Handle) -> Status {
    with_context(|s, _| {
        let x = match s.stream(h) {
            Err(e) => return e,
            Ok(x) => x,
        };
        let Some(ev) = s.events.get(&e) else { return CUDA_ERROR_INVALID_HANDLE };
        if ev.context != s.streams[&x].context {
            return CUDA_ERROR_INVALID_HANDLE;
        }
        if let Some(c) = s.streams[&x].capture {
            s.events.get_mut(&e).unwrap().capture = Some(c);
            return CUDA_SUCCESS;
        }
        let r = s.push(h, Work::Event(e));
        if r != CUDA_SUCCESS {
            return r;
        }
        let last = s.streams[&x].last;
        let ev = s.events.get_mut(&e).unwrap();
        ev.recorded = Some((x, last));
        ev.polled = 0;
        CUDA_SUCCESS
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuEventRecordWithFlags(e: Handle, h: Handle, _f: c_uint) -> Status {
    cuEventRecord(e, h)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuEventSynchronize(e: Handle) -> Status {
    with_context(|s, _| {
        let Some(ev) = s.events.get(&e) else { return CUDA_ERROR_INVALID_HANDLE };
        if ev.capture.is_some() {
            return CUDA_ERROR_CAPTURED_EVENT;
        }
        match ev.recorded {
            None => CUDA_SUCCESS,
            Some((h, q)) => s.drain(h, q),
        }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuEventQuery(e: Handle) -> Status {
    with_context(|s, _| {
        let Some(ev) = s.events.get_mut(&e) else { return CUDA_ERROR_INVALID_HANDLE };
        if let Some(c) = ev.capture {
            if let Some(c) = s.captures.get_mut(&c) {
                c.is_invalid = true
            }
            return CUDA_ERROR_CAPTURED_EVENT;
        }
        let Some((h, q)) = ev.recorded else { return CUDA_SUCCESS };
        // not ready for a while, then it must end: somebody may be polling
        ev.polled += 1;
        let polled = ev.polled > PATIENCE;
        if s.streams.get(&h).is_none_or(|x| x.done >= q) {
            return CUDA_SUCCESS;
        }
        if polled {
            return s.drain(h, q);
        }
        CUDA_ERROR_NOT_READY
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuEventElapsedTime(p: *mut f32, a: Handle, b: Handle) -> Status {
    with_context(|s, _| {
        let (Some(x), Some(y)) = (s.events.get(&a), s.events.get(&b)) else {
            return CUDA_ERROR_INVALID_HANDLE;
        };
        if x.flags & 2 != 0 || y.flags & 2 != 0 || x.recorded.is_none() || y.recorded.is_none() {
            return CUDA_ERROR_INVALID_HANDLE;
        }
        for z in [x, y] {
            let (h, q) = z.recorded.unwrap();
            if s.streams.get(&h).is_some_and(|w| w.done < q) {
                return CUDA_ERROR_NOT_READY;
            }
        }
        let (Some(t0), Some(t1)) = (x.at, y.at) else { return CUDA_ERROR_NOT_READY };
        let ms =
            if t1 >= t0 { (t1 - t0).as_secs_f64() * 1e3 } else { -((t0 - t1).as_secs_f64() * 1e3) };
        set(p, ms as f32)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuEventElapsedTime_v2(p: *mut f32, a: Handle, b: Handle) -> Status {
    cuEventElapsedTime(p, a, b)
}
