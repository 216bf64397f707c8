//! Streams: which there are, and how they wait for events.

use super::clock::Clock;
use super::error::*;
use super::queue::{Entry, Work};
use super::{Handle, State, Status, current, set, with_context, with_state};
use crate::options::Streams;
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::ffi::{c_int, c_uint, c_void};

/// CU_STREAM_NON_BLOCKING.
const NON_BLOCKING: u32 = 1;

thread_local! {
    /// the default stream of the thread in each context
    static OF_THREAD: RefCell<HashMap<Handle, Handle>> = RefCell::default();
}

pub struct Stream {
    pub context: Handle,
    /// waits for the default stream, which waits for it
    pub is_blocking: bool,
    priority: i32,
    pub(super) queue: VecDeque<Entry>,
    /// number of the last work enqueued
    pub last: u64,
    /// number of the last work done
    pub done: u64,
    /// what is done when the last work enqueued is
    pub clock: Clock,
    pub capture: Option<u64>,
}

impl Stream {
    fn new(context: Handle, is_blocking: bool, priority: i32) -> Stream {
        let (queue, clock) = (VecDeque::new(), Clock::default());
        Stream { context, is_blocking, priority, queue, last: 0, done: 0, clock, capture: None }
    }
}

impl State {
    /// The stream that a handle stands for. 0 and 1 are the legacy default stream of the current
    /// context, 2 is that of the thread there.
    pub fn stream(&mut self, handle: Handle) -> Result<Handle, Status> {
        let context = current();
        if !self.contexts.contains_key(&context) {
            return Err(CUDA_ERROR_INVALID_CONTEXT);
        }
        let id = match handle {
            0 | 1 => context | 1,
            2 => self.stream_of_thread(context),
            other => other,
        };
        if handle <= 2 {
            self.streams.entry(id).or_insert_with(|| Stream::new(context, true, 0));
        }
        if self.streams.contains_key(&id) { Ok(id) } else { Err(CUDA_ERROR_INVALID_HANDLE) }
    }

    /// The handle of this thread's default stream in a context. Its low bits tell that it is one.
    fn stream_of_thread(&mut self, context: Handle) -> Handle {
        let known = OF_THREAD.with(|own| own.borrow().get(&context).copied());
        known.unwrap_or_else(|| {
            let new = self.new_handle() | 2;
            OF_THREAD.with(|own| own.borrow_mut().insert(context, new));
            new
        })
    }
}

/// A call on a stream, which gets the handle of the stream itself.
pub(super) fn with_stream(
    stream: Handle,
    call: impl FnOnce(&mut State, Handle) -> Status,
) -> Status {
    with_context(|s, _| match s.stream(stream) {
        Ok(id) => call(s, id),
        Err(e) => e,
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamCreate(stream: *mut Handle, flags: c_uint) -> Status {
    cuStreamCreateWithPriority(stream, flags, 0)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamCreateWithPriority(
    stream: *mut Handle,
    flags: c_uint,
    priority: c_int,
) -> Status {
    with_context(|s, context| {
        let new = s.new_handle();
        let is_blocking = flags & NON_BLOCKING == 0;
        s.streams.insert(new, Stream::new(context, is_blocking, priority));
        set(stream, new)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamDestroy_v2(stream: Handle) -> Status {
    with_state(|s| {
        if stream <= 2 || !s.streams.contains_key(&stream) {
            return CUDA_ERROR_INVALID_HANDLE;
        }
        let e = s.drain(stream, u64::MAX);
        s.abandon_capture(stream);
        s.streams.remove(&stream);
        e
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamSynchronize(stream: Handle) -> Status {
    with_stream(stream, |s, id| match s.ask_stream(id) {
        CUDA_SUCCESS => s.wait_for(id),
        e => e,
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamQuery(stream: Handle) -> Status {
    with_stream(stream, |s, id| {
        let e = s.ask_stream(id);
        if e != CUDA_SUCCESS {
            return e;
        }
        // one step per query, so that polling ends
        let e = match s.first(id).map(|next| next.number) {
            Some(number) => s.drain(id, number),
            None => CUDA_SUCCESS,
        };
        match e {
            CUDA_SUCCESS if s.streams[&id].queue.is_empty() => s.wait_for(id),
            CUDA_SUCCESS => CUDA_ERROR_NOT_READY,
            e => e,
        }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamGetPriority(stream: Handle, priority: *mut c_int) -> Status {
    with_stream(stream, |s, id| set(priority, s.streams[&id].priority))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamGetFlags(stream: Handle, flags: *mut c_uint) -> Status {
    with_stream(stream, |s, id| {
        set(flags, if s.streams[&id].is_blocking { 0 } else { NON_BLOCKING })
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamGetCtx(stream: Handle, context: *mut Handle) -> Status {
    with_stream(stream, |s, id| set(context, s.streams[&id].context))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamWaitEvent(stream: Handle, event: Handle, flags: c_uint) -> Status {
    with_stream(stream, |s, id| {
        let e = s.use_stream(id);
        if e != CUDA_SUCCESS {
            return e;
        }
        let Some(event) = s.events.get(&event) else { return CUDA_ERROR_INVALID_HANDLE };
        let (own, theirs) = (s.streams[&id].capture, event.capture);
        if own.is_some() || theirs.is_some() {
            let is_outside = theirs.is_none() && event.recorded.is_some();
            return s.wait_in_capture(id, [own, theirs], is_outside, flags);
        }
        let Some((other, number)) = event.recorded else { return CUDA_SUCCESS };
        if let Some(stream) = s.streams.get_mut(&id) {
            stream.clock.join(&event.clock);
        }
        if other == id || s.streams.get(&other).is_none_or(|other| other.done >= number) {
            return CUDA_SUCCESS;
        }
        let e = s.push(id, Work::Nothing);
        if e != CUDA_SUCCESS {
            return e;
        }
        if let Some(last) = s.streams.get_mut(&id).and_then(|stream| stream.queue.back_mut()) {
            last.dependencies.push((other, number));
        }
        if s.options.streams == Streams::Eager {
            return s.drain(id, u64::MAX);
        }
        CUDA_SUCCESS
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamAttachMemAsync(
    stream: Handle,
    _address: u64,
    _size: usize,
    _flags: c_uint,
) -> Status {
    with_context(|s, _| s.push(stream, Work::Nothing))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuLaunchHostFunc(
    stream: Handle,
    function: usize,
    argument: *mut c_void,
) -> Status {
    with_context(|s, _| s.push(stream, Work::HostFunction(function, argument as usize)))
}
