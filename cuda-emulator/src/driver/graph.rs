//! Graphs: a stream that captures writes its work down, and a launch of the graph enqueues it in that
//! order.

use super::error::*;
use super::stream::{Work, with_stream};
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
pub unsafe extern "C" fn cuStreamBeginCapture_v2(stream: Handle, _mode: u32) -> Status {
    with_stream(stream, |s, id| {
        if stream <= 2 {
            return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
        }
        if s.streams[&id].capture.is_some() {
            return CUDA_ERROR_ILLEGAL_STATE;
        }
        let number = s.next_number();
        s.captures.insert(number, Capture { origin: id, ..Default::default() });
        if let Some(stream) = s.streams.get_mut(&id) {
            stream.capture = Some(number);
        }
        CUDA_SUCCESS
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamIsCapturing(stream: Handle, status: *mut u32) -> Status {
    with_stream(stream, |s, id| set(status, s.streams[&id].capture.is_some() as u32))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamEndCapture(stream: Handle, graph: *mut Handle) -> Status {
    with_stream(stream, |s, id| {
        let Some(number) = s.streams[&id].capture else { return CUDA_ERROR_ILLEGAL_STATE };
        if s.captures[&number].origin != id {
            return CUDA_ERROR_STREAM_CAPTURE_UNMATCHED;
        }
        let of_streams = s.streams.values_mut().map(|stream| &mut stream.capture);
        let of_events = s.events.values_mut().map(|event| &mut event.capture);
        for capture in of_streams.chain(of_events).filter(|capture| **capture == Some(number)) {
            *capture = None;
        }
        match s.captures.remove(&number) {
            Some(Capture { work, is_invalid: false, .. }) => {
                let new = s.new_handle();
                s.graphs.insert(new, work);
                set(graph, new)
            }
            _ => {
                set(graph, 0);
                CUDA_ERROR_STREAM_CAPTURE_INVALIDATED
            }
        }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuGraphInstantiateWithFlags(
    executable: *mut Handle,
    graph: Handle,
    flags: u64,
) -> Status {
    with_context(|s, _| {
        // four flags; freeing on launch and launching from the device exclude one another
        if flags > 15 || flags & 5 == 5 {
            return CUDA_ERROR_INVALID_VALUE;
        }
        let Some(work) = s.graphs.get(&graph).cloned() else { return CUDA_ERROR_INVALID_VALUE };
        let new = s.new_handle();
        s.executables.insert(new, work);
        set(executable, new)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuGraphUpload(executable: Handle, _stream: Handle) -> Status {
    with_context(|s, _| match s.executables.get(&executable) {
        Some(_) => CUDA_SUCCESS,
        None => CUDA_ERROR_INVALID_VALUE,
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuGraphLaunch(executable: Handle, stream: Handle) -> Status {
    with_context(|s, _| {
        let Some(all) = s.executables.get(&executable).cloned() else {
            return CUDA_ERROR_INVALID_VALUE;
        };
        let mut statuses = all.into_iter().map(|work| s.push(stream, work));
        statuses.find(|&e| e != CUDA_SUCCESS).unwrap_or(CUDA_SUCCESS)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuGraphDestroy(graph: Handle) -> Status {
    with_state(|s| match s.graphs.remove(&graph) {
        Some(_) => CUDA_SUCCESS,
        None => CUDA_ERROR_INVALID_VALUE,
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuGraphExecDestroy(executable: Handle) -> Status {
    with_state(|s| match s.executables.remove(&executable) {
        Some(_) => CUDA_SUCCESS,
        None => CUDA_ERROR_INVALID_VALUE,
    })
}
