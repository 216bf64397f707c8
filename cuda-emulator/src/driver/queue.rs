//! Queues of work, which run only when somebody waits for them, so that a missing dependency shows.

use super::clock::Clock;
use super::error::*;
use super::stream::Stream;
use super::{BUSY, Handle, State, Status};
use crate::checks::{Finding, Kind, program};
use crate::machine::cluster_shape::ClusterShape;
use crate::options::Streams;
use crate::ptx::kernel::Kernel;
use std::ffi::c_void;
use std::sync::Arc;
use std::time::Instant;

/// A kernel to be launched.
#[derive(Clone)]
pub struct KernelLaunch {
    pub kernel: Arc<Kernel>,
    /// that of the function
    pub context: Handle,
    pub grid: [u32; 3],
    pub block: [u32; 3],
    pub cluster: Option<ClusterShape>,
    pub dynamic_shared: u32,
    pub params: Vec<u8>,
    pub is_cooperative: bool,
}

#[derive(Clone)]
pub enum Work {
    Kernel(KernelLaunch),
    CopyFromHost {
        dst: u64,
        data: Arc<Vec<u8>>,
    },
    /// from memory that the program keeps until then
    CopyFromHostLater {
        dst: u64,
        src: u64,
        n: u64,
    },
    CopyToHost {
        dst: u64,
        src: u64,
        n: u64,
    },
    CopyOnDevice {
        dst: u64,
        src: u64,
        n: u64,
    },
    /// `count` values of `width` bytes
    Fill {
        dst: u64,
        count: u64,
        width: u8,
        value: u32,
    },
    Event(Handle),
    Free(u64),
    /// and its argument
    HostFunction(usize, usize),
    Nothing,
}

/// Work in a queue. Numbers grow in the order in which work was enqueued.
pub(super) struct Entry {
    pub number: u64,
    /// streams, and the number up to which they have to be done before
    pub dependencies: Vec<(Handle, u64)>,
    work: Work,
    /// what comes before, for work that asks
    clock: Option<Clock>,
}

impl State {
    /// What a stream's device and context do not take: the error, and a finding where the program can
    /// only be wrong.
    fn refusal(&self, context: Handle, work: &Work) -> Option<(Status, Option<Finding>)> {
        let device = self.device_of(context);
        let is_elsewhere = |a: u64| self.memory.device_of(a).is_some_and(|other| other != device);
        let other = |kind, what: &str, a: u64| {
            let finding = program::other_device(kind, what, &self.memory, a, device);
            Some((CUDA_ERROR_INVALID_VALUE, Some(finding)))
        };
        match *work {
            Work::Kernel(ref launch) if launch.context != context => {
                Some((CUDA_ERROR_INVALID_HANDLE, None))
            }
            Work::Free(a) if is_elsewhere(a) => other(Kind::BadFree, "free", a),
            Work::Fill { dst, .. } if is_elsewhere(dst) => {
                other(Kind::ApiOutOfBounds, "memset", dst)
            }
            _ => None,
        }
    }

    fn sticky(&self, context: Handle) -> Status {
        self.contexts.get(&context).map_or(CUDA_SUCCESS, |c| c.sticky)
    }

    /// Enqueues work, or adds it to the graph that the stream captures.
    pub fn push(&mut self, handle: Handle, work: Work) -> Status {
        let id = match self.stream(handle) {
            Ok(id) => id,
            Err(e) => return e,
        };
        if let Some((e, finding)) = self.refusal(self.streams[&id].context, &work) {
            finding.into_iter().for_each(|finding| self.report(&[finding]));
            return e;
        }
        let stream = &self.streams[&id];
        if let Some(capture) = stream.capture.and_then(|c| self.captures.get_mut(&c)) {
            if capture.is_invalid {
                return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
            }
            capture.work.push(work);
            return CUDA_SUCCESS;
        }
        let e = self.use_stream(id);
        if e != CUDA_SUCCESS {
            return e;
        }
        let stream = &self.streams[&id];
        let context = stream.context;
        let sticky = self.sticky(context);
        if sticky != CUDA_SUCCESS {
            return sticky;
        }
        let default = context | 1;
        let is_pending = |s: &Stream| s.context == context && s.is_blocking && !s.queue.is_empty();
        let mut dependencies = vec![];
        if id == default {
            let others = self.streams.iter().filter(|(h, s)| **h != id && is_pending(s));
            dependencies.extend(others.map(|(h, s)| (*h, s.last)));
        } else if stream.is_blocking {
            let default = self.streams.get_key_value(&default).filter(|(_, s)| is_pending(s));
            dependencies.extend(default.map(|(h, s)| (*h, s.last)));
        }
        let number = self.next_number();
        let mut own = self.clock_of(id);
        own.add(id, number);
        let asks = matches!(work, Work::Free(_) | Work::HostFunction(..));
        let clock = asks.then(|| own.clone());
        if let Some(stream) = self.streams.get_mut(&id) {
            (stream.last, stream.clock) = (number, own);
            stream.queue.push_back(Entry { number, dependencies, work, clock });
        }
        if self.options.streams == Streams::Eager {
            return self.drain(id, number);
        }
        CUDA_SUCCESS
    }

    /// Runs the work of a stream up to a number.
    pub fn drain(&mut self, id: Handle, up_to: u64) -> Status {
        let Some(context) = self.streams.get(&id).map(|s| s.context) else { return CUDA_SUCCESS };
        while let Some(first) = self.first(id).filter(|first| first.number <= up_to) {
            let pending = first.dependencies.iter().find(|&&d| self.is_pending(d)).copied();
            if let Some((other, number)) = pending {
                self.drain(other, number);
                continue;
            }
            if self.options.streams == Streams::Others {
                self.run_others(id);
            }
            self.run_first(id);
        }
        self.sticky(context)
    }

    pub(super) fn first(&self, id: Handle) -> Option<&Entry> {
        self.streams.get(&id)?.queue.front()
    }

    /// Whether a stream has work up to a number.
    fn is_pending(&self, (id, number): (Handle, u64)) -> bool {
        self.first(id).is_some_and(|first| first.number <= number)
    }

    /// Runs all work of other streams that may come before the next one of a stream.
    fn run_others(&mut self, id: Handle) {
        let is_ready = |s: &State, h: Handle| {
            let first = s.first(h).filter(|_| h != id);
            first.is_some_and(|first| !first.dependencies.iter().any(|&d| s.is_pending(d)))
        };
        while let Some(other) = self.streams.keys().copied().find(|&h| is_ready(self, h)) {
            self.run_first(other);
        }
    }

    /// Runs the next work of a stream, whose dependencies are done.
    fn run_first(&mut self, id: Handle) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let (context, Some(entry)) = (stream.context, stream.queue.pop_front()) else { return };
        let number = entry.number;
        let is_broken = self.sticky(context) != CUDA_SUCCESS;
        let e = match entry.clock {
            _ if is_broken => CUDA_SUCCESS,
            Some(clock) => self.run_after(&clock, entry.work),
            None => self.run(entry.work, (id, number)),
        };
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.done = number;
        }
        if let Some(context) = self.contexts.get_mut(&context)
            && context.sticky == CUDA_SUCCESS
        {
            context.sticky = e;
        }
    }

    /// Runs all work of a context.
    pub fn drain_context(&mut self, context: Handle) -> Status {
        let of_context = self.streams.iter().filter(|(_, s)| s.context == context);
        let mut ids: Vec<Handle> = of_context.map(|(h, _)| *h).collect();
        // the newest stream first: the least helpful order that is allowed
        ids.reverse();
        for id in ids {
            self.drain(id, u64::MAX);
        }
        self.sticky(context)
    }

    /// Enqueues work on the default stream and runs it.
    pub fn run_now(&mut self, context: Handle, work: Work) -> Status {
        // the legacy stream first, which may be what forbids it
        let mut e = self.stream(0).map_or_else(|e| e, |id| self.use_stream(id));
        if e == CUDA_SUCCESS {
            e = self.act_at_once();
        }
        if e == CUDA_SUCCESS {
            e = self.push(0, work);
        }
        if e != CUDA_SUCCESS {
            return e;
        }
        self.wait_for(context | 1)
    }

    /// The host waits for all work of a stream.
    pub fn wait_for(&mut self, id: Handle) -> Status {
        let e = self.drain(id, u64::MAX);
        self.has_waited_for(id);
        e
    }

    /// The host waits for all work of a context.
    pub fn wait_for_context(&mut self, context: Handle) -> Status {
        let e = self.drain_context(context);
        let of_context = self.streams.iter().filter(|(_, s)| s.context == context);
        for id in of_context.map(|(h, _)| *h).collect::<Vec<_>>() {
            self.has_waited_for(id);
        }
        e
    }

    /// Frees memory, or calls the host, after what the clock says.
    fn run_after(&mut self, clock: &Clock, work: Work) -> Status {
        match work {
            Work::Free(p) => {
                let unordered = program::unordered_free(&self.memory, p, |s, n| clock.has(s, n));
                let e = self.free(p);
                let found: Vec<Finding> = unordered.into_iter().collect();
                self.report(&found);
                let fails = e == CUDA_SUCCESS && self.options.fail.applies_to(&found);
                if fails { CUDA_ERROR_LAUNCH_FAILED } else { e }
            }
            Work::HostFunction(function, argument) => {
                // what the host does from now on comes after
                self.host.join(clock);
                // SAFETY: the program gave a function of this type to cuLaunchHostFunc
                let function: unsafe extern "C" fn(*mut c_void) =
                    unsafe { std::mem::transmute(function) };
                BUSY.with(|b| b.set(true));
                // SAFETY: as the program meant it to be called
                unsafe { function(argument as *mut c_void) };
                BUSY.with(|b| b.set(false));
                CUDA_SUCCESS
            }
            _ => CUDA_SUCCESS,
        }
    }

    /// Ends an allocation now.
    pub fn free(&mut self, address: u64) -> Status {
        match program::free(&mut self.memory, address) {
            Ok(()) => CUDA_SUCCESS,
            Err(finding) => {
                self.report(&[finding]);
                CUDA_ERROR_INVALID_VALUE
            }
        }
    }

    /// Runs one piece of work, and notes for which work memory was used.
    fn run(&mut self, work: Work, by: (Handle, u64)) -> Status {
        match work {
            Work::CopyFromHost { dst, .. }
            | Work::CopyFromHostLater { dst, .. }
            | Work::Fill { dst, .. } => self.memory.note_use(dst, by),
            Work::CopyToHost { src, .. } => self.memory.note_use(src, by),
            Work::CopyOnDevice { dst, src, .. } => {
                self.memory.note_use(dst, by);
                self.memory.note_use(src, by);
            }
            _ => {}
        }
        match work {
            Work::Nothing | Work::Free(_) | Work::HostFunction(..) => CUDA_SUCCESS,
            Work::Kernel(launch) => self.run_kernel(launch, by),
            Work::CopyFromHost { dst, data } => {
                self.copy_from_host(dst, data.as_ptr(), data.len() as u64)
            }
            Work::CopyFromHostLater { dst, src, n } => {
                self.copy_from_host(dst, src as *const u8, n)
            }
            Work::CopyToHost { dst, src, n } => self.copy_to_host(dst as *mut u8, src, n),
            Work::CopyOnDevice { dst, src, n } => self.copy_on_device(dst, src, n),
            Work::Fill { dst, count, width, value } => self.fill(dst, count, width, value),
            Work::Event(h) => {
                if let Some(event) = self.events.get_mut(&h) {
                    event.at = Some(Instant::now());
                }
                CUDA_SUCCESS
            }
        }
    }
}
