//! Events.

use super::clock::Clock;
use super::error::*;
use super::queue::Work;
use super::stream::with_stream;
use super::{Handle, State, Status, set, with_context, with_state};
use std::ffi::c_uint;
use std::time::Instant;

/// Queries that say "not ready" before the work is done all the same: somebody may be polling.
const PATIENCE: u32 = 8;
/// CU_EVENT_DISABLE_TIMING.
const DISABLE_TIMING: u32 = 2;

pub struct Event {
    pub context: Handle,
    flags: u32,
    /// the stream and the number of the record
    pub recorded: Option<(Handle, u64)>,
    /// what is done when it is reached
    pub clock: Clock,
    /// when it was reached
    pub at: Option<Instant>,
    /// queries since it was recorded
    queries: u32,
    /// recorded in a capture
    pub capture: Option<u64>,
}

impl State {
    /// Whether the work before an event, if it was recorded, has been done.
    fn is_done(&self, event: &Event) -> bool {
        let done = |stream, number| self.streams.get(&stream).is_none_or(|s| s.done >= number);
        event.recorded.is_none_or(|(stream, number)| done(stream, number))
    }

    /// The host waits for an event, or asks it: not in a capture.
    fn ask_event(&mut self, event: Handle) -> Status {
        match self.events.get(&event).map(|known| known.capture) {
            None => CUDA_ERROR_INVALID_HANDLE,
            Some(None) => self.act_at_once(),
            Some(Some(capture)) => {
                self.invalidate(capture);
                CUDA_ERROR_CAPTURED_EVENT
            }
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuEventCreate(event: *mut Handle, flags: c_uint) -> Status {
    with_context(|s, context| {
        let new = s.new_handle();
        let (recorded, clock, at, queries, capture) = (None, Clock::default(), None, 0, None);
        let new_event = Event { context, flags, recorded, clock, at, queries, capture };
        s.events.insert(new, new_event);
        set(event, new)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuEventDestroy_v2(event: Handle) -> Status {
    with_state(|s| match s.events.remove(&event) {
        Some(_) => CUDA_SUCCESS,
        None => CUDA_ERROR_INVALID_HANDLE,
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuEventRecord(event: Handle, stream: Handle) -> Status {
    with_stream(stream, |s, id| {
        let Some(known) = s.events.get_mut(&event) else { return CUDA_ERROR_INVALID_HANDLE };
        if known.context != s.streams[&id].context {
            return CUDA_ERROR_INVALID_HANDLE;
        }
        let capture = s.streams[&id].capture;
        if let Some(number) = capture {
            if s.captures.get(&number).is_some_and(|c| c.is_invalid) {
                return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
            }
            known.capture = capture;
            return CUDA_SUCCESS;
        }
        let e = s.push(id, Work::Event(event));
        if e != CUDA_SUCCESS {
            return e;
        }
        let (last, clock) = (s.streams[&id].last, s.streams[&id].clock.clone());
        if let Some(known) = s.events.get_mut(&event) {
            (known.recorded, known.clock) = (Some((id, last)), clock);
            known.queries = 0;
            known.capture = None;
        }
        CUDA_SUCCESS
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuEventRecordWithFlags(
    event: Handle,
    stream: Handle,
    _flags: c_uint,
) -> Status {
    cuEventRecord(event, stream)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuEventSynchronize(event: Handle) -> Status {
    with_context(|s, _| {
        let e = s.ask_event(event);
        if e != CUDA_SUCCESS {
            return e;
        }
        match s.events[&event].recorded {
            None => CUDA_SUCCESS,
            Some((stream, number)) => {
                s.host.join(&s.events[&event].clock);
                s.drain(stream, number)
            }
        }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuEventQuery(event: Handle) -> Status {
    with_context(|s, _| {
        let e = s.ask_event(event);
        if e != CUDA_SUCCESS {
            return e;
        }
        let Some(known) = s.events.get_mut(&event) else { return CUDA_ERROR_INVALID_HANDLE };
        known.queries += 1;
        let (queries, recorded) = (known.queries, known.recorded);
        let is_done = s.is_done(&s.events[&event]);
        if !is_done && queries <= PATIENCE {
            return CUDA_ERROR_NOT_READY;
        }
        s.host.join(&s.events[&event].clock);
        match recorded {
            Some((stream, number)) if !is_done => s.drain(stream, number),
            _ => CUDA_SUCCESS,
        }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuEventElapsedTime(
    milliseconds: *mut f32,
    start: Handle,
    end: Handle,
) -> Status {
    with_context(|s, _| {
        let (Some(start), Some(end)) = (s.events.get(&start), s.events.get(&end)) else {
            return CUDA_ERROR_INVALID_HANDLE;
        };
        let is_timed = |e: &Event| e.flags & DISABLE_TIMING == 0 && e.recorded.is_some();
        if !is_timed(start) || !is_timed(end) {
            return CUDA_ERROR_INVALID_HANDLE;
        }
        let (Some(from), Some(to)) = (start.at, end.at) else { return CUDA_ERROR_NOT_READY };
        if !s.is_done(start) || !s.is_done(end) {
            return CUDA_ERROR_NOT_READY;
        }
        let seconds = match to.checked_duration_since(from) {
            Some(after) => after.as_secs_f64(),
            None => -(from - to).as_secs_f64(),
        };
        set(milliseconds, (seconds * 1e3) as f32)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuEventElapsedTime_v2(
    milliseconds: *mut f32,
    start: Handle,
    end: Handle,
) -> Status {
    cuEventElapsedTime(milliseconds, start, end)
}
