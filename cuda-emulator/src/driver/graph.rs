//! Graphs: a stream that captures writes its work down, and a launch of the graph enqueues it in that
//! order.

use super::error::*;
use super::stream::Work;
use super::{Handle, Status, set, with_context, with_state};

/// A capture that goes on.
#[derive(Default)]
pub struct Capture {
    /// the stream that it was begun on
    origin: Handle,
    pub work: Vec<Work>,
    /// something was done that a capture does not allow
    pub is_invalid: bool,
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamBeginCapture_v2(h: Handle, _mode: u32) -> Status {
    with_context(|s, _| {
        if h <= 2 {
            return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
        }
        let x = match s.stream(h) {
            Err(e) => return e,
            Ok(x) => x,
        };
        if s.streams[&x].capture.is_some() {
            return CUDA_ERROR_ILLEGAL_STATE;
        }
        let id = s.next_number();
        s.captures.insert(id, Capture { origin: x, ..Default::default() });
        s.streams.get_mut(&x).unwrap().capture = Some(id);
        CUDA_SUCCESS
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamIsCapturing(h: Handle, p: *mut u32) -> Status {
    with_context(|s, _| match s.stream(h) {
        Err(e) => e,
        Ok(x) => set(p, s.streams[&x].capture.is_some() as u32),
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamEndCapture(h: Handle, p: *mut Handle) -> Status {
    with_context(|s, _| {
        let x = match s.stream(h) {
            Err(e) => return e,
            Ok(x) => x,
        };
        let Some(id) = s.streams[&x].capture else { return CUDA_ERROR_ILLEGAL_STATE };
        if s.captures[&id].origin != x {
            return CUDA_ERROR_STREAM_CAPTURE_UNMATCHED;
        }
        for q in s.streams.values_mut() {
            if q.capture == Some(id) {
                q.capture = None
            }
        }
        for e in s.events.values_mut() {
            if e.capture == Some(id) {
                e.capture = None
            }
        }
        let c = s.captures.remove(&id).unwrap();
        if c.is_invalid {
            *p = 0;
            return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
        }
        let g = s.new_handle();
        s.graphs.insert(g, c.work);
        set(p, g)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuGraphInstantiateWithFlags(p: *mut Handle, g: Handle, f: u64) -> Status {
    with_context(|s, _| {
        if f > 15 || f & 5 == 5 {
            return CUDA_ERROR_INVALID_VALUE;
        }
        let Some(o) = s.graphs.get(&g).cloned() else { return CUDA_ERROR_INVALID_VALUE };
        let h = s.new_handle();
        s.executables.insert(h, o);
        set(p, h)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuGraphUpload(g: Handle, _s: Handle) -> Status {
    with_context(|s, _| {
        if s.executables.contains_key(&g) { CUDA_SUCCESS } else { CUDA_ERROR_INVALID_VALUE }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuGraphLaunch(g: Handle, h: Handle) -> Status {
    with_context(|s, _| {
        let Some(o) = s.executables.get(&g).cloned() else { return CUDA_ERROR_INVALID_VALUE };
        for op in o {
            let e = s.push(h, op);
            if e != CUDA_SUCCESS {
                return e;
            }
        }
        CUDA_SUCCESS
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuGraphDestroy(g: Handle) -> Status {
    with_state(
        |s| if s.graphs.remove(&g).is_some() { CUDA_SUCCESS } else { CUDA_ERROR_INVALID_VALUE },
    )
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuGraphExecDestroy(g: Handle) -> Status {
    with_state(|s| {
        if s.executables.remove(&g).is_some() { CUDA_SUCCESS } else { CUDA_ERROR_INVALID_VALUE }
    })
}
