//! Graphs: a stream that captures writes its work down, and a launch of the graph enqueues it in that
//! order.

use super::error::*;
use super::queue::Work;
use super::stream::with_stream;
use super::{Handle, State, Status, set, with_context, with_state};
use std::cell::Cell;
use std::thread::{self, ThreadId};

/// CUstreamCaptureMode.
mod mode {
    pub const GLOBAL: u32 = 0;
    pub const RELAXED: u32 = 2;
}

/// CU_EVENT_WAIT_EXTERNAL.
const EXTERNAL: u32 = 1;
/// CUstreamCaptureStatus: none, active, invalidated.
const INVALIDATED: u32 = 2;

thread_local! {
    /// how captures restrict what the thread calls
    static MODE: Cell<u32> = const { Cell::new(mode::GLOBAL) };
}

/// A capture that goes on.
pub struct Capture {
    /// the stream that it was begun on
    origin: Handle,
    mode: u32,
    /// that began it
    thread: ThreadId,
    pub work: Vec<Work>,
    /// something was done that a capture does not allow
    pub is_invalid: bool,
}

impl Capture {
    /// Whether a call that a capture would miss is forbidden in this thread.
    fn restricts(&self, own_mode: u32) -> bool {
        match own_mode {
            mode::RELAXED => false,
            _ if self.thread == thread::current().id() => self.mode != mode::RELAXED,
            own => own == mode::GLOBAL && self.mode == mode::GLOBAL,
        }
    }
}

impl State {
    pub(super) fn invalidate(&mut self, capture: u64) {
        if let Some(capture) = self.captures.get_mut(&capture) {
            capture.is_invalid = true;
        }
    }

    /// A call that acts at once: in a capture it would be missed, so that it ends those that restrict
    /// the thread.
    pub(super) fn act_at_once(&mut self) -> Status {
        let own_mode = MODE.get();
        let mut e = CUDA_SUCCESS;
        for capture in self.captures.values_mut().filter(|capture| capture.restricts(own_mode)) {
            capture.is_invalid = true;
            e = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
        }
        e
    }

    /// A use of a stream. The legacy stream would wait for blocking streams of its context, of which
    /// none may capture.
    pub(super) fn use_stream(&mut self, id: Handle) -> Status {
        let captures = self.implicit_captures(id);
        captures.iter().for_each(|&capture| self.invalidate(capture));
        if captures.is_empty() { CUDA_SUCCESS } else { CUDA_ERROR_STREAM_CAPTURE_IMPLICIT }
    }

    /// What captures on streams that a legacy stream would wait for.
    fn implicit_captures(&self, id: Handle) -> Vec<u64> {
        let context = self.streams.get(&id).map_or(0, |s| s.context);
        if id != context | 1 {
            return vec![];
        }
        let others = self.streams.values().filter(|s| s.context == context && s.is_blocking);
        others.filter_map(|s| s.capture).collect()
    }

    /// The host waits for a stream, or asks it: not while it captures, and not while others do that
    /// forbid it.
    pub(super) fn ask_stream(&mut self, id: Handle) -> Status {
        if let Some(capture) = self.streams[&id].capture {
            self.invalidate(capture);
            return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
        }
        match self.use_stream(id) {
            CUDA_SUCCESS => self.act_at_once(),
            e => e,
        }
    }

    /// A stream waits for an event, one of which captures or both.
    pub(super) fn wait_in_capture(
        &mut self,
        id: Handle,
        captures: [Option<u64>; 2],
        is_outside: bool,
        flags: u32,
    ) -> Status {
        let e = match captures {
            [Some(own), Some(event)] if own == event => return CUDA_SUCCESS,
            [Some(_), Some(_)] => CUDA_ERROR_STREAM_CAPTURE_MERGE,
            [Some(_), None] if flags & EXTERNAL != 0 => return CUDA_ERROR_NOT_SUPPORTED,
            [Some(_), None] if is_outside => CUDA_ERROR_STREAM_CAPTURE_ISOLATION,
            [None, Some(event)] if id & 3 != 1 => {
                // joins the capture
                if let Some(stream) = self.streams.get_mut(&id) {
                    stream.capture = Some(event);
                }
                return CUDA_SUCCESS;
            }
            // no capture on the legacy stream
            [None, Some(_)] => CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED,
            _ => return CUDA_SUCCESS,
        };
        captures.into_iter().flatten().for_each(|capture| self.invalidate(capture));
        e
    }

    /// Nothing captures any more for this one.
    pub(super) fn end_capture(&mut self, number: u64) -> Option<Capture> {
        let of_streams = self.streams.values_mut().map(|stream| &mut stream.capture);
        let of_events = self.events.values_mut().map(|event| &mut event.capture);
        for capture in of_streams.chain(of_events).filter(|capture| **capture == Some(number)) {
            *capture = None;
        }
        self.captures.remove(&number)
    }

    /// A stream that goes away takes its capture with it, or spoils that which it has joined.
    pub(super) fn abandon_capture(&mut self, id: Handle) {
        let Some(number) = self.streams.get(&id).and_then(|s| s.capture) else { return };
        if self.captures.get(&number).is_some_and(|c| c.origin == id) {
            self.end_capture(number);
        } else {
            self.invalidate(number);
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamBeginCapture_v2(stream: Handle, mode: u32) -> Status {
    with_stream(stream, |s, id| {
        if stream <= 1 {
            return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
        }
        if mode > mode::RELAXED {
            return CUDA_ERROR_INVALID_VALUE;
        }
        if s.streams[&id].capture.is_some() {
            return CUDA_ERROR_ILLEGAL_STATE;
        }
        let (number, thread) = (s.next_number(), thread::current().id());
        let new = Capture { origin: id, mode, thread, work: vec![], is_invalid: false };
        s.captures.insert(number, new);
        if let Some(stream) = s.streams.get_mut(&id) {
            stream.capture = Some(number);
        }
        CUDA_SUCCESS
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuThreadExchangeStreamCaptureMode(mode: *mut u32) -> Status {
    match mode.as_mut() {
        Some(mode) if *mode <= mode::RELAXED => {
            *mode = MODE.replace(*mode);
            CUDA_SUCCESS
        }
        _ => CUDA_ERROR_INVALID_VALUE,
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamIsCapturing(stream: Handle, status: *mut u32) -> Status {
    with_stream(stream, |s, id| {
        if !s.implicit_captures(id).is_empty() {
            return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
        }
        let capture = s.streams[&id].capture.and_then(|number| s.captures.get(&number));
        set(status, capture.map_or(0, |capture| if capture.is_invalid { INVALIDATED } else { 1 }))
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamEndCapture(stream: Handle, graph: *mut Handle) -> Status {
    with_stream(stream, |s, id| {
        let Some(number) = s.streams[&id].capture else { return CUDA_ERROR_ILLEGAL_STATE };
        let capture = &s.captures[&number];
        if capture.origin != id {
            return CUDA_ERROR_STREAM_CAPTURE_UNMATCHED;
        }
        if capture.mode != mode::RELAXED && capture.thread != thread::current().id() {
            return CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD;
        }
        match s.end_capture(number) {
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
